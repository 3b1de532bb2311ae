"""How the tap talks to the API: URL, credentials, headers, errors, retries (api_reference 1)."""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import math
import random
import re
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import requests
from singer_sdk.authenticators import APIKeyAuthenticator, BearerTokenAuthenticator
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_claude.pagination import BrokenPageError, PagingError, read_page
from tap_claude.records import (
    DECIMAL_FORMAT,
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    WrongValueError,
)
from tap_claude.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context
    from singer_sdk.singerlib import SchemaMessage

DEFAULT_BASE_URL = "https://api.anthropic.com"
DEFAULT_ANTHROPIC_VERSION = "2023-06-01"
DEFAULT_USER_AGENT = f"tap-claude/{version('tap-claude')} (Singer tap)"

# Credentials are named like their settings. A stream lists those that it takes, the preferred
# one first: the OAuth token is used only where there is no Admin key, or where no key will do.
CONSOLE = ("admin_api_key", "access_token")
ENTERPRISE = ("analytics_api_key",)
SECRETS = (*CONSOLE, *ENTERPRISE)
ORGANIZATION_TYPE = {
    "admin_api_key": "console",
    "access_token": "console",
    "analytics_api_key": "enterprise",
}

RETRIED = frozenset({408, 409, 429, 529})
# 400s that say: this organization may not read this (`error.details.error_code`).
REFUSING_CODES = frozenset(
    {
        "api_key_scope_missing",
        "organization_not_enrolled_in_beta",
        "organization_type_not_supported",
        "parent_organization_required",
    }
)
MAX_WAIT = 60.0


class APIError(FatalAPIError):
    """An answer that no retry will better."""

    def __init__(self, message: str, response: requests.Response, detail: str) -> None:
        """Keep the status and the API's own words beside the message."""
        super().__init__(message)
        self.response = response
        self.detail = detail


class RefusedError(APIError):
    """The credential may not read this stream; other streams may be readable."""


class Session(requests.Session):
    """One connection pool and one rate limiter for all streams of a run."""

    def __init__(self, throttle: Throttle) -> None:
        """Every request of the session waits for the throttle, retries too."""
        super().__init__()
        self.throttle = throttle

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.throttle.wait()
        sent_at = dt.datetime.now(dt.UTC)
        response = super().send(request, **kwargs)
        vars(response)["sent_at"] = sent_at
        return response


class Run:
    """What the streams of one run share."""

    def __init__(self, config: Mapping[str, Any], started_at: dt.datetime) -> None:
        """Open a session that obeys ``requests_per_minute``."""
        self.started_at = started_at
        self.session = Session(Throttle(config.get("requests_per_minute", 50)))
        self.refusals: dict[str, str] = {}


def credential_for(
    config: Mapping[str, Any], accepted: Iterable[str], organization_type: str | None = None
) -> str | None:
    """Name the first configured credential of those accepted, for one kind of organization."""
    for name in accepted:
        if config.get(name) and organization_type in {None, ORGANIZATION_TYPE[name]}:
            return name
    return None


def printable(text: str, secrets: Iterable[str] = ()) -> str:
    """Make text from outside fit for a log: one short line, no escapes, no secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    return re.sub(r"[^\x20-\x7e]", lambda match: ascii(match[0])[1:-1], line)[:300]


def restore_decimals(schema: dict[str, Any]) -> None:
    """Give every dollar column of a schema its precision and scale."""
    for spec in schema.get("properties", {}).values():
        if spec.get("format") == DECIMAL_FORMAT:
            spec |= {"precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE}


class ClaudeStream(RESTStream[str | None]):
    """A stream of the API. Subclasses read pages and yield records in `read`."""

    credentials: ClassVar[tuple[str, ...]] = CONSOLE
    needs: ClassVar[str] = "an Admin API key (admin_api_key) of a Console organization"
    beta: str | None = None
    allow_redirects = False  # a redirect would carry the key to another host

    # First wait of the exponential series, in seconds.
    backoff_base = 1.0

    def __init__(self, tap: Tap, *, run: Run, name: str | None = None) -> None:
        """Join a run."""
        super().__init__(tap, name=name)
        self.run = run

    # -- requests

    @property
    @override
    def url_base(self) -> str:
        base: str = self.config.get("base_url", DEFAULT_BASE_URL)
        return f"{base.rstrip('/')}/v1/organizations/"

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.run.session

    @property
    @override
    def timeout(self) -> int:
        seconds: int = self.config.get("request_timeout", 300)
        return seconds

    @functools.cached_property
    @override
    def user_agent(self) -> str:
        agent: str = self.config.get("user_agent") or DEFAULT_USER_AGENT
        return agent

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        headers = {
            "accept": "application/json",
            "anthropic-version": self.config.get("anthropic_version", DEFAULT_ANTHROPIC_VERSION),
        }
        if self.beta:
            headers["anthropic-beta"] = self.beta
        return headers

    @property
    @override
    def authenticator(self) -> Auth:
        name = credential_for(self.config, self.credentials)
        if name is None:
            msg = f"{self.name}: no credential is set; it needs {self.needs}"
            raise FatalAPIError(msg)
        if name == "access_token":
            return BearerTokenAuthenticator(token=self.config[name])
        return APIKeyAuthenticator(key="x-api-key", value=self.config[name], location="header")

    @property
    def organization_type(self) -> str:
        """Kind of organization that the stream's credential belongs to."""
        name = credential_for(self.config, self.credentials) or self.credentials[0]
        return ORGANIZATION_TYPE[name]

    # -- schema

    @override
    def _generate_schema_messages(self) -> Generator[SchemaMessage, None, None]:
        # The SDK's schema model forgets what it does not know, and without a scale some
        # warehouses keep whole dollars only.
        for message in super()._generate_schema_messages():
            restore_decimals(message.schema)
            yield message

    # -- answers

    @override
    def validate_response(self, response: requests.Response) -> None:
        if response.status_code == HTTPStatus.OK:
            try:
                read_page(response)
            except BrokenPageError as error:
                msg = f"{self.name}: {printable(str(error))}"
                raise RetriableAPIError(msg, response) from error
            return
        kind, code, detail = _error_fields(response)
        message = self.response_error_message(response)
        if _retriable(response):
            raise RetriableAPIError(message, response)
        if (
            response.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
            or code in REFUSING_CODES
        ):
            raise RefusedError(message, response, detail)
        if kind == "authentication_error" or response.status_code == HTTPStatus.UNAUTHORIZED:
            name = credential_for(self.config, self.credentials)
            message += f"; check the setting {name}"
        raise APIError(message, response, detail)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        kind, _, detail = _error_fields(response)
        if response.is_redirect:
            detail = "redirects are not followed; check the setting base_url"
        request_id = response.headers.get("request-id")
        message = f"{self.name}: HTTP {response.status_code} {kind}: {detail}".rstrip(": ")
        if request_id:
            message += f" (request {request_id})"
        return printable(message, self._secrets)

    @property
    def _secrets(self) -> list[str]:
        return [self.config[name] for name in SECRETS if self.config.get(name)]

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Any]:
        """Yield the response itself: `read` wants whole pages."""
        yield response

    def pages(self, context: Mapping[str, Any]) -> Iterable[requests.Response]:
        """Yield the pages of one chain of requests; ``context`` goes to `get_url_params`."""
        return self.request_records(context)  # type: ignore[return-value]

    def read(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Yield the records of one partition."""
        raise NotImplementedError

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        try:
            yield from self.read(context)
        except RefusedError as error:
            self.run.refusals[self.name] = (
                f"{error}. The stream needs {self.needs}. Leave it out with "
                f"\"select: ['!{self.name}.*']\", or set on_permission_error to skip."
            )
        except (PagingError, BrokenPageError, WrongValueError) as error:
            msg = f"{self.name}: {error}"
            raise FatalAPIError(msg) from error
        except requests.RequestException as error:
            host = urlsplit(self.url_base).netloc
            reason = printable(str(error), self._secrets)
            msg = f"{self.name}: no usable answer from {host}: {reason}"
            raise FatalAPIError(msg) from error

    # -- retries

    @override
    def backoff_max_tries(self) -> int:
        """Wait some four minutes in all: several of the API's one-minute windows."""
        return 14

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        """Wait as long as ``retry-after`` says, else exponentially longer with full jitter."""
        error = yield  # type: ignore[misc]  # backoff primes the generator
        attempt = 0
        while True:
            limit = min(MAX_WAIT, self.backoff_base * 2**attempt)
            attempt += 1
            after = _retry_after(getattr(error, "response", None))
            error = yield random.uniform(0, limit) if after is None else after  # noqa: S311

    @override
    def backoff_jitter(self, value: float) -> float:
        """Add nothing: the generator has done it where it belongs."""
        return value

    @override
    def backoff_handler(self, details: Details) -> None:
        error = printable(str(details.get("exception")), self._secrets)
        self.logger.warning(
            "Retrying in %.1f s (attempt %d of %d): %s",
            details.get("wait", 0),
            details["tries"] + 1,
            self.backoff_max_tries(),
            error,
        )


def _retriable(response: requests.Response) -> bool:
    told = response.headers.get("x-should-retry")
    if told in {"true", "false"}:
        return told == "true"
    return (
        response.status_code in RETRIED or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _retry_after(response: requests.Response | None) -> float | None:
    """Seconds that the response asks to wait: a number or an HTTP date (RFC 9110, 10.2.3)."""
    if response is None:
        return None
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        seconds = (moment - dt.datetime.now(dt.UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _error_fields(response: requests.Response) -> tuple[str, str, str]:
    """Type, code and message of an error body; empty where the body is not the API's."""
    try:
        error = msgspec.json.decode(response.content)["error"]
        details = error.get("details") or {}
        return str(error["type"]), str(details.get("error_code", "")), str(error["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError):
        return response.reason or "", "", ""
