"""Plans of faults: random ones for a fraction of the requests, and rate limits."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from simulator.faults import KINDS, Fault

if TYPE_CHECKING:
    from simulator.changes import Pairs
    from simulator.faults import Kind


class FaultPlan:
    """Transient faults for a fraction of the requests, and optionally one permanent fault.

    The same seed gives the same faults for the same requests.
    """

    def __init__(
        self, seed: int, rate: float = 0.1, *, permanent_at: int | None = None, in_a_row: int = 3
    ) -> None:
        """Create a plan; ``permanent_at`` is the first request that can get the permanent fault."""
        self.rate = rate
        self.permanent_at = permanent_at
        self.in_a_row = in_a_row
        """Most consecutive faults for one path: a client must never run out of retries."""
        self.permanent: tuple[Kind, Fault] | None = None
        self.given: list[tuple[str, Kind, Fault]] = []
        """Path, kind and fault, in order."""
        self._requests = 0
        self._row: Counter[str] = Counter()
        self._expired: set[str] = set()
        self._rng = random.Random(seed)

    @property
    def injected(self) -> list[str]:
        """Kinds and paths of the injected faults, in order."""
        return [f"{kind.name} ({path})" for path, kind, fault in self.given if fault.hits]

    @property
    def has_ended_a_run(self) -> bool:
        """Whether the permanent fault was injected."""
        return self.permanent is not None and self.permanent[1].hits > 0

    def __call__(self, path: str, pairs: Pairs) -> Fault | None:
        """Return the fault for a request, or None."""
        self._requests += 1
        if (
            self.permanent_at is not None
            and self._requests > self.permanent_at
            and not self.has_ended_a_run
        ):
            chosen = self._choose(path, pairs, permanent=True)
            self.permanent = chosen
        elif self._row[path] < self.in_a_row and self._rng.random() < self.rate:
            chosen = self._choose(path, pairs, permanent=False)
        else:
            self._row[path] = 0
            return None
        kind, fault = chosen
        self._row[path] += 1
        if fault.needs_cursor:
            self._expired.add(path)
        self.given.append((path, kind, fault))
        return fault

    def _choose(self, path: str, pairs: Pairs, *, permanent: bool) -> tuple[Kind, Fault]:
        fitting = [
            (kind, fault)
            for kind in KINDS
            if kind.weight and kind.is_permanent == permanent and kind.fits(path)
            # A second one in the same window would be permanent.
            if (fault := kind.fault()).fits(path, pairs)
            and (permanent or not fault.needs_cursor or path not in self._expired)
        ]
        return self._rng.choices(fitting, [kind.weight for kind, _ in fitting])[0]


class FixedWindow:
    """A rate limit with fixed windows, which does not report when the next window starts."""

    def __init__(self, requests: int, seconds: float = 60) -> None:
        """Start the first window with the first request."""
        self.requests = requests
        self.seconds = seconds
        self.refused: Counter[int] = Counter()
        """Rejected requests by window number."""
        self._started: float | None = None
        self._let_in: Counter[int] = Counter()

    def __call__(self, path: str, pairs: Pairs) -> Fault | None:  # noqa: ARG002
        """Reject requests that exceed the limit."""
        now = time.monotonic()
        self._started = self._started or now
        window = int((now - self._started) // self.seconds)
        if self._let_in[window] < self.requests:
            self._let_in[window] += 1
            return None
        self.refused[window] += 1
        return Fault(429)
