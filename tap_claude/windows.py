"""Time windows: the range that a run reads, and how it is split.

No I/O. Every datetime is aware and in UTC; every range has an exclusive end.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTHS = {
    "1m": dt.timedelta(minutes=1),
    "1h": dt.timedelta(hours=1),
    "1d": dt.timedelta(days=1),
}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
WINDOWS_BEFORE_GROWTH = 10
"""Successful windows after which the window size is doubled again."""
DEFAULT_HISTORY = dt.timedelta(days=30)


class Window(NamedTuple):
    """A range of time with an exclusive end."""

    start: dt.datetime
    end: dt.datetime


@functools.lru_cache(maxsize=4096)
def parse_time(text: str) -> dt.datetime:
    """Parse an ISO 8601 date or time; without a time zone, it is UTC. Raises ``ValueError``."""
    moment = dt.datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def format_time(moment: dt.datetime) -> str:
    """Format as RFC 3339 in UTC, ending in ``Z``; the fraction is omitted if it is zero."""
    return moment.astimezone(dt.UTC).isoformat().removesuffix("+00:00") + "Z"


def floor(moment: dt.datetime, width: dt.timedelta) -> dt.datetime:
    """Return the start of the bucket that contains the moment."""
    return moment - (moment - EPOCH) % width


def ceil(moment: dt.datetime, width: dt.timedelta) -> dt.datetime:
    """Return the first bucket start that is not before the moment."""
    return moment + (EPOCH - moment) % width


def read_range(
    *,
    now: dt.datetime,
    width: dt.timedelta,
    bookmark: dt.datetime | None = None,
    lookback: dt.timedelta = dt.timedelta(0),
    unreported_since: dt.datetime | None = None,
    start_date: dt.datetime | None = None,
    end_date: dt.datetime | None = None,
) -> Window | None:
    """Return the range that a run reads, or None if there is nothing to read.

    A bookmark is the start of the newest bucket already read. This bucket, the ``lookback`` before
    it and everything from ``unreported_since`` on are read again, but nothing before
    ``start_date``. Both ends are extended to whole buckets, so the current bucket is included.
    """
    if bookmark is not None:
        start = bookmark - lookback
        if unreported_since is not None:
            start = min(start, unreported_since)
        if start_date is not None:
            start = max(start, start_date)
    else:
        start = start_date if start_date is not None else now - DEFAULT_HISTORY
    end = now if end_date is None else min(now, end_date)
    start, end = floor(start, width), ceil(end, width)
    return Window(start, end) if start < end else None


def earliest_readable(
    now: dt.datetime, earliest: dt.datetime | None, max_age: dt.timedelta | None
) -> dt.datetime | None:
    """Return the first day that the API has data for; None if there is no limit."""
    floors = [] if earliest is None else [earliest]
    if max_age is not None:
        # One hour of margin, because the request is sent later than now.
        floors.append(ceil(now - max_age + WIDTHS["1h"], WIDTHS["1d"]))
    return max(floors, default=None)


def split(window: Window, width: dt.timedelta, buckets: int) -> Iterator[Window]:
    """Split an aligned window into windows of at most ``buckets`` buckets, oldest first."""
    start = window.start
    while start < window.end:
        # Compared as a difference, so that the sum cannot exceed datetime.max.
        end = window.end if window.end - start <= width * buckets else start + width * buckets
        yield Window(start, end)
        start = end


class WindowSizer:
    """Splits a range into windows of the best size, each for one paginated request.

    If a response is too large or too slow, this window and the following ones are halved; after
    some successful windows, the size grows again. Shared by the prefetching thread and the
    record-writing thread; one of them always waits while the other uses it.
    """

    def __init__(
        self,
        width: dt.timedelta,
        most: int,
        *,
        first: int | None = None,
        target_bytes: int | None = None,
    ) -> None:
        """Return windows of at most ``most`` buckets.

        With ``target_bytes``, the first window has ``first`` buckets; the size of the following
        ones is chosen so that the expected response stays within ``target_bytes``.
        """
        self._width = width
        self._most = most
        self._first = most if first is None else first
        self._target_bytes = target_bytes
        self._limit = most
        """Maximum buckets per window, reduced after a response that was too large or too slow."""
        self._bucket_bytes = 0
        self._sized: tuple[Window | None, int] = (None, 0)

    def windows(self, remaining: Window) -> Iterator[Window]:
        """Yield the windows of a range, oldest first; each size is chosen when it is needed."""
        count = 0
        while remaining.start < remaining.end:
            window = next(split(remaining, self._width, min(self._buckets(), self._limit)))
            yield window
            count += 1
            if count % WINDOWS_BEFORE_GROWTH == 0:
                self._limit = min(2 * self._limit, self._most)
            remaining = Window(window.end, remaining.end)

    def note(self, window: Window, size: int) -> None:
        """Record the size of a page in bytes, before the next window is chosen."""
        sized, before = self._sized
        total = before + size if sized == window else size
        self._sized = window, total
        buckets = (window.end - window.start) // self._width
        self._bucket_bytes = max(self._bucket_bytes, total // buckets)

    def shrink(self, window: Window) -> bool:
        """Use smaller windows than this one; return False if it cannot be split."""
        buckets = (window.end - window.start) // self._width
        self._limit = max(1, buckets // 2)
        return buckets > 1

    def _buckets(self) -> int:
        if self._target_bytes is None:
            return self._most
        if not self._bucket_bytes:
            return self._first
        return max(1, min(self._most, self._target_bytes // self._bucket_bytes))
