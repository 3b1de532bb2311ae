"""What streams share that are read whole each time: people, workspaces, keys, limits.

A full table that was read to its end is followed by ACTIVATE_VERSION, so that targets can tell
which rows are gone. The SDK would send it first, which leaves the table empty while it loads.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_claude.bucket_log import full_table
from tap_claude.client import APIError, ClaudeStream, RefusedError
from tap_claude.organizations import known_kinds
from tap_claude.pagination import CursorPaginator, decode_row, read_page
from tap_claude.records import RowKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.client import Run

Row = dict[str, Any]

# Statuses that are about one parent of a child list, as long as others answer.
_OF_ONE_PARENT = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class DirectoryStream(ClaudeStream):
    """A full table: every row of a list, or of a list per parent."""

    primary_keys: tuple[str, ...] = ("organization_id", "id")
    state_partitioning_keys = ()  # nothing to remember per parent or organization

    page_size: ClassVar[int | None] = 1000
    """The biggest legal page; None where the endpoint has no pages."""
    params: ClassVar[Mapping[str, str]] = {}
    """Fixed parameters of every request."""
    parent: ClassVar[type[DirectoryStream] | None] = None
    """Stream over whose rows this one is asked, its path holding their id as ``{parent_id}``."""
    parent_column: ClassVar[str] = ""
    """Column for the parent's id, where the rows do not tell."""
    row_key: ClassVar[tuple[str, ...]] = ()
    """Columns that make the ``row_id`` of rows without an id of their own."""

    def __init__(self, tap: Tap, *, run: Run) -> None:
        """Begin with no organization read to its end."""
        super().__init__(tap, run=run)
        self._whole: set[str] = set()

    def expand(self, row: Row) -> Iterable[Row]:
        """Turn a row of the API into the rows of this stream."""
        return (row,)

    # -- requests

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        page = self.paginator.parameter if issubclass(self.paginator, CursorPaginator) else "page"
        return {**self.params, "limit": self.page_size, page: next_page_token}

    @property
    @override
    def paths(self) -> tuple[str, ...]:
        return (self.path, self.parent.path) if self.parent else (self.path,)

    # -- reading

    @override
    def read(self, context: Context | None) -> Iterator[Row]:
        if self.config.get("emit_activate_version_messages", True):
            self._stream_version = self.run.version  # records carry it from here on
        row_count = 0
        parent_ids = self._parent_ids()
        if self.parent:
            self.run.progress.expect(len(parent_ids), "list")
        refusals: list[APIError] = []
        for index, parent_id in enumerate(parent_ids):
            self.run.progress.at(parent_id or "", index)
            try:
                for record in self._records_of(parent_id):
                    row_count += 1
                    yield record
            except APIError as error:
                if parent_id is None or error.response.status_code not in _OF_ONE_PARENT:
                    raise
                refusals.append(error)
                if len(refusals) == len(parent_ids):
                    raise  # not the parents are refused, but the list: nothing was read
                self.logger.warning("%s: %s is left out: %s", self.name, parent_id, error)
        if refusals:
            self._report_left_out(refusals, len(parent_ids))
        else:
            self._end_of_table(row_count)

    def _end_of_table(self, row_count: int) -> None:
        """Say that the table is whole, for the organization that was read, or for all."""
        if self.run.bucket_log is not None:
            self.run.bucket_log.add(
                full_table(self.name, self.identify(), row_count, self.run.extracted_at)
            )
        self._whole.add(self.organization_type)
        if self._whole >= set(self.organization_types) | known_kinds(self.stream_state):
            self._activate_version()

    def _report_left_out(self, refusals: Sequence[APIError], parents: int) -> None:
        """End the run with an error if parents were refused that exist."""
        others = [e for e in refusals if e.response.status_code != HTTPStatus.NOT_FOUND]
        if others:
            line = f"{others[0]}; {len(refusals)} of {parents} lists were left out"
            skippable = all(isinstance(error, RefusedError) for error in others)
            kept = self.run.refusals if skippable else self.run.failures
            kept[self.name, self.organization_type] = line

    def rows(self, context: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the API's rows of one list; some come again where the API lost its place."""
        try:
            yield from self._rows(context)
        except APIError as error:
            if not error.lost_cursor:
                raise
            self.logger.warning("The API lost its place; the list is read again from its start.")
            yield from self._rows(context)

    def _rows(self, context: Mapping[str, Any]) -> Iterator[Row]:
        for _, response in self.ahead((None, page) for page in self.pages(context)):
            if response is not None:
                for raw in read_page(response, single=self.single).data:
                    yield decode_row(raw)

    def _parent_ids(self) -> Sequence[str | None]:
        if self.parent is None:
            return (None,)
        parent = self.parent(self._tap, run=self.run)
        parent.name = self.name  # errors are of the stream that could not be read
        parent.organization_type = self.organization_type
        return list(dict.fromkeys(row["id"] for row in parent.rows({})))

    def _records_of(self, parent_id: str | None) -> Iterator[Row]:
        """Yield the records of one list."""
        for row in self.rows({"parent_id": parent_id} if parent_id else {}):
            for part in self.expand(row):
                yield self._record(part, parent_id)

    def _record(self, row: Row, parent_id: str | None) -> Row:
        identity = self.identify()
        record = self.conform(row)
        if self.parent_column and record[self.parent_column] is None:
            record[self.parent_column] = parent_id
        if self.row_key:
            record["row_id"] = RowKey(self.name, identity[:2], "", "", self.row_key).of(record)
        self.columns.add_dollars(record)
        record.update(identity._asdict())
        record["extracted_at"] = self.run.extracted_at
        return record

    # -- rows that are gone

    def _activate_version(self) -> None:
        """Say that the rows of this run are all that there are, now that the last is written."""
        if (
            self._stream_version is not None
            and self.selected
            and self.ABORT_AT_RECORD_COUNT is None
            and self.get_batch_config(self.config) is None
        ):
            self._write_activate_version_message(self._stream_version)
