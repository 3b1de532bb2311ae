"""How the tap talks to the API: URL, credentials, headers, errors, retries (docs: api/errors)."""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import math
import random
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import backoff
import msgspec
import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.metrics import Counter
from singer_sdk.pagination import SinglePagePaginator
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_claude.ahead import ahead
from tap_claude.organizations import HEADER, Identity, Organizations, OtherOrganizationError
from tap_claude.pagination import (
    UNREADABLE,
    BrokenPageError,
    CursorPaginator,
    body,
    id_in,
    read_page,
)
from tap_claude.progress import Progress
from tap_claude.pseudonyms import Pseudonyms
from tap_claude.records import (
    DECIMAL_FORMAT,
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    Columns,
    WrongValueError,
)
from tap_claude.redaction import printable
from tap_claude.session import PAGE_BYTES, Session, TooMuchError
from tap_claude.throttle import Throttle
from tap_claude.writer import BlockWriter

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context
    from singer_sdk.singerlib import SchemaMessage

    from tap_claude.bucket_log import BucketLog

DEFAULT_BASE_URL = "https://api.anthropic.com"
DEFAULT_ANTHROPIC_VERSION = "2023-06-01"

# Credentials are named like their settings. A stream lists those that it takes, the preferred
# one first: the OAuth token is used only where there is no Admin key, or where no key will do.
CONSOLE = ("admin_api_key", "access_token")
ENTERPRISE = ("analytics_api_key",)
CREDENTIALS = (*CONSOLE, *ENTERPRISE)
SECRETS = (*CREDENTIALS, "pseudonymize_key")
ORGANIZATION_TYPE = {
    "admin_api_key": "console",
    "access_token": "console",
    "analytics_api_key": "enterprise",
}

OAUTH_BETA = "oauth-2025-04-20"
"""Beta header of every request with a Bearer token; the official SDK sends it, too."""

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
MAX_RETRY_AFTER = 600.0
"""Seconds: whoever is asked to wait longer comes back in another run."""
MALFORMED_TRIES = 8
"""Tries of a request whose response is not a page: about a minute, then the stream has failed."""
T = TypeVar("T")


class APIError(FatalAPIError):
    """An answer that no retry will better."""

    def __init__(
        self, message: str, response: requests.Response, detail: str, *, is_down: bool = False
    ) -> None:
        """Keep the status and the API's own words; ``is_down`` where no stream can be read."""
        super().__init__(message)
        self.response = response
        self.detail = detail
        self.is_down = is_down

    @property
    def lost_cursor(self) -> bool:
        """Whether a page was refused that the API itself had pointed to."""
        query = parse_qsl(urlsplit(self.response.request.url or "").query)
        return self.response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.GONE} and any(
            name in {"page", "after_id"} for name, _ in query
        )


class RefusedError(APIError):
    """The credential may not read this stream; other streams may be readable."""


class Run:
    """What the streams of one run share."""

    def __init__(
        self, config: Mapping[str, Any], started_at: dt.datetime, logger: logging.Logger
    ) -> None:
        """Open a session that obeys ``requests_per_minute``; progress goes to the logger."""
        # One fixed precision: append targets compare these as text.
        self.extracted_at = started_at.strftime("%Y-%m-%dT%H:%M:%S") + (
            f".{started_at.microsecond // 1000:03}Z"
        )
        self.version = int(started_at.timestamp())
        self.progress = Progress(logger)
        self.pseudonymizes = config.get("pseudonymize_users", "none") != "none"
        self.session = Session(
            Throttle(config.get("requests_per_minute", 50)),
            self.progress,
            on_disk=not self.pseudonymizes,
        )
        self.kinds = tuple(
            dict.fromkeys(ORGANIZATION_TYPE[name] for name in CREDENTIALS if config.get(name))
        )
        self.organizations = Organizations(config.get("organization_label"), self.kinds)
        self.bucket_log: BucketLog | None = None
        """None where ``report_buckets`` is not selected."""
        self.refusals: dict[tuple[str, str], str] = {}
        self.failures: dict[tuple[str, str], str] = {}
        """What ended a stream for good, for one kind of organization: a line each."""


def credential_for(
    config: Mapping[str, Any], accepted: Iterable[str], organization_type: str | None = None
) -> str | None:
    """Name the first configured credential of those accepted, for one kind of organization."""
    for name in accepted:
        if config.get(name) and organization_type in {None, ORGANIZATION_TYPE[name]}:
            return name
    return None


def restore_decimals(schema: dict[str, Any]) -> None:
    """Give every dollar column of a schema its precision and scale."""
    for spec in schema.get("properties", {}).values():
        if spec.get("format") == DECIMAL_FORMAT:
            spec |= {"precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE}


class _HeaderAuth(requests.auth.AuthBase):
    """Puts a credential into a header. The SDK's way rewrites the URL and loses empty values."""

    def __init__(self, name: str, value: str) -> None:
        """Take the header."""
        self._name, self._value = name, value

    @override
    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers[self._name] = self._value
        return r


class _RareCounter(Counter):
    """A counter that looks at the clock once in a thousand counts."""

    @override
    def increment(self, value: int = 1) -> None:
        self.value += value
        if self.value % 1000 == 0 and self._ready_to_log():
            self._pop()


class ClaudeStream(RESTStream[str | None]):
    """A stream of the API. Subclasses read pages and yield records in `read`."""

    # `Columns` has conformed the records already, and more strictly.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    path: str
    credentials: ClassVar[tuple[str, ...]] = CONSOLE
    needs: ClassVar[str] = "an Admin API key (admin_api_key) of a Console organization"
    beta: str | None = None
    paginator: ClassVar[type[CursorPaginator | SinglePagePaginator]] = SinglePagePaginator
    ignored: ClassVar[tuple[str, ...]] = ()
    """Fields of the API that another stream has."""
    allow_redirects = False  # a redirect would carry the key to another host

    # First wait of the exponential series, in seconds.
    backoff_base = 1.0

    less_can_be_asked = False
    """Whether the chain of requests at work is for more than the API can be asked for at least."""
    single: ClassVar[bool] = False
    """Whether the answer is one object, without a list around it."""

    def __init__(self, tap: Tap, *, run: Run, name: str | None = None) -> None:
        """Join a run."""
        super().__init__(tap, name=name)
        # An adapter since singer-sdk 0.55.
        getattr(self.logger, "logger", self.logger).addFilter(_say_once)
        self.run = run
        self.columns = Columns(self.schema)
        mode = self.config.get("pseudonymize_users", "none")
        self._pseudonyms: Pseudonyms | None = None
        if mode != "none":
            key = self.config.get("pseudonymize_key", "")
            self._pseudonyms = Pseudonyms(mode, key, self.columns.persons)
        self.organization_type = self.organization_types[0]
        self._straight_to: BlockWriter | None = None
        self._deselected: list[str] = []
        self._named = set(self.ignored)
        """Unknown fields that a warning has named, or that need none."""

    # -- organizations

    @property
    def organization_types(self) -> list[str]:
        """Kinds of organization whose credentials are configured and may read the stream.

        Where there is none (discovery without settings), the kind that the stream is made for.
        """
        kinds = [ORGANIZATION_TYPE[name] for name in self.credentials if self.config.get(name)]
        return list(dict.fromkeys(kinds)) or [ORGANIZATION_TYPE[self.credentials[0]]]

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        kinds = self.organization_types
        return [{"organization_type": kind} for kind in kinds] if len(kinds) > 1 else None

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
        agent: str | None = self.config.get("user_agent")
        # Looked up only here: it takes longer than all other imports.
        return agent or f"tap-claude/{version('tap-claude')} (Singer tap)"

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        headers = {
            "accept": "application/json",
            # The same URL has other rows every night; a proxy that caches must not answer it.
            "cache-control": "no-cache",
            "anthropic-version": self.config.get("anthropic_version", DEFAULT_ANTHROPIC_VERSION),
        }
        betas = [OAUTH_BETA] if self._credential == "access_token" else []
        if self.beta:
            betas.append(self.beta)
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        return headers

    @property
    @override
    def authenticator(self) -> Auth:
        name = self._credential
        if name is None:
            msg = f"{self.name}: no credential is set; it needs {self.needs}"
            raise FatalAPIError(msg)
        if name == "access_token":
            return _HeaderAuth("authorization", f"Bearer {self.config[name]}")
        return _HeaderAuth("x-api-key", self.config[name])

    @property
    def _credential(self) -> str | None:
        return credential_for(self.config, self.credentials, self.organization_type)

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Never by the SDK, which would before the first record: see `directory`."""
        return False

    # -- messages

    @override
    def _write_record_message(self, record: dict[str, Any]) -> None:
        # The SDK has no public hook here. Its own way costs more than all the rest: a walk over
        # the selection, the stream maps and an encoding by steps, for each record. Where these
        # would change nothing but drop columns, the record goes straight to the writer.
        writer = self._straight_to
        for name in self._deselected:
            del record[name]
        if writer is None:
            super()._write_record_message(record)
            return
        writer.write_record(self.name, record, self._stream_version)
        self.state_manager.is_flushed = False

    @override
    def _process_record(
        self,
        record: dict[str, Any],
        child_context: Context | None = None,
        partition_context: Context | None = None,
    ) -> None:
        """Do nothing: records have all their columns, and parents are `directory`'s matter."""

    @override
    def get_record_counter(self, **kwargs: Any) -> Counter:
        counter = super().get_record_counter(**kwargs)
        return _RareCounter(counter.metric, counter.tags, counter.log_interval)

    def _choose_way(self) -> None:
        """Find out whether stream maps, flattening or another writer want to see the records."""
        writer = self._tap.message_writer
        (first, *others) = self.stream_maps
        plain = type(first) is SameRecordTransform and not first.flattening_enabled and not others
        self._straight_to = writer if plain and isinstance(writer, BlockWriter) else None
        # The catalogue may be of an older version, and lack columns.
        catalogued = self.effective_schema.get("properties", {})
        self._deselected = [
            name
            for name in self.columns.names
            if name not in catalogued
            or (self._straight_to is not None and not self.mask["properties", name])
        ]

    def flush(self) -> None:
        """Hand over the records that wait in a block."""
        writer = self._tap.message_writer
        if isinstance(writer, BlockWriter):
            writer.flush()

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
                read_page(response, single=self.single)
            except BrokenPageError as error:
                msg = f"{self.name}: {printable(str(error))}"
                raise RetriableAPIError(msg, response) from error
            self.run.session.keep(response)
            return
        problem = _api_error(response)
        message = self.response_error_message(response)
        if _retriable(response):
            if (_retry_after(response) or 0) > MAX_RETRY_AFTER:
                message += "; the API asks to wait for more than ten minutes, so run again later"
                raise APIError(message, response, problem.detail, is_down=True)
            raise RetriableAPIError(message, response)
        if problem.is_of_api and (
            response.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
            or problem.code in REFUSING_CODES
        ):
            raise RefusedError(message, response, problem.detail)
        if problem.kind == "authentication_error" or (
            response.status_code == HTTPStatus.UNAUTHORIZED
        ):
            message += f"; check the setting {self._credential}"
        elif not problem.is_of_api and not response.is_redirect:
            message += "; this is not a response of the API: check base_url, proxies and firewalls"
        raise APIError(message, response, problem.detail)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        error = _api_error(response)
        detail = error.detail
        if response.is_redirect:
            detail = "redirects are not followed; check the setting base_url"
        request_id = response.headers.get("request-id")
        message = f"{self.name}: HTTP {response.status_code} {error.kind}: {detail}".rstrip(": ")
        if request_id:
            message += f" (request {request_id})"
        return printable(message)

    @override
    def get_new_paginator(self) -> CursorPaginator | SinglePagePaginator:
        return self.paginator()

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Any]:
        """Yield the response itself: `read` wants whole pages."""
        yield response

    def pages(self, context: Mapping[str, Any]) -> Iterator[requests.Response]:
        """Yield the pages of one chain of requests; ``context`` goes to `get_url_params`.

        By the first page, the run knows the organization.
        """
        responses: Iterable[Any] = self.request_records(context)
        for response in responses:
            self.run.organizations.learn(
                self.organization_type,
                self._credential or "",
                response.headers.get(HEADER),
                self._ask_organization,
            )
            yield response
            del response  # it is large; only who works on it holds it

    def _ask_organization(self) -> str | None:
        """Ask for the id of the organization (docs: api/admin/organizations/me).

        None where the API does not say: Enterprise keys may not ask, nor does every proxy pass it.
        """
        request = self.build_prepared_request(
            method="GET", url=f"{self.url_base}me", headers=self.http_headers
        )

        def ask() -> str | None:
            response = self.run.session.send(request, timeout=self.timeout, allow_redirects=False)
            if _retriable(response):
                raise RetriableAPIError(self.response_error_message(response), response)
            return id_in(response)

        answer: str | None = self.request_decorator(ask)()
        return answer

    def identify(self) -> Identity:
        """Return the organization of the records that are being read, and keep it in the state."""
        return self.run.organizations.identify(self.organization_type, self.stream_state)

    def ahead(
        self, items: Iterator[tuple[T, requests.Response | None]]
    ) -> Iterator[tuple[T, requests.Response | None]]:
        """Fetch the next page while one is worked on, unless two would fill the memory."""
        if self.ABORT_AT_RECORD_COUNT is not None:
            return items  # --test wants one record
        return ahead(
            items,
            at_once=lambda item: item[1] is None or len(body(item[1])) <= PAGE_BYTES,
            free=lambda item: item[1] is None,
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths for whose answers another stream may ask too, word for word."""
        return ()

    def conform(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Make a record of a row: flat, every column of the schema, nothing else."""
        record = self.columns.conform(row)
        if self.columns.unknown:
            self._name_unknown_fields()
        if self._pseudonyms:
            self._pseudonyms.replace(record)
        return record

    def _name_unknown_fields(self) -> None:
        new = self.columns.unknown - self._named
        self._named |= new
        self.columns.unknown.clear()
        if new:
            self.logger.warning(
                "%s: the API sends fields that this version does not know; they are left out: %s",
                self.name,
                ", ".join(sorted(printable(name) for name in new)),
            )

    def read(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Yield the records of one partition."""
        raise NotImplementedError

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        self.organization_type = (context or {}).get("organization_type", self.organization_type)
        self.run.session.shared_paths = self._shared_paths()
        progress = self.run.progress
        progress.start(self.name)
        self._choose_way()
        try:
            for record in self.read(context):
                if self._pseudonyms:
                    self._pseudonyms.finish(record)
                progress.rows += 1
                yield record
        except RefusedError as error:
            self.run.refusals[self.name, self.organization_type] = (
                f"{error}. The stream needs {self.needs}. To leave it out, add "
                f"'!{self.name}.*' to select, or set on_permission_error to skip."
            )
        except OtherOrganizationError as error:
            msg = f"{self.name}: {error}"
            raise FatalAPIError(msg) from error
        except Exception as error:
            if _ends_run(error):
                raise self._end_of_run(error) from error
            self.fail(error)
        finally:
            progress.stop()
            self.flush()

    def fail(self, error: Exception) -> None:
        """Remember what ended the stream for good; the run goes on with the others."""
        text = str(error) or type(error).__name__
        if isinstance(error, RecursionError):
            text = "a row of the API is nested too deeply"
        elif isinstance(error, WrongValueError) and self._pseudonyms:
            text = error.without_value
        text = printable(text)
        line = text if text.startswith(f"{self.name}: ") else f"{self.name}: {text}"
        self.run.failures[self.name, self.organization_type] = line
        if not self._pseudonyms:
            self.logger.debug("The stream has failed.", exc_info=error)

    def _end_of_run(self, error: Exception) -> Exception:
        """Return an error that ends the run, with the host that cannot be reached."""
        if not isinstance(error, requests.RequestException):
            return error
        host = urlsplit(self.url_base).netloc
        # What urllib3 says of its pool and the URL is long, and no reason.
        reason = getattr(error.args[0], "reason", None) if error.args else None
        msg = f"{self.name}: no usable answer from {host}: {printable(str(reason or error))}"
        if _is_about_certificate(error):
            msg += "; REQUESTS_CA_BUNDLE names the file of the certificates to trust"
        return FatalAPIError(msg)

    def _shared_paths(self) -> frozenset[str]:
        selected = [
            s for s in self._tap.streams.values() if isinstance(s, ClaudeStream) and s.selected
        ]
        asked = [path for stream in selected for path in stream.paths]
        return frozenset(path for path in asked if asked.count(path) > 1)

    # -- retries

    @override
    def request_decorator(self, func: Callable[..., Any]) -> Callable[..., Any]:
        malformed = 0

        def once(*args: Any) -> Any:
            nonlocal malformed
            self.run.session.less_can_be_asked = self.less_can_be_asked
            try:
                response = func(*args)
            except (requests.exceptions.ReadTimeout, RetriableAPIError) as error:
                malformed += _is_malformed(error)
                # To ask a slow query again is no use while it can be made smaller.
                if not self.less_can_be_asked or not _slow(error):
                    raise
                raise TooMuchError(str(error)) from error
            malformed = 0
            return response

        def gives_up(error: Exception) -> bool:
            return _is_about_certificate(error) or malformed >= MALFORMED_TRIES

        # As the SDK does it, but without a second ERROR line when the tries are over.
        return backoff.on_exception(
            self.backoff_wait_generator,
            (
                ConnectionResetError,
                RetriableAPIError,
                requests.exceptions.ChunkedEncodingError,
                requests.exceptions.ConnectionError,
                requests.exceptions.ContentDecodingError,
                requests.exceptions.Timeout,
            ),
            max_tries=self.backoff_max_tries,
            # A mute server holds a run for half an hour, not for every try.
            max_time=lambda: MAX_RETRY_AFTER + 4 * self.timeout,
            giveup=gives_up,
            on_backoff=self.backoff_handler,
            jitter=self.backoff_jitter,
            logger=None,
        )(once)

    @override
    def backoff_max_tries(self) -> int:
        """Wait some four minutes in all: several of the API's one-minute windows."""
        return 14

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        """Wait as long as ``retry-after`` says, else exponentially longer with full jitter.

        From the second try on, what it says is not believed where it is less: it may be 0.
        """
        error = yield  # type: ignore[misc]  # backoff primes the generator
        attempt = 0
        while True:
            wait = random.uniform(0, min(MAX_WAIT, self.backoff_base * 2**attempt))  # noqa: S311
            after = _retry_after(getattr(error, "response", None))
            if after is not None:
                wait = max(after, wait) if attempt else after
            attempt += 1
            error = yield wait

    @override
    def backoff_jitter(self, value: float) -> float:
        """Add nothing: the generator has done it where it belongs."""
        return value

    @override
    def backoff_handler(self, details: Details) -> None:
        self.run.progress.retries += 1
        error = printable(str(details.get("exception")))
        self.logger.warning(
            "Retrying in %.1f s (attempt %d of %d): %s",
            details.get("wait", 0),
            details["tries"] + 1,
            self.backoff_max_tries(),
            error,
        )


def _say_once(record: logging.LogRecord) -> bool:
    """Drop the SDK's note that a stream failed: the line at the end of the run says why, too."""
    return not str(record.msg).startswith("An unhandled error occurred while syncing")


def _slow(error: Exception) -> bool:
    if isinstance(error, RetriableAPIError):
        response = error.response
        return response is not None and response.status_code == HTTPStatus.GATEWAY_TIMEOUT
    return True


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
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=dt.UTC)
            seconds = (moment - dt.datetime.now(dt.UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


class _APIErrorBody(NamedTuple):
    """An error response: type, code and message of the API's own error object, if it is one."""

    kind: str
    code: str
    detail: str
    is_of_api: bool


def _api_error(response: requests.Response) -> _APIErrorBody:
    """Read an error response (docs: api/errors)."""
    try:
        error = msgspec.json.decode(body(response))["error"]
        details = error.get("details") or {}
        code = str(details.get("error_code", ""))
        return _APIErrorBody(str(error["type"]), code, str(error["message"]), is_of_api=True)
    except (*UNREADABLE, LookupError, TypeError, AttributeError):
        return _APIErrorBody(response.reason or "", "", "", is_of_api=False)


def _is_malformed(error: Exception) -> bool:
    """Whether a response came, but was not what the API documents."""
    return isinstance(error, requests.exceptions.ContentDecodingError) or (
        isinstance(error, RetriableAPIError)
        and error.response is not None
        and error.response.status_code == HTTPStatus.OK
    )


def _is_about_certificate(error: Exception) -> bool:
    return (
        isinstance(error, requests.exceptions.SSLError)
        and "certificate verify failed" in str(error).lower()
    )


def _ends_run(error: Exception) -> bool:
    """Whether no stream can be read or written: the API is down, or standard output is broken."""
    if isinstance(error, APIError):
        return error.is_down
    return isinstance(error, (RetriableAPIError, OSError)) and not _is_malformed(error)
