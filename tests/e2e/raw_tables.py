"""Raw tables as Singer targets leave them that know no types: text, upserted or appended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb
    import psycopg

Text = str | None


@dataclass
class _Table:
    columns: list[str]
    keys: list[str]
    rows: dict[Any, list[Text]] = field(default_factory=dict)


def load(
    database: duckdb.DuckDBPyConnection,
    schema: str,
    messages: Iterable[Mapping[str, Any]],
    *,
    append: bool = False,
) -> None:
    """Load Singer messages; a row replaces the one with its key, unless rows are appended."""
    database.execute(f"create schema if not exists {schema}")
    for stream, found in _tables(messages, append=append).items():
        table = f"{schema}.{stream}"
        types = ", ".join(f'"{name}" varchar' for name in found.columns)
        database.execute(f"create table if not exists {table} ({types})")
        if not found.rows:
            continue
        lists = list(zip(*found.rows.values(), strict=True))
        new = ", ".join(f'unnest(?::varchar[]) as "{name}"' for name in found.columns)
        database.execute(f"create or replace temp table arrived as select {new}", lists)
        if not append:
            same = " and ".join(f"old.{name} = new.{name}" for name in found.keys)
            database.execute(f"delete from {table} as old using arrived as new where {same}")
        database.execute(f"insert into {table} by name select * from arrived")


def load_postgres(
    database: psycopg.Connection, schema: str, messages: Iterable[Mapping[str, Any]]
) -> None:
    """Load Singer messages; a row replaces the one with its key."""

    def execute(statement: str) -> None:
        database.execute(statement.encode())

    execute(f"create schema if not exists {schema}")
    for stream, found in _tables(messages).items():
        table = f"{schema}.{stream}"
        types = ", ".join(f'"{name}" text' for name in found.columns)
        execute(f"create table if not exists {table} ({types})")
        execute(f"create temp table arrived (like {table}) on commit drop")
        with database.cursor().copy("copy arrived from stdin") as copy:
            for row in found.rows.values():
                copy.write_row(row)
        same = " and ".join(f"old.{name} = new.{name}" for name in found.keys)
        execute(f"delete from {table} as old using arrived as new where {same}")
        execute(f"insert into {table} select * from arrived")
        database.commit()


def _tables(messages: Iterable[Mapping[str, Any]], *, append: bool = False) -> dict[str, _Table]:
    tables: dict[str, _Table] = {}
    for message in messages:
        stream = message.get("stream", "")
        if message["type"] == "SCHEMA":
            columns = list(message["schema"]["properties"])
            tables.setdefault(stream, _Table(columns, message["key_properties"]))
        elif message["type"] == "RECORD":
            record, table = message["record"], tables[stream]
            key = len(table.rows) if append else tuple(record[name] for name in table.keys)
            table.rows[key] = [_text(record.get(name)) for name in table.columns]
    return tables


def _text(value: Any) -> Text:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
