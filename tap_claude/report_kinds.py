"""The kinds of reports: how finished buckets come out of requests."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from typing_extensions import override

from tap_claude.buckets import Bucket, bucket_of
from tap_claude.client import PAGE_BYTES
from tap_claude.errors import MalformedResponseError
from tap_claude.pages import decode_bucket, row_start, split_rows
from tap_claude.pagination import TokenPaginator
from tap_claude.reports import GroupedReport, ReportStream
from tap_claude.windows import Window, WindowSizer, floor, format_time, parse_time, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import msgspec

    from tap_claude.pages import ApiPage, Row


class RowReport(GroupedReport):
    """A report whose pages are lists of rows in time order (docs: usage-cost-analytics-api).

    A bucket's rows may spread over pages, and only a row of a later bucket, or the end, says that
    there are no more. Buckets without rows are not listed, but they have been read all the same.
    """

    paginator = TokenPaginator
    has_dated_rows = True

    @override
    def params(self, window: Window) -> dict[str, Any]:
        return {
            **super().params(window),
            "time_bucket_width": self.bucket_width,
            "order_by": "time",
            "order": "asc",
        }

    @override
    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterator[Iterable[Bucket]]:
        due, start = window.start, window.start
        rows: list[msgspec.Raw] = []
        first: ApiPage | None = None  # page of the bucket's first row
        for page in pages:
            first = first or page
            for moment, group in _by_start(page.items):
                if moment < start or moment >= window.end or (moment - window.start) % self.width:
                    raise _out_of_order(moment)
                if moment != start and rows:
                    yield [*self._empty(first, due, start), self._bucket(first, start, rows)]
                    due, rows = start + self.width, []
                if not rows:
                    start, first = moment, page
                rows.extend(group)
            last = page
        if rows and first is not None:
            yield [*self._empty(first, due, start), self._bucket(first, start, rows)]
            due = start + self.width
        yield self._empty(last, due, window.end)

    def _bucket(self, page: ApiPage, start: dt.datetime, rows: list[msgspec.Raw]) -> Bucket:
        """Return a bucket as seen by the page that its first row was on."""
        return bucket_of(page, Window(start, start + self.width), rows)

    def _empty(self, page: ApiPage, start: dt.datetime, end: dt.datetime) -> list[Bucket]:
        parts = split(Window(start, end), self.width, 1)
        return [self._bucket(page, part.start, []) for part in parts]


class AdaptiveWindowReport(GroupedReport):
    """A report that is read in windows which are held in memory whole.

    Windows begin small where buckets may be large, and grow as far as `PAGE_BYTES`.
    """

    paginator = TokenPaginator
    first_buckets: ClassVar[Mapping[str, int]]
    """Buckets of the first window by width, where it is not the most that the API takes."""

    @override
    def sizer(self) -> WindowSizer:
        return WindowSizer(
            self.width,
            self.page_buckets[self.bucket_width],
            first=self.first_buckets.get(self.bucket_width),
            target_bytes=PAGE_BYTES,
        )

    @override
    def params(self, window: Window) -> dict[str, Any]:
        return {**super().params(window), "bucket_width": self.bucket_width}


class BucketReport(AdaptiveWindowReport):
    """A report whose pages are lists of buckets, empty ones included (docs: usage-cost-api).

    A window is one page. Days begin with the biggest, hours and minutes with the API's default.
    """

    first_buckets: ClassVar[Mapping[str, int]] = {"1h": 24, "1m": 60}
    api_group_limit: ClassVar[int | None] = None
    """Groups after which the API cuts a bucket off, without a word."""
    superseded_by: ClassVar[str] = ""
    """Stream that has all groups."""
    _has_warned_of_limit = False

    @override
    def params(self, window: Window) -> dict[str, Any]:
        return {**super().params(window), "limit": self.page_buckets[self.bucket_width]}

    @override
    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterator[Iterable[Bucket]]:
        reading = _BucketReading(window, self.width)
        # Not a loop, which would hold the page while the next one is fetched.
        read = functools.partial(self._buckets_of, reading=reading)
        yield from map(read, pages)
        yield map(self._whole, reading.release())

    def _buckets_of(self, page: ApiPage, reading: _BucketReading) -> Iterator[Bucket]:
        for index, raw in enumerate(page.items):
            bucket = decode_bucket(raw)
            try:
                window = Window(parse_time(bucket.starting_at), parse_time(bucket.ending_at))
            except ValueError as error:
                msg = f"a bucket of the page cannot be read: {error}"
                raise MalformedResponseError(msg) from error
            if index == 0 and reading.goes_on(window):
                reading.held[-1].results.append(bucket.results)
                continue
            yield from map(self._whole, reading.release())
            reading.hold(_PartOfBucket(bucket_of(page, window, []), [bucket.results]))
        # Only the next page says whether its first bucket goes on with the last one of this page.
        if not page.has_more and not (page.has_more is None and isinstance(page.next_page, str)):
            yield from map(self._whole, reading.release())

    def _whole(self, part: _PartOfBucket) -> Bucket:
        rows = split_rows(*part.results)
        limit = self.api_group_limit
        if limit is not None and len(rows) >= limit and not self._has_warned_of_limit:
            self._has_warned_of_limit = True
            self.warn(
                "the bucket of %s has %d groups, at which the API cuts off: smaller groups may be"
                " missing. The stream %s has them all.",
                part.bucket.starting_at,
                len(rows),
                self.superseded_by,
            )
        return dataclasses.replace(part.bucket, rows=rows)


class _PartOfBucket(NamedTuple):
    """A bucket as far as it was read; a page may end in its middle."""

    bucket: Bucket
    """Without its rows."""
    results: list[msgspec.Raw]


class _BucketReading:
    """Where the reading of a window is: buckets follow each other without a gap."""

    def __init__(self, whole: Window, width: dt.timedelta) -> None:
        self._whole, self._width = whole, width
        self._due = whole.start
        self.held: list[_PartOfBucket] = []
        """The newest bucket, unless it was released."""

    def goes_on(self, window: Window) -> bool:
        """Whether a bucket is the one that the page before ended with."""
        return bool(self.held) and self.held[-1].bucket.window == window

    def hold(self, part: _PartOfBucket) -> None:
        """Take the next bucket. Raises `MalformedResponseError` if it is not the one due."""
        start, end = part.bucket.window
        if start != self._due or end - start != self._width or end > self._whole.end:
            msg = (
                f"a bucket is from {format_time(start)} to {format_time(end)}, where one of"
                f" {self._width} from {format_time(self._due)} on should be"
            )
            raise MalformedResponseError(msg)
        self._due = end
        self.held.append(part)

    def release(self) -> Iterator[_PartOfBucket]:
        """Yield the newest bucket, now that it is whole."""
        while self.held:
            yield self.held.pop()


class UnorderedReport(AdaptiveWindowReport):
    """A report whose rows come by rank, not by time: a window is read whole, then by bucket."""

    has_dated_rows = True
    first_buckets: ClassVar[Mapping[str, int]] = {"1d": 1}

    @override
    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterator[Iterable[Bucket]]:
        parts = list(split(window, self.width, 1))
        rows: dict[dt.datetime, list[msgspec.Raw]] = {part.start: [] for part in parts}
        held = list(pages)
        for page in held:
            for raw in page.items:
                start = row_start(raw)
                if start not in rows:
                    raise _out_of_order(start)
                rows[start].append(raw)
        yield [bucket_of(held[0], part, rows[part.start]) for part in parts]


class DayReport(ReportStream):
    """A report that the API gives one day at a time, one chain of requests each."""

    replication_key = "date"
    day_parameter: ClassVar[str]
    delay: ClassVar[dt.timedelta] = dt.timedelta(0)
    """How long after its time data may still arrive."""

    @property
    @override
    def cacheable_paths(self) -> tuple[str, ...]:
        return (self.path,)

    @override
    def sizer(self) -> WindowSizer:
        return WindowSizer(self.width, 1)

    @override
    def window_params(self, window: Window) -> dict[str, str]:
        return {self.day_parameter: f"{window.start:%Y-%m-%d}"}

    @override
    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterator[Iterable[Bucket]]:
        held = list(pages)
        rows = [raw for page in held for raw in page.items]
        yield [Bucket(window, rows, window.end <= held[0].sent_at - self.delay)]

    @override
    def window_columns(self, bucket: Bucket) -> Row:
        return {"date": bucket.starting_at[:10]}

    @override
    def bookmark_value(self, bucket: Bucket) -> str:
        return bucket.starting_at[:10]


class SeriesReport(ReportStream):
    """A report with one row per day, for a range of days per request."""

    has_dated_rows = True
    may_begin_late = True
    max_range_days: ClassVar[int]

    @override
    def sizer(self) -> WindowSizer:
        return WindowSizer(self.width, self.max_range_days)

    @override
    def window_params(self, window: Window) -> dict[str, str]:
        params = {"starting_date": f"{window.start:%Y-%m-%d}"}
        if window.end <= floor(dt.datetime.now(dt.UTC), self.width):
            params["ending_date"] = f"{window.end:%Y-%m-%d}"
        # else: without an end, the API goes up to the newest day that it has
        return params

    @override
    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterator[Iterable[Bucket]]:
        due = window.start
        for page in pages:
            finished = []
            for raw in page.items:
                start = row_start(raw)
                end = start + self.width
                if start < due or end > window.end or (start - window.start) % self.width:
                    raise _out_of_order(start)
                due = end
                finished.append(bucket_of(page, Window(start, end), [raw]))
            yield finished


def _out_of_order(start: dt.datetime) -> MalformedResponseError:
    return MalformedResponseError(
        f"a row of {format_time(start)} is out of order or not of this window"
    )


def _by_start(rows: Any) -> Iterator[tuple[dt.datetime, list[msgspec.Raw]]]:
    """Part rows in time order by their bucket; that each row is of it is seen when it is read."""
    first = 0
    while first < len(rows):
        moment = row_start(rows[first])
        until = bisect.bisect_right(rows, moment, first, key=row_start)
        yield moment, rows[first:until]
        first = until
