"""The source of ``report_buckets``: every bucket that a run has read, and what is unreported.

Records are written before their bucket is reported. Until then, the state holds the start of the
unreported buckets, and the next run reads from there. Otherwise, rows deleted from the oldest days
of the lookback would never be detected.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_claude.windows import format_time, parse_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

UNREPORTED_SINCE = "unreported_since"
"""Entry of a bookmark: start of the first bucket that ``report_buckets`` has not reported."""

FULL = "full"
"""``bucket_width`` of a full table that was read to its end."""

MOST_BUCKETS = 20_000
"""Most buckets that wait to be reported; limits memory use."""
MOST_SECONDS = 900.0
"""Seconds after which waiting buckets are reported. A long first load that is killed several times
must not start over each time."""


class FinishedBucket(NamedTuple):
    """A row of ``report_buckets``: a bucket, or a full table."""

    stream: str
    organization_type: str
    organization_id: str
    organization_label: str | None
    starting_at: str
    ending_at: str
    date: str | None
    """Day of the bucket, if the stream's rows have a date."""
    bucket_width: str
    row_count: int
    total_tokens: int | None
    amount_usd: str | None
    data_refreshed_at: str | None
    is_complete: bool


class _Unreported:
    """The unreported range of a stream and organization: how far its buckets have been read."""

    def __init__(self, parts: list[dict[str, Any]], start: dt.datetime) -> None:
        self.parts = parts
        self.until = start
        self.is_complete = False

    def save(self) -> None:
        """Store the start of the next unreported bucket in the state, unless all are reported."""
        for part in self.parts:
            part.pop(UNREPORTED_SINCE, None)
        if not self.is_complete:
            self.parts[-1][UNREPORTED_SINCE] = format_time(self.until)


class BucketLog:
    """The buckets of a run that wait to be reported."""

    def __init__(self, report: Callable[[], None]) -> None:
        """Start empty; ``report`` writes the waiting buckets."""
        self.waiting: list[FinishedBucket] = []
        self.report = report
        self._unreported: list[_Unreported] = []
        self._since = time.monotonic()

    def begin(self, parts: list[dict[str, Any]], start: dt.datetime) -> None:
        """Begin a stream; all its buckets from ``start`` on must be reported.

        ``parts`` are the parts of its state; the last one is written to.
        """
        unreported = _Unreported(parts, start)
        self._unreported.append(unreported)
        unreported.save()

    def add(self, finished: FinishedBucket) -> None:
        """Add a bucket, or a full table, whose records have been written."""
        self.waiting.append(finished)
        if self._unreported and finished.bucket_width != FULL:
            newest = self._unreported[-1]
            newest.until = max(newest.until, parse_time(finished.ending_at))

    def complete(self) -> None:
        """End a stream that was read completely."""
        if self._unreported:
            self._unreported[-1].is_complete = True

    @property
    def is_due(self) -> bool:
        """Whether the waiting buckets should be reported before the run ends."""
        late = time.monotonic() - self._since > MOST_SECONDS
        return len(self.waiting) > MOST_BUCKETS or (late and bool(self.waiting))

    def reported(self) -> None:
        """Discard the written buckets, and update the state."""
        for unreported in self._unreported:
            unreported.save()
        self._unreported = [each for each in self._unreported if not each.is_complete]
        self.waiting = []
        self._since = time.monotonic()


def full_table(
    stream: str, organization: tuple[str, str, str | None], row_count: int, extracted_at: str
) -> FinishedBucket:
    """Return the row for a full table that was read completely, even if it is empty."""
    read_at = format_time(parse_time(extracted_at).replace(microsecond=0))
    return FinishedBucket(
        stream,
        *organization,
        starting_at=read_at,
        ending_at=read_at,
        date=None,
        bucket_width=FULL,
        row_count=row_count,
        total_tokens=None,
        amount_usd=None,
        data_refreshed_at=None,
        is_complete=True,
    )
