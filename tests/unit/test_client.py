"""The waits between retries."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pytest

from tap_claude import client
from tap_claude.client import _waits
from tap_claude.errors import RetriableError, retry_after


def test_waits_grow_and_span_several_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 1.0)
    totals = []
    for _ in range(50):
        waits = _waits()
        next(waits)
        steps = [waits.send(RetriableError("")) for _ in range(client.MAX_TRIES)]
        assert all(0 <= step <= min(60, 2**n) for n, step in enumerate(steps))
        totals.append(sum(steps[:-1]))
    assert sum(totals) / 50 > 180
    assert len({round(total, 6) for total in totals}) > 40  # jitter


@pytest.mark.parametrize(
    "text", ["0", "-1", format_datetime(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))]
)
def test_a_retry_after_of_zero_is_followed_only_once(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """With 0, or the date of a slow clock, all tries would be used up in seconds."""
    monkeypatch.setattr(client, "FIRST_WAIT", 1.0)
    error = RetriableError("429", retry_after=retry_after({"retry-after": text}))
    total = 0.0
    for _ in range(30):
        waits = _waits()
        next(waits)
        first, *others = [waits.send(error) for _ in range(13)]
        assert first == 0
        total += sum(others)
    assert total / 30 > 150


def test_a_longer_retry_after_is_followed_each_time() -> None:
    waits = _waits()
    next(waits)
    error = RetriableError("429", retry_after=61)
    assert [waits.send(error) for _ in range(13)] == [61] * 13
