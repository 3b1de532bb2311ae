"""What a report stream declares: request parameters, buckets, key columns.

Nothing here changes during a run; `report_read.ReportRead` holds the state of one read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tap_claude.incremental import IncrementalStream
from tap_claude.windows import WIDTHS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from singer_sdk import Tap

    from tap_claude.buckets import Bucket
    from tap_claude.pages import ApiPage, Row
    from tap_claude.sync_context import SyncContext
    from tap_claude.windows import Window, WindowSizer


class ReportDeclaration(IncrementalStream):
    """A report, read from the oldest bucket on. Subclasses turn pages into buckets."""

    primary_keys = ("row_id",)
    replication_key = "starting_at"

    earliest: ClassVar[dt.datetime | None] = None
    """First time that the API has data for."""
    max_age: ClassVar[dt.timedelta | None] = None
    """How far back from now the API has data."""
    key_columns: tuple[str, ...] = ()
    """Columns that form the key of a row, together with stream, organization and bucket."""
    page_size: ClassVar[int | None] = 1000
    """Maximum rows per page; None if the endpoint has no limit parameter."""
    splittable: ClassVar[bool] = False
    """Whether a request can be split if the API is slow or the response is too large."""
    names_newest_day: ClassVar[bool] = False
    """Whether the API rejects days that are not yet available, and names the newest one."""
    has_dated_rows: ClassVar[bool] = False
    """Whether each row names its bucket."""
    may_begin_late: ClassVar[bool] = False
    """Whether the API omits the days before an organization existed."""
    warns_of_merged_rows: ClassVar[bool] = False
    """Whether the key of each row in a bucket should be unique."""
    anonymous_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that are all null if the API cannot identify the person; such rows may share a key.
    """

    def __init__(
        self, tap: Tap, *, run: SyncContext, name: str | None = None, width: str = "1d"
    ) -> None:
        """Set up a report with this bucket width."""
        super().__init__(tap, run=run, name=name)
        self.bucket_width = width
        self.width = WIDTHS[width]

    # -- for subclasses

    def sizer(self) -> WindowSizer:
        """Return the sizer that splits the range of a run into windows."""
        raise NotImplementedError

    def window_params(self, window: Window) -> dict[str, str]:
        """Return the query parameters of a window."""
        raise NotImplementedError

    def params(self, window: Window) -> dict[str, Any]:
        """Return all query parameters of a request except the cursor."""
        return {**self.window_params(window), "limit": self.page_size}

    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterable[Iterable[Bucket]]:
        """Yield the finished buckets of a window, one page at a time.

        The bookmark advances after each page.
        """
        raise NotImplementedError

    def window_columns(self, bucket: Bucket) -> Row:
        """Return the columns that identify the bucket of a record."""
        return {
            "starting_at": bucket.starting_at,
            "ending_at": bucket.ending_at,
            "bucket_width": self.bucket_width,
        }

    def bookmark_value(self, bucket: Bucket) -> str:
        """Return the replication key's value for a bucket."""
        return bucket.starting_at

    def definition(self) -> dict[str, Any] | None:
        """Return the definition that determines the rows; a bookmark is valid for one only."""
        return None
