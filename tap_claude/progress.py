"""Progress log: one line every 15 seconds, even while the run waits for a response."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

INTERVAL = 15.0
"""Seconds between two lines."""


class Progress:
    """Progress of the current stream, and an estimate of the time left.

    The streams update the counters; a thread logs them. Both read and write simple attributes
    only, so no lock is needed.
    """

    def __init__(self, logger: logging.Logger, interval: float = INTERVAL) -> None:
        """Start without a stream; the first line is logged after one interval."""
        self.requests = 0
        """All requests of the run, including retries."""
        self.retries = 0
        self.rows = 0
        """Rows of the current stream."""
        self._logger = logger
        self._interval = interval
        self._thread: threading.Thread | None = None
        self._stream = self._unit = self._place = ""
        self._total = self._done = 0
        self._started = self._requests_before = self._retries_before = 0.0

    def start(self, stream: str) -> None:
        """Begin a stream."""
        self._stream, self._unit, self._place = stream, "", ""
        self._total = self._done = self.rows = 0
        self._requests_before, self._retries_before = self.requests, self.retries
        self._started = time.monotonic()
        # One thread serves all streams: a run of many short streams also needs progress lines.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._print_lines, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End a stream. If no other stream follows, the thread ends."""
        self._stream = ""

    def expect(self, total: int, unit: str) -> None:
        """Set the number of units (days, hours, lists ...) of the stream."""
        self._total, self._unit = total, unit

    def at(self, place: str, done: int = 0) -> None:
        """Set the current position of the stream, and the number of finished units."""
        self._place, self._done = place, done

    def line(self) -> str:
        """Return the current progress line."""
        parts = [self._place] if self._place else []
        if self._total:
            parts.append(f"{self._unit} {min(self._done + 1, self._total):,} of {self._total:,}")
        parts.append(f"{self.requests - self._requests_before:,.0f} requests")
        parts.append(f"{self.rows:,} rows")
        parts.append(f"{self.retries - self._retries_before:,.0f} retries")
        if self._total and self._done:
            spent = time.monotonic() - self._started
            left = spent / self._done * max(0, self._total - self._done)
            parts.append(f"about {_duration(left)} left")
        return f"{self._stream}: {', '.join(parts)}"

    def _print_lines(self) -> None:
        while True:
            time.sleep(self._interval)
            line = self.line()
            if not self._stream:
                return
            self._logger.info("%s", line)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
