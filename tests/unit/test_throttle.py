"""The limiter: a burst, then a steady rate, whoever asks."""

from __future__ import annotations

import time
from typing import Any

from simulator.server import Fault
from tap_claude.throttle import Throttle
from tests.conftest import days_ago, only, settings


def test_a_burst_then_the_rate() -> None:
    throttle = Throttle(1200, burst=10)
    started = time.monotonic()
    for _ in range(10):
        throttle.wait()
    assert time.monotonic() - started < 0.3
    for _ in range(10):
        throttle.wait()
    assert 0.45 < time.monotonic() - started < 3


def test_zero_means_no_limit() -> None:
    throttle = Throttle(0)
    started = time.monotonic()
    for _ in range(1000):
        throttle.wait()
    assert time.monotonic() - started < 0.1


def test_all_streams_share_one_limiter(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=300)
    config = settings(simulator, start_date=days_ago(299), requests_per_minute=300)
    run = tap(config=config, catalog=only(config, "cost_report", "messages_usage"))
    assert run.code == 0
    times = [seen.at for seen in simulator.seen]
    assert len(times) == 20
    # 10 at once, 10 more at 5 a second, over two streams
    assert (times[-1] - times[0]).total_seconds() > 1.7
    assert simulator.stats()["refused"] == 0


def test_retries_wait_for_the_limiter_too(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3)
    simulator.faults.append(Fault(status=429, headers={"retry-after": "0"}, times=12))
    config = settings(simulator, start_date=days_ago(2), requests_per_minute=300)
    run = tap(config=config, catalog=only(config, "cost_report", "messages_usage"))
    assert run.code == 0
    times = [seen.at for seen in simulator.seen]
    assert len(times) == 14
    assert (times[-1] - times[0]).total_seconds() > 0.7
