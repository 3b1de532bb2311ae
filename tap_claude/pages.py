"""Pages of the API and their rows, which are decoded only when needed.

A page is an immutable value that the client passes to the reports. Its items are undecoded bytes;
only this module decodes them (docs: usage-cost-api).
"""

from __future__ import annotations

import contextlib
import itertools
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from tap_claude.errors import UNREADABLE, MalformedResponseError
from tap_claude.windows import parse_time

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    from tap_claude.session import ApiResponse

Row = dict[str, Any]
Rows = "Sequence[Row | msgspec.Raw]"
"""Rows of a bucket; undecoded if they are large, to save memory."""

WORKSPACE_HEADER = "anthropic-workspace-id"

DECODED_BYTES = 4 * 2**20
"""Size up to which rows are decoded together: faster, but it takes many times the memory."""
DECODED_ROWS = 500


@dataclass(frozen=True, slots=True)
class ApiPage:
    """One page: its undecoded items, the fields of its envelope, and request metadata."""

    items: Sequence[msgspec.Raw]
    has_more: bool | None
    """None if the endpoint has no such field."""
    next_page: str | msgspec.UnsetType | None
    last_id: str | None
    data_refreshed_at: dt.datetime | None
    """Time up to which the API's data are complete, if reported."""
    sent_at: dt.datetime
    """Time at which the request was sent, UTC."""
    size: int
    """Size of the decompressed response in bytes."""
    workspace_id: str | None = None
    """Workspace that was read; None if the response does not name one."""

    @property
    def has_next(self) -> bool:
        """Whether another page follows: by ``has_more``, or without it by ``next_page``."""
        return isinstance(self.next_page, str) if self.has_more is None else self.has_more


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool | msgspec.UnsetType | None = msgspec.UNSET
    next_page: str | msgspec.UnsetType | None = msgspec.UNSET
    last_id: str | None = None
    data_refreshed_at: str | None = None


class _OldSummaries(msgspec.Struct):
    """The envelope of analytics/summaries until 2026-09-30."""

    summaries: list[msgspec.Raw]
    next_page: str | msgspec.UnsetType | None = msgspec.UNSET


class _Object(msgspec.Struct):
    """The minimum that a single object must contain."""

    id: str


class RawBucket(msgspec.Struct):
    """A bucket of a bucketed report: its bounds and its undecoded rows."""

    starting_at: str
    ending_at: str
    results: msgspec.Raw


class _RowStart(msgspec.Struct):
    starting_at: str


# Numbers with a fraction are money, which a float cannot represent exactly.
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_old_summaries = msgspec.json.Decoder(_OldSummaries).decode
_decode_object = msgspec.json.Decoder(_Object).decode
_decode_bucket = msgspec.json.Decoder(RawBucket).decode
_decode_row_start = msgspec.json.Decoder(_RowStart).decode
_decode_row = msgspec.json.Decoder(Row, float_hook=Decimal).decode
_decode_rows = msgspec.json.Decoder(list[Row], float_hook=Decimal).decode
_split_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode

# JSON escapes, matched one at a time, so that an escaped backslash does not start another escape.
# A surrogate pair is one match, because it is one character.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lost>u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))|.)",
    re.DOTALL,
)
_RARE_ESCAPE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


def read_page(response: ApiResponse, *, returns_object: bool = False) -> ApiPage:
    """Read the envelope of a response. Raises `MalformedResponseError` if it is not a page.

    If the endpoint ``returns_object``, the response is a page with one item.
    """
    content = replace_lost_characters(response.body)
    try:
        if returns_object:
            _decode_object(content)
            envelope = _Envelope([msgspec.Raw(content)], has_more=False, next_page=None)
        else:
            envelope = _read_envelope(content)
        refreshed = envelope.data_refreshed_at
        refreshed_at = None if refreshed is None else parse_time(refreshed)
    except UNREADABLE as error:
        msg = f"the response is not a page of data: {error}"
        raise MalformedResponseError(msg) from error
    except ValueError as error:
        msg = f"data_refreshed_at is not a time: {error}"
        raise MalformedResponseError(msg) from error
    return ApiPage(
        items=envelope.data,
        has_more=None if envelope.has_more is msgspec.UNSET else envelope.has_more,
        next_page=envelope.next_page,
        last_id=envelope.last_id,
        data_refreshed_at=refreshed_at,
        sent_at=response.sent_at,
        size=len(response.body),
        workspace_id=response.headers.get(WORKSPACE_HEADER),
    )


def _read_envelope(content: bytes | memoryview) -> _Envelope:
    try:
        return _decode_envelope(content)
    except msgspec.ValidationError:
        with contextlib.suppress(msgspec.ValidationError):
            old = _decode_old_summaries(content)
            return _Envelope(old.summaries, next_page=old.next_page)
        raise


def replace_lost_characters(content: bytes | memoryview) -> bytes | memoryview:
    """Replace escaped characters that targets cannot store by U+FFFD.

    These are NUL, which PostgreSQL rejects, and unpaired surrogates, which are not valid text.
    Other content is returned unchanged.
    """
    if not _RARE_ESCAPE.search(content):
        return content
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match["lost"] else match[0], content)


def read_id(response: ApiResponse) -> str | None:
    """Return the id of the object in a response; None if there is none."""
    try:
        return _decode_object(response.body).id
    except UNREADABLE:
        return None


def decode_row(raw: msgspec.Raw) -> Row:
    """Decode an item of a page. Raises `MalformedResponseError` if it is not a JSON object."""
    try:
        return _decode_row(raw)
    except UNREADABLE as error:
        msg = f"a row of the page cannot be read: {error}"
        raise MalformedResponseError(msg) from error


def decode_bucket(raw: msgspec.Raw) -> RawBucket:
    """Decode the bounds of a bucket. Raises `MalformedResponseError` if it is not a bucket."""
    try:
        return _decode_bucket(raw)
    except UNREADABLE as error:
        msg = f"a bucket of the page cannot be read: {error}"
        raise MalformedResponseError(msg) from error


def row_start(raw: msgspec.Raw) -> dt.datetime:
    """Return the ``starting_at`` of a row. Raises `MalformedResponseError` if it has none."""
    try:
        return parse_time(_decode_row_start(raw).starting_at)
    except (*UNREADABLE, ValueError) as error:
        msg = f"a row of the page has no starting_at: {error}"
        raise MalformedResponseError(msg) from error


def split_rows(*lists: msgspec.Raw) -> Sequence[Row | msgspec.Raw]:
    """Split the rows of a bucket; decode them too, unless they are large.

    Raises `MalformedResponseError`.
    """
    small = sum(len(memoryview(raw)) for raw in lists) < DECODED_BYTES
    decode = _decode_rows if small else _split_rows
    parts: list[list[Any]] = [_decode(raw, decode) for raw in lists]
    return parts[0] if len(parts) == 1 else list(itertools.chain.from_iterable(parts))


def iter_rows(rows: Sequence[Row | msgspec.Raw]) -> Iterator[Row]:
    """Yield rows; undecoded rows are decoded in batches.

    Raises `MalformedResponseError`.
    """
    for start in range(0, len(rows), DECODED_ROWS):
        some: Any = rows[start : start + DECODED_ROWS]
        if isinstance(some[0], dict):
            yield from some
        else:
            yield from _decode(b"[%b]" % b",".join(some), _decode_rows)


def _decode(raw: Any, decode: Callable[[Any], Any]) -> Any:
    try:
        return decode(raw)
    except UNREADABLE as error:
        msg = f"the rows of a bucket cannot be read: {error}"
        raise MalformedResponseError(msg) from error
