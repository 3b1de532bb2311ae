"""Pages of the API and the cursors that lead from one to the next (docs: usage-cost-api).

Only the paging fields say when to stop: an empty page is not the end of the data.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_claude.windows import parse_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    import requests


class PagingError(Exception):
    """The API's paging fields contradict themselves; going on would lose or double rows."""


class BrokenPageError(Exception):
    """A response with status 200 that is not a page."""


class Page(msgspec.Struct):
    """One page: the items, still undecoded, and the fields of its envelope."""

    data: list[msgspec.Raw]
    has_more: bool | msgspec.UnsetType | None = msgspec.UNSET
    next_page: str | msgspec.UnsetType | None = msgspec.UNSET
    last_id: str | None = None
    data_refreshed_at: str | None = None


class _OldSummaries(msgspec.Struct):
    """The envelope of analytics/summaries until 2026-09-30."""

    summaries: list[msgspec.Raw]
    next_page: str | msgspec.UnsetType | None = msgspec.UNSET


class _Single(msgspec.Struct):
    """What an answer must be that is a single object."""

    id: str


# What decoding raises: RecursionError for what is nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Numbers with a fraction are money: a float would not hold them.
exact = Decimal

# JSON escapes, one at a time, so that an escaped backslash is not taken for the start of one; of
# surrogates a whole pair, which is one character.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lost>u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))|.)",
    re.DOTALL,
)
_RARE_ESCAPE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")

_decode_page = msgspec.json.Decoder(Page).decode
_decode_old_summaries = msgspec.json.Decoder(_OldSummaries).decode
_decode_single = msgspec.json.Decoder(_Single).decode
_decode_rows = msgspec.json.Decoder(list[dict[str, Any]], float_hook=exact).decode
_part_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_row = msgspec.json.Decoder(dict[str, Any], float_hook=exact).decode


def body(response: requests.Response) -> bytes | memoryview:
    """Return the body of an answer; the session has read it, within limits."""
    content: bytes | memoryview | None = vars(response).get("body")
    return response.content if content is None else content


def without_lost_characters(content: bytes | memoryview) -> bytes | memoryview:
    """Replace what JSON can escape and targets cannot hold by U+FFFD.

    That is NUL, which PostgreSQL refuses, and surrogates without their other half, which are no
    text at all. Content without any comes back as it is.
    """
    if not _RARE_ESCAPE.search(content):
        return content
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match["lost"] else match[0], content)


def read_page(response: requests.Response, *, single: bool = False) -> Page:
    """Decode a response, once. Raises `BrokenPageError` for anything that is no page.

    A ``single`` answer is an object of its own, without an envelope: a page of one.
    """
    fields = vars(response)
    if "page" not in fields:
        content = without_lost_characters(body(response))
        try:
            if single:
                _decode_single(content)
                fields["page"] = Page([msgspec.Raw(content)], has_more=False)
            else:
                fields["page"] = _decode(content)
        except UNREADABLE as error:
            msg = f"the response is not a page of data: {error}"
            raise BrokenPageError(msg) from error
    page: Page = fields["page"]
    return page


def _decode(content: bytes | memoryview) -> Page:
    try:
        return _decode_page(content)
    except msgspec.ValidationError:
        with contextlib.suppress(msgspec.ValidationError):
            old = _decode_old_summaries(content)
            return Page(old.summaries, next_page=old.next_page)
        raise


def id_in(response: requests.Response) -> str | None:
    """Return the id of the object that a response is; None if it is none, or an error."""
    if not response.ok:
        return None
    try:
        return _decode_single(body(response)).id
    except UNREADABLE:
        return None


def decode_row(raw: msgspec.Raw) -> dict[str, Any]:
    """Decode an item of a page. Raises `BrokenPageError` if it is no object."""
    try:
        return _decode_row(raw)
    except UNREADABLE as error:
        msg = f"a row of the page cannot be read: {error}"
        raise BrokenPageError(msg) from error


AT_ONCE_BYTES = 4 * 2**20
"""Size up to which rows are decoded together: faster, but many times the size in memory."""
AT_ONCE_ROWS = 500


def part_rows(*lists: msgspec.Raw) -> Sequence[dict[str, Any] | msgspec.Raw]:
    """Take the rows of a bucket apart, and decode them too unless they are many bytes.

    Raises `BrokenPageError`.
    """
    small = sum(len(memoryview(raw)) for raw in lists) < AT_ONCE_BYTES
    decode = _decode_rows if small else _part_rows
    parts: list[list[Any]] = [_decoded(raw, decode) for raw in lists]
    return parts[0] if len(parts) == 1 else list(itertools.chain.from_iterable(parts))


def decoded(rows: Sequence[dict[str, Any] | msgspec.Raw]) -> Iterator[dict[str, Any]]:
    """Yield rows, those that are not decoded a few hundred at a time.

    Raises `BrokenPageError`.
    """
    for start in range(0, len(rows), AT_ONCE_ROWS):
        some: Any = rows[start : start + AT_ONCE_ROWS]
        if isinstance(some[0], dict):
            yield from some
        else:
            yield from _decoded(b"[%b]" % b",".join(some), _decode_rows)


def _decoded(raw: Any, decode: Callable[[Any], Any]) -> Any:
    try:
        return decode(raw)
    except UNREADABLE as error:
        msg = f"the rows of a bucket cannot be read: {error}"
        raise BrokenPageError(msg) from error


def sent_at(response: requests.Response) -> dt.datetime:
    """Time at which the request was sent; the session notes it."""
    moment: dt.datetime = vars(response)["sent_at"]
    return moment


def refreshed_at(response: requests.Response) -> dt.datetime | None:
    """Time up to which the API has all data, where it says so. Raises `BrokenPageError`."""
    text = read_page(response).data_refreshed_at
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        msg = f"data_refreshed_at is not a time: {error}"
        raise BrokenPageError(msg) from error


class CursorPaginator(BaseAPIPaginator[str | None]):
    """Base of the cursor families, with the guard that all need: no cursor comes twice."""

    parameter = "page"
    """Parameter that takes the cursor."""

    def __init__(self) -> None:
        """Start before the first page, with no cursor."""
        super().__init__(None)
        self._seen: set[str] = set()

    def once(self, cursor: str) -> str:
        """Return the cursor, or raise `PagingError` if it has been here before."""
        if cursor in self._seen:
            msg = f"the API sent the cursor {cursor!a:.60} twice; its pages would never end"
            raise PagingError(msg)
        self._seen.add(cursor)
        return cursor


class TokenPaginator(CursorPaginator):
    """``has_more`` says whether there is a next page, ``next_page`` which one it is."""

    @override
    def has_more(self, response: requests.Response) -> bool:
        page = read_page(response)
        if page.has_more is None or page.has_more is msgspec.UNSET:
            if page.next_page is msgspec.UNSET:
                msg = "a page has neither has_more nor next_page; whether it is the last is unknown"
                raise PagingError(msg)
            return page.next_page is not None
        return bool(page.has_more)

    @override
    def get_next(self, response: requests.Response) -> str:
        cursor: Any = read_page(response).next_page
        if not cursor or cursor is msgspec.UNSET:
            msg = "a page has has_more: true but no next_page to ask for"
            raise PagingError(msg)
        return self.once(cursor)


class PagePaginator(CursorPaginator):
    """``next_page`` alone says whether and where the data goes on."""

    @override
    def has_more(self, response: requests.Response) -> bool:
        page = read_page(response)
        if page.has_more is True and page.next_page in {None, msgspec.UNSET}:
            msg = "a page has has_more: true but no next_page to ask for"
            raise PagingError(msg)
        if page.next_page is msgspec.UNSET:
            msg = "a page has no next_page; whether it is the last is unknown"
            raise PagingError(msg)
        return page.next_page is not None

    @override
    def get_next(self, response: requests.Response) -> str:
        cursor: Any = read_page(response).next_page
        if not cursor:
            msg = "a page has an empty next_page"
            raise PagingError(msg)
        return self.once(cursor)


class OnePagePaginator(PagePaginator):
    """One page, in which ``next_page`` may be missing; but where it is given, it is followed."""

    @override
    def has_more(self, response: requests.Response) -> bool:
        page = read_page(response)
        alone = page.next_page is msgspec.UNSET and page.has_more is not True
        return not alone and super().has_more(response)


class IdPaginator(CursorPaginator):
    """``has_more`` says whether there is a next page; it comes after the ``last_id``."""

    parameter = "after_id"

    @override
    def has_more(self, response: requests.Response) -> bool:
        page = read_page(response)
        if not isinstance(page.has_more, bool):
            msg = "a page has no has_more; whether it is the last is unknown"
            raise PagingError(msg)
        return page.has_more

    @override
    def get_next(self, response: requests.Response) -> str:
        cursor = read_page(response).last_id
        if not cursor:
            msg = "a page has has_more: true but no last_id to go on from"
            raise PagingError(msg)
        return self.once(cursor)
