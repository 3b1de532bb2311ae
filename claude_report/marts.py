"""Queries on the marts of the dbt package. The database computes all sums."""

from __future__ import annotations

import typing
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from claude_report import values

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

Value = TypeVar("Value")

_ORGANIZATION = "organization_type organization_id organization_name"
_MODEL = " ".join(f"{kind} {kind}_amount_usd" for kind in values.TOKEN_KINDS)
COLUMNS = {
    "claude_anomalies": "day dimension value_id value_name amount_usd median_amount_usd"
    " deviation_usd times_median driver_model_name driver_actor_name",
    "claude_api_keys": "api_key_id status owner_name last_day is_active_without_use",
    "claude_budgets": "month budget_id budget_name source scope_type budget_usd amount_usd"
    " spent_share forecast_amount_usd state",
    "claude_code_people": "day person_type person_id person_name num_sessions lines_of_code_added"
    " lines_of_code_removed commits_by_claude_code pull_requests_by_claude_code"
    " tool_actions_accepted tool_actions_rejected api_commits subscription_commits"
    " api_pull_requests subscription_pull_requests amount_usd api_estimated_cost_usd"
    " subscription_estimated_cost_usd",
    "claude_cost": "day actor_type actor_id actor_name api_key_id api_key_name workspace_id"
    " workspace_name product amount_usd list_amount_usd currency",
    "claude_daily": "day month amount_usd list_amount_usd total_tokens requests state"
    " data_refreshed_at extracted_at",
    "claude_forecast": "month amount_usd is_final through_day forecast_amount_usd"
    " forecast_low_amount_usd forecast_high_amount_usd budget_usd budget_state",
    "claude_models": f"month model amount_usd list_amount_usd total_tokens {_MODEL}"
    " cache_savings_usd batch_token_share long_context_token_share fast_token_share"
    " us_token_share",
    "claude_people": "person_id person_name email_address role last_day is_member"
    " is_member_without_use"
    " seat_price_usd limit_period limit_usd limit_spent_usd limit_spent_share is_near_limit",
    "claude_reconciliation": "day amount_usd credits_amount_usd cost_report_amount_usd"
    " difference_amount_usd is_complete",
    "claude_teams": "month team_id team_name membership members active_members amount_usd",
    "claude_workspaces": "workspace_id status members active_api_keys",
}
"""The marts, and the columns that are read; those of the organization are in all of them."""


class Marts:
    """Reads the marts of one scope through a connection."""

    def __init__(self, connection: sa.Connection, scope: values.Scope) -> None:
        """Keep the connection."""
        self._connection = connection
        self.scope = scope

    def loaded_months(self) -> list[dt.date]:
        """Return the first days of all months that are there, whatever the scope's, in order."""
        daily = self._mart("claude_daily")
        statement = sa.select(daily.c.month).distinct().order_by(daily.c.month)
        return list(self._execute(statement, daily).scalars())

    def organizations(self) -> list[values.Organization]:
        """Return the organizations that have any data, by name."""
        daily = self._mart("claude_daily")
        identity = [daily.c.organization_type, daily.c.organization_id]
        statement = sa.select(
            *identity,
            sa.func.max(daily.c.organization_name).label("organization_name"),
            sa.func.min(daily.c.day).label("first_day"),
            sa.func.max(daily.c.day).label("last_day"),
            sa.func.max(daily.c.data_refreshed_at).label("data_refreshed_at"),
            sa.func.max(daily.c.extracted_at).label("extracted_at"),
        ).group_by(*identity)
        found = self._read(values.Organization, statement, daily)
        return sorted(found, key=lambda it: (it.organization_name, it.organization_type))

    def days(self) -> list[values.Day]:
        """Return the days of the month and of the month before, in order."""
        daily = self._mart("claude_daily")
        statement = sa.select(
            daily.c.day,
            *_sums(daily, ["amount_usd", "list_amount_usd", "total_tokens", "requests"]),
            _count(daily.c.state == "growing", "growing"),
            _count(daily.c.state != "settled", "unsettled"),
        ).where(daily.c.month.in_([self.scope.last_month, self.scope.month]))
        return self._read(values.Day, statement.group_by(daily.c.day).order_by(daily.c.day), daily)

    def product_days(self) -> list[values.ProductDay]:
        """Return the cost per day and product."""
        cost = self._mart("claude_cost")
        groups = [cost.c.day, cost.c.product]
        statement = sa.select(*groups, *_sums(cost, ["amount_usd"])).where(self._month_of(cost))
        return self._read(values.ProductDay, statement.group_by(*groups), cost)

    def other_currencies(self) -> list[str]:
        """Return the currencies of the month whose amounts the marts have not in dollars."""
        cost = self._mart("claude_cost")
        statement = sa.select(cost.c.currency).where(
            self._month_of(cost), cost.c.amount_usd.is_(None), cost.c.currency.is_not(None)
        )
        return sorted(self._execute(statement.distinct(), cost).scalars())

    def months(self) -> list[values.Month]:
        """Return the month of each organization that has it."""
        found = self._rows(values.Month, "claude_forecast")
        return sorted(found, key=lambda it: (it.organization_name, it.organization_type))

    def actors(self) -> list[values.Actor]:
        """Return who caused the cost, the most first."""
        cost = self._mart("claude_cost")
        groups = [cost.c.actor_type, cost.c.actor_id]
        statement = sa.select(
            *groups,
            sa.func.max(cost.c.actor_name).label("name"),
            *_sums(cost, ["amount_usd", "list_amount_usd"]),
        ).where(self._month_of(cost))
        found = self._read(values.Actor, statement.group_by(*groups), cost)
        return sorted(found, key=_most_first)

    def api_keys(self) -> list[values.ApiKey]:
        """Return the API keys with cost, the most first."""
        found = self._of_cost(
            values.ApiKey, "api_key", "claude_api_keys", ["status", "owner_name", "last_day"]
        )
        return sorted(found, key=_most_first)

    def workspaces(self) -> list[values.Workspace]:
        """Return the workspaces with cost, the most first."""
        columns = ["status", "members", "active_api_keys"]
        found = self._of_cost(values.Workspace, "workspace", "claude_workspaces", columns)
        return sorted(found, key=_most_first)

    def unused_keys(self) -> int:
        """Return the number of active API keys without use in the last 30 days."""
        keys = self._mart("claude_api_keys")
        statement = sa.select(sa.func.count()).where(keys.c.is_active_without_use)
        return int(self._execute(statement, keys).scalar_one())

    def teams(self) -> list[values.Team]:
        """Return the teams, those with the most cost first."""
        return sorted(self._rows(values.Team, "claude_teams"), key=_most_first)

    def models(self) -> list[values.Model]:
        """Return the models, those with the most cost first."""
        models = self._mart("claude_models")
        summed = [field.name for field in fields(values.Model)][1:]
        statement = sa.select(models.c.model, *_sums(models, summed[:-1]))
        statement = statement.add_columns(
            sa.func.sum(models.c.cache_savings_usd).label("cache_savings_usd")
        ).where(models.c.month == self.scope.month)
        found = self._read(values.Model, statement.group_by(models.c.model), models)
        return sorted(found, key=_most_first)

    def model_mix(self) -> list[values.ModelMix]:
        """Return the shares of the tokens of each model, where any is known."""
        rows = self._rows(values.ModelMix, "claude_models")
        known = [row for row in rows if any(share is not None for share in row.shares)]
        return sorted(known, key=lambda row: (row.model or "", row.organization_id))

    def coders(self) -> list[values.Coder]:
        """Return who used Claude Code, those with the most cost first."""
        people = self._mart("claude_code_people")
        groups = [people.c.person_type, people.c.person_id]
        names = [field.name for field in fields(values.Coder)]
        statement = sa.select(
            *groups,
            sa.func.max(people.c.person_name).label("name"),
            *_sums(people, names[len(groups) + 1 :]),
        ).where(self._month_of(people))
        found = self._read(values.Coder, statement.group_by(*groups), people)
        return sorted(found, key=_most_first)

    def members_without_use(self) -> list[values.Member]:
        """Return the members of Claude Enterprise without use in the last 30 days."""
        found = self._rows(values.Member, "claude_people", "is_member_without_use")
        return sorted(found, key=lambda it: (it.person_name or "", it.person_id))

    def members(self) -> int:
        """Return the number of members of Claude Enterprise."""
        people = self._mart("claude_people")
        statement = sa.select(sa.func.count()).where(
            people.c.is_member, people.c.organization_type == "enterprise"
        )
        return int(self._execute(statement, people).scalar_one())

    def limits(self) -> list[values.Limit]:
        """Return the limits of people that are nearly used up, the most used first."""
        found = self._rows(values.Limit, "claude_people", "is_near_limit")
        return sorted(found, key=lambda it: (-(it.limit_spent_share or 0), it.person_id))

    def budgets(self) -> list[values.Budget]:
        """Return the budgets of the month, without the limits of people; the most used first."""
        found = self._rows(values.Budget, "claude_budgets")
        return sorted(
            (row for row in found if row.source != "effective_spend_limit"),
            key=lambda it: (-(it.spent_share or 0), it.budget_id, it.organization_id),
        )

    def anomalies(self) -> list[values.Anomaly]:
        """Return the anomalies of the month, the largest first."""
        found = self._rows(values.Anomaly, "claude_anomalies")
        return sorted(found, key=lambda it: (-abs(it.deviation_usd), it.day, it.value_id))

    def bill(self) -> list[values.BillDay]:
        """Return the days of the reconciliation, in order."""
        days = self._mart("claude_reconciliation")
        amounts = [field.name for field in fields(values.BillDay)][1:-1]
        statement = sa.select(
            days.c.day, *_sums(days, amounts), _count(sa.not_(days.c.is_complete), "growing")
        ).where(self._month_of(days))
        return self._read(values.BillDay, statement.group_by(days.c.day).order_by(days.c.day), days)

    # -- what the queries share

    def _mart(self, name: str) -> sa.TableClause:
        names = f"{_ORGANIZATION} {COLUMNS[name]}".split()
        columns: list[sa.ColumnClause[Any]] = [
            sa.column(it, sa.Boolean()) if it.startswith("is_") else sa.column(it) for it in names
        ]
        return sa.table(name, *columns, schema=self.scope.schema)

    def _month_of(self, mart: sa.TableClause) -> sa.ColumnElement[bool]:
        if "month" in mart.c:
            return mart.c.month == self.scope.month
        return sa.and_(mart.c.day >= self.scope.month, mart.c.day < self.scope.next_month)

    def _rows(self, kind: type[Value], name: str, condition: str = "") -> list[Value]:
        """Return the rows of a mart: those of the month, or those that fulfil a condition."""
        mart = self._mart(name)
        statement = sa.select(*(mart.c[field.name] for field in fields(typing.cast("Any", kind))))
        where = mart.c[condition] if condition else self._month_of(mart)
        return self._read(kind, statement.where(where), mart)

    def _of_cost(self, kind: type[Value], what: str, mart: str, columns: list[str]) -> list[Value]:
        """Return the cost of the month by key or workspace, joined with what the mart has of it."""
        cost, known = self._mart("claude_cost"), self._mart(mart)
        id_ = f"{what}_id"
        groups = [cost.c.organization_type, cost.c.organization_id, cost.c[id_]]
        statement = sa.select(
            *groups,
            sa.func.max(cost.c[f"{what}_name"]).label("name"),
            *_sums(cost, ["amount_usd", "list_amount_usd"]),
        ).where(self._month_of(cost), cost.c[id_].is_not(None))
        spent = self._of_organization(statement, cost).group_by(*groups).subquery("spent")
        same = [spent.c[it.name] == known.c[it.name] for it in groups]
        joined = sa.select(
            *(spent.c[name] for name in (id_, "name", "amount_usd", "list_amount_usd")),
            *(known.c[name] for name in columns),
        ).select_from(spent.outerjoin(known, sa.and_(*same)))
        return _typed(kind, self._connection.execute(joined))

    def _read(
        self, kind: type[Value], statement: sa.Select[Any], mart: sa.TableClause
    ) -> list[Value]:
        return _typed(kind, self._execute(statement, mart))

    def _execute(self, statement: sa.Select[Any], mart: sa.TableClause) -> sa.Result[Any]:
        return self._connection.execute(self._of_organization(statement, mart))

    def _of_organization(self, statement: sa.Select[Any], mart: sa.TableClause) -> sa.Select[Any]:
        statement = statement.select_from(mart)
        if self.scope.organization is None:
            return statement
        return statement.where(mart.c.organization_id == self.scope.organization)


def _sums(mart: sa.TableClause, names: Iterable[str]) -> list[sa.ColumnElement[Any]]:
    return [sa.func.coalesce(sa.func.sum(mart.c[name]), 0).label(name) for name in names]


def _count(condition: sa.ColumnElement[bool], name: str) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0)).label(name)


def _most_first(value: Any) -> tuple[Any, ...]:
    """Order by cost, then by all other columns, so that each run gives the same order."""
    return (-value.amount_usd, *(str(getattr(value, it.name)) for it in fields(value)))


def _typed(kind: type[Value], rows: Iterable[Any]) -> list[Value]:
    """Make values of rows. Drivers return sums of integers as decimals, and zero as an integer."""
    hints = typing.get_type_hints(kind)
    convert = [
        next((it for it in (Decimal, int) if it in (hint, *typing.get_args(hint))), None)
        for hint in (hints[field.name] for field in fields(typing.cast("Any", kind)))
    ]
    return [
        kind(
            *(
                value if to is None or value is None else to(value)
                for to, value in zip(convert, row, strict=True)
            )
        )
        for row in rows
    ]
