"""The progress line of a run."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from simulator.server import ANALYTICS_KEY, Fault
from tap_claude.progress import Progress
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings

LOGGER = logging.getLogger("test_progress")
LINE = re.compile(
    r"(?P<stream>\w+): ((?P<place>\S+), )?"
    r"((day|hour|minute|list) (?P<index>[\d,]+) of (?P<total>[\d,]+), )?"
    r"(?P<requests>[\d,]+) requests, (?P<rows>[\d,]+) rows, (?P<retries>[\d,]+) retries"
    r"(, about (\d+ h )?(\d+ min)?( ?\d+ s)? left)?"
)


@pytest.fixture
def every_line(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the line after each step of a stream."""
    lines: list[str] = []
    at = Progress.at

    def collect(self: Progress, *arguments: Any) -> None:
        at(self, *arguments)
        lines.append(self.line())

    monkeypatch.setattr(Progress, "at", collect)
    return lines


def test_every_stream_reports_its_position(
    simulate: Any, every_line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = simulate(days=12, now=NOW)
    config = settings(simulator, start_date=days_ago(9, NOW), analytics_api_key=ANALYTICS_KEY)
    simulator.faults.append(Fault(503, {"retry-after": "0"}, path="usage_report/messages"))
    streams = ("messages_usage", "analytics_cost", "analytics_users", "rbac_group_members")
    tap = TapClaude(config=config, catalog=only(config, *streams))
    tap.sync_all()
    capsys.readouterr()
    assert all(LINE.fullmatch(line) for line in every_line)
    for stream in streams:
        lines = [line for line in every_line if line.startswith(f"{stream}: ")]
        found = [match for line in lines if (match := LINE.fullmatch(line))]
        places = [match["place"] for match in found]
        assert len(set(places)) > 5
        last = found[-1]
        rows, requests = (int(last[name].replace(",", "")) for name in ("rows", "requests"))
        assert rows > 0
        sent = [s for s in simulator.seen if s.path.rpartition("organizations/")[2] != "me"]
        assert 0 < requests <= len(sent)
        assert last["retries"] == ("1" if stream == "messages_usage" else "0")
        if stream != "rbac_group_members":
            assert last["total"] == "10"
            assert last["index"] in {"9", "10", "20"}  # newest day; today; of two organizations


@pytest.mark.slow
def test_a_run_logs_its_position(simulate: Any, tap: Any) -> None:
    """With the real interval, on a stream that the rate limit slows down."""
    simulator = simulate(days=40, now=NOW)
    config = settings(
        simulator,
        start_date=days_ago(32, NOW),
        analytics_api_key=ANALYTICS_KEY,
        requests_per_minute=75,
    )
    run = tap(config=config, catalog=only(config, "analytics_users"))
    assert run.code == 0, run.stderr
    text = [line.rpartition(" | ")[2].strip() for line in run.stderr.splitlines()]
    lines = [match for line in text if (match := LINE.fullmatch(line))]
    assert 1 <= len(lines) <= 2
    assert lines[0]["total"] == "33"
    assert 10 < int(lines[0]["index"]) < 33
    assert not any(LINE.search(line) for line in run.stdout.splitlines())
