"""Faults of the API: single faults, and named kinds of faults."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from simulator import changes
from simulator.changes import CURSORS
from simulator.deliveries import (
    cut_off,
    cut_off_chunked,
    mute,
    oversized,
    refused,
    reset,
    reset_after_headers,
    trickle,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.changes import Change, Pairs
    from simulator.deliveries import Deliver

FOREVER = 10**9
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error type of the API by status; all others are an ``api_error``."""


@dataclass
class Fault:
    """A response that replaces the correct one, for ``times`` requests to a path."""

    status: int = 500
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: str | bytes | None = None
    """Default: the API's error for the status, with ``message``."""
    message: str = ""
    path: str = ""
    """Only for requests whose path ends with it; empty for all requests."""
    times: int = 1
    after: int = 0
    """Number of matching requests that succeed first."""
    needs_cursor: bool = False
    """Only for requests of a page other than the first."""
    deliver: Deliver | None = None
    """Sends the body of the correct response in a wrong way, including status and headers."""
    change: Change | None = None
    """Modifies the correct response; also receives the parameters of the request.

    Raises `LookupError` if it does not apply: the fault is postponed.
    """
    hits: int = 0
    """Number of requests that received the fault."""

    def fits(self, path: str, pairs: Pairs = ()) -> bool:
        """Whether the fault applies to a request."""
        has_cursor = any(name in CURSORS for name, _ in pairs)
        return path.endswith(self.path) and (has_cursor or not self.needs_cursor)

    @property
    def content(self) -> bytes:
        """The body to send."""
        if self.body is None:
            message = self.message or f"planned fault {self.status}"
            return error_body(ERROR_TYPES.get(self.status, "api_error"), message)
        return self.body.encode() if isinstance(self.body, str) else self.body

    def postpone(self) -> None:
        """Undo a hit: the fault applies to the next request."""
        self.times += 1
        self.hits -= 1


# -- kinds


@dataclass(frozen=True)
class Kind:
    """A kind of fault, and the expected behaviour of the client."""

    name: str
    make: Callable[[], Fault]
    error: str = ""
    """Pattern of the error that ends the run. Empty: the request is retried, no data are lost."""
    splits: bool = False
    """Whether a report recovers by requesting fewer buckets, or the remaining ones."""
    resumes: bool = False
    """Whether a feed recovers by resuming after its last page."""
    may_recover: bool = False
    """Whether the client may also retry and get the correct response."""
    ends_run: bool = False
    """Whether the run ends without the other streams: the API is down or asks for a long pause."""
    paths: tuple[str, ...] = ()
    """Ends of the paths that it applies to; empty for all."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings that the client needs."""
    outlasts: bool = False
    """Whether all retries fail, which takes minutes: tests should shorten the delays."""
    replaces: bool = False
    """Whether U+FFFD replaces a character of a text."""
    weight: float = 1
    """Frequency in random plans; 0 means never."""

    @property
    def is_permanent(self) -> bool:
        """Whether it ends a run."""
        return bool(self.error)

    def fits(self, path: str) -> bool:
        """Whether it applies to an endpoint."""
        return not self.paths or path.endswith(self.paths)

    def fault(self, path: str = "", *, after: int = 0) -> Fault:
        """Return a fault for requests whose path ends with ``path``."""
        made = self.make()
        return dataclasses.replace(made, path=path, after=0 if made.needs_cursor else after)


def error_body(kind: str, message: str, code: str | None = None) -> bytes:
    """Return the body of an error, in the format of the API."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if code:
        error["details"] = {"error_code": code}
    number = _request_number(json.dumps(error).encode())
    return json.dumps({"type": "error", "error": error, "request_id": number}).encode()


def request_id(body: bytes) -> str:
    """Return the request id of a response: the one in its body, or a hash of the body."""
    named = re.search(rb'"request_id": "(req_[0-9a-f]{24})"}$', body)
    return named[1].decode() if named else _request_number(body)


def _request_number(content: bytes) -> str:
    return f"req_{hashlib.sha256(content).hexdigest()[:24]}"


def _status(status: int, times: int = 1, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status, named, times=times)


def _limited(times: int = 1, **headers: str) -> Fault:
    return _status(429, times, **headers)


def _in(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)


def _page(body: str | bytes) -> Fault:
    return Fault(200, body=body)


def _expired_cursor(times: int) -> Fault:
    body = error_body("invalid_request_error", "page: token has expired")
    return Fault(400, body=body, times=times, needs_cursor=True)


_LATER = "later|come back|retry-after"
_TOO_BIG = "too (big|large|long)|larger than|bigger than|more than|over"
_WRONG_BUCKET = "a bucket is from .* to .*, but should start at .* and be .* long$"
_WRONG_END = "a row of .* has ending_at .*, not "
_WRONG_DAY = "a row of .* has date .*, not "
_TOO_LARGE = "field '.*' should be an integer of at most 64 bits, but is "
_BUCKETED = ("usage_report/messages",)
_WITH_COUNTS = ("usage_report/messages", "usage_report/claude_code", "analytics/users")
_WITH_NAMES = ("organizations/users",)


def _html(status: int, title: str, times: int = 1) -> Fault:
    page = f"<html><head><title>{status} {title}</title></head><body>cloudflare</body></html>"
    return Fault(status, {"content-type": "text/html"}, page, times=times)


def _changed(change: Change) -> Fault:
    return Fault(200, change=change)


def _malformed(name: str, error: str, change: Change, *paths: str, **settings: str) -> Kind:
    return Kind(
        name,
        lambda: _changed(change),
        error=error,
        may_recover=True,
        paths=paths,
        settings=settings,
        weight=0 if settings else 1,
    )


KINDS = (
    Kind("429, retry-after in seconds", lambda: _limited(retry_after="1")),
    Kind(
        "429, retry-after as a date",
        lambda: _limited(retry_after=format_datetime(_in(2), usegmt=True)),
        weight=0.3,
    ),
    Kind("429 without retry-after", _limited),
    Kind(
        "429, reset time in the past",
        lambda: _limited(anthropic_ratelimit_requests_reset=_in(-60).isoformat()),
    ),
    Kind(
        "429, retry-after: 0, three times",
        lambda: _limited(3, retry_after="0"),
    ),
    Kind(
        "429, retry-after as a date that no clock holds",
        lambda: _limited(retry_after="Fri, 31 Dec 999999999999 23:59:59 GMT"),
        weight=0.3,
    ),
    Kind(
        "429, retry-after as a date of a clock that lags",
        lambda: _limited(retry_after=format_datetime(_in(-3600), usegmt=True)),
        weight=0.3,
    ),
    Kind(
        "429, retry-after of a day",
        lambda: _limited(retry_after="86400"),
        error=_LATER,
        ends_run=True,
    ),
    Kind("500", lambda: _status(500)),
    Kind(
        "500, x-should-retry: false",
        lambda: _status(500, x_should_retry="false"),
        error="HTTP 500",
        ends_run=True,
    ),
    Kind(
        "500 that lasts",
        lambda: _status(500, FOREVER, retry_after="0"),
        error="HTTP 500",
        ends_run=True,
        outlasts=True,
        weight=0,
    ),
    Kind("502 with an HTML body", lambda: _html(502, "Bad Gateway")),
    Kind("503", lambda: _status(503)),
    Kind("504", lambda: _status(504)),
    Kind("529", lambda: _status(529)),
    Kind("408", lambda: _status(408)),
    Kind("409", lambda: _status(409)),
    Kind(
        "401 in mid-run",
        lambda: _status(401, FOREVER),
        error="HTTP 401 .*check the setting \\w+_api_key",
        weight=0,
    ),
    Kind(
        "403 in mid-run",
        lambda: _status(403, FOREVER),
        error="HTTP 403 .*The stream needs .*[Ll]eave it out",
        weight=0,
    ),
    Kind(
        "404 in mid-run",
        lambda: _status(404, FOREVER),
        error="HTTP 404 .*The stream needs .*[Ll]eave it out",
        weight=0,
    ),
    Kind("400 in mid-run", lambda: _status(400, FOREVER), error="HTTP 400", weight=0),
    Kind(
        "403 with the page of a firewall",
        lambda: _html(403, "Forbidden", FOREVER),
        error="HTTP 403",
        settings={"on_permission_error": "skip"},
        weight=0,
    ),
    Kind(
        "404 with the page of a wrong URL",
        lambda: _html(404, "Not Found", FOREVER),
        error="HTTP 404",
        settings={"on_permission_error": "skip"},
        weight=0,
    ),
    Kind("connections refused for a second", lambda: Fault(0, deliver=refused(1))),
    Kind("reset before the headers", lambda: Fault(0, deliver=reset)),
    Kind("reset after the headers", lambda: Fault(200, deliver=reset_after_headers)),
    Kind("body cut off", lambda: Fault(200, deliver=cut_off)),
    Kind("chunked body cut off", lambda: Fault(200, deliver=cut_off_chunked)),
    Kind("slow trickle", lambda: Fault(200, deliver=trickle(0.3)), weight=0.1),
    Kind("a server that says nothing", lambda: Fault(0, deliver=mute(8)), weight=0.05),
    Kind(
        "gzip bomb, 1 MB that become 1 GB",
        lambda: Fault(200, deliver=oversized(encoded=True)),
        error=_TOO_BIG,
        splits=True,
        may_recover=True,  # on a busy machine it runs into the time limit first
        weight=0,
    ),
    Kind(
        "page of 1 GB",
        lambda: Fault(200, deliver=oversized()),
        error=_TOO_BIG,
        splits=True,
        may_recover=True,
        weight=0,
    ),
    Kind("malformed JSON", lambda: _page('{"data": [{"id": ')),
    Kind("a list instead of a page", lambda: _page("[]")),
    Kind("null instead of a page", lambda: _page("null")),
    Kind("an error with status 200", lambda: _page(error_body("api_error", "planned fault"))),
    Kind("a page without data", lambda: _changed(changes.drop_data)),
    Kind(
        "a cursor that repeats",
        lambda: Fault(200, change=changes.repeat_cursor, needs_cursor=True),
        error="twice",
    ),
    Kind("has_more without a cursor", lambda: _changed(changes.drop_cursor), "has_more"),
    Kind("a cursor that expires", lambda: _expired_cursor(1)),
    Kind(
        "a cursor that expires again",
        lambda: _expired_cursor(2),
        error="token has expired",
        splits=True,
        resumes=True,
        weight=0,
    ),
    Kind("a value of the wrong type", lambda: _changed(changes.wrong_value), "field '"),
    Kind(
        "a row that is null",
        lambda: _changed(changes.null_row),
        "cannot be read|outside the requested|no starting_at",
    ),
    Kind(
        "an integer beyond 64 bits",
        lambda: _changed(changes.huge_integer),
        error=_TOO_LARGE,
        paths=_WITH_COUNTS,
    ),
    Kind(
        "a lone surrogate in a name",
        lambda: _changed(changes.add_to_name(changes.LONE_SURROGATE)),
        paths=_WITH_NAMES,
        replaces=True,
        weight=0,
    ),
    Kind(
        "a NUL in a name",
        lambda: _changed(changes.add_to_name(changes.NUL)),
        paths=_WITH_NAMES,
        replaces=True,
        weight=0,
    ),
    _malformed("one bucket for the whole range", _WRONG_BUCKET, changes.one_bucket, *_BUCKETED),
    _malformed(
        "days for hours", _WRONG_BUCKET, changes.days_for_hours, *_BUCKETED, bucket_width="1h"
    ),
    _malformed(
        "rows that end a month later", _WRONG_END, changes.end_a_month_later, "analytics/cost"
    ),
    _malformed("rows of another day", _WRONG_DAY, changes.other_day, "usage_report/claude_code"),
    _malformed(
        "a page without its first bucket", _WRONG_BUCKET, changes.drop_first_bucket, *_BUCKETED
    ),
    _malformed(
        "a page without a bucket in the middle",
        _WRONG_BUCKET,
        changes.drop_middle_bucket,
        *_BUCKETED,
        bucket_width="1h",
    ),
    Kind(
        "redirect to another host",
        lambda: Fault(302, {"location": "https://elsewhere.invalid/"}, b""),
        error="redirects are not followed",
    ),
)
"""All kinds: with an error that ends the run, or without one if only a delay is expected."""
