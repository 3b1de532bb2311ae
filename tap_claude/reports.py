"""What report streams share: windows to read, rows to records, the bookmark.

The SDK moves bookmarks by record, and back where records come again. A report moves its bookmark
by finished bucket, also by an empty one, and only forward, so that a killed run resumes at the
last finished bucket and the lookback never costs progress.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_claude.client import ORGANIZATION_TYPE, APIError, ClaudeStream
from tap_claude.pagination import (
    BrokenPageError,
    TokenPaginator,
    decode_row,
    exact,
    read_page,
    sent_at,
)
from tap_claude.records import add_amounts, row_id
from tap_claude.windows import (
    WIDTHS,
    Window,
    floor,
    format_time,
    oldest,
    parse_time,
    read_range,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.client import Run
    from tap_claude.settings import Report

Row = dict[str, Any]


@dataclass
class Bucket:
    """One interval of a report: its rows, and whether they can still change by its growing."""

    starting_at: str
    ending_at: str
    rows: Iterable[Row]
    is_complete: bool
    data_refreshed_at: str | None = None


class FinishedBucket(NamedTuple):
    """What ``report_buckets`` says of a bucket."""

    stream: str
    organization_type: str
    starting_at: str
    ending_at: str
    bucket_width: str
    row_count: int
    total_tokens: int | None
    amount_usd: str | None
    data_refreshed_at: str | None
    is_complete: bool


class ReportStream(ClaudeStream):
    """A report, read oldest bucket first. Subclasses say how buckets come out of requests."""

    primary_keys = ("row_id",)
    replication_key = "starting_at"

    lookback_days: ClassVar[int]
    earliest: ClassVar[dt.datetime | None] = None
    """First time that the API has anything of, and how far back it goes from now."""
    max_age: ClassVar[dt.timedelta | None] = None
    identity: tuple[str, ...]
    """Columns that make the key of a row, beside stream, organization and bucket."""
    warns_of_merged_rows: ClassVar[bool] = False
    """Whether two rows with one key are out of the ordinary."""

    def __init__(self, tap: Tap, *, run: Run, name: str | None = None, width: str = "1d") -> None:
        """Set up a report with buckets of that width."""
        super().__init__(tap, run=run, name=name)
        self.bucket_width = width
        self.width = WIDTHS[width]
        self._merged_rows = 0
        self._token_columns = (
            ["total_tokens"]
            if "total_tokens" in self.columns.names
            else [name for name in self.columns.counters if "tokens" in name]
        )

    # -- what subclasses say

    def steps(self, window: Window) -> Iterable[Window]:
        """Cut the range of a run into what one chain of requests reads."""
        raise NotImplementedError

    def buckets(self, step: Window) -> Iterable[Iterable[Bucket]]:
        """Yield finished buckets, a page at a time: the bookmark moves after each."""
        raise NotImplementedError

    def expand(self, row: Row) -> Iterable[Row]:
        """Turn a row of the API into the rows of this stream."""
        return (row,)

    def window_columns(self, bucket: Bucket) -> Row:
        """Return the columns that say which bucket a record belongs to."""
        return {
            "starting_at": bucket.starting_at,
            "ending_at": bucket.ending_at,
            "bucket_width": self.bucket_width,
        }

    def bookmark_of(self, bucket: Bucket) -> str:
        """Return the replication key's value for a bucket."""
        return bucket.starting_at

    # -- reading

    @override
    def read(self, context: Context | None) -> Iterator[Row]:
        now = dt.datetime.now(dt.UTC)
        window = self._range(context, now)
        if window is None:
            self.logger.info("Nothing to read: the bookmark is at or after end_date.")
            return
        for step in self.steps(window):
            try:
                yield from self._read_step(step, context)
            except APIError as error:
                if step.end <= now or not _refuses_future(error):
                    raise
                self.logger.warning(
                    "The API refuses an end in the future; the running bucket is left out."
                )
                finished = Window(step.start, floor(now, self.width))
                if finished.start < finished.end:
                    yield from self._read_step(finished, context)
        if self._merged_rows and self.warns_of_merged_rows:
            self.logger.warning(
                "%d rows had all identifying fields in common with another row of their bucket;"
                " they were added up.",
                self._merged_rows,
            )

    def _read_step(self, step: Window, context: Context | None) -> Iterator[Row]:
        for finished in self.buckets(step):
            newest = ""
            for bucket in finished:
                records = self._records(bucket)
                # Before the SDK takes the deselected columns out of the records.
                summary = self._summary(bucket, records)
                yield from records
                self.run.finished.append(summary)
                newest = max(newest, self.bookmark_of(bucket))
            # Here the last record of the page has been written.
            self._advance_bookmark(newest, context)

    def _range(self, context: Context | None, now: dt.datetime) -> Window | None:
        days = self.config.get("lookback_days")
        window = read_range(
            now=now,
            width=self.width,
            bookmark=self._bookmark(context),
            lookback=dt.timedelta(days=self.lookback_days if days is None else days),
            start_date=_configured_time(self.config, "start_date"),
            end_date=_configured_time(self.config, "end_date"),
        )
        reach = oldest(now, self.earliest, self.max_age)
        if window is None or reach is None or window.start >= reach:
            return window
        self.logger.warning(
            "The API has nothing before %s; reading starts there.", format_time(reach)
        )
        return Window(reach, window.end) if reach < window.end else None

    def _records(self, bucket: Bucket) -> Collection[Row]:
        """Return the records of one bucket, rows with one key merged."""
        merged: dict[str, Row] = {}
        for row in bucket.rows:
            for part in self.expand(row):
                record = self.conform(part)
                key = row_id(
                    self.name,
                    self.organization_type,
                    bucket.starting_at,
                    self.bucket_width,
                    {name: record[name] for name in self.identity},
                )
                if key in merged:
                    self.columns.merge(merged[key], record)
                    self._merged_rows += 1
                else:
                    merged[key] = record
        window = self.window_columns(bucket)
        for key, record in merged.items():
            self.columns.add_dollars(record)
            record.update(
                window,
                row_id=key,
                organization_type=self.organization_type,
                is_complete=bucket.is_complete,
                extracted_at=self.run.extracted_at,
            )
            if bucket.data_refreshed_at is not None:
                record["data_refreshed_at"] = bucket.data_refreshed_at
        return merged.values()

    def _summary(self, bucket: Bucket, records: Collection[Row]) -> FinishedBucket:
        """Return what ``report_buckets`` says of a bucket whose records have been written."""
        dollars = [r["amount_usd"] for r in records if r.get("amount_usd") is not None]
        tokens = [r[name] for r in records for name in self._token_columns if r[name] is not None]
        return FinishedBucket(
            stream=self.name,
            organization_type=self.organization_type,
            starting_at=bucket.starting_at,
            ending_at=bucket.ending_at,
            bucket_width=self.bucket_width,
            row_count=len(records),
            total_tokens=sum(tokens) if self._token_columns else None,
            amount_usd=(
                functools.reduce(add_amounts, dollars, "0")
                if "amount_usd" in self.columns.names
                else None
            ),
            data_refreshed_at=bucket.data_refreshed_at,
            is_complete=bucket.is_complete,
        )

    # -- bookmark

    def _bookmark(self, context: Context | None) -> dt.datetime | None:
        """Return the newest bookmark of the organization that is being read.

        One organization has the stream's state to itself, two have a partition each; a credential
        that comes or goes must cost neither of them its place.
        """
        if self.replication_method != "INCREMENTAL":
            return None
        state = self.stream_state
        mine = {"organization_type": self.organization_type}
        found = [part for part in state.get("partitions", ()) if part["context"] == mine]
        # Without a name in the state, a bookmark is of the one organization that there was.
        if state.get("organization_type", None if context else self.organization_type) == (
            self.organization_type
        ):
            found.append(state)
        moments = [
            self._bookmark_time(part["replication_key_value"])
            for part in found
            if part.get("replication_key_value") is not None
        ]
        return max(moments, default=None)

    def _bookmark_time(self, value: Any) -> dt.datetime:
        try:
            return parse_time(value)
        except (AttributeError, TypeError, ValueError) as error:
            msg = (
                f"{self.name}: the state's replication_key_value {value!a:.60} is not a time; "
                "mend it, or remove the stream's bookmark to read from start_date again"
            )
            raise FatalAPIError(msg) from error

    def _advance_bookmark(self, starting_at: str, context: Context | None) -> None:
        """Move the bookmark to a bucket read to its end, never back, and write it."""
        if self.replication_method != "INCREMENTAL":
            return
        state = self.get_context_state(context)
        bookmark = self._bookmark(context)
        if not starting_at or (bookmark is not None and parse_time(starting_at) <= bookmark):
            return
        state["replication_key"] = self.replication_key
        state["replication_key_value"] = starting_at
        if not context and len({ORGANIZATION_TYPE[name] for name in self.credentials}) > 1:
            state["organization_type"] = self.organization_type
        # In BATCH mode the records may not have left yet: the SDK writes state after each batch.
        if self.get_batch_config(self.config) is None:
            self.finalize_state_progress_markers(state)

    @override
    def _increment_stream_state(
        self, latest_record: Row, *, context: Context | None = None
    ) -> None:
        """Do nothing: the bookmark moves by bucket, not by record."""

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: the signpost caps bookmarks that move by record."""

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """Leave the bookmark alone: `read_range` weighs it against ``start_date``."""
        return value


class GroupedReport(ReportStream):
    """A report with dimensions to choose: under its own name, or as a custom report."""

    dimensions: ClassVar[tuple[str, ...]]
    """Every legal value of ``group_by[]``."""
    default_group_by: ClassVar[tuple[str, ...]]
    filters: ClassVar[tuple[str, ...]] = ()
    """Every legal filter, named like the API's parameter without the brackets."""
    max_group_by: ClassVar[int] = 5
    page_buckets: ClassVar[Mapping[str, int]]
    """The legal bucket widths, each with the most buckets that a page may hold."""
    uncounted: ClassVar[tuple[str, ...]] = ()
    """Dimensions that do not count towards ``max_group_by``."""
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of a dimension and another dimension or a filter that the API refuses together."""
    key_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Columns that identify the value of a dimension, where it is not the one of its name."""
    gated: ClassVar[Mapping[str, str]] = {}
    """Beta headers that a dimension or filter needs."""

    def __init__(self, tap: Tap, *, run: Run, report: Report) -> None:
        """Set up one report; its name is the stream's."""
        super().__init__(tap, run=run, name=report.name, width=report.bucket_width)
        self.report = report
        self.identity = tuple(
            column for name in report.group_by for column in self.key_columns.get(name, (name,))
        )
        if "currency" in self.columns.names:
            self.identity += ("currency",)
        betas = {
            self.gated[name] for name in (*report.group_by, *report.filters) if name in self.gated
        }
        self.beta = ",".join(sorted(betas)) or self.beta

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        return split(window, self.width, self.page_buckets[self.bucket_width])


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
            page = read_page(response)
            self._sent_at = sent_at(response)
            refreshed = page.data_refreshed_at
            try:
                self._refreshed_at = None if refreshed is None else parse_time(refreshed)
            except ValueError as error:
                msg = f"data_refreshed_at is not a time: {error}"
                raise BrokenPageError(msg) from error
            for raw in page.data:
                row = decode_row(raw)
                try:
                    yield parse_time(row["starting_at"]), row
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    msg = f"a row of the page has no starting_at: {error}"
                    raise BrokenPageError(msg) from error

    def _bucket(self, start: dt.datetime, rows: Iterable[Row]) -> Bucket:
        """Return a bucket as seen by the page that its first row was on."""
        end, refreshed = start + self.width, self._refreshed_at
        return Bucket(
            format_time(start),
            format_time(end),
            rows,
            is_complete=end <= min(self._sent_at, refreshed or self._sent_at),
            data_refreshed_at=None if refreshed is None else format_time(refreshed),
        )

    def _empty(self, start: dt.datetime, end: dt.datetime) -> list[Bucket]:
        window = Window(start, end)
        return [self._bucket(step.start, ()) for step in split(window, self.width, 1)]


class _RawBucket(msgspec.Struct):
    starting_at: str
    ending_at: str
    results: list[Row]


_decode_bucket = msgspec.json.Decoder(_RawBucket, float_hook=exact).decode


PAGE_BYTES = 32 * 2**20


class BucketReport(GroupedReport):
    """A report whose pages are lists of buckets, empty ones included (docs: usage-cost-api).

    A step is one page. Days begin with the biggest; hours and minutes with the API's default, and
    grow as far as the bytes per bucket seen so far let a page stay within `PAGE_BYTES`.
    """

    paginator = TokenPaginator
    first_buckets: ClassVar[Mapping[str, int]] = {"1h": 24, "1m": 60}
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

    @override
    def buckets(self, step: Window) -> Iterator[Iterable[Bucket]]:
        bounds = {"starting_at": format_time(step.start), "ending_at": format_time(step.end)}
        for response in self.pages(bounds):
            yield self._buckets_of(response)

    def _buckets_of(self, response: requests.Response) -> Iterator[Bucket]:
        data = read_page(response).data
        bucket_bytes = len(response.content) // max(1, len(data))
        self._bucket_bytes = max(self._bucket_bytes, bucket_bytes)
        for raw in data:
            try:
                bucket = _decode_bucket(raw)
                start, end = parse_time(bucket.starting_at), parse_time(bucket.ending_at)
            except (msgspec.DecodeError, ValueError) as error:
                msg = f"a bucket of the page cannot be read: {error}"
                raise BrokenPageError(msg) from error
            yield Bucket(
                format_time(start), format_time(end), bucket.results, end <= sent_at(response)
            )


class DayReport(ReportStream):
    """A report that the API gives one day at a time, one chain of requests each."""

    replication_key = "date"
    page_size: ClassVar[int] = 1000
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


class BucketLog(ClaudeStream):
    """The buckets that the other streams have read in this run, after all of them.

    They are told last, so that a bucket is never said to be newer than its rows.
    """

    primary_keys = ("row_id",)
    state_partitioning_keys = ()

    @property
    @override
    def partitions(self) -> None:
        return None

    @override
    def read(self, context: Context | None) -> Iterator[Row]:
        for bucket in self.run.finished:
            record = bucket._asdict()
            record["row_id"] = row_id(
                self.name,
                bucket.organization_type,
                bucket.starting_at,
                bucket.bucket_width,
                {"stream": bucket.stream},
            )
            record["extracted_at"] = self.run.extracted_at
            yield {name: record[name] for name in self.columns.names}


def _configured_time(config: Mapping[str, Any], name: str) -> dt.datetime | None:
    return parse_time(config[name]) if config.get(name) else None


_FUTURE = re.compile(r"future|\b(after|later|beyond|past|exceed\w*)\b.{0,20}\bnow\b", re.IGNORECASE)


def _refuses_future(error: APIError) -> bool:
    return (
        error.response.status_code == HTTPStatus.BAD_REQUEST
        and _FUTURE.search(error.detail) is not None
    )
