"""Full-table streams: people, workspaces, keys, limits.

ACTIVATE_VERSION is sent after a completely read full table, so that targets can detect deleted
rows. The SDK would send it first, which leaves the table empty while it loads.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_claude.bucket_log import full_table
from tap_claude.credentials import WORKSPACE
from tap_claude.errors import APIError, PermissionDeniedError
from tap_claude.list_rows import RowStream
from tap_claude.organizations import known_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.pages import Row
    from tap_claude.sync_context import SyncContext

# Statuses that concern one parent of a child list only, if other parents can be read.
_PARENT_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class ListStream(RowStream):
    """A full table: all rows of one list, or of one list per parent."""

    primary_keys: tuple[str, ...] = ("organization_id", "id")
    state_partitioning_keys = ()  # no state per parent or organization

    parent: ClassVar[type[ListStream] | None] = None
    """Parent stream: one request per parent row, with its id as ``{parent_id}`` in the path."""

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
        # Key -> place of its parent; a cursor that expires repeats rows. A hash saves memory.
        # Rows that several workspaces list, such as models, are written once.
        keys: dict[Any, int] = {}
        parent_ids = self._parent_ids(organization_type)
        is_shared = self.credentials == WORKSPACE and len(parent_ids) > 1
        if self.parent or is_shared:
            self.run.progress.expect(len(parent_ids), "list")
        refusals: list[tuple[str, APIError]] = []
        for index, parent_id in enumerate(parent_ids):
            self.run.progress.at(parent_id or "", index)
            try:
                for row in self.rows(organization_type, parent_id):
                    record = self.record_of(organization_type, row, parent_id)
                    key = tuple(record[name] for name in self.primary_keys)
                    first = keys.setdefault(key if is_shared else hash(key), index)
                    if not is_shared or first == index:
                        yield record
            except APIError as error:
                if parent_id is None or error.status not in _PARENT_STATUSES:
                    raise
                refusals.append((parent_id, error))
                if len(refusals) == len(parent_ids):
                    raise  # every parent failed, so the list as a whole cannot be read
                self.warn("%s is left out: %s", parent_id, error)
        if refusals:
            self._report_left_out(organization_type, refusals, len(parent_ids))
        else:
            self._end_table(organization_type, row_count=len(keys))

    def rows(self, organization_type: str, parent_id: str | None = None) -> Iterator[Row]:
        """Yield the rows of one list; rows are repeated if a page cursor expires."""
        try:
            yield from self._rows(organization_type, parent_id)
        except APIError as error:
            if not error.lost_cursor:
                raise
            self.warn("the page cursor has expired; the list is read again from its start.")
            yield from self._rows(organization_type, parent_id)

    def _rows(self, organization_type: str, parent_id: str | None) -> Iterator[Row]:
        for page in self.fetch_list(organization_type, {}, parent_id):
            yield from self.page_rows(page)

    def _parent_ids(self, organization_type: str) -> Sequence[str | None]:
        if self.parent is None:
            return self.workspace_ids
        parent = self.parent(self._tap, run=self.run)
        parent.name = self.name  # messages and metrics name the child stream
        return list(dict.fromkeys(row["id"] for row in parent.rows(organization_type)))

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
        self, organization_type: str, refusals: Sequence[tuple[str, APIError]], parents: int
    ) -> None:
        """Record a failure, unless all skipped parents have been deleted (404).

        A workspace is not found in a list of the API, but in a setting, so it cannot be deleted.
        """
        others = [
            (parent_id, error)
            for parent_id, error in refusals
            if error.status != HTTPStatus.NOT_FOUND or self.parent is None
        ]
        if others:
            parent_id, error = others[0]
            line = (
                f"{self.name}: {parent_id}: {error}; {len(refusals)} of {parents} lists were left"
                " out"
            )
            skippable = all(isinstance(error, PermissionDeniedError) for _, error in others)
            kept = self.run.refusals if skippable else self.run.failures
            kept[self.name, organization_type] = line
