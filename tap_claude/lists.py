"""Full-table streams: people, workspaces, keys, limits.

ACTIVATE_VERSION is sent after a completely read full table, so that targets can detect deleted
rows. The SDK would send it first, which leaves the table empty while it loads.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_claude.bucket_log import full_table
from tap_claude.errors import APIError, PermissionDeniedError
from tap_claude.organizations import known_kinds
from tap_claude.pages import decode_row
from tap_claude.row_keys import RowKey
from tap_claude.stream import ClaudeStream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.pages import Row
    from tap_claude.sync_context import SyncContext

# Statuses that concern one parent of a child list only, if other parents can be read.
_PARENT_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class ListStream(ClaudeStream):
    """A full table: all rows of one list, or of one list per parent."""

    primary_keys: tuple[str, ...] = ("organization_id", "id")
    state_partitioning_keys = ()  # no state per parent or organization

    page_size: ClassVar[int | None] = 1000
    """Largest page size that the API allows; None if the endpoint has no pages."""
    list_params: ClassVar[Mapping[str, str]] = {}
    """Fixed parameters of every request."""
    parent: ClassVar[type[ListStream] | None] = None
    """Parent stream: one request per parent row, with its id as ``{parent_id}`` in the path."""
    parent_column: ClassVar[str] = ""
    """Column for the parent's id, if the rows do not contain it."""
    row_key: ClassVar[tuple[str, ...]] = ()
    """Columns that form the ``row_id``, for rows without an id."""

    def __init__(self, tap: Tap, *, run: SyncContext) -> None:
        """Start with no organization read."""
        super().__init__(tap, run=run)
        self._complete: set[str] = set()
        """Kinds of organization whose rows were completely read in this run."""

    @property
    @override
    def cacheable_paths(self) -> tuple[str, ...]:
        return (self.path, self.parent.path) if self.parent else (self.path,)

    # -- reading

    @override
    def read(self, organization_type: str, partition: Context | None) -> Iterator[Row]:
        if self.run.config.emits_activate_version:
            self._stream_version = self.run.version  # records carry it from here on
        row_count = 0
        parent_ids = self._parent_ids(organization_type)
        if self.parent:
            self.run.progress.expect(len(parent_ids), "list")
        refusals: list[APIError] = []
        for index, parent_id in enumerate(parent_ids):
            self.run.progress.at(parent_id or "", index)
            try:
                convert = functools.partial(self._record, organization_type, parent_id)
                row_count += yield from self.rows(organization_type, parent_id, convert)
            except APIError as error:
                if parent_id is None or error.status not in _PARENT_STATUSES:
                    raise
                refusals.append(error)
                if len(refusals) == len(parent_ids):
                    raise  # every parent failed, so the list as a whole cannot be read
                self.warn("%s is left out: %s", parent_id, error)
        if refusals:
            self._report_left_out(organization_type, refusals, len(parent_ids))
        else:
            self._end_table(organization_type, row_count)

    def rows(
        self,
        organization_type: str,
        parent_id: str | None = None,
        convert: Callable[[Row], Row] = dict,
    ) -> Generator[Row, None, int]:
        """Yield the rows of one list, converted; return their number.

        If a page cursor expires, the list is read again from its start, and rows are repeated.
        """
        for may_restart in (True, False):
            count = 0
            try:
                for row in self._rows(organization_type, parent_id):
                    for part in type(self).reshape(row):
                        count += 1
                        yield convert(part)
                break
            except APIError as error:
                if not (error.lost_cursor and may_restart):
                    raise
                self.warn("the page cursor has expired; the list is read again from its start.")
        return count

    def _rows(self, organization_type: str, parent_id: str | None) -> Iterator[Row]:
        params = {**self.list_params, "limit": self.page_size}
        path = self.path.format(parent_id=parent_id)
        pages = self.fetch(organization_type, params, path=path)
        for _, page in self.prefetch((None, page) for page in pages):
            if page is not None:
                for raw in page.items:
                    yield decode_row(raw)

    def _parent_ids(self, organization_type: str) -> Sequence[str | None]:
        if self.parent is None:
            return (None,)
        parent = self.parent(self._tap, run=self.run)
        parent.name = self.name  # messages and metrics name the child stream
        return list(dict.fromkeys(row["id"] for row in parent.rows(organization_type)))

    def _record(self, organization_type: str, parent_id: str | None, row: Row) -> Row:
        identity = self.identify(organization_type)
        record = self.conform(row)
        if self.parent_column and record[self.parent_column] is None:
            record[self.parent_column] = parent_id
        if self.row_key:
            record["row_id"] = RowKey(self.name, identity[:2], "", "", self.row_key).of(record)
        self.columns.add_dollars(record)
        record.update(identity._asdict())
        record["extracted_at"] = self.run.extracted_at
        return record

    # -- the end of the table

    def _end_table(self, organization_type: str, row_count: int) -> None:
        """Report the table as complete; send ACTIVATE_VERSION once all organizations are read."""
        if self.ABORT_AT_RECORD_COUNT is not None:
            return  # --test reads one record only
        if self.run.bucket_log is not None:
            identity = self.identify(organization_type)
            self.run.bucket_log.add(
                full_table(self.name, identity, row_count, self.run.extracted_at)
            )
        self._complete.add(organization_type)
        if (
            self._complete >= set(self.organization_types) | known_kinds(self.stream_state)
            and self._stream_version is not None
            and self.selected
            and self.get_batch_config(self.config) is None
        ):
            self._write_activate_version_message(self._stream_version)

    def _report_left_out(
        self, organization_type: str, refusals: Sequence[APIError], parents: int
    ) -> None:
        """Record a failure, unless all skipped parents have been deleted (404)."""
        others = [error for error in refusals if error.status != HTTPStatus.NOT_FOUND]
        if others:
            line = f"{self.name}: {others[0]}; {len(refusals)} of {parents} lists were left out"
            skippable = all(isinstance(error, PermissionDeniedError) for error in others)
            kept = self.run.refusals if skippable else self.run.failures
            kept[self.name, organization_type] = line
