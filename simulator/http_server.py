"""The HTTP side of the simulator: requests in, responses and faults out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import sys
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from simulator.changes import LONE_SURROGATE
from simulator.deliveries import ORGANIZATION_HEADER, deliver
from simulator.faults import error_body, request_id
from simulator.oauth import MAX_BODY_BYTES, TOKEN_PATH, OAuthError
from simulator.query import ApiError
from simulator.routes import WORKSPACE_HEADER

if TYPE_CHECKING:
    from simulator.faults import Fault
    from simulator.server import Simulator

JSON = "application/json"


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


class Server(ThreadingHTTPServer):
    """Serves each connection in a thread."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of a connection."""

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
        """Respond to a request."""
        simulator: Simulator = self.server.simulator  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        if parts.path == "/_simulator/stats":
            self._send(200, {}, json.dumps(simulator.stats()).encode())
            return
        time.sleep(simulator.latency)
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

    def do_POST(self) -> None:
        """Respond to a request for an access token."""
        simulator: Simulator = self.server.simulator  # type: ignore[attr-defined]
        self.organization = None
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), MAX_BODY_BYTES))
        headers = {name.lower(): value for name, value in self.headers.items()}
        time.sleep(simulator.latency)
        fault = simulator.next_fault(self.path)
        if fault:
            status, more, content = fault.status, fault.headers, fault.content
        else:
            status, more, content = self._token(simulator, headers, body)
        with simulator.lock:
            simulator.seen.append(Seen(self.path, (), headers, status, dt.datetime.now(dt.UTC)))
        if fault and fault.deliver:
            deliver(self, fault.deliver, content)
        else:
            self._send(status, more, content)

    def _token(
        self, simulator: Simulator, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the response of the token endpoint."""
        if self.path != TOKEN_PATH:
            return 404, {}, error_body("not_found_error", "Not found")
        if (wait := simulator.over_limit()) is not None:
            limited = error_body("rate_limit_error", "Number of requests has exceeded your limit")
            return 429, {"retry-after": str(wait)}, limited
        try:
            return 200, {}, _JSON.encode(simulator.tokens.exchange(headers, body))
        except OAuthError as error:
            return error.status, {}, error.body

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
