"""What report streams share: windows to read, rows to records, the bookmark.

The SDK moves bookmarks by record, and back where records come again. A report moves its bookmark
by finished bucket, also by an empty one, and only forward, so that a killed run resumes at the
last finished bucket and the lookback never costs progress.
"""

from __future__ import annotations

import array
import contextlib
import datetime as dt
import itertools
import json
import logging
import operator
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_claude.bucket_log import FULL, UNREPORTED_SINCE, FinishedBucket
from tap_claude.client import (
    ORGANIZATION_TYPE,
    APIError,
    ClaudeStream,
)
from tap_claude.pagination import BrokenPageError, body, decoded
from tap_claude.records import RowKey, sum_amounts, values_of
from tap_claude.session import TooMuchError
from tap_claude.settings import Report
from tap_claude.windows import (
    EPOCH,
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
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import msgspec
    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.client import Run

Row = dict[str, Any]


@dataclass
class Bucket:
    """One interval of a report: its rows, and whether they can still change by its growing."""

    starting_at: str
    ending_at: str
    rows: Sequence[Row | msgspec.Raw]
    """Rows of the API; where there are many, undecoded: they cost their bytes and one row."""
    is_complete: bool
    data_refreshed_at: str | None = None


class Summary:
    """Counts and sums of the records of a bucket."""

    def __init__(self, token_columns: Sequence[str]) -> None:
        """Begin with none."""
        self.rows = self.tokens = 0
        self._tokens_of = values_of(token_columns) if token_columns else None
        self._dollars: list[str] = []

    def add(self, record: Row) -> None:
        """Add a record."""
        self.rows += 1
        if self._tokens_of:
            try:
                self.tokens += sum(self._tokens_of(record))
            except TypeError:  # a null
                self.tokens += sum(filter(None, self._tokens_of(record)))
        dollars = record.get("amount_usd")
        if dollars is not None:
            self._dollars.append(dollars)

    @property
    def amount_usd(self) -> str:
        """Exact sum of ``amount_usd``."""
        return sum_amounts(self._dollars)


QUESTION = "report"
"""Entry of a bookmark: what was asked for when it began."""
LARGE_BUCKET = 15_000
"""Rows above which a bucket is read twice rather than held in memory."""


def _repeated(row_ids: Iterable[str]) -> set[str]:
    """Return the first halves of the keys that more than one row may have, in little memory."""
    halves = array.array("Q", (int(row_id[:16], 16) for row_id in row_ids))
    ordered = sorted(halves)
    return {f"{one:016x}" for one, other in itertools.pairwise(ordered) if one == other}


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
    page_size: ClassVar[int | None] = 1000
    """The biggest legal page, in rows; None where the endpoint takes no limit."""
    halves: ClassVar[bool] = False
    """Whether a step can be made smaller where the API is slow or its answer too large."""
    names_newest_day: ClassVar[bool] = False
    """Whether the API refuses days that it has not got yet, and says which is the newest."""
    dated_rows: ClassVar[bool] = False
    """Whether each row says which bucket it is of."""
    may_begin_late: ClassVar[bool] = False
    """Whether the API leaves out the days before an organization existed."""
    anonymous_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that are all null in rows of people whom the API cannot name: these may share a key.
    """

    def __init__(self, tap: Tap, *, run: Run, name: str | None = None, width: str = "1d") -> None:
        """Set up a report with buckets of that width."""
        super().__init__(tap, run=run, name=name)
        self.bucket_width = width
        self.width = WIDTHS[width]
        self._merged_rows = 0
        """Rows with one key that the API should have told apart."""
        self._step = self._window = Window(EPOCH, EPOCH)
        self._finished_until = EPOCH
        """End of the newest bucket that was read, of those without a gap before them."""
        self._token_columns = (
            ["total_tokens"]
            if "total_tokens" in self.columns.names
            else [name for name in self.columns.counters if "tokens" in name]
        )

    # -- what subclasses say

    def steps(self, window: Window) -> Iterable[Window]:
        """Cut the range of a run into what one chain of requests reads."""
        raise NotImplementedError

    def bounds(self, step: Window) -> dict[str, str]:
        """Return the parameters that ask for a step."""
        raise NotImplementedError

    def buckets(
        self, step: Window, responses: Iterable[requests.Response]
    ) -> Iterable[Iterable[Bucket]]:
        """Yield finished buckets of a step, a page at a time: the bookmark moves after each."""
        raise NotImplementedError

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {**(context or {}), "limit": self.page_size, "page": next_page_token}

    def note_size(self, step: Window, page_bytes: int) -> None:
        """Hear how many bytes a page of a step has, before the next step is chosen."""

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

    def question(self) -> Row | None:
        """Return what decides which rows there are; a bookmark is of one question only."""
        return None

    # -- reading

    @override
    def read(self, context: Context | None) -> Iterator[Row]:
        now = dt.datetime.now(dt.UTC)
        self._merged_rows = 0
        self._check_question(context)
        window = self._range(context, now)
        if window is None:
            self.logger.info("Nothing to read: the bookmark or start_date is at or after the end.")
            return
        self._window = window
        self._owe(window.start, context)
        total = (window.end - window.start) // self.width
        self.run.progress.expect(total, _UNITS[self.bucket_width])
        cursor_lost_at: dt.datetime | None = None
        while window.start < window.end:
            self._finished_until = window.start
            try:
                yield from self._read_window(window, context)
                break
            except TooMuchError as error:
                if not self.halve():
                    raise
                self.logger.info("Asking for less at once: %s", error)
                window = Window(self._finished_until, window.end)
            except APIError as error:
                window = Window(self._finished_until, window.end)
                if error.lost_cursor and window.start != cursor_lost_at:
                    self.logger.warning("The API lost its place; reading on from the last bucket.")
                    cursor_lost_at = window.start
                else:
                    window = Window(window.start, self._end_of_what_there_is(error, now))
        self._settle(window.end)
        if self._merged_rows:
            self.logger.warning(
                "%s: %d rows had all identifying fields in common with another row of their bucket;"
                " they were added up. If the API repeated them, the sums are too high.",
                self.name,
                self._merged_rows,
            )

    def halve(self) -> bool:
        """Ask for half as many buckets at once from now on, if that is possible."""
        return False

    def _end_of_what_there_is(self, error: APIError, now: dt.datetime) -> dt.datetime:
        """Return the end of what the API has. Raises the error if it is about something else."""
        newest = _newest_day(error, self._step, now) if self.names_newest_day else None
        if newest is not None:
            self.logger.info("The newest day that the API has is %s.", f"{newest:%Y-%m-%d}")
            return newest + WIDTHS["1d"]
        if self._step.end <= now or not _refuses_future(error):
            raise error
        self.logger.warning("The API refuses an end in the future; the running bucket is left out.")
        return floor(now, self.width)

    def _read_window(self, window: Window, context: Context | None) -> Iterator[Row]:
        is_begun = False
        for step, responses in _by_step(self.ahead(self._fetch(window))):
            self._tell_place(step.start)
            for finished in self.buckets(step, responses):
                newest = ""
                try:
                    for bucket in finished:
                        start, end = parse_time(bucket.starting_at), parse_time(bucket.ending_at)
                        self._tell_place(start)
                        summary = Summary(self._token_columns)
                        for record in self._records(bucket):
                            # Before the SDK takes the deselected columns out of the record.
                            summary.add(record)
                            yield record
                        self._log(bucket, summary)
                        if self.may_begin_late and not is_begun:
                            self._finished_until = start
                        is_begun = True
                        # What comes after a gap does not count: the gap is asked for again.
                        if start <= self._finished_until < end:
                            newest = self.bookmark_of(bucket)
                            self._finished_until = end
                except Exception:
                    self._advance_bookmark(newest, context)  # to the last bucket that was whole
                    raise
                # Here the last record of the page has been written.
                self._advance_bookmark(newest, context)
                self.flush()
                self._settle(None)
            if self._finished_until < step.end and not (self.may_begin_late and not is_begun):
                is_due = self._finished_until + self.width < dt.datetime.now(dt.UTC) - _LATE
                quiet = self.names_newest_day or not is_due
                self.logger.log(
                    logging.INFO if quiet else logging.WARNING,
                    "%s: the API gives no bucket of %s; the next run asks again from there.",
                    self.name,
                    format_time(self._finished_until),
                )
                return

    def _fetch(self, window: Window) -> Iterator[tuple[Window, requests.Response | None]]:
        """Yield the pages of all steps, and None after each, perhaps one ahead of the records."""
        for step in self.steps(window):
            self._step = step
            self.less_can_be_asked = step.end - step.start > self.width and self.halves
            for response in self.pages(self.bounds(step)):
                self.note_size(step, len(body(response)))
                yield step, response
                del response  # it is large; only who works on it holds it
            yield step, None

    def _tell_place(self, start: dt.datetime) -> None:
        done = (start - self._window.start) // self.width
        self.run.progress.at(format_time(start).removesuffix("T00:00:00Z"), done)

    def _range(self, context: Context | None, now: dt.datetime) -> Window | None:
        days = self.config.get("lookback_days")
        bookmark = self._bookmark(context)
        if bookmark is not None and bookmark > now:
            self.logger.warning(
                "%s: the bookmark %s lies in the future (a wrong clock?); it is taken as now.",
                self.name,
                format_time(bookmark),
            )
            bookmark = now
        window = read_range(
            now=now,
            width=self.width,
            bookmark=bookmark,
            lookback=dt.timedelta(days=self.lookback_days if days is None else days),
            unreported_since=self._unreported_since(context),
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

    def _records(self, bucket: Bucket) -> Iterator[Row]:
        """Yield the records of one bucket, rows with one key merged."""
        identity = self.identify()
        key = RowKey(self.name, identity[:2], bucket.starting_at, self.bucket_width, self.identity)
        constants = {
            **self.window_columns(bucket),
            **identity._asdict(),
            "is_complete": bucket.is_complete,
            "extracted_at": self.run.extracted_at,
        }
        if bucket.data_refreshed_at is not None:
            constants["data_refreshed_at"] = bucket.data_refreshed_at
        # Rows with one key can be far apart. A large bucket is read twice, so that only those
        # need to be held in memory that are not alone.
        large = len(bucket.rows) > LARGE_BUCKET
        repeated = _repeated(map(key.of, self._parts(bucket))) if large else None
        merged: dict[str, Row] = {}
        for record in self._parts(bucket):
            row_id = key.of(record)
            if repeated is not None and row_id[:16] not in repeated:
                yield self._finish(record, row_id, constants)
            elif row_id in merged:
                self._merged_rows += self._is_named(record)
                self.columns.merge(merged[row_id], record)
            else:
                merged[row_id] = record
        for row_id, record in merged.items():
            yield self._finish(record, row_id, constants)

    def _parts(self, bucket: Bucket) -> Iterator[Row]:
        """Yield the rows of a bucket as records, not yet merged."""
        conform, expand = self.conform, self.expand
        day = bucket.starting_at[:10]
        for row in decoded(bucket.rows):
            for part in expand(row):
                record = conform(part)
                # What was asked for is stamped on no row that says something else.
                given = record.get("starting_at")
                if given != bucket.starting_at and (given is not None or self.dated_rows):
                    msg = f"a row of {given} is out of order or not of this window"
                    raise BrokenPageError(msg)
                for name, asked in (("ending_at", bucket.ending_at), ("date", day)):
                    given = record.get(name)
                    if given is not None and given != asked:
                        msg = f"a row of {bucket.starting_at} has {name} {given}, not {asked}"
                        raise BrokenPageError(msg)
                yield record

    def _is_named(self, record: Row) -> bool:
        """Whether the API should have told a row apart from all others of its bucket."""
        names = [name for name in self.anonymous_columns if name in self.identity]
        return not names or any(record[name] is not None for name in names)

    def _finish(self, record: Row, row_id: str, constants: Row) -> Row:
        if self.columns.money:
            self.columns.add_dollars(record)
        own_organization = record["organization_id"]
        record.update(constants)
        record["row_id"] = row_id
        if own_organization is not None:  # a parent's key reads rows of its organizations
            record["organization_id"] = own_organization
        return record

    # -- report_buckets

    def _log(self, bucket: Bucket, summary: Summary) -> None:
        """Note what ``report_buckets`` says of a bucket whose records have been written."""
        log = self.run.bucket_log
        if log is None:
            return
        identity = self.identify()
        log.add(
            FinishedBucket(
                stream=self.name,
                organization_type=identity.organization_type,
                organization_id=identity.organization_id,
                organization_label=identity.organization_label,
                starting_at=bucket.starting_at,
                ending_at=bucket.ending_at,
                bucket_width=self.bucket_width,
                row_count=summary.rows,
                total_tokens=summary.tokens if self._token_columns else None,
                amount_usd=summary.amount_usd if "amount_usd" in self.columns.names else None,
                data_refreshed_at=bucket.data_refreshed_at,
                is_complete=bucket.is_complete,
            )
        )

    def _owe(self, start: dt.datetime, context: Context | None) -> None:
        """Keep in the state from where on ``report_buckets`` has yet to report buckets."""
        log = self.run.bucket_log
        if log is None or self.replication_method != "INCREMENTAL":
            for part in self._parts_of_state(context):
                part.pop(UNREPORTED_SINCE, None)
            return
        parts = [*self._parts_of_state(context), self.get_context_state(context)]
        log.owe(parts, start)

    def _settle(self, end: dt.datetime | None) -> None:
        """Say that all up to ``end`` was read, or report early if the log has grown long."""
        log = self.run.bucket_log
        if log is None:
            return
        if end is not None:
            log.settle()
        # In BATCH mode records may not have left yet, and the report would claim them.
        elif log.is_long and self.get_batch_config(self.config) is None:
            log.report()

    def _unreported_since(self, context: Context | None) -> dt.datetime | None:
        if self.run.bucket_log is None:
            return None
        return min(
            (
                self._time_of(part, UNREPORTED_SINCE)
                for part in self._parts_of_state(context)
                if part.get(UNREPORTED_SINCE)
            ),
            default=None,
        )

    # -- bookmark

    def _parts_of_state(self, context: Context | None) -> list[Row]:
        """Return the parts of the stream's state that are of the organization being read.

        One organization has the stream's state to itself, two have a partition each; a credential
        that comes or goes must cost neither of them its place.
        """
        state = self.stream_state
        mine = {"organization_type": self.organization_type}
        found = [part for part in state.get("partitions") or () if part["context"] == mine]
        # Without a name in the state, a bookmark is of the one organization that there was.
        if state.get("organization_type", None if context else self.organization_type) == (
            self.organization_type
        ):
            found.append(state)
        return found

    def _bookmark(self, context: Context | None) -> dt.datetime | None:
        """Return the newest bookmark of the organization that is being read."""
        if self.replication_method != "INCREMENTAL":
            return None
        moments = [
            self._time_of(part, "replication_key_value")
            for part in self._parts_of_state(context)
            if part.get("replication_key_value") is not None
        ]
        return max(moments, default=None)

    def _time_of(self, state: Row, name: str) -> dt.datetime:
        try:
            return parse_time(state[name])
        except (AttributeError, TypeError, ValueError) as error:
            msg = (
                f"{self.name}: the state's {name} {state[name]!a:.60} is not a time; fix it, or"
                " delete the stream's bookmark to read from start_date again"
            )
            raise FatalAPIError(msg) from error

    def _check_question(self, context: Context | None) -> None:
        """Refuse a bookmark of rows that were grouped, filtered or cut otherwise than now."""
        question = self.question()
        if question is None or self.replication_method != "INCREMENTAL":
            return
        for part in self._parts_of_state(context):
            before = part.get(QUESTION)
            if before is None or before == question:
                continue
            changed = [
                f"{name} is {json.dumps(question[name])}, but was {json.dumps(before.get(name))}"
                for name in question
                if question[name] != before.get(name)
            ]
            msg = (
                f"{self.name}: {'; '.join(changed)} when its bookmark began. Rows of both would"
                " share a table and be counted twice: give the report a new name, or delete the"
                " stream's bookmark and empty its table"
            )
            raise FatalAPIError(msg)

    def _advance_bookmark(self, starting_at: str, context: Context | None) -> None:
        """Move the bookmark to a bucket read to its end, never back, and write it."""
        if self.replication_method != "INCREMENTAL":
            return
        state = self.get_context_state(context)
        bookmark = self._bookmark(context)
        if not starting_at:
            return
        if bookmark is not None and bookmark > dt.datetime.now(dt.UTC):
            # Set by a wrong clock, it would pass over all that comes until then.
            for part in self._parts_of_state(context):
                part.pop("replication_key_value", None)
        elif bookmark is not None and parse_time(starting_at) <= bookmark:
            return
        state["replication_key"] = self.replication_key
        state["replication_key_value"] = starting_at
        if question := self.question():
            state[QUESTION] = question
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

    halves = True
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
        self._at_most = _NO_LIMIT
        """Buckets of a step, after one that was too large or too slow."""
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
    def question(self) -> Row:
        filters = {name: sorted(values) for name, values in sorted(self.report.filters.items())}
        return {
            "group_by": sorted(self.report.group_by),
            "filters": filters,
            "bucket_width": self.bucket_width,
        }

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {
            **super().get_url_params(context, next_page_token),
            "group_by[]": list(self.report.group_by),
            **{f"{name}[]": values for name, values in self.report.filters.items()},
        }

    @override
    def bounds(self, step: Window) -> dict[str, str]:
        return {"starting_at": format_time(step.start), "ending_at": format_time(step.end)}

    @override
    def steps(self, window: Window) -> Iterator[Window]:
        for count in itertools.count(1):
            if window.start >= window.end:
                return
            step = next(split(window, self.width, min(self.step_buckets(), self._at_most)))
            yield step
            if count % _STEPS_TO_TRUST == 0:
                self._at_most = min(2 * self._at_most, _NO_LIMIT)
            window = Window(step.end, window.end)

    def step_buckets(self) -> int:
        """Return how many buckets the next step should have."""
        return self.page_buckets[self.bucket_width]

    @override
    def halve(self) -> bool:
        buckets = (self._step.end - self._step.start) // self.width
        self._at_most = max(1, buckets // 2)
        return buckets > 1


class BucketLogStream(ClaudeStream):
    """The buckets that the other streams have read and written in this run."""

    primary_keys = ("row_id",)
    state_partitioning_keys = ()

    @property
    @override
    def partitions(self) -> None:
        return None

    @override
    def get_records(self, context: Context | None) -> Iterator[Row]:
        log = self.run.bucket_log
        if log is None:
            return
        self._choose_way()
        for bucket in log.waiting:
            record = bucket._asdict()
            # Of a full table, the newest reading is the one that counts.
            start = "" if bucket.bucket_width == FULL else bucket.starting_at
            organization = (bucket.organization_type, bucket.organization_id)
            key = RowKey(self.name, organization, start, bucket.bucket_width, ("stream",))
            record["row_id"] = key.of(record)
            record["extracted_at"] = self.run.extracted_at
            yield {name: record[name] for name in self.columns.names}
        self.flush()
        log.reported()
        self.state_manager.is_flushed = False  # the state owes less now


def _configured_time(config: Mapping[str, Any], name: str) -> dt.datetime | None:
    return parse_time(config[name]) if config.get(name) else None


_NO_LIMIT = 2**31
_STEPS_TO_TRUST = 10
"""Steps that must come through before the API is asked for more at once again."""
_LATE = dt.timedelta(hours=1)
"""How long after its end the API may leave out a bucket."""
_NEWEST_DAY_LAG = dt.timedelta(days=8)
_UNITS = {"1d": "day", "1h": "hour", "1m": "minute"}
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b", re.ASCII)
_NOT_YET = re.compile(r"availab|recent|latest|newest|\blag", re.IGNORECASE)
_FUTURE = re.compile(r"future|\b(after|later|beyond|past|exceed\w*)\b.{0,20}\bnow\b", re.IGNORECASE)


def _by_step(
    fetched: Iterator[tuple[Window, requests.Response | None]],
) -> Iterator[tuple[Window, Iterator[requests.Response]]]:
    for step, first in fetched:
        held = [first]
        del first
        yield step, _until_mark(held, map(operator.itemgetter(1), fetched))


def _until_mark(
    held: list[requests.Response | None], following: Iterator[requests.Response | None]
) -> Iterator[requests.Response]:
    """Yield answers, and hold none of them: they are large."""
    while held:
        yield held.pop()  # type: ignore[misc]  # a step has a page at least
    yield from itertools.takewhile(lambda answer: answer is not None, following)


def _newest_day(error: APIError, step: Window, now: dt.datetime) -> dt.datetime | None:
    """Day that the API names as its newest, where a step ends later (docs: analytics/users)."""
    if error.response.status_code != HTTPStatus.BAD_REQUEST or not _NOT_YET.search(error.detail):
        return None
    named = []
    for text in _DAY.findall(error.detail):
        with contextlib.suppress(ValueError):
            named.append(parse_time(text))
    # The message may name the days that were asked for, too, or one of long ago (when the
    # organization joined, say), which is not about data that are yet to come.
    return max(
        (day for day in named if now - _NEWEST_DAY_LAG <= day < step.end - WIDTHS["1d"]),
        default=None,
    )


def _refuses_future(error: APIError) -> bool:
    return (
        error.response.status_code == HTTPStatus.BAD_REQUEST
        and _FUTURE.search(error.detail) is not None
    )
