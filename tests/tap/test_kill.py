"""A run that is killed at any time and restarted loads the same rows."""

from __future__ import annotations

import json
import random
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import WORKSPACE_KEY
from tests.conftest import RECENT, days_ago, environment, only, settings, tap_command

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
    """Load records like a target with keys, from any run."""
    for message in messages:
        if message["type"] == "RECORD":
            record = dict(message["record"])
            del record["extracted_at"]
            rows[message["stream"], record.get("row_id") or record["id"]] = record


@pytest.mark.slow
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.long)])
def test_killed_runs_lose_no_rows(simulate: Any, tap: Any, tmp_path: Path, kills: int) -> None:
    """A year of backfill, killed at random moments and resumed from the last STATE line."""
    simulator = simulate(days=365, now=RECENT, breadth=8)
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
    state: dict[str, Any] = {}
    rows: Rows = {}
    bookmarks: dict[str, str] = {}
    finished, killed = False, 0
    while not finished:
        command = tap_command(tmp_path, config=config, catalog=catalog, state=state)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            # Few enough lines that each killed run leaves work; the last run ends by itself.
            lines = rng.randrange(1, len(whole) // kills) if killed < kills else 10 * len(whole)
            seen = [line for _, line in zip(range(lines), process.stdout, strict=False)]
            if killed < kills:
                process.kill()
            seen += process.stdout.readlines()
        finished = process.returncode == 0
        # A target gets complete lines only, and returns the last state that it got.
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
