"""Cache of responses that another stream will request again, for the duration of a run."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import weakref
import zlib
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

MEMORY_BYTES = 16 * 2**20
"""Maximum size of the cache, compressed, if it is held in memory."""


class _Entry(NamedTuple):
    start: int
    length: int
    sent_at: dt.datetime


class ResponseCache:
    """Response bodies in a temporary file, which is deleted when the process ends.

    Without a disk, they are held in memory, up to a maximum size.
    """

    def __init__(self, *, on_disk: bool = True) -> None:
        """Start empty, without a file."""
        self._on_disk = on_disk
        self._file: IO[bytes] | None = None
        self._entries: dict[tuple[str, str], _Entry] = {}

    def put(self, key: tuple[str, str], body: bytes | memoryview, sent_at: dt.datetime) -> None:
        """Store the body of a response under its URL and credential, if there is space."""
        if key in self._entries:
            return
        if self._file is None:
            self._file = self._open()
        packed = zlib.compress(body, level=1)
        with contextlib.suppress(OSError):  # a full disk
            start = self._file.seek(0, os.SEEK_END)
            if isinstance(self._file, io.BytesIO) and start + len(packed) > MEMORY_BYTES:
                return
            self._file.write(packed)
            self._file.flush()
            self._entries[key] = _Entry(start, len(packed), sent_at)

    def get(self, key: tuple[str, str]) -> tuple[bytes, dt.datetime] | None:
        """Return the body of a response and the time of its request, if it is stored."""
        entry = self._entries.get(key)
        if entry is None or self._file is None:
            return None
        self._file.seek(entry.start)
        return zlib.decompress(self._file.read(entry.length)), entry.sent_at

    def _open(self) -> IO[bytes]:
        if self._on_disk:
            with contextlib.suppress(OSError):  # a read-only file system, as in many containers
                file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the run
                weakref.finalize(self, file.close)
                return file
        return io.BytesIO()
