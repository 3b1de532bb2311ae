"""The kinds of reports: how each turns pages into finished buckets."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from typing_extensions import override

from tap_claude.buckets import Bucket, bucket_of
from tap_claude.client import PAGE_BYTES
from tap_claude.config import ReportSpec
from tap_claude.errors import MalformedResponseError
from tap_claude.pages import decode_bucket, row_start, split_rows
from tap_claude.pagination import TokenPaginator
from tap_claude.report_read import ReportStream
from tap_claude.windows import Window, WindowSizer, floor, format_time, parse_time, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import msgspec
    from singer_sdk import Tap

    from tap_claude.pages import ApiPage, Row
    from tap_claude.sync_context import SyncContext


class GroupedReport(ReportStream):
    """A report with configurable dimensions: the standard report or a custom report."""

    splittable = True
    dimensions: ClassVar[tuple[str, ...]]
    """All valid values of ``group_by[]``."""
    default_group_by: ClassVar[tuple[str, ...]]
    filters: ClassVar[tuple[str, ...]] = ()
    """All valid filters, named like the API's parameters without brackets."""
    max_group_by: ClassVar[int] = 5
    page_buckets: ClassVar[Mapping[str, int]]
    """The valid bucket widths, each with the maximum number of buckets per page."""
    unlimited_dimensions: ClassVar[tuple[str, ...]] = ()
    """Dimensions that do not count towards ``max_group_by``."""
    max_filter_values: ClassVar[int | None] = None
    """How many values all filters of a request may have together; None if there is no limit."""
    incompatible: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of a dimension and a dimension or filter that the API rejects together."""
    base_key_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that identify a row with any grouping, besides the dimensions."""
    dimension_key_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Columns that identify the value of a dimension; default: the column of its name."""
    dimension_beta_headers: ClassVar[Mapping[str, str]] = {}
    """Beta header that a dimension or filter requires."""

    def __init__(self, tap: Tap, *, run: SyncContext, spec: ReportSpec | None = None) -> None:
        """Set up a report. Without ``spec``: the default dimensions, with daily buckets."""
        spec = spec or ReportSpec(self.name, self.name, self.default_group_by)
        super().__init__(tap, run=run, name=spec.name, width=spec.bucket_width)
        self.spec = spec
        own = self.dimension_key_columns
        columns = (
            *self.base_key_columns,
            *(column for name in spec.group_by for column in own.get(name, (name,))),
            # The rows of a cost report are per currency.
            *(("currency",) if "amount" in self.columns.names else ()),
        )
        self.key_columns = tuple(dict.fromkeys(columns))
        betas = self.dimension_beta_headers
        needed = {betas[name] for name in (*spec.group_by, *spec.filters) if name in betas}
        self.beta_headers = (*self.beta_headers, *sorted(needed))

    @override
    def definition(self) -> dict[str, Any]:
        return self.spec.definition

    @override
    def sizer(self) -> WindowSizer:
        return WindowSizer(self.width, self.page_buckets[self.bucket_width])

    @override
    def window_params(self, window: Window) -> dict[str, str]:
        return {"starting_at": format_time(window.start), "ending_at": format_time(window.end)}

    @override
    def params(self, window: Window) -> dict[str, Any]:
        return {
            **super().params(window),
            "group_by[]": list(self.spec.group_by),
            **self.filter_params(),
        }

    def filter_params(self) -> dict[str, list[str]]:
        """Return the query parameters of the filters."""
        return {f"{name}[]": values for name, values in self.spec.filters.items()}


class EntityReport(GroupedReport):
    """A report whose rows are about users, skills, ... (docs: claude-enterprise-analytics-api).

    All filters are entries ``dimension:value`` of one parameter, ``filter[]``. The API combines the
    values of a dimension with OR, and the dimensions with AND.
    """

    splittable = False
    default_group_by = ()
    max_filter_values = 100

    @override
    def filter_params(self) -> dict[str, list[str]]:
        filters = self.spec.filters.items()
        return {"filter[]": [f"{name}:{value}" for name, values in filters for value in values]}


class RowReport(GroupedReport):
    """A report whose pages are lists of rows in time order (docs: usage-cost-analytics-api).

    A bucket's rows may span pages; the bucket ends at a row of a later bucket, or at the last
    page. The API does not list buckets without rows, but they count as read.
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
        """Return a bucket; its first row is on this page."""
        return bucket_of(page, Window(start, start + self.width), rows)

    def _empty(self, page: ApiPage, start: dt.datetime, end: dt.datetime) -> list[Bucket]:
        parts = split(Window(start, end), self.width, 1)
        return [self._bucket(page, part.start, []) for part in parts]


class AdaptiveWindowReport(GroupedReport):
    """A report that is read in windows, each held in memory completely.

    Windows start small if buckets may be large, and grow up to `PAGE_BYTES`.
    """

    paginator = TokenPaginator
    first_buckets: ClassVar[Mapping[str, int]]
    """Buckets of the first window, by width, if fewer than the API's maximum."""

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

    A window is one page. The first window has the API's maximum of daily buckets, or its default
    number of hourly or minute buckets.
    """

    first_buckets: ClassVar[Mapping[str, int]] = {"1h": 24, "1m": 60}
    api_group_limit: ClassVar[int | None] = None
    """Number of groups after which the API silently truncates a bucket."""
    superseded_by: ClassVar[str] = ""
    """Stream that contains all groups."""
    _has_warned_of_limit = False

    @override
    def params(self, window: Window) -> dict[str, Any]:
        return {**super().params(window), "limit": self.page_buckets[self.bucket_width]}

    @override
    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterator[Iterable[Bucket]]:
        reading = _BucketReading(window, self.width)
        # Not a loop: its variable would keep the page in memory while the next one is fetched.
        read = functools.partial(self._buckets_of, reading=reading)
        return map(read, pages)

    def _buckets_of(self, page: ApiPage, reading: _BucketReading) -> Iterator[Bucket]:
        for index, raw in enumerate(page.items):
            bucket = decode_bucket(raw)
            try:
                window = Window(parse_time(bucket.starting_at), parse_time(bucket.ending_at))
            except ValueError as error:
                msg = f"a bucket of the page cannot be read: {error}"
                raise MalformedResponseError(msg) from error
            if index == 0 and reading.continues(window):
                reading.held[-1].results.append(bucket.results)
                continue
            yield from map(self._complete, reading.release())
            reading.hold(_PartOfBucket(bucket_of(page, window, []), [bucket.results]))
        # The first bucket of the next page may continue the last one of this page.
        if not page.has_next:
            yield from map(self._complete, reading.release())

    def _complete(self, part: _PartOfBucket) -> Bucket:
        rows = split_rows(*part.results)
        limit = self.api_group_limit
        if limit is not None and len(rows) >= limit and not self._has_warned_of_limit:
            self._has_warned_of_limit = True
            self.warn(
                "the bucket of %s has %d groups, the limit of the API: smaller groups may be"
                " missing. The stream %s contains all groups.",
                part.bucket.starting_at,
                len(rows),
                self.superseded_by,
            )
        return dataclasses.replace(part.bucket, rows=rows)


class _PartOfBucket(NamedTuple):
    """A bucket whose rows may continue on the next page."""

    bucket: Bucket
    """Without rows."""
    results: list[msgspec.Raw]


class _BucketReading:
    """The position in a window; buckets must follow each other without a gap."""

    def __init__(self, window: Window, width: dt.timedelta) -> None:
        self._window, self._width = window, width
        self._due = window.start
        self.held: list[_PartOfBucket] = []
        """The newest bucket, until it is released."""

    def continues(self, window: Window) -> bool:
        """Whether a bucket continues the last bucket of the previous page."""
        return bool(self.held) and self.held[-1].bucket.window == window

    def hold(self, part: _PartOfBucket) -> None:
        """Add the next bucket. Raises `MalformedResponseError` if it is not the expected one."""
        start, end = part.bucket.window
        if start != self._due or end - start != self._width or end > self._window.end:
            msg = (
                f"a bucket is from {format_time(start)} to {format_time(end)}, but should start"
                f" at {format_time(self._due)} and be {self._width} long"
            )
            raise MalformedResponseError(msg)
        self._due = end
        self.held.append(part)

    def release(self) -> Iterator[_PartOfBucket]:
        """Yield the newest bucket, which is complete now."""
        while self.held:
            yield self.held.pop()


class UnorderedReport(AdaptiveWindowReport):
    """A report whose rows are not in time order; a window is read completely, then sorted."""

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
    """A report that is requested one day at a time."""

    replication_key = "date"
    day_parameter: ClassVar[str]
    delay: ClassVar[dt.timedelta] = dt.timedelta(0)
    """How late data may arrive."""

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


class SeriesReport(EntityReport):
    """A report with one row per day, requested for a range of days."""

    dimensions = ()
    has_dated_rows = True
    may_begin_late = True

    @override
    def window_params(self, window: Window) -> dict[str, str]:
        params = {"starting_date": f"{window.start:%Y-%m-%d}"}
        if window.end <= floor(dt.datetime.now(dt.UTC), self.width):
            params["ending_date"] = f"{window.end:%Y-%m-%d}"
        # else: without an end, the API returns data up to its newest day
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
        f"a row of {format_time(start)} is out of order or outside the requested window"
    )


def _by_start(rows: Any) -> Iterator[tuple[dt.datetime, list[msgspec.Raw]]]:
    """Group rows in time order by bucket, with a binary search; `BucketReader` checks each row."""
    first = 0
    while first < len(rows):
        moment = row_start(rows[first])
        until = bisect.bisect_right(rows, moment, first, key=row_start)
        yield moment, rows[first:until]
        first = until
