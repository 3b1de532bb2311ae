"""A run that is killed at any moment and started again ends with the same rows."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import WORKSPACE_KEY
from tests.conftest import RECENT, days_ago, environment, only, settings

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = (
    "agent_sessions",
    "agents",
    "analytics_cost",
    "claude_code_model_usage",
    "claude_code_usage",
    "compliance_activities",
    "files",
    "message_batches",
    "messages_usage",
    "users",
)
Rows = dict[tuple[str, str], dict[str, Any]]


def upsert(rows: Rows, messages: list[dict[str, Any]]) -> None:
    """Load records as a target with keys does, whatever run they are from."""
    for message in messages:
        if message["type"] == "RECORD":
            record = dict(message["record"])
            del record["extracted_at"]
            rows[message["stream"], record.get("row_id") or record["id"]] = record


@pytest.mark.slow
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.long)])
def test_kills_cost_nothing(simulate: Any, tap: Any, tmp_path: Path, kills: int) -> None:
    """A year of backfill, killed at random moments and resumed from the last STATE line."""
    simulator = simulate(days=365, now=RECENT, breadth=16)
    config = settings(
        simulator,
        workspace_api_key=WORKSPACE_KEY,
        start_date=days_ago(364, RECENT),
        lookback_days=0,
    )
    catalog = only(config, *STREAMS)
    whole: Rows = {}
    upsert(whole, tap(config=config, catalog=catalog).messages)
    assert {stream for stream, _ in whole} == set(STREAMS)

    rng = random.Random(11)  # noqa: S311
    for name, content in (("config", config), ("catalog", catalog)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    state: dict[str, Any] = {}
    rows: Rows = {}
    bookmarks: dict[str, str] = {}
    finished, killed = False, 0
    while not finished:
        (tmp_path / "state.json").write_text(json.dumps(state))
        command = [sys.executable, "-m", "tap_claude"]
        for name in ("config", "catalog", "state"):
            command += [f"--{name}", str(tmp_path / f"{name}.json")]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            # So few lines that every kill leaves something to do; the last run ends by itself.
            lines = rng.randrange(1, len(whole) // kills) if killed < kills else 10 * len(whole)
            seen = [line for _, line in zip(range(lines), process.stdout, strict=False)]
            if killed < kills:
                process.kill()
            seen += process.stdout.readlines()
        finished = process.returncode == 0
        # what a target gets: whole lines only, and it returns the last state it has seen
        messages = [json.loads(line) for line in seen if line.endswith("\n")]
        upsert(rows, messages)
        state = ([m["value"] for m in messages if m["type"] == "STATE"] or [state])[-1]
        for stream, found in state.get("bookmarks", {}).items():
            bookmark = found.get("replication_key_value", "")
            assert bookmark >= bookmarks.get(stream, "")
            bookmarks[stream] = bookmark
        killed += not finished
    assert killed == kills
    assert rows == whole
