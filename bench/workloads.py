"""Workloads: the stream, the width and number of buckets, and the rows per bucket."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

WIDTHS = {"1d": dt.timedelta(days=1), "1h": dt.timedelta(hours=1), "1m": dt.timedelta(minutes=1)}
ROWS_PER_GROUP = {"messages_usage": 1, "analytics_cost": 5}
"""Cost rows per group, one per token type; they do not count toward the page limit."""
DIMENSIONS = {
    "messages_usage": ("model", "workspace_id", "api_key_id", "service_tier", "context_window"),
    "analytics_cost": (
        "actor",
        "product",
        "model",
        "workspace_id",
        "api_key_id",
        "cost_type",
        "token_type",
    ),
}
API_KEY = "sk-ant-admin01-bench"
BETA = "analytics-usage-cost-2026-08-24"
COST_STARTS = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LONGEST = dt.timedelta(days=31)
"""Longest range of a cost request."""
MOST_ROWS = 72_000
"""Rows of messages_usage in 32 MB."""


@dataclass(frozen=True)
class Workload:
    """A range of one stream."""

    name: str
    stream: str
    width: str
    start: dt.datetime
    end: dt.datetime
    groups: int
    """Groups per bucket, as counted for the page limit."""
    limit: int
    """Largest valid page size within 32 MB."""
    slow_buckets: int | None = None
    """Number of buckets for the slow contestants; None for all."""

    @property
    def rows_per_bucket(self) -> int:
        """Return the number of records per bucket."""
        return self.groups * ROWS_PER_GROUP[self.stream]

    @property
    def buckets(self) -> int:
        """Return the number of buckets of the range."""
        return (self.end - self.start) // WIDTHS[self.width]

    def last(self, buckets: int) -> Workload:
        """Return the last buckets of this workload."""
        start = max(self.start, self.end - buckets * WIDTHS[self.width])
        return self.__class__(**{**vars(self), "start": start})

    def times(self, factor: int) -> Workload:
        """Return this workload with ``factor`` times the groups per bucket."""
        groups, limit = self.groups * factor, self.limit
        if self.stream == "messages_usage":  # whose limit counts buckets
            limit = min(limit, max(1, MOST_ROWS // groups))
        return self.__class__(**{**vars(self), "groups": groups, "limit": limit})


def workloads(now: dt.datetime) -> list[Workload]:
    """Return the four workloads. They end at the last midnight, so no bucket can still grow."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day = WIDTHS["1d"]
    # The API has no cost before 2026, nor before 365 days ago.
    cost_start = max(COST_STARTS, end - 364 * day)
    usage = "messages_usage"
    return [
        Workload("daily", usage, "1d", end - 365 * day, end, groups=200, limit=31),
        Workload("hourly", usage, "1h", end - 7 * day, end, groups=500, limit=144),
        Workload("minutes", usage, "1m", end - day, end, groups=500, limit=144, slow_buckets=150),
        Workload(
            "cost", "analytics_cost", "1d", cost_start, end, groups=400, limit=1000, slow_buckets=31
        ),
    ]


def small(workload: Workload) -> Workload:
    """Return a part that CI can read in a few seconds."""
    return workload.last({"daily": 93, "hourly": 48, "minutes": 48, "cost": 10}[workload.name])


def text(moment: dt.datetime) -> str:
    """Format a time for the API."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
