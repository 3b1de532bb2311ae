"""Rows of the Admin API's lists, in the format of API version 2026-10-21 (docs: api/admin)."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

from simulator import federation_lists, rate_limits
from simulator.organization import DEFAULT_WORKSPACE, filled, new_id
from simulator.times import FOUNDED, moments, text_at

if TYPE_CHECKING:
    from simulator.organization import Organization

Row = dict[str, Any]

CONSOLE_ROLES = ("user", "developer", "billing", "admin", "claude_code_user")
ENTERPRISE_ROLES = ("user", "owner", "primary_owner", "membership_admin", "managed")
INVITE_STATUSES = ("pending", "accepted", "expired")
KEY_STATUSES = ("active", "inactive", "archived", "expired")

_FAR = "2040-01-01T00:00:00Z"
_INVITE_LIFE = dt.timedelta(days=21)
_WORKSPACE_ROLES = (
    "workspace_user",
    "workspace_developer",
    "workspace_restricted_developer",
    "workspace_admin",
    "workspace_billing",
)


class Directory:
    """The rows of every list, in the API's order: newest first."""

    def __init__(
        self,
        organization: Organization,
        *,
        users: int = 45,
        workspaces: int = 45,
        keys: int = 60,
        others: int = 25,
        enterprise: bool = False,
    ) -> None:
        """Generate the lists; ``sizes`` are their lengths, ``others`` the length of all others."""
        self.organization = organization
        self.seed = organization.seed
        self.roles = ENTERPRISE_ROLES if enterprise else CONSOLE_ROLES
        self.enterprise = enterprise
        self.me = {"id": organization.id, "name": "Example Organization", "type": "organization"}
        self.users = self._users(users)
        self.invites = self._invites(others)
        self.external_keys = self._external_keys(others)
        self.workspaces = self._workspaces(workspaces)
        self.service_accounts = self._service_accounts(others)
        self.api_keys = self._api_keys(keys)
        self.rate_limits = rate_limits.of_organization(self.rng("rate_limits"))
        self.federation_issuers = federation_lists.issuers(self, others)
        self.federation_rules = federation_lists.rules(self, others)

    def members(self, workspace_id: str) -> list[Row]:
        """Return the members of a workspace: everybody for the default one, few for others."""
        rng = self.rng(workspace_id)
        members = self.users
        if workspace_id != DEFAULT_WORKSPACE:
            members = rng.sample(members, rng.randrange(min(len(members), 40)))
        return [
            {
                "type": "workspace_member",
                "user_id": user["id"],
                "workspace_id": workspace_id,
                "workspace_role": rng.choice(_WORKSPACE_ROLES),
            }
            for user in members
        ]

    def memberships(self, service_account_id: str) -> list[Row]:
        """Return the workspaces of a service account, implicit one first; none if archived."""
        account = next(row for row in self.service_accounts if row["id"] == service_account_id)
        if account["archived_at"]:
            return []
        rng = self.rng(service_account_id)
        ids = [row["id"] for row in self.workspaces if not row["archived_at"]]
        rows = [
            {
                "type": "service_account_workspace_member",
                "service_account_id": service_account_id,
                "workspace_id": workspace_id,
                "workspace_role": rng.choice(_WORKSPACE_ROLES[:-1]),
                "created_by_actor_id": rng.choice((self._somebody(rng), None)),
                "implicit": rng.choice((False, None)),
            }
            for workspace_id in rng.sample(ids, rng.randrange(min(len(ids), 30)))
        ]
        if all(row["workspace_id"] != DEFAULT_WORKSPACE for row in rows):
            implicit = {"workspace_role": "workspace_user", "implicit": True}
            rows.insert(
                0,
                {
                    "type": "service_account_workspace_member",
                    "service_account_id": service_account_id,
                    "workspace_id": DEFAULT_WORKSPACE,
                    "created_by_actor_id": None,
                    **implicit,
                },
            )
        return rows

    def rng(self, name: str) -> random.Random:
        """Return a separate random source per list, so that lists do not affect each other."""
        return random.Random(f"directory:{self.seed}:{self.enterprise}:{name}")

    def _somebody(self, rng: random.Random) -> str:
        user: str = rng.choice(self.users)["id"]
        return user

    def _users(self, count: int) -> list[Row]:
        rng = self.rng("users")
        ids = filled(self.organization.users, count, rng, "user")
        rows = []
        for number, (id_, added_at) in enumerate(zip(ids, moments(rng, len(ids)), strict=True)):
            person = self.organization.person(number)
            rows.append(
                {
                    "id": id_,
                    "type": "user",
                    "name": person.name,
                    "email": person.email,
                    "role": self.roles[number % len(self.roles)],
                    "added_at": text_at(added_at, rng),
                    "field_of_tomorrow": {"number": number},
                }
            )
        return rows

    def _invites(self, count: int) -> list[Row]:
        rng = self.rng("invites")
        rows = []
        for number, invited_at in enumerate(moments(rng, count)):
            status = INVITE_STATUSES[number % 3]
            accepted_at = invited_at + dt.timedelta(hours=rng.randrange(1, 400))
            rows.append(
                {
                    "id": new_id(rng, "invite"),
                    "type": "invite",
                    # Only people who have accepted are users.
                    "email": rng.choice(self.users)["email"]
                    if status == "accepted"
                    else f"invited.{number}@example.com",
                    "role": self.roles[number % len(self.roles)],
                    "status": status,
                    "invited_at": text_at(invited_at, rng),
                    "expires_at": _FAR
                    if status == "pending"
                    else text_at(invited_at + _INVITE_LIFE, rng),
                    "accepted_at": text_at(accepted_at, rng) if status == "accepted" else None,
                    "rbac_group_ids": [new_id(rng, "rbac_group")]
                    if self.enterprise and number % 2
                    else [],
                }
            )
        return rows

    def _external_keys(self, count: int) -> list[Row]:
        rng = self.rng("external_keys")
        tenant = "7a1c0f7e-0000-4000-8000-000000000001"
        vault = {"tenant_id": tenant, "vault_uri": "https://example.vault.azure.net"}
        rows = []
        for number, created_at in enumerate(moments(rng, count)):
            arn = f"arn:aws:kms:us-east-1:111122223333:key/{number}"
            configs = (
                {"type": "aws", "kms_arn": arn, "region": "us-east-1"},
                {"type": "gcp", "key_name": f"projects/example/cryptoKeys/{number}"},
                {"type": "azure", "key_name": f"key-{number}", **vault, "client_id": None},
                {"type": "aws", "kms_arn": arn},
                {"type": "azure", "key_name": f"key-{number}", **vault, "client_id": tenant},
            )
            rows.append(
                {
                    "id": new_id(rng, "ekey"),
                    "type": "external_key",
                    "display_name": None if number % 4 == 1 else f"cmek-{number}",
                    "geo": "us",
                    "provider_config": configs[number % len(configs)],
                    # Even ones are used by workspaces.
                    "attachment": {"type": "unattached" if number % 2 else "attached"},
                    "user_profile_id": new_id(rng, "uprof") if number % 6 == 5 else None,
                    "created_at": text_at(created_at, rng),
                    "updated_at": text_at(created_at + dt.timedelta(days=1), rng),
                }
            )
        return rows

    def _workspaces(self, count: int) -> list[Row]:
        rng = self.rng("workspaces")
        attached = [
            row["id"] for row in self.external_keys if row["attachment"]["type"] == "attached"
        ]
        ids = filled(self.organization.workspaces, count, rng, "wrkspc")
        times = [FOUNDED, *moments(rng, len(ids) - 1)]
        rows = []
        for number, (id_, created_at) in enumerate(zip(ids, times, strict=True)):
            archived_at = created_at + dt.timedelta(days=30)
            geos = ("unrestricted", ["us"], ["global", "us"])[number % 3]
            rows.append(
                {
                    "id": id_,
                    "type": "workspace",
                    "name": f"Team {number}" if number else "Default",
                    "display_color": f"#{rng.randrange(256**3):06X}",
                    "created_at": text_at(created_at, rng),
                    "archived_at": text_at(archived_at, rng) if number % 4 == 3 else None,
                    "compartment_id": new_id(rng, "cmpt"),
                    "external_key_id": rng.choice(attached)
                    if attached and number % 5 == 2
                    else None,
                    "user_profile_id": new_id(rng, "uprof") if number % 7 == 6 else None,
                    "tags": {"team": f"team-{number}", "cost.centre": str(number % 9)}
                    if number % 2
                    else {},
                    "data_residency": {
                        "workspace_geo": "us",
                        "default_inference_geo": "us" if geos == ["us"] else "global",
                        "allowed_inference_geos": geos,
                    },
                }
            )
        return rows

    def _service_accounts(self, count: int) -> list[Row]:
        rng = self.rng("service_accounts")
        ids = filled(self.organization.service_accounts, count, rng, "svac")
        return [
            {
                "id": id_,
                "type": "service_account",
                "name": f"service-{number}",
                "description": f"Service {number}" if number % 2 else None,
                "organization_role": ("developer", "admin")[number % 2],
                **self.life(rng, created_at, archived=number % 4 == 3),
            }
            for number, (id_, created_at) in enumerate(
                zip(ids, moments(rng, len(ids)), strict=True)
            )
        ]

    def _api_keys(self, count: int) -> list[Row]:
        rng = self.rng("api_keys")
        known = self.organization.keys
        ids = filled([key.id for key in known], count, rng, "apikey")
        rows = []
        for number, (id_, created_at) in enumerate(zip(ids, moments(rng, len(ids)), strict=True)):
            status = KEY_STATUSES[number % 4]
            user = {"type": "user_actor", "user_id": self._somebody(rng)}
            service = rng.choice(self.service_accounts)["id"]
            agent = {"type": "service_account_actor", "service_account_id": service}
            principal = (None, user, agent)[number % 3]
            creators = (
                {"id": self._somebody(rng), "type": "user"},
                {"id": service, "type": "service_account"},
                None,
            )
            scope = {"type": "organization"}
            if number < len(known):
                scope = {"type": "workspace", "workspace_id": known[number].workspace_id}
            elif principal is None or rng.random() < 0.5:  # only keys with a principal have none
                scope = {"type": "workspace", "workspace_id": rng.choice(self.workspaces)["id"]}
            expires_at = {
                "expired": text_at(created_at + dt.timedelta(days=20), rng),
                "active": _FAR,
            }
            rows.append(
                {
                    "id": id_,
                    "type": "api_key",
                    "name": known[number].name if number < len(known) else f"key-{number}",
                    "status": status,
                    "created_at": text_at(created_at, rng),
                    "expires_at": None if number % 8 == 0 else expires_at.get(status),
                    "partial_key_hint": None if number % 6 == 5 else f"sk-ant-api03-{id_[-3:]}...",
                    "created_by": rng.choices(creators, weights=(8, 1, 1))[0] if number else None,
                    "principal": principal,
                    "scope": scope,
                }
            )
        return rows

    def life(self, rng: random.Random, created_at: dt.datetime, *, archived: bool) -> Row:
        """Return the times of creation, change and archiving, and the actors if known."""
        day = dt.timedelta(days=1)
        return {
            "created_at": text_at(created_at, rng),
            "updated_at": text_at(created_at + day, rng),
            "archived_at": text_at(created_at + 2 * day, rng) if archived else None,
            "created_by_actor_id": rng.choice((self._somebody(rng), None)),
            "updated_by_actor_id": rng.choice((self._somebody(rng), None)),
            "archived_by_actor_id": self._somebody(rng) if archived else None,
        }
