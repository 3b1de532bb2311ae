"""What report streams share: windows to read, rows to records, the bookmark.

The SDK moves bookmarks by record, and back where records come again. A report moves its bookmark
by finished bucket, also by an empty one, and only forward, so that a killed run resumes at the
last finished bucket and the lookback never costs progress.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_claude.client import ORGANIZATION_TYPE, APIError, ClaudeStream
from tap_claude.records import add_amounts, row_id
from tap_claude.settings import Report
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
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.client import Run

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
        self._window = window
        total = (window.end - window.start) // self.width
        self.run.progress.expect(total, _UNITS[self.bucket_width])
        for step in self.steps(window):
            if not (yield from self._read_available(step, context, now)):
                break
        if self._merged_rows and self.warns_of_merged_rows:
            self.logger.warning(
                "%d rows had all identifying fields in common with another row of their bucket;"
                " they were added up.",
                self._merged_rows,
            )

    def _read_available(
        self, step: Window, context: Context | None, now: dt.datetime
    ) -> Generator[Row, None, bool]:
        """Read a step, or the part of it that the API has. Return whether that was all of it."""
        try:
            yield from self._read_step(step, context)
        except APIError as error:
            there_is = self._what_there_is(error, step, now)
            if there_is is None:
                raise
        else:
            return True
        if there_is.start < there_is.end:
            yield from self._read_available(there_is, context, now)
        return False

    def _what_there_is(self, error: APIError, step: Window, now: dt.datetime) -> Window | None:
        """Return the part of a step that the API has, where it says that it has not got the rest.

        Nothing comes after such a step. None: the error is about something else.
        """
        newest = _newest_day(error, step)
        if newest is not None:
            self.logger.info("The newest day that the API has is %s.", f"{newest:%Y-%m-%d}")
            return Window(step.start, newest + WIDTHS["1d"])
        if step.end > now and _refuses_future(error):
            self.logger.warning(
                "The API refuses an end in the future; the running bucket is left out."
            )
            return Window(step.start, floor(now, self.width))
        return None

    def _read_step(self, step: Window, context: Context | None) -> Iterator[Row]:
        self._tell_place(format_time(step.start))
        for finished in self.buckets(step):
            newest = ""
            for bucket in finished:
                self._tell_place(bucket.starting_at)
                records = self._records(bucket)
                # Before the SDK takes the deselected columns out of the records.
                summary = self._summary(bucket, records)
                yield from records
                self.run.finished.append(summary)
                newest = max(newest, self.bookmark_of(bucket))
            # Here the last record of the page has been written.
            self._advance_bookmark(newest, context)

    def _tell_place(self, starting_at: str) -> None:
        done = (parse_time(starting_at) - self._window.start) // self.width
        self.run.progress.at(starting_at.removesuffix("T00:00:00Z"), done)

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
    always: ClassVar[tuple[str, ...]] = ()
    """Columns that identify a row whatever it is grouped by."""
    key_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Columns that identify the value of a dimension, where it is not the one of its name."""
    gated: ClassVar[Mapping[str, str]] = {}
    """Beta headers that a dimension or filter needs."""

    def __init__(self, tap: Tap, *, run: Run, report: Report | None = None) -> None:
        """Set up one report; its name is the stream's. Without one: as it is declared, by day."""
        report = report or Report(self.name, self.name, self.default_group_by)
        super().__init__(tap, run=run, name=report.name, width=report.bucket_width)
        self.report = report
        self.identity = (
            *self.always,
            *(column for name in report.group_by for column in self.key_columns.get(name, (name,))),
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


_UNITS = {"1d": "day", "1h": "hour", "1m": "minute"}
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b", re.ASCII)
_NOT_YET = re.compile(r"availab|recent|latest|newest|\blag", re.IGNORECASE)
_FUTURE = re.compile(r"future|\b(after|later|beyond|past|exceed\w*)\b.{0,20}\bnow\b", re.IGNORECASE)


def _newest_day(error: APIError, step: Window) -> dt.datetime | None:
    """Day that the API names as its newest, where a step ends later (docs: analytics/users)."""
    if error.response.status_code != HTTPStatus.BAD_REQUEST or not _NOT_YET.search(error.detail):
        return None
    named = []
    for text in _DAY.findall(error.detail):
        with contextlib.suppress(ValueError):
            named.append(parse_time(text))
    # The message may name the days that were asked for, too.
    return max((day for day in named if day + WIDTHS["1d"] < step.end), default=None)


def _refuses_future(error: APIError) -> bool:
    return (
        error.response.status_code == HTTPStatus.BAD_REQUEST
        and _FUTURE.search(error.detail) is not None
    )
