"""Errors between the API and a record.

A `StreamError` ends one stream; the other streams are still read. A `RunError` ends the run,
because no other stream can or should be read (docs: api/errors).
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

    from tap_claude.windows import Window

# Errors that decoding raises; RecursionError for JSON that is nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

YEAR = 366 * 86_400.0
"""Seconds."""
MAX_RETRY_AFTER = 600.0
"""Longest Retry-After honoured, in seconds; beyond it the run fails."""

RETRIABLE_STATUSES = frozenset({408, 409, 429, 529})
# Codes of 400 responses that mean "permission denied" (`error.details.error_code`).
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
    """The API is down: all retries failed with 5xx, 429 or a connection error."""


class OtherOrganizationError(RunError):
    """A credential or the state belongs to a different organization."""


class StreamError(Exception):
    """An error that ends one stream, for one organization."""

    window: Window | None = None
    """The window that a report was requested for, if known."""


class MalformedResponseError(StreamError):
    """A response with status 200 that does not match the API's documentation or the request."""


class PagingError(StreamError):
    """Contradictory paging fields; continuing would lose or duplicate rows."""


class ResponseTooLargeError(StreamError):
    """A response that is too large or too slow; a smaller request may succeed."""


class APIError(StreamError):
    """A non-retriable error response."""

    def __init__(
        self, message: str, *, status: int, detail: str = "", lost_cursor: bool = False
    ) -> None:
        """Store the status, the API's message, and whether the page cursor was rejected."""
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.lost_cursor = lost_cursor


class PermissionDeniedError(APIError):
    """The credential has no permission for this stream; others may be readable."""


class RetriableError(Exception):
    """A request that should be retried."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        is_slow: bool = False,
        is_malformed: bool = False,
    ) -> None:
        """Store the delay that the API requests, in seconds, and the kind of failure."""
        super().__init__(message)
        self.retry_after = retry_after
        self.is_slow = is_slow
        self.is_malformed = is_malformed


class ErrorBody(NamedTuple):
    """An error response: type, code and message of the API's error object, if it has one."""

    kind: str
    code: str
    detail: str
    is_of_api: bool


def error_body(body: bytes | memoryview, reason: str) -> ErrorBody:
    """Read an error response."""
    try:
        error: Any = msgspec.json.decode(body)["error"]
        details = error.get("details") or {}
        code = str(details.get("error_code", ""))
        return ErrorBody(str(error["type"]), code, str(error["message"]), is_of_api=True)
    except (*UNREADABLE, LookupError, TypeError, AttributeError):
        return ErrorBody(reason, "", "", is_of_api=False)


def denies_permission(status: int, error: ErrorBody) -> bool:
    """Whether the API itself denies permission; a proxy's page or a wrong URL does not count."""
    return error.is_of_api and (
        status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND} or error.code in PERMISSION_CODES
    )


def is_retriable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether to retry after a response; ``x-should-retry`` takes precedence over the status."""
    advice = headers.get("x-should-retry")
    if advice in {"true", "false"}:
        return advice == "true"
    return status in RETRIABLE_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def retriable_error(
    message: str, headers: Mapping[str, str], *, is_slow: bool = False
) -> RetriableError | APIUnavailableError:
    """Return the error for a response that is retriable, unless the API asks for a long pause."""
    wait = retry_after(headers)
    if (wait or 0) > MAX_RETRY_AFTER:
        message += "; retry-after is longer than ten minutes, so run again later"
        return APIUnavailableError(message)
    return RetriableError(message, retry_after=wait, is_slow=is_slow)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``retry-after``: a number or an HTTP date (RFC 9110, 10.2.3).

    None if the header is missing, or asks for more than a year, which is taken as an error.
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
