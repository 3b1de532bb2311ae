"""The next page is fetched while records are written; a large one alone, or in parts."""

from __future__ import annotations

import mmap
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

import pytest

from simulator.server import Fault
from tap_claude.session import Session
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings, wait_until

if TYPE_CHECKING:
    from tap_claude.session import ApiResponse


PAUSE = 0.05


def test_the_next_page_is_requested_while_records_are_written(simulate: Any) -> None:
    simulator = simulate(days=130, now=NOW)
    config = settings(simulator, start_date=days_ago(120, NOW))
    stream: Any = TapClaude(config=config, catalog=only(config, "messages_usage")).streams[
        "messages_usage"
    ]
    records = stream.get_records(None)
    next(records)
    wait_until(lambda: len(simulator.seen) == 2)
    time.sleep(PAUSE)
    assert len(simulator.seen) == 2
    assert len(list(records)) > 1000
    assert len(simulator.seen) == 4


def test_a_large_page_is_freed_before_the_next_is_requested(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_claude.stream.PAGE_BYTES", 1)
    monkeypatch.setattr("tap_claude.session.SMALL_BYTES", 1)  # each page has its own memory map
    simulator = simulate(days=130, now=NOW)
    config = settings(simulator, start_date=days_ago(120, NOW))
    bodies: list[weakref.ref[mmap.mmap]] = []
    alive = []
    get = Session.get

    class Watched(mmap.mmap):
        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            bodies.append(weakref.ref(self := super().__new__(cls, *args, **kwargs)))
            return self

    def watched(session: Session, *args: Any, **kwargs: Any) -> ApiResponse:
        alive.append(sum(thing() is not None for thing in bodies))
        return get(session, *args, **kwargs)

    monkeypatch.setattr("tap_claude.session.mmap.mmap", Watched)
    monkeypatch.setattr(Session, "get", watched)
    stream: Any = TapClaude(config=config, catalog=only(config, "messages_usage")).streams[
        "messages_usage"
    ]
    assert len(list(stream.get_records(None))) > 1000
    assert alive == [0, 0, 0, 0]


def test_test_requests_only_one_page(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=130, now=NOW)
    config = settings(simulator, start_date=days_ago(120, NOW))
    run = tap("--test", config=config)
    assert run.code == 0, run.stderr
    assert len(simulator.requests("usage_report/messages")) == 1


def test_a_response_that_is_too_large_is_requested_in_parts(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(days=40, now=NOW)
    config = settings(simulator, start_date=days_ago(30, NOW))
    catalog = only(config, "messages_usage")

    def read() -> list[str]:
        stream: Any = TapClaude(config=config, catalog=catalog).streams["messages_usage"]
        row_ids = [record["row_id"] for record in stream.get_records(None)]
        if failures := stream.run.failures:
            raise RuntimeError(*failures.values())
        return row_ids

    whole = read()
    simulator.seen.clear()
    monkeypatch.setattr("tap_claude.report_read.SPLITTABLE_BYTES", 60_000)
    assert sorted(read()) == sorted(whole)
    # 31, 15 and 7 days are too many; then 3 at a time, and the last day
    assert len(simulator.seen) == 3 + 10 + 1
    monkeypatch.setattr("tap_claude.report_read.SPLITTABLE_BYTES", 1000)
    monkeypatch.setattr("tap_claude.report_read.MAX_BYTES", 1000)
    with pytest.raises(RuntimeError, match=r"^messages_usage: a response is larger than"):
        read()
    # A single bucket may be as large as any response.
    monkeypatch.undo()
    simulator.seen.clear()
    monkeypatch.setattr("tap_claude.report_read.SPLITTABLE_BYTES", 1000)
    assert sorted(read()) == sorted(whole)
    assert len(simulator.requests("usage_report/messages")) >= 30


def test_a_rejected_response_frees_its_memory(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is stored, and the objects that the error refers to."""
    made: list[mmap.mmap] = []

    class Watched(mmap.mmap):
        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            made.append(self := super().__new__(cls, *args, **kwargs))
            return self

    simulator = simulate(days=4, now=NOW)
    config = settings(simulator, start_date=days_ago(3, NOW))
    stream: Any = TapClaude(config=config).streams["messages_usage"]
    monkeypatch.setattr("tap_claude.report_read.SPLITTABLE_BYTES", 1000)
    monkeypatch.setattr("tap_claude.report_read.MAX_BYTES", 1000)
    monkeypatch.setattr("tap_claude.session.mmap.mmap", Watched)
    assert not list(stream.get_records(None))
    (failure,) = stream.run.failures.values()
    assert "a response is larger than" in failure
    assert made
    assert all(memory.closed for memory in made)


@pytest.mark.slow
def test_a_slow_response_is_retried(simulate: Any, tap: Any) -> None:
    from simulator.deliveries import trickle  # noqa: PLC0415

    simulator = simulate(days=4, now=NOW)
    simulator.faults.append(Fault(path="organizations/users", deliver=trickle(0.3)))
    config = settings(simulator, request_timeout=1)
    run = tap(config=config, catalog=only(config, "users"))
    assert run.code == 0, run.stderr
    assert run.records("users")
    # The rest would have taken much longer.
    assert "the response took longer than request_timeout" in run.stderr
