"""What ``report_buckets`` reports: every bucket that a run has read, and what it owes.

Records are written before their bucket is reported. Until that has happened, the state keeps where
the unreported buckets begin, and the next run reads from there: rows that are gone from the oldest
days that were read again would never be found otherwise.
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
"""Buckets that wait to be reported; more would only fill the memory."""
MOST_SECONDS = 900.0
"""Seconds after which waiting buckets are reported: a long first load that is killed again and
again must not begin anew each time."""


class FinishedBucket(NamedTuple):
    """What ``report_buckets`` says of a bucket, or of a full table."""

    stream: str
    organization_type: str
    organization_id: str
    organization_label: str | None
    starting_at: str
    ending_at: str
    bucket_width: str
    row_count: int
    total_tokens: int | None
    amount_usd: str | None
    data_refreshed_at: str | None
    is_complete: bool


class _Debt:
    """How far the buckets of a stream and organization have been read."""

    def __init__(self, parts: list[dict[str, Any]], start: dt.datetime) -> None:
        self.parts = parts
        self.until = start
        self.is_settled = False

    def keep(self) -> None:
        """Write into the state where the next unreported bucket begins, if there may be any."""
        for part in self.parts:
            part.pop(UNREPORTED_SINCE, None)
        if not self.is_settled:
            self.parts[-1][UNREPORTED_SINCE] = format_time(self.until)


class BucketLog:
    """The buckets of a run that wait to be reported."""

    def __init__(self, report: Callable[[], None]) -> None:
        """Wait with none; ``report`` writes those that wait."""
        self.waiting: list[FinishedBucket] = []
        self.report = report
        self._debts: list[_Debt] = []
        self._since = time.monotonic()

    def owe(self, parts: list[dict[str, Any]], start: dt.datetime) -> None:
        """Begin a stream of which all from ``start`` on is to be reported.

        ``parts`` are the parts of its state; the last one is the one that is written to.
        """
        debt = _Debt(parts, start)
        self._debts.append(debt)
        debt.keep()

    def add(self, finished: FinishedBucket) -> None:
        """Take a bucket, or a full table, whose records have been written."""
        self.waiting.append(finished)
        if self._debts and finished.bucket_width != FULL:
            self._debts[-1].until = max(self._debts[-1].until, parse_time(finished.ending_at))

    def settle(self) -> None:
        """End a stream: it was read to its end."""
        if self._debts:
            self._debts[-1].is_settled = True

    @property
    def is_long(self) -> bool:
        """Whether the waiting buckets should be reported before the run ends."""
        late = time.monotonic() - self._since > MOST_SECONDS
        return len(self.waiting) > MOST_BUCKETS or (late and bool(self.waiting))

    def reported(self) -> None:
        """Forget the buckets, now that they have been written, and what the state keeps of them."""
        for debt in self._debts:
            debt.keep()
        self._debts = [debt for debt in self._debts if not debt.is_settled]
        self.waiting = []
        self._since = time.monotonic()


def full_table(
    stream: str, organization: tuple[str, str, str | None], row_count: int, extracted_at: str
) -> FinishedBucket:
    """Return what is said of a full table that was read to its end, an empty one too."""
    read_at = format_time(parse_time(extracted_at).replace(microsecond=0))
    return FinishedBucket(
        stream, *organization, read_at, read_at, FULL, row_count, None, None, None, is_complete=True
    )
