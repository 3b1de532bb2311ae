"""Run a contestant against its own server, and measure its cost and its output."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.contestants import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.contestants import Contestant
    from bench.workloads import Workload

LINES_OF_ROWS = (b'{"type":"RECORD"', b'{"type": "RECORD"')


@dataclass(frozen=True)
class Cost:
    """The cost of a process: seconds and megabytes."""

    cpu: float
    wall: float
    peak: float


@dataclass(frozen=True)
class Result:
    """The cost and the output of a run."""

    cost: Cost
    rows: int
    written: int
    """Bytes."""
    requests: int
    largest: int
    """Bytes of the largest page."""


class FailedError(Exception):
    """A contestant failed or lost rows."""


def run(contestant: Contestant, workload: Workload, directory: Path, latency: float = 0) -> Result:
    """Run a contestant once; its output stays in the directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with serve(directory, workload, latency) as url:
        command = [str(contestant.python), *contestant.command(workload, url, directory)]
        cost = measure(command, directory / "stdout", directory / "stderr")
        stats = _get(f"{url}/_bench/stats")
    files = contestant.output(directory)
    rows = sum(map(rows_in, files))
    expected = workload.buckets * workload.rows_per_bucket
    if rows != expected:
        log = (directory / "stderr").read_text(errors="replace")[-2000:]
        msg = f"{contestant.name} gave {rows} rows of {workload.name}, not {expected}:\n{log}"
        raise FailedError(msg)
    written = sum(path.stat().st_size for path in files)
    return Result(cost, rows, written, stats["requests"], stats["largest"])


def measure(command: Sequence[str], stdout: Path, stderr: Path) -> Cost:
    """Run a command to its end. Raises `FailedError` if it fails.

    The kernel reports the peak memory of the process. It includes the memory of the parent at the
    fork, so this process must be smaller than all processes that it measures.
    """
    with stdout.open("wb") as out, stderr.open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env=environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        log = stderr.read_text(errors="replace")[-2000:]
        msg = f"{' '.join(command)} ended with {process.returncode}:\n{log}"
        raise FailedError(msg)
    kilobytes = usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return Cost(usage.ru_utime + usage.ru_stime, wall, kilobytes * 1024 / 1e6)


def environment() -> dict[str, str]:
    """Return the environment of this process, without settings of the tap or of a proxy.

    Compiled modules are cached, as on any machine that runs a tap more than once.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TAP_", "DLT_"))
        and not name.lower().endswith("_proxy")
        and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**env, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "NO_PROXY": "127.0.0.1"}


@contextlib.contextmanager
def serve(directory: Path, workload: Workload, latency: float) -> Iterator[str]:
    """Serve the pages of a workload in a separate process; yield its URL."""
    url_file = directory / "url"
    command = [sys.executable, "-m", "bench.server", "--url-file", str(url_file)]
    command += ["--stream", workload.stream, "--groups", str(workload.groups)]
    command += ["--latency", str(latency)]
    with subprocess.Popen(command, cwd=ROOT, env=environment()) as process:
        try:
            while not (url_file.exists() and url_file.read_text()):
                if process.poll() is not None:
                    msg = "the server did not start"
                    raise FailedError(msg)
                time.sleep(0.01)
            yield url_file.read_text()
        finally:
            process.terminate()


def rows_in(path: Path) -> int:
    """Count the rows in a file of messages, or in a table of dlt."""
    if path.name == "stdout":
        with path.open("rb") as lines:
            return sum(line.startswith(LINES_OF_ROWS) for line in lines)
    if path.parent.name in {"messages_usage__results", "analytics_cost"}:
        with path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return 0


def _get(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as response:
        content: dict[str, Any] = json.loads(response.read())
    return content
