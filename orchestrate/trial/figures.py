"""``python -m orchestrate.trial.figures``: what one organization costs, for docs/scale.md.

Reads a year of a simulated Console organization and of one of Claude Enterprise, with all streams,
and then once more on the following day, with the state of the first run. No Meltano, no target.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo.meltano import ROOT
from simulator.facts import Facts
from simulator.server import ADMIN_KEY, ANALYTICS_KEY, Simulator

if TYPE_CHECKING:
    from collections.abc import Mapping

DAYS = 364
BREADTH = 24
KEYS = {"Console": {"admin_api_key": ADMIN_KEY}, "Enterprise": {"analytics_api_key": ANALYTICS_KEY}}
PER_MINUTE, BURST = 50, 10
"""Default of requests_per_minute, and what the tap sends at once."""


@dataclass(frozen=True)
class Figures:
    """One run of the tap."""

    requests: int
    rows: int
    megabytes: int
    cpu_seconds: float
    peak_mb: int

    @property
    def minutes(self) -> float:
        """Return how long the rate limit makes it take, at least."""
        return max(0, self.requests - BURST) / PER_MINUTE


def main() -> int:
    """Print the table."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    first_day = (now - dt.timedelta(days=DAYS)).date()
    print("organization  run      requests   minutes      rows   MB  CPU s  peak MB")
    for kind, keys in KEYS.items():
        facts = Facts(seed=7, first_day=first_day, today=now.date(), breadth=BREADTH)
        simulator = Simulator(facts, now=now - dt.timedelta(days=1))
        with simulator, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = {
                **keys,
                "base_url": simulator.url,
                "requests_per_minute": 0,
                "start_date": first_day.isoformat(),
            }
            (folder / "config.json").write_text(json.dumps(config))
            for run in ("first", "nightly"):
                it = read(folder, simulator)
                print(
                    f"{kind:12}  {run:8}{it.requests:9,}{it.minutes:10.1f}{it.rows:10,}"
                    f"{it.megabytes:5}{it.cpu_seconds:7.1f}{it.peak_mb:9}",
                    flush=True,
                )
                simulator.stopped_clock = now
    return 0


def read(folder: Path, simulator: Simulator) -> Figures:
    """Run the tap; the state is kept in the folder."""
    state, messages = folder / "state.json", folder / "messages.jsonl"
    command = [sys.executable, "-m", "tap_claude", "--config", str(folder / "config.json")]
    if state.exists():
        command += ["--state", str(state)]
    before = len(simulator.seen)
    environ = _environment()
    with messages.open("wb") as out, (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=out, stderr=log, env=environ, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((folder / "log").read_text()[-2000:])
    rows = 0
    with messages.open("rb") as lines:
        for line in lines:
            rows += line.startswith(b'{"type":"RECORD"')
            if line.startswith(b'{"type":"STATE"'):
                state.write_bytes(line)
    return Figures(
        requests=len(simulator.seen) - before,
        rows=rows,
        megabytes=messages.stat().st_size // 1_000_000,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss // 1024,
    )


def _environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TAP_CLAUDE")}


if __name__ == "__main__":
    sys.exit(main())
