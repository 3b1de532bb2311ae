"""The Console's usage and cost reports in time buckets (docs: usage-cost-api)."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.facts import COUNTERS, Cost, Fact, Facts
from simulator.organization import DEFAULT_WORKSPACE
from simulator.query import WIDTHS, Query, cursor, invalid, position, snap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

FAST_MODE = "fast-mode-2026-02-01"
TIERS = ("batch", "flex", "flex_discount", "priority", "priority_on_demand", "standard")
WINDOWS = ("0-200k", "200k-1M")
GEOS = ("global", "us", "not_available")
SPEEDS = ("fast", "standard")
USAGE_DIMENSIONS = (
    "account_id",
    "api_key_id",
    "context_window",
    "inference_geo",
    "model",
    "service_account_id",
    "service_tier",
    "speed",
    "workspace_id",
)
# filter: its dimension, and its valid values
USAGE_FILTERS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "account_ids": ("account_id", None),
    "api_key_ids": ("api_key_id", None),
    "service_account_ids": ("service_account_id", None),
    "workspace_ids": ("workspace_id", None),
    "models": ("model", None),
    "service_tiers": ("service_tier", TIERS),
    "context_window": ("context_window", WINDOWS),
    "inference_geos": ("inference_geo", GEOS),
    "speeds": ("speed", SPEEDS),
}
# bucket width: default and maximum number of buckets per page
USAGE_PAGES = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 1440)}
DELAY = dt.timedelta(minutes=5)
"""Time until a request appears in the reports (docs: usage-cost-api)."""


@dataclass(frozen=True)
class Call:
    """A request, and the data at its time."""

    query: Query
    now: dt.datetime
    facts: Facts
    betas: frozenset[str]
    refuse_future: bool = False
    split_buckets: bool = False
    """Whether the last bucket of a page continues on the next one."""
    repeat_rows: bool = False
    """Whether a page repeats the last row of the previous one."""


def usage(call: Call) -> dict[str, Any]:
    """Return the response of ``usage_report/messages``."""
    query = call.query
    width = query.choice("bucket_width", WIDTHS, "1d")
    group_by = query.many("group_by", USAGE_DIMENSIONS)
    if len(group_by) > 5:
        raise invalid("Cannot specify more than 5 group_by[] dimensions.")
    filters = {
        dimension: values
        for name, (dimension, allowed) in USAGE_FILTERS.items()
        if (values := query.many(name, allowed))
    }
    if FAST_MODE not in call.betas and ("speed" in group_by or "speed" in filters):
        raise invalid(f"speed: requires the anthropic-beta header {FAST_MODE}")

    def results(facts: Iterable[Fact]) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, ...], list[Fact]] = {}
        for fact in facts:
            if not fact.counters:
                continue
            if all(_legacy(fact, name) in values for name, values in filters.items()):
                key = tuple(_legacy(fact, name) for name in group_by)
                groups.setdefault(key, []).append(fact)
        rows = []
        for key, members in groups.items():
            values = dict.fromkeys(USAGE_DIMENSIONS) | dict(zip(group_by, key, strict=True))
            if FAST_MODE not in call.betas:
                del values["speed"]
            rows += [_usage_row(values, part) for part in _parts(key, members)]
        return rows

    return _buckets(call, width, *USAGE_PAGES[width], results)


def cost(call: Call) -> dict[str, Any]:
    """Return the response of ``cost_report``."""
    query = call.query
    query.choice("bucket_width", ("1d",), "1d")
    group_by = query.many("group_by", ("description", "workspace_id"))

    def results(facts: Iterable[Fact]) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, ...], list[Cost]] = {}
        for fact in facts:
            for line in fact.costs:
                key = (
                    _legacy(fact, "workspace_id") if "workspace_id" in group_by else None,
                    *(_parsed(fact, line) if "description" in group_by else (None,) * 7),
                )
                groups.setdefault(key, []).append(line)
        return [
            _cost_row(key, part) for key, lines in groups.items() for part in _parts(key, lines)
        ]

    return _buckets(call, "1d", 7, 31, results)


def _buckets(
    call: Call,
    width_name: str,
    default_limit: int,
    most: int,
    results: Callable[[Iterable[Fact]], list[dict[str, Any]]],
) -> dict[str, Any]:
    """Return a page of the buckets of a range: oldest first, including empty ones."""
    query, width = call.query, WIDTHS[width_name]
    starting_at = query.time("starting_at", required=True)
    ending_at = query.time("ending_at")
    limit = query.integer("limit", default_limit, 1, most)
    place = position(query)
    query.done()
    assert starting_at is not None
    if call.refuse_future and ending_at and ending_at > call.now:
        raise invalid("ending_at: must not be in the future", should_retry=False)
    start = snap(starting_at, width)
    end = snap(ending_at or call.now, width)
    if end <= start:
        raise invalid(
            "Invalid date range: ending date must be after starting date", should_retry=False
        )
    end = min(end, snap(call.now, width) + width)
    start = dt.datetime.fromisoformat(place["start"]) if place else start
    data: list[dict[str, Any]] = []
    while start < end and len(data) < limit:
        visible = call.facts.between(start, min(start + width, call.now - DELAY))
        data.append(
            {
                "starting_at": time_text(start),
                "ending_at": time_text(start + width),
                "results": results(visible),
            }
        )
        start += width
    shown = cut_buckets(data, place.get("shown", 0), split=call.split_buckets)
    if shown:
        start -= width
    following = {"start": start.isoformat(), "shown": shown}
    more = start < end
    return {
        "data": data,
        "has_more": more,
        "next_page": cursor(query, following) if more else None,
    }


def cut_buckets(data: list[dict[str, Any]], shown: int, *, split: bool) -> int:
    """Remove the results that an earlier page has shown; with ``split``, half of the last bucket.

    Return the number of results shown of the last bucket if it continues on the next page, else 0.
    """
    if shown:
        data[0]["results"] = data[0]["results"][shown:]
    results = data[-1]["results"] if data else []
    half = len(results) // 2
    if not split or not half or (shown and len(data) == 1):
        return 0
    data[-1]["results"] = results[:half]
    return half


def next_start(call: Call, start: int, stop: int) -> int:
    """Return the start of the page that follows ``start`` to ``stop``."""
    return stop - 1 if call.repeat_rows and stop - start > 1 else stop


def _legacy(fact: Fact, dimension: str) -> str | None:
    """Return a dimension in the format of these reports: the default workspace is null."""
    value: str | None = getattr(fact, dimension)
    return None if value == DEFAULT_WORKSPACE else value


def _parsed(fact: Fact, line: Cost) -> tuple[str | None, ...]:
    tokens = line.cost_type == "tokens"
    return (
        line.description,
        line.cost_type,
        *(
            (
                fact.model,
                line.token_type,
                fact.context_window,
                fact.service_tier,
                fact.inference_geo,
            )
            if tokens
            else (None,) * 5
        ),
    )


def _parts(key: object, members: list[T]) -> list[list[T]]:
    """Split some groups in two: the API may return several rows with the same key."""
    if len(members) > 1 and _pick(key, 3):
        return [members[::2], members[1::2]]
    return [members]


def _usage_row(values: Mapping[str, Any], facts: list[Fact]) -> dict[str, Any]:
    sums = [sum(fact.counters[i] for fact in facts) for i in range(len(COUNTERS))]
    return {
        "uncached_input_tokens": sums[0],
        "cache_creation": {
            "ephemeral_1h_input_tokens": sums[3],
            "ephemeral_5m_input_tokens": sums[2],
        },
        "cache_read_input_tokens": sums[1],
        "output_tokens": sums[4],
        "server_tool_use": {"web_search_requests": sums[5]},
        "field_of_tomorrow": {"count": len(facts)},
        **values,
    }


def _cost_row(key: tuple[Any, ...], lines: list[Cost]) -> dict[str, Any]:
    names = (
        "workspace_id",
        "description",
        "cost_type",
        "model",
        "token_type",
        "context_window",
        "service_tier",
        "inference_geo",
    )
    return {
        "currency": "USD",
        "amount": amount_text(sum((line.amount for line in lines), Decimal(0))),
        **dict(zip(names, key, strict=True)),
    }


def amount_text(amount: Decimal) -> str:
    """Format cents like the API: often, but not always, padded to six decimals."""
    text = format(amount.normalize(), "f")
    decimals = len(text.partition(".")[2])
    if decimals < 6 and _pick(text, 2):
        return format(amount.quantize(Decimal("0.000001")), "f")
    return text


def time_text(moment: dt.datetime) -> str:
    """Format times like the API: sometimes with microseconds."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.000000Z" if _pick(text, 5) else f"{text}Z"


def _pick(thing: object, one_in: int) -> bool:
    return hashlib.sha256(repr(thing).encode()).digest()[0] % one_in == 0
