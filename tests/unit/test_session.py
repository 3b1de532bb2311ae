"""The session against a local HTTP server: what it sends, and what it accepts."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_claude.errors import ResponseTooLargeError
from tap_claude.progress import Progress
from tap_claude.session import SMALL_BYTES, ApiResponse, Session, is_loopback
from tap_claude.throttle import Throttle
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = logging.getLogger(__name__)
LARGE = b"0123456789abcdef" * (SMALL_BYTES // 8)


class Handler(BaseHTTPRequestHandler):
    """The path is the name of a response."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.path, dict(self.headers)))
        name = self.path.rpartition("/")[2].partition("?")[0]
        if name == "slow":
            self.send_slowly()
            return
        status, headers, body, length = {
            "json": (200, {"anthropic-organization-id": "org"}, b'{"data": []}', None),
            "large": (200, {}, LARGE, None),
            "gzip": (200, {"content-encoding": "gzip"}, gzip.compress(LARGE), None),
            "broken-gzip": (200, {"content-encoding": "gzip"}, b"not gzip", None),
            "short": (200, {}, b'{"data"', 100),
            "redirect": (302, {"location": "/json"}, b"", None),
            "error": (500, {}, b"{}", None),
        }[name]
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("content-length", str(len(body) if length is None else length))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def send_slowly(self) -> None:
        """Send bytes for ten seconds, each sooner than the timeout, or until the client leaves."""
        self.send_response(200)
        self.send_header("content-length", "500")
        self.send_header("connection", "close")
        self.end_headers()
        server: Any = self.server
        with contextlib.suppress(OSError):
            for _ in range(500):
                server.stopped.wait(0.02)
                self.wfile.write(b" ")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class Server(ThreadingHTTPServer):
    """The server, and the requests that it has seen."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.stopped = threading.Event()
        self.progress = Progress(LOGGER)

    def get(self, path: str, *, timeout: float = 60, max_bytes: int = 2**23) -> ApiResponse:
        session = Session(Throttle(0), self.progress)
        url = f"http://127.0.0.1:{self.server_port}/{path}"
        return session.get(url, lambda: {"x-api-key": "k"}, timeout=timeout, max_bytes=max_bytes)


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.stopped.set()
        server.shutdown()


@pytest.fixture
def server(started: Server) -> Server:
    started.seen.clear()
    return started


def test_a_request_is_sent_unchanged_and_counted(server: Server) -> None:
    before, count = dt.datetime.now(dt.UTC), server.progress.requests
    response = server.get("json?api_key_ids%5B%5D=&models%5B%5D=a%2Fb&models%5B%5D=c")
    ((path, headers),) = server.seen
    assert path == "/json?api_key_ids%5B%5D=&models%5B%5D=a%2Fb&models%5B%5D=c"
    assert headers["x-api-key"] == "k"
    assert (response.status, response.reason) == (200, "OK")
    assert response.headers["Anthropic-Organization-Id"] == "org"
    assert response.body == b'{"data": []}'
    assert before <= response.sent_at <= dt.datetime.now(dt.UTC)
    assert server.progress.requests == count + 1
    assert server.get("error").status == 500


def test_requests_wait_for_the_throttle(server: Server) -> None:
    """The session waits before each request, not after it."""
    waited: list[int] = []

    class Counting(Throttle):
        def wait(self) -> None:
            waited.append(len(server.seen))

    session = Session(Counting(1), server.progress)
    for _ in range(3):
        session.get(
            f"http://127.0.0.1:{server.server_port}/json", dict, timeout=60, max_bytes=2**20
        )
    assert waited == [0, 1, 2]


@each("path", ["large", "gzip"])
def test_the_size_of_a_response_is_limited(server: Server, path: str) -> None:
    """The limit applies to the decompressed body: a small response can be a large page."""
    response = server.get(path, max_bytes=len(LARGE))
    assert isinstance(response.body, memoryview)
    assert response.body == LARGE
    with pytest.raises(ResponseTooLargeError, match="larger than 1 MB"):
        server.get(path, max_bytes=len(LARGE) - 1)


@each(
    ("path", "error"),
    [
        ("short", requests.exceptions.ChunkedEncodingError),
        ("broken-gzip", requests.exceptions.ContentDecodingError),
    ],
)
def test_an_incomplete_response_is_an_error(
    server: Server, path: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        server.get(path)


def test_a_slow_response_ends_at_the_timeout(server: Server) -> None:
    """Each read is in time, but not the whole response."""
    with pytest.raises(requests.exceptions.ReadTimeout, match="longer than request_timeout"):
        server.get("slow", timeout=0.5)


def test_a_redirect_is_not_followed(server: Server) -> None:
    """It would carry the key to another host."""
    response = server.get("redirect")
    assert (response.status, response.is_redirect) == (302, True)
    assert [path for path, _ in server.seen] == ["/redirect"]
    assert not server.get("json").is_redirect


def test_the_environment_sets_proxies_and_certificates(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    proxy = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    session = Session(Throttle(0), server.progress)
    session.get("http://api.example/json", dict, timeout=60, max_bytes=2**20)
    assert server.seen[-1][0] == "http://api.example/json"
    # A loopback server is never reached through a proxy.
    server.get("json")
    assert server.seen[-1][0] == "/json"

    missing = tmp_path / "missing.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(missing))
    with pytest.raises(FileNotFoundError, match=r"CA_BUNDLE: the file .+missing\.pem does not"):
        server.get("json")


@each(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("api.anthropic.com", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_hosts(host: str | None, *, expected: bool) -> None:
    assert is_loopback(host) is expected
