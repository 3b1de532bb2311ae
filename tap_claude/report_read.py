"""One read of a report: windows to buckets, buckets to records, then the bookmark.

Threads: `ReportRead._fetch` runs in the prefetching thread, everything else in the thread that
writes records. Both use the sizer. An error carries the window that it belongs to.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import logging
import operator
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_claude.bookmarks import Bookmark
from tap_claude.bucket_log import UNREPORTED_SINCE, FinishedBucket
from tap_claude.buckets import BucketReader, BucketSummary
from tap_claude.client import MAX_BYTES, SPLITTABLE_BYTES
from tap_claude.errors import APIError, ResponseTooLargeError, StreamError
from tap_claude.reports import ReportDeclaration
from tap_claude.row_keys import RowKey
from tap_claude.windows import WIDTHS, Window, earliest_readable, floor, format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_claude.buckets import Bucket
    from tap_claude.pages import ApiPage, Row


class ReportStream(ReportDeclaration):
    """A report that is read from the oldest bucket on. Subclasses turn pages into buckets."""

    @override
    def read(self, organization_type: str, partition: Context | None) -> Iterator[Row]:
        return ReportRead(self, organization_type, partition).records()


class ReportRead:
    """One read of a report, for one organization. Holds everything that changes during the read."""

    def __init__(
        self, stream: ReportDeclaration, organization_type: str, partition: Context | None
    ) -> None:
        """Start before the first window."""
        self._stream = stream
        self._run = stream.run
        self._organization_type = organization_type
        self._bookmark = Bookmark(stream, organization_type, partition, stream.definition())
        self._sizer = stream.sizer()
        self._now = dt.datetime.now(dt.UTC)
        self._range = Window(self._now, self._now)
        self._finished_until = self._now
        """End of the newest bucket that was read without a gap before it."""
        self._has_begun = False
        self._merged_rows = 0
        names = stream.columns.names
        self._token_columns = (
            ["total_tokens"]
            if "total_tokens" in names
            else [name for name in stream.columns.counters if "tokens" in name]
        )

    def records(self) -> Iterator[Row]:
        """Yield all records. Raises `StreamError` and `RunError`."""
        self._bookmark.check_definition()
        window = self._choose_range()
        if window is None:
            self._stream.logger.info(
                "%s: nothing to read; the bookmark or start_date is not before the end.",
                self._stream.name,
            )
            return
        self._range = window
        self._begin_log(window.start)
        total = (window.end - window.start) // self._stream.width
        self._run.progress.expect(total, _UNITS[self._stream.bucket_width])
        cursor_lost_at: dt.datetime | None = None
        while window.start < window.end:
            self._finished_until = window.start
            try:
                yield from self._read(window)
                break
            except ResponseTooLargeError as error:
                if error.window is None or not self._sizer.shrink(error.window):
                    raise
                self._stream.logger.info(
                    "%s: requesting smaller windows: %s", self._stream.name, error
                )
                window = Window(self._finished_until, window.end)
            except APIError as error:
                start = self._finished_until
                if error.lost_cursor and start != cursor_lost_at:
                    self._stream.warn(
                        "the page cursor has expired; resuming after the last completed bucket."
                    )
                    cursor_lost_at = start
                    window = Window(start, window.end)
                else:
                    window = Window(start, self._latest_available(error))
        if self._run.bucket_log is not None:
            self._run.bucket_log.complete()
        if self._merged_rows:
            self._stream.warn(
                "%d rows had the same identifying fields as another row of their bucket and were"
                " added to it. If the API sent rows twice, the sums are too high.",
                self._merged_rows,
            )

    # -- the range

    def _choose_range(self) -> Window | None:
        stream = self._stream
        unreported = None if self._run.bucket_log is None else self._bookmark.unreported_since()
        window = stream.choose_range(
            self._bookmark.newest(), unreported, now=self._now, width=stream.width
        )
        earliest = earliest_readable(self._now, stream.earliest, stream.max_age)
        if window is None or earliest is None or window.start >= earliest:
            return window
        stream.warn("the API has no data before %s; starting at that time.", format_time(earliest))
        return Window(earliest, window.end) if earliest < window.end else None

    def _latest_available(self, error: APIError) -> dt.datetime:
        """Return the end of the available data. Raises the error if it has another cause."""
        stream, window = self._stream, error.window
        if window is None:
            raise error
        if stream.names_newest_day and (newest := _newest_day(error, window, self._range)):
            stream.logger.info("%s: the newest available day is %s.", stream.name, newest.date())
            return newest + WIDTHS["1d"]
        if window.end <= self._now or not _refuses_future(error):
            raise error
        stream.warn("the API rejects an end in the future; the current bucket is left out.")
        return floor(self._now, stream.width)

    # -- fetching: in the prefetching thread

    def _fetch(self, full_range: Window) -> Iterator[tuple[Window, ApiPage | None]]:
        """Yield the pages of all windows, and None at the end of each window."""
        for window in self._sizer.windows(full_range):
            can_split = self._stream.splittable and window.end - window.start > self._stream.width
            try:
                for page in self._stream.fetch(
                    self._organization_type,
                    self._stream.params(window),
                    max_bytes=SPLITTABLE_BYTES if can_split else MAX_BYTES,
                ):
                    self._sizer.note(window, page.size)
                    yield window, page
                    del page  # it is large; only the consumer keeps a reference
            except StreamError as error:
                error.window = window
                raise
            yield window, None

    # -- reading: in the record-writing thread

    def _read(self, full_range: Window) -> Iterator[Row]:
        for window, pages in _by_window(self._stream.prefetch(self._fetch(full_range))):
            self._report_progress(window.start)
            try:
                for finished in self._stream.buckets(window, pages):
                    yield from self._read_buckets(finished)
            except StreamError as error:
                error.window = error.window or window
                raise
            if self._finished_until < window.end and (
                self._has_begun or not self._stream.may_begin_late
            ):
                self._report_missing()
                return

    def _read_buckets(self, finished: Iterable[Bucket]) -> Iterator[Row]:
        """Yield the records of a page's buckets, then advance the bookmark to the last bucket."""
        newest = ""
        try:
            for bucket in finished:
                start, end = bucket.window
                self._report_progress(start)
                reader = self._reader(bucket)
                if self._run.bucket_log is None:
                    yield from reader.records()
                else:
                    yield from self._logged(bucket, reader.records())
                self._merged_rows += reader.merged_rows
                self._stream.report_unknown_fields()
                if self._stream.may_begin_late and not self._has_begun:
                    self._finished_until = start
                self._has_begun = True
                # Buckets after a gap do not advance the bookmark: the gap is requested again.
                if start <= self._finished_until < end:
                    newest = self._stream.bookmark_value(bucket)
                    self._finished_until = end
        except Exception:
            self._bookmark.advance(newest)  # to the last complete bucket
            raise
        # At this point, the last record of the page has been written.
        self._bookmark.advance(newest)
        self._stream.flush()
        self._report_early()

    def _reader(self, bucket: Bucket) -> BucketReader:
        stream = self._stream
        identity = stream.identify(self._organization_type)
        constants = {
            **stream.window_columns(bucket),
            **identity._asdict(),
            "is_complete": bucket.is_complete,
            "extracted_at": self._run.extracted_at,
        }
        if bucket.data_refreshed_at is not None:
            constants["data_refreshed_at"] = format_time(bucket.data_refreshed_at)
        key = RowKey(
            stream.name,
            identity[:2],
            bucket.starting_at,
            stream.bucket_width,
            stream.key_columns,
        )
        return BucketReader(
            bucket,
            stream.columns,
            key,
            type(stream).reshape,
            # Unknown fields are reported once per bucket, not per row.
            stream.conform if self._run.config.pseudonymizes else stream.columns.conform,
            constants,
            stream.has_dated_rows,
            self._should_be_unique,
        )

    def _should_be_unique(self, record: Row) -> bool:
        """Whether no other row of the bucket is expected to have the key of this record."""
        stream = self._stream
        names = [name for name in stream.anonymous_columns if name in stream.key_columns]
        return stream.warns_of_merged_rows and (
            not names or any(record[name] is not None for name in names)
        )

    def _report_progress(self, start: dt.datetime) -> None:
        done = (start - self._range.start) // self._stream.width
        self._run.progress.at(format_time(start).removesuffix("T00:00:00Z"), done)

    def _report_missing(self) -> None:
        stream = self._stream
        is_due = self._finished_until + stream.width < dt.datetime.now(dt.UTC) - _LATE
        stream.logger.log(
            logging.WARNING if is_due and not stream.names_newest_day else logging.INFO,
            "%s: the API returned no bucket for %s; the next run continues from there.",
            stream.name,
            format_time(self._finished_until),
        )

    # -- report_buckets

    def _logged(self, bucket: Bucket, records: Iterator[Row]) -> Iterator[Row]:
        """Yield records; once they are written, add the bucket to ``report_buckets``."""
        log, stream = self._run.bucket_log, self._stream
        summary = BucketSummary(self._token_columns)
        for record in records:
            # Counted before the SDK removes deselected columns from the record.
            summary.add(record)
            yield record
        if log is None:
            return
        log.add(
            FinishedBucket(
                stream.name,
                *stream.identify(self._organization_type),
                starting_at=bucket.starting_at,
                ending_at=bucket.ending_at,
                date=stream.window_columns(bucket).get("date"),
                bucket_width=stream.bucket_width,
                row_count=summary.rows,
                total_tokens=summary.tokens if self._token_columns else None,
                amount_usd=summary.amount_usd if "amount_usd" in stream.columns.names else None,
                data_refreshed_at=None
                if bucket.data_refreshed_at is None
                else format_time(bucket.data_refreshed_at),
                is_complete=bucket.is_complete,
            )
        )

    def _begin_log(self, start: dt.datetime) -> None:
        """Store in the state where the buckets start that ``report_buckets`` must report."""
        log = self._run.bucket_log
        if log is not None and self._bookmark.is_kept:
            log.begin([*self._bookmark.parts(), self._bookmark.target()], start)
            return
        for part in self._bookmark.parts():
            part.pop(UNREPORTED_SINCE, None)

    def _report_early(self) -> None:
        """Report the finished buckets before the run ends, if there are many."""
        log, stream = self._run.bucket_log, self._stream
        # In BATCH mode, the records may not have been written yet.
        if log is not None and log.is_due and stream.get_batch_config(stream.config) is None:
            log.report()


_LATE = dt.timedelta(hours=1)
"""How long after its end a bucket may be missing without a warning."""
_NEWEST_DAY_LAG = dt.timedelta(days=9)
_UNITS = {"1d": "day", "1h": "hour", "1m": "minute"}
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b", re.ASCII)
_NOT_YET = re.compile(r"availab|recent|latest|newest|\blag", re.IGNORECASE)
_FUTURE = re.compile(r"future|\b(after|later|beyond|past|exceed\w*)\b.{0,20}\bnow\b", re.IGNORECASE)


def _by_window(
    fetched: Iterator[tuple[Window, ApiPage | None]],
) -> Iterator[tuple[Window, Iterator[ApiPage]]]:
    for window, first in fetched:
        held = [first]
        del first
        yield window, _until_mark(held, map(operator.itemgetter(1), fetched))


def _until_mark(
    held: list[ApiPage | None], following: Iterator[ApiPage | None]
) -> Iterator[ApiPage]:
    """Yield pages up to the end mark, without keeping references: pages are large."""
    while held:
        yield held.pop()  # type: ignore[misc]  # a window has at least one page
    yield from itertools.takewhile(lambda page: page is not None, following)


def _newest_day(error: APIError, window: Window, full_range: Window) -> dt.datetime | None:
    """Return the newest available day that an error names (docs: analytics/users)."""
    if error.status != HTTPStatus.BAD_REQUEST or not _NOT_YET.search(error.detail):
        return None
    named = []
    for text in _DAY.findall(error.detail):
        with contextlib.suppress(ValueError):
            named.append(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC))
    # The message may also name the requested days, or a day long ago (for example when the
    # organization joined). Neither is the newest available day.
    return max(
        (
            day
            for day in named
            if full_range.end - _NEWEST_DAY_LAG <= day < window.end - WIDTHS["1d"]
        ),
        default=None,
    )


def _refuses_future(error: APIError) -> bool:
    return error.status == HTTPStatus.BAD_REQUEST and _FUTURE.search(error.detail) is not None
