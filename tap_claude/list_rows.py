"""What full tables and feeds share: pages of one list, and records from their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tap_claude.credentials import WORKSPACE
from tap_claude.errors import MalformedResponseError
from tap_claude.pages import decode_row
from tap_claude.row_keys import RowKey
from tap_claude.stream import ClaudeStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_claude.pages import ApiPage, Row


class RowStream(ClaudeStream):
    """A stream of the rows of a list, or of one list per parent or workspace."""

    page_size: ClassVar[int | None] = 1000
    """Largest page size that the API allows; None if the endpoint has no pages."""
    list_params: ClassVar[Mapping[str, Any]] = {}
    """Fixed parameters of every request."""
    parent_column: ClassVar[str] = ""
    """Column for the id of the parent or workspace, if the rows do not contain it."""
    row_key: ClassVar[tuple[str, ...]] = ()
    """Columns that form the ``row_id``, for rows without an id."""
    own_organization: ClassVar[str] = ""
    """Column with the organization that a row belongs to, if the rows name one."""

    @property
    def workspace_ids(self) -> tuple[str | None, ...]:
        """Workspaces that are requested one by one; None is the workspace of the key."""
        if self.credentials == WORKSPACE:
            return self.run.config.agent_workspace_ids or (None,)
        return (None,)

    def fetch_list(
        self, organization_type: str, params: Mapping[str, Any], parent_id: str | None = None
    ) -> Iterator[ApiPage]:
        """Yield the pages of one list; the next one is fetched in advance.

        ``parent_id`` is the id in the path, or the workspace. Raises `MalformedResponseError` if
        another workspace was read.
        """
        workspace_id = parent_id if self.credentials == WORKSPACE else None
        pages = self.fetch(
            organization_type,
            {**self.list_params, **params, "limit": self.page_size},
            path=self.path.format(parent_id=parent_id),
            workspace_id=workspace_id,
        )
        for _, page in self.prefetch((None, page) for page in pages):
            if page is None:
                continue
            if workspace_id and page.workspace_id not in {None, workspace_id}:
                msg = f"the API returned the workspace {page.workspace_id}, not {workspace_id}"
                raise MalformedResponseError(msg)
            yield page

    def page_rows(self, page: ApiPage) -> Iterator[Row]:
        """Yield the rows of a page in the stream's shape."""
        place: Row = {}
        if page.workspace_id and self.credentials == WORKSPACE and self.parent_column:
            place[self.parent_column] = page.workspace_id
        for raw in page.items:
            row = decode_row(raw)
            yield from type(self).reshape({**place, **row} if place else row)

    def record_of(self, organization_type: str, row: Row, parent_id: str | None) -> Row:
        """Return the record of a row, with its key and the columns of the organization."""
        identity = self.identify(organization_type)
        record = self.conform(row)
        if self.parent_column and record[self.parent_column] is None:
            record[self.parent_column] = parent_id
        if self.row_key:
            record["row_id"] = RowKey(self.name, identity[:2], "", "", self.row_key).of(record)
        self.columns.add_dollars(record)
        record.update(identity._asdict())
        if self.own_organization and record[self.own_organization]:
            record["organization_id"] = record[self.own_organization]
        record["extracted_at"] = self.run.extracted_at
        return record
