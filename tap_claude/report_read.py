"""One reading of a report: windows to buckets, buckets to records, the bookmark after them.

Threads: `ReportRead._fetch` belongs to the thread that fetches ahead, everything else to the one
that writes records. They share the sizer, which either may tell of a window; an error carries the
window that it is about.
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

from tap_claude.bookmarks import Bookmark
from tap_claude.bucket_log import UNREPORTED_SINCE, FinishedBucket
from tap_claude.buckets import BucketReader, BucketSummary
from tap_claude.client import MAX_BYTES, SPLITTABLE_BYTES
from tap_claude.errors import APIError, ResponseTooLargeError, StreamError
from tap_claude.row_keys import RowKey
from tap_claude.windows import WIDTHS, Window, earliest_readable, floor, format_time, read_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_claude.buckets import Bucket
    from tap_claude.pages import ApiPage, Row
    from tap_claude.reports import ReportStream


class ReportRead:
    """One reading of a report, for one organization."""

    def __init__(
        self, stream: ReportStream, organization_type: str, partition: Context | None
    ) -> None:
        """Start with nothing read."""
        self._stream = stream
        self._run = stream.run
        self._organization_type = organization_type
        self._bookmark = Bookmark(stream, organization_type, partition, stream.question())
        self._sizer = stream.sizer()
        self._now = dt.datetime.now(dt.UTC)
        self._range = Window(self._now, self._now)
        self._finished_until = self._now
        """End of the newest bucket that was read, of those without a gap before them."""
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
        self._bookmark.check_question()
        window = self._choose_range()
        if window is None:
            self._stream.logger.info(
                "%s: nothing to read; the bookmark or start_date is at or after the end.",
                self._stream.name,
            )
            return
        self._range = window
        self._owe(window.start)
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
                self._stream.logger.info("%s: asking for less: %s", self._stream.name, error)
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
            self._run.bucket_log.settle()
        if self._merged_rows:
            self._stream.warn(
                "%d rows had all identifying fields in common with another row of their bucket;"
                " they were added up. If the API repeated them, the sums are too high.",
                self._merged_rows,
            )

    # -- the range

    def _choose_range(self) -> Window | None:
        stream, config = self._stream, self._run.config
        bookmark = self._bookmark.newest()
        if bookmark is not None and bookmark > self._now:
            stream.warn(
                "the bookmark %s lies in the future (a wrong clock?); it is taken as now.",
                format_time(bookmark),
            )
            bookmark = self._now
        days = stream.lookback_days if config.lookback_days is None else config.lookback_days
        unreported = None if self._run.bucket_log is None else self._bookmark.unreported_since()
        window = read_range(
            now=self._now,
            width=stream.width,
            bookmark=bookmark,
            lookback=dt.timedelta(days=days),
            unreported_since=unreported,
            start_date=config.start_date,
            end_date=config.end_date,
        )
        earliest = earliest_readable(self._now, stream.earliest, stream.max_age)
        if window is None or earliest is None or window.start >= earliest:
            return window
        stream.warn("the API has no data before %s; reading starts there.", format_time(earliest))
        return Window(earliest, window.end) if earliest < window.end else None

    def _latest_available(self, error: APIError) -> dt.datetime:
        """Return the end of the data of the API. Raises the error if it is about something else."""
        stream, window = self._stream, error.window
        if window is None:
            raise error
        if stream.names_newest_day and (newest := _newest_day(error, window, self._range)):
            stream.logger.info("%s: the newest available day is %s.", stream.name, newest.date())
            return newest + WIDTHS["1d"]
        if window.end <= self._now or not _refuses_future(error):
            raise error
        stream.warn("the API refuses an end in the future; the running bucket is left out.")
        return floor(self._now, stream.width)

    # -- fetching: in the thread that is ahead

    def _fetch(self, whole: Window) -> Iterator[tuple[Window, ApiPage | None]]:
        """Yield the pages of all windows, and None after each, perhaps one ahead of the records."""
        for window in self._sizer.windows(whole):
            can_split = self._stream.splittable and window.end - window.start > self._stream.width
            try:
                for page in self._stream.fetch(
                    self._organization_type,
                    self._stream.params(window),
                    max_bytes=SPLITTABLE_BYTES if can_split else MAX_BYTES,
                ):
                    self._sizer.note(window, page.size)
                    yield window, page
                    del page  # it is large; only who works on it holds it
            except StreamError as error:
                error.window = window
                raise
            yield window, None

    # -- reading: in the thread that writes records

    def _read(self, whole: Window) -> Iterator[Row]:
        for window, pages in _by_window(self._stream.prefetch(self._fetch(whole))):
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
        """Yield the records of the buckets of a page, then move the bookmark to the last one."""
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
                # What comes after a gap does not count: the gap is asked for again.
                if start <= self._finished_until < end:
                    newest = self._stream.bookmark_value(bucket)
                    self._finished_until = end
        except Exception:
            self._bookmark.advance(newest)  # to the last bucket that was whole
            raise
        # Here the last record of the page has been written.
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
            # Without the checks of each row that a bucket needs but once.
            stream.conform if self._run.config.pseudonymizes else stream.columns.conform,
            constants,
            stream.has_dated_rows,
            self._is_named,
        )

    def _is_named(self, record: Row) -> bool:
        """Whether the API should have told a row apart from all others of its bucket."""
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
            "%s: the API gives no bucket of %s; the next run asks again from there.",
            stream.name,
            format_time(self._finished_until),
        )

    # -- report_buckets

    def _logged(self, bucket: Bucket, records: Iterator[Row]) -> Iterator[Row]:
        """Yield records; once they are written, note what ``report_buckets`` says of the bucket."""
        log, stream = self._run.bucket_log, self._stream
        summary = BucketSummary(self._token_columns)
        for record in records:
            # Before the SDK takes the deselected columns out of the record.
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

    def _owe(self, start: dt.datetime) -> None:
        """Keep in the state from where on ``report_buckets`` has yet to report buckets."""
        log = self._run.bucket_log
        if log is not None and self._bookmark.is_kept:
            log.owe([*self._bookmark.parts(), self._bookmark.target()], start)
            return
        for part in self._bookmark.parts():
            part.pop(UNREPORTED_SINCE, None)

    def _report_early(self) -> None:
        """Report the finished buckets before the run ends, if they have become many."""
        log, stream = self._run.bucket_log, self._stream
        # In BATCH mode records may not have left yet, and the report would claim them.
        if log is not None and log.is_long and stream.get_batch_config(stream.config) is None:
            log.report()


_LATE = dt.timedelta(hours=1)
"""How long after its end the API may leave out a bucket."""
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
    """Yield pages, and hold none of them: they are large."""
    while held:
        yield held.pop()  # type: ignore[misc]  # a window has a page at least
    yield from itertools.takewhile(lambda page: page is not None, following)


def _newest_day(error: APIError, window: Window, whole: Window) -> dt.datetime | None:
    """Day that the API names as its newest, where a window ends later (docs: analytics/users)."""
    if error.status != HTTPStatus.BAD_REQUEST or not _NOT_YET.search(error.detail):
        return None
    named = []
    for text in _DAY.findall(error.detail):
        with contextlib.suppress(ValueError):
            named.append(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC))
    # The message may name the days that were asked for, too, or one of long ago (when the
    # organization joined, say), which is not about data that are yet to come.
    return max(
        (day for day in named if whole.end - _NEWEST_DAY_LAG <= day < window.end - WIDTHS["1d"]),
        default=None,
    )


def _refuses_future(error: APIError) -> bool:
    return error.status == HTTPStatus.BAD_REQUEST and _FUTURE.search(error.detail) is not None
