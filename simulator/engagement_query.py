"""Queries of the activity in Claude Enterprise: what each endpoint accepts."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator import engagement_rows as rows
from simulator.engagement_facts import ARTIFACT_TYPES, Session
from simulator.facts import DAY
from simulator.query import Query, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from simulator.engagement_rows import Part, Row, Span
    from simulator.facts import Facts


FLOOR = dt.date(2026, 1, 1)


LONGEST = 366


AGGREGATED_AT = dt.time(10)
"""Time of the next day at which a day's data become available."""


PRODUCTS = ("chat", "chat_cowork_unified", "claude_code", "cowork", "office_agent")


PLUGIN_PRODUCTS = ("chat_cowork_unified", "claude_code", "cowork")


ARTIFACT_PRODUCTS = ("chat", *PLUGIN_PRODUCTS)


SHARE_STATUSES = ("organization", "private", "public")


def _folded(name: str) -> str:
    return name.casefold().removesuffix(" mcp")


def _same(value: str) -> str:
    return value


@dataclass(frozen=True)
class Filter:
    """A filter: the compared values, and their valid format."""

    tags: Callable[[Session, Any], Collection[str | None]]
    allowed: Collection[str] | None = None
    prefix: str = ""
    form: Callable[[str], str] = _same


FILTERS = {
    "user_id": Filter(lambda session, _: (session.user_id,), prefix="user_"),
    "rbac_group_id": Filter(lambda session, _: session.teams, prefix="rbac_group_"),
    "product": Filter(lambda session, _: (session.product,)),
    "project_id": Filter(
        lambda session, _: (session.project.id,) if session.project else (), prefix="claude_proj_"
    ),
    "skill_name": Filter(lambda _, use: (use.skill.name.casefold(),), form=str.casefold),
    "share_status": Filter(lambda _, use: (use.skill.share_status,), SHARE_STATUSES),
    # An opaque name also matches its display name.
    "connector_name": Filter(
        lambda _, use: (
            _folded(use.connector.name),
            _folded(use.connector.display_name or use.connector.name),
        ),
        form=_folded,
    ),
    "plugin_name": Filter(lambda _, use: (use.plugin.name.casefold(),), form=str.casefold),
    "artifact_type": Filter(lambda _, made: (made.type,), ARTIFACT_TYPES),
    "is_shared": Filter(lambda _, made: (str(made.shared).lower(),), ("true", "false")),
}


@dataclass(frozen=True)
class Report:
    """An endpoint: its rows, and its valid parameters."""

    name: str
    keys: tuple[str, ...]
    """The first one is the sort column."""
    things: Callable[[Session], Iterable[tuple[tuple[str, ...], Any]]]
    """Keys and objects of the rows that a session contributes to."""
    row: Callable[[Span, Facts, Sequence[Part]], Row]
    metrics: tuple[str, ...] = ()
    """Metrics that rows can be sorted by; dots separate nested fields."""
    group_by: tuple[str, ...] = ("rbac_group_id", "user_id")
    filters: tuple[str, ...] = ()
    products: tuple[str, ...] = ()


USERS = Report(
    "users",
    ("user.email_address",),
    lambda session: [((session.user_id,), None)],
    rows.user_row,
    ("chat_metrics.message_count", "claude_code_metrics.core_metrics.commit_count"),
    group_by=("rbac_group_id",),
    filters=("project_id", "rbac_group_id", "user_id"),
)


PROJECTS = Report(
    "projects",
    ("project_id",),
    lambda session: [((session.project.id,), session.project)] if session.project else [],
    rows.project_row,
    ("message_count", "distinct_user_count", "distinct_conversation_count"),
    filters=("project_id", "rbac_group_id", "user_id"),
)


SKILLS = Report(
    "skills",
    ("skill_name", "share_status"),
    lambda session: (
        ((use.skill.name, use.skill.share_status or ""), use) for use in session.skills
    ),
    rows.skill_row,
    ("invocation_count", "distinct_user_count"),
    group_by=("product", "rbac_group_id", "user_id"),
    filters=("product", "rbac_group_id", "share_status", "skill_name", "user_id"),
    products=PRODUCTS,
)


CONNECTORS = Report(
    "connectors",
    ("connector_name",),
    lambda session: (((use.connector.name,), use) for use in session.connectors),
    rows.connector_row,
    ("read_call_count", "distinct_user_count"),
    group_by=("product", "rbac_group_id", "user_id"),
    filters=("connector_name", "product", "rbac_group_id", "user_id"),
    products=PRODUCTS,
)


PLUGINS = Report(
    "plugins",
    ("plugin_name", "plugin_id"),
    lambda session: (((use.plugin.name, use.plugin.id or ""), use) for use in session.plugins),
    rows.plugin_row,
    ("invocation_count", "install_count", "distinct_user_count"),
    group_by=("product", "rbac_group_id", "user_id"),
    filters=("plugin_name", "product", "rbac_group_id", "user_id"),
    products=PLUGIN_PRODUCTS,
)


ARTIFACTS = Report(
    "artifacts",
    ("artifact_type", "is_shared"),
    lambda session: (((made.type, str(made.shared)), made) for made in session.artifacts),
    rows.artifact_row,
    group_by=("product", "rbac_group_id", "user_id"),
    filters=("artifact_type", "is_shared", "product", "rbac_group_id", "user_id"),
    products=ARTIFACT_PRODUCTS,
)


REPORTS = {
    report.name: report for report in (USERS, PROJECTS, SKILLS, CONNECTORS, PLUGINS, ARTIFACTS)
}


@dataclass(frozen=True)
class ParsedQuery:
    """A parsed query, without its page."""

    report: str
    span: Span
    group_by: tuple[str, ...]
    filters: tuple[tuple[str, frozenset[str]], ...]
    order_by: str
    descending: bool
    revision: int


def latest_day(now: dt.datetime) -> dt.date:
    """Return the latest available day."""
    now = now.astimezone(dt.UTC)
    return now.date() - (1 if now.time() >= AGGREGATED_AT else 2) * DAY


def parse_query(
    query: Query,
    facts: Facts,
    report: Report,
    group_by: tuple[str, ...],
    now: dt.datetime,
    revision: int,
) -> ParsedQuery:
    """Return the parsed query, or raise a 400."""
    start, end, rollup = _period(query, report, now)
    filters = filters_of(query, facts, report.filters, report.products)
    names = {name for name, _ in filters}
    if report is USERS and "project_id" in names and (group_by or "rbac_group_id" in names):
        raise invalid("filter[]: project_id cannot be combined with group_by[] or rbac_group_id")
    column = report.keys[0].rpartition(".")[2]
    order_by, order = column, "asc"
    if report is not ARTIFACTS:
        order_by = query.choice("order_by", (column, *report.metrics), column)
        order = query.choice("order", ("asc", "desc"), "asc" if order_by == column else "desc")
    return ParsedQuery(
        report=report.name,
        span=rows.Span(
            start=start,
            last=min(end - DAY, latest_day(now)),
            rollup=rollup,
            grouped=frozenset(group_by),
            filtered=frozenset(names),
        ),
        group_by=group_by,
        filters=filters,
        order_by=order_by,
        descending=order == "desc",
        revision=revision,
    )


def _period(query: Query, report: Report, now: dt.datetime) -> tuple[dt.date, dt.date, bool]:
    """Return the requested days, exclusive end, and whether a range was requested."""
    latest, today = latest_day(now), now.astimezone(dt.UTC).date()
    date = date_of(query, "date", required=report is ARTIFACTS)
    start = end = None
    if report is not ARTIFACTS:
        start, end = date_of(query, "starting_date"), date_of(query, "ending_date")
    if end and not start:
        raise invalid("ending_date: only valid with starting_date")
    if date and start:
        raise invalid("date: cannot be combined with starting_date")
    if date:
        if date > latest:
            raise too_recent("date", latest)
        return date, date + DAY, False
    if not start:
        raise invalid("date: Field required, or starting_date")
    if start > latest:
        raise too_recent("starting_date", latest)
    end = end or today
    if end > today:
        raise too_recent("ending_date", latest)
    check_range(start, end)
    return start, end, True


def date_of(query: Query, name: str, *, required: bool = False) -> dt.date | None:
    """Return a parameter that is a date, or raise a 400."""
    text = query.text(name)
    if text is None:
        if required:
            raise invalid(f"{name}: Field required")
        return None
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise invalid(f"{name}: Input should be a date in the format YYYY-MM-DD")
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name}: Input should be a valid date") from None
    if date < FLOOR:
        raise invalid(f"{name}: must not be earlier than {FLOOR}")
    return date


def too_recent(name: str, latest: dt.date) -> Exception:
    """Return the 400 for a day without data so far."""
    return invalid(f"{name}: data is not yet available; the latest available day is {latest}")


def check_range(start: dt.date, end: dt.date) -> None:
    """Raise a 400 if a range is empty or too long."""
    if end <= start:
        raise invalid("Invalid date range: ending date must be after starting date")
    if (end - start).days > LONGEST:
        raise invalid(f"Invalid date range: may span at most {LONGEST} days")


def filters_of(
    query: Query, facts: Facts, allowed: Collection[str], products: Collection[str] = ()
) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the values by filter, or raise a 400."""
    entries = query.many("filter")
    if len(entries) > 100:
        raise invalid("filter[]: List should have at most 100 items")
    tagged = {team.uuid: team.id for team in facts.cast.teams}
    found: dict[str, set[str]] = {}
    for entry in entries:
        name, colon, value = entry.partition(":")
        if not colon or not value:
            raise invalid("filter[]: Input should be dimension:value")
        if name not in allowed:
            raise invalid(f"filter[]: dimension should be one of {sorted(allowed)}, got {name!r}")
        looks = FILTERS[name]
        if name == "rbac_group_id":
            value = tagged.get(value, value)
            if _is_uuid(value):
                value = f"{looks.prefix}unknown"
        if not value.startswith(looks.prefix):
            raise invalid(f"filter[]: {name} should start with {looks.prefix}")
        choices = products if name == "product" else looks.allowed
        if choices is not None and value not in choices:
            raise invalid(f"filter[]: {name} should be one of {sorted(choices)}, got {value!r}")
        found.setdefault(name, set()).add(looks.form(value))
    return tuple((name, frozenset(values)) for name, values in sorted(found.items()))


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
