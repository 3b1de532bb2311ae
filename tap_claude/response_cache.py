"""Responses that another stream will ask for again, kept until the end of the run."""

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
"""Most bytes of responses, compressed, that are kept where there is no disk for them."""


class _Place(NamedTuple):
    start: int
    length: int
    sent_at: dt.datetime


class ResponseCache:
    """Bodies of responses in a file that ends with the process.

    Without a disk they are in memory, and from a certain size on they are not kept.
    """

    def __init__(self, *, on_disk: bool = True) -> None:
        """Start empty, without a file."""
        self._on_disk = on_disk
        self._file: IO[bytes] | None = None
        self._places: dict[tuple[str, str], _Place] = {}

    def put(self, key: tuple[str, str], body: bytes | memoryview, sent_at: dt.datetime) -> None:
        """Keep the body of a response under its URL and credential, if there is room."""
        if key in self._places:
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
            self._places[key] = _Place(start, len(packed), sent_at)

    def get(self, key: tuple[str, str]) -> tuple[bytes, dt.datetime] | None:
        """Return the body of a response and the time of its request, if it was kept."""
        place = self._places.get(key)
        if place is None or self._file is None:
            return None
        self._file.seek(place.start)
        return zlib.decompress(self._file.read(place.length)), place.sent_at

    def _open(self) -> IO[bytes]:
        if self._on_disk:
            with contextlib.suppress(OSError):  # read-only, as containers often are
                file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the run
                weakref.finalize(self, file.close)
                return file
        return io.BytesIO()
