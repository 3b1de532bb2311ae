"""Generate the package's lists of tables and columns from the tap's catalogue.

``python -m transform.generate`` writes them, ``--check`` fails if they are not up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_claude.tap import TapClaude

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
STAGING = HERE / "models" / "staging"

# Custom reports that the marts use where they are loaded: those of meltano.yml.
CUSTOM_REPORTS = {
    "usage_by_tier": "analytics_usage",
    "cost_by_tier": "analytics_cost",
    "usage_by_team": "analytics_usage",
    "cost_by_team": "analytics_cost",
}
"""Name of the report, and the report that it varies."""

FORMATS = {"date-time": "timestamp", "date": "date", "x-singer.decimal": "money"}
TYPES = {
    "string": "text",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "array": "json",
    "object": "json",
}

SOURCE = """\
# Generated from tap_claude/schemas: python -m transform.generate
sources:
- name: claude
  description: What the Singer target has loaded. A table that is missing is empty.
  database: "{{ var('claude_database') or target.database }}"
  schema: "{{ (var('claude_schemas') or [var('claude_schema')])[0] }}"
  tables:
"""
FRESHNESS = """\
    config:
      # A run reads at least the day that is running, so report_buckets is as new as the last run.
      freshness:
        warn_after: {count: 36, period: hour}
        error_after: {count: 72, period: hour}
      loaded_at_field: cast(extracted_at as timestamp)
"""


def tables() -> dict[str, dict[str, Any]]:
    """Return what the macros know of each table: key, columns, and which bucket a row is of."""
    tap = TapClaude(config={"legacy_reports": True}, validate_config=False, setup_mapper=False)
    entries = {entry["stream"]: entry for entry in json.loads(tap.catalog_json_text)["streams"]}
    found = {name: _table(entry) for name, entry in entries.items()}
    found |= {name: found[base] for name, base in CUSTOM_REPORTS.items()}
    return dict(sorted(found.items()))


def _table(entry: dict[str, Any]) -> dict[str, Any]:
    columns = entry["schema"]["properties"]
    return {
        "description": entry["schema"].get("description", ""),
        "key": list(entry["key_properties"]),
        "bucket": _bucket(entry, columns),
        "columns": {name: _type(schema) for name, schema in columns.items()},
    }


def _bucket(entry: dict[str, Any], columns: dict[str, Any]) -> list[str]:
    """Return the columns that lead from a row to its bucket; none for a full table."""
    key = entry.get("replication_key")
    if key == "starting_at":
        return [name for name in ("bucket_width", "starting_at") if name in columns]
    return ["date"] if key == "date" else []


def _type(schema: dict[str, Any]) -> str:
    kinds = [kind for kind in _list(schema["type"]) if kind != "null"]
    return FORMATS.get(schema.get("format", ""), TYPES[kinds[0]])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def macro(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the macro that returns the tables."""
    yield "{# Generated from tap_claude/schemas: python -m transform.generate #}"
    yield "{% macro claude_tables() %}"
    yield "{% do return({"
    for name, table in found.items():
        yield f"    '{name}': {{"
        yield f"        'key': {table['key']},"
        yield f"        'bucket': {table['bucket']},"
        yield "        'columns': {"
        for column, kind in table["columns"].items():
            yield f"            '{column}': '{kind}',"
        yield "        },"
        yield "    },"
    yield "}) %}"
    yield "{% endmacro %}"


def sources(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the declaration of the raw tables."""
    yield from SOURCE.splitlines()
    for name, table in found.items():
        yield f"  - name: {name}"
        yield f"    description: {json.dumps(table['description'], ensure_ascii=False)}"
        if name == "report_buckets":
            yield FRESHNESS.rstrip()


def files() -> dict[Path, str]:
    """Return all generated files with their content."""
    found = tables()
    made = {
        HERE / "macros" / "claude_tables.sql": "\n".join(macro(found)) + "\n",
        STAGING / "_sources.yml": "\n".join(sources(found)) + "\n",
    }
    for name in found:
        made[STAGING / f"stg_claude__{name}.sql"] = f"{{{{ claude.claude_stage('{name}') }}}}\n"
    return made


def main() -> int:
    """Write the files, or name those that are not up to date."""
    made = files()
    if "--check" not in sys.argv[1:]:
        for path, text in made.items():
            path.write_text(text, "utf-8")
        return 0
    stale = [
        str(path.relative_to(HERE.parent))
        for path, text in made.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
    stale += [
        str(path.relative_to(HERE.parent))
        for path in STAGING.glob("stg_claude__*.sql")
        if path not in made
    ]
    if stale:
        print("Not up to date, run python -m transform.generate:", *stale, sep="\n  ")
    return len(stale) > 0


if __name__ == "__main__":
    sys.exit(main())
