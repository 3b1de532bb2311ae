"""Which credential reads what (docs: api/overview, authentication).

A credential has the name of its setting. `CONSOLE` credentials belong to one Console organization,
`ENTERPRISE` credentials to one Claude Enterprise organization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FEDERATION = "federation_rule_id"
"""The credential of workload identity federation; its access tokens come from `federation`."""

# In order of preference: an OAuth token is used only if there is no Admin key, or if the stream
# does not accept a key.
OAUTH = ("access_token", FEDERATION)
CONSOLE = ("admin_api_key", *OAUTH)
ENTERPRISE = ("analytics_api_key",)
WORKSPACE = ("workspace_api_key",)
"""Reads what belongs to workspaces: agents, sessions, files. Admin keys cannot."""
COMPLIANCE = ("compliance_api_key",)
CREDENTIALS = (*CONSOLE, *ENTERPRISE, *WORKSPACE, *COMPLIANCE)

ORGANIZATION_TYPE = {
    "admin_api_key": "console",
    "access_token": "console",
    FEDERATION: "console",
    "analytics_api_key": "enterprise",
    "workspace_api_key": "console",
    "compliance_api_key": "enterprise",
}

OAUTH_BETA = "oauth-2025-04-20"
"""Beta header of every request with a Bearer token, as in the official SDK."""
FEDERATION_BETA = "oidc-federation-2026-04-01"
"""Beta header of the request that exchanges an identity token, and of no other."""


def credential_for(
    configured: Collection[str], accepted: Iterable[str], organization_type: str | None = None
) -> str | None:
    """Return the first accepted credential that is configured, for one kind of organization."""
    for name in accepted:
        if name in configured and organization_type in {None, ORGANIZATION_TYPE[name]}:
            return name
    return None


def organization_types(credentials: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of organization that credentials belong to, in their order."""
    return tuple(dict.fromkeys(ORGANIZATION_TYPE[name] for name in credentials))


def auth_headers(credential: str, secret: str) -> dict[str, str]:
    """Return the headers that authenticate a request."""
    if credential in OAUTH:
        return {"authorization": f"Bearer {secret}"}
    return {"x-api-key": secret}


def access_needed(accepted: Iterable[str], scope: str | None) -> str:
    """Describe the credential and scope that a stream needs."""
    accepted = tuple(accepted)
    kinds = []
    if "admin_api_key" in accepted:
        kinds.append("an Admin API key (admin_api_key)")
    elif "access_token" in accepted:
        kinds.append("an OAuth token (access_token or federation) with the scope org:admin")
    if "analytics_api_key" in accepted:
        kinds.append(f"an Enterprise key (analytics_api_key) with the scope {scope}")
    if "workspace_api_key" in accepted:
        kinds.append("an API key of a workspace or of the organization (workspace_api_key)")
    if "compliance_api_key" in accepted:
        kinds.append(f"a Compliance access key (compliance_api_key) with the scope {scope}")
    return " or ".join(kinds)
