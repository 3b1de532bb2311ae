"""One connection pool for a run: one request at a time, responses within size and time limits."""

from __future__ import annotations

import datetime as dt
import ipaddress
import mmap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

from tap_claude.errors import ResponseTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_claude.progress import Progress
    from tap_claude.throttle import Throttle

CHUNK_BYTES = 64 * 2**10
CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection; ``request_timeout`` is for what follows."""
SMALL_BYTES = 2**20
# Windows knows no such flags, and needs none.
_PRIVATE = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response, read to its end."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes | memoryview
    sent_at: dt.datetime
    """Time at which the request was sent, UTC."""
    is_redirect: bool = False


class Session:
    """A connection pool behind a rate limiter. Used by one thread at a time."""

    def __init__(self, throttle: Throttle, progress: Progress) -> None:
        """Every request waits for the throttle and is counted, retries too."""
        self._throttle = throttle
        self._progress = progress
        self._requests = requests.Session()
        # With an auth of its own, requests does not look for passwords in a .netrc file.
        self._requests.auth = lambda request: request

    def get(
        self, url: str, headers: Mapping[str, str], *, timeout: float, max_bytes: int
    ) -> ApiResponse:
        """Send a request and read the response.

        Args:
            url: The URL, its query included; it is sent as it is.
            headers: All headers of the request.
            timeout: Seconds for the whole response, from sending on.
            max_bytes: Most bytes of the body, decompressed.

        Raises:
            ResponseTooLargeError: The body has more bytes.
            requests.RequestException: No whole response came in time.
            FileNotFoundError: The environment names certificates that do not exist.
        """
        request = requests.Request("GET", url, headers=dict(headers))
        prepared = self._requests.prepare_request(request)
        self._throttle.wait()
        self._progress.requests += 1
        sent_at = dt.datetime.now(dt.UTC)
        deadline = time.monotonic() + timeout
        response = self._requests.send(
            prepared,
            stream=True,
            timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
            allow_redirects=False,  # a redirect would carry the key to another host
            **self._environment(url),
        )
        body = _read_body(response, deadline, max_bytes)
        return ApiResponse(
            response.status_code,
            response.reason or "",
            response.headers,
            body,
            sent_at,
            response.is_redirect,
        )

    def _environment(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates as the environment names them.

        Requests looks at ``REQUESTS_CA_BUNDLE`` only for what it has prepared itself.
        """
        merged: dict[str, Any] = dict(
            self._requests.merge_environment_settings(url, {}, None, None, None)
        )
        # A proxy is another machine, and would get the key of a loopback server.
        local = is_loopback(urlsplit(url).hostname)
        bundle = merged["verify"]
        if isinstance(bundle, str) and not Path(bundle).exists():
            msg = f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: there is no file {bundle}"
            raise FileNotFoundError(msg)
        return {"proxies": {} if local else merged["proxies"], "verify": bundle}


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _read_body(response: requests.Response, deadline: float, max_bytes: int) -> bytes | memoryview:
    """Read a response within its limits (a monotonic clock's time, and bytes).

    A large response gets pages of memory of its own, of which it takes what it fills: a buffer of
    the heap is copied while it grows, and leaves a hole behind that the next one rarely fits.
    """
    content = mmap.mmap(-1, max_bytes, **_PRIVATE)
    try:
        with response:
            size = _fill(content, response, deadline)
        if size > SMALL_BYTES:
            return memoryview(content)[:size]
        small = content[:size]
    except BaseException:
        content.close()  # an error, and what it refers to, may live long
        raise
    content.close()
    return small


def _fill(content: mmap.mmap, response: requests.Response, deadline: float) -> int:
    """Read a response into memory as long as it may be; return its size.

    The timeout of requests is for each read, so that a trickle never runs into it; and reading
    in chunks of a size would wait for the chunk.
    """
    size = 0
    while chunk := _read_some(response):
        if size + len(chunk) > len(content):
            msg = f"a response is larger than {len(content) // 2**20} MB"
            raise ResponseTooLargeError(msg)
        content[size : size + len(chunk)] = chunk
        size += len(chunk)
        if time.monotonic() > deadline:
            msg = "the response took longer than request_timeout"
            raise requests.exceptions.ReadTimeout(msg)
    return size


def _read_some(response: requests.Response) -> bytes:
    """Return what has come in, decompressed; nothing at the end."""
    try:
        some: bytes = response.raw.read1(CHUNK_BYTES, decode_content=True)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    return some
