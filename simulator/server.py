"""The simulator: credentials, routing, limits, injected faults, and a log of requests."""

from __future__ import annotations

import collections
import datetime as dt
import socket
import threading
from typing import TYPE_CHECKING

from simulator import admin_lists, enterprise_lists
from simulator.directory import Directory
from simulator.facts import Facts
from simulator.faults import Fault
from simulator.http_server import Handler, Seen, Server
from simulator.oauth import FEDERATION_BETA, TOKEN_PATH, TokenEndpoint
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
    WORKSPACE_HEADER,
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
API_VERSIONS = ("2023-06-01", "2026-10-21")


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
        token_lifetime: float | None = None,
        latency: float = 0,
    ) -> None:
        """Bind the port (0: any free port); ``now`` is a fixed time.

        Without ``organization_header``, responses do not name the organization, as behind some
        proxies. With ``split_buckets``, the last bucket of a page continues on the next page, with
        the same ``starting_at``. With ``repeat_rows``, a page of Claude Code or of the new
        analytics repeats the last row of the previous page, as if a cursor counted the rows of a
        growing day. ``token_lifetime`` is the lifetime of access tokens from the token endpoint, in
        seconds; default: as their federation rule says. ``latency`` delays each response by so many
        seconds.
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
        self.tokens = TokenEndpoint(console, lifetime=token_lifetime)
        self.latency = latency
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
        self._server = Server(("127.0.0.1", port), Handler)
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
        """Return the requests to one endpoint, by its whole path or below `PREFIX`, or to all."""
        return [seen for seen in self.seen if seen.path in {PREFIX + path, path} or not path]

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
        kind = authenticated(headers, self.tokens)
        asked = headers.get(WORKSPACE_HEADER)
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
        kind = authenticated(headers, self.tokens)
        if FEDERATION_BETA in _list(headers.get("anthropic-beta", "")):
            message = f"anthropic-beta: {FEDERATION_BETA} is for {TOKEN_PATH} only"
            raise ApiError(400, "invalid_request_error", message)
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
            needed = ["org:admin"] if kind == "T" else list(route.scopes) or ["org:admin"]
            message = f"Missing required scopes. Got: {self.scopes[kind]} Needed: {needed}"
            raise ApiError(403, "permission_error", message, code="api_key_scope_missing")
        return route, kind, parent

    def organization_id(self, headers: dict[str, str]) -> str | None:
        """Return the organization header of a response; None without a valid credential."""
        if not self.organization_header:
            return None
        try:
            kind = authenticated(headers, self.tokens)
        except ApiError:
            return None
        return self.organization_ids["enterprise" if kind in ENTERPRISE else "console"]

    def _in_scope(self, kind: str, route: Route) -> bool:
        """Whether a scoped key of Claude Enterprise may read an endpoint."""
        scopes = set(self.scopes[kind])
        if "read:org_audit" in scopes:
            scopes |= USER_MANAGEMENT
        return scopes.issuperset(route.scopes)


def authenticated(headers: dict[str, str], tokens: TokenEndpoint) -> str:
    """Return the kind of the credential, or raise a 401. A Bearer token can also be a key."""
    key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise ApiError(401, "authentication_error", "x-api-key header is required")
    kind = CREDENTIALS.get(key) or tokens.kind(key)
    if kind is None:
        message = "The API key provided is invalid or has been revoked."
        raise ApiError(401, "authentication_error", message)
    if "x-api-key" in headers and kind in {"O", "T"}:
        raise ApiError(401, "authentication_error", "invalid x-api-key")
    if kind in {"O", "T"} and OAUTH not in _list(headers.get("anthropic-beta", "")):
        message = "OAuth authentication is currently not supported."
        raise ApiError(401, "authentication_error", message)
    return kind


def _list(header: str) -> Iterable[str]:
    return (part.strip() for part in header.split(",") if part.strip())
