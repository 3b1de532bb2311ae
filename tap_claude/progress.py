"""Where a run is: one line every 15 seconds, also while it waits for an answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

INTERVAL = 15.0
"""Seconds between two lines."""


class Progress:
    """What the stream at work has done so far, and how long it may still take.

    The streams count; a thread prints. Both only read and write plain attributes, which needs no
    lock.
    """

    def __init__(self, logger: logging.Logger, interval: float = INTERVAL) -> None:
        """Print nothing before the first interval is over."""
        self.requests = 0
        """All requests of the run, those that were tried again included."""
        self.retries = 0
        self.rows = 0
        """Rows of the stream."""
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
        # The thread goes on from stream to stream: many short ones are a long run, too.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._print_lines, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End a stream; where no other follows, the thread ends with it."""
        self._stream = ""

    def expect(self, total: int, unit: str) -> None:
        """Say of how many days, hours, lists ... the stream consists."""
        self._total, self._unit = total, unit

    def at(self, place: str, done: int = 0) -> None:
        """Say where the stream is, and how many units lie behind it."""
        self._place, self._done = place, done

    def line(self) -> str:
        """Return the line as it is now."""
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
