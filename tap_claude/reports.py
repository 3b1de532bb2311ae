"""What report streams declare: how the API is asked, and what makes a row.

Nothing here changes during a run: `report_read.ReportRead` is one reading, and holds what does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_claude.bucket_log import FULL
from tap_claude.config import ReportSpec
from tap_claude.credentials import organization_types
from tap_claude.report_read import ReportRead
from tap_claude.row_keys import RowKey
from tap_claude.stream import ClaudeStream
from tap_claude.windows import WIDTHS, WindowSizer, format_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.buckets import Bucket
    from tap_claude.pages import ApiPage, Row
    from tap_claude.sync_context import SyncContext
    from tap_claude.windows import Window


class ReportStream(ClaudeStream):
    """A report, read oldest bucket first. Subclasses say how buckets come out of requests."""

    primary_keys = ("row_id",)
    replication_key = "starting_at"

    lookback_days: ClassVar[int]
    earliest: ClassVar[dt.datetime | None] = None
    """First time of which the API has data, and how far back it goes from now."""
    max_age: ClassVar[dt.timedelta | None] = None
    key_columns: tuple[str, ...] = ()
    """Columns that make the key of a row, beside stream, organization and bucket."""
    page_size: ClassVar[int | None] = 1000
    """The biggest legal page, in rows; None where the endpoint takes no limit."""
    splittable: ClassVar[bool] = False
    """Whether less can be asked for where the API is slow or its response too large."""
    names_newest_day: ClassVar[bool] = False
    """Whether the API refuses days that it has not got yet, and says which is the newest."""
    has_dated_rows: ClassVar[bool] = False
    """Whether each row says which bucket it is of."""
    may_begin_late: ClassVar[bool] = False
    """Whether the API leaves out the days before an organization existed."""
    warns_of_merged_rows: ClassVar[bool] = False
    """Whether the API should tell all rows of a bucket apart."""
    anonymous_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that are all null in rows of people whom the API cannot name: these may share a key.
    """

    def __init__(
        self, tap: Tap, *, run: SyncContext, name: str | None = None, width: str = "1d"
    ) -> None:
        """Set up a report with buckets of that width."""
        super().__init__(tap, run=run, name=name)
        self.bucket_width = width
        self.width = WIDTHS[width]

    # -- what subclasses say

    def sizer(self) -> WindowSizer:
        """Return how the range of a run is cut into what one chain of requests reads."""
        raise NotImplementedError

    def window_params(self, window: Window) -> dict[str, str]:
        """Return the parameters that ask for a window."""
        raise NotImplementedError

    def params(self, window: Window) -> dict[str, Any]:
        """Return all parameters of a request but the cursor."""
        return {**self.window_params(window), "limit": self.page_size}

    def buckets(self, window: Window, pages: Iterable[ApiPage]) -> Iterable[Iterable[Bucket]]:
        """Yield finished buckets of a window, a page at a time: the bookmark moves after each."""
        raise NotImplementedError

    def window_columns(self, bucket: Bucket) -> Row:
        """Return the columns that say which bucket a record belongs to."""
        return {
            "starting_at": bucket.starting_at,
            "ending_at": bucket.ending_at,
            "bucket_width": self.bucket_width,
        }

    def bookmark_value(self, bucket: Bucket) -> str:
        """Return the replication key's value for a bucket."""
        return bucket.starting_at

    def question(self) -> dict[str, Any] | None:
        """Return what decides which rows there are; a bookmark is of one question only."""
        return None

    # -- reading

    @override
    def read(self, organization_type: str, partition: Context | None) -> Iterator[Row]:
        return ReportRead(self, organization_type, partition).records()

    # -- state

    @property
    def reads_two_kinds(self) -> bool:
        """Whether organizations of two kinds can fill the stream's table."""
        return len(organization_types(self.credentials)) > 1

    def write_state(self, state: dict[str, Any]) -> None:
        """Write a STATE message now that a bookmark has moved."""
        # In BATCH mode the records may not have left yet: the SDK writes state after each batch.
        if self.get_batch_config(self.config) is None:
            self.finalize_state_progress_markers(state)

    @override
    def _increment_stream_state(
        self, latest_record: Row, *, context: Context | None = None
    ) -> None:
        # A private hook of the SDK, which has no public one: bookmarks here move by bucket, not by
        # record. With the SDK's, a killed run of a year reads all of it again, and a lookback moves
        # the bookmark back.
        pass

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: the signpost caps bookmarks that move by record."""

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """Leave the bookmark alone: `read_range` compares it with ``start_date``."""
        return value


class GroupedReport(ReportStream):
    """A report with dimensions to choose: under its own name, or as a custom report."""

    splittable = True
    dimensions: ClassVar[tuple[str, ...]]
    """Every legal value of ``group_by[]``."""
    default_group_by: ClassVar[tuple[str, ...]]
    filters: ClassVar[tuple[str, ...]] = ()
    """Every legal filter, named like the API's parameter without the brackets."""
    max_group_by: ClassVar[int] = 5
    page_buckets: ClassVar[Mapping[str, int]]
    """The legal bucket widths, each with the most buckets that a page may hold."""
    unlimited_dimensions: ClassVar[tuple[str, ...]] = ()
    """Dimensions that do not count towards ``max_group_by``."""
    incompatible: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of a dimension and another dimension or a filter that the API refuses together."""
    base_key_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that identify a row whatever it is grouped by."""
    dimension_key_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Columns that identify the value of a dimension, where it is not the one of its name."""
    dimension_beta_headers: ClassVar[Mapping[str, str]] = {}
    """Beta headers that a dimension or filter needs."""

    def __init__(self, tap: Tap, *, run: SyncContext, spec: ReportSpec | None = None) -> None:
        """Set up one report; its name is the stream's. Without one: as it is declared, by day."""
        spec = spec or ReportSpec(self.name, self.name, self.default_group_by)
        super().__init__(tap, run=run, name=spec.name, width=spec.bucket_width)
        self.spec = spec
        own = self.dimension_key_columns
        self.key_columns = (
            *self.base_key_columns,
            *(column for name in spec.group_by for column in own.get(name, (name,))),
            *(("currency",) if "currency" in self.columns.names else ()),
        )
        betas = self.dimension_beta_headers
        needed = {betas[name] for name in (*spec.group_by, *spec.filters) if name in betas}
        self.beta_headers = (*self.beta_headers, *sorted(needed))

    @override
    def question(self) -> dict[str, Any]:
        return self.spec.question

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
            **{f"{name}[]": values for name, values in self.spec.filters.items()},
        }


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
        self._select_write_path()
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
