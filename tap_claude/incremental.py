"""The base class of streams with a bookmark: it moves when the stream says so, not per record."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_claude.credentials import organization_types
from tap_claude.stream import ClaudeStream
from tap_claude.windows import Window, format_time, read_range

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context

    from tap_claude.pages import Row


class IncrementalStream(ClaudeStream):
    """A stream whose bookmark is moved by `bookmarks.Bookmark`."""

    lookback_days: ClassVar[int]
    """Days before the bookmark to read again, unless the setting ``lookback_days`` is set."""

    def choose_range(
        self,
        bookmark: dt.datetime | None,
        again_from: dt.datetime | None,
        *,
        now: dt.datetime,
        width: dt.timedelta,
    ) -> Window | None:
        """Return the range to read, in buckets of ``width``; None if it is empty. Times are UTC.

        It begins with ``lookback_days`` before the bookmark, or with ``again_from`` if that is
        earlier.
        """
        config = self.run.config
        if bookmark is not None and bookmark > now:
            self.warn(
                "the bookmark %s is in the future (wrong clock?); using the current time instead.",
                format_time(bookmark),
            )
            bookmark = now
        days = self.lookback_days if config.lookback_days is None else config.lookback_days
        return read_range(
            now=now,
            width=width,
            bookmark=bookmark,
            lookback=dt.timedelta(days=days),
            unreported_since=again_from,
            start_date=config.start_date,
            end_date=config.end_date,
        )

    @property
    def reads_two_kinds(self) -> bool:
        """Whether organizations of two kinds can fill the stream's table."""
        return len(organization_types(self.credentials)) > 1

    def write_state(self, state: dict[str, Any]) -> None:
        """Write a STATE message now that a bookmark has moved."""
        # In BATCH mode, the records may not have been written yet; the SDK writes the state after
        # each batch.
        if self.get_batch_config(self.config) is None:
            self.finalize_state_progress_markers(state)

    @override
    def _increment_stream_state(
        self, latest_record: Row, *, context: Context | None = None
    ) -> None:
        # A private method of the SDK; there is no public one. Bookmarks advance per bucket, not per
        # record. With the SDK's method, a killed run starts over, a lookback moves the bookmark
        # back, and a year of days takes 1.64 s of CPU instead of 1.5 (make bench).
        pass

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return None: the signpost is only for bookmarks that advance per record."""

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """Return the bookmark unchanged: `read_range` compares it with ``start_date``."""
        return value
