"""What happened in the organization: one list of facts, which every report aggregates.

A day's facts follow from the seed and the date alone, so any part of the history can be had
without the rest, and a later look at a finished day finds it as it was - until somebody raises
`Facts.revision`: that restates the last 30 days.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.attribution import Actor, Cast
from simulator.organization import MODELS, Key, Organization, organization_id

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = dt.timedelta(days=1)
SILENCE_DAYS = 45
SILENCE_AFTER_DAYS = 60
RESTATED_DAYS = 30
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
    """None: a credit."""
    description: str
    amount: Decimal
    list_amount: Decimal
    """Before discounts."""
    token_type: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One minute's use of one kind, and what it cost. Ids are real ones, never null stand-ins."""

    moment: dt.datetime
    workspace_id: str | None
    """None in Claude Enterprise, as are the API key and the service tier."""
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
    requests: int | None = None
    """For executed code the number of spans; None: not counted."""
    product: str | None = None
    owner_id: str | None = None
    """The user whose personal key it was."""
    federated_id: str | None = None
    rbac_group_ids: tuple[str, ...] = ()
    agent_id: str | None = None
    deployment_id: str | None = None
    environment_id: str | None = None
    session_id: str | None = None
    user_profile_id: str | None = None
    claude_tag_category: str | None = None
    claude_tag_user_id: str | None = None
    slack_channel_id: str | None = None

    @property
    def actor(self) -> Actor | None:
        """The identity that the use is attributed to: the first one there is."""
        for kind, id_ in (
            ("user_actor", self.account_id or self.owner_id),
            ("service_account_actor", self.service_account_id),
            ("federated_actor", self.federated_id),
            ("api_actor", self.api_key_id),
        ):
            if id_:
                return Actor(kind, id_)
        return None

    @property
    def actor_type(self) -> str | None:
        """The kind of that identity."""
        actor = self.actor
        return actor.type if actor else None


class Facts:
    """The history of an organization, from its first day on."""

    def __init__(
        self,
        *,
        seed: int = 7,
        first_day: dt.date,
        today: dt.date,
        breadth: int = 24,
        enterprise: bool = False,
        shared_people: bool = False,
    ) -> None:
        """Set the stage: ``breadth`` is the number of facts on an ordinary day.

        With ``shared_people`` the people, workspaces and keys do not depend on the seed: two
        organizations of different seeds then list the same ids, but differ in their UUIDs and in
        what they use.
        """
        self.seed = seed
        self.first_day = first_day
        self.today = today
        self.breadth = breadth
        self.enterprise = enterprise
        self.shared_people = shared_people
        self.revision = 0
        """Raise it, and the last 30 days differ: values, rows more and fewer, one day empty."""
        self.organization = Organization(
            int(enterprise) if shared_people else seed,
            breadth,
            id_=organization_id(seed, enterprise=enterprise),
        )
        self.cast = Cast(self.organization, enterprise=enterprise)
        # A long silence, in histories that have room for it. It is tied to the first day, so that
        # a history that grows stays what it was.
        self.silence: tuple[dt.date, dt.date] | None = None
        if (today - first_day).days >= SILENCE_AFTER_DAYS + SILENCE_DAYS:
            start = first_day + SILENCE_AFTER_DAYS * DAY
            self.silence = (start, start + SILENCE_DAYS * DAY)
        self._days = functools.lru_cache(maxsize=1024)(self._day)

    def day(self, date: dt.date, revision: int | None = None) -> list[Fact]:
        """Return the facts of a day, oldest first, as they stand now or stood at a revision."""
        recent = date > self.today - RESTATED_DAYS * DAY
        return self._days(date, (self.revision if revision is None else revision) if recent else 0)

    def between(
        self, start: dt.datetime, end: dt.datetime, revision: int | None = None
    ) -> Iterator[Fact]:
        """Yield the facts of a range, oldest day first."""
        date = max(start.date(), self.first_day)
        while dt.datetime.combine(date, dt.time(), dt.UTC) < end:
            for fact in self.day(date, revision):
                if start <= fact.moment < end:
                    yield fact
            date += DAY

    def _day(self, date: dt.date, revision: int) -> list[Fact]:
        if date < self.first_day:
            return []
        if self.silence and self.silence[0] <= date < self.silence[1]:
            return []
        rng = random.Random(f"{self.seed}:{date}")
        # A source of its own, so that what the older reports show stays what it was.
        more = random.Random(f"attribution:{self.seed}:{date}")
        facts = [self._usage(rng, more, date) for _ in range(self.breadth)]
        facts += [self._other(rng, more, date) for _ in range(rng.randint(1, 3))]
        if revision:
            facts = self._restated(facts, date, revision)
        return sorted(facts, key=lambda fact: fact.moment)

    def _restated(self, facts: list[Fact], date: dt.date, revision: int) -> list[Fact]:
        """Return a day's facts as a later look at them finds them."""
        emptied = random.Random(f"emptied:{self.seed}:{revision}").randrange(2, RESTATED_DAYS)
        if date == self.today - emptied * DAY:
            return []
        rng = random.Random(f"restated:{self.seed}:{date}:{revision}")
        restated = [self._usage(rng, rng, date) for _ in range(2)]
        for fact in facts:
            fate = rng.random()
            if fate < 0.2 and fact.counters:
                grown = tuple(
                    count + rng.randrange(1000) if count else 0 for count in fact.counters
                )
                restated.append(_priced(replace(fact, counters=grown)))
            elif fate < 0.9:
                restated.append(fact)
        return restated

    def _usage(self, rng: random.Random, more: random.Random, date: dt.date) -> Fact:
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
        fields: dict[str, Any] = {
            "workspace_id": workspace,
            "api_key_id": key.id if key else None,
            "account_id": account,
            "service_account_id": service_account,
            "service_tier": tier,
            "requests": more.randrange(1, 400) if more.random() < 0.95 else None,
        }
        fields |= (
            self.cast.of_enterprise(more, date)
            if self.enterprise
            else self.cast.of_console(more, fields)
        )
        return _priced(
            Fact(
                moment=_moment(rng, date),
                model=model.name,
                context_window=window,
                inference_geo=geo,
                speed=speed,
                counters=counters,
                **fields,
            )
        )

    def _other(self, rng: random.Random, more: random.Random, date: dt.date) -> Fact:
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
        moment = _moment(rng, date)
        fields: dict[str, Any] = {"workspace_id": rng.choice(self.organization.workspaces)}
        if self.enterprise:
            fields = self.cast.of_enterprise(more, date) | {"product": None}
            if kind == "session_usage":  # only the Console has agents to pay for
                kind, description = "code_execution", "Code Execution Usage"
        elif kind:
            key = more.choice(self.organization.keys)
            if key.workspace_id == fields["workspace_id"]:
                fields["api_key_id"] = key.id
            fields |= self.cast.of_console(more, fields)
            fields |= self.cast.in_session(more) if kind == "session_usage" else {"product": None}
        return Fact(
            moment=moment,
            costs=(Cost(kind, description, sign * cents, sign * cents),),
            requests=more.randrange(1, 50) if kind == "code_execution" else None,
            **fields,
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
_MODELS = {model.name: model for model in MODELS}


def _priced(fact: Fact) -> Fact:
    """Return a use with its costs. Priority Tier is paid for in advance: usage without cost."""
    costs = () if fact.service_tier == "priority" else tuple(_token_costs(fact))
    return replace(fact, costs=costs)


def _token_costs(fact: Fact) -> Iterator[Cost]:
    model = _MODELS[fact.model or ""]
    factor = Decimal(1) / 1_000_000
    if fact.service_tier == "batch":
        factor *= Decimal("0.5")
    if fact.inference_geo == "us":
        factor *= Decimal("1.1")
    if fact.context_window == "200k-1M":
        factor *= 2
    for token_type, index, words, price in _TOKEN_TYPES:
        if fact.counters[index]:
            listed = fact.counters[index] * factor * price(model.input_price, model.output_price)
            yield Cost(
                "tokens",
                f"{model.display_name} Usage - {words}",
                (listed * _DISCOUNT).normalize(),
                listed.normalize(),
                token_type,
            )
    if fact.counters[5]:
        cents = Decimal(fact.counters[5])
        yield Cost("web_search", "Web Search Usage", cents, cents)
