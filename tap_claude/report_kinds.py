"""The kinds of reports: how finished buckets come out of requests."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
from typing_extensions import override

from tap_claude.pagination import (
    UNREADABLE,
    BrokenPageError,
    TokenPaginator,
    part_rows,
    read_page,
    refreshed_at,
    sent_at,
)
from tap_claude.reports import Bucket, GroupedReport, ReportStream
from tap_claude.session import PAGE_BYTES
from tap_claude.windows import Window, floor, format_time, parse_time, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import requests

Row = dict[str, Any]


class RowReport(GroupedReport):
    """A report whose pages are lists of rows in time order (docs: usage-cost-analytics-api).

    A bucket's rows may spread over pages, and only a row of a later bucket, or the end, says that
    there are no more. Buckets without rows are not listed, but they have been read all the same.
    """

    paginator = TokenPaginator
    dated_rows = True

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {
            **super().get_url_params(context, next_page_token),
            "time_bucket_width": self.bucket_width,
            "order_by": "time",
            "order": "asc",
        }

    @override
    def buckets(
        self, step: Window, responses: Iterable[requests.Response]
    ) -> Iterator[Iterable[Bucket]]:
        due, start = step.start, step.start
        rows: list[msgspec.Raw] = []
        first: requests.Response | None = None  # page of the bucket's first row
        for page in responses:
            first = first or page
            for text, group in _by_start(read_page(page).data):
                moment = parse_time(text)
                if moment < start or moment >= step.end or (moment - step.start) % self.width:
                    msg = f"a row of {format_time(moment)} is out of order or not of this window"
                    raise BrokenPageError(msg)
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
        yield self._empty(last, due, step.end)

    def _bucket(
        self, response: requests.Response, start: dt.datetime, rows: list[msgspec.Raw]
    ) -> Bucket:
        """Return a bucket as seen by the page that its first row was on."""
        return bucket_of(response, start, start + self.width, rows)

    def _empty(
        self, response: requests.Response, start: dt.datetime, end: dt.datetime
    ) -> list[Bucket]:
        window = Window(start, end)
        return [self._bucket(response, step.start, []) for step in split(window, self.width, 1)]


class SizedReport(GroupedReport):
    """A report that is read in steps which are held in memory whole.

    Steps begin small where buckets may be large, and grow as far as the bytes per bucket seen so
    far let a step stay within `PAGE_BYTES`.
    """

    paginator = TokenPaginator
    first_buckets: ClassVar[Mapping[str, int]]
    """Buckets of the first step by width, where it is not the most that the API takes."""
    _bucket_bytes = 0
    _sized: tuple[Window | None, int] = (None, 0)

    @override
    def step_buckets(self) -> int:
        most = super().step_buckets()
        if not self._bucket_bytes:
            return self.first_buckets.get(self.bucket_width, most)
        return max(1, min(most, PAGE_BYTES // self._bucket_bytes))

    @override
    def note_size(self, step: Window, page_bytes: int) -> None:
        sized, before = self._sized
        total = before + page_bytes if sized == step else page_bytes
        self._sized = step, total
        self._bucket_bytes = max(self._bucket_bytes, total * self.width // (step.end - step.start))

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params = super().get_url_params(context, next_page_token)
        return {**params, "bucket_width": self.bucket_width}


class _RawBucket(msgspec.Struct):
    starting_at: str
    ending_at: str
    results: msgspec.Raw


_decode_bucket = msgspec.json.Decoder(_RawBucket).decode


class _Part(NamedTuple):
    """A bucket as far as it was read; a page may end in its middle."""

    bucket: Bucket
    """Without its rows."""
    window: Window
    results: list[msgspec.Raw]


class _BucketReading:
    """Where the reading of a step is: buckets follow each other without a gap."""

    def __init__(self, step: Window, width: dt.timedelta) -> None:
        self._step, self._width = step, width
        self._due = step.start
        self.held: list[_Part] = []
        """The newest bucket, unless it was released."""

    def goes_on(self, window: Window) -> bool:
        """Whether a bucket is the one that the page before ended with."""
        return bool(self.held) and self.held[-1].window == window

    def hold(self, part: _Part) -> None:
        """Take the next bucket. Raises `BrokenPageError` if it is not the one that is due."""
        start, end = part.window
        if start != self._due or end - start != self._width or end > self._step.end:
            msg = (
                f"a bucket is from {format_time(start)} to {format_time(end)}, where one of"
                f" {self._width} from {format_time(self._due)} on should be"
            )
            raise BrokenPageError(msg)
        self._due = end
        self.held.append(part)

    def release(self) -> Iterator[_Part]:
        """Yield the newest bucket, now that it is whole."""
        while self.held:
            yield self.held.pop()


class BucketReport(SizedReport):
    """A report whose pages are lists of buckets, empty ones included (docs: usage-cost-api).

    A step is one page. Days begin with the biggest, hours and minutes with the API's default.
    """

    first_buckets: ClassVar[Mapping[str, int]] = {"1h": 24, "1m": 60}
    most_groups: ClassVar[int | None] = None
    """Groups after which the API cuts a bucket off, without a word."""
    instead: ClassVar[str] = ""
    """Stream that has all groups."""
    _cut_off = False

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params = super().get_url_params(context, next_page_token)
        return {**params, "limit": self.page_buckets[self.bucket_width]}

    @override
    def buckets(
        self, step: Window, responses: Iterable[requests.Response]
    ) -> Iterator[Iterable[Bucket]]:
        # Not a loop, which would hold the page while the next one is fetched.
        read = functools.partial(self._buckets_of, reading=_BucketReading(step, self.width))
        return map(read, responses)

    def _buckets_of(self, response: requests.Response, reading: _BucketReading) -> Iterator[Bucket]:
        page = read_page(response)
        for index, raw in enumerate(page.data):
            try:
                bucket = _decode_bucket(raw)
                window = Window(parse_time(bucket.starting_at), parse_time(bucket.ending_at))
            except (*UNREADABLE, ValueError) as error:
                msg = f"a bucket of the page cannot be read: {error}"
                raise BrokenPageError(msg) from error
            if index == 0 and reading.goes_on(window):
                reading.held[-1].results.append(bucket.results)
                continue
            yield from map(self._whole, reading.release())
            reading.hold(_Part(bucket_of(response, *window, []), window, [bucket.results]))
        # Only the next page says whether its first bucket goes on with the last one of this page.
        if not self.get_new_paginator().has_more(response):
            yield from map(self._whole, reading.release())

    def _whole(self, part: _Part) -> Bucket:
        rows = part_rows(*part.results)
        self._warn_of_cut(part.bucket.starting_at, len(rows))
        return dataclasses.replace(part.bucket, rows=rows)

    def _warn_of_cut(self, starting_at: str, groups: int) -> None:
        if self._cut_off or self.most_groups is None or groups < self.most_groups:
            return
        self._cut_off = True
        self.logger.warning(
            "The bucket of %s has %d groups, at which the API cuts off: smaller groups may be"
            " missing. The stream %s has them all.",
            starting_at,
            groups,
            self.instead,
        )


class RankedReport(SizedReport):
    """A report whose rows come by rank, not by time: a step is read whole, then told by bucket."""

    dated_rows = True
    first_buckets: ClassVar[Mapping[str, int]] = {"1d": 1}

    @override
    def buckets(
        self, step: Window, responses: Iterable[requests.Response]
    ) -> Iterator[Iterable[Bucket]]:
        rows: dict[dt.datetime, list[msgspec.Raw]] = {
            part.start: [] for part in split(step, self.width, 1)
        }
        pages = list(responses)
        for page in pages:
            for raw in read_page(page).data:
                start = parse_time(row_start(raw))
                if start not in rows:
                    msg = f"a row of {format_time(start)} is not of this window"
                    raise BrokenPageError(msg)
                rows[start].append(raw)
        yield [
            bucket_of(pages[0], start, start + self.width, rows[start]) for start in sorted(rows)
        ]


class DayReport(ReportStream):
    """A report that the API gives one day at a time, one chain of requests each."""

    replication_key = "date"
    day_parameter: ClassVar[str]
    delay: dt.timedelta = dt.timedelta(0)
    """How long after its time data may still arrive."""

    @property
    @override
    def paths(self) -> tuple[str, ...]:
        return (self.path,)

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        return split(window, self.width, 1)

    @override
    def bounds(self, step: Window) -> dict[str, str]:
        return {self.day_parameter: f"{step.start:%Y-%m-%d}"}

    @override
    def buckets(
        self, step: Window, responses: Iterable[requests.Response]
    ) -> Iterator[Iterable[Bucket]]:
        pages = list(responses)
        rows = [raw for page in pages for raw in read_page(page).data]
        is_complete = step.end <= sent_at(pages[0]) - self.delay
        yield [Bucket(format_time(step.start), format_time(step.end), rows, is_complete)]

    @override
    def window_columns(self, bucket: Bucket) -> Row:
        return {"date": bucket.starting_at[:10]}

    @override
    def bookmark_of(self, bucket: Bucket) -> str:
        return bucket.starting_at[:10]


class SeriesReport(ReportStream):
    """A report with one row per day, for a range of days at once."""

    identity = ()
    dated_rows = True
    may_begin_late = True
    longest: ClassVar[int]
    """Most days that a range may span."""

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        return split(window, self.width, self.longest)

    @override
    def bounds(self, step: Window) -> dict[str, str]:
        bounds = {"starting_date": f"{step.start:%Y-%m-%d}"}
        if step.end <= floor(dt.datetime.now(dt.UTC), self.width):
            bounds["ending_date"] = f"{step.end:%Y-%m-%d}"
        # else: without an end, the API goes up to the newest day that it has
        return bounds

    @override
    def buckets(
        self, step: Window, responses: Iterable[requests.Response]
    ) -> Iterator[Iterable[Bucket]]:
        due = step.start
        for response in responses:
            finished = []
            for raw in read_page(response).data:
                start = parse_time(row_start(raw))
                end = start + self.width
                if start < due or end > step.end or (start - step.start) % self.width:
                    msg = f"a row of {format_time(start)} is out of order or not of this window"
                    raise BrokenPageError(msg)
                due = end
                finished.append(bucket_of(response, start, end, [raw]))
            yield finished


def _by_start(rows: list[msgspec.Raw]) -> Iterator[tuple[str, list[msgspec.Raw]]]:
    """Part rows in time order by their bucket; that each row is of it is seen when it is read."""
    first = 0
    while first < len(rows):
        text = row_start(rows[first])
        until = bisect.bisect_right(rows, parse_time(text), first, key=_moment)
        yield text, rows[first:until]
        first = until


def _moment(raw: msgspec.Raw) -> dt.datetime:
    return parse_time(row_start(raw))


def bucket_of(
    response: requests.Response,
    start: dt.datetime,
    end: dt.datetime,
    rows: Sequence[Row | msgspec.Raw],
) -> Bucket:
    """Return a bucket as a page shows it: it is complete up to when the API says, or was asked."""
    asked, refreshed = sent_at(response), refreshed_at(response)
    return Bucket(
        format_time(start),
        format_time(end),
        rows,
        is_complete=end <= min(asked, refreshed or asked),
        data_refreshed_at=None if refreshed is None else format_time(refreshed),
    )


class _RowStart(msgspec.Struct):
    starting_at: str


_decode_row_start = msgspec.json.Decoder(_RowStart).decode


def row_start(raw: msgspec.Raw) -> str:
    """Return the ``starting_at`` of a row, a time. Raises `BrokenPageError` if it has none."""
    try:
        text = _decode_row_start(raw).starting_at
        parse_time(text)
    except (*UNREADABLE, ValueError) as error:
        msg = f"a row of the page has no starting_at: {error}"
        raise BrokenPageError(msg) from error
    return text
