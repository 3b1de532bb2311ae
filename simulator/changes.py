"""Wrong answers made of the right one. Each raises `LookupError` where there is nothing to change.

A change gets the decoded answer and the parameters of the request, and may change the answer.
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
"""Parameters that ask for a page that is not the first."""
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


def repeat_cursor(answer: Any, pairs: Pairs) -> Any:
    """Point to the page that was asked for."""
    cursor = next(value for name, value in pairs if name in CURSORS)
    return {**answer, "has_more": True, _cursor_field(answer): cursor}


def drop_cursor(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Say that there is more, but not where."""
    if "data" not in answer:
        raise LookupError
    return {**answer, "has_more": True, _cursor_field(answer): None}


def drop_data(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Leave the rows out, and nothing in their place."""
    return {name: value for name, value in answer.items() if name not in {"data", "summaries"}}


def _cursor_field(answer: Any) -> str:
    return "last_id" if "last_id" in answer else "next_page"


# -- values


def null_row(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Put null in the place of the first row."""
    if not answer.get("data"):
        raise LookupError
    return {**answer, "data": [None, *answer["data"][1:]]}


def wrong_value(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Give one field of one row a value of another type."""
    for name, value in WRONG_VALUES.items():
        if _replace_first(answer.get("data"), name, value):
            return answer
    raise LookupError


def huge_integer(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Give one counter of one row a value beyond 64 bits."""
    for name in HUGE_COUNTS:
        if _replace_first(answer.get("data"), name, HUGE):
            return answer
    raise LookupError


def add_to_name(character: str) -> Change:
    """Return a change that adds a character to the first name."""

    def change(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
        row = next((row for row in answer.get("data") or () if row.get("name")), None)
        if row is None:
            raise LookupError
        row["name"] += character
        return answer

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


def one_bucket(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Make one bucket of all buckets of the page."""
    buckets = _buckets(answer, at_least=2)
    return {**answer, "data": [_joined(buckets, buckets[0]["starting_at"])]}


def days_for_hours(answer: Any, pairs: Pairs) -> Any:
    """Make one bucket of all hours of a day: the answer of a server that knows days only."""
    if ("bucket_width", "1h") not in pairs:
        raise LookupError
    days: dict[str, list[Any]] = {}
    for bucket in _buckets(answer, at_least=1):
        days.setdefault(bucket["starting_at"][:10], []).append(bucket)
    data = [
        {**_joined(hours, f"{day}T00:00:00Z"), "ending_at": _later(f"{day}T00:00:00Z", _DAY)}
        for day, hours in days.items()
    ]
    return {**answer, "data": data}


def drop_first_bucket(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Leave the first bucket of the page out."""
    return {**answer, "data": _buckets(answer, at_least=2)[1:]}


def drop_middle_bucket(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Leave a bucket out that has neighbours on the page."""
    buckets = _buckets(answer, at_least=3)
    middle = len(buckets) // 2
    return {**answer, "data": buckets[:middle] + buckets[middle + 1 :]}


def end_a_month_later(answer: Any, pairs: Pairs) -> Any:
    """Give rows that were asked for by the day, hour or minute an end of a month later."""
    widths = {"bucket_width", "time_bucket_width"}
    rows = [row for row in answer.get("data") or () if row.get("ending_at")]
    if not rows or not any(name in widths for name, _ in pairs):
        raise LookupError
    for row in rows:
        row["ending_at"] = _later(row["starting_at"], _MONTH)
    return answer


def other_day(answer: Any, pairs: Pairs) -> Any:  # noqa: ARG001
    """Give rows that have a date the day before it."""
    rows = [row for row in answer.get("data") or () if row.get("date")]
    if not rows:
        raise LookupError
    for row in rows:
        row["date"] = _later(row["date"], -_DAY)
    return answer


def _buckets(answer: Any, *, at_least: int) -> list[Any]:
    data: list[Any] = answer.get("data") or []
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
