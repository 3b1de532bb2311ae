"""Fixtures that all workers of a session share: PostgreSQL and Meltano."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from demo.meltano import Meltano
from demo.postgres import Server, postgres
from tests.conftest import environment
from tests.e2e.spend_marts import build as build_spend_marts
from tests.forks import Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.forks import Done


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the session, which all workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def messages_folder(shared: Path) -> Path:
    """Return the folder for what the customers of the dbt package have sent."""
    folder = shared / "messages"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def server(shared: Path) -> Iterator[Server]:
    """Serve PostgreSQL; the first worker that needs it starts it, and stops it after the others."""
    users = shared / "postgres-users"
    note = shared / "postgres.json"
    user = users / str(os.getpid())
    with FileLock(shared / "postgres.lock"):
        users.mkdir(exist_ok=True)
        user.touch()
        if note.exists():
            made = Server(**json.loads(note.read_text()))
            directory = None
        else:
            # Not in pytest's folder: root owns it, and PostgreSQL runs as another user.
            directory = tempfile.TemporaryDirectory(prefix="data-")
            starting = postgres(Path(directory.name) / "data")
            made = starting.__enter__()
            note.write_text(json.dumps({"host": made.host}))
    yield made
    user.unlink()
    if directory is not None:
        while note.exists():
            with FileLock(shared / "postgres.lock"):
                if not any(is_alive(int(other.name)) for other in users.iterdir()):
                    note.unlink()  # the next worker starts another one
            time.sleep(0.1)
        starting.__exit__(None, None, None)
        directory.cleanup()


@pytest.fixture(scope="session")
def plugins(shared: Path) -> None:
    """Let Meltano install its plugins, once for all workers."""
    with FileLock(shared / "meltano.lock"):
        meltano = Meltano(shared, {})
        if not meltano.is_installed():
            meltano.install()


@pytest.fixture(scope="session")
def report() -> Iterator[Callable[..., Done]]:
    """Run ``claude-report`` in a process of its own."""
    env = environment()

    def run(database: str, out: Path, *options: str) -> Done:
        return forks.run(["--database", database, "--out", str(out), *options], env)

    with Forks(sys.executable, "claude_report", ["claude_report.report"], env) as forks:
        yield run


@pytest.fixture(scope="session")
def spend_marts(shared: Path) -> Path:
    """Return a DuckDB file with the marts of several customers, built once for all."""
    folder = shared / "spend"
    with FileLock(shared / "spend.lock"):
        if not (folder / "spend.duckdb").exists():
            folder.mkdir(exist_ok=True)
            return build_spend_marts(folder)
    return folder / "spend.duckdb"
