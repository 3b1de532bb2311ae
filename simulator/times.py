"""Times at which things were created, before the history of the reports begins."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

FOUNDED = dt.datetime(2024, 3, 1, 9, tzinfo=dt.UTC)
_GREW_UNTIL = dt.datetime(2025, 12, 1, tzinfo=dt.UTC)


def moments(rng: random.Random, count: int) -> list[dt.datetime]:
    """Return ``count`` times in the past, newest first."""
    span = _GREW_UNTIL - FOUNDED
    return sorted((FOUNDED + rng.random() * span for _ in range(count)), reverse=True)


def text_at(moment: dt.datetime, rng: random.Random) -> str:
    """Format a time like the API: sometimes with microseconds."""
    return moment.strftime(rng.choice(("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ")))
