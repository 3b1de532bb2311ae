"""Issuers and rules of workload identity federation (docs: api/admin)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.organization import DEFAULT_WORKSPACE, new_id
from simulator.times import moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.directory import Directory

Row = dict[str, Any]


def issuers(directory: Directory, count: int) -> list[Row]:
    """Return who may issue identity tokens, newest first."""
    rng = directory.rng("federation_issuers")
    rows = []
    for number, created_at in enumerate(moments(rng, count)):
        url = f"https://idp-{number}.example.com"
        jwks = (
            {"type": "discovery", "discovery_base": url, "ca_cert_pem": None},
            {"type": "explicit_url", "url": f"{url}/jwks.json"},
            {"type": "inline", "keys": [{"kty": "EC", "crv": "P-256", "kid": str(number)}]},
        )[number % 3]
        broken = number % 6 == 1
        poll = {
            "consecutive_failures": 8 if broken else 0,
            "last_fetched_at": None if broken else "2025-12-31T23:00:00Z",
            "next_poll_at": None if broken else "2026-01-01T00:00:00.5Z",
        }
        rows.append(
            {
                "id": new_id(rng, "fdis"),
                "type": "federation_issuer",
                "name": f"idp-{number}",
                "issuer_url": url,
                "jwks": jwks,
                "jwks_polling_disabled_at": "2025-12-31T23:30:00Z" if broken else None,
                "poll_status": None if jwks["type"] == "inline" else poll,
                "check_jti": number % 2 == 0,
                "max_jwt_lifetime_seconds": 3600,
                **directory.life(rng, created_at, archived=number % 4 == 3),
            }
        )
    return rows


def rules(directory: Directory, count: int) -> list[Row]:
    """Return which identity token becomes which service account, newest first."""
    rng = directory.rng("federation_rules")
    matches: Sequence[Row] = (
        {"subject_prefix": "repo:example/app:*"},
        {"claims": {"team": "data"}, "audience": "https://api.anthropic.com"},
        {"condition": "claims.level > 3", "subject_prefix": None},
    )
    rows = []
    for number, created_at in enumerate(moments(rng, count)):
        issuer = rng.choice(directory.federation_issuers)
        account = rng.choice(directory.service_accounts)
        target = {"type": "service_account", "service_account_id": account["id"]}
        if number % 3:
            target["service_account_name"] = account["name"] if number % 3 == 1 else None
        everywhere = number % 5 == 4
        # A rule for several workspaces needs a workspace_id in the exchange.
        workspaces = [row["id"] for row in rng.sample(directory.workspaces, 2)]
        is_admin = number % 4 == 0
        rows.append(
            {
                "id": new_id(rng, "fdrl"),
                "type": "federation_rule",
                "name": f"rule-{number}",
                "description": f"Rule {number}" if number % 2 else None,
                "issuer_id": issuer["id"],
                "issuer_name": issuer["name"] if number % 7 else None,
                "match": matches[number % 3],
                "target": target,
                "oauth_scope": "org:admin"
                if is_admin
                else "workspace:developer workspace:inference",
                "token_lifetime_seconds": 900,
                "applies_to_all_workspaces": everywhere,
                "workspace_ids": []
                if everywhere
                else [DEFAULT_WORKSPACE]
                if is_admin
                else workspaces,
                **directory.life(rng, created_at, archived=number % 4 == 3),
            }
        )
    return rows
