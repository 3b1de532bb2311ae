"""``python -m bench.server``: serve pages of the API that are rendered once, to save CPU time.

It serves ``usage_report/messages`` and ``analytics/cost`` for any window, width, limit and cursor
in the format of the simulator (a test compares them), but without any checks.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bench.workloads import WIDTHS, text

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = {
    "messages_usage": "/v1/organizations/usage_report/messages",
    "analytics_cost": "/v1/organizations/analytics/cost",
}
PAGE_BUCKETS = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 1440)}
PAGE_GROUPS = (20, 1000)
VARIANTS = 16
"""Number of different buckets; then they are repeated."""
ORGANIZATION = "5b0a3c0e-7d1f-4a7e-9f52-8f6c2d3e4b10"
START, END = b"@starting_at", b"@ending_at"
MODELS = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001", "claude-sonnet-4-5")
PRODUCTS = ("claude_code", "messages_api", "chat", "claude_console")
TOKEN_TYPES = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation.ephemeral_5m_input_tokens",
    "cache_creation.ephemeral_1h_input_tokens",
    "output_tokens",
)


class Pages:
    """The bodies of all responses of one report, with ``groups`` groups per bucket."""

    def __init__(self, stream: str, groups: int) -> None:
        """Render all rows."""
        self.respond = {"messages_usage": self.usage, "analytics_cost": self.cost}[stream]
        self.groups = groups
        self.refreshed_at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=4)
        variants = range(VARIANTS)
        if stream == "messages_usage":
            self._usage = [_json(list(usage_rows(groups, variant))) for variant in variants]
        else:
            self._cost = [
                [b",".join(map(_json, rows)) for rows in cost_rows(groups, variant)]
                for variant in variants
            ]

    def usage(self, query: dict[str, list[str]]) -> bytes:
        """Return the response of ``usage_report/messages``."""
        width_name = query.get("bucket_width", ["1d"])[0]
        width = WIDTHS[width_name]
        start, end = _range(query, width)
        done, limit = _place(query, PAGE_BUCKETS[width_name])
        total = (end - start) // width
        last = min(done + limit, total)
        data = [self._bucket(start + number * width, width) for number in range(done, last)]
        return _page(data, last if last < total else None)

    def _bucket(self, start: dt.datetime, width: dt.timedelta) -> bytes:
        bounds = f'{{"starting_at":"{text(start)}","ending_at":"{text(start + width)}","results":'
        return bounds.encode() + self._usage[_variant(start, width)] + b"}"

    def cost(self, query: dict[str, list[str]]) -> bytes:
        """Return the response of ``analytics/cost``, oldest first."""
        width = WIDTHS[query["time_bucket_width"][0]]
        start, end = _range(query, width)
        done, limit = _place(query, PAGE_GROUPS)
        total = (end - start) // width * self.groups
        last = min(done + limit, total)
        data = []
        while done < last:
            bucket, group = divmod(done, self.groups)
            stop = min(self.groups, group + last - done)
            data.append(self._cost_rows(start + bucket * width, width, group, stop))
            done += stop - group
        refreshed = f'"data_refreshed_at":"{self.refreshed_at:%Y-%m-%dT%H:%M:%S.%fZ}",'
        return _page(data, last if last < total else None, refreshed.encode())

    def _cost_rows(self, start: dt.datetime, width: dt.timedelta, first: int, last: int) -> bytes:
        rows = b",".join(self._cost[_variant(start, width)][first:last])
        rows = rows.replace(START, text(start).encode())
        return rows.replace(END, text(start + width).encode())


def usage_rows(groups: int, variant: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a bucket; their dimensions are unique."""
    rng = random.Random(variant)
    for number in range(groups):
        key, rest = divmod(number, 16)
        yield {
            "uncached_input_tokens": rng.randrange(1_000_000),
            "cache_creation": {
                "ephemeral_1h_input_tokens": rng.randrange(100_000) if rng.random() < 0.3 else 0,
                "ephemeral_5m_input_tokens": rng.randrange(500_000),
            },
            "cache_read_input_tokens": rng.randrange(5_000_000),
            "output_tokens": rng.randrange(200_000),
            "server_tool_use": {"web_search_requests": rng.randrange(1, 9) if not number else 0},
            "account_id": None,
            "api_key_id": _id("apikey", key) if key else None,
            "context_window": ("0-200k", "200k-1M")[rest // 8],
            "inference_geo": None,
            "model": MODELS[rest % 4],
            "service_account_id": None,
            "service_tier": ("standard", "batch")[rest // 4 % 2],
            "workspace_id": _id("wrkspc", key % 12) if key % 12 else None,
        }


def cost_rows(groups: int, variant: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each group of a day; their dimensions are unique."""
    rng = random.Random(variant)
    for number in range(groups):
        person, rest = divmod(number, 16)
        shown = dict.fromkeys(
            (
                "actor",
                "actor_type",
                "agent_id",
                "api_key_id",
                "claude_tag_category",
                "claude_tag_user_id",
                "context_window",
                "deployment_id",
                "environment_id",
                "inference_geo",
                "model",
                "organization_id",
                "product",
                "rbac_group_id",
                "service_tier",
                "session_id",
                "slack_channel_id",
                "speed",
                "user_profile_id",
                "workspace_id",
            )
        ) | {
            "actor": _actor(person),
            "api_key_id": _id("apikey", person) if person % 3 else None,
            "model": MODELS[rest % 4],
            "product": PRODUCTS[rest // 4],
            "workspace_id": _id("wrkspc", person % 12),
        }
        yield [
            {
                "starting_at": START.decode(),
                "ending_at": END.decode(),
                "group": {**shown, "cost_type": "tokens", "token_type": token_type},
                "cost": {
                    "amount": f"{rng.randrange(10**10) / 10**6:.6f}",
                    "list_amount": f"{rng.randrange(10**14) / 10**10:.10f}",
                    "currency": "USD",
                    "requests": None,
                },
            }
            for token_type in TOKEN_TYPES
        ]


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _actor(number: int) -> dict[str, Any]:
    kind = number % 8
    if kind == 0:
        return {"type": "api_actor", "api_key_id": _id("apikey", number)}
    if kind == 1:
        return {"type": "service_account_actor", "service_account_id": _id("svac", number)}
    return {
        "type": "user_actor",
        "user_id": _id("user", number),
        "email_address": f"person.number{number}@example.com",
        "name": f"Person Number{number}",
        "deleted": False,
    }


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_01AbCdEfGhJkMnPqRs{number:06d}"


def _variant(start: dt.datetime, width: dt.timedelta) -> int:
    return int(start.timestamp() // width.total_seconds()) % VARIANTS


def _range(query: dict[str, list[str]], width: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
    """Return the requested range; both ends are rounded down, and the default end is now."""
    now = dt.datetime.now(dt.UTC)
    start = dt.datetime.fromisoformat(query["starting_at"][0])
    end = dt.datetime.fromisoformat(query["ending_at"][0]) if "ending_at" in query else now
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return start - (start - epoch) % width, end - (end - epoch) % width


def _place(query: dict[str, list[str]], bounds: tuple[int, int]) -> tuple[int, int]:
    """Return the number of items on previous pages, and the limit of this page."""
    default, most = bounds
    limit = int(query.get("limit", [str(default)])[0])
    if not 1 <= limit <= most:
        msg = f"limit: Input should be between 1 and {most}"
        raise ValueError(msg)
    return int(query.get("page", ["page_0"])[0].removeprefix("page_")), limit


def _page(data: list[bytes], following: int | None, more: bytes = b"") -> bytes:
    cursor = b"null" if following is None else f'"page_{following}"'.encode()
    has_more = b"false" if following is None else b"true"
    tail = b'],%b"has_more":%b,"next_page":%b}' % (more, has_more, cursor)
    return b'{"data":[' + b",".join(data) + tail


class Server(ThreadingHTTPServer):
    """Serves the pages over HTTP on localhost, with an optional latency."""

    daemon_threads = True

    def __init__(self, stream: str, groups: int, latency: float = 0, port: int = 0) -> None:
        """Bind the port (0: any free port); the latency is in seconds."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.path = PATHS[stream]
        self.pages = Pages(stream, groups)
        self.latency = latency
        self.requests = 0
        self.largest = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/_bench/stats":
            stats = {"requests": self.server.requests, "largest": self.server.largest}
            self._send(200, _json(stats))
            return
        due = time.monotonic() + self.server.latency
        self.server.requests += 1
        if url.path != self.server.path:
            self._send(404, _json({"type": "error", "error": {"type": "not_found_error"}}))
            return
        try:
            body = self.server.pages.respond(parse_qs(url.query))
        except (LookupError, ValueError) as error:
            message = {"type": "invalid_request_error", "message": str(error)}
            self._send(400, _json({"type": "error", "error": message}))
            return
        self.server.largest = max(self.server.largest, len(body))
        time.sleep(max(0.0, due - time.monotonic()))
        self._send(200, body)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("anthropic-organization-id", ORGANIZATION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    parser.add_argument("--stream", choices=PATHS, default="messages_usage")
    parser.add_argument("--groups", type=int, default=200, help="groups per bucket (200)")
    parser.add_argument("--latency", type=float, default=0, help="seconds per response (0)")
    parser.add_argument("--port", type=int, default=0, help="0: any free port (0)")
    parser.add_argument("--url-file", type=Path, help="write the server's URL to this file")
    args = parser.parse_args()
    server = Server(args.stream, args.groups, args.latency, args.port)
    if args.url_file:
        args.url_file.write_text(server.url)
    server.serve_forever()


if __name__ == "__main__":
    main()
