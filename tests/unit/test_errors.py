"""The retry-after header."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pytest

from tap_claude.errors import retry_after


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("-3", 0, 0),
        ("in an hour", 3500, 3601),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", None, None),
        ("inf", None, None),
        ("", None, None),
    ],
)
def test_retry_after_values(value: str, least: float | None, most: float | None) -> None:
    if value == "in an hour":
        value = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    seconds = retry_after({"retry-after": value})
    if least is None or most is None:
        assert seconds is None
    else:
        assert seconds is not None
        assert least <= seconds <= most


def test_an_absurd_retry_after_is_ignored() -> None:
    for text in ("Fri, 31 Dec 9999 23:59:59 -2359", "1e400", "nan", "Fri, 99 Dec 2026"):
        assert retry_after({"retry-after": text}) is None
