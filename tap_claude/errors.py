"""What can go wrong between the API and a record, and what it ends: a stream or the run.

A `StreamError` ends one stream; the others are read. A `RunError` ends the run: no stream could be
read, or none should be (docs: api/errors).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_claude.session import ApiResponse
    from tap_claude.windows import Window

# What decoding raises: RecursionError for what is nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

YEAR = 366 * 86_400.0
"""Seconds."""

RETRIABLE_STATUSES = frozenset({408, 409, 429, 529})
# 400s that say: this organization may not read this (`error.details.error_code`).
PERMISSION_CODES = frozenset(
    {
        "api_key_scope_missing",
        "organization_not_enrolled_in_beta",
        "organization_type_not_supported",
        "parent_organization_required",
    }
)


class RunError(Exception):
    """An error that ends the run."""


class APIUnavailableError(RunError):
    """The API is down: retries are used up on 5xx, 429 or the connection."""


class OtherOrganizationError(RunError):
    """A credential or the state belongs to another organization than it should."""


class StreamError(Exception):
    """An error that ends one stream, for one organization."""

    window: Window | None = None
    """What a report was asked for, where that is known."""


class MalformedResponseError(StreamError):
    """A response with status 200 that is not what the API documents, or not what was asked for."""


class PagingError(StreamError):
    """The paging fields contradict themselves; to go on would lose or double rows."""


class ResponseTooLargeError(StreamError):
    """A response that is too large, or too slow, for what was asked; less may be had."""


class APIError(StreamError):
    """An error response that is not retried."""

    def __init__(
        self, message: str, *, status: int, detail: str = "", lost_cursor: bool = False
    ) -> None:
        """Keep the status, the API's own words, and whether it refused a cursor of its own."""
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.lost_cursor = lost_cursor


class PermissionDeniedError(APIError):
    """The credential may not read this stream; other streams may be readable."""


class RetriableError(Exception):
    """A request that should be tried again."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        is_slow: bool = False,
        is_malformed: bool = False,
    ) -> None:
        """Keep how long the API asks to wait, in seconds, and what kind of failure it was."""
        super().__init__(message)
        self.retry_after = retry_after
        self.is_slow = is_slow
        self.is_malformed = is_malformed


class ErrorBody(NamedTuple):
    """An error response: type, code and message of the API's own error object, if it is one."""

    kind: str
    code: str
    detail: str
    is_of_api: bool


def error_body(response: ApiResponse) -> ErrorBody:
    """Read an error response."""
    try:
        error: Any = msgspec.json.decode(response.body)["error"]
        details = error.get("details") or {}
        code = str(details.get("error_code", ""))
        return ErrorBody(str(error["type"]), code, str(error["message"]), is_of_api=True)
    except (*UNREADABLE, LookupError, TypeError, AttributeError):
        return ErrorBody(response.reason, "", "", is_of_api=False)


def denies_permission(status: int, error: ErrorBody) -> bool:
    """Whether a response is the API's refusal, not the page of a proxy or of a wrong URL."""
    return error.is_of_api and (
        status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND} or error.code in PERMISSION_CODES
    )


def is_retriable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a response asks to be tried again; ``x-should-retry`` wins over the status."""
    advice = headers.get("x-should-retry")
    if advice in {"true", "false"}:
        return advice == "true"
    return status in RETRIABLE_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait: a number or an HTTP date (RFC 9110, 10.2.3).

    None where it does not ask, or for more than a year, which cannot be meant.
    """
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=dt.UTC)
            seconds = (moment - dt.datetime.now(dt.UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) and seconds < YEAR else None
