"""report_buckets is complete: the next run reads and reports what a run did not report."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import Fault
from tap_claude import bucket_log
from tap_claude.bucket_log import UNREPORTED_SINCE
from tap_claude.tap import TapClaude
from tests.conftest import (
    NOW,
    RECENT,
    days_ago,
    environment,
    only,
    settings,
    tap_command,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import Simulator

STREAMS = ("analytics_usage", "cost_report", "messages_usage", "report_buckets", "users")


def reported(messages: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return stream and start of every bucket that was reported."""
    return {
        (m["record"]["stream"], m["record"]["starting_at"])
        for m in messages
        if m["type"] == "RECORD"
        and m["stream"] == "report_buckets"
        and m["record"]["bucket_width"] == "1d"
    }


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None], ids=str)
def test_the_run_after_a_killed_run_reports_the_rest(
    simulate: Any, tap: Any, tmp_path: Path, end: signal.Signals | None
) -> None:
    """Killed, stopped, or without a target after bookmarks moved: the oldest days are repeated."""
    simulator: Simulator = simulate(days=70, now=RECENT)
    config = settings(simulator, start_date=days_ago(60, RECENT), lookback_days=30)
    catalog = only(config, *STREAMS)
    first = tap(config=config, catalog=catalog)
    assert UNREPORTED_SINCE not in json.dumps(first.state)
    # A day later, the newest bucket moves the bookmarks, and so the lookback of the next run.
    tomorrow = RECENT + dt.timedelta(days=1)
    config["end_date"] = tomorrow.isoformat()
    simulator.stopped_clock = tomorrow
    command = tap_command(tmp_path, config=config, catalog=catalog, state=first.state)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        messages = []
        for line in process.stdout:
            messages.append(json.loads(line))
            moved = messages[-1].get("value", {}).get("bookmarks", {}).get("cost_report", {})
            if moved.get("replication_key_value") == days_ago(-1, RECENT):
                break
        if end is None:
            process.stdout.close()
        else:
            process.send_signal(end)
    state = [m["value"] for m in messages if m["type"] == "STATE"][-1]
    assert not reported(messages)
    again = tap(config=config, catalog=catalog, state=state)
    assert again.code == 0, again.stderr
    oldest = days_ago(30, RECENT)
    found = reported(again.messages)
    for stream in ("analytics_usage", "cost_report", "messages_usage"):
        assert min(start for name, start in found if name == stream) == oldest
    assert UNREPORTED_SINCE not in json.dumps(again.state)
    # All buckets have been reported: the next lookback is the usual one.
    last = tap(config=config, catalog=catalog, state=again.state)
    assert min(start for name, start in reported(last.messages)) == days_ago(29, RECENT)


@pytest.mark.slow
def test_the_run_after_a_failed_stream_reports_the_rest(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=100, now=NOW)
    config = settings(simulator, start_date=days_ago(95, NOW))
    catalog = only(config, "cost_report", "report_buckets")
    simulator.faults.append(Fault(400, path="cost_report", after=2))
    first = tap(config=config, catalog=catalog)
    assert first.code == 1
    before = reported(first.messages)
    assert len(before) == 62
    second = tap(config=config, catalog=catalog, state=first.state)
    assert second.code == 0
    days = {start for _, start in before | reported(second.messages)}
    assert days == {days_ago(day, NOW) for day in range(96)}


def test_an_empty_full_table_is_reported_too(simulate: Any, tap: Any) -> None:
    """Otherwise, a view could not hide its rows of yesterday."""
    simulator = simulate(days=3, now=NOW)
    body = '{"data": [], "has_more": false, "first_id": null, "last_id": null}'
    simulator.faults.append(Fault(200, body=body, path="invites"))
    simulator.faults.append(Fault(403, path="external_keys"))
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "invites", "external_keys", "report_buckets"))
    (row,) = run.records("report_buckets")
    assert (row["stream"], row["bucket_width"], row["row_count"]) == ("invites", "full", 0)
    assert row["starting_at"] == row["ending_at"] == row["extracted_at"][:19] + "Z"
    assert row["organization_id"] == simulator.organization_ids["console"]
    next_second = dt.datetime.fromisoformat(row["starting_at"]) + dt.timedelta(seconds=1)
    wait_until(lambda: dt.datetime.now(dt.UTC) >= next_second)
    again = tap(config=config, catalog=only(config, "invites", "report_buckets"))
    (newer,) = again.records("report_buckets")
    assert newer["starting_at"] > row["starting_at"]
    assert newer["row_id"] == row["row_id"]
    assert newer["row_count"] > 0


def test_repeated_rows_of_a_full_table_count_once(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    users = simulator.directories["A"].users
    page = {"data": users[:5], "has_more": True, "first_id": None, "last_id": users[4]["id"]}
    expired = {"type": "invalid_request_error", "message": "after_id: has expired"}
    for status, content in ((200, page), (400, {"type": "error", "error": expired})):
        simulator.faults.append(Fault(status, body=json.dumps(content), path="users"))
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "users", "report_buckets"))
    assert run.code == 0, run.stderr
    assert len(run.records("users")) == len(users) + 5
    (row,) = run.records("report_buckets")
    assert row["row_count"] == len(users)


def test_a_long_log_is_reported_before_the_run_ends(
    simulate: Any, capsysbinary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiting log uses memory, and a long first load that is killed would start again."""
    monkeypatch.setattr(bucket_log, "MOST_BUCKETS", 20)
    simulator = simulate(days=200, now=NOW)
    config = settings(simulator, start_date=days_ago(180, NOW), lookback_days=0)
    simulator.faults.append(Fault(429, headers={"retry-after": "86400"}, after=3))
    tap = TapClaude(config=config, catalog=only(config, "cost_report", "report_buckets"))
    with pytest.raises(Exception, match="ten minutes"):
        tap.read_all()
    messages = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    kinds = [m["type"] + m.get("stream", "") for m in messages]
    early = kinds.index("RECORDreport_buckets")
    assert "RECORDcost_report" in kinds[early:]
    assert len(reported(messages)) == 93
    state = [m["value"] for m in messages if m["type"] == "STATE"][-1]["bookmarks"]["cost_report"]
    assert state[UNREPORTED_SINCE] == days_ago(180 - 93, NOW)
    assert state["replication_key_value"] == days_ago(180 - 92, NOW)


def test_without_report_buckets_the_state_has_no_unreported_buckets(
    simulate: Any, tap: Any
) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "cost_report"))
    assert all(UNREPORTED_SINCE not in json.dumps(state) for state in run.states)
    state = run.state
    state["bookmarks"]["cost_report"][UNREPORTED_SINCE] = days_ago(60, NOW)
    run = tap(config=config, catalog=only(config, "cost_report"), state=state)
    assert UNREPORTED_SINCE not in run.state["bookmarks"]["cost_report"]


def test_report_buckets_is_the_last_stream(simulate: Any, tap: Any) -> None:
    """Also after streams whose names sort after its own."""
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "report_buckets", "users", "workspaces"))
    streams = [m["stream"] for m in run.messages if m["type"] == "RECORD"]
    assert streams[-2:] == ["report_buckets"] * 2
    assert {r["stream"] for r in run.records("report_buckets")} == {"users", "workspaces"}
