"""What all report streams share: windows to read, rows to records, the bookmark.

The SDK moves bookmarks by record, and back where records come again. A report moves its bookmark
by finished bucket, also by an empty one, and only forward, so that a killed run resumes at the
last finished bucket and the lookback never costs progress.
"""

from __future__ import annotations

import datetime as dt
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_claude.client import APIError, ClaudeStream
from tap_claude.pagination import BrokenPageError, TokenPaginator, read_page, sent_at
from tap_claude.records import Columns, flatten, row_id
from tap_claude.windows import WIDTHS, Window, floor, format_time, parse_time, read_range, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.client import Run
    from tap_claude.settings import Report

Row = dict[str, Any]


class Bucket(msgspec.Struct):
    """One interval of a report and the rows that the API has for it."""

    starting_at: str
    ending_at: str
    results: list[dict[str, Any]]


def _exact(number: str) -> Decimal:
    from decimal import Decimal  # noqa: PLC0415

    return Decimal(number)


_decode_bucket = msgspec.json.Decoder(Bucket, float_hook=_exact).decode


class ReportStream(ClaudeStream):
    """A report, read in windows of whole buckets, oldest first."""

    primary_keys = ("row_id",)
    replication_key = "starting_at"

    dimensions: ClassVar[tuple[str, ...]]
    """Every legal value of ``group_by[]``."""
    default_group_by: ClassVar[tuple[str, ...]]
    filters: ClassVar[tuple[str, ...]] = ()
    """Every legal filter, named like the API's parameter without the brackets."""
    max_group_by: ClassVar[int] = 5
    page_buckets: ClassVar[Mapping[str, int]]
    """The legal bucket widths, each with the most buckets that a page may hold."""
    lookback_days: ClassVar[int]
    key_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Columns that identify the value of a dimension, where it is not the one of its name."""
    gated: ClassVar[Mapping[str, str]] = {}
    """Beta headers that a dimension or filter needs."""

    def __init__(self, tap: Tap, *, run: Run, report: Report) -> None:
        """Set up one report; its name is the stream's."""
        super().__init__(tap, run=run, name=report.name)
        self.report = report
        self.width = WIDTHS[report.bucket_width]
        self.columns = Columns(self.schema)
        identity = [
            column for name in report.group_by for column in self.key_columns.get(name, (name,))
        ]
        self._identity = (
            *identity,
            *(name for name in ("currency",) if name in self.columns.names),
        )
        betas = {
            self.gated[name] for name in (*report.group_by, *report.filters) if name in self.gated
        }
        self.beta = ",".join(sorted(betas)) or self.beta
        # One fixed precision: append targets compare these as text.
        self._extracted_at = format_time(run.started_at.replace(microsecond=0))[:-1] + (
            f".{run.started_at.microsecond // 1000:03}Z"
        )
        self._known_fields = set(self.columns.names)

    # -- requests

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params: dict[str, Any] = {
            **(context or {}),
            "bucket_width": self.report.bucket_width,
            "limit": self.page_buckets[self.report.bucket_width],
            "group_by[]": list(self.report.group_by),
        }
        params |= {f"{name}[]": values for name, values in self.report.filters.items()}
        if next_page_token is not None:
            params["page"] = next_page_token
        return params

    @override
    def get_new_paginator(self) -> TokenPaginator:
        return TokenPaginator()

    # -- reading

    @override
    def read(self, context: Context | None) -> Iterator[Row]:
        now = dt.datetime.now(dt.UTC)
        window = self._range(context, now)
        if window is None:
            self.logger.info("Nothing to read: the bookmark is at or after end_date.")
            return
        for step in split(window, self.width, self.page_buckets[self.report.bucket_width]):
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

    def _read_step(self, step: Window, context: Context | None) -> Iterator[Row]:
        bounds = {"starting_at": format_time(step.start), "ending_at": format_time(step.end)}
        for response in self.pages(bounds):
            newest = ""
            for raw in read_page(response).data:
                bucket = self._bucket(raw)
                yield from self._records(bucket, response)
                newest = max(newest, bucket.starting_at)
            # Here the last record of the page has been written.
            self._advance_bookmark(newest, context)

    def _range(self, context: Context | None, now: dt.datetime) -> Window | None:
        days = self.config.get("lookback_days")
        return read_range(
            now=now,
            width=self.width,
            bookmark=self._bookmark(context),
            lookback=dt.timedelta(days=self.lookback_days if days is None else days),
            start_date=_configured_time(self.config, "start_date"),
            end_date=_configured_time(self.config, "end_date"),
        )

    def _bucket(self, raw: msgspec.Raw) -> Bucket:
        try:
            bucket = _decode_bucket(raw)
            bucket.starting_at = format_time(parse_time(bucket.starting_at))
            bucket.ending_at = format_time(parse_time(bucket.ending_at))
        except (msgspec.DecodeError, ValueError) as error:
            msg = f"a bucket of the page cannot be read: {error}"
            raise BrokenPageError(msg) from error
        return bucket

    def _records(self, bucket: Bucket, response: requests.Response) -> Iterable[Row]:
        """Return the records of one bucket, rows with one key merged."""
        merged: dict[str, Row] = {}
        for row in bucket.results:
            flat = flatten(row, self.columns.whole)
            self._warn_of_unknown(flat)
            record = self.columns.conform(flat)
            key = row_id(
                self.name,
                self.organization_type,
                bucket.starting_at,
                self.report.bucket_width,
                {name: record[name] for name in self._identity},
            )
            if key in merged:
                self.columns.merge(merged[key], record)
            else:
                merged[key] = record
        complete = parse_time(bucket.ending_at) <= sent_at(response)
        for key, record in merged.items():
            self.columns.add_dollars(record)
            record.update(
                row_id=key,
                organization_type=self.organization_type,
                starting_at=bucket.starting_at,
                ending_at=bucket.ending_at,
                bucket_width=self.report.bucket_width,
                is_complete=complete,
                extracted_at=self._extracted_at,
            )
        return merged.values()

    def _warn_of_unknown(self, flat: Row) -> None:
        if flat.keys() <= self._known_fields:
            return
        new = self.columns.unknown(flat) - self._known_fields
        self._known_fields |= flat.keys()
        if new:
            self.logger.warning(
                "The API sends fields that this version does not know, they are left out: %s",
                ", ".join(sorted(ascii(name)[1:-1] for name in new)),
            )

    # -- bookmark

    def _bookmark(self, context: Context | None) -> dt.datetime | None:
        if self.replication_method != "INCREMENTAL":
            return None
        value = self.get_context_state(context).get("replication_key_value")
        if value is None:
            return None
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


def _configured_time(config: Mapping[str, Any], name: str) -> dt.datetime | None:
    return parse_time(config[name]) if config.get(name) else None


def _refuses_future(error: APIError) -> bool:
    return (
        error.response.status_code == HTTPStatus.BAD_REQUEST
        and re.search("future", error.detail, re.IGNORECASE) is not None
    )
