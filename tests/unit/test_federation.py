"""When access tokens are exchanged, and by which thread."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_claude import federation
from tap_claude.config import Config, with_defaults
from tap_claude.federation import AccessTokens
from tap_claude.session import ApiResponse
from tests.each import each
from tests.unit.test_throttle import Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS = {
    "federation_rule_id": "fdrl_01x",
    "federation_organization_id": "11111111-2222-3333-4444-555555555555",
}
JWT = "e30.e30.aGk"
"""A JWT without claims, whose end is unknown."""


class Endpoint:
    """Token responses without a server: token-1, token-2 and so on."""

    def __init__(self, file: Path, lifetime: Any, seconds: float = 0.0) -> None:
        """Set the lifetime of each token, and how long an exchange takes."""
        self.config = Config(with_defaults({**SETTINGS, "identity_token_file": str(file)}))
        self.lifetime = lifetime
        self.seconds = seconds
        self.exchanges = 0

    def send(self, headers: Any, body: Callable[[], bytes]) -> ApiResponse:  # noqa: ARG002
        assert json.loads(body())["assertion"] == JWT
        self.exchanges += 1
        token = f"token-{self.exchanges}"
        time.sleep(self.seconds)
        content = json.dumps({"access_token": token, "expires_in": self.lifetime}).encode()
        return ApiResponse(200, "OK", {}, content, dt.datetime.now(dt.UTC))

    def tokens(self) -> AccessTokens:
        return AccessTokens(self.config, self.send, logging.getLogger(__name__))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(JWT)
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(federation, "time", clock)
    clock.time = clock.monotonic  # type: ignore[attr-defined]
    return clock


@each(
    ("lifetime", "renewed_after"),
    [(60, 30), (2, 1), (239, 119.5), (240, 120), (900, 780), (86_400, 86_280), ("900", 780)],
)
def test_a_token_is_renewed_before_it_expires(
    clock: Clock, file: Path, lifetime: Any, renewed_after: float
) -> None:
    """120 seconds before, or at half its life if that is shorter."""
    endpoint = Endpoint(file, lifetime)
    tokens = endpoint.tokens()
    assert tokens.current() == "token-1"
    clock.now += renewed_after - 0.01
    assert tokens.current() == "token-1"
    clock.now += 0.02
    assert tokens.current() == "token-2"
    assert endpoint.exchanges == 2


def test_the_life_of_a_token_begins_when_it_is_asked_for(clock: Clock, file: Path) -> None:
    """Not before the wait for the rate limiter, and not after a slow response."""
    endpoint = Endpoint(file, 60)
    tokens = endpoint.tokens()
    sent = endpoint.send

    def slow(headers: Any, body: Callable[[], bytes]) -> ApiResponse:
        clock.now += 1000
        response = sent(headers, body)
        clock.now += 29
        return response

    tokens._send = slow  # noqa: SLF001
    assert tokens.current() == "token-1"
    clock.now += 0.9
    assert tokens.current() == "token-1"
    clock.now += 0.2
    assert tokens.current() == "token-2"


def test_threads_share_one_exchange(file: Path) -> None:
    endpoint = Endpoint(file, 900, seconds=0.05)
    tokens = endpoint.tokens()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(tokens.current())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["token-1"] * 8
    assert endpoint.exchanges == 1


def test_a_refused_token_is_discarded_once(file: Path) -> None:
    """Two threads that were refused with the same token need one exchange."""
    endpoint = Endpoint(file, 900)
    tokens = endpoint.tokens()
    old = tokens.current()
    tokens.discard(old)
    assert tokens.current() == "token-2"
    tokens.discard(old)
    assert tokens.current() == "token-2"
    assert endpoint.exchanges == 2


@each("lifetime", [0, -5, None, "soon", [60], 1e400])
def test_a_token_without_a_life_is_malformed(file: Path, lifetime: Any) -> None:
    endpoint = Endpoint(file, lifetime)
    with pytest.raises(Exception, match=r"is not an access token$") as caught:
        endpoint.tokens().current()
    assert "token-1" not in str(caught.value)
