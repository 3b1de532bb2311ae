"""Queries of the Usage and Cost Analytics API, and what it refuses."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.attribution import CATEGORIES
from simulator.console_reports import GEOS, SPEEDS, TIERS, WINDOWS
from simulator.query import WIDTHS, Query, invalid, position, snap

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from simulator.console_reports import Call
    from simulator.facts import Fact, Facts

FLOOR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HISTORY = dt.timedelta(days=365)
LONGEST = dt.timedelta(days=31)
LONGEST_BY_MINUTE = dt.timedelta(hours=24)
DIMENSIONS = (
    "actor",
    "actor_type",
    "agent_id",
    "api_key_id",
    "claude_tag_category",
    "claude_tag_user_id",
    "context_window",
    "deployment_id",
    "environment_id",
    "inference_geo",
    "model",
    "organization_id",
    "product",
    "rbac_group_id",
    "service_tier",
    "session_id",
    "slack_channel_id",
    "speed",
    "user_profile_id",
    "workspace_id",
)
FAN_OUT = ("cost_type", "token_type")
"""Cost dimensions that do not count toward the five dimensions, nor their rows toward the limit."""
ACTOR_TYPES = ("api_actor", "federated_actor", "service_account_actor", "user_actor")
PRODUCTS = (
    "chat",
    "chat_cowork_unified",
    "claude_code",
    "claude_console",
    "claude_design",
    "claude_in_chrome",
    "claude_tag",
    "cowork",
    "managed_agents_api",
    "message_batches_api",
    "messages_api",
    "office_agent",
)


@dataclass(frozen=True)
class Filter:
    """A filter: which values of a fact are compared with its list of values."""

    tags: Callable[[Fact], Collection[str | None]]
    allowed: Collection[str] | None = None
    prefixes: tuple[str, ...] = ("",)
    console_only: bool = False


def _by(dimension: str, *allowed: str, prefix: str = "", console_only: bool = False) -> Filter:
    """Return a filter on a dimension; a missing value never matches."""
    return Filter(
        lambda fact: (getattr(fact, dimension),), allowed or None, (prefix,), console_only
    )


FILTERS = {
    "actor_ids": Filter(
        lambda fact: (fact.actor.id,) if fact.actor else (), None, ("user_", "svac_", "apikey_")
    ),
    "actor_types": _by("actor_type", *ACTOR_TYPES),
    "agent_ids": _by("agent_id", console_only=True),
    # An empty entry means usage without a key.
    "api_key_ids": Filter(
        lambda fact: (fact.api_key_id or "",), None, ("apikey_",), console_only=True
    ),
    "claude_tag_categories": _by("claude_tag_category", *CATEGORIES),
    "claude_tag_user_ids": _by("claude_tag_user_id"),
    "context_windows": _by("context_window", *WINDOWS),
    "deployment_ids": _by("deployment_id", console_only=True),
    "environment_ids": _by("environment_id", console_only=True),
    "inference_geos": Filter(lambda fact: (fact.inference_geo or "not_available",), GEOS),
    "models": _by("model"),
    "products": _by("product", *PRODUCTS),
    "rbac_group_ids": Filter(lambda fact: fact.rbac_group_ids),
    "service_tiers": _by("service_tier", *TIERS, console_only=True),
    "session_ids": _by("session_id", prefix="sesn_", console_only=True),
    "slack_channel_ids": _by("slack_channel_id"),
    "speeds": _by("speed", *SPEEDS),
    "user_profile_ids": _by("user_profile_id", prefix="uprof_", console_only=True),
    "workspace_ids": _by("workspace_id", prefix="wrkspc_", console_only=True),
}


def value_of(fact: Fact, dimension: str) -> Any:
    """Return the value of a dimension for a fact."""
    value = getattr(fact, dimension)
    return None if value == "not_available" else value


@dataclass(frozen=True)
class ParsedQuery:
    """A parsed query, without its page."""

    report: str
    start: dt.datetime
    end: dt.datetime
    width: str | None
    group_by: tuple[str, ...]
    fan_out: tuple[str, ...]
    filters: tuple[tuple[Filter, frozenset[str]], ...]
    order_by: str
    descending: bool
    # All pages show the data as of the first page.
    as_of: dt.datetime
    revision: int
    value: Callable[[Fact, str], Any] = value_of
    """Value of a dimension for a fact."""


def place_of(call: Call, report: str) -> dict[str, Any]:
    """Return the position of the page, and the time whose data all pages of the query show."""
    place = {
        "report": f"{report} {call.facts.seed}",
        "as_of": call.now.isoformat(),
        "revision": call.facts.revision,
        "page": 0,
        "start": 0,
    }
    given = position(call.query)
    if given and given.get("report") != place["report"]:
        raise invalid("cursor does not match current query parameters")
    return {**place, **given}


def group_by_of(query: Query, dimensions: Collection[str]) -> list[str]:
    """Return the dimensions that a query groups by."""
    group_by = list(dict.fromkeys(query.many("group_by", dimensions)))
    if len([name for name in group_by if name not in FAN_OUT]) > 5:
        raise invalid("Cannot specify more than 5 group_by[] dimensions.")
    if "organization_id" in group_by or query.many("organization_ids"):
        raise invalid(
            "organization_id: requires an API key of a parent organization",
            code="parent_organization_required",
        )
    check_teams(query, group_by)
    return group_by


def check_teams(query: Query, group_by: Collection[str]) -> None:
    """Reject RBAC groups together with Slack users."""
    if "claude_tag_user_id" in group_by and (
        "rbac_group_id" in group_by or query.many("rbac_group_ids")
    ):
        raise invalid("group_by[]: claude_tag_user_id cannot be combined with RBAC groups")


def filters_of(
    query: Query, facts: Facts, known: Mapping[str, Filter]
) -> tuple[tuple[Filter, frozenset[str]], ...]:
    """Return the filters of a query."""
    filters = []
    tagged = {team.uuid: team.id for team in facts.cast.teams}
    for name, looks in known.items():
        values = query.many(name, looks.allowed)
        for value in values:
            if not value and name != "api_key_ids":
                raise invalid(f"{name}[]: Input should not be empty")
            if value and not value.startswith(looks.prefixes):
                raise invalid(f"{name}[]: Input should start with {' or '.join(looks.prefixes)}")
        if values:
            filters.append((looks, frozenset(tagged.get(value, value) for value in values)))
    return tuple(filters)


def range_of(
    call: Call, width_name: str, now: dt.datetime
) -> tuple[str | None, dt.datetime, dt.datetime]:
    """Return the bucket width, if set, and the range of a query."""
    query = call.query
    width = query.choice(width_name, (*WIDTHS, ""), "") or None
    start, end = within_reach(call, now)
    if width and not query.text("ending_at"):
        raise invalid(f"ending_at: Field required when {width_name} is set")
    if width == "1m" and end - start > LONGEST_BY_MINUTE:
        raise invalid(
            f"Invalid date range: may span at most 24 hours where {width_name} is {width}"
        )
    if not width:
        start, end = snap(start, WIDTHS["1h"]), snap(end, WIDTHS["1h"])
    return (width, *in_order(start, end))


def within_reach(call: Call, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return the range of a query: at most a month, and not before the API's earliest data."""
    query = call.query
    start = query.time("starting_at", required=True)
    assert start is not None
    end = query.time("ending_at")
    if start < FLOOR:
        raise invalid("starting_at: must not be earlier than 2026-01-01T00:00:00Z")
    if start < now - HISTORY:
        raise invalid("starting_at: must be within the last 365 days")
    if call.refuse_future and end and end > now:
        raise invalid("ending_at: must not be in the future", should_retry=False)
    end = end or min(now, start + LONGEST)
    if end - start > LONGEST:
        raise invalid("Invalid date range: may span at most 31 days")
    return start, end


def in_order(start: dt.datetime, end: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Reject an empty range."""
    if end <= start:
        raise invalid(
            "Invalid date range: ending date must be after starting date", should_retry=False
        )
    return start, end
