"""The cursors that lead from one page to the next (docs: usage-cost-api).

Only the paging fields say when to stop: an empty page is not the end of the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from typing_extensions import override

from tap_claude.errors import PagingError

if TYPE_CHECKING:
    from tap_claude.pages import ApiPage


class Paginator:
    """One page, without a cursor. Subclasses say which cursor follows a page."""

    parameter = "page"
    """Parameter that takes the cursor."""

    def __init__(self) -> None:
        """Start before the first page."""
        self._seen: set[str] = set()

    def next_cursor(self, page: ApiPage) -> str | None:  # noqa: ARG002
        """Return the cursor of the next page, None after the last. Raises `PagingError`."""
        return None

    def _once(self, cursor: str) -> str:
        if cursor in self._seen:
            msg = f"the API sent the cursor {cursor!a:.60} twice; its pages would never end"
            raise PagingError(msg)
        self._seen.add(cursor)
        return cursor


class TokenPaginator(Paginator):
    """``has_more`` says whether there is a next page, ``next_page`` which one it is."""

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        if page.has_more is None:
            if page.next_page is msgspec.UNSET:
                msg = "a page has neither has_more nor next_page; whether it is the last is unknown"
                raise PagingError(msg)
            if page.next_page is None:
                return None
        elif not page.has_more:
            return None
        if not isinstance(page.next_page, str) or not page.next_page:
            msg = "a page has has_more: true but no next_page to ask for"
            raise PagingError(msg)
        return self._once(page.next_page)


class PagePaginator(Paginator):
    """``next_page`` alone says whether and where the data goes on."""

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        if page.has_more is True and page.next_page in {None, msgspec.UNSET}:
            msg = "a page has has_more: true but no next_page to ask for"
            raise PagingError(msg)
        if page.next_page is msgspec.UNSET:
            msg = "a page has no next_page; whether it is the last is unknown"
            raise PagingError(msg)
        if page.next_page is None:
            return None
        if not page.next_page:
            msg = "a page has an empty next_page"
            raise PagingError(msg)
        return self._once(page.next_page)


class OnePagePaginator(PagePaginator):
    """One page, in which ``next_page`` may be missing; but where it is given, it is followed."""

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        alone = page.next_page is msgspec.UNSET and page.has_more is not True
        return None if alone else super().next_cursor(page)


class IdPaginator(Paginator):
    """``has_more`` says whether there is a next page; it comes after the ``last_id``."""

    parameter = "after_id"

    @override
    def next_cursor(self, page: ApiPage) -> str | None:
        if page.has_more is None:
            msg = "a page has no has_more; whether it is the last is unknown"
            raise PagingError(msg)
        if not page.has_more:
            return None
        if not page.last_id:
            msg = "a page has has_more: true but no last_id to go on from"
            raise PagingError(msg)
        return self._once(page.last_id)
