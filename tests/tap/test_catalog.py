"""The catalogue of all streams is the one in catalog.json; ``make snapshot`` updates it.

Its diff shows how a change affects the tables of users. Descriptions are left out, because their
diff is in the schemas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SNAPSHOT = Path(__file__).with_name("catalog.json")


def lines_of(entry: dict[str, Any]) -> list[str]:
    """Print a stream with one line for each column."""
    metadata = {tuple(item["breadcrumb"]): item["metadata"] for item in entry.pop("metadata")}
    schema = entry.pop("schema")
    columns = schema.pop("properties")
    for part in (schema, *columns.values()):
        assert part.pop("description")
    assert metadata.keys() == {(), *(("properties", column) for column in columns)}
    head = {**entry, "schema": schema, "metadata": metadata[()]}
    of_columns = [
        f"    {json.dumps(name)}: {json.dumps({**spec, **metadata['properties', name]})}"
        for name, spec in columns.items()
    ]
    return [
        f"  {json.dumps(entry['stream'])}: {{",
        *(f"   {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()),
        '   "columns": {',
        ",\n".join(of_columns),
        "   }",
        "  }",
    ]


def test_the_catalogue_is_the_one_that_was_reviewed(tap: Any, request: Any) -> None:
    run = tap("--discover", config={"legacy_reports": True})
    assert run.code == 0, run.stderr
    streams = json.loads(run.stdout)["streams"]
    entries = sorted(streams, key=lambda entry: str(entry["stream"]))
    text = "{\n" + ",\n".join("\n".join(lines_of(entry)) for entry in entries) + "\n}\n"
    if request.config.getoption("--snapshot"):
        SNAPSHOT.write_text(text)
        pytest.skip("catalog.json is renewed")
    expected = json.loads(SNAPSHOT.read_text())
    found = json.loads(text)
    assert found.keys() == expected.keys()
    for name, stream in expected.items():
        columns = found[name].pop("columns")
        for column, spec in stream.pop("columns").items():
            assert columns.pop(column, None) == spec, f"{name}.{column} (see `make snapshot`)"
        assert not columns, f"{name}: new columns (see `make snapshot`)"
        assert found[name] == stream, f"{name} (see `make snapshot`)"
    assert text == SNAPSHOT.read_text(), "another order (see `make snapshot`)"
