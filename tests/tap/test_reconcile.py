"""The reconciliation passes if the numbers agree, and shows where they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import ANALYTICS_KEY, Fault
from tests.conftest import RECENT, days_ago, environment, settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.measured]


def reconcile(
    tmp_path: Path, config: dict[str, Any], *arguments: str
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    command = "from tap_claude.reconcile import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "--config", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def test_everything_agrees(simulate: Any, tmp_path: Path) -> None:
    simulator = simulate(days=40, now=RECENT)
    config = settings(simulator, analytics_api_key=ANALYTICS_KEY, bucket_width="1h")
    done = reconcile(tmp_path, config, "--start-date", days_ago(30, RECENT))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok       analytics_cost (console), sum of rows = the API's total",
        "ok       analytics_cost (enterprise), sum of rows = the API's total",
        "ok       analytics_usage (console), sum of rows = the API's total",
        "ok       analytics_usage (enterprise), sum of rows = the API's total",
        "ok       cost_report (console), sum of rows = the API's total",
        "ok       messages_usage (console), sum of rows = the API's total",
        "ok       analytics_cost (console) = cost_report without credits",
    ]
    assert all("31 days, 0 with a difference" in line for line in lines)
    assert '"type"' not in done.stdout


@pytest.mark.parametrize(
    ("threshold", "code"), [("0.01", 1), ("1000000", 0)], ids=["over", "under"]
)
def test_a_difference_is_shown_by_day(
    simulate: Any, tmp_path: Path, threshold: str, code: int
) -> None:
    simulator = simulate(days=10, now=RECENT)
    start, end = days_ago(5, RECENT), days_ago(4, RECENT)
    row = {"amount": "123", "currency": "USD", "description": "d", "cost_type": "tokens"}
    bucket = {"starting_at": start, "ending_at": end, "results": [row]}
    body = {"data": [bucket], "has_more": False, "next_page": None}
    simulator.faults.append(Fault(status=200, body=json.dumps(body), path="/cost_report"))
    config = settings(simulator, start_date=start)
    done = reconcile(tmp_path, config, "--end-date", end, "--threshold", threshold)
    assert done.returncode == code, done.stderr
    first = next(line for line in done.stdout.splitlines() if "  " + start[:10] in line)
    assert "1.23" in first
    assert ("DIFFERS" in done.stdout) is (code == 1)


def test_incomplete_days_are_not_a_difference(simulate: Any, tmp_path: Path) -> None:
    simulator = simulate(days=10)
    row = {"amount": "123", "currency": "USD", "description": "d", "cost_type": "tokens"}
    bucket = {"starting_at": days_ago(0), "ending_at": days_ago(-1), "results": [row]}
    body = {"data": [bucket], "has_more": False, "next_page": None}
    simulator.faults.append(Fault(status=200, body=json.dumps(body), path="/cost_report"))
    config = settings(simulator, start_date=days_ago(0))
    done = reconcile(tmp_path, config, "--end-date", days_ago(-1))
    assert done.returncode == 0, done.stdout
    assert "(still open)" in done.stdout


def test_wrong_input_is_one_line(simulate: Any, tmp_path: Path) -> None:
    config = settings(simulate(days=3))
    for arguments, says in (
        (["--threshold", "much"], "threshold"),
        (["--start-date", "soon"], "start_date"),
    ):
        done = reconcile(tmp_path, config, *arguments)
        assert done.returncode == 1
        assert says in done.stderr
        assert "Traceback" not in done.stderr
