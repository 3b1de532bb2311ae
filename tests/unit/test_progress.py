"""The progress line of a run."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from tap_claude.progress import Progress

if TYPE_CHECKING:
    import pytest

LOGGER = logging.getLogger("test_progress")


def test_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 190.0, 5590.0, 5590.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = Progress(LOGGER, interval=3600)
    progress.requests = progress.retries = 7  # of earlier streams
    progress.start("analytics_users")
    assert progress.line() == "analytics_users: 0 requests, 0 rows, 0 retries"
    progress.expect(365, "day")
    progress.at("2026-01-01")
    assert (
        progress.line()
        == "analytics_users: 2026-01-01, day 1 of 365, 0 requests, 0 rows, 0 retries"
    )
    progress.requests, progress.retries, progress.rows = 10_009, 8, 1_234_567
    progress.at("2026-02-14", 45)
    assert progress.line() == (
        "analytics_users: 2026-02-14, day 46 of 365, 10,002 requests, 1,234,567 rows, 1 retries,"
        " about 10 min 40 s left"
    )
    progress.at("2026-02-15", 46)
    assert progress.line().endswith("about 10 h 34 min left")
    progress.start("users")
    assert progress.line() == "users: 0 requests, 0 rows, 0 retries"
    progress.stop()


def test_a_line_is_logged_at_each_interval_even_while_nothing_happens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    progress = Progress(LOGGER, interval=0.05)
    with caplog.at_level(logging.INFO):
        progress.start("users")
        time.sleep(0.4)
        progress.stop()
        lines = len(caplog.messages)
        time.sleep(0.2)
    assert 3 <= lines <= 8
    assert len(caplog.messages) <= lines + 1
    assert set(caplog.messages) == {"users: 0 requests, 0 rows, 0 retries"}
