"""Raw tables in DuckDB as Singer targets leave them: text columns, upserted or appended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb


def load(
    database: duckdb.DuckDBPyConnection,
    schema: str,
    messages: Iterable[Mapping[str, Any]],
    *,
    append: bool = False,
) -> None:
    """Load Singer messages; a row replaces the one with its key, unless rows are appended."""
    database.execute(f"create schema if not exists {schema}")
    columns: dict[str, list[str]] = {}
    keys: dict[str, list[str]] = {}
    rows: dict[str, dict[Any, list[Any]]] = {}
    for message in messages:
        stream = message.get("stream", "")
        if message["type"] == "SCHEMA":
            columns[stream] = list(message["schema"]["properties"])
            keys[stream] = message["key_properties"]
            rows.setdefault(stream, {})
        elif message["type"] == "RECORD":
            record = message["record"]
            key = tuple(record[name] for name in keys[stream])
            rows[stream][len(rows[stream]) if append else key] = [
                _text(record.get(name)) for name in columns[stream]
            ]
    for stream, found in rows.items():
        table = f"{schema}.{stream}"
        types = ", ".join(f'"{name}" varchar' for name in columns[stream])
        database.execute(f"create table if not exists {table} ({types})")
        values = list(found.values())
        if not values:
            continue
        lists = list(zip(*values, strict=True))
        new = ", ".join(f'unnest(?::varchar[]) as "{name}"' for name in columns[stream])
        database.execute(f"create or replace temp table arrived as select {new}", lists)
        if not append:
            same = " and ".join(f"old.{name} = new.{name}" for name in keys[stream])
            database.execute(f"delete from {table} as old using arrived as new where {same}")
        database.execute(f"insert into {table} by name select * from arrived")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
