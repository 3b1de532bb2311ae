"""All requests of a run share one rate limiter."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.server import Fault
from tap_claude import client
from tap_claude.tap import TapClaude
from tests.conftest import days_ago, only, settings


@pytest.mark.slow
def test_all_streams_share_one_limiter(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=300)
    config = settings(simulator, start_date=days_ago(299), requests_per_minute=300)
    run = tap(config=config, catalog=only(config, "cost_report", "messages_usage"))
    assert run.code == 0
    times = [seen.at for seen in simulator.seen]
    assert len(times) == 20
    # a burst of 10, then 10 more at 5 per second, over two streams
    assert (times[-1] - times[0]).total_seconds() > 1.7
    assert simulator.stats()["refused"] == 0


@pytest.mark.slow
def test_retries_wait_for_the_limiter_too(simulate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)  # so that only the rate limiter takes time
    simulator = simulate(days=3)
    simulator.faults.append(Fault(status=429, headers={"retry-after": "0"}, times=12))
    config = settings(simulator, start_date=days_ago(2), requests_per_minute=300)
    tap = TapClaude(config=config, catalog=only(config, "cost_report", "messages_usage"))
    tap.read_all()
    assert not tap.run.failures
    times = [seen.at for seen in simulator.seen]
    assert len(times) == 14
    assert (times[-1] - times[0]).total_seconds() > 0.7
