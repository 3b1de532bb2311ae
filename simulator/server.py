"""The HTTP server: credentials, routing, limits, injected faults, and a log of requests."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import json
import socket
import sys
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from simulator import admin_lists, enterprise_lists
from simulator.changes import LONE_SURROGATE
from simulator.directory import Directory
from simulator.facts import Facts
from simulator.faults import ORGANIZATION_HEADER, Fault, deliver, error_body, request_id
from simulator.organization import DEFAULT_WORKSPACE
from simulator.query import ApiError, Query, invalid
from simulator.routes import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    ANALYTICS_KEY,
    COMPLIANCE_KEY,
    CREDENTIALS,
    ENTERPRISE,
    PERSONAL_KEY,
    PREFIX,
    ROUTES,
    SCOPES,
    USER_MANAGEMENT,
    WORKSPACE_KEY,
    Response,
    Route,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from simulator.changes import Pairs
    from simulator.replay import Replay

__all__ = (
    "ACCESS_TOKEN",
    "ADMIN_KEY",
    "ANALYTICS_KEY",
    "COMPLIANCE_KEY",
    "CREDENTIALS",
    "PERSONAL_KEY",
    "PREFIX",
    "ROUTES",
    "SCOPES",
    "WORKSPACE_KEY",
    "Fault",
    "Simulator",
)

OAUTH = "oauth-2025-04-20"
"""Beta header that an OAuth access token requires."""
WORKSPACE_HEADER = "anthropic-workspace-id"
JSON = "application/json"
API_VERSIONS = ("2023-06-01", "2026-10-21")


@dataclasses.dataclass(frozen=True)
class Seen:
    """A received request, and the status of its response."""

    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    status: int
    at: dt.datetime

    def values(self, name: str) -> list[str]:
        """Return the values of one parameter."""
        return [value for key, value in self.query if key == name]


class Simulator:
    """A server on localhost. Use it as a context manager; ``url`` is its address."""

    def __init__(  # noqa: PLR0913, keywords of a test
        self,
        facts: Facts,
        *,
        port: int = 0,
        now: dt.datetime | None = None,
        requests_per_minute: int = 0,
        refuse_future: bool = False,
        replay: Replay | None = None,
        directory: Directory | None = None,
        enterprise: Facts | None = None,
        organization_header: bool = True,
        split_buckets: bool = False,
        repeat_rows: bool = False,
    ) -> None:
        """Bind the port (0: any free port); ``now`` is a fixed time.

        Without ``organization_header``, responses do not name the organization, as behind some
        proxies. With ``split_buckets``, the last bucket of a page continues on the next page, with
        the same ``starting_at``. With ``repeat_rows``, a page of Claude Code or of the new
        analytics repeats the last row of the previous page, as if a cursor counted the rows of a
        growing day.
        """
        self.facts = facts
        console = directory or Directory(facts.organization)
        # The key of Claude Enterprise belongs to another organization.
        self.enterprise = enterprise or Facts(
            seed=facts.seed + 1,
            first_day=facts.first_day,
            today=facts.today,
            breadth=facts.breadth,
            enterprise=True,
            shared_people=facts.shared_people,
        )
        self.organization_header = organization_header
        self.organization_ids = {
            "console": console.organization.id,
            "enterprise": self.enterprise.organization.id,
        }
        other = enterprise_lists.EnterpriseDirectory(self.enterprise.cast)
        self.directories = dict.fromkeys("AOWP", console) | dict.fromkeys("EC", other)
        self.acts_on = set(facts.organization.workspaces)
        """Workspaces that the personal key may act on; tests may remove some."""
        self.scopes = {kind: list(scopes) for kind, scopes in SCOPES.items()}
        """Scopes by kind of credential; tests may change those of the scoped key."""
        self.stopped_clock = now
        self.requests_per_minute = requests_per_minute
        self.refuse_future = refuse_future
        self.split_buckets = split_buckets
        self.repeat_rows = repeat_rows
        self.replay = replay
        self.faults: list[Fault] = []
        self.plan: Callable[[str, Pairs], Fault | None] | None = None
        """Returns the fault for a request that does not match any of ``faults``."""
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self._recent: collections.deque[dt.datetime] = collections.deque()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.simulator = self  # type: ignore[attr-defined]
        self._closed_for = 0.0
        self._is_closed = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start serving in a separate thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self) -> None:
        """Serve until stopped."""
        self._server.serve_forever(poll_interval=0.05)
        while self._closed_for and not self._stopped.is_set():
            self._server.socket.close()
            self._server.socket = socket.socket()
            self._server.server_bind()  # reserves the port, but does not accept connections yet
            self._is_closed.set()
            self._stopped.wait(self._closed_for)
            self._closed_for = 0.0
            self._is_closed.clear()
            self._server.server_activate()
            self._server.serve_forever(poll_interval=0.05)

    def refuse(self, seconds: float) -> None:
        """Refuse connections for some seconds."""
        self._closed_for = seconds
        self._server.shutdown()
        self._is_closed.wait()

    @property
    def now(self) -> dt.datetime:
        """Return the simulated time."""
        return self.stopped_clock or dt.datetime.now(dt.UTC)

    def requests(self, path: str = "") -> list[Seen]:
        """Return the requests to one endpoint, or to all."""
        full = path if path.startswith("/") else PREFIX + path
        return [seen for seen in self.seen if seen.path == full or not path]

    def stats(self) -> Response:
        """Return the number of requests."""
        return {
            "requests": len(self.seen),
            "refused": sum(seen.status == 429 for seen in self.seen),
            "by_path": dict(collections.Counter(seen.path for seen in self.seen)),
            "by_status": dict(collections.Counter(seen.status for seen in self.seen)),
        }

    def next_fault(self, path: str, pairs: Pairs = ()) -> Fault | None:
        """Return the next planned fault for the request, and count the hit."""
        with self.lock:
            for fault in self.faults:
                if fault.fits(path, pairs) and fault.times:
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    fault.hits += 1
                    return fault
            if self.plan and (chosen := self.plan(path, pairs)):
                chosen.hits += 1
                return chosen
        return None

    def over_limit(self) -> int | None:
        """Return the seconds to wait if the last minute had too many requests."""
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

    def respond(self, path: str, pairs: list[tuple[str, str]], headers: dict[str, str]) -> Response:
        """Return the response to a request. Raises `ApiError`."""
        route, kind, parent = self._authorized(path, headers)
        query = Query(pairs)
        if self.replay is not None and path != f"{PREFIX}me":
            return self.replay.page(path.removeprefix(PREFIX), query)
        call = admin_lists.ListCall(
            query=query,
            now=self.now,
            facts=self.enterprise if kind in ENTERPRISE else self.facts,
            betas=frozenset(_list(headers.get("anthropic-beta", ""))),
            refuse_future=self.refuse_future,
            split_buckets=self.split_buckets,
            repeat_rows=self.repeat_rows,
            directory=self.directories[kind],
            version=headers["anthropic-version"],
            parent=parent,
            workspace_id=self.workspace_of(headers) or "",
        )
        return route.respond(call)

    def workspace_of(self, headers: dict[str, str]) -> str | None:
        """Return the workspace that a key acts on; None for keys without one.

        Raises `ApiError` if the key may not act on the workspace of the header.
        """
        kind, asked = authenticated(headers), headers.get(WORKSPACE_HEADER)
        if kind == "W":
            if asked not in (None, DEFAULT_WORKSPACE):
                raise invalid(f"{WORKSPACE_HEADER}: the key belongs to another workspace")
            return DEFAULT_WORKSPACE
        if kind != "P":
            return None
        if asked is None:
            raise invalid(f"{WORKSPACE_HEADER}: header is required for this key")
        if asked not in self.facts.organization.workspaces:
            raise ApiError(404, "not_found_error", f"Not found: {asked}")
        if asked not in self.acts_on:
            raise ApiError(403, "permission_error", f"The key may not act on {asked}")
        return asked

    def _authorized(self, path: str, headers: dict[str, str]) -> tuple[Route, str, str]:
        """Return the route, the kind of the credential, and the id in the path."""
        kind = authenticated(headers)
        version = headers.get("anthropic-version")
        if version not in API_VERSIONS:
            message = f"anthropic-version: header is required, one of {', '.join(API_VERSIONS)}"
            raise ApiError(400, "invalid_request_error", message)
        endpoint, parent = path.removeprefix(PREFIX), ""
        if endpoint not in ROUTES and endpoint.count("/") == 2:
            head, parent, tail = endpoint.split("/")
            endpoint = f"{head}/{{id}}/{tail}"
        route = None if path.startswith(f"{PREFIX}/") else ROUTES.get(endpoint)
        if route is None:
            raise ApiError(404, "not_found_error", "Not found")
        in_scope = kind not in ENTERPRISE or self._in_scope(kind, route)
        if kind not in route.credentials or not in_scope:
            needed = list(route.scopes) or ["org:admin"]
            message = f"Missing required scopes. Got: {self.scopes[kind]} Needed: {needed}"
            raise ApiError(403, "permission_error", message, code="api_key_scope_missing")
        return route, kind, parent

    def organization_id(self, headers: dict[str, str]) -> str | None:
        """Return the organization header of a response; None without a valid credential."""
        if not self.organization_header:
            return None
        try:
            kind = authenticated(headers)
        except ApiError:
            return None
        return self.organization_ids["enterprise" if kind in ENTERPRISE else "console"]

    def _in_scope(self, kind: str, route: Route) -> bool:
        """Whether a scoped key of Claude Enterprise may read an endpoint."""
        scopes = set(self.scopes[kind])
        if "read:org_audit" in scopes:
            scopes |= USER_MANAGEMENT
        return scopes.issuperset(route.scopes)


def authenticated(headers: dict[str, str]) -> str:
    """Return the kind of the credential, or raise a 401. A Bearer token can also be a key."""
    key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise ApiError(401, "authentication_error", "x-api-key header is required")
    kind = CREDENTIALS.get(key)
    if kind is None:
        message = "The API key provided is invalid or has been revoked."
        raise ApiError(401, "authentication_error", message)
    if "x-api-key" in headers and kind == "O":
        raise ApiError(401, "authentication_error", "invalid x-api-key")
    if kind == "O" and OAUTH not in _list(headers.get("anthropic-beta", "")):
        message = "OAuth authentication is currently not supported."
        raise ApiError(401, "authentication_error", message)
    return kind


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simulator"
    disable_nagle_algorithm = True
    # One write per response: without a buffer, each header line would be a separate packet.
    wbufsize = -1
    organization: str | None = None
    """Organization header of the response."""
    workspace: str | None = None
    """Workspace header of the response."""

    def do_GET(self) -> None:
        simulator: Simulator = self.server.simulator  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        if parts.path == "/_simulator/stats":
            self._send(200, {}, json.dumps(simulator.stats()).encode())
            return
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.organization = simulator.organization_id(headers)
        self.workspace = None
        with contextlib.suppress(ApiError):
            self.workspace = simulator.workspace_of(headers)
        fault = simulator.next_fault(parts.path, pairs)
        status, more, body = self._respond(simulator, fault, parts.path, pairs, headers)
        with simulator.lock:
            simulator.seen.append(
                Seen(parts.path, tuple(pairs), headers, status, dt.datetime.now(dt.UTC))
            )
        if fault and fault.deliver:
            deliver(self, fault.deliver, body)
        else:
            self._send(status, more, body)

    def _respond(
        self,
        simulator: Simulator,
        fault: Fault | None,
        path: str,
        pairs: list[tuple[str, str]],
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str], bytes]:
        if fault and not fault.deliver and not fault.change:
            return fault.status, fault.headers, fault.content
        if (wait := simulator.over_limit()) is not None:
            body = error_body("rate_limit_error", "Number of requests has exceeded your limit")
            return 429, {"retry-after": str(wait)}, body
        try:
            response = simulator.respond(path, pairs, headers)
        except ApiError as error:
            if fault and fault.change:
                fault.postpone()
            more = {}
            if error.should_retry is not None:
                more["x-should-retry"] = str(error.should_retry).lower()
            return error.status, more, error_body(error.type, error.message, error.code)
        body = _JSON.encode(response)
        if fault and fault.change:
            try:
                # Decoded again, because a change must not modify the rows of the directory.
                body = _JSON.encode(fault.change(_decode(body), pairs))
                body = body.replace(LONE_SURROGATE.encode(), rb"\ud800")
            except LookupError:
                fault.postpone()
        return 200, {}, body

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        self.send_header("request-id", request_id(body))
        headers = {"content-type": JSON} | headers
        # Pages of a proxy and 401 responses have no organization.
        if self.organization and status != 401 and headers["content-type"] == JSON:
            headers = {ORGANIZATION_HEADER: self.organization} | headers
            if self.workspace:
                headers = {WORKSPACE_HEADER: self.workspace} | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing; `Simulator.seen` is the log."""


# Amounts of Claude Code are numbers with all digits.
_JSON = msgspec.json.Encoder(decimal_format="number")
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def _list(header: str) -> Iterable[str]:
    return (part.strip() for part in header.split(",") if part.strip())
