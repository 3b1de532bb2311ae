"""One connection pool for a run: requests in turn, answers within limits, some kept."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import ipaddress
import mmap
import os
import tempfile
import time
import weakref
import zlib
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from typing_extensions import override

from tap_claude.pagination import body

if TYPE_CHECKING:
    from tap_claude.progress import Progress
    from tap_claude.throttle import Throttle

MAX_BYTES = 192 * 2**20
"""Most bytes of an answer, decompressed: it is held in memory."""
PAGE_BYTES = 32 * 2**20
"""Bytes that a page should stay within, where the tap has a choice."""
CHUNK_BYTES = 64 * 2**10
CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection; ``request_timeout`` is for what follows."""
KEPT_IN_MEMORY = 16 * 2**20
"""Most bytes of answers, compressed, that are kept where there is no disk for them."""
SMALL_BYTES = 2**20
# Windows knows no such flags, and needs none.
_PRIVATE = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
)


class TooMuchError(Exception):
    """An answer that is too large, or too slow, for what was asked; less may be had."""


class Session(requests.Session):
    """One connection pool, one rate limiter and one memory for all streams of a run."""

    def __init__(self, throttle: Throttle, progress: Progress, *, on_disk: bool = True) -> None:
        """Every request of the session waits for the throttle and is counted, retries too.

        Answers that several streams ask for are kept on disk, or in memory as far as that goes.
        """
        super().__init__()
        self.throttle = throttle
        self.progress = progress
        self.shared_paths: frozenset[str] = frozenset()
        """Ends of URL paths that more than one stream asks for: these answers are kept."""
        self.less_can_be_asked = False
        """Whether the next request could be for less, so that no answer need be far too large."""
        self._kept = Kept(on_disk=on_disk)

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kept := self._kept.get(request):
            return kept
        self.throttle.wait()
        self.progress.requests += 1
        sent_at = dt.datetime.now(dt.UTC)
        timeout: float = kwargs["timeout"]
        until = time.monotonic() + timeout
        kwargs |= {"stream": True, "timeout": (min(CONNECT_TIMEOUT, timeout), timeout)}
        response = super().send(request, **{**kwargs, **self._surroundings(request.url or "")})
        vars(response)["sent_at"] = sent_at
        vars(response)["body"] = _read_body(response, until, self._most_bytes())
        return response

    def _surroundings(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates as the environment names them.

        Requests looks at ``REQUESTS_CA_BUNDLE`` only for what it has prepared itself.
        """
        merged: dict[str, Any] = dict(self.merge_environment_settings(url, {}, None, None, None))
        # A proxy is another machine, and would get the key of a loopback server.
        local = is_loopback(urlsplit(url).hostname)
        bundle = merged["verify"]
        if isinstance(bundle, str) and not Path(bundle).exists():
            msg = f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: there is no file {bundle}"
            raise FileNotFoundError(msg)
        return {"proxies": {} if local else merged["proxies"], "verify": merged["verify"]}

    def _most_bytes(self) -> int:
        return min(MAX_BYTES, 2 * PAGE_BYTES) if self.less_can_be_asked else MAX_BYTES

    def keep(self, response: requests.Response) -> None:
        """Keep an answer that was found good, if another stream will ask for it."""
        path = urlsplit(response.url).path.partition("/organizations/")[2]
        if path in self.shared_paths and self._kept.get(response.request) is None:
            self._kept.put(response.request, response)


class Kept:
    """Answers that another stream will ask for again, in a file that goes with the process.

    Without a disk they are in memory, and from a certain size on not kept: they are asked for
    again.
    """

    def __init__(self, *, on_disk: bool = True) -> None:
        """Begin with nothing kept and no file."""
        self._on_disk = on_disk
        self._file: IO[bytes] | None = None
        self._places: dict[tuple[str | None, str], tuple[int, int, dt.datetime]] = {}

    def put(self, request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keep the body of an answer, if there is room."""
        if self._file is None:
            self._file = self._open()
        packed = zlib.compress(body(response), level=1)
        with contextlib.suppress(OSError):  # a full disk
            start = self._file.seek(0, os.SEEK_END)
            if isinstance(self._file, io.BytesIO) and start + len(packed) > KEPT_IN_MEMORY:
                return
            self._file.write(packed)
            self._file.flush()
            self._places[self._key(request)] = (start, len(packed), vars(response)["sent_at"])

    def _open(self) -> IO[bytes]:
        if self._on_disk:
            with contextlib.suppress(OSError):  # read-only, as containers often are
                file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the run
                weakref.finalize(self, file.close)
                return file
        return io.BytesIO()

    def get(self, request: requests.PreparedRequest) -> requests.Response | None:
        """Return the answer to the same request, if it was kept."""
        place = self._places.get(self._key(request))
        if place is None or self._file is None:
            return None
        start, length, sent_at = place
        self._file.seek(start)
        response = requests.Response()
        response.status_code = HTTPStatus.OK
        response.url = request.url or ""
        response.request = request
        vars(response)["body"] = zlib.decompress(self._file.read(length))
        vars(response)["sent_at"] = sent_at
        return response

    @staticmethod
    def _key(request: requests.PreparedRequest) -> tuple[str | None, str]:
        headers = request.headers
        return request.url, headers.get("x-api-key") or headers.get("authorization", "")


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _read_body(response: requests.Response, until: float, most: int) -> bytes | memoryview:
    """Read an answer, within the bytes and the time that it may take (a monotonic clock's).

    A large answer gets pages of memory of its own, of which it takes what it fills: a buffer of
    the heap is copied while it grows, and leaves a hole behind that the next one rarely fits.
    """
    content = mmap.mmap(-1, most, **_PRIVATE)
    try:
        with response:
            size = _fill(content, response, until)
        if size > SMALL_BYTES:
            return memoryview(content)[:size]
        small = content[:size]
    except BaseException:
        content.close()  # an error, and what it refers to, may live long
        raise
    content.close()
    return small


def _fill(content: mmap.mmap, response: requests.Response, until: float) -> int:
    """Read an answer into memory as long as it may be; return how long it is.

    The timeout of requests is for each read, so that a trickle never runs into it; and reading
    in chunks of a size would wait for the chunk.
    """
    size = 0
    while chunk := _read_some(response):
        if size + len(chunk) > len(content):
            msg = f"an answer is larger than {len(content) // 2**20} MB"
            raise TooMuchError(msg)
        content[size : size + len(chunk)] = chunk
        size += len(chunk)
        if time.monotonic() > until:
            msg = "the answer took longer than request_timeout"
            raise requests.exceptions.ReadTimeout(msg)
    return size


def _read_some(response: requests.Response) -> bytes:
    """Return what has come in, decompressed; nothing at the end."""
    try:
        some: bytes = response.raw.read1(CHUNK_BYTES, decode_content=True)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    return some
