"""Feeds: lists in order of creation, read from the bookmark on.

The bookmark is the ``created_at`` of the newest row that was written, to the second, but not later
than an hour ago, because rows can appear late. Each run reads the ``lookback_days`` before it
again. Rows that could still change when they were written, such as
running sessions, are read again too, however old they are: the state has the ``created_at`` of the
oldest one. It need not list them, and rows that have changed since are found whatever they are now.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_claude.bookmarks import Bookmark, time_of
from tap_claude.credentials import WORKSPACE
from tap_claude.errors import APIError, MalformedResponseError
from tap_claude.incremental import IncrementalStream
from tap_claude.list_rows import RowStream
from tap_claude.windows import WIDTHS, Window, floor, format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_claude.pages import ApiPage, Row

OPEN_SINCE = "open_since"
"""Entry of a bookmark: every row created before this time was final when it was written."""
SECOND = dt.timedelta(seconds=1)
SETTLING = dt.timedelta(days=1)
LATE = dt.timedelta(hours=1)
"""Time after which no row is expected to appear behind a newer one."""


class FeedStream(IncrementalStream, RowStream):
    """A list in order of creation. All times are UTC."""

    primary_keys: tuple[str, ...] = ("organization_id", "id")
    replication_key = "created_at"

    lookback_days: ClassVar[int] = 1
    bound: ClassVar[str] = "created_at[{}]"
    """Name of the parameters for the first (``gte``) and last time (``lt``)."""

    final_status: ClassVar[str] = ""
    """Value of ``status`` after which a row stays as it is; empty if rows never change."""

    def can_change(self, record: Row) -> bool:
        """Whether a row can still change, so that the next run must read it again.

        Costs may follow: a row is final a day after its last update, not at once. An archived row
        cannot be used again, unless it is still running.
        """
        if not self.final_status:
            return False
        is_archived = record["archived_at"] is not None and record["status"] == "idle"
        if not is_archived and record["status"] != self.final_status:
            return True
        updated_at = record["updated_at"]
        extracted_at = parse_time(record["extracted_at"])
        return updated_at is None or parse_time(updated_at) > extracted_at - SETTLING

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        # Each workspace has its own bookmark: one that is refused does not hold up the others.
        if self.credentials == WORKSPACE and self.run.config.agent_workspace_ids:
            return [{"workspace_id": id_} for id_ in self.workspace_ids]
        return super().partitions

    @override
    def read(self, organization_type: str, partition: Context | None) -> Iterator[Row]:
        return FeedRead(self, organization_type, partition).records()


class FeedRead:
    """One read of a feed, for one organization or workspace."""

    def __init__(
        self, stream: FeedStream, organization_type: str, partition: Context | None
    ) -> None:
        """Start before the first page."""
        self._stream = stream
        self._organization_type = organization_type
        self._workspace_id: str | None = (partition or {}).get("workspace_id")
        self._bookmark = Bookmark(stream, organization_type, partition, None)
        self._now = dt.datetime.now(dt.UTC)
        self._newest: dt.datetime | None = None
        """Creation of the newest row so far."""
        self._previous = dt.datetime.min.replace(tzinfo=dt.UTC)
        """Creation of the row before, or start of the range."""
        self._oldest_open: dt.datetime | None = None
        """Creation of the first row so far that can still change."""

    def records(self) -> Iterator[Row]:
        """Yield all records. Raises `StreamError` and `RunError`."""
        window = self._stream.choose_range(
            self._bookmark.newest(), self._open_since(), now=self._now, width=SECOND
        )
        if window is None:
            self._stream.logger.info(
                "%s: nothing to read; the bookmark or start_date is not before the end.",
                self._stream.name,
            )
            return
        self._stream.run.progress.expect((window.end - window.start) // WIDTHS["1d"], "day")
        cursor_lost_at: dt.datetime | None = None
        start = window.start
        while True:
            try:
                yield from self._read(Window(start, window.end), window.start)
                break
            except APIError as error:
                start = floor(self._newest or start, SECOND)
                if not error.lost_cursor or start == cursor_lost_at:
                    raise
                self._stream.warn("the page cursor has expired; resuming after the last page.")
                cursor_lost_at = start
        self._save(window.end)

    def _open_since(self) -> dt.datetime | None:
        moments = [
            time_of(part, OPEN_SINCE) for part in self._bookmark.parts() if OPEN_SINCE in part
        ]
        return min(moments, default=None)

    def _read(self, window: Window, first: dt.datetime) -> Iterator[Row]:
        stream = self._stream
        self._previous = window.start
        bounds = {
            stream.bound.format("gte"): format_time(window.start),
            stream.bound.format("lt"): format_time(window.end),
        }
        for page in stream.fetch_list(self._organization_type, bounds, self._workspace_id):
            yield from self._read_page(page, window)
            if self._newest is not None:
                stream.run.progress.at(
                    format_time(floor(self._newest, SECOND)),
                    (self._newest - first) // WIDTHS["1d"],
                )
                # At this point, the last record of the page has been written.
                self._save(self._newest)
            stream.flush()

    def _read_page(self, page: ApiPage, window: Window) -> Iterator[Row]:
        stream = self._stream
        for row in stream.page_rows(page):
            record = stream.record_of(self._organization_type, row, self._workspace_id)
            created_at = record["created_at"]
            moment = None if created_at is None else parse_time(created_at)
            # An API that ignores the order or a bound would make the bookmark skip rows.
            if moment is None or not self._previous <= moment < window.end:
                msg = (
                    f"a row was created at {created_at}, which is not between the row before it and"
                    f" the end of the range, {format_time(self._previous)} to"
                    f" {format_time(window.end)}"
                )
                raise MalformedResponseError(msg)
            self._previous = self._newest = moment
            if self._oldest_open is None and stream.can_change(record):
                self._oldest_open = moment
            yield record

    def _save(self, read_until: dt.datetime) -> None:
        """Advance the bookmark, and store since when rows can still change."""
        if not self._bookmark.is_kept:
            return
        target = self._bookmark.target()
        if self._stream.final_status:
            for part in self._bookmark.parts():
                part.pop(OPEN_SINCE, None)
            target[OPEN_SINCE] = format_time(floor(self._oldest_open or read_until, SECOND))
        newest = min(read_until, self._now - LATE)
        self._bookmark.advance(format_time(floor(newest, SECOND)))
        self._stream.write_state(target)
