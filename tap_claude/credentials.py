"""Which credential reads what (docs: api/overview, authentication).

A credential is named like its setting. `CONSOLE` credentials belong to one Console organization,
`ENTERPRISE` ones to one Claude Enterprise organization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# The preferred one comes first: the OAuth token is used only where there is no Admin key, or where
# no key will do.
CONSOLE = ("admin_api_key", "access_token")
OAUTH = ("access_token",)
ENTERPRISE = ("analytics_api_key",)
CREDENTIALS = (*CONSOLE, *ENTERPRISE)

ORGANIZATION_TYPE = {
    "admin_api_key": "console",
    "access_token": "console",
    "analytics_api_key": "enterprise",
}

OAUTH_BETA = "oauth-2025-04-20"
"""Beta header of every request with a Bearer token; the official SDK sends it, too."""


def credential_for(
    configured: Collection[str], accepted: Iterable[str], organization_type: str | None = None
) -> str | None:
    """Return the first configured credential of those accepted, for one kind of organization."""
    for name in accepted:
        if name in configured and organization_type in {None, ORGANIZATION_TYPE[name]}:
            return name
    return None


def organization_types(credentials: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of organization that credentials belong to, in their order."""
    return tuple(dict.fromkeys(ORGANIZATION_TYPE[name] for name in credentials))


def auth_headers(credential: str, secret: str) -> dict[str, str]:
    """Return the headers that authenticate a request."""
    if credential == "access_token":
        return {"authorization": f"Bearer {secret}"}
    return {"x-api-key": secret}


def access_needed(accepted: Iterable[str], scope: str | None) -> str:
    """Say which credential a stream needs, and with which scope."""
    accepted = tuple(accepted)
    kinds = []
    if "admin_api_key" in accepted:
        kinds.append("an Admin API key (admin_api_key)")
    elif "access_token" in accepted:
        kinds.append("an OAuth token (access_token) with the scope org:admin")
    if "analytics_api_key" in accepted:
        kinds.append(f"an Enterprise key (analytics_api_key) with the scope {scope}")
    return " or ".join(kinds)
