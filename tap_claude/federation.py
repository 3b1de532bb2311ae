"""Workload identity federation: an identity token becomes access tokens.

The exchange and its limits are those of the official SDK (docs: manage-claude/wif-reference).

Threads: the fetching thread of one stream may still work when the next stream begins, so a lock
covers the access token and its exchange.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
import stat
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tap_claude.credentials import FEDERATION, FEDERATION_BETA, OAUTH_BETA
from tap_claude.errors import (
    UNREADABLE,
    RetriableError,
    RunError,
    StreamError,
    is_retriable,
    retriable_error,
)
from tap_claude.redaction import REDACTION, sanitize_for_log

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from tap_claude.config import Config, Federation
    from tap_claude.session import ApiResponse

TOKEN_PATH = "/v1/oauth/token"  # noqa: S105
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE_TIMEOUT = 30.0
"""Maximum seconds for one exchange; `request_timeout` applies if it is shorter."""
MAX_ASSERTION_BYTES = 16 * 2**10
MAX_TOKEN_RESPONSE_BYTES = 2**20
RENEW_BEFORE = 120.0
"""Seconds before its end at which an access token is renewed, or half its life if shorter."""
CLOCK_LEEWAY = 60.0
"""Seconds by which the local clock may be ahead of the identity provider's."""
MAX_DETAIL = 100
"""Characters of the API's own explanation in an error."""

HEADERS = {
    "accept": "application/json",
    "content-type": "application/json",
    "anthropic-beta": f"{OAUTH_BETA},{FEDERATION_BETA}",
}

# The first entry with a word in the API's explanation says what to do.
ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("workspace_id",), "enable the federation rule for one workspace only"),
    (
        ("service_account", "service account"),
        "set service_account_id to the service account of the federation rule",
    ),
    (
        ("organization",),
        "set federation_organization_id to the UUID of the organization that has the rule",
    ),
    (
        ("assertion", "jwt", "jti", "issuer", "audience", "subject", "claim", "signature"),
        "compare the token in identity_token_file with the federation rule and its issuer",
    ),
    (("rule",), "check federation_rule_id"),
)
ALL_ADVICE = "check federation_rule_id, service_account_id and the token in identity_token_file"

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")


class IdentityTokenError(Exception):
    """The identity token cannot be read or used."""


class AccessTokens:
    """The access token of a run: exchanged when needed, and renewed before it expires."""

    def __init__(
        self,
        config: Config,
        send: Callable[[Mapping[str, str], Callable[[], bytes]], ApiResponse],
        logger: logging.Logger,
    ) -> None:
        """Set how a token request is sent: headers, and a function that returns the body."""
        self._federation = config.federation
        # Without another credential nothing else can be read, so a refusal ends the run.
        self._error = RunError if [*config.credentials] == [FEDERATION] else StreamError
        self._send = send
        self._logger = logger
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = 0.0
        """On the monotonic clock."""

    def current(self) -> str:
        """Return an access token; exchange the identity token first if there is none or it is old.

        Raises:
            RetriableError: The token endpoint is down, or returns something else.
            StreamError: The identity token cannot be used, or the exchange is refused.
            RunError: The same, if there is no other credential.
        """
        with self._lock:
            if self._token is None or time.monotonic() >= self._renew_at:
                self._token = None  # it may be worthless, whatever happens to the exchange
                self._token, sent_at, lifetime = self._exchange()
                self._renew_at = sent_at + lifetime - min(RENEW_BEFORE, lifetime / 2)
                self._logger.debug("A new access token is valid for %d seconds.", lifetime)
            return self._token

    def discard(self, token: str) -> None:
        """Exchange again before the next request: the API has refused this access token."""
        with self._lock:
            if self._token == token:  # another thread may have renewed it
                self._token = None

    def _exchange(self) -> tuple[str, float, float]:
        """Return a new access token, when it was asked for, and its lifetime in seconds."""
        if self._federation is None:
            msg = "workload identity federation is not configured"
            raise StreamError(msg)
        federation = self._federation
        sent_at = 0.0

        def body() -> bytes:
            nonlocal sent_at
            sent_at = time.monotonic()  # after the wait for the rate limiter
            try:
                return token_request(federation, time.time())
            except IdentityTokenError as error:
                raise self._error(str(error)) from None

        response = self._send(HEADERS, body)
        if response.status == HTTPStatus.UNAUTHORIZED:
            # As in the official SDK: the file may just have been rotated.
            response = self._send(HEADERS, body)
        if response.status == HTTPStatus.OK:
            token, lifetime = read_access_token(response)
            return token, sent_at, lifetime
        message = describe_refusal(response)
        if is_retriable(response.status, response.headers):
            raise retriable_error(message, response.headers)
        raise self._error(message)


def token_request(federation: Federation, now: float) -> bytes:
    """Return the body of the exchange, with the identity token as it is in the file now.

    Raises `IdentityTokenError`. ``now`` is in seconds since 1970.
    """
    assertion = read_identity_token(Path(federation.identity_token_file), now)
    body = {
        "grant_type": GRANT_TYPE,
        "assertion": assertion,
        "federation_rule_id": federation.rule_id,
        "organization_id": federation.organization_id,
    }
    if federation.service_account_id is not None:
        body["service_account_id"] = federation.service_account_id
    return msgspec.json.encode(body)


def read_identity_token(path: Path, now: float) -> str:
    """Return the JWT in a file; it is masked in all logs from now on.

    Raises `IdentityTokenError` if there is none, or if it expired before ``now``.
    """
    text = _read_file(path)
    REDACTION.hide({text})
    name = f"identity_token_file: {sanitize_for_log(str(path))}"
    if not text:
        msg = f"{name} is empty; check the volume and the audience of the projected token"
        raise IdentityTokenError(msg)
    if len(text) > MAX_ASSERTION_BYTES:
        msg = f"{name} is larger than 16 KiB, so it is not a JWT; is it a key or a certificate?"
        raise IdentityTokenError(msg)
    claims = _claims(text)
    if claims is None:
        msg = f"{name} does not contain a JWT (header.claims.signature) and nothing else"
        raise IdentityTokenError(msg)
    # An API that repeats only a part of the token must not disclose it.
    REDACTION.hide({*text.split(".")[1:]})
    expires_at = claims.get("exp")
    if isinstance(expires_at, (int, float)) and expires_at < now - CLOCK_LEEWAY:
        ago = dt.timedelta(seconds=int(min(now - expires_at, now)))
        msg = f"{name} contains a token that expired {ago} ago; it must be renewed by its issuer"
        raise IdentityTokenError(msg)
    return text


def _read_file(path: Path) -> str:
    """Return the text of a regular file, up to one byte more than a JWT may have."""
    name = f"identity_token_file: {sanitize_for_log(str(path))}"
    try:
        # A pipe would block, and cannot be read again.
        if not stat.S_ISREG(path.stat().st_mode):
            msg = f"{name} is not a regular file; set the path of the token itself"
            raise IdentityTokenError(msg)
        with path.open("rb") as file:
            return file.read(MAX_ASSERTION_BYTES + 1).decode("ascii", "replace").strip()
    except FileNotFoundError:
        msg = f"{name} does not exist; mount the token there, or correct the path"
    except PermissionError:
        msg = f"{name} is not readable by this user; check the owner and the mode of the file"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"{name} cannot be read: {sanitize_for_log(str(reason))}"
    raise IdentityTokenError(msg)


def _claims(token: str) -> dict[str, Any] | None:
    """Return the claims of a JWT (RFC 7519), unverified; None if it is not one."""
    parts = token.split(".")
    if len(parts) != 3 or not all(_BASE64URL.fullmatch(part) for part in parts):  # noqa: PLR2004
        return None
    try:
        header, claims = (
            msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            for part in parts[:2]
        )
    except (*UNREADABLE, ValueError):
        return None
    return claims if isinstance(header, dict) and isinstance(claims, dict) else None


def read_access_token(response: ApiResponse) -> tuple[str, float]:
    """Return the access token of a response, and its lifetime in seconds (RFC 6749, 5.1).

    The token is masked in all logs from now on. Raises `RetriableError` if there is none.
    """
    try:
        content: Any = msgspec.json.decode(response.body)
        token, lifetime = content["access_token"], int(content["expires_in"])
        kind = str(content.get("token_type") or "Bearer")
        if kind.lower() == "bearer" and lifetime > 0 and _ACCESS_TOKEN.fullmatch(token):
            REDACTION.hide({token})
            return token, float(lifetime)
    except (*UNREADABLE, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        pass  # the error must not refer to the body
    msg = f"token exchange: the response to POST {TOKEN_PATH} is not an access token"
    raise RetriableError(msg, is_malformed=True)


def describe_refusal(response: ApiResponse) -> str:
    """Return a line about an error response: the API's explanation, and the setting to check."""
    if response.is_redirect:
        return "token exchange: redirects are not followed; check the setting base_url"
    kind, detail = _explanation(response)
    line = f"token exchange: HTTP {response.status}"
    if not kind:
        line += " is not a response of the API: check base_url, proxies and firewalls"
        return sanitize_for_log(line)
    # Masked before it is cut, or a part of a token could remain.
    detail = REDACTION.mask(detail)[:MAX_DETAIL]
    line += f" {REDACTION.mask(kind)[:MAX_DETAIL]}: {detail}".rstrip(": ")
    text = detail.lower()
    advice = next((how for words, how in ADVICE if any(w in text for w in words)), ALL_ADVICE)
    if is_retriable(response.status, response.headers):
        return sanitize_for_log(line)
    return sanitize_for_log(f"{line}; {advice} (Console: Workload identity lists attempts)")


def _explanation(response: ApiResponse) -> tuple[str, str]:
    """Return the error's code and text, in OAuth's form or in the API's; empty if it has none."""
    try:
        content: Any = msgspec.json.decode(response.body)
        error = content["error"]
        if isinstance(error, str):
            return error, str(content.get("error_description") or "")
        return str(error["type"]), str(error["message"])
    except (*UNREADABLE, LookupError, TypeError, AttributeError):
        return "", ""
