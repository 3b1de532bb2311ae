"""Pages: which responses are pages, and rows that are decoded exactly."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_claude import pages
from tap_claude.errors import MalformedResponseError
from tap_claude.pages import (
    decode_bucket,
    decode_row,
    iter_rows,
    read_id,
    read_page,
    replace_lost_characters,
    row_start,
    split_rows,
)
from tap_claude.session import ApiResponse
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable

SENT_AT = dt.datetime(2026, 3, 20, 13, 37, 42, tzinfo=dt.UTC)


def response(body: bytes | str) -> ApiResponse:
    content = body.encode() if isinstance(body, str) else body
    return ApiResponse(200, "OK", {}, content, SENT_AT)


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def test_a_page_has_the_items_and_the_fields_of_its_envelope() -> None:
    body = (
        '{"data": [{"a": 1}, 2], "has_more": true, "next_page": "p", "last_id": "i",'
        ' "data_refreshed_at": "2026-03-20T12:00:00.123456+01:00", "new_field": {}}'
    )
    page = read_page(response(body))
    assert [bytes(item) for item in page.items] == [b'{"a": 1}', b"2"]
    assert (page.has_more, page.next_page, page.last_id) == (True, "p", "i")
    assert page.data_refreshed_at == dt.datetime(2026, 3, 20, 11, 0, 0, 123456, tzinfo=dt.UTC)
    assert (page.sent_at, page.size) == (SENT_AT, len(body))

    bare = read_page(response('{"data": []}'))
    assert (bare.has_more, bare.next_page, bare.last_id) == (None, msgspec.UNSET, None)
    assert bare.data_refreshed_at is None
    assert read_page(response('{"data": [], "next_page": null}')).next_page is None

    old = read_page(response('{"summaries": [{}], "next_page": "p"}'))
    assert (len(old.items), old.next_page) == (1, "p")

    single = read_page(response('{"id": "x"}'), returns_object=True)
    assert [bytes(item) for item in single.items] == [b'{"id": "x"}']
    assert (single.has_more, single.next_page) == (False, None)


@each(
    ("fields", "has_next"),
    [
        ('"has_more": true, "next_page": "p"', True),
        ('"has_more": true', True),
        ('"has_more": false, "next_page": "p"', False),
        ('"has_more": false', False),
        ('"has_more": null, "next_page": "p"', True),
        ('"next_page": "p"', True),
        ('"next_page": null', False),
        ('"last_id": "i"', False),
    ],
)
def test_has_more_decides_whether_a_page_has_a_next_one(fields: str, *, has_next: bool) -> None:
    assert read_page(response(f'{{"data": [], {fields}}}')).has_next is has_next


@each(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {}}',
        b'{"data": [}',
        b'{"data": [], "has_more": "yes"}',
        b'{"data": [], "next_page": 2}',
        b'{"data": [], "data_refreshed_at": "yesterday"}',
        b'{"type": "error", "error": {"type": "api_error", "message": "m"}}',
        b'{"data": ["\xff"], "next_page": "\xff"}',
    ],
)
def test_a_body_that_is_not_a_page_is_an_error(body: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read_page(response(body))


@each("body", ['{"data": []}', '{"id": 1}', "[]", "", "<html>"])
def test_a_body_without_an_id_is_not_an_object(body: str) -> None:
    assert read_id(response(body)) is None
    with pytest.raises(MalformedResponseError):
        read_page(response(body), returns_object=True)
    assert read_id(response('{"id": "x"}')) == "x"


@given(text=st.text(st.characters(codec=None)), ascii_only=st.booleans())
def test_only_characters_that_targets_cannot_store_are_replaced(
    *, text: str, ascii_only: bool
) -> None:
    if not ascii_only:
        text = "".join(c for c in text if not "\ud800" <= c <= "\udfff")
    body = json.dumps({"data": [{"text": text}]}, ensure_ascii=ascii_only).encode()
    expected = json.loads(json.dumps(text))  # a pair of surrogates is one character
    for lost in {"\0", *(c for c in expected if "\ud800" <= c <= "\udfff")}:
        expected = expected.replace(lost, "\ufffd")
    (item,) = read_page(response(body)).items
    assert decode_row(item) == {"text": expected}


def test_an_escaped_backslash_does_not_begin_an_escape() -> None:
    content = rb'"\\u0000 \\\\ud800 \ud83d\ude00"'
    assert replace_lost_characters(content) == content
    assert replace_lost_characters(rb'"\\\u0000 \ud800\u0041 \udc00"') == (
        rb'"\\\ufffd \ufffd\u0041 \ufffd"'
    )


@pytest.mark.parametrize("decoded_bytes", [0, 2**20], ids=["large", "small"])
def test_rows_of_a_bucket_are_exact_and_in_order(
    monkeypatch: pytest.MonkeyPatch, decoded_bytes: int
) -> None:
    """A bucket may be on two pages; a large one stays undecoded until its rows are written."""
    monkeypatch.setattr(pages, "DECODED_BYTES", decoded_bytes)
    amounts = [f"{number}.10" for number in range(1201)]
    lists = ["[" + ",".join(f'{{"n": {a}}}' for a in some) + "]" for some in (amounts, ["0.1"])]
    rows = split_rows(*map(raw, lists))
    assert isinstance(rows[0], dict) == bool(decoded_bytes)
    assert [str(row["n"]) for row in iter_rows(rows)] == [*amounts, "0.1"]
    assert decode_row(raw('{"n": 12345678901234567890.12}')) == {
        "n": Decimal("12345678901234567890.12")
    }


@each(
    ("decode", "text"),
    [
        (decode_row, "[]"),
        (decode_row, '{"a": 1'),
        (decode_bucket, '{"starting_at": "2026-01-01T00:00:00Z", "results": []}'),
        (decode_bucket, '{"starting_at": 1, "ending_at": 2, "results": []}'),
        (row_start, "{}"),
        (row_start, '{"starting_at": null}'),
        (row_start, '{"starting_at": "soon"}'),
        (split_rows, "{}"),
        (split_rows, "[1]"),
    ],
)
def test_a_row_of_another_type_is_an_error(decode: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(MalformedResponseError):
        decode(raw(text))


def test_an_undecoded_row_of_another_type_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "DECODED_BYTES", 0)
    with pytest.raises(MalformedResponseError):
        list(iter_rows(split_rows(raw("[{}, 1]"))))
