"""SQL views of the current rows of every table, generated from a catalogue.

A table can contain rows that have been deleted from the API, and append-only targets keep every
version of a row. The views depend on the catalogue only, so they cover custom reports too.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tap_claude.bucket_log import FULL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TextIO

BUCKETS = "report_buckets"
"""Table of the buckets that each run has read."""
ORGANIZATION = ("organization_id", "organization_type")

HEADER = """\
-- Current rows of every table: a view current_NAME for each table NAME.
-- For {databases}.
-- {note} docs/targets.md says more.
--
-- Generated from the catalogue. To generate it again:
--   tap-claude --discover | python -m tap_claude.views {dialect} > {file}
-- With custom reports:
--   tap-claude --config config.json --discover | ...
-- For the streams that a Meltano project selects:
--   meltano invoke --dump=catalog tap-claude | ...
"""


class Dialect(NamedTuple):
    """A file of views, and the databases it is for."""

    file: str
    databases: str
    note: str
    appends: bool
    """Whether a table can contain a key more than once."""


DIALECTS = {
    "postgres": Dialect(
        file="current_rows_postgres.sql",
        databases="PostgreSQL, whose targets replace rows by key",
        note="Run it with the tables' schema as the search_path.",
        appends=False,
    ),
    "warehouse": Dialect(
        file="current_rows.sql",
        databases="databases with QUALIFY: DuckDB, Snowflake, BigQuery, Redshift",
        note="Run it in the tables' schema. Where times have a zone, the session's must be UTC.",
        appends=True,
    ),
}


class Table(NamedTuple):
    """The properties of a stream that its view depends on."""

    name: str
    keys: tuple[str, ...]
    replication_key: str | None
    columns: frozenset[str]


def tables(catalog: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of a catalogue, without deselected streams."""
    for entry in catalog["streams"]:
        root = [item["metadata"] for item in entry.get("metadata", ()) if not item["breadcrumb"]]
        if any(metadata.get("selected") is False for metadata in root):
            continue
        yield Table(
            entry.get("tap_stream_id") or entry["stream"],
            tuple(entry.get("key_properties") or ()),
            entry.get("replication_key"),
            frozenset(entry["schema"]["properties"]),
        )


def script(catalog: Mapping[str, Any], dialect: str) -> str:
    """Return the statements that create a view for each table.

    Raises:
        ValueError: The catalogue has no ``report_buckets``.
    """
    found = sorted(tables(catalog))
    log = next((table for table in found if table.name == BUCKETS), None)
    if log is None:
        msg = f"{BUCKETS} is not in it, or not selected"
        raise ValueError(msg)
    chosen = DIALECTS[dialect]
    header = HEADER.format(dialect=dialect, **chosen._asdict())
    return "\n".join([header, *(_view(table, log, appends=chosen.appends) for table in found)])


def _view(table: Table, log: Table, *, appends: bool) -> str:
    view = _quoted(f"current_{table.name}")
    lines = [
        f"drop view if exists {view};",
        f"create view {view} as",
        "select kept.*",
        f"from {_quoted(table.name)} as kept",
    ]
    conditions = list(_newer_read(table, log))
    if conditions:
        first, *others = conditions
        lines += [
            "where not exists (",
            "    select 1",
            f"    from {BUCKETS} as bucket",
            f"    where {first}",
            *(f"        and {condition}" for condition in others),
            ")",
        ]
    if appends:
        # BigQuery used to require a WHERE clause with QUALIFY.
        lines += [] if conditions else ["where true"]
        keys = ", ".join(f"kept.{_quoted(key)}" for key in table.keys)
        lines.append(
            f"qualify row_number() over (partition by {keys} order by kept.extracted_at desc) = 1"
        )
    return "\n".join(lines) + ";\n"


def _newer_read(table: Table, log: Table) -> Iterable[str]:
    """Yield the conditions for a log row: its bucket contains the row, and was read later."""
    if table.name == log.name:
        return
    if table.replication_key is None:
        place = [f"bucket.bucket_width = '{FULL}'"]
    elif table.replication_key == "date":
        # Casting a time to a date depends on the session's time zone, so the log's day is safer.
        place = ["bucket.date = kept.date"]
    elif table.replication_key == "starting_at":
        place = [
            f"bucket.{name} = kept.{name}"
            for name in ("bucket_width", "starting_at")
            if name in table.columns
        ]
    else:
        return  # events are never deleted
    yield f"bucket.stream = '{table.name}'"
    for name in ORGANIZATION:
        if name in table.columns & log.columns:
            yield f"bucket.{name} = kept.{name}"
    yield from place
    yield "bucket.extracted_at > kept.extracted_at"


def _quoted(name: str) -> str:
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else f'"{name}"'


@click.command()
@click.argument("dialect", type=click.Choice(list(DIALECTS)))
@click.option(
    "--catalog",
    type=click.File(encoding="utf-8"),
    default="-",
    help="The output of tap-claude --discover. Default: standard input.",
)
def main(dialect: str, catalog: TextIO) -> None:
    """Print SQL views of the current rows of every table."""
    try:
        click.echo(script(json.load(catalog), dialect), nl=False)
    except (ValueError, KeyError, TypeError) as error:
        click.echo(f"Error: not a usable catalogue: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
