"""The rate limiter: a burst, then a steady rate."""

from __future__ import annotations

import pytest

from tap_claude import throttle
from tap_claude.throttle import Throttle


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        """Start at a time like that of a real clock."""
        self.now = 12345.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    return clock


def test_a_burst_then_the_rate(clock: Clock) -> None:
    throttle = Throttle(1200, burst=10)
    started = clock.now
    for _ in range(10):
        throttle.wait()
    assert clock.now == started
    for number in range(1, 11):
        throttle.wait()
        assert clock.now - started == pytest.approx(number / 20)


def test_a_pause_restores_at_most_one_burst(clock: Clock) -> None:
    throttle = Throttle(60, burst=3)
    for _ in range(3):
        throttle.wait()
    for pause, burst in ((2, 2), (1000, 3)):
        clock.now += pause
        started = clock.now
        for _ in range(burst):
            throttle.wait()
        assert clock.now == started
    throttle.wait()
    assert clock.now - started == pytest.approx(1)


def test_zero_means_no_limit(clock: Clock) -> None:
    throttle = Throttle(0)
    started = clock.now
    for _ in range(1000):
        throttle.wait()
    assert clock.now == started
