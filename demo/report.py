"""The report of the demo: SQL on the loaded tables, with its results as text."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from psycopg import Connection

# Tables of the report, and their time columns.
TABLES = {
    "analytics_cost": "starting_at",
    "claude_code_usage": "date",
    "cost_report": "starting_at",
    "messages_usage": "starting_at",
}
DAYS = 17
PEOPLE = 8
BAR_WIDTH = 36

COUNT = "select count(*) from claude.{table}"
LANDED = """
    select
        count(*),
        count(distinct row_id),
        count(*) filter (where extracted_at >= %(started)s),
        min({window}::timestamp) filter (where extracted_at >= %(started)s)
    from claude.{table}
"""
# What the marts of transform/ answer.
SPEND_PER_DAY = """
    select day, sum(amount_usd)
    from claude_marts.claude_daily
    where amount_usd <> 0
    group by day
    order by day desc
    limit %(days)s
"""
SPEND_PER_MODEL = """
    select
        coalesce(model, 'other than tokens'), sum(amount_usd),
        case when model is not null then sum(total_tokens) end
    from claude_marts.claude_models
    group by model
    order by 2 desc
"""
SPEND_PER_WORKSPACE = """
    select workspace_name, amount_usd
    from claude_marts.claude_workspaces
    where amount_usd <> 0
    order by 2 desc
"""
CLAUDE_CODE_PER_PERSON = """
    select
        person_name, sum(estimated_cost_usd), sum(num_sessions), sum(lines_of_code_added),
        sum(commits_by_claude_code)
    from claude_marts.claude_code_people
    where person_type = 'user_actor' and num_sessions > 0
    group by organization_id, person_id, person_name
    order by 2 desc
    limit %(people)s
"""
FORECAST = """
    select month, amount_usd, forecast_amount_usd, forecast_low_amount_usd, forecast_high_amount_usd
    from claude_marts.claude_forecast
    order by month desc
    limit 1
"""
BILLED = """
    select trim_scale(sum(cost_report_amount_usd))
    from claude_marts.claude_reconciliation
    where day >= %(start)s and day < %(end)s
"""


@dataclass(frozen=True)
class Landed:
    """The effect of one run on a table."""

    table: str
    rows: int
    keys: int
    read: int
    read_from: dt.datetime | None
    rows_before: int

    @property
    def new(self) -> int:
        """Number of new rows."""
        return self.rows - self.rows_before

    @property
    def doubled(self) -> int:
        """Number of rows with the key of another row."""
        return self.rows - self.keys


def count(connection: Connection, table: str) -> int:
    """Count the rows of a table; 0 if it does not exist yet."""
    if connection.execute("select to_regclass(%s)", [f"claude.{table}"]).fetchone() == (None,):
        return 0
    return int(_one(connection, COUNT, table)[0])


def landed(connection: Connection, table: str, started: dt.datetime, rows_before: int) -> Landed:
    """Return the effect of the run that started at ``started``."""
    rows, keys, read, read_from = _one(connection, LANDED, table, started=started)
    return Landed(table, rows, keys, read, read_from, rows_before)


def billed(connection: Connection, start: dt.datetime, end: dt.datetime) -> Decimal:
    """Return the billed dollars of a range."""
    dollars: Decimal = _one(connection, BILLED, start=start, end=end)[0]
    return dollars


def tables(found: Sequence[Landed]) -> Iterator[str]:
    """Yield the rows per table."""
    yield f"{'Rows':18}{'in table':>14}{'read now':>10}{'new':>10}{'re-read':>10}{'doubled':>10}"
    for it in found:
        yield (
            f"{it.table:18}{it.rows:14,}"
            f"{it.read:10,}{it.new:10,}{it.read - it.new:10,}{it.doubled:10,}"
        )


def spend_per_day(connection: Connection) -> Iterator[str]:
    """Yield the spend of the last days that have any."""
    days = connection.execute(SPEND_PER_DAY, {"days": DAYS}).fetchall()[::-1]
    yield f"{'Spend per day':18}{'USD':>14}"
    next_day = days[0][0]
    for (day, dollars), bar in zip(days, _bars(days), strict=True):
        if day > next_day:
            yield f"... {(day - next_day).days} days without cost"
        yield f"{day!s:18}{dollars:14,.2f}  {bar}".rstrip()
        next_day = day + dt.timedelta(days=1)


def spend_per_model(connection: Connection) -> Iterator[str]:
    """Yield the spend per model, and that of costs without a model."""
    models = connection.execute(SPEND_PER_MODEL).fetchall()
    yield f"{'Spend per model':30}{'USD':>14}{'million tokens':>16}"
    for (model, dollars, tokens), bar in zip(models, _bars(models), strict=True):
        millions = "" if tokens is None else f"{tokens / 1_000_000:,.0f}"
        yield f"{model:30}{dollars:14,.2f}{millions:>16}  {bar}".rstrip()


def spend_per_workspace(connection: Connection) -> Iterator[str]:
    """Yield the spend per workspace, by name."""
    workspaces = connection.execute(SPEND_PER_WORKSPACE).fetchall()
    yield f"{'Spend per workspace':30}{'USD':>14}"
    for (name, dollars), bar in zip(workspaces, _bars(workspaces), strict=True):
        yield f"{name:30}{dollars:14,.2f}  {bar}".rstrip()


def claude_code_per_person(connection: Connection) -> Iterator[str]:
    """Yield the activity in Claude Code per person."""
    heads = "".join(f"{head:>10}" for head in ("sessions", "lines", "commits"))
    yield f"{'Claude Code by person':30}{'USD (est.)':>14}{heads}"
    for name, dollars, *numbers in connection.execute(
        CLAUDE_CODE_PER_PERSON, {"people": PEOPLE}
    ).fetchall():
        yield f"{name:30}{dollars or 0:14,.2f}" + "".join(f"{number:10,}" for number in numbers)


def forecast(connection: Connection) -> Iterator[str]:
    """Yield the spend of the newest month so far, and what it will come to."""
    for month, spent, expected, low, high in connection.execute(FORECAST).fetchall():
        yield f"{month:%Y-%m}: {spent:,.2f} USD so far."
        if expected is not None and low is not None:
            yield f"Forecast of the month: {expected:,.2f} USD, from {low:,.2f} to {high:,.2f}."


def _bars(rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """Yield a bar chart of the second column."""
    most = max((row[1] for row in rows), default=0) or 1
    for row in rows:
        whole, eighths = divmod(round(max(row[1], 0) / most * BAR_WIDTH * 8), 8)
        yield "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def _one(connection: Connection, query: str, table: str = "", **values: Any) -> tuple[Any, ...]:
    statement = sql.SQL(query).format(
        table=sql.Identifier(table), window=sql.Identifier(TABLES.get(table, ""))
    )
    row = connection.execute(statement, values).fetchone()
    assert row is not None  # noqa: S101  # aggregates always return one row
    return row
