"""The connection pool of a run: one request at a time, with size and time limits."""

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
    from collections.abc import Callable, Mapping

    from tap_claude.progress import Progress
    from tap_claude.throttle import Throttle

CHUNK_BYTES = 64 * 2**10
CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection; ``request_timeout`` applies to the whole response."""
SMALL_BYTES = 2**20
# Windows has no such flags and does not need them.
_PRIVATE = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A complete response."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes | memoryview
    sent_at: dt.datetime
    """Time at which the request was sent, UTC."""
    is_redirect: bool = False


class Session:
    """A connection pool behind a rate limiter. Used by one thread at a time."""

    def __init__(self, throttle: Throttle, progress: Progress) -> None:
        """Set the throttle, and the counter of requests; both apply to retries too."""
        self._throttle = throttle
        self._progress = progress
        self._requests = requests.Session()
        # With a custom auth, requests does not read passwords from a .netrc file.
        self._requests.auth = lambda request: request

    def get(
        self, url: str, headers: Callable[[], Mapping[str, str]], *, timeout: float, max_bytes: int
    ) -> ApiResponse:
        """Send a GET request and read the response; see `_exchange`."""
        return self._exchange(
            "GET", url, lambda: (headers(), None), timeout=timeout, max_bytes=max_bytes
        )

    def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], bytes],
        *,
        timeout: float,
        max_bytes: int,
    ) -> ApiResponse:
        """Send a POST request and read the response; see `_exchange`."""
        return self._exchange(
            "POST", url, lambda: (headers, body()), timeout=timeout, max_bytes=max_bytes
        )

    def _exchange(
        self,
        method: str,
        url: str,
        content: Callable[[], tuple[Mapping[str, str], bytes | None]],
        *,
        timeout: float,
        max_bytes: int,
    ) -> ApiResponse:
        """Send a request and read the response.

        Args:
            method: GET or POST.
            url: The URL, including its query; it is sent unchanged.
            content: Returns all headers and the body. It is called when the request may be sent:
                a token in them must not expire while the rate limiter waits.
            timeout: Seconds for the complete response, counted from sending the request.
            max_bytes: Maximum size of the decompressed body.

        Raises:
            ResponseTooLargeError: The body exceeds ``max_bytes``.
            requests.RequestException: No complete response arrived in time.
            FileNotFoundError: The environment names a certificate file that does not exist.
        """
        self._throttle.wait()
        headers, body = content()
        request = requests.Request(method, url, headers=dict(headers), data=body)
        prepared = self._requests.prepare_request(request)
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
        return ApiResponse(
            response.status_code,
            response.reason or "",
            response.headers,
            _read_body(response, deadline, max_bytes),
            sent_at,
            response.is_redirect,
        )

    def _environment(self, url: str) -> dict[str, Any]:
        """Return the proxies and certificates that the environment variables set.

        Requests reads ``REQUESTS_CA_BUNDLE`` only for requests that it prepares itself.
        """
        merged: dict[str, Any] = dict(
            self._requests.merge_environment_settings(url, {}, None, None, None)
        )
        # A proxy is another machine; it must not receive the key for a loopback server.
        local = is_loopback(urlsplit(url).hostname)
        bundle = merged["verify"]
        if isinstance(bundle, str) and not Path(bundle).exists():
            msg = f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: the file {bundle} does not exist"
            raise FileNotFoundError(msg)
        return {"proxies": {} if local else merged["proxies"], "verify": bundle}


def is_loopback(host: str | None) -> bool:
    """Whether a host is the local machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _read_body(response: requests.Response, deadline: float, max_bytes: int) -> bytes | memoryview:
    """Read a response within its limits: a deadline on the monotonic clock, and a size.

    A large response is stored in its own memory map, which uses only the pages that are filled. A
    buffer on the heap would be copied while it grows, and would fragment the heap.
    """
    content = mmap.mmap(-1, max_bytes, **_PRIVATE)
    try:
        with response:
            size = _fill(content, response, deadline)
        if size > SMALL_BYTES:
            return memoryview(content)[:size]
        small = content[:size]
    except BaseException:
        content.close()  # an error may keep a reference for a long time
        raise
    content.close()
    return small


def _fill(content: mmap.mmap, response: requests.Response, deadline: float) -> int:
    """Read a response into memory up to its limits; return its size.

    The timeout of requests applies to each read, so a slow trickle never exceeds it. Reading
    chunks of a fixed size would wait until a chunk is full.
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
    """Return the decompressed bytes that have arrived; empty at the end."""
    try:
        some: bytes = response.raw.read1(CHUNK_BYTES, decode_content=True)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    return some
