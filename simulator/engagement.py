"""Activity in Claude Enterprise, by day or aggregated over a range of days."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import itertools
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator import engagement_rows as rows
from simulator.admin_lists import OLD_VERSION
from simulator.engagement_facts import ARTIFACT_TYPES, Session, sessions
from simulator.facts import DAY
from simulator.query import Query, cursor, invalid, position

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from simulator.admin_lists import ListCall
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


def users(call: ListCall) -> Row:
    """Return the response of ``analytics/users``."""
    return _respond(call, USERS)


def projects(call: ListCall) -> Row:
    """Return the response of ``analytics/apps/chat/projects``."""
    return _respond(call, PROJECTS)


def skills(call: ListCall) -> Row:
    """Return the response of ``analytics/skills``."""
    return _respond(call, SKILLS)


def connectors(call: ListCall) -> Row:
    """Return the response of ``analytics/connectors``."""
    return _respond(call, CONNECTORS)


def plugins(call: ListCall) -> Row:
    """Return the response of ``analytics/plugins``."""
    return _respond(call, PLUGINS)


def artifacts(call: ListCall) -> Row:
    """Return the response of ``analytics/artifacts``."""
    return _respond(call, ARTIFACTS)


def summaries(call: ListCall) -> Row:
    """Return the response of ``analytics/summaries``: one row per day, on a single page."""
    query, latest = call.query, latest_day(call.now)
    start = _date(query, "starting_date", required=True)
    assert start is not None
    end = _date(query, "ending_date") or latest + DAY
    filters = dict(_filters(query, call.facts, ("rbac_group_id",)))
    query.integer("limit", 100, 1, 1000)
    if query.text("page"):
        raise invalid("page: Invalid page token")
    query.done()
    if start > latest:
        raise _too_recent("starting_date", latest)
    if end > latest + DAY:
        raise _too_recent("ending_date", latest)
    _check_range(start, end)
    invites = sum(invite["status"] == "pending" for invite in call.directory.invites)
    teams = filters.get("rbac_group_id", frozenset())
    data = [
        rows.summary(call.facts, date, call.facts.revision, teams, invites)
        for date in _days(start, end - DAY)
    ]
    return {"summaries" if call.version == OLD_VERSION else "data": data, "next_page": None}


def latest_day(now: dt.datetime) -> dt.date:
    """Return the latest available day."""
    now = now.astimezone(dt.UTC)
    return now.date() - (1 if now.time() >= AGGREGATED_AT else 2) * DAY


def _respond(call: ListCall, report: Report) -> Row:
    query, facts = call.query, call.facts
    place: Row = {
        "report": f"{report.name} {facts.seed}",
        "as_of": call.now.isoformat(),
        "revision": facts.revision,
        "page": 0,
        "start": 0,
    }
    given = position(query)
    group_by = tuple(sorted(set(query.many("group_by", report.group_by))))
    cube = report is ARTIFACTS and not group_by
    if given and (cube or given.get("report") != place["report"]):
        raise invalid("cursor does not match current query parameters")
    place |= given
    # All pages show the data as of the first page.
    parsed = _parse_query(
        query, facts, report, group_by, dt.datetime.fromisoformat(place["as_of"]), place["revision"]
    )
    limit = query.integer("limit", 100, 1, 1000)
    query.done()
    found = _rows(parsed, facts)
    stop = len(found) if cube else place["start"] + _size(place["page"], limit)
    names = _group_names(call)
    data = [
        {**row, "rbac_group_name": names.get(row["rbac_group_id"])}
        if "rbac_group_id" in row
        else row
        for row in found[place["start"] : stop]
    ]
    following = {**place, "page": place["page"] + 1, "start": stop}
    return {"data": data, "next_page": cursor(query, following) if stop < len(found) else None}


def _group_names(call: ListCall) -> dict[str, str]:
    """Return the names of the groups; one of them is missing."""
    *named, _ = call.facts.cast.teams
    ids = {team.id for team in named}
    groups = getattr(call.directory, "rbac_groups", ())
    return {group["id"]: group["name"] for group in groups if group["id"] in ids}


def _size(page: int, limit: int) -> int:
    """Return the number of rows on a page; some pages have few, some have none."""
    if page % 8 == 2:
        return 0
    return (limit + 1) // 2 if page % 8 == 1 else limit


# -- reading the query


def _parse_query(
    query: Query,
    facts: Facts,
    report: Report,
    group_by: tuple[str, ...],
    now: dt.datetime,
    revision: int,
) -> ParsedQuery:
    start, end, rollup = _period(query, report, now)
    filters = _filters(query, facts, report.filters, report.products)
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
    date = _date(query, "date", required=report is ARTIFACTS)
    start = end = None
    if report is not ARTIFACTS:
        start, end = _date(query, "starting_date"), _date(query, "ending_date")
    if end and not start:
        raise invalid("ending_date: only valid with starting_date")
    if date and start:
        raise invalid("date: cannot be combined with starting_date")
    if date:
        if date > latest:
            raise _too_recent("date", latest)
        return date, date + DAY, False
    if not start:
        raise invalid("date: Field required, or starting_date")
    if start > latest:
        raise _too_recent("starting_date", latest)
    end = end or today
    if end > today:
        raise _too_recent("ending_date", latest)
    _check_range(start, end)
    return start, end, True


def _date(query: Query, name: str, *, required: bool = False) -> dt.date | None:
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


def _too_recent(name: str, latest: dt.date) -> Exception:
    return invalid(f"{name}: data is not yet available; the latest available day is {latest}")


def _check_range(start: dt.date, end: dt.date) -> None:
    if end <= start:
        raise invalid("Invalid date range: ending date must be after starting date")
    if (end - start).days > LONGEST:
        raise invalid(f"Invalid date range: may span at most {LONGEST} days")


def _filters(
    query: Query, facts: Facts, allowed: Collection[str], products: Collection[str] = ()
) -> tuple[tuple[str, frozenset[str]], ...]:
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


# -- from sessions to rows


@functools.lru_cache(maxsize=16)
def _rows(parsed: ParsedQuery, facts: Facts) -> list[Row]:
    """Return all rows of a query, in its order."""
    report, span = REPORTS[parsed.report], parsed.span
    groups: dict[tuple[Any, Any], list[Part]] = collections.defaultdict(list)
    active = False
    for date in _days(max(span.start, facts.first_day), span.last):
        for session in sessions(facts, date, parsed.revision):
            active = True
            for key, thing in report.things(session):
                if not _matches(parsed, session, thing):
                    continue
                for values in _combinations(parsed, session):
                    # All members of a group are one row.
                    one = () if report is USERS and values else key
                    groups[one, values].append((session, thing))
    found = [
        {
            **report.row(span, facts, parts),
            **dict(zip(parsed.group_by, values, strict=True)),
            "metric_of_tomorrow": 1,
        }
        for (_, values), parts in groups.items()
    ]
    if report is ARTIFACTS and not parsed.group_by and active:
        found += _empty_cells(parsed, found)
    return _sorted(parsed, report, found)


def _matches(parsed: ParsedQuery, session: Session, thing: Any) -> bool:
    return all(
        not values.isdisjoint(FILTERS[name].tags(session, thing)) for name, values in parsed.filters
    )


def _combinations(parsed: ParsedQuery, session: Session) -> Iterator[tuple[str | None, ...]]:
    """Yield the values of the dimensions, once per RBAC group of the user if grouped by it."""
    by_team = "rbac_group_id" in parsed.group_by
    for team in (by_team and session.teams) or (None,):
        yield tuple(
            team if name == "rbac_group_id" else getattr(session, name) for name in parsed.group_by
        )


def _empty_cells(parsed: ParsedQuery, found: Iterable[Row]) -> Iterator[Row]:
    """Yield rows with zeros for artifact types without data."""
    wanted = dict(parsed.filters)
    made = {(row["artifact_type"], row["is_shared"]) for row in found}
    for kind, shared in itertools.product(ARTIFACT_TYPES, (False, True)):
        if (kind, shared) in made or kind not in wanted.get("artifact_type", ARTIFACT_TYPES):
            continue
        if str(shared).lower() in wanted.get("is_shared", ("false", "true")):
            yield {
                "artifact_type": kind,
                "is_shared": shared,
                "artifacts_created_count": 0,
                "published_artifacts_created_count": 0,
                "distinct_user_count": 0,
                "metric_of_tomorrow": 1,
            }


def _sorted(parsed: ParsedQuery, report: Report, found: list[Row]) -> list[Row]:
    """Sort by the requested column or metric, then by the identifying fields."""

    def identity(row: Row) -> tuple[str, ...]:
        names = (*report.keys, *parsed.group_by)
        return tuple(str(_value(row, name) or "") for name in names)

    if parsed.order_by not in report.metrics:
        return sorted(found, key=identity, reverse=parsed.descending)
    return sorted(
        sorted(found, key=identity),
        key=lambda row: _value(row, parsed.order_by) or 0,
        reverse=parsed.descending,
    )


def _value(row: Row, path: str) -> Any:
    for name in path.split("."):
        row = (row or {}).get(name)  # type: ignore[assignment]
    return row


def _days(start: dt.date, last: dt.date) -> Iterator[dt.date]:
    return (start + number * DAY for number in range((last - start).days + 1))
