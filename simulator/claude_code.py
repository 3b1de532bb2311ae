"""Claude Code's daily report, and its source data (docs: claude-code-analytics-api)."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import random
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.console_reports import next_start
from simulator.organization import MODELS
from simulator.query import cursor, invalid, position

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.console_reports import Call
    from simulator.facts import Facts
    from simulator.query import Query

DELAY = dt.timedelta(hours=1)
"""Age from which activity is in the report."""
TERMINALS = ("vscode", "iTerm.app", "tmux", "cursor", "ssh-session")
TOOLS = ("edit_tool", "multi_edit_tool", "write_tool", "notebook_edit_tool", "tool_of_tomorrow")
TOKENS = ("input", "output", "cache_read", "cache_creation")
COUNTERS = (
    "num_sessions",
    "lines_added",
    "lines_removed",
    "commits_by_claude_code",
    "pull_requests_by_claude_code",
)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Usage of one model, and its estimated cost in cents."""

    model: str
    tokens: tuple[int, ...]
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Sitting:
    """One session of an actor in Claude Code."""

    moment: dt.datetime
    actor: tuple[str, str]
    """Type, and e-mail address or key name."""
    customer_type: str
    subscription_type: str | None
    terminal_type: str
    is_remote: bool | None
    """None for an old client, which reports neither this nor the subscription."""
    counters: tuple[int, ...]
    tools: tuple[tuple[str, int, int], ...]
    """Name, accepted, rejected."""
    models: tuple[ModelUse, ...]

    def shown(self) -> dict[str, Any]:
        """Return the fields of its record, without the metrics."""
        kind, name = self.actor
        named = "email_address" if kind == "user_actor" else "api_key_name"
        fields = {
            "actor": {"type": kind, named: name},
            "customer_type": self.customer_type,
            "terminal_type": self.terminal_type,
        }
        if self.is_remote is None:
            return fields
        return {
            **fields,
            "subscription_type": self.subscription_type,
            "is_remote": self.is_remote,
        }


@functools.lru_cache(maxsize=64)
def sittings(facts: Facts, date: dt.date) -> tuple[Sitting, ...]:
    """Return all sessions of a day in time order: the source data of the report."""
    if date < facts.first_day:
        return ()
    if facts.silence and facts.silence[0] <= date < facts.silence[1]:
        return ()
    rng = random.Random(f"claude_code:{facts.seed}:{date}")
    made = [_sitting(rng, facts, date) for _ in range(facts.breadth)]
    return tuple(sorted(made, key=lambda sitting: sitting.moment))


def report(call: Call) -> dict[str, Any]:
    """Return the response of ``usage_report/claude_code``."""
    query = call.query
    date = _date(query)
    limit = query.integer("limit", 20, 1, 1000)
    at = position(query)
    query.done()
    # All pages show the data as of the first page.
    until = dt.datetime.fromisoformat(at["until"]) if at else call.now - DELAY
    start = at.get("start", 0)
    rows = records(sittings(call.facts, date), date, until)
    for row in rows:
        row["organization_id"] = call.facts.organization.id
    end = start + limit
    more = end < len(rows)
    following = {"start": next_start(call, start, end), "until": until.isoformat()}
    return {
        "data": rows[start:end],
        "has_more": more,
        "next_page": cursor(query, following) if more else None,
    }


def records(day: Iterable[Sitting], date: dt.date, until: dt.datetime) -> list[dict[str, Any]]:
    """Aggregate the sessions up to a time into records; some records have the same key."""
    groups: dict[str, list[Sitting]] = {}
    for sitting in day:
        if sitting.moment < until:
            groups.setdefault(repr(sitting.shown()), []).append(sitting)
    return [
        _record(date, part)
        for key, members in groups.items()
        for part in ((members[::2], members[1::2]) if _pick(key, 2) else (members,))
        if part
    ]


def _record(date: dt.date, members: list[Sitting]) -> dict[str, Any]:
    sums = [sum(member.counters[i] for member in members) for i in range(len(COUNTERS))]
    tools: dict[str, dict[str, int]] = {}
    uses: dict[str, list[ModelUse]] = {}
    for member in members:
        for name, accepted, rejected in member.tools:
            tool = tools.setdefault(name, {"accepted": 0, "rejected": 0})
            tool["accepted"] += accepted
            tool["rejected"] += rejected
        for use in member.models:
            uses.setdefault(use.model, []).append(use)
    models = {"model_breakdown": [_model(model, parts) for model, parts in uses.items()]}
    shown = members[0].shown()
    return {
        "date": f"{date}T00:00:00Z",
        **shown,
        "core_metrics": {
            "num_sessions": sums[0],
            "lines_of_code": {"added": sums[1], "removed": sums[2]},
            "commits_by_claude_code": sums[3],
            "pull_requests_by_claude_code": sums[4],
        },
        "tool_actions": tools,
        # If no model was used, the list is empty or missing.
        **(models if uses or _pick(shown, 2) else {}),
    }


def _model(model: str, uses: list[ModelUse]) -> dict[str, Any]:
    sums = [sum(use.tokens[i] for use in uses) for i in range(len(TOKENS))]
    return {
        "model": model,
        "tokens": dict(zip(TOKENS, sums, strict=True)),
        "estimated_cost": {
            "currency": "USD",
            "amount": _plain(sum((use.cost for use in uses), Decimal(0))),
        },
    }


def _sitting(rng: random.Random, facts: Facts, date: dt.date) -> Sitting:
    organization = facts.organization
    midnight = dt.datetime.combine(date, dt.time(), dt.UTC)
    number = rng.randrange(len(organization.users) + len(organization.keys))
    subscription = None
    if number < len(organization.users):
        actor = ("user_actor", organization.people[organization.users[number]].email)
        if rng.random() < 0.8:
            subscription = ("enterprise", "team")[number % 2]
    else:
        actor = ("api_actor", organization.keys[number - len(organization.users)].name)
    # An actor has two terminals; one in three actors sometimes uses an old client.
    terminal = TERMINALS[(number + rng.randrange(2)) % len(TERMINALS)]
    old = number % 3 == 1 and rng.random() < 0.5
    is_remote = rng.random() < 0.2
    return Sitting(
        moment=midnight + dt.timedelta(seconds=rng.randrange(24 * 3600)),
        actor=actor,
        customer_type="subscription" if subscription else "api",
        subscription_type=None if old else subscription,
        terminal_type=terminal,
        is_remote=None if old else is_remote,
        counters=(1, rng.randrange(900), rng.randrange(300), rng.randrange(4), rng.randrange(2)),
        tools=tuple(
            (tool, rng.randrange(40), rng.randrange(8))
            for tool in rng.sample(TOOLS, rng.randrange(len(TOOLS)))
        ),
        models=tuple(_use(rng, model.name) for model in rng.sample(MODELS, rng.randrange(3))),
    )


_PRICES = {
    model.name: (
        model.input_price,
        model.output_price,
        model.input_price * Decimal("0.1"),
        model.input_price * Decimal("1.25"),
    )
    for model in MODELS
}


def _use(rng: random.Random, model: str) -> ModelUse:
    # Sometimes more than 32 bits.
    scale = 1000 if rng.random() < 0.01 else 1
    tokens = (
        rng.randrange(50_000),
        rng.randrange(90_000),
        rng.randrange(5_000_000) * scale,
        rng.randrange(400_000),
    )
    priced = zip(tokens, _PRICES[model], strict=True)
    cost = sum((count * price for count, price in priced), Decimal(0)) / 1_000_000
    # Sometimes whole cents, mostly more digits than a float can represent.
    return ModelUse(model, tokens, round(cost, 0) if rng.random() < 0.3 else cost * _FACTOR)


_FACTOR = Decimal("0.98765432101")


def _plain(amount: Decimal) -> Decimal:
    """Remove trailing zeros, without using an exponent."""
    return Decimal(format(amount.normalize(), "f"))


def _date(query: Query) -> dt.date:
    text = query.text("starting_at")
    if text is None:
        raise invalid("starting_at: Field required")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise invalid("starting_at: Input should be a date in the format YYYY-MM-DD")
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise invalid("starting_at: Input should be a valid date") from None


def _pick(thing: object, one_in: int) -> bool:
    return hashlib.sha256(repr(thing).encode()).digest()[0] % one_in == 0
