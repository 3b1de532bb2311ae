"""Every schema obeys the rules of real targets; every column is described."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from tap_claude import schemas
from tap_claude.incremental import IncrementalStream
from tap_claude.streams import REPORTS, STREAMS
from tests.each import each

if TYPE_CHECKING:
    from tap_claude.stream import ClaudeStream

ALL: dict[str, type[ClaudeStream]] = {**REPORTS, **STREAMS}
FILES = {
    path.name.removesuffix(".json"): json.loads(path.read_text(encoding="utf-8"))
    for path in resources.files(schemas).iterdir()
    if path.name.endswith(".json")
}
WINDOW_COLUMNS = {"starting_at", "ending_at", "date"}
FORMATS = {None, "date-time", "date", "x-singer.decimal"}
FORBIDDEN = {"enum", "multipleOf", "additionalProperties", "pattern", "const", "required"}
COLUMNS = [(name, column) for name, schema in FILES.items() for column in schema["properties"]]
UNITS = re.compile(
    r"\b(tokens|requests|cents|dollars|sessions|lines|commits|pull requests|count|number|days)\b",
    re.IGNORECASE,
)


def kinds(spec: dict[str, Any]) -> list[str]:
    return [spec["type"]] if isinstance(spec["type"], str) else spec["type"]


def _keys(name: str) -> set[str]:
    stream = ALL[name]
    declared: Any = stream.primary_keys
    keys: set[str] = set(declared)
    if issubclass(stream, IncrementalStream):
        keys.add(str(stream.replication_key))
    return keys


def test_every_stream_has_a_schema_and_every_schema_a_stream() -> None:
    assert set(FILES) == set(ALL)


@each("name", FILES)
def test_schema(name: str) -> None:
    schema = FILES[name]
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["description"].endswith(".")
    assert not FORBIDDEN & schema.keys()
    columns = list(schema["properties"])
    assert len({column[:63].lower() for column in columns}) == len(columns)
    keys = _keys(name)
    assert set(columns) - keys  # more than keys: DuckDB
    assert keys
    assert {"organization_type", "organization_id", "organization_label"} <= set(columns)
    assert "extracted_at" in columns
    for key in keys:
        assert "null" not in kinds(schema["properties"][key])


@each(("name", "column"), COLUMNS)
def test_column(name: str, column: str) -> None:
    spec = FILES[name]["properties"][column]
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,59}", column)
    # target-postgres uses this name when it deletes the rows of older versions.
    assert column != "version"
    assert len(spec["description"]) > 10
    assert spec["description"].endswith(".")
    assert not FORBIDDEN & spec.keys()
    assert spec.get("format") in FORMATS
    (kind,) = (kind for kind in kinds(spec) if kind != "null")
    # A number is a double to most targets: good for a rate or a time, never for money or a count.
    numbers = {"number"} if column.endswith(("_rate", "_seconds")) else set()
    assert kind in {"string", "integer", "boolean", "object", "array", *numbers}
    # A row of report_buckets may describe a stream that has no days.
    window = WINDOW_COLUMNS - ({"date"} if name == "report_buckets" else set())
    required = column in {*_keys(name), *window, "organization_id"}
    assert ("null" in kinds(spec)) is not required
    if kind == "integer":
        assert UNITS.search(spec["description"]), "a counter names its unit"
    if column.endswith("_usd"):
        assert spec["format"] == "x-singer.decimal"
        assert (spec["precision"], spec["scale"]) == (38, 18)
        assert "dollars" in spec["description"]
    if column.endswith("amount"):
        assert spec.get("format") is None
        assert "cents" in spec["description"]
    if column.endswith("_at") and kind == "string":
        assert spec["format"] == "date-time"
        assert "UTC" in spec["description"]


@each("name", REPORTS)
def test_declarations_and_schema_agree(name: str) -> None:
    report = REPORTS[name]
    properties = FILES[name]["properties"]
    for dimension in report.dimensions:
        for column in report.dimension_key_columns.get(dimension, (dimension,)):
            assert column in properties
    assert set(report.default_group_by) <= set(report.dimensions)
    counted = set(report.default_group_by) - set(report.unlimited_dimensions)
    assert len(counted) <= report.max_group_by
    dated = {"date"} if report.replication_key == "date" else {"starting_at", "bucket_width"}
    assert {*dated, *report.base_key_columns, "is_complete"} <= properties.keys()
