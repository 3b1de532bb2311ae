"""``.dbt/bin/python tests/e2e/transpile.py TARGET DIALECT``: compiled models as SQL for DuckDB.

TARGET is the folder that ``dbt compile`` has written. The models are printed as JSON, in the order
in which they are built.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

# BIGNUMERIC has 38 digits before the point and 38 after it, DuckDB 38 in all. A decimal of DuckDB
# without parameters is shorter than BigQuery's NUMERIC.
BIGNUMERIC = exp.DataType.build("decimal(38, 18)", dialect="duckdb")
NUMERIC = exp.DataType.build("decimal(38, 9)", dialect="duckdb")


def models(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the models of a manifest, each after those that it reads."""
    waiting = {
        id_: node for id_, node in manifest["nodes"].items() if node["resource_type"] == "model"
    }
    while waiting:
        for id_ in [
            id_
            for id_, node in waiting.items()
            if not set(node["depends_on"]["nodes"]) & waiting.keys()
        ]:
            yield waiting.pop(id_)


def for_duckdb(statement: str, dialect: str) -> str:
    """Return a statement of another database in the dialect of DuckDB."""
    tree = sqlglot.parse_one(statement, read=dialect)
    for found in list(tree.find_all(exp.DataType)):
        if found.this == exp.DataType.Type.BIGDECIMAL:
            found.replace(BIGNUMERIC.copy())
        elif found.this == exp.DataType.Type.DECIMAL and not found.expressions:
            found.replace(NUMERIC.copy())
    # BigQuery's raw tables have JSON; those of the tests have it as text already.
    for json_text in list(tree.find_all(exp.JSONFormat)):
        json_text.replace(json_text.this)
    return str(tree.sql("duckdb"))


def main() -> None:
    """Print name, kind and statement of each model."""
    target, dialect = Path(sys.argv[1]), sys.argv[2]
    manifest = json.loads((target / "manifest.json").read_text())
    found = [
        {
            "schema": node["schema"],
            "name": node["name"],
            "materialized": node["config"]["materialized"],
            "sql": for_duckdb(
                (target / "compiled" / "claude" / node["original_file_path"]).read_text(), dialect
            ),
        }
        for node in models(manifest)
    ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
