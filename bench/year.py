"""Raw tables of a year, generated in a database in the layout that targets leave."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DAYS = 365
PEOPLE_PER_ROW = 10
"""So many rows of a day belong to one person, each with another product."""
TABLES = (
    "analytics_cost",
    "analytics_usage",
    "cost_report",
    "report_buckets",
    "users",
    "workspaces",
)

# Types of columns by format, as meltanolabs-target-postgres and target-duckdb make them.
POSTGRES = {"date-time": "timestamp", "date": "date", "x-singer.decimal": "numeric(38, 18)"}
DUCKDB = {"date-time": "timestamp", "date": "date", "x-singer.decimal": "varchar"}
TYPES = {"string": "varchar", "integer": "bigint", "boolean": "boolean"}

TOKENS = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens",
    "cache_creation_ephemeral_1h_input_tokens",
    "output_tokens",
)
ORGANIZATION = {
    "organization_type": "'console'",
    "organization_id": "'5a1f0c1e-0000-4000-8000-000000000000'",
    "extracted_at": "timestamp '{now}'",
}
BUCKET = {
    **ORGANIZATION,
    "starting_at": "timestamp '{first}' + d * interval '1 day'",
    "ending_at": "timestamp '{first}' + (d + 1) * interval '1 day'",
    "bucket_width": "'1d'",
    "is_complete": "true",
}
GROUP = {
    **BUCKET,
    "row_id": "md5('{table}' || d || '-' || i)",
    "actor_type": "'user_actor'",
    "actor_user_id": "'user_' || (i % {people})",
    "actor_name": "'Person ' || (i % {people})",
    "actor_email_address": "'person' || (i % {people}) || '@example.com'",
    "actor_deleted": "false",
    "product": "'product_' || ((i - i % {people}) / {people})",
    "model": "'claude-' || (i % 4)",
    "workspace_id": "'wrkspc_' || (i % 10)",
    "api_key_id": "'apikey_' || (i % 50)",
    "data_refreshed_at": "timestamp '{now}'",
}
KIND = " ".join(
    [
        "case i % 5",
        *(
            f"when {number} then '{name.replace('creation_', 'creation.')}'"
            for number, name in enumerate(TOKENS)
        ),
        "end",
    ]
)
# What row i of day d has, {per_day} and {people} being numbers, and {first} the first day.
VALUES: dict[str, dict[str, str]] = {
    "analytics_cost": GROUP
    | {
        "cost_type": "'tokens'",
        "token_type": KIND,
        "amount": "cast(i * 1.234567 as varchar)",
        "amount_usd": "cast(i * 0.01234567 as varchar)",
        "list_amount": "cast(i * 1.3 as varchar)",
        "list_amount_usd": "cast(i * 0.013 as varchar)",
        "currency": "'USD'",
    },
    # A row has one kind of tokens: so claude_focus has as many rows as analytics_cost.
    "analytics_usage": GROUP
    | {name: f"case i % 5 when {n} then i * 1000 else 0 end" for n, name in enumerate(TOKENS)}
    | {"total_tokens": "i * 1000", "web_search_requests": "0", "requests": "i"},
    "cost_report": BUCKET
    | {
        "row_id": "md5('credit' || d)",
        "description": "'Credit - Service Level'",
        "amount": "'-100'",
        "amount_usd": "'-1'",
        "currency": "'USD'",
    },
    "report_buckets": BUCKET
    | {
        "row_id": "md5('bucket' || d || '-' || i)",
        "stream": "case i when 1 then 'analytics_cost' when 2 then 'analytics_usage'"
        " else 'cost_report' end",
        "row_count": "case i when 3 then 1 else {per_day} end",
    },
    "users": ORGANIZATION | {"id": "'user_' || i", "name": "'Person ' || i", "role": "'user'"},
    "workspaces": ORGANIZATION | {"id": "'wrkspc_' || i", "name": "'Workspace ' || i"},
}


def bill(per_day: int) -> Decimal:
    """Return the dollars of all rows, less a credit of one dollar a day."""
    return DAYS * (sum(range(1, per_day + 1)) * Decimal("0.01234567") - 1)


def generate(execute: Callable[[str], object], types: Mapping[str, str], per_day: int) -> None:
    """Create the raw tables, with so many rows a day, by statements that ``execute`` runs."""
    today = dt.datetime.now(dt.UTC).date()
    people = per_day // PEOPLE_PER_ROW
    facts = {
        "first": today - dt.timedelta(days=DAYS),
        "now": today,
        "per_day": per_day,
        "people": people,
    }
    counts = {
        "analytics_cost": (DAYS, per_day),
        "analytics_usage": (DAYS, per_day),
        "cost_report": (DAYS, 1),
        "report_buckets": (DAYS, 3),
        "users": (1, people),
        "workspaces": (1, 10),
    }
    execute("create schema claude")
    for table in TABLES:
        columns = columns_of(table, types)
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        execute(f"create table claude.{table} ({listed})")
        values = VALUES[table]
        expressions = ", ".join(
            f"cast({values[name].format(table=table, **facts)} as {columns[name]})"
            for name in values
        )
        days, rows = counts[table]
        execute(
            f"insert into claude.{table} ({', '.join(values)}) select {expressions}"
            f" from generate_series(0, {days - 1}) as days(d),"
            f" generate_series({int(days > 1)}, {rows - int(days == 1)}) as numbers(i)"
        )
    execute("analyze")


def columns_of(table: str, types: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a raw table, with types."""
    path = resources.files("tap_claude") / "schemas" / f"{table}.json"
    properties = json.loads(path.read_text("utf-8"))["properties"]
    return {name: _type(schema, types) for name, schema in properties.items()}


def _type(schema: dict[str, Any], types: Mapping[str, str]) -> str:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return types.get(schema.get("format", ""), TYPES.get(kinds[0], "varchar"))
