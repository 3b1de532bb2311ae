"""What the loads need at most at a time: memory and connections. Linux only."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_SECONDS = 1
OWN = 2
CONNECTIONS = """
    select
        count(*) filter (where datname = 'airflow'),
        count(*) filter (where datname <> 'airflow')
    from pg_stat_activity where backend_type = 'client backend'
"""
LOAD = re.compile(rb"\0MELTANO_SYS_DIR_ROOT=([^\0]+)")
SCHEDULER = re.compile(rb"\0AIRFLOW_HOME=([^\0]+)")


class Gauge:
    """Measures in a thread, while it is used as a context manager."""

    def __init__(self, dsn: str) -> None:
        """``dsn``: the database whose connections are counted."""
        self.load_mb = 0
        """The most that the processes of one load had together, in MB (shared pages divided)."""
        self.airflow_mb = 0
        """The most that all processes of Airflow had together."""
        self.load_connections = 0
        """The most connections to PostgreSQL that the loads had, without the trial's own two."""
        self.airflow_connections = 0
        self._dsn = dsn
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._measure)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopped.set()
        self._thread.join()

    def _measure(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as database:
            while not self._stopped.wait(INTERVAL_SECONDS):
                (airflow, others) = database.execute(CONNECTIONS).fetchone() or (0, OWN)
                self.airflow_connections = max(self.airflow_connections, airflow)
                self.load_connections = max(self.load_connections, others - OWN)
                memory: dict[bytes, int] = {}
                for group, kilobytes in _processes():
                    memory[group] = memory.get(group, 0) + kilobytes
                self.airflow_mb = max(self.airflow_mb, memory.pop(b"", 0) // 1024)
                self.load_mb = max([self.load_mb, *(kb // 1024 for kb in memory.values())])


def _processes() -> Iterator[tuple[bytes, int]]:
    """Yield the folder of the load, empty for Airflow's own, and the kB of each process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            environ = (folder / "environ").read_bytes()
            load = LOAD.search(environ)
            if load or SCHEDULER.search(environ):
                found = re.search(
                    r"^Pss: +(\d+)", (folder / "smaps_rollup").read_text(), re.MULTILINE
                )
                yield load[1] if load else b"", int(found[1]) if found else 0
