"""Responses that are mutated at random: the rows are right, or the run reports an error.

``python -m tests.fuzz 300`` runs for 300 seconds; `tests/tap/test_fuzz.py` is a short form.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from simulator.server import ADMIN_KEY, ANALYTICS_KEY, PREFIX, Fault, Simulator
from tap_claude import client
from tap_claude.errors import RunError
from tap_claude.tap import TapClaude
from tests.conftest import RECENT, days_ago, settings, simulated

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Any

FIRST, END = days_ago(3, RECENT), days_ago(0, RECENT)
JUNK: list[Json] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1.5, -0.0, 1e300, "", "x", "0", "1e5", "-5",
    "2026-13-01", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "\x00\x1b[31m", "\ud800", "é" * 9,
    [], {}, [None], [[]], {"a": {"b": {"c": [1]}}}, {"type": "error"}, "a" * 10_000,
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A stream, its request, and a sum that its records must have."""

    stream: str
    path: str
    query: dict[str, str]
    column: str
    total: Callable[[Json], Decimal]
    """Computes the sum from the JSON of a response, without the tap."""


def number(value: Json) -> Decimal:
    """Return a number, 0 for null. Raises for anything else."""
    if value is None:
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise TypeError
    return Decimal(value)


def of_rows(*path: str) -> Callable[[Json], Decimal]:
    """Sum a field over the rows of a page."""

    def total(page: Json) -> Decimal:
        return sum((number(dig(row, path)) for row in page["data"]), Decimal(0))

    return total


def of_buckets(*path: str) -> Callable[[Json], Decimal]:
    """Sum a field over the rows of the buckets of a page."""

    def total(page: Json) -> Decimal:
        rows = [row for bucket in page["data"] for row in bucket["results"]]
        return sum((number(dig(row, path)) for row in rows), Decimal(0))

    return total


def dig(row: Json, path: tuple[str, ...]) -> Json:
    """Return a nested field; null if it or an object around it is missing."""
    for name in path:
        if row is None:
            return None
        row = row.get(name)
    return row


BETA = "analytics-usage-cost-2026-08-24"
TARGETS = [
    Target(
        "messages_usage",
        "usage_report/messages",
        {"starting_at": FIRST, "ending_at": END, "bucket_width": "1d", "group_by[]": "model"},
        "output_tokens",
        of_buckets("output_tokens"),
    ),
    Target(
        "cost_report",
        "cost_report",
        {"starting_at": FIRST, "ending_at": END, "group_by[]": "description"},
        "amount",
        of_buckets("amount"),
    ),
    Target(
        "analytics_cost",
        "analytics/cost",
        {
            "starting_at": FIRST, "ending_at": END, "time_bucket_width": "1d", "order_by": "time",
            "order": "asc", "limit": "1000", "group_by[]": "product",
        },
        "amount",
        of_rows("cost", "amount"),
    ),
    Target(
        "claude_code_usage",
        "usage_report/claude_code",
        {"starting_at": FIRST[:10], "limit": "1000"},
        "num_sessions",
        of_rows("core_metrics", "num_sessions"),
    ),
    Target(
        "analytics_users",
        "analytics/users",
        {"date": FIRST[:10]},
        "web_search_count",
        of_rows("web_search_count"),
    ),
    Target(
        "analytics_summaries",
        "analytics/summaries",
        {"starting_date": FIRST[:10], "ending_date": END[:10]},
        "daily_active_user_count",
        of_rows("daily_active_user_count"),
    ),
    Target(
        "analytics_user_usage_report",
        "analytics/user_usage_report",
        {"starting_at": FIRST, "ending_at": days_ago(2, RECENT), "bucket_width": "1d"},
        "output_tokens",
        of_rows("output_tokens"),
    ),
    Target("rate_limits", "rate_limits", {}, "limit_value", lambda page: sum(
        (number(limit.get("value")) for row in page["data"] for limit in row.get("limits") or ()),
        Decimal(0),
    )),
]  # fmt: skip


class World:
    """A simulator whose correct responses are mutated, and streams that read them."""

    def __init__(self) -> None:
        """Start serving."""
        self._stack = ExitStack()
        self.simulator: Simulator = self._stack.enter_context(simulated(days=6, now=RECENT))
        self.responses = {target.stream: self._response(target) for target in TARGETS}

    def close(self) -> None:
        """Stop serving."""
        self._stack.close()

    def _response(self, target: Target) -> Json:
        enterprise = target.stream.startswith("analytics") and target.stream != "analytics_cost"
        response = requests.get(
            self.simulator.url + PREFIX + target.path,
            params=target.query,
            headers={
                "x-api-key": ANALYTICS_KEY if enterprise else ADMIN_KEY,
                "anthropic-version": "2026-10-21",
                "anthropic-beta": BETA,
            },
            timeout=10,
        )
        response.raise_for_status()
        page = response.json()
        page["data"] = page["data"][:3]
        for bucket in page["data"]:
            if "results" in bucket:
                del bucket["results"][3:]
        page |= {"next_page": None, **({"has_more": False} if "has_more" in page else {})}
        return _known(page)

    def read(self, target: Target, body: bytes) -> tuple[list[dict[str, Any]], list[str], str]:
        """Return the records of a body, the warnings, and the error if there was one."""
        self.simulator.faults[:] = [Fault(200, path=target.path, body=body, times=1000)]
        more = {"analytics_api_key": ANALYTICS_KEY, "legacy_reports": True}
        config = settings(self.simulator, start_date=FIRST, end_date=END, **more)
        if target.stream.startswith("analytics"):
            del config["admin_api_key"]
        if target.query.get("date") or target.stream.startswith(("claude_code", "analytics_user")):
            config["end_date"] = days_ago(2, RECENT)  # one day, because a body is one response
        tap = TapClaude(config=config, validate_config=False)
        stream: Any = tap.streams[target.stream]
        warnings: list[str] = []
        handler = _Collector(warnings)
        getattr(stream.logger, "logger", stream.logger).addHandler(handler)
        try:
            with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                records = list(stream.get_records(None))
        except RunError as error:
            return [], warnings, str(error) or "an error without a message"
        else:
            for failure in (*tap.run.failures.values(), *tap.run.refusals.values()):
                return [], warnings, failure or "a failure without a message"
            return records, warnings, ""
        finally:
            getattr(stream.logger, "logger", stream.logger).removeHandler(handler)

    def check(self, target: Target, body: bytes) -> None:
        """Fail if a sum is wrong and the run reported nothing."""
        records, warnings, error = self.read(target, body)
        if error:
            assert error.startswith(f"{target.stream}: "), error
            assert error.isprintable(), "an escape could reach a terminal"
            return
        if any("unknown to this version" in line for line in warnings):
            return  # a field that the tap dropped, with a warning
        try:
            # Bytes that are not text may be in the name of an unknown field.
            text = body.decode(errors="replace")
            expected = target.total(json.loads(text, parse_float=Decimal))
        except Exception as problem:  # the tap should have reported it
            msg = f"{target.stream}: the run reported nothing, but: {problem!r}"
            raise AssertionError(msg) from problem
        found = sum((number(record[target.column]) for record in records), Decimal(0))
        assert found == expected, f"{target.stream}: {found} instead of {expected}"


def _known(node: Json) -> Json:
    """Remove the simulator's unknown fields, of which the tap warns."""
    if isinstance(node, dict):
        return {
            name: _known(value)
            for name, value in node.items()
            if not any(word in name for word in ("tomorrow", "holodeck"))
        }
    return [_known(value) for value in node] if isinstance(node, list) else node


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


def mutated(response: Json, rng: random.Random) -> bytes:
    """Return a response with one to three changes, in its tree or in its bytes."""
    page = json.loads(json.dumps(response))
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.75:
            _mutate_tree(page, rng)
    body = bytearray(json.dumps(page).encode())
    if rng.random() < 0.35:
        _mutate_bytes(body, rng)
    return bytes(body)


def _mutate_tree(page: Json, rng: random.Random) -> None:
    places: list[tuple[Json, Any]] = []

    def walk(node: Json) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            places.append((node, key))
            if isinstance(value, (dict, list)):
                walk(value)

    walk(page)
    if not places:
        return
    node, key = rng.choice(places)
    change = rng.randrange(5)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, dict):
        node[f"{key}_x"] = node.pop(key)
    elif change in {1, 2}:
        copy = json.loads(json.dumps(node[key]))
        if isinstance(node, list):
            node.insert(key, copy)
        else:
            node[rng.choice(list(node))] = copy
    else:
        node[key] = rng.choice(JUNK)


def _mutate_bytes(body: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(body))
    change = rng.randrange(4)
    if change == 0:
        del body[place:]
    elif change == 1:
        body[place] = rng.randrange(256)
    elif change == 2:
        body[place:place] = rng.choice((b"[" * 5000, b"\xff", b"\x00", b'"', b"1e999", b"{}", b","))
    else:
        del body[place : place + rng.randrange(1, 20)]


def main() -> None:
    """Try until the time is over; print the seed of each failure."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    logging.disable(logging.INFO)
    client.FIRST_WAIT = 0.0
    world = World()
    seed, until = int(time.time()), time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until:
        rng = random.Random(seed + tried)  # noqa: S311
        target = rng.choice(TARGETS)
        body = mutated(world.responses[target.stream], rng)
        try:
            world.check(target, body)
        except BaseException:
            print(f"seed {seed + tried}: {target.stream}: {body[:2000]!r}", flush=True)  # noqa: T201
            raise
        tried += 1
    print(f"{tried} mutated responses: every sum is right, or the run reports an error")  # noqa: T201


if __name__ == "__main__":
    main()
