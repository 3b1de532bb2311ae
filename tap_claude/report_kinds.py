"""The kinds of reports: how finished buckets come out of requests."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from typing_extensions import override

from tap_claude.client import printable
from tap_claude.pagination import (
    BrokenPageError,
    TokenPaginator,
    decode_row,
    exact,
    read_page,
    refreshed_at,
    sent_at,
)
from tap_claude.reports import Bucket, GroupedReport, ReportStream
from tap_claude.windows import Window, floor, format_time, parse_time, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import requests

Row = dict[str, Any]


class RowReport(GroupedReport):
    """A report whose pages are lists of rows in time order (docs: usage-cost-analytics-api).

    A bucket's rows may spread over pages, and only a row of a later bucket, or the end, says that
    there are no more. Buckets without rows are not listed, but they have been read all the same.
    """

    paginator = TokenPaginator
    page_size: ClassVar[int] = 1000

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {
            **(context or {}),
            "time_bucket_width": self.bucket_width,
            "order_by": "time",
            "order": "asc",
            "limit": self.page_size,
            "group_by[]": list(self.report.group_by),
            **{f"{name}[]": values for name, values in self.report.filters.items()},
            "page": next_page_token,
        }

    @override
    def buckets(self, step: Window) -> Iterator[Iterable[Bucket]]:
        due = step.start
        for moment, group in itertools.groupby(self._rows(step), key=lambda pair: pair[0]):
            if moment < due or moment >= step.end or (moment - step.start) % self.width:
                msg = f"a row of {format_time(moment)} is out of order or not of this window"
                raise BrokenPageError(msg)
            rows = (row for _, row in group)
            yield [*self._empty(due, moment), self._bucket(moment, rows)]
            due = moment + self.width
        yield self._empty(due, step.end)

    def _rows(self, step: Window) -> Iterator[tuple[dt.datetime, Row]]:
        bounds = {"starting_at": format_time(step.start), "ending_at": format_time(step.end)}
        for response in self.pages(bounds):
            self._page = response
            for raw in read_page(response).data:
                row = decode_row(raw)
                yield _start_of(row), row

    def _bucket(self, start: dt.datetime, rows: Iterable[Row]) -> Bucket:
        """Return a bucket as seen by the page that its first row was on."""
        return _bucket_of(self._page, start, start + self.width, rows)

    def _empty(self, start: dt.datetime, end: dt.datetime) -> list[Bucket]:
        window = Window(start, end)
        return [self._bucket(step.start, ()) for step in split(window, self.width, 1)]


PAGE_BYTES = 32 * 2**20


class SizedReport(GroupedReport):
    """A report that is read in steps which are held in memory whole.

    Steps begin small where buckets may be large, and grow as far as the bytes per bucket seen so
    far let a step stay within `PAGE_BYTES`.
    """

    paginator = TokenPaginator
    first_buckets: ClassVar[Mapping[str, int]]
    """Buckets of the first step by width, where it is not the most that the API takes."""
    _bucket_bytes = 0

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        most = self.page_buckets[self.bucket_width]
        buckets = self.first_buckets.get(self.bucket_width, most)
        while window.start < window.end:
            step = next(split(window, self.width, buckets))
            yield step
            window = Window(step.end, window.end)
            buckets = max(1, min(most, PAGE_BYTES // max(1, self._bucket_bytes)))

    def _note_size(self, content_bytes: int, buckets: int) -> None:
        self._bucket_bytes = max(self._bucket_bytes, content_bytes // max(1, buckets))

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {
            **(context or {}),
            "bucket_width": self.bucket_width,
            "limit": self.page_buckets[self.bucket_width],
            "group_by[]": list(self.report.group_by),
            **{f"{name}[]": values for name, values in self.report.filters.items()},
            "page": next_page_token,
        }


class _RawBucket(msgspec.Struct):
    starting_at: str
    ending_at: str
    results: list[Row]


_decode_bucket = msgspec.json.Decoder(_RawBucket, float_hook=exact).decode


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
    def buckets(self, step: Window) -> Iterator[Iterable[Bucket]]:
        bounds = {"starting_at": format_time(step.start), "ending_at": format_time(step.end)}
        for response in self.pages(bounds):
            yield self._buckets_of(response)

    def _buckets_of(self, response: requests.Response) -> Iterator[Bucket]:
        data = read_page(response).data
        self._note_size(len(response.content), len(data))
        for raw in data:
            try:
                bucket = _decode_bucket(raw)
                start, end = parse_time(bucket.starting_at), parse_time(bucket.ending_at)
            except (msgspec.DecodeError, ValueError) as error:
                msg = f"a bucket of the page cannot be read: {error}"
                raise BrokenPageError(msg) from error
            self._warn_of_cut(bucket)
            yield _bucket_of(response, start, end, bucket.results)

    def _warn_of_cut(self, bucket: _RawBucket) -> None:
        if self._cut_off or self.most_groups is None or len(bucket.results) < self.most_groups:
            return
        self._cut_off = True
        self.logger.warning(
            "The bucket of %s has %d groups, at which the API cuts off: smaller groups may be"
            " missing. The stream %s has them all.",
            printable(bucket.starting_at),
            len(bucket.results),
            self.instead,
        )


class _RowStart(msgspec.Struct):
    starting_at: str


_decode_row_start = msgspec.json.Decoder(_RowStart).decode


class RankedReport(SizedReport):
    """A report whose rows come by rank, not by time: a step is read whole, then told by bucket."""

    first_buckets: ClassVar[Mapping[str, int]] = {"1d": 1}
    page_size: ClassVar[int] = 1000

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {**super().get_url_params(context, next_page_token), "limit": self.page_size}

    @override
    def buckets(self, step: Window) -> Iterator[Iterable[Bucket]]:
        starts = [part.start for part in split(step, self.width, 1)]
        rows: dict[dt.datetime, list[msgspec.Raw]] = {start: [] for start in starts}
        first: requests.Response | None = None
        size = 0
        bounds = {"starting_at": format_time(step.start), "ending_at": format_time(step.end)}
        for response in self.pages(bounds):
            first = first or response
            size += len(response.content)
            for raw in read_page(response).data:
                try:
                    rows[parse_time(_decode_row_start(raw).starting_at)].append(raw)
                except (msgspec.DecodeError, LookupError, ValueError) as error:
                    msg = f"a row of the page is not of this window: {error}"
                    raise BrokenPageError(msg) from error
        self._note_size(size, len(starts))
        if first is not None:
            yield [
                _bucket_of(first, start, start + self.width, map(decode_row, rows[start]))
                for start in starts
            ]


class DayReport(ReportStream):
    """A report that the API gives one day at a time, one chain of requests each."""

    replication_key = "date"
    page_size: ClassVar[int | None] = 1000
    """The biggest legal page; None where the endpoint takes no limit."""
    day_parameter: ClassVar[str]
    delay: dt.timedelta = dt.timedelta(0)
    """How long after its time data may still arrive."""

    @property
    @override
    def paths(self) -> tuple[str, ...]:
        return (self.path,)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {**(context or {}), "limit": self.page_size, "page": next_page_token}

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        return split(window, self.width, 1)

    @override
    def buckets(self, step: Window) -> Iterator[Iterable[Bucket]]:
        rows = self._rows(f"{step.start:%Y-%m-%d}")
        is_complete = step.end <= dt.datetime.now(dt.UTC) - self.delay
        yield [Bucket(format_time(step.start), format_time(step.end), rows, is_complete)]

    def _rows(self, day: str) -> Iterator[Row]:
        for response in self.pages({self.day_parameter: day}):
            for raw in read_page(response).data:
                yield decode_row(raw)

    @override
    def window_columns(self, bucket: Bucket) -> Row:
        return {"date": bucket.starting_at[:10]}

    @override
    def bookmark_of(self, bucket: Bucket) -> str:
        return bucket.starting_at[:10]


class SeriesReport(ReportStream):
    """A report with one row per day, for a range of days at once."""

    identity = ()
    page_size: ClassVar[int] = 1000
    longest: ClassVar[int]
    """Most days that a range may span."""

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        return split(window, self.width, self.longest)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {**(context or {}), "limit": self.page_size, "page": next_page_token}

    @override
    def buckets(self, step: Window) -> Iterator[Iterable[Bucket]]:
        bounds = {"starting_date": f"{step.start:%Y-%m-%d}"}
        if step.end <= floor(dt.datetime.now(dt.UTC), self.width):
            bounds["ending_date"] = f"{step.end:%Y-%m-%d}"
        # else: without an end, the API goes up to the newest day that it has
        due = step.start
        for response in self.pages(bounds):
            finished = []
            for row in map(decode_row, read_page(response).data):
                start = _start_of(row)
                end = start + self.width
                if start < due or end > step.end or (start - step.start) % self.width:
                    msg = f"a row of {format_time(start)} is out of order or not of this window"
                    raise BrokenPageError(msg)
                due = end
                finished.append(_bucket_of(response, start, end, (row,)))
            yield finished


def _bucket_of(
    response: requests.Response, start: dt.datetime, end: dt.datetime, rows: Iterable[Row]
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


def _start_of(row: Row) -> dt.datetime:
    try:
        return parse_time(row["starting_at"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"a row of the page has no starting_at: {error}"
        raise BrokenPageError(msg) from error
