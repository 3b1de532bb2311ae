"""``python -m bench.marts``: what it costs to build all marts from raw tables of a year.

The tables are generated in the database, in the layout that targets leave. The days have 2,000 rows
in each of analytics_cost and analytics_usage, and ten times that with ``--times 10``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg

from bench.year import DAYS, DUCKDB, POSTGRES, bill, generate
from demo.meltano import ROOT
from demo.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DBT = ROOT / ".dbt" / "bin" / "dbt"
ROWS_PER_DAY = 2000
SCHEMA = "claude_marts"
MEMORY = "8GB"
"""Limit of DuckDB, which otherwise takes most of the machine's memory, and writes less to disk."""
SECONDS = 0.2
"""Between two looks at the memory."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """What it cost to build the marts."""

    rows: int
    """Rows of analytics_cost, and of analytics_usage."""
    seconds: float
    """For the models, without the start of dbt."""
    cpu: float
    """CPU seconds: of dbt with DuckDB in it, and with its start, or of the server."""
    peak: float
    """Megabytes: of dbt with DuckDB in it, or of the server's processes without shared buffers."""
    charges: int
    """Rows of claude_focus."""
    slowest: str
    """The model that took longest."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """A database, and what dbt needs to know of it."""

    connect: Callable[[], Any]
    types: Mapping[str, str]
    """Types of columns by format."""
    environment: dict[str, str]
    postmaster: int | None = None
    """Process that starts those that do the work; none if dbt itself does it."""

    def execute(self, statement: str) -> None:
        """Run a statement."""
        with self.connect() as connection:
            connection.execute(statement)

    def one(self, query: str) -> Any:
        """Return the value that a query gives."""
        with self.connect() as connection:
            return connection.execute(query).fetchone()[0]


@contextlib.contextmanager
def engine(name: str, directory: Path) -> Iterator[Engine]:
    """Start an empty database."""
    if name == "duckdb":
        path = str(directory / "bench.duckdb")
        profile = {
            "type": "duckdb",
            "path": path,
            "schema": SCHEMA,
            "threads": 4,
            "settings": {"memory_limit": MEMORY},
        }
        profiles = {"claude": {"target": "duckdb", "outputs": {"duckdb": profile}}}
        (directory / "profiles.yml").write_text(json.dumps(profiles))
        environment = {"DBT_PROFILES_DIR": str(directory)}
        yield Engine(lambda: duckdb.connect(path), DUCKDB, environment)
        return
    with postgres(directory / "postgres") as server:
        pid = int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
        yield Engine(
            lambda: psycopg.connect(server.dsn, autocommit=True),
            POSTGRES,
            {"DBT_TARGET": "postgres", "CLAUDE_DBT_HOST": server.host},
            pid,
        )


def build(name: str, times: int, directory: Path) -> Figures:
    """Generate tables and build all models from them."""
    per_day = ROWS_PER_DAY * times
    with engine(name, directory) as database:
        generate(database.execute, database.types, per_day)
        paths = {
            "DBT_PROFILES_DIR": str(ROOT / "transform"),
            "DBT_PROJECT_DIR": str(ROOT / "transform"),
            "DBT_TARGET_PATH": str(directory / "target"),
            "DBT_LOG_PATH": str(directory / "logs"),
            "CLAUDE_DBT_SCHEMA": SCHEMA,
        }
        before = seconds_of_children(database.postmaster or os.getpid())
        with (directory / "dbt.txt").open("wb") as log:
            process = subprocess.Popen(
                [str(DBT), "--no-use-colors", "run"],
                env=os.environ | paths | database.environment,
                stdout=log,
                stderr=log,
            )
            with watching(lambda: children(database.postmaster or os.getpid())) as memory:
                code = process.wait()
        cpu = seconds_of_children(database.postmaster or os.getpid()) - before
        if code:
            sys.exit((directory / "dbt.txt").read_text()[-3000:])
        results = json.loads((directory / "target" / "run_results.json").read_text())
        slowest = max(results["results"], key=lambda result: float(result["execution_time"]))
        count = database.one(f"select count(*) from {SCHEMA}.claude_focus")
        billed = database.one(f'select sum("BilledCost") from {SCHEMA}.claude_focus')
        if billed != bill(per_day):
            sys.exit(f"BilledCost is {billed}, not {bill(per_day)}")
    return Figures(
        rows=DAYS * per_day,
        seconds=float(results["elapsed_time"]),
        cpu=cpu,
        peak=max(memory),
        charges=count,
        slowest=f"{slowest['unique_id'].rpartition('.')[2]} {slowest['execution_time']:.0f} s",
    )


@contextlib.contextmanager
def watching(pids: Callable[[], list[int]]) -> Iterator[list[float]]:
    """Note the megabytes of processes until the end."""
    seen = [0.0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS):
            seen.append(sum(map(private_memory, pids())))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def private_memory(pid: int) -> float:
    """Return the megabytes that a process shares with no other, 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(fields(path)[1]) == pid:
                found.append(int(path.parent.name))
    return found


def seconds_of_children(pid: int) -> float:
    """Return the CPU time of the processes that a process has started, and that have ended."""
    user, system = map(int, fields(Path(f"/proc/{pid}/stat"))[13:15])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def fields(path: Path) -> list[str]:
    """Return the fields of a file /proc/PID/stat after the name, which may contain spaces."""
    return path.read_text().rpartition(") ")[2].split()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.marts", description=__doc__)
    parser.add_argument("--engine", choices=["duckdb", "postgres"], action="append")
    parser.add_argument("--times", type=int, action="append", help="1 and 10 by default")
    args = parser.parse_args()
    print(
        f"{'':10}{'rows of each':>14}{'seconds':>9}{'CPU s':>7}{'us CPU a row':>14}"
        f"{'peak MB':>9}"
        f"{'claude_focus':>14}  slowest"
    )
    for name in args.engine or ["duckdb", "postgres"]:
        for times in args.times or [1, 10]:
            started = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="marts-") as directory:
                it = build(name, times, Path(directory))
            print(
                f"{name:10}{it.rows:>14,}{it.seconds:>9.0f}{it.cpu:>7.0f}"
                f"{it.cpu / it.rows * 1e6:>14.0f}{it.peak:>9.0f}{it.charges:>14,}"
                f"  {it.slowest} ({time.monotonic() - started:.0f} s in all)",
                flush=True,
            )


if __name__ == "__main__":
    main()
