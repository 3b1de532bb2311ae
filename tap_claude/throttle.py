"""The rate limiter of the whole tap; the API's limits are per organization, not per stream."""

from __future__ import annotations

import threading
import time


class Throttle:
    """A token bucket: an initial burst, then a constant number of requests per minute."""

    def __init__(self, requests_per_minute: float, burst: int = 10) -> None:
        """Start with a full bucket; 0 requests per minute means no limit."""
        self._per_second = requests_per_minute / 60
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until the next request may be sent."""
        if not self._per_second:
            return
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._last) * self._per_second)
            self._last = now
            self._tokens -= 1
            pause = -self._tokens / self._per_second
        if pause > 0:
            time.sleep(pause)
