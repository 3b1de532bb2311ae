"""What happened in the organization: one list of facts, which every report aggregates.

A day's facts follow from the seed and the date alone, so any part of the history can be had
without the rest, and a later look at a finished day finds it as it was.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator.organization import MODELS, Key, Model, Organization

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = dt.timedelta(days=1)
SILENCE_DAYS = 45
SILENCE_AFTER_DAYS = 60
COUNTERS = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "output_tokens",
    "web_search_requests",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """A line of the bill, in cents."""

    cost_type: str | None
    description: str
    amount: Decimal
    token_type: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One minute's use of one kind, and what it cost. Ids are real ones, never null stand-ins."""

    moment: dt.datetime
    workspace_id: str
    api_key_id: str | None = None
    account_id: str | None = None
    service_account_id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    counters: tuple[int, ...] = ()
    costs: tuple[Cost, ...] = ()


class Facts:
    """The history of an organization, from its first day on."""

    def __init__(
        self, *, seed: int = 7, first_day: dt.date, today: dt.date, breadth: int = 24
    ) -> None:
        """Set the stage: ``breadth`` is the number of facts on an ordinary day."""
        self.seed = seed
        self.first_day = first_day
        self.breadth = breadth
        self.organization = Organization(seed, breadth)
        # A long silence, in histories that have room for it. It is tied to the first day, so that
        # a history that grows stays what it was.
        self.silence: tuple[dt.date, dt.date] | None = None
        if (today - first_day).days >= SILENCE_AFTER_DAYS + SILENCE_DAYS:
            start = first_day + SILENCE_AFTER_DAYS * DAY
            self.silence = (start, start + SILENCE_DAYS * DAY)
        self.day = functools.lru_cache(maxsize=1024)(self._day)

    def between(self, start: dt.datetime, end: dt.datetime) -> Iterator[Fact]:
        """Yield the facts of a range, oldest day first."""
        date = max(start.date(), self.first_day)
        while dt.datetime.combine(date, dt.time(), dt.UTC) < end:
            for fact in self.day(date):
                if start <= fact.moment < end:
                    yield fact
            date += DAY

    def _day(self, date: dt.date) -> list[Fact]:
        if date < self.first_day:
            return []
        if self.silence and self.silence[0] <= date < self.silence[1]:
            return []
        rng = random.Random(f"{self.seed}:{date}")
        facts = [self._usage(rng, date) for _ in range(self.breadth)]
        facts += [self._other(rng, date) for _ in range(rng.randint(1, 3))]
        return sorted(facts, key=lambda fact: fact.moment)

    def _usage(self, rng: random.Random, date: dt.date) -> Fact:
        model = rng.choice(MODELS)
        key: Key | None = rng.choice(self.organization.keys)
        account = service_account = None
        kind = rng.random()
        if kind < 0.15:  # Console playground: a user, no key
            key, account = None, rng.choice(self.organization.users)
        elif kind < 0.25:
            key, service_account = None, rng.choice(self.organization.service_accounts)
        workspace = key.workspace_id if key else rng.choice(self.organization.workspaces)
        tier = rng.choices(
            ("standard", "batch", "priority", "tier_of_tomorrow"), weights=(70, 20, 8, 2)
        )[0]
        geo = rng.choice(("global", "us")) if model.geo else "not_available"
        window = rng.choices(("0-200k", "200k-1M"), weights=(9, 1))[0]
        speed = "fast" if model.geo and rng.random() < 0.05 else "standard"
        # Now and then more than 32 bits hold.
        scale = 1000 if rng.random() < 0.01 else 1
        counters = (
            rng.randrange(1_000_000),
            rng.randrange(5_000_000) * scale,
            rng.randrange(500_000),
            rng.randrange(100_000) if rng.random() < 0.3 else 0,
            rng.randrange(200_000),
            rng.randrange(1, 9) if rng.random() < 0.1 else 0,
        )
        return Fact(
            moment=_moment(rng, date),
            workspace_id=workspace,
            api_key_id=key.id if key else None,
            account_id=account,
            service_account_id=service_account,
            model=model.name,
            service_tier=tier,
            context_window=window,
            inference_geo=geo,
            speed=speed,
            counters=counters,
            # Priority Tier is paid for in advance: usage without cost.
            costs=()
            if tier == "priority"
            else tuple(_token_costs(model, tier, geo, window, counters)),
        )

    def _other(self, rng: random.Random, date: dt.date) -> Fact:
        """Costs that no token stands behind; their model is null."""
        decimals = rng.randrange(13)
        cents = Decimal(rng.randrange(1, 3000 * 10**decimals)).scaleb(-decimals)
        kind, description, sign = rng.choice(
            (
                ("code_execution", "Code Execution Usage", 1),
                ("session_usage", "Managed Agents Session Usage", 1),
                (None, "Credit - Service Level", -1),
            )
        )
        return Fact(
            moment=_moment(rng, date),
            workspace_id=rng.choice(self.organization.workspaces),
            costs=(Cost(kind, description, sign * cents),),
        )


def _moment(rng: random.Random, date: dt.date) -> dt.datetime:
    midnight = dt.datetime.combine(date, dt.time(), dt.UTC)
    return midnight + dt.timedelta(minutes=rng.randrange(24 * 60))


# token type, index of its counter, its words on the bill, its price from (input, output)
_TOKEN_TYPES = (
    ("uncached_input_tokens", 0, "Input Tokens", lambda i, _: i),
    ("cache_read_input_tokens", 1, "Input Tokens, Cache Hit", lambda i, _: i * Decimal("0.1")),
    (
        "cache_creation.ephemeral_5m_input_tokens",
        2,
        "Input Tokens, Cache Write",
        lambda i, _: i * Decimal("1.25"),
    ),
    (
        "cache_creation.ephemeral_1h_input_tokens",
        3,
        "Input Tokens, Cache Write",  # the same words for another token type
        lambda i, _: i * 2,
    ),
    ("output_tokens", 4, "Output Tokens", lambda _, o: o),
)
_DISCOUNT = Decimal("0.9876")


def _token_costs(
    model: Model, tier: str, geo: str, window: str, counters: tuple[int, ...]
) -> Iterator[Cost]:
    factor = _DISCOUNT / 1_000_000
    if tier == "batch":
        factor *= Decimal("0.5")
    if geo == "us":
        factor *= Decimal("1.1")
    if window == "200k-1M":
        factor *= 2
    for token_type, index, words, price in _TOKEN_TYPES:
        if counters[index]:
            cents = counters[index] * factor * price(model.input_price, model.output_price)
            yield Cost(
                "tokens", f"{model.display_name} Usage - {words}", cents.normalize(), token_type
            )
    if counters[5]:
        yield Cost("web_search", "Web Search Usage", Decimal(counters[5]))
