"""Changes that make a correct response wrong. Each raises `LookupError` if it does not apply.

A change receives the decoded response and the parameters of the request, and may modify the
response.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Pairs = Sequence[tuple[str, str]]
    Change = Callable[[Any, Pairs], Any]

CURSORS = ("page", "after_id")
"""Parameters that request a page other than the first."""
LONE_SURROGATE = "\U0010d800"
r"""Becomes the escape ``\ud800`` in the body: no Unicode text, but legal JSON."""
NUL = "\0"
HUGE = Decimal(2**63)
"""The least integer that a signed 64-bit column cannot hold."""
WRONG_VALUES = {
    "uncached_input_tokens": "many",
    "amount": "twelve",
    "num_sessions": "many",
    "email": 5,
    "email_address": 5,
    "user_id": 5,
}
HUGE_COUNTS = ("uncached_input_tokens", "num_sessions", "message_count")
_DAY, _MONTH = dt.timedelta(days=1), dt.timedelta(days=31)


# -- paging


def repeat_cursor(response: Any, pairs: Pairs) -> Any:
    """Return the cursor of the requested page again."""
    cursor = next(value for name, value in pairs if name in CURSORS)
    return {**response, "has_more": True, _cursor_field(response): cursor}


def drop_cursor(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Set has_more, but without a cursor."""
    if "data" not in response:
        raise LookupError
    return {**response, "has_more": True, _cursor_field(response): None}


def drop_data(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Remove the list of rows."""
    return {name: value for name, value in response.items() if name not in {"data", "summaries"}}


def _cursor_field(response: Any) -> str:
    return "last_id" if "last_id" in response else "next_page"


# -- values


def null_row(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Replace the first row by null."""
    if not response.get("data"):
        raise LookupError
    return {**response, "data": [None, *response["data"][1:]]}


def wrong_value(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Set one field of one row to a value of another type."""
    for name, value in WRONG_VALUES.items():
        if _replace_first(response.get("data"), name, value):
            return response
    raise LookupError


def huge_integer(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Set one counter of one row to a value beyond 64 bits."""
    for name in HUGE_COUNTS:
        if _replace_first(response.get("data"), name, HUGE):
            return response
    raise LookupError


def add_to_name(character: str) -> Change:
    """Return a change that adds a character to the first name."""

    def change(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
        row = next((row for row in response.get("data") or () if row.get("name")), None)
        if row is None:
            raise LookupError
        row["name"] += character
        return response

    return change


def _replace_first(part: Any, name: str, value: Any) -> bool:
    if isinstance(part, dict):
        if part.get(name) is not None:
            part[name] = value
            return True
        part = part.values()
    elif not isinstance(part, list):
        return False
    return any(_replace_first(inner, name, value) for inner in part)


# -- times


def one_bucket(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Merge all buckets of the page into one."""
    buckets = _buckets(response, at_least=2)
    return {**response, "data": [_joined(buckets, buckets[0]["starting_at"])]}


def days_for_hours(response: Any, pairs: Pairs) -> Any:
    """Merge all hours of a day into one bucket, like a server that supports days only."""
    if ("bucket_width", "1h") not in pairs:
        raise LookupError
    days: dict[str, list[Any]] = {}
    for bucket in _buckets(response, at_least=1):
        days.setdefault(bucket["starting_at"][:10], []).append(bucket)
    data = [
        {**_joined(hours, f"{day}T00:00:00Z"), "ending_at": _later(f"{day}T00:00:00Z", _DAY)}
        for day, hours in days.items()
    ]
    return {**response, "data": data}


def drop_first_bucket(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Remove the first bucket of the page."""
    return {**response, "data": _buckets(response, at_least=2)[1:]}


def drop_middle_bucket(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Remove a bucket from the middle of the page."""
    buckets = _buckets(response, at_least=3)
    middle = len(buckets) // 2
    return {**response, "data": buckets[:middle] + buckets[middle + 1 :]}


def end_a_month_later(response: Any, pairs: Pairs) -> Any:
    """Set the end of rows by day, hour or minute to a month later."""
    widths = {"bucket_width", "time_bucket_width"}
    rows = [row for row in response.get("data") or () if row.get("ending_at")]
    if not rows or not any(name in widths for name, _ in pairs):
        raise LookupError
    for row in rows:
        row["ending_at"] = _later(row["starting_at"], _MONTH)
    return response


def other_day(response: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Set the date of rows to the day before."""
    rows = [row for row in response.get("data") or () if row.get("date")]
    if not rows:
        raise LookupError
    for row in rows:
        row["date"] = _later(row["date"], -_DAY)
    return response


def _buckets(response: Any, *, at_least: int) -> list[Any]:
    data: list[Any] = response.get("data") or []
    if len(data) < at_least or "results" not in data[0]:
        raise LookupError
    return data


def _joined(buckets: Sequence[Any], start: str) -> dict[str, Any]:
    results = [row for bucket in buckets for row in bucket["results"]]
    return {**buckets[0], "starting_at": start, "ending_at": buckets[-1]["ending_at"]} | {
        "results": results
    }


def _later(text: str, by: dt.timedelta) -> str:
    return (dt.datetime.fromisoformat(text) + by).strftime("%Y-%m-%dT%H:%M:%SZ")
