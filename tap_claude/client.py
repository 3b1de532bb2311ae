"""The API client: URLs, headers, retries, pages (docs: api/overview, api/errors).

Used by one thread at a time: either the prefetching thread or the thread that waits for it.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit

import backoff
import requests
from singer_sdk import metrics

from tap_claude.credentials import (
    CONSOLE,
    FEDERATION,
    OAUTH,
    OAUTH_BETA,
    auth_headers,
    credential_for,
)
from tap_claude.errors import (
    MAX_RETRY_AFTER,
    APIError,
    APIUnavailableError,
    MalformedResponseError,
    PagingError,
    PermissionDeniedError,
    ResponseTooLargeError,
    RetriableError,
    denies_permission,
    error_body,
    is_retriable,
    retriable_error,
)
from tap_claude.federation import (
    EXCHANGE_TIMEOUT,
    MAX_TOKEN_RESPONSE_BYTES,
    TOKEN_PATH,
    AccessTokens,
)
from tap_claude.pages import WORKSPACE_HEADER, read_id, read_page
from tap_claude.redaction import sanitize_for_log
from tap_claude.response_cache import ResponseCache
from tap_claude.session import ApiResponse, Session
from tap_claude.throttle import Throttle

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Iterator, Mapping

    from backoff.types import Details

    from tap_claude.config import Config
    from tap_claude.organizations import Organizations
    from tap_claude.pages import ApiPage
    from tap_claude.pagination import Paginator
    from tap_claude.progress import Progress

T = TypeVar("T")

ORGANIZATION_HEADER = "anthropic-organization-id"

MAX_BYTES = 192 * 2**20
"""Maximum size of a response in bytes; responses are held in memory."""
PAGE_BYTES = 32 * 2**20
"""Target size of a page in bytes, where the tap can choose the window."""
SPLITTABLE_BYTES = 2 * PAGE_BYTES
"""Maximum size of a response in bytes if the request can be split into smaller ones."""

FIRST_WAIT = 1.0
"""First delay of the exponential backoff, in seconds."""
MAX_WAIT = 60.0
MAX_TRIES = 14
"""Maximum attempts per request. The delays add up to about four minutes, which spans several of
the API's one-minute rate-limit windows."""
MALFORMED_TRIES = 8
"""Maximum malformed responses per request (about a minute) before the stream fails."""


@dataclass(frozen=True)
class ApiRequest:
    """A paginated request: it yields one page after the other."""

    stream: str
    """Stream name for messages and metrics."""
    path: str
    """Path below ``/v1/organizations/``; a path that begins with ``/`` is complete."""
    organization_type: str
    credential: str
    workspace_id: str | None = None
    """Workspace to read, for a key that may act on several (header ``anthropic-workspace-id``)."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Query parameters. A list repeats the parameter; None omits it."""
    beta_headers: tuple[str, ...] = ()
    returns_object: bool = False
    """Whether the response is a single object instead of a list."""
    max_bytes: int = MAX_BYTES
    """Maximum size of a response. A value below `MAX_BYTES` means the request can be split."""

    @property
    def is_splittable(self) -> bool:
        """Whether the request can be split into smaller ones if the API is too slow."""
        return self.max_bytes < MAX_BYTES


class Client:
    """Reads pages for the streams of a run."""

    def __init__(
        self,
        config: Config,
        organizations: Organizations,
        progress: Progress,
        logger: logging.Logger,
    ) -> None:
        """Open a session that respects ``requests_per_minute``."""
        self._config = config
        self._organizations = organizations
        self._progress = progress
        self._logger = logger
        self._session = Session(Throttle(config.requests_per_minute), progress)
        self._tokens = AccessTokens(config, self._send_token_request, logger)
        # If users are pseudonymized, no name or address may be written to disk.
        self._cache = ResponseCache(on_disk=not config.pseudonymizes)
        self.cacheable_paths: frozenset[str] = frozenset()
        """Paths that several streams request identically; their responses are cached."""

    def pages(self, request: ApiRequest, paginator: Paginator) -> Iterator[ApiPage]:
        """Yield the pages of a request. The organization is known once the first page is yielded.

        Raises:
            StreamError: The stream cannot be read, or not with these parameters.
            RunError: The API is down, or the credential belongs to another organization.
        """
        endpoint = metrics.http_request_counter(request.stream, endpoint=request.path)
        with endpoint as counter:
            cursor: str | None = None
            while True:
                page = self._fetch_page(request, paginator.parameter, cursor)
                counter.increment()
                failure: PagingError | None = None
                try:
                    cursor = paginator.next_cursor(page)
                except PagingError as error:
                    failure = error
                yield page  # even if the next cursor is invalid
                del page  # it is large; only the consumer keeps a reference
                if failure is not None:
                    raise failure
                if cursor is None:
                    return

    # -- one page

    def _fetch_page(self, request: ApiRequest, parameter: str, cursor: str | None) -> ApiPage:
        params = {**request.params, parameter: cursor}
        url = f"{self._url(request.path)}?{_query(params)}"
        has_cursor = cursor is not None

        def fetch() -> ApiPage:
            response, is_new = self._send(request, url)
            if response.status != HTTPStatus.OK:
                raise self._error(request, response, has_cursor=has_cursor)
            try:
                page = read_page(response, returns_object=request.returns_object)
            except MalformedResponseError as error:
                raise RetriableError(sanitize_for_log(str(error)), is_malformed=True) from error
            if is_new:
                self._keep(request, url, response)
                self._organizations.learn(
                    request.organization_type,
                    request.credential,
                    response.headers.get(ORGANIZATION_HEADER),
                    functools.partial(self._ask_organization, request),
                )
            return page

        return self._with_retries(request, fetch)

    def _send(self, request: ApiRequest, url: str) -> tuple[ApiResponse, bool]:
        """Return the response to a request, and whether it is new (not from the cache)."""
        if kept := self._cache.get(_cache_key(request, url)):
            body, sent_at = kept
            return ApiResponse(HTTPStatus.OK, "OK", {}, body, sent_at), False
        timer = metrics.Timer(
            metrics.Metric.HTTP_REQUEST_DURATION,
            {metrics.Tag.STREAM: request.stream, metrics.Tag.ENDPOINT: request.path},
        )
        try:
            with timer:
                response, secret = self._get(request, url)
                if response.status == HTTPStatus.UNAUTHORIZED and request.credential == FEDERATION:
                    # Revoked, or expired early: a new token, once per request.
                    self._tokens.discard(secret)
                    response, _ = self._get(request, url)
        except requests.exceptions.RequestException as error:
            raise self._connection_error(error) from error
        return response, True

    def _get(self, request: ApiRequest, url: str) -> tuple[ApiResponse, str]:
        """Return the response to a request, and the key or token that it was sent with."""
        secret = ""

        def headers() -> dict[str, str]:
            nonlocal secret
            is_federated = request.credential == FEDERATION
            secret = (
                self._tokens.current()
                if is_federated
                else self._config.credentials[request.credential]
            )
            return self._headers(request, secret)

        response = self._session.get(
            url,
            headers,
            timeout=self._config.request_timeout,
            max_bytes=request.max_bytes,
        )
        return response, secret

    def _send_token_request(
        self, headers: Mapping[str, str], body: Callable[[], bytes]
    ) -> ApiResponse:
        """Return the response to a token request. Raises `RetriableError`, never as slow."""
        try:
            return self._session.post(
                f"{self._config.base_url.rstrip('/')}{TOKEN_PATH}",
                {**headers, "user-agent": self._user_agent},
                body,
                timeout=min(EXCHANGE_TIMEOUT, self._config.request_timeout),
                max_bytes=MAX_TOKEN_RESPONSE_BYTES,
            )
        except requests.exceptions.RequestException as error:
            failure = self._connection_error(error)
            msg = f"token exchange: {failure}"
            raise type(failure)(msg) from error
        except ResponseTooLargeError as error:
            # Not about a report, so it must not be split.
            msg = f"token exchange: {error}"
            raise RetriableError(msg, is_malformed=True) from error

    def _keep(self, request: ApiRequest, url: str, response: ApiResponse) -> None:
        if request.path in self.cacheable_paths:
            self._cache.put(_cache_key(request, url), response.body, response.sent_at)

    def _ask_organization(self, request: ApiRequest) -> str | None:
        """Request the id of the organization (docs: api/admin/organizations/me).

        None if it is not available: Enterprise keys lack access, and a proxy may block it. A key of
        a workspace lacks access too, so an Admin key is used if there is one.
        """
        console = credential_for(self._config.credentials, CONSOLE, request.organization_type)
        request = replace(request, credential=console or request.credential, workspace_id=None)

        def fetch() -> str | None:
            response, _ = self._send(request, self._url("me"))
            if is_retriable(response.status, response.headers):
                raise self._error(request, response, has_cursor=False)
            return read_id(response) if response.status == HTTPStatus.OK else None

        return self._with_retries(request, fetch)

    def _url(self, path: str) -> str:
        below = path if path.startswith("/") else f"/v1/organizations/{path}"
        return self._config.base_url.rstrip("/") + below

    def _headers(self, request: ApiRequest, secret: str) -> dict[str, str]:
        oauth = (OAUTH_BETA,) if request.credential in OAUTH else ()
        betas = (*oauth, *request.beta_headers)
        return {
            "accept": "application/json",
            # The same URL returns new rows every night; a caching proxy must not serve old ones.
            "cache-control": "no-cache",
            "anthropic-version": self._config.anthropic_version,
            "user-agent": self._user_agent,
            **({"anthropic-beta": ",".join(betas)} if betas else {}),
            **({WORKSPACE_HEADER: request.workspace_id} if request.workspace_id else {}),
            **auth_headers(request.credential, secret),
        }

    @functools.cached_property
    def _user_agent(self) -> str:
        # Looked up only when needed: it takes longer than all imports.
        return self._config.user_agent or f"tap-claude/{version('tap-claude')} (Singer tap)"

    # -- errors

    def _error(self, request: ApiRequest, response: ApiResponse, *, has_cursor: bool) -> Exception:
        """Return the error for a response with a status other than 200."""
        status, error = response.status, error_body(response.body, response.reason)
        detail = error.detail
        if response.is_redirect:
            detail = "redirects are not followed; check the setting base_url"
        message = f"HTTP {status} {error.kind}: {detail}".rstrip(": ")
        if request_id := response.headers.get("request-id"):
            message += f" (request {request_id})"
        message = sanitize_for_log(message)
        if is_retriable(status, response.headers):
            slow = status == HTTPStatus.GATEWAY_TIMEOUT
            return retriable_error(message, response.headers, is_slow=slow)
        if denies_permission(status, error):
            return PermissionDeniedError(message, status=status, detail=error.detail)
        if error.kind == "authentication_error" or status == HTTPStatus.UNAUTHORIZED:
            message += f"; check the setting {request.credential}"
            if request.credential == FEDERATION:
                message += ": the API also refused a new access token"
        elif not error.is_of_api and not response.is_redirect:
            message += "; this is not an API response: check base_url, proxies and firewalls"
        return APIError(
            message,
            status=status,
            detail=error.detail,
            lost_cursor=has_cursor and status in {HTTPStatus.BAD_REQUEST, HTTPStatus.GONE},
        )

    def _connection_error(self, error: requests.exceptions.RequestException) -> Exception:
        """Return the error for a request without a complete response."""
        # urllib3's message is long and names its pool and the URL; only the reason is useful.
        reason = getattr(error.args[0], "reason", None) if error.args else None
        host = urlsplit(self._config.base_url).netloc
        message = f"no usable response from {host}: {sanitize_for_log(str(reason or error))}"
        if "certificate verify failed" in message.lower():
            message += "; set REQUESTS_CA_BUNDLE to a file with the certificates to trust"
            return APIUnavailableError(message)
        return RetriableError(
            message,
            is_slow=isinstance(error, requests.exceptions.ReadTimeout),
            is_malformed=isinstance(error, requests.exceptions.ContentDecodingError),
        )

    # -- retries

    def _with_retries(self, request: ApiRequest, fetch: Callable[[], T]) -> T:
        malformed = 0

        def attempt() -> T:
            nonlocal malformed
            try:
                return fetch()
            except RetriableError as error:
                malformed += error.is_malformed
                # Do not repeat a slow query that can be split into smaller ones.
                if error.is_slow and request.is_splittable:
                    raise ResponseTooLargeError(str(error)) from error
                raise

        retried: Callable[[], T] = backoff.on_exception(
            _waits,
            RetriableError,
            max_tries=MAX_TRIES,
            # A server that never responds delays a run by half an hour, not by every attempt.
            max_time=MAX_RETRY_AFTER + 4 * self._config.request_timeout,
            giveup=lambda _: malformed >= MALFORMED_TRIES,
            jitter=None,
            on_backoff=functools.partial(self._report_retry, request.stream),
            logger=None,
        )(attempt)
        try:
            return retried()
        except RetriableError as error:
            if error.is_malformed:
                raise MalformedResponseError(str(error)) from error
            raise APIUnavailableError(str(error)) from error

    def _report_retry(self, stream: str, details: Details) -> None:
        self._progress.retries += 1
        self._logger.warning(
            "%s: retrying in %.1f s (attempt %d of %d): %s",
            stream,
            details.get("wait", 0),
            details["tries"] + 1,
            MAX_TRIES,
            details.get("exception"),
        )


def _waits() -> Generator[float, Any, None]:
    """Yield the delays: ``retry-after`` if present, else exponential backoff with full jitter.

    From the second attempt on, the longer of the two is used, because ``retry-after`` may be 0.
    """
    error = yield  # type: ignore[misc]  # backoff primes the generator
    attempt = 0
    while True:
        wait = random.uniform(0, min(MAX_WAIT, FIRST_WAIT * 2**attempt))  # noqa: S311
        if error.retry_after is not None:
            wait = max(error.retry_after, wait) if attempt else error.retry_after
        attempt += 1
        error = yield wait


def _cache_key(request: ApiRequest, url: str) -> tuple[str, str]:
    return f"{request.workspace_id or ''} {url}", request.credential


def _query(params: Mapping[str, Any]) -> str:
    """Return a query string. Empty values are sent: an empty filter value means "none"."""
    pairs = [
        (name, item)
        for name, value in params.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
        if item is not None
    ]
    return urlencode(pairs)
