"""Parse query strings as strictly as the API (docs: each page)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

WIDTHS = {"1m": dt.timedelta(minutes=1), "1h": dt.timedelta(hours=1), "1d": dt.timedelta(days=1)}
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


@dataclass
class ApiError(Exception):
    """An error response."""

    status: int
    type: str
    message: str
    code: str | None = None
    should_retry: bool | None = None


def invalid(message: str, **more: Any) -> ApiError:
    """Return a 400."""
    return ApiError(400, "invalid_request_error", message, **more)


class Query:
    """A query string, read name by name; unread parameters are an error."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        """Store the decoded pairs; ``beta``, which old SDKs send, is ignored."""
        self.pairs = [(name, value) for name, value in pairs if name != "beta"]
        self._left = {name for name, _ in self.pairs}

    def text(self, name: str) -> str | None:
        """Return a single value, or None if absent or empty."""
        self._left.discard(name)
        values = [value for key, value in self.pairs if key == name]
        if len(values) > 1:
            raise invalid(f"{name}: Input should be a single value")
        return values[0] if values and values[0] else None

    def many(self, name: str, allowed: Collection[str] | None = None) -> list[str]:
        """Return the values of ``name[]``; all must be allowed."""
        self._left.discard(f"{name}[]")
        values = [value for key, value in self.pairs if key == f"{name}[]"]
        for value in values:
            if allowed is not None and value not in allowed:
                raise invalid(f"{name}[]: Input should be one of {sorted(allowed)}, got {value!r}")
        return values

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of the allowed values."""
        value = self.text(name) or default
        if value not in allowed:
            raise invalid(f"{name}: Input should be one of {sorted(allowed)}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; false if absent."""
        return self.choice(name, ("false", "true"), "false") == "true"

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer within its bounds."""
        text = self.text(name)
        if text is None:
            return default
        if not re.fullmatch(r"-?\d+", text, re.ASCII):
            raise invalid(f"{name}: Input should be a valid integer")
        if not least <= int(text) <= most:
            raise invalid(f"{name}: Input should be between {least} and {most}")
        return int(text)

    def time(self, name: str, *, required: bool = False) -> dt.datetime | None:
        """Return an RFC 3339 time with a zone."""
        text = self.text(name)
        if text is None:
            if required:
                raise invalid(f"{name}: Field required")
            return None
        if not _RFC_3339.fullmatch(text):
            raise invalid(f"{name}: Input should be a valid RFC 3339 datetime with a time zone")
        try:
            return dt.datetime.fromisoformat(text.upper()).astimezone(dt.UTC)
        except ValueError:
            raise invalid(f"{name}: Input should be a valid RFC 3339 datetime") from None

    def done(self) -> None:
        """Reject the remaining parameters: unknown ones, or lists without brackets."""
        for name in sorted(self._left):
            raise invalid(f"{name}: Extra inputs are not permitted")

    def fingerprint(self) -> str:
        """Return a hash of the query without its page."""
        rest = sorted(pair for pair in self.pairs if pair[0] != "page")
        return hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:16]


def snap(moment: dt.datetime, width: dt.timedelta) -> dt.datetime:
    """Round down to the start of a bucket."""
    return moment - (moment - _EPOCH) % width


def cursor(query: Query, position: Mapping[str, Any]) -> str:
    """Return an opaque cursor that is valid for its query only."""
    content = json.dumps({"query": query.fingerprint(), **position})
    return "page_" + base64.urlsafe_b64encode(content.encode()).decode()


def position(query: Query) -> dict[str, Any]:
    """Return the position of the ``page`` of a query; empty for the first page."""
    token = query.text("page")
    if token is None:
        return {}
    try:
        content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.removeprefix("page_")))
    except ValueError:
        raise invalid("page: Invalid page token") from None
    if content.pop("query", None) != query.fingerprint():
        raise invalid("cursor does not match current query parameters")
    return content
