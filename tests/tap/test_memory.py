"""Very large pages and long runs stay within 300 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import Fault
from tests.conftest import RECENT, days_ago, measured_environment, only, settings

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import Simulator

MOST_KIB = 300 * 1024
ROWS = 300_000
START, END = days_ago(1, RECENT), days_ago(0, RECENT)

# Not getrusage: its peak includes the parent process at the fork.
SCRIPT = """
import pathlib, sys
from tap_claude.tap import TapClaude
try:
    TapClaude.cli()
finally:
    status = pathlib.Path('/proc/self/status').read_text()
    print(status.partition('VmHWM:')[2].split()[0], file=sys.stderr)
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]


def run(simulator: Simulator, stream: str, directory: Path, **more: Any) -> tuple[int, Any]:
    """Return the peak in KiB, and the row ids and the sum of a column of the written records."""
    config = settings(simulator, **{"start_date": START, "end_date": END, **more})
    for name, content in (("c", config), ("p", only(config, stream))):
        (directory / name).write_text(json.dumps(content))
    command = [sys.executable, "-c", SCRIPT, "--config", "c", "--catalog", "p"]
    ids: set[bytes] = set()
    tokens = rows = 0
    with (
        (directory / "errors").open("w") as errors,
        subprocess.Popen(
            command,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=measured_environment(PYTHONPATH=":".join(sys.path)),
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b'{"type":"RECORD"'):
                record = json.loads(line)["record"]
                ids.add(bytes.fromhex(record["row_id"]))
                tokens += record["output_tokens"]
                rows += 1
    text = (directory / "errors").read_text()
    assert process.returncode == 0, text[-2000:]
    return int(text.split()[-1]), (rows, len(ids), tokens)


def usage(number: int) -> dict[str, Any]:
    return {
        "uncached_input_tokens": 123456,
        "cache_read_input_tokens": 1234567,
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 12345},
        "output_tokens": 1,
        "server_tool_use": {"web_search_requests": 0},
        "api_key_id": f"apikey_01{number:022d}",
        "model": "claude-opus-4-6",
        "service_tier": "standard",
        "context_window": "0-200k",
        "workspace_id": f"wrkspc_01{number % 50:022d}",
        "account_id": None,
        "service_account_id": None,
        "inference_geo": None,
        "speed": None,
    }


def test_one_bucket_of_300_000_rows(simulate: Any, tmp_path: Path) -> None:
    """Three of them have the key of a distant row and are added to it."""
    simulator = simulate(days=3, now=RECENT)
    rows = [usage(number if number < ROWS - 3 else number - ROWS + 3) for number in range(ROWS)]
    bucket = {"starting_at": START, "ending_at": END, "results": rows}
    body = json.dumps({"data": [bucket], "has_more": False, "next_page": None})
    simulator.faults.append(Fault(200, path="usage_report/messages", body=body))
    peak, found = run(simulator, "messages_usage", tmp_path)
    assert found == (ROWS - 3, ROWS - 3, ROWS)
    assert peak < MOST_KIB, f"{peak} KiB for {len(body)} bytes"


def test_one_page_of_300_000_rows_by_actor(simulate: Any, tmp_path: Path) -> None:
    simulator = simulate(days=3, now=RECENT)
    bounds = {"starting_at": START, "ending_at": END}
    rows = [
        {
            **bounds,
            "group": {"api_key_id": str(number), "model": "m"},
            "usage": {"output_tokens": 1},
        }
        for number in range(ROWS)
    ]
    body = json.dumps({"data": rows, "has_more": False, "next_page": None})
    simulator.faults.append(Fault(200, path="analytics/usage", body=body))
    peak, found = run(simulator, "analytics_usage", tmp_path)
    assert found == (ROWS, ROWS, ROWS)
    assert peak < MOST_KIB, f"{peak} KiB for {len(body)} bytes"


def test_a_long_run_takes_no_more_than_a_short_one(simulate: Any, tmp_path: Path) -> None:
    """155,000 rows in 10 pages; `python -m bench --times 10` measures seven million."""
    simulator = simulate(days=3, now=RECENT)
    rows = [usage(number) for number in range(500)]

    def page(first: int, last: int) -> str:
        data = [
            {
                "starting_at": days_ago(day, RECENT),
                "ending_at": days_ago(day - 1, RECENT),
                "results": rows,
            }
            for day in range(first, last, -1)
        ]
        return json.dumps({"data": data, "has_more": False, "next_page": None})

    peaks = []
    for pages in (2, 10):
        days = 31 * pages
        for number in range(pages):
            first = days - 31 * number
            simulator.faults.append(
                Fault(200, path="usage_report/messages", body=page(first, first - 31))
            )
        peak, found = run(simulator, "messages_usage", tmp_path, start_date=days_ago(days, RECENT))
        assert found == (15_500 * pages, 15_500 * pages, 15_500 * pages)
        peaks.append(peak)
    assert peaks[1] < MOST_KIB
    assert peaks[1] - peaks[0] < 16 * 1024, peaks
