"""The values that the report is made of, as the marts have them.

Amounts are US dollars, days and times are UTC, tokens are counts. The columns of the marts are
described in the dbt package (``transform/models/marts/_marts.yml``). Where there are several
organizations, amounts and counts are sums over all of them.
"""

from __future__ import annotations

import datetime as dt  # marts.py reads the types of the columns
from dataclasses import dataclass
from decimal import Decimal  # noqa: TC003

TOKEN_KINDS = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens",
    "cache_creation_ephemeral_1h_input_tokens",
    "output_tokens",
)


@dataclass(frozen=True)
class Scope:
    """What the report is about."""

    schema: str | None
    month: dt.date
    """First day of the month."""
    organization: str | None = None
    """Id of the organization; None for all of them."""

    @property
    def next_month(self) -> dt.date:
        """First day of the month after it."""
        return add_month(self.month, 1)

    @property
    def last_month(self) -> dt.date:
        """First day of the month before it."""
        return add_month(self.month, -1)


def add_month(month: dt.date, step: int) -> dt.date:
    """Return the first day of a month before or after a first day."""
    year, index = divmod(month.year * 12 + month.month - 1 + step, 12)
    return dt.date(year, index + 1, 1)


@dataclass(frozen=True)
class Organization:
    """An organization, and how fresh its data are."""

    organization_type: str
    organization_id: str
    organization_name: str
    first_day: dt.date
    last_day: dt.date
    data_refreshed_at: dt.datetime | None
    extracted_at: dt.datetime


@dataclass(frozen=True)
class Month:
    """A month of an organization: cost so far, forecast and budget."""

    organization_type: str
    organization_id: str
    organization_name: str
    amount_usd: Decimal
    is_final: bool
    through_day: dt.date | None
    """Last complete day, which the forecast starts after."""
    forecast_amount_usd: Decimal | None
    forecast_low_amount_usd: Decimal | None
    forecast_high_amount_usd: Decimal | None
    budget_usd: Decimal | None
    budget_state: str | None


@dataclass(frozen=True)
class Day:
    """A day of all organizations."""

    day: dt.date
    amount_usd: Decimal
    list_amount_usd: Decimal
    total_tokens: int
    requests: int
    growing: int
    """Number of organizations whose day is not complete."""
    unsettled: int
    """Number of organizations whose day may still change: it grows, or the API may restate it."""


@dataclass(frozen=True)
class ProductDay:
    """Cost of a product on a day."""

    day: dt.date
    product: str | None
    amount_usd: Decimal


@dataclass(frozen=True)
class Actor:
    """Cost of a person or another actor in the month."""

    actor_type: str | None
    actor_id: str | None
    name: str | None
    amount_usd: Decimal
    list_amount_usd: Decimal


@dataclass(frozen=True)
class ApiKey:
    """Cost of an API key in the month, and what the key is now."""

    api_key_id: str
    name: str | None
    amount_usd: Decimal
    list_amount_usd: Decimal
    status: str | None
    owner_name: str | None
    last_day: dt.date | None


@dataclass(frozen=True)
class Workspace:
    """Cost of a workspace in the month, and what the workspace is now."""

    workspace_id: str
    name: str | None
    amount_usd: Decimal
    list_amount_usd: Decimal
    status: str | None
    members: int | None
    active_api_keys: int | None


@dataclass(frozen=True)
class Team:
    """Cost of a team in the month. A person in two teams counts in both."""

    organization_id: str
    team_id: str | None
    team_name: str | None
    membership: str
    members: int
    active_members: int
    amount_usd: Decimal


@dataclass(frozen=True)
class Model:
    """Cost and tokens of a model in the month. A null model is cost other than tokens."""

    model: str | None
    amount_usd: Decimal
    list_amount_usd: Decimal
    total_tokens: int
    uncached_input_tokens: int
    cache_read_input_tokens: int
    cache_creation_ephemeral_5m_input_tokens: int
    cache_creation_ephemeral_1h_input_tokens: int
    output_tokens: int
    uncached_input_tokens_amount_usd: Decimal
    cache_read_input_tokens_amount_usd: Decimal
    cache_creation_ephemeral_5m_input_tokens_amount_usd: Decimal
    cache_creation_ephemeral_1h_input_tokens_amount_usd: Decimal
    output_tokens_amount_usd: Decimal
    cache_savings_usd: Decimal | None

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached or not."""
        return self.total_tokens - self.output_tokens

    def price(self, kind: str) -> Decimal | None:
        """Return the dollars really paid per million tokens of a kind; None without tokens."""
        tokens: int = getattr(self, kind)
        amount: Decimal = getattr(self, f"{kind}_amount_usd")
        return amount * 1_000_000 / tokens if tokens else None


@dataclass(frozen=True)
class ModelMix:
    """How a model of an organization was used: shares of its tokens."""

    organization_id: str
    model: str | None
    batch_token_share: Decimal | None
    long_context_token_share: Decimal | None
    fast_token_share: Decimal | None
    us_token_share: Decimal | None

    @property
    def shares(self) -> tuple[Decimal | None, ...]:
        """Batch, long context, fast mode, inference in the US."""
        return (
            self.batch_token_share,
            self.long_context_token_share,
            self.fast_token_share,
            self.us_token_share,
        )


@dataclass(frozen=True)
class Coder:
    """Claude Code of a person or API key in the month."""

    person_type: str
    person_id: str
    name: str | None
    num_sessions: int
    lines_of_code_added: int
    lines_of_code_removed: int
    commits_by_claude_code: int
    pull_requests_by_claude_code: int
    tool_actions_accepted: int
    tool_actions_rejected: int
    api_commits: int
    subscription_commits: int
    api_pull_requests: int
    subscription_pull_requests: int
    amount_usd: Decimal
    api_estimated_cost_usd: Decimal
    subscription_estimated_cost_usd: Decimal


@dataclass(frozen=True)
class Member:
    """A member without use in the 30 days before the newest day."""

    person_id: str
    person_name: str | None
    email_address: str | None
    role: str | None
    last_day: dt.date | None
    seat_price_usd: Decimal | None


@dataclass(frozen=True)
class Limit:
    """The limit of a person, of which much is spent."""

    person_id: str
    person_name: str | None
    limit_period: str
    limit_usd: Decimal
    limit_spent_usd: Decimal
    limit_spent_share: Decimal | None


@dataclass(frozen=True)
class Budget:
    """A budget of the month, or a limit of an organization or product."""

    budget_id: str
    organization_id: str
    budget_name: str
    source: str
    scope_type: str
    budget_usd: Decimal
    amount_usd: Decimal
    spent_share: Decimal | None
    forecast_amount_usd: Decimal | None
    state: str


@dataclass(frozen=True)
class Anomaly:
    """A day of a product or workspace that is far from the median of its weekday."""

    day: dt.date
    dimension: str
    value_id: str
    value_name: str | None
    amount_usd: Decimal
    median_amount_usd: Decimal
    deviation_usd: Decimal
    times_median: Decimal | None
    driver_model_name: str | None
    driver_actor_name: str | None


@dataclass(frozen=True)
class BillDay:
    """A day of the bill of the Console organizations against analytics_cost."""

    day: dt.date
    amount_usd: Decimal
    credits_amount_usd: Decimal
    cost_report_amount_usd: Decimal
    difference_amount_usd: Decimal
    growing: int
    """Number of organizations whose day is not complete in either report."""
