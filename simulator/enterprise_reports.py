"""The legacy usage and cost reports of Claude Enterprise (docs: beta/organization/analytics).

They aggregate the facts of ``analytics/usage`` and ``analytics/cost`` in the legacy formats: time
buckets of the whole organization, or rows by user.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator import analytics, analytics_query
from simulator.admin_lists import OLD_VERSION
from simulator.analytics import COST_ORDERS, USAGE_ORDERS
from simulator.analytics_query import FAN_OUT, FILTERS, Filter, ParsedQuery
from simulator.console_reports import cut_buckets
from simulator.query import WIDTHS, cursor, snap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulator.admin_lists import ListCall
    from simulator.analytics import Group, Row
    from simulator.facts import Fact, Facts

DIMENSIONS = (
    "claude_tag_category",
    "claude_tag_user_id",
    "context_window",
    "inference_geo",
    "model",
    "product",
    "rbac_group_id",
    "slack_channel_id",
    "speed",
)
PRODUCTS = (
    "chat",
    "chat_cowork_unified",
    "claude-tag",
    "claude_code",
    "claude_design",
    "claude_in_chrome",
    "cowork",
    "office_agent",
)
# bucket width: default and maximum number of buckets per page
PAGES = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 256)}
MOST_GROUPS = 100
"""Maximum number of groups per bucket; there is no row for the rest."""


def usage_report(call: ListCall) -> Row:
    """Return the response of ``analytics/usage_report``."""
    return _by_bucket(call, "usage")


def cost_report(call: ListCall) -> Row:
    """Return the response of ``analytics/cost_report``."""
    return _by_bucket(call, "cost")


def user_usage_report(call: ListCall) -> Row:
    """Return the response of ``analytics/user_usage_report``."""
    return _by_user(call, "usage")


def user_cost_report(call: ListCall) -> Row:
    """Return the response of ``analytics/user_cost_report``."""
    return _by_user(call, "cost")


def _by_bucket(call: ListCall, report: str) -> Row:
    """Return a page of the buckets of a range: oldest first, including empty ones."""
    query = call.query
    name = query.choice("bucket_width", WIDTHS, "1d")
    width = WIDTHS[name]
    default, most = PAGES[name]
    limit = query.integer("limit", default, 1, most)
    place = analytics_query.place_of(call, f"{report}_report")
    as_of = dt.datetime.fromisoformat(place["as_of"])
    start, end = analytics_query.in_order(
        *(snap(moment, width) for moment in analytics_query.within_reach(call, as_of))
    )
    end = min(end, snap(as_of, width) + width)
    parsed = _parse_query(call, report, place, (start, end), name)
    query.done()
    groups = _by_start(parsed, call.facts)
    first, stop = (start + number * width for number in (place["start"], place["start"] + limit))
    data = []
    while first < min(stop, end):
        row = analytics.bounds(first, first + width)
        data.append({**row, "results": _top(parsed, groups.get(first, ()))})
        first += width
    shown = cut_buckets(data, place.get("shown", 0), split=call.split_buckets)
    number = place["start"] + len(data) - bool(shown)
    following = {**place, "start": number, "shown": shown}
    return _envelope(call, parsed, data, following if first < end or shown else None)


def _by_user(call: ListCall, report: str) -> Row:
    """Return a page of rows, by default the largest first."""
    query, facts = call.query, call.facts
    orders = USAGE_ORDERS if report == "usage" else COST_ORDERS
    place = analytics_query.place_of(call, f"user_{report}_report")
    as_of = dt.datetime.fromisoformat(place["as_of"])
    width, *range_ = analytics_query.range_of(call, "bucket_width", as_of)
    limit = query.integer("limit", 20, 1, 1000)
    without_deleted = query.flag("exclude_deleted_users")
    parsed = _parse_query(call, report, place, range_, width)
    parsed = replace(
        parsed,
        group_by=("actor", *parsed.group_by),
        order_by=query.choice("order_by", orders, next(iter(orders))),
        descending=query.choice("order", ("asc", "desc"), "desc") == "desc",
    )
    query.done()
    # Usage without an account is in the other two reports only.
    groups = [
        (group, actor)
        for group in analytics.ranked(parsed, facts)
        if (actor := facts.cast.describe(group.values[0], parsed.revision))
    ]
    stop = place["start"] + analytics.page_size(place["page"], limit)
    data = []
    for group, actor in groups[place["start"] : stop]:
        if without_deleted and actor["deleted"]:
            continue
        row: Row = {"starting_at": None, "ending_at": None}
        if width:
            row = analytics.bounds(group.starting_at, group.starting_at + WIDTHS[width])
        if call.version == OLD_VERSION:
            actor["email"] = actor.pop("email_address")
        data += [{"actor": actor, **row, **values} for values in _rows(parsed, group)]
    more = stop < len(groups)
    following = {**place, "page": place["page"] + 1, "start": stop} if more else None
    return _envelope(call, parsed, data, following)


def _envelope(call: ListCall, parsed: ParsedQuery, data: list[Row], following: Row | None) -> Row:
    page = {
        "data": data,
        "data_refreshed_at": analytics.refreshed_at(parsed.as_of),
        "has_more": following is not None,
        "next_page": following and cursor(call.query, following),
    }
    if call.version == OLD_VERSION:
        page["organization_id"] = call.facts.organization.id
    return page


# -- reading the query


def _parse_query(
    call: ListCall, report: str, place: Row, range_: Iterable[dt.datetime], width: str | None
) -> ParsedQuery:
    """Parse a query: ordered by time, and in each bucket the largest first."""
    query = call.query
    start, end = range_
    group_by = query.many("group_by", (*DIMENSIONS, *(FAN_OUT if report == "cost" else ())))
    analytics_query.check_teams(query, group_by)
    return ParsedQuery(
        report=report,
        start=start,
        end=end,
        width=width,
        group_by=tuple(name for name in DIMENSIONS if name in group_by),
        fan_out=tuple(name for name in FAN_OUT if name in group_by),
        filters=analytics_query.filters_of(query, call.facts, LOOKS),
        order_by="time",
        descending=False,
        as_of=dt.datetime.fromisoformat(place["as_of"]),
        revision=place["revision"],
        value=_value,
    )


def _value(fact: Fact, dimension: str) -> Any:
    """Return the value of a dimension for a fact; a product unknown here is null."""
    value = analytics_query.value_of(fact, dimension)
    if dimension != "product":
        return value
    product = "claude-tag" if value == "claude_tag" else value
    return product if product in PRODUCTS else None


LOOKS = {
    "claude_tag_categories": FILTERS["claude_tag_categories"],
    "claude_tag_user_ids": FILTERS["claude_tag_user_ids"],
    "context_windows": FILTERS["context_windows"],
    "inference_geos": FILTERS["inference_geos"],
    "models": FILTERS["models"],
    "products": Filter(lambda fact: (_value(fact, "product"),), PRODUCTS),
    "rbac_group_ids": FILTERS["rbac_group_ids"],
    "slack_channel_ids": FILTERS["slack_channel_ids"],
    "speeds": FILTERS["speeds"],
    "user_ids": Filter(FILTERS["actor_ids"].tags, prefixes=("user_",)),
}


# -- from groups to rows


@functools.lru_cache(maxsize=4)
def _by_start(parsed: ParsedQuery, facts: Facts) -> dict[dt.datetime, list[Group]]:
    """Return the groups of each bucket that is not empty."""
    found: dict[dt.datetime, list[Group]] = {}
    for group in analytics.ranked(parsed, facts):
        found.setdefault(group.starting_at, []).append(group)
    return found


def _top(parsed: ParsedQuery, groups: Iterable[Group]) -> list[Row]:
    """Return the largest results of a bucket."""
    rows = [row for group in groups for row in _rows(parsed, group)]
    if parsed.report == "cost":
        rows.sort(key=lambda row: Decimal(row["amount"]), reverse=True)
    else:
        for row in rows:
            del row["total_tokens"]
    return rows[:MOST_GROUPS]


def _rows(parsed: ParsedQuery, group: Group) -> Iterator[Row]:
    """Yield the rows of a group: one, or one per cost type and token type."""
    shown = dict.fromkeys(DIMENSIONS)
    shown |= zip(parsed.group_by, group.values, strict=True)
    shown.pop("actor", None)
    metrics = analytics.usage_metrics if parsed.report == "usage" else analytics.cost_metrics
    for types, values in metrics(parsed, group):
        yield {**values, **shown, **types, "metric_of_tomorrow": 1}
