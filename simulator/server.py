"""The HTTP side: credentials, routing, limits, faults on demand, and a log of what was asked."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from simulator import console_reports
from simulator.organization import ORGANIZATION_ID
from simulator.query import ApiError, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from simulator.facts import Facts
    from simulator.replay import Replay

PREFIX = "/v1/organizations/"
ADMIN_KEY = "sk-ant-admin01-simulator"
ANALYTICS_KEY = "sk-ant-api01-simulator"
ACCESS_TOKEN = "sk-ant-oat01-simulator"  # noqa: S105
# What each credential is: A Admin key, O OAuth token, E scoped key of Claude Enterprise.
CREDENTIALS = {ADMIN_KEY: "A", ACCESS_TOKEN: "O", ANALYTICS_KEY: "E"}
API_VERSIONS = ("2023-06-01", "2026-10-21")

Answer = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Route:
    """An endpoint and the credentials that may read it."""

    answer: Callable[[console_reports.Call], Answer]
    credentials: str
    scopes: tuple[str, ...] = ()


ROUTES = {
    "usage_report/messages": Route(console_reports.usage, "AO"),
    "cost_report": Route(console_reports.cost, "AO"),
}


@dataclasses.dataclass
class Fault:
    """An answer to give instead of the right one, to so many requests for a path."""

    status: int = 500
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: str | bytes | None = None
    path: str = ""
    """Only to requests whose path ends so; empty means any."""
    times: int = 1
    after: int = 0
    """Let so many matching requests through first."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A request that came in, and the status it got."""

    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    status: int
    at: dt.datetime

    def values(self, name: str) -> list[str]:
        """Return the values of one parameter."""
        return [value for key, value in self.query if key == name]


class Simulator:
    """A server on loopback. Use it as a context manager; ``url`` is where it listens."""

    def __init__(
        self,
        facts: Facts,
        *,
        port: int = 0,
        now: dt.datetime | None = None,
        requests_per_minute: int = 0,
        refuse_future: bool = False,
        replay: Replay | None = None,
    ) -> None:
        """Bind the port (0: any free one); ``now`` stops the clock."""
        self.facts = facts
        self.stopped_clock = now
        self.requests_per_minute = requests_per_minute
        self.refuse_future = refuse_future
        self.replay = replay
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self._recent: collections.deque[dt.datetime] = collections.deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._server.simulator = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Serve until stopped."""
        self._server.serve_forever(poll_interval=0.05)

    @property
    def now(self) -> dt.datetime:
        """Time of the simulated world."""
        return self.stopped_clock or dt.datetime.now(dt.UTC)

    def requests(self, path: str = "") -> list[Seen]:
        """Return what was asked of one endpoint, or of all."""
        return [seen for seen in self.seen if seen.path == PREFIX + path or not path]

    def stats(self) -> Answer:
        """Count what was asked."""
        return {
            "requests": len(self.seen),
            "refused": sum(seen.status == 429 for seen in self.seen),
            "by_path": dict(collections.Counter(seen.path for seen in self.seen)),
            "by_status": dict(collections.Counter(seen.status for seen in self.seen)),
        }

    def next_fault(self, path: str) -> Fault | None:
        """Take the next planned fault that fits the path."""
        with self.lock:
            for fault in self.faults:
                if path.endswith(fault.path) and fault.times:
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def over_limit(self) -> int | None:
        """Return the seconds to wait where the last minute's requests are too many."""
        if not self.requests_per_minute:
            return None
        now = dt.datetime.now(dt.UTC)
        with self.lock:
            while self._recent and now - self._recent[0] > dt.timedelta(minutes=1):
                self._recent.popleft()
            if len(self._recent) >= self.requests_per_minute:
                return 60 - int((now - self._recent[0]).total_seconds())
            self._recent.append(now)
        return None

    def answer(self, path: str, pairs: list[tuple[str, str]], headers: dict[str, str]) -> Answer:
        """Answer a request, or raise an `ApiError`."""
        route = self._authorized(path, headers)
        query = Query(pairs)
        if self.replay is not None:
            return self.replay.answer(path.removeprefix(PREFIX), query)
        call = console_reports.Call(
            query=query,
            now=self.now,
            facts=self.facts,
            betas=frozenset(_list(headers.get("anthropic-beta", ""))),
            refuse_future=self.refuse_future,
        )
        return route.answer(call)

    def _authorized(self, path: str, headers: dict[str, str]) -> Route:
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not key:
            raise ApiError(401, "authentication_error", "x-api-key header is required")
        kind = CREDENTIALS.get(key)
        if kind is None:
            message = "The API key provided is invalid or has been revoked."
            raise ApiError(401, "authentication_error", message)
        if "x-api-key" in headers and kind == "O":
            raise ApiError(401, "authentication_error", "invalid x-api-key")
        version = headers.get("anthropic-version")
        if version not in API_VERSIONS:
            message = f"anthropic-version: header is required, one of {', '.join(API_VERSIONS)}"
            raise ApiError(400, "invalid_request_error", message)
        route = ROUTES.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if route is None:
            raise ApiError(404, "not_found_error", "Not found")
        if kind not in route.credentials:
            got = ["read:analytics"] if kind == "E" else ["org:admin"]
            needed = list(route.scopes) or ["org:admin"]
            message = f"Missing required scopes. Got: {got} Needed: {needed}"
            raise ApiError(403, "permission_error", message, code="api_key_scope_missing")
        return route


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simulator"
    disable_nagle_algorithm = True
    # One write a response: without a buffer each header line is a packet of its own.
    wbufsize = -1

    def do_GET(self) -> None:
        simulator: Simulator = self.server.simulator  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        if parts.path == "/_simulator/stats":
            self._send(200, {}, json.dumps(simulator.stats()).encode())
            return
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, more, body = self._respond(simulator, parts.path, pairs, headers)
        with simulator.lock:
            simulator.seen.append(
                Seen(parts.path, tuple(pairs), headers, status, dt.datetime.now(dt.UTC))
            )
        self._send(status, more, body)

    def _respond(
        self,
        simulator: Simulator,
        path: str,
        pairs: list[tuple[str, str]],
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str], bytes]:
        if fault := simulator.next_fault(path):
            body = fault.body
            if body is None:
                body = _error_body("api_error", f"planned fault {fault.status}")
            return fault.status, fault.headers, body.encode() if isinstance(body, str) else body
        if (wait := simulator.over_limit()) is not None:
            body = _error_body("rate_limit_error", "Number of requests has exceeded your limit")
            return 429, {"retry-after": str(wait)}, body
        try:
            answer = simulator.answer(path, pairs, headers)
        except ApiError as error:
            more = {}
            if error.should_retry is not None:
                more["x-should-retry"] = str(error.should_retry).lower()
            return error.status, more, _error_body(error.type, error.message, error.code)
        return 200, {}, json.dumps(answer).encode()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("request-id", f"req_{hashlib.sha256(body).hexdigest()[:24]}")
        self.send_header("anthropic-organization-id", ORGANIZATION_ID)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet; `Simulator.seen` is the log."""


def _error_body(kind: str, message: str, code: str | None = None) -> bytes:
    error: Answer = {"type": kind, "message": message}
    if code:
        error["details"] = {"error_code": code}
    return json.dumps({"type": "error", "error": error}).encode()


def _list(header: str) -> Iterable[str]:
    return (part.strip() for part in header.split(",") if part.strip())
