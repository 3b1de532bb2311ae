"""Page cursors (docs: usage-cost-api).

Only the paging fields decide whether another page follows: an empty page is not the end of the
data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from typing_extensions import override

from tap_claude.errors import PagingError

if TYPE_CHECKING:
    from tap_claude.pages import ApiPage


class Paginator:
    """A single page, without a cursor. Subclasses return the cursor of the next page."""

    parameter = "page"
    """Query parameter for the cursor."""

    def __init__(self) -> None:
        """Start before the first page."""
        self._seen: set[str] = set()

    def next_cursor(self, page: ApiPage) -> str | None:  # noqa: ARG002
        """Return the cursor of the next page, None after the last. Raises `PagingError`."""
        return None

    def _once(self, cursor: str) -> str:
        if cursor in self._seen:
            msg = f"the API sent the cursor {cursor!a:.60} twice; paging would never end"
            raise PagingError(msg)
        self._seen.add(cursor)
        return cursor


class TokenPaginator(Paginator):
    """``next_page`` is the cursor of the next page; ``has_more``, if present, decides."""

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        if page.has_more is None and page.next_page is msgspec.UNSET:
            msg = "a page has neither has_more nor next_page; it may not be the last page"
            raise PagingError(msg)
        if not page.has_next:
            return None
        if not isinstance(page.next_page, str) or not page.next_page:
            msg = "a page has has_more: true but no next_page"
            raise PagingError(msg)
        return self._once(page.next_page)


class PagePaginator(Paginator):
    """``next_page`` is the cursor of the next page, or null on the last page."""

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        if page.has_more is True and page.next_page in {None, msgspec.UNSET}:
            msg = "a page has has_more: true but no next_page"
            raise PagingError(msg)
        if page.next_page is msgspec.UNSET:
            msg = "a page has no next_page; it may not be the last page"
            raise PagingError(msg)
        if page.next_page is None:
            return None
        if not page.next_page:
            msg = "a page has an empty next_page"
            raise PagingError(msg)
        return self._once(page.next_page)


class OnePagePaginator(PagePaginator):
    """Usually one page without ``next_page``; if ``next_page`` is present, it is followed."""

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        alone = page.next_page is msgspec.UNSET and page.has_more is not True
        return None if alone else super().next_cursor(page)


class IdPaginator(Paginator):
    """``has_more`` says whether there is a next page; ``last_id`` is its cursor."""

    parameter = "after_id"

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        if page.has_more is None:
            msg = "a page has no has_more; it may not be the last page"
            raise PagingError(msg)
        if not page.has_more:
            return None
        if not page.last_id:
            msg = "a page has has_more: true but no last_id"
            raise PagingError(msg)
        return self._once(page.last_id)
