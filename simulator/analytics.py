"""The Usage and Cost Analytics API: rows by dimension (docs: usage-cost-analytics-api)."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.analytics_query import (
    DIMENSIONS,
    FAN_OUT,
    FILTERS,
    ParsedQuery,
    filters_of,
    group_by_of,
    place_of,
    range_of,
)
from simulator.console_reports import DELAY, amount_text, next_start, time_text
from simulator.facts import COUNTERS
from simulator.query import WIDTHS, cursor, invalid, snap

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from simulator.analytics_query import Filter
    from simulator.console_reports import Call
    from simulator.facts import Cost, Fact, Facts

Row = dict[str, Any]

BETA = "analytics-usage-cost-2026-08-24"
LAG = dt.timedelta(hours=4)
"""Age from which data are reported as complete."""


@dataclass(slots=True)
class Group:
    """Usage and cost of one combination of dimensions in one bucket."""

    starting_at: dt.datetime
    values: tuple[Any, ...]
    counters: list[int] = field(default_factory=lambda: [0] * len(COUNTERS))
    requests: int | None = None
    components: dict[tuple[str | None, str | None], tuple[Decimal, Decimal]] = field(
        default_factory=dict
    )
    """Cost type and token type, if requested: amount and list amount."""

    def add(self, fact: Fact, lines: Iterable[Cost], fan_out: Collection[str]) -> None:
        """Add a fact and its relevant costs."""
        for index, count in enumerate(fact.counters):
            self.counters[index] += count
        if fact.requests is not None:
            self.requests = (self.requests or 0) + fact.requests
        for line in lines:
            component = (
                line.cost_type if fan_out else None,
                line.token_type if "token_type" in fan_out else None,
            )
            amount, listed = self.components.get(component, (Decimal(0), Decimal(0)))
            self.components[component] = amount + line.amount, listed + line.list_amount


# Orders of rows; the first one is the default.
USAGE_ORDERS: dict[str, Callable[[Group], int | Decimal]] = {
    "total_tokens": lambda group: sum(group.counters[:5]),
    "output_tokens": lambda group: group.counters[4],
    "uncached_input_tokens": lambda group: group.counters[0],
    "requests": lambda group: group.requests or 0,
}
COST_ORDERS: dict[str, Callable[[Group], int | Decimal]] = {
    "amount": lambda group: sum((pair[0] for pair in group.components.values()), Decimal(0)),
    "list_amount": lambda group: sum((pair[1] for pair in group.components.values()), Decimal(0)),
}


def usage(call: Call) -> Row:
    """Return the response of ``analytics/usage``."""
    return _respond(call, "usage", USAGE_ORDERS, DIMENSIONS, usage_metrics)


def cost(call: Call) -> Row:
    """Return the response of ``analytics/cost``."""
    return _respond(call, "cost", COST_ORDERS, (*DIMENSIONS, *FAN_OUT), cost_metrics)


def _respond(
    call: Call,
    report: str,
    orders: Collection[str],
    dimensions: Collection[str],
    metrics: Callable[[ParsedQuery, Group], Iterator[tuple[Row, Row]]],
) -> Row:
    query, facts = call.query, call.facts
    if BETA not in call.betas:
        raise invalid(f"anthropic-beta: header is required, {BETA}")
    group_by = group_by_of(query, dimensions)
    width, start, end = range_of(call, "time_bucket_width", call.now)
    limit = query.integer("limit", 20, 1, 1000)
    without_deleted = query.flag("exclude_deleted_users")
    if without_deleted and "actor" not in group_by:
        raise invalid("exclude_deleted_users: requires group_by[]=actor")
    place = place_of(call, report)
    parsed = ParsedQuery(
        report=report,
        start=start,
        end=end,
        width=width,
        group_by=tuple(name for name in group_by if name not in FAN_OUT),
        fan_out=tuple(name for name in group_by if name in FAN_OUT),
        filters=filters_of(query, facts, FILTERS),
        order_by=query.choice("order_by", (*orders, "time"), next(iter(orders))),
        descending=query.choice("order", ("asc", "desc"), "desc") == "desc",
        as_of=dt.datetime.fromisoformat(place["as_of"]),
        revision=place["revision"],
    )
    query.done()
    groups = ranked(parsed, facts)
    stop = place["start"] + page_size(place["page"], limit)
    data = []
    for group in groups[place["start"] : stop]:
        shown = _shown(parsed, group, facts)
        if without_deleted and (shown["actor"] or {}).get("deleted"):
            continue
        for more_values, values in metrics(parsed, group):
            row = {**_bounds(parsed, group), "group": {**shown, **more_values}, report: values}
            data.append(row)
    more = stop < len(groups)
    following = {
        **place,
        "page": place["page"] + 1,
        "start": next_start(call, place["start"], stop),
    }
    return {
        "data": data,
        "has_more": more,
        "next_page": cursor(query, following) if more else None,
        "data_refreshed_at": refreshed_at(parsed.as_of),
    }


# -- from facts to groups


@functools.lru_cache(maxsize=4)
def ranked(parsed: ParsedQuery, facts: Facts) -> list[Group]:
    """Return all groups of a query, in its order."""
    groups: dict[tuple[Any, ...], Group] = {}
    until = min(parsed.end, parsed.as_of - DELAY)
    for fact in facts.between(parsed.start, until, parsed.revision):
        lines = _lines(parsed, fact)
        if not (lines if parsed.report == "cost" else fact.counters or fact.requests):
            continue
        if not all(_matches(fact, looks, values, facts) for looks, values in parsed.filters):
            continue
        start = snap(fact.moment, WIDTHS[parsed.width]) if parsed.width else parsed.start
        for values in _combinations(parsed, fact):
            key = (start, *values)
            if key not in groups:
                groups[key] = Group(start, values)
            groups[key].add(fact, lines, parsed.fan_out)
    return _ordered(parsed, list(groups.values()))


def _lines(parsed: ParsedQuery, fact: Fact) -> list[Cost]:
    """Return the relevant costs: without credits, and by token type only those of tokens."""
    only_tokens = parsed.fan_out == ("token_type",)
    return [
        line
        for line in fact.costs
        if line.cost_type and (line.cost_type == "tokens" or not only_tokens)
    ]


def _matches(fact: Fact, looks: Filter, values: frozenset[str], facts: Facts) -> bool:
    if looks.console_only and facts.enterprise:
        return False
    return not values.isdisjoint(looks.tags(fact))


def _combinations(parsed: ParsedQuery, fact: Fact) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the dimensions, once per RBAC group of the user if grouped by it."""
    by_team = "rbac_group_id" in parsed.group_by
    for team in (by_team and fact.rbac_group_ids) or (None,):
        yield tuple(
            team if name == "rbac_group_id" else parsed.value(fact, name)
            for name in parsed.group_by
        )


def _ordered(parsed: ParsedQuery, groups: list[Group]) -> list[Group]:
    orders = USAGE_ORDERS if parsed.report == "usage" else COST_ORDERS
    metric, *_ = orders.values()
    if parsed.order_by == "time" and parsed.width:
        largest_first = sorted(groups, key=metric, reverse=True)
        return sorted(largest_first, key=lambda group: group.starting_at, reverse=parsed.descending)
    return sorted(groups, key=orders.get(parsed.order_by, metric), reverse=parsed.descending)


# -- from groups to rows


def page_size(page: int, limit: int) -> int:
    """Return the number of groups on a page; some pages have few, some have none."""
    if page % 8 == 2:
        return 0
    return (limit + 1) // 2 if page % 8 == 1 else limit


def _shown(parsed: ParsedQuery, group: Group, facts: Facts) -> Row:
    values = dict(zip(parsed.group_by, group.values, strict=True))
    shown = {name: values.get(name) for name in DIMENSIONS}
    shown["actor"] = facts.cast.describe(values.get("actor"), parsed.revision)
    return shown


def _bounds(parsed: ParsedQuery, group: Group) -> Row:
    end = group.starting_at + WIDTHS[parsed.width] if parsed.width else parsed.end
    return bounds(group.starting_at, end)


def bounds(start: dt.datetime, end: dt.datetime) -> Row:
    """Return a range in the format of a row."""
    return {"starting_at": time_text(start), "ending_at": time_text(end)}


def usage_metrics(_: ParsedQuery, group: Group) -> Iterator[tuple[Row, Row]]:
    """Yield the counters of a group."""
    counters = group.counters
    yield (
        {},
        {
            "uncached_input_tokens": counters[0],
            "cache_read_input_tokens": counters[1],
            "cache_creation": {
                "ephemeral_1h_input_tokens": counters[3],
                "ephemeral_5m_input_tokens": counters[2],
            },
            "output_tokens": counters[4],
            "server_tool_use": {"web_search_requests": counters[5]},
            "total_tokens": sum(counters[:5]),
            "requests": group.requests,
            "metric_of_tomorrow": 1,
        },
    )


def cost_metrics(parsed: ParsedQuery, group: Group) -> Iterator[tuple[Row, Row]]:
    """Yield the amounts of a group, with their cost type and token type."""
    for (cost_type, token_type), (amount, listed) in group.components.items():
        yield (
            {"cost_type": cost_type, "token_type": token_type},
            {
                "amount": amount_text(amount),
                "list_amount": amount_text(listed),
                "currency": "USD",
                "requests": None if parsed.fan_out else group.requests,
                "metric_of_tomorrow": "1",
            },
        )


def refreshed_at(now: dt.datetime) -> str:
    """Return the time up to which the data are complete: some hours ago, rounded."""
    refreshed = snap(now - LAG, dt.timedelta(minutes=10)) + dt.timedelta(seconds=12.345678)
    return refreshed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
