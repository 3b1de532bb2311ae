"""Paginators: the cursor of the next page, the end, or an error; never a guess."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import msgspec
import pytest

from tap_claude.errors import PagingError
from tap_claude.pages import ApiPage
from tap_claude.pagination import (
    IdPaginator,
    OnePagePaginator,
    PagePaginator,
    Paginator,
    TokenPaginator,
)
from tests.each import each

MISSING = msgspec.UNSET
ERROR = "error"


def page(*, has_more: bool | None, next_page: Any = MISSING, last_id: str | None = None) -> ApiPage:
    """Return a page without items; only the paging fields may decide."""
    return ApiPage([], has_more, next_page, last_id, None, dt.datetime.now(dt.UTC), 0)


def cursor_after(paginator: Paginator, response: ApiPage) -> str | None:
    try:
        return paginator.next_cursor(response)
    except PagingError:
        return ERROR


@each(
    ("has_more", "next_page", "token", "page_only", "one_page"),
    [
        (None, MISSING, ERROR, ERROR, None),
        (None, None, None, None, None),
        (None, "", ERROR, ERROR, ERROR),
        (None, "p", "p", "p", "p"),
        (False, MISSING, None, ERROR, None),
        (False, None, None, None, None),
        (False, "p", None, "p", "p"),
        (True, MISSING, ERROR, ERROR, ERROR),
        (True, None, ERROR, ERROR, ERROR),
        (True, "", ERROR, ERROR, ERROR),
        (True, "p", "p", "p", "p"),
    ],
)
def test_paging_fields_decide(
    *,
    has_more: bool | None,
    next_page: Any,
    token: str | None,
    page_only: str | None,
    one_page: str | None,
) -> None:
    response = page(has_more=has_more, next_page=next_page)
    assert cursor_after(TokenPaginator(), response) == token
    assert cursor_after(PagePaginator(), response) == page_only
    assert cursor_after(OnePagePaginator(), response) == one_page
    assert cursor_after(Paginator(), response) is None


def test_a_bucket_report_ends_on_the_page_that_its_paginator_calls_the_last() -> None:
    """Else the last bucket of the report would be held and never written."""
    for has_more, next_page in itertools.product((None, False, True), (MISSING, None, "", "p")):
        response = page(has_more=has_more, next_page=next_page)
        if cursor_after(TokenPaginator(), response) is None:
            assert not response.has_next
        elif next_page is not MISSING:
            assert response.has_next


@each(
    ("has_more", "last_id", "cursor"),
    [
        (None, "i", ERROR),
        (False, "i", None),
        (False, None, None),
        (True, "i", "i"),
        (True, "", ERROR),
        (True, None, ERROR),
    ],
)
def test_lists_with_ids_continue_after_the_last_id(
    *, has_more: bool | None, last_id: str | None, cursor: str | None
) -> None:
    response = page(has_more=has_more, next_page="p", last_id=last_id)
    assert cursor_after(IdPaginator(), response) == cursor
    assert (IdPaginator.parameter, TokenPaginator.parameter) == ("after_id", "page")


@each("paginator", [TokenPaginator, PagePaginator, OnePagePaginator, IdPaginator])
def test_a_repeated_cursor_is_an_error(paginator: type[Paginator]) -> None:
    """Also if other cursors come in between: the chain of pages would never end."""
    chain = paginator()
    for cursor in ("a", "b", "c"):
        assert chain.next_cursor(page(has_more=True, next_page=cursor, last_id=cursor)) == cursor
    with pytest.raises(PagingError, match="sent the cursor 'b' twice"):
        chain.next_cursor(page(has_more=True, next_page="b", last_id="b"))
    assert paginator().next_cursor(page(has_more=True, next_page="b", last_id="b")) == "b"
