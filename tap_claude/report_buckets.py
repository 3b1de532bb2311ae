"""The stream `report_buckets`: what the other streams have read, written after their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_claude.bucket_log import FULL
from tap_claude.row_keys import RowKey
from tap_claude.stream import ClaudeStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_claude.pages import Row


class BucketLogStream(ClaudeStream):
    """The buckets that the other streams have written in this run."""

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
            # A full table has one row, which each run replaces.
            start = "" if bucket.bucket_width == FULL else bucket.starting_at
            organization = (bucket.organization_type, bucket.organization_id)
            key = RowKey(self.name, organization, start, bucket.bucket_width, ("stream",))
            record["row_id"] = key.of(record)
            record["extracted_at"] = self.run.extracted_at
            yield {name: record[name] for name in self.columns.names}
        self.flush()
        log.reported()
        self.state_manager.is_flushed = False  # the unreported buckets in the state have changed
