"""Time windows: which part of a report a run reads, and in which steps.

Pure functions, no I/O. Every datetime is aware and in UTC; every range has an exclusive end.
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
DEFAULT_HISTORY = dt.timedelta(days=30)


class Window(NamedTuple):
    """A range of time with an exclusive end."""

    start: dt.datetime
    end: dt.datetime


@functools.lru_cache(maxsize=4096)
def parse_time(text: str) -> dt.datetime:
    """Read an ISO 8601 date or time; one without a zone is UTC. Raises ``ValueError``."""
    moment = dt.datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def format_time(moment: dt.datetime) -> str:
    """Print RFC 3339 in UTC ending in ``Z``, with a fraction only where there is one."""
    return moment.astimezone(dt.UTC).isoformat().removesuffix("+00:00") + "Z"


def floor(moment: dt.datetime, width: dt.timedelta) -> dt.datetime:
    """Start of the bucket that holds the moment."""
    return moment - (moment - EPOCH) % width


def ceil(moment: dt.datetime, width: dt.timedelta) -> dt.datetime:
    """First bucket start that is not before the moment."""
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
    """Choose what one run reads, or None if there is nothing to read.

    A bookmark is the start of the newest bucket already read: it is read again, and so are
    ``lookback`` before it and all from ``unreported_since`` on, but nothing before ``start_date``.
    Both ends widen to whole buckets, so the running bucket is part of the range.
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


def oldest(
    now: dt.datetime, earliest: dt.datetime | None, max_age: dt.timedelta | None
) -> dt.datetime | None:
    """Return the first midnight that an API with these floors still answers for, if it has any."""
    floors = [] if earliest is None else [earliest]
    if max_age is not None:
        # An hour to spare: the request is sent later than now.
        floors.append(ceil(now - max_age + WIDTHS["1h"], WIDTHS["1d"]))
    return max(floors, default=None)


def split(window: Window, width: dt.timedelta, buckets: int) -> Iterator[Window]:
    """Cut an aligned window into steps of at most so many buckets, oldest first."""
    start = window.start
    while start < window.end:
        # Compared as a difference, so that the last step cannot run past datetime.max.
        end = window.end if window.end - start <= width * buckets else start + width * buckets
        yield Window(start, end)
        start = end
