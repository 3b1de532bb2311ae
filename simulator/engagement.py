"""Activity in Claude Enterprise, by day or aggregated over a range of days."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import itertools
from typing import TYPE_CHECKING, Any

from simulator.admin_lists import OLD_VERSION
from simulator.engagement_facts import ARTIFACT_TYPES, Session, sessions
from simulator.engagement_query import (
    ARTIFACTS,
    CONNECTORS,
    FILTERS,
    PLUGINS,
    PROJECTS,
    REPORTS,
    SKILLS,
    USERS,
    ParsedQuery,
    Report,
    check_range,
    date_of,
    filters_of,
    latest_day,
    parse_query,
    too_recent,
)
from simulator.engagement_summary import summary
from simulator.facts import DAY
from simulator.query import cursor, invalid, position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulator.admin_lists import ListCall
    from simulator.engagement_rows import Part, Row
    from simulator.facts import Facts


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
    start = date_of(query, "starting_date", required=True)
    assert start is not None
    end = date_of(query, "ending_date") or latest + DAY
    filters = dict(filters_of(query, call.facts, ("rbac_group_id",)))
    query.integer("limit", 100, 1, 1000)
    if query.text("page"):
        raise invalid("page: Invalid page token")
    query.done()
    if start > latest:
        raise too_recent("starting_date", latest)
    if end > latest + DAY:
        raise too_recent("ending_date", latest)
    check_range(start, end)
    invites = sum(invite["status"] == "pending" for invite in call.directory.invites)
    teams = filters.get("rbac_group_id", frozenset())
    data = [
        summary(call.facts, date, call.facts.revision, teams, invites)
        for date in _days(start, end - DAY)
    ]
    return {"summaries" if call.version == OLD_VERSION else "data": data, "next_page": None}


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
    parsed = parse_query(
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
