"""A request is composed when it may be sent."""

from __future__ import annotations

import logging
from typing import Any

from tap_claude.progress import Progress
from tap_claude.session import Session
from tap_claude.throttle import Throttle
from tests.conftest import simulated


class Turnstile(Throttle):
    """A limiter that notes who comes when."""

    def __init__(self, notes: list[str]) -> None:
        """Write to a list."""
        super().__init__(0)
        self.notes = notes

    def wait(self) -> None:
        self.notes.append("wait")


def test_a_token_is_fetched_after_the_wait_for_the_limiter() -> None:
    """It would expire where few requests per minute are allowed."""
    notes: list[str] = []

    def headers() -> dict[str, str]:
        notes.append("headers")
        return {}

    def body() -> bytes:
        notes.append("body")
        return b"{}"

    limits: dict[str, Any] = {"timeout": 10, "max_bytes": 1000}
    with simulated(days=1) as simulator:
        session = Session(Turnstile(notes), Progress(logging.getLogger(__name__)))
        assert session.get(f"{simulator.url}/v1/organizations/me", headers, **limits).status == 401
        assert session.post(f"{simulator.url}/v1/oauth/token", {}, body, **limits).status == 400
    assert notes == ["wait", "headers", "wait", "body"]
