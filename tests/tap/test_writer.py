"""The fast path of records prints the same as the SDK's path."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY
from tap_claude.stream import ClaudeStream
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings

TIMES = re.compile(r'"(time_extracted|extracted_at)":"[^"]*"')

FULL = re.compile(r'"starting_at":"[^"]*","ending_at":"[^"]*","date":null,"bucket_width":"full"')


def lines_of(config: dict[str, Any], catalog: Any, capsysbinary: Any) -> list[str]:
    TapClaude(config=config, catalog=catalog).sync_all()
    out = capsysbinary.readouterr().out.decode()
    assert out.endswith("\n")
    return [
        FULL.sub('"bucket_width":"full"', TIMES.sub(r'"\1":"T"', line)) for line in out.splitlines()
    ]


@pytest.mark.slow
def test_the_fast_path_prints_the_same_as_the_sdk(
    simulate: Any, capsysbinary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stream, with columns deselected, line by line and in the same order."""
    simulator = simulate(days=12, now=NOW)
    config = settings(
        simulator,
        start_date=days_ago(9, NOW),
        access_token=ACCESS_TOKEN,
        analytics_api_key=ANALYTICS_KEY,
    )
    catalog = only(config, *TapClaude(config=config).streams)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] and item["breadcrumb"][-1] in {"model", "type", "requests"}:
                item["metadata"]["selected"] = False
    is_fast = lines_of(config, catalog, capsysbinary)
    choose = ClaudeStream._select_write_path  # noqa: SLF001

    def use_the_sdks_path(self: ClaudeStream) -> None:
        choose(self)
        assert self._fast_writer is not None
        self._fast_writer = None

    monkeypatch.setattr(ClaudeStream, "_select_write_path", use_the_sdks_path)
    version = re.compile(r'"version":\d+')
    ours, theirs = (
        [version.sub("", line) for line in lines]
        for lines in (is_fast, lines_of(config, catalog, capsysbinary))
    )
    assert ours == theirs
    records = [json.loads(line) for line in is_fast if '"RECORD"' in line]
    assert len({record["stream"] for record in records}) > 30
    assert not any("model" in record["record"] for record in records)


def test_maps_and_flattening_use_the_sdks_path(simulate: Any) -> None:
    simulator = simulate(days=4, now=NOW)
    for more, is_fast in (
        ({}, True),
        ({"stream_maps": {"users": {"copy": "email"}}}, False),
        ({"stream_maps": {"users": "__NULL__"}}, False),
        ({"flattening_enabled": True, "flattening_max_depth": 1}, False),
        ({"stream_maps": {"other": {}}}, True),
    ):
        stream: Any = TapClaude(config=settings(simulator, **more)).streams["users"]
        stream._select_write_path()  # noqa: SLF001
        assert (stream._fast_writer is not None) is is_fast, more  # noqa: SLF001


def test_state_follows_its_records_without_delay(simulate: Any, capsysbinary: Any) -> None:
    simulator = simulate(days=100, now=NOW)
    config = settings(simulator, start_date=days_ago(90, NOW))
    lines = lines_of(config, only(config, "messages_usage"), capsysbinary)
    bookmark = ""
    for line in lines:
        message = json.loads(line)
        if message["type"] == "RECORD":
            # Days are in order: a STATE follows all the days that it covers.
            assert message["record"]["starting_at"] > bookmark
        elif message["type"] == "STATE":
            part = message["value"].get("bookmarks", {}).get("messages_usage", {})
            bookmark = part.get("replication_key_value", "")
    assert bookmark == days_ago(0, NOW)
    assert sum('"STATE"' in line for line in lines) >= 3


@pytest.mark.slow
def test_metrics_count_every_record(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=60, now=NOW, breadth=80)
    config = settings(simulator, start_date=days_ago(59, NOW))
    run = tap(config=config, catalog=only(config, "messages_usage"))
    counted = [
        int(match[1])
        for match in re.finditer(r'"metric":"record_count","value":(\d+)', run.whole_stderr)
    ]
    assert sum(counted) == len(run.records("messages_usage")) > 2000
