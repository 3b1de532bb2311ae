"""The token endpoint: identity tokens become access tokens (docs: manage-claude/wif-reference).

Signatures are not verified, because the simulated issuers have no keys. All claims are.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from simulator.organization import DEFAULT_WORKSPACE
from simulator.query import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.directory import Directory, Row

TOKEN_PATH = "/v1/oauth/token"  # noqa: S105
FEDERATION_BETA = "oidc-federation-2026-04-01"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://api.anthropic.com"
"""Audience of an identity token if its rule does not name another."""
MAX_BODY_BYTES = 2**16
MAX_ASSERTION_BYTES = 16 * 2**10
REQUIRED = {"grant_type", "assertion", "federation_rule_id", "organization_id"}
OPTIONAL = {"service_account_id", "workspace_id"}
ADMIN_SCOPE = "org:admin"
ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"}
_PART = re.compile(r"[A-Za-z0-9_-]+")
_CONDITION = re.compile(r"claims\.(\w+) > (\d+)")


@dataclasses.dataclass(frozen=True)
class OAuthError(Exception):
    """An error response of the token endpoint (RFC 6749, 5.2)."""

    status: int
    error: str
    description: str

    @property
    def body(self) -> bytes:
        """The response."""
        return json.dumps({"error": self.error, "error_description": self.description}).encode()


@dataclasses.dataclass(frozen=True)
class Issued:
    """An access token."""

    token: str
    scope: str
    expires_at: float
    """On the monotonic clock of the simulator."""
    assertion: str


class TokenEndpoint:
    """Exchanges identity tokens by the rules of a directory, and knows the tokens it issued."""

    def __init__(
        self,
        directory: Directory,
        *,
        lifetime: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the lifetime of all tokens in seconds; None: as the rule says."""
        self.directory = directory
        self.lifetime = lifetime
        self.needs_service_account = True
        """The documentation requires ``service_account_id``; the official SDK does not."""
        self.requests: list[dict[str, Any]] = []
        """Well-formed token requests, also those that were refused."""
        self.issued: list[Issued] = []
        """All access tokens, oldest first: one per exchange."""
        self._clock = clock
        self._by_token: dict[str, Issued] = {}
        self._used_ids: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    # -- use

    def kind(self, token: str) -> str | None:
        """Return the kind of a credential: O with the scope org:admin, T without; None if unknown.

        Raises `ApiError` for a token that has expired.
        """
        issued = self._by_token.get(token)
        if issued is None:
            return None
        if issued.expires_at <= self._clock():
            message = "OAuth token has expired. Obtain a new token, or refresh the existing one."
            raise ApiError(401, "authentication_error", message)
        return "O" if ADMIN_SCOPE in issued.scope.split() else "T"

    def revoke(self) -> None:
        """End all access tokens."""
        for token, issued in self._by_token.items():
            self._by_token[token] = dataclasses.replace(issued, expires_at=0)

    # -- exchange

    def exchange(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Return the response to a token request. Raises `OAuthError`."""
        request = _request(headers, body)
        with self._lock:
            self.requests.append(request)
        if request["organization_id"] != self.directory.organization.id:
            raise OAuthError(400, "invalid_grant", "organization_id: no such organization")
        rules = {row["id"]: row for row in self.directory.federation_rules}
        rule = rules.get(request["federation_rule_id"])
        if rule is None or rule["archived_at"]:
            raise OAuthError(400, "invalid_grant", "federation rule not found or archived")
        claims = self._verified(request["assertion"], rule)
        self._check_account(request.get("service_account_id"), rule)
        _check_workspace(request.get("workspace_id"), rule)
        remaining = claims["exp"] - time.time()
        lifetime = max(60, min(rule["token_lifetime_seconds"], 2 * remaining))
        if self.lifetime is not None:
            lifetime = self.lifetime
        issued = Issued(
            f"sk-ant-oat01-{secrets.token_urlsafe(48)}",
            rule["oauth_scope"],
            self._clock() + lifetime,
            request["assertion"],
        )
        with self._lock:
            self.issued.append(issued)
            self._by_token[issued.token] = issued
        return {
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": int(lifetime),
            "scope": issued.scope,
        }

    def _verified(self, assertion: str, rule: Row) -> dict[str, Any]:
        """Return the claims of an identity token that satisfies the rule and its issuer."""
        claims = _decoded(assertion)
        issuer = next(r for r in self.directory.federation_issuers if r["id"] == rule["issuer_id"])
        now = time.time()
        if not all(isinstance(claims.get(name), (int, float)) for name in ("exp", "iat")):
            raise _refused("the assertion must have exp and iat")
        if claims["exp"] <= now:
            raise _refused("the assertion has expired")
        if claims["iat"] > now + 60:
            raise _refused("the assertion was issued in the future")
        if claims["exp"] - claims["iat"] > issuer["max_jwt_lifetime_seconds"]:
            raise _refused("the assertion lives longer than its issuer allows")
        if claims.get("iss") != issuer["issuer_url"] or issuer["archived_at"]:
            raise _refused("the issuer of the assertion does not match")
        audiences = claims.get("aud")
        audiences = audiences if isinstance(audiences, list) else [audiences]
        if (rule["match"].get("audience") or AUDIENCE) not in audiences:
            raise _refused("the audience of the assertion does not match")
        if not _matches(rule["match"], claims):
            raise _refused("the subject or the claims of the assertion do not match")
        if issuer["check_jti"] and claims.get("jti") is not None:
            with self._lock:
                if (issuer["id"], claims["jti"]) in self._used_ids:
                    raise _refused("the jti of the assertion has been used")
                self._used_ids.add((issuer["id"], claims["jti"]))
        return claims

    def _check_account(self, given: str | None, rule: Row) -> None:
        target = rule["target"]["service_account_id"]
        if given is None and self.needs_service_account:
            raise OAuthError(400, "invalid_request", "service_account_id: field required")
        if given not in {None, target}:
            description = "service_account_id is not the target of the federation rule"
            raise OAuthError(400, "invalid_grant", description)
        account = next(r for r in self.directory.service_accounts if r["id"] == target)
        if account["archived_at"]:
            raise OAuthError(400, "invalid_grant", "the service account is archived")


def _request(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Return the fields of a token request."""
    betas = {part.strip() for part in headers.get("anthropic-beta", "").split(",")}
    if FEDERATION_BETA not in betas:
        description = f"anthropic-beta: {FEDERATION_BETA} is required"
        raise OAuthError(400, "invalid_request", description)
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise OAuthError(400, "invalid_request", "content-type: must be application/json")
    try:
        request = json.loads(body)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise OAuthError(400, "invalid_request", "the body must be a JSON object")
    if request.get("grant_type") != GRANT_TYPE:
        raise OAuthError(400, "unsupported_grant_type", f"grant_type: must be {GRANT_TYPE}")
    for name in sorted(REQUIRED - request.keys()):
        raise OAuthError(400, "invalid_request", f"{name}: field required")
    for name in sorted(request.keys() - REQUIRED - OPTIONAL):
        raise OAuthError(400, "invalid_request", f"{name}: extra inputs are not permitted")
    for name, value in request.items():
        if not isinstance(value, str) or not value:
            raise OAuthError(400, "invalid_request", f"{name}: must be a string that is not empty")
    return request


def _refused(description: str) -> OAuthError:
    return OAuthError(400, "invalid_grant", description)


def _decoded(assertion: str) -> dict[str, Any]:
    parts = assertion.split(".")
    if len(assertion) > MAX_ASSERTION_BYTES:
        raise _refused("the assertion is too long")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise _refused("the assertion is not a JWT")
    try:
        header, claims = (json.loads(_unpadded(part)) for part in parts[:2])
    except ValueError:
        raise _refused("the assertion is not a JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise _refused("the assertion is not a JWT")
    if header.get("alg") not in ALGORITHMS:
        raise _refused("the algorithm of the assertion is not allowed")
    return claims


def _unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _matches(match: Row, claims: Mapping[str, Any]) -> bool:
    """Whether the subject and the claims are those of a rule."""
    prefix, subject = match.get("subject_prefix"), claims.get("sub")
    if not isinstance(subject, str):
        return False
    if prefix is not None and not (
        subject.startswith(prefix[:-1]) if prefix.endswith("*") else subject == prefix
    ):
        return False
    if any(claims.get(name) != value for name, value in (match.get("claims") or {}).items()):
        return False
    if (condition := match.get("condition")) is None:
        return True
    name, least = _CONDITION.fullmatch(condition).groups()  # type: ignore[union-attr]
    return isinstance(claims.get(name), int) and claims[name] > int(least)


def _check_workspace(given: str | None, rule: Row) -> None:
    """Refuse a workspace that the rule is not enabled for, and an ambiguous one."""
    enabled = {DEFAULT_WORKSPACE if row == "default" else row for row in rule["workspace_ids"]}
    everywhere = rule["applies_to_all_workspaces"]
    if given is None:
        if not everywhere and len(enabled) > 1 and DEFAULT_WORKSPACE not in enabled:
            description = "workspace_id: required, because the rule has several workspaces"
            raise OAuthError(400, "invalid_request", description)
        return
    wanted = DEFAULT_WORKSPACE if given == "default" else given
    if not everywhere and wanted not in enabled:
        raise OAuthError(400, "invalid_grant", "workspace_id: the rule is not enabled for it")


# -- what a workload has


def admin_rule(directory: Directory) -> Row:
    """Return a federation rule that grants org:admin, and that an exchange can use."""
    archived = {
        row["id"]
        for row in (*directory.federation_issuers, *directory.service_accounts)
        if row["archived_at"]
    }
    return next(
        rule
        for rule in directory.federation_rules
        if rule["oauth_scope"] == ADMIN_SCOPE
        and not rule["archived_at"]
        and not {rule["issuer_id"], rule["target"]["service_account_id"]} & archived
    )


def identity_token(directory: Directory, rule: Row, **claims: Any) -> str:
    """Return an identity token that satisfies a rule; ``claims`` replace its own, None removes."""
    issuer = next(row for row in directory.federation_issuers if row["id"] == rule["issuer_id"])
    match, now = rule["match"], time.time()
    prefix = match.get("subject_prefix") or "workload*"
    own: dict[str, Any] = {
        "iss": issuer["issuer_url"],
        "aud": match.get("audience") or AUDIENCE,
        "sub": prefix.removesuffix("*") + "main" if prefix.endswith("*") else prefix,
        "iat": int(now),
        "exp": int(now) + 600,
        **(match.get("claims") or {}),
    }
    if match.get("condition"):
        own["level"] = 4
    own = {name: value for name, value in {**own, **claims}.items() if value is not None}
    header = {"alg": "RS256", "kid": "1", "typ": "JWT"}
    parts = [json.dumps(part).encode() for part in (header, own)]
    return ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (*parts, secrets.token_bytes(256))
    )
