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
SPEND_PER_DAY = """
    select starting_at::date as day, sum(amount_usd)
    from claude.cost_report
    group by day
    order by day desc
    limit %(days)s
"""
SPEND_PER_MODEL = """
    with usage as (
        select
            model,
            sum(
                uncached_input_tokens + cache_read_input_tokens
                + cache_creation_ephemeral_5m_input_tokens
                + cache_creation_ephemeral_1h_input_tokens + output_tokens
            ) as tokens
        from claude.messages_usage
        group by model
    )
    select coalesce(model, description), sum(amount_usd), max(tokens)
    from claude.cost_report left join usage using (model)
    group by 1
    order by 2 desc
"""
SPEND_PER_WORKSPACE = """
    select coalesce(name, 'Default') as workspace, sum(amount_usd)
    from claude.cost_report left join claude.workspaces on workspaces.id = workspace_id
    group by workspace
    order by 2 desc
"""
CLAUDE_CODE_PER_PERSON = """
    with cost as (
        select actor_email_address, sum(estimated_cost_usd) as dollars
        from claude.claude_code_model_usage
        group by actor_email_address
    )
    select
        users.name, max(dollars), sum(num_sessions), sum(lines_of_code_added),
        sum(commits_by_claude_code)
    from claude.claude_code_usage
    join claude.users on users.email = actor_email_address
    left join cost using (actor_email_address)
    group by users.name
    order by 2 desc nulls last
    limit %(people)s
"""
BILLED = """
    select trim_scale(sum(amount_usd))
    from claude.cost_report
    where starting_at >= %(start)s and ending_at <= %(end)s
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
    """Yield the spend per model, or per invoice item for costs without a model."""
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
