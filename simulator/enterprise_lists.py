"""Lists that exist only in Claude Enterprise: RBAC groups, roles and spend limits."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.admin_lists import OLD_VERSION, check_known, cursor_page, not_found
from simulator.directory import Directory, Row
from simulator.organization import filled, new_id
from simulator.query import Query, invalid
from simulator.times import moments, text_at

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from simulator.admin_lists import ListCall
    from simulator.attribution import Cast

BETA = "spend-limit-reads-2026-09-26"
PERIODS = ("daily", "weekly", "monthly")
REQUEST_STATUSES = ("pending", "approved", "denied")
SCOPE_TYPES = (
    "organization",
    "organization_service",
    "rbac_group",
    "seat_tier",
    "usage_tier",
    "user",
    "workspace",
)
_TEAM_NAMES = ("Engineering", "Finance", "Support")
_BUILT_IN = ("Owner", "Admin", "Member")
_TIERS = ("standard", "premium", "tier_of_tomorrow")


class EnterpriseDirectory(Directory):
    """A directory with the lists of Claude Enterprise, newest first."""

    def __init__(self, cast: Cast, *, others: int = 25, **sizes: int) -> None:
        """Generate the lists; the first groups are those of the reports."""
        super().__init__(cast.organization, others=others, enterprise=True, **sizes)
        self.cast = cast
        self.rbac_roles = self._rbac_roles(others)
        self.rbac_groups = self._rbac_groups(others)
        self.scoped_key = new_id(self.rng("scoped_key"), "apikey")
        self.spend_limits = self._spend_limits()
        self.spend = self._spend()
        self.increase_requests = self._increase_requests(others)

    def group_members(self, group_id: str, date: dt.date) -> list[Row]:
        """Return the members of a group on a day; groups of the reports have the same users."""
        rng = self.rng(group_id)
        if group_id in {team.id for team in self.cast.teams}:
            members = [
                user for user in self.users if group_id in self.cast.teams_of(user["id"], date)
            ]
        elif group_id == self.rbac_groups[-1]["id"]:
            members = []
        else:
            members = rng.sample(self.users, rng.randrange(1, min(len(self.users), 40)))
        return [
            {
                "type": "rbac_group_member",
                "rbac_group_id": group_id,
                "user_id": user["id"],
                "email": user["email"],
                "created_at": text_at(joined_at, rng),
            }
            for user, joined_at in zip(members, moments(rng, len(members)), strict=True)
        ]

    def permissions(self, role_id: str) -> list[Row]:
        """Return the permissions of a role, on every type of resource."""
        rng = self.rng(role_id)
        resources: list[tuple[str, Row]] = [
            (
                "capability_access_all",
                {"type": "organization", "organization_id": self.organization.id},
            ),
            ("interactive", {"type": "all_connectors"}),
        ]
        for number in range(rng.randrange(1, 9)):
            connector = {"connector_id": new_id(rng, "mcpsrv")}
            tool, scope = f"tool_{number}", f"files_read_{rng.getrandbits(128):032x}"
            resources += [
                (rng.choice(("use", "managed")), {"type": "connector", **connector}),
                ("always_allow", {"type": "connector_tool", **connector, "tool_name": tool}),
                ("grant", {"type": "connector_scope", **connector, "scope": scope}),
            ]
        return [
            {"type": "rbac_role_permission", "action": action, "resource": resource}
            for action, resource in resources
        ]

    def _rbac_roles(self, count: int) -> list[Row]:
        rng = self.rng("rbac_roles")
        names = [*_BUILT_IN, *(f"Role {number}" for number in range(len(_BUILT_IN), count))]
        return [
            {
                "id": new_id(rng, "rbac_role"),
                "type": "rbac_role",
                "display_name": name,
                "source": {"type": "built_in" if name in _BUILT_IN else "custom"},
                **_life(created_at, rng),
            }
            for name, created_at in zip(names, moments(rng, len(names)), strict=True)
        ]

    def _rbac_groups(self, count: int) -> list[Row]:
        rng = self.rng("rbac_groups")
        ids = filled([team.id for team in self.cast.teams], count, rng, "rbac_group")
        # Names of groups are not unique.
        names = [*_TEAM_NAMES, *(f"Group {number // 2}" for number in range(len(ids)))]
        roles = [role["id"] for role in self.rbac_roles]
        return [
            {
                "id": id_,
                "type": "rbac_group",
                "name": names[number],
                "source_type": ("direct", "scim")[number % 2],
                # Null: unknown at the moment.
                "role_ids": {1: None, 2: []}.get(number, rng.sample(roles, 1 + number % 3)),
                **_life(created_at, rng),
            }
            for number, (id_, created_at) in enumerate(
                zip(ids, moments(rng, len(ids)), strict=True)
            )
        ]

    def _spend_limits(self) -> list[Row]:
        rng = self.rng("spend_limits")
        scopes_and_periods: list[tuple[Row, str]] = [
            *(({"type": "organization"}, period) for period in PERIODS),
            ({"type": "usage_tier"}, "monthly"),
            ({"type": "workspace", "workspace_id": self.workspaces[1]["id"]}, "monthly"),
            *(
                ({"type": "organization_service", "service": name}, "monthly")
                for name in ("claude_code", "chat")
            ),
            *(({"type": "seat_tier", "seat_tier": tier}, "monthly") for tier in _TIERS),
            *(
                ({"type": "rbac_group", "rbac_group_id": group["id"]}, period)
                for group, period in zip(self.rbac_groups, PERIODS, strict=False)
            ),
            *(
                ({"type": "user", "user_id": user["id"]}, PERIODS[number % 3])
                for number, user in enumerate(self.users[::2])
            ),
        ]
        times = moments(rng, len(scopes_and_periods))
        return [
            {
                "id": new_id(rng, "spl"),
                "type": "spend_limit",
                "scope": scope,
                "period": period,
                # Null: no limit.
                "amount": None if number % 7 == 6 else str(rng.randrange(1, 2000) * 500),
                "currency": "USD",
                # The organization's daily limit is disabled.
                "is_enabled": number > 0,
                **_life(created_at, rng),
            }
            for number, ((scope, period), created_at) in enumerate(
                zip(scopes_and_periods, times, strict=True)
            )
        ]

    def _spend(self) -> list[list[Row]]:
        """Return the rows of each member, one per period; the last member is a key."""
        rng = self.rng("spend")
        date = dt.date(2026, 1, 1)
        members = []
        for number, user in enumerate(self.users):
            scope = {"type": "user", "user_id": user["id"]}
            tier = {"type": "seat_tier", "seat_tier": _TIERS[number % 3]}
            teams = self.cast.teams_of(user["id"], date)
            groups = [{"type": "rbac_group", "rbac_group_id": id_} for id_ in teams]
            sources = (scope, *groups, tier, {"type": "organization"})
            members.append(
                [
                    self._spent(_user_actor(user), scope, period, sources, rng)
                    for period in _some_periods(number)
                ]
            )
        # One member exceeds the limit.
        over = next(row for rows in members for row in rows if row["amount"])
        over["period_to_date_spend"] = str(int(over["amount"]) + 1234)
        scope = {"type": "organization"}
        key = {"type": "scoped_api_key_actor", "scoped_api_key_id": self.scoped_key}
        return [*members, [self._spent(key, scope, "monthly", (scope,), rng)]]

    def _spent(
        self, actor: Row, scope: Row, period: str, sources: Sequence[Row], rng: random.Random
    ) -> Row:
        """Return the most specific limit of a member in a period, and the spend."""
        limit = next(
            row
            for source in sources
            for row in self.spend_limits
            if row["scope"] == source and row["period"] == period
        )
        part = rng.choice((Decimal(0), Decimal("0.25"), Decimal("0.912345")))
        spend = part * Decimal(limit["amount"] or rng.randrange(10_000))
        return {
            "actor": actor,
            "scope": scope,
            "period": period,
            "amount": limit["amount"],
            "currency": "USD",
            "source": limit["scope"],
            "spend_limit_id": limit["id"],
            "period_to_date_spend": format(round(spend, 3).normalize(), "f"),
        }

    def _increase_requests(self, count: int) -> list[Row]:
        rng = self.rng("increase_requests")
        owners = [user for user in self.users if user["role"] in {"owner", "primary_owner"}]
        key = {"type": "scoped_api_key_actor", "scoped_api_key_id": self.scoped_key}
        former = {"type": "user_actor", "user_id": self.cast.former_users[1], "deleted": True}
        rows = []
        for number, created_at in enumerate(moments(rng, count)):
            summary: Row | None = rng.choice(rng.choice(self.spend[:-1]))
            assert summary
            actor, period = summary["actor"], summary["period"]
            if number % 8 == 7:
                actor, summary = {**former, "email_address": None, "name": None}, None
            status = REQUEST_STATUSES[number % 3]
            resolved_at = created_at + dt.timedelta(hours=rng.randrange(1, 90))
            by = key if number % 4 == 1 else _user_actor(rng.choice(owners))
            pending = status == "pending"
            rows.append(
                {
                    "id": new_id(rng, "splir"),
                    "type": "spend_limit_increase_request",
                    "actor": actor,
                    "period": period,
                    "status": status,
                    "created_at": text_at(created_at, rng),
                    "resolved_at": None if pending else text_at(resolved_at, rng),
                    "resolved_by": None if pending else by,
                    "spend_summary": summary if number % 5 else None,
                }
            )
        return rows


def _life(created_at: dt.datetime, rng: random.Random) -> Row:
    updated_at = created_at + dt.timedelta(hours=rng.randrange(500))
    return {"created_at": text_at(created_at, rng), "updated_at": text_at(updated_at, rng)}


def _some_periods(number: int) -> tuple[str, ...]:
    """Return the periods that a member has limits for: one, two or all."""
    return (("monthly",), ("daily", "monthly"), PERIODS, ("weekly",))[number % 4]


def _user_actor(user: Row) -> Row:
    return {
        "type": "user_actor",
        "user_id": user["id"],
        "email_address": user["email"],
        "name": user["name"],
        "deleted": False,
    }


# -- responses


def rbac_groups(call: ListCall) -> Row:
    """Return the response of ``rbac_groups``."""
    page = _page(call, _lists(call).rbac_groups)
    if call.version == OLD_VERSION:
        page["has_more"] = page["next_page"] is not None
        page["data"] = [_old_group(row) for row in page["data"]]
    return page


def rbac_group_members(call: ListCall) -> Row:
    """Return the response of ``rbac_groups/{id}/members``."""
    check_known(call.parent, _lists(call).rbac_groups)
    return _page(call, _lists(call).group_members(call.parent, call.now.date()))


def rbac_roles(call: ListCall) -> Row:
    """Return the response of ``rbac_roles``."""
    page = _page(call, _lists(call).rbac_roles)
    if call.version == OLD_VERSION:
        page["data"] = [{**row, "name": row["display_name"]} for row in page["data"]]
    return page


def rbac_role_permissions(call: ListCall) -> Row:
    """Return the response of ``rbac_roles/{id}/permissions``."""
    if all(row["id"] != call.parent for row in _lists(call).rbac_roles):
        error = not_found(call.parent)
        error.code = "rbac_role_not_found"
        raise error
    return _page(call, _lists(call).permissions(call.parent))


def spend_limits(call: ListCall) -> Row:
    """Return the response of ``spend_limits``."""
    query = call.query
    if BETA not in call.betas:
        raise invalid(f"anthropic-beta: header is required, {BETA}")
    types = query.many("scope_type", SCOPE_TYPES) or SCOPE_TYPES
    workspace = query.text("workspace_id")
    return _page(
        call,
        [
            row
            for row in _lists(call).spend_limits
            if row["scope"]["type"] in types
            and workspace in (None, row["scope"].get("workspace_id"))
        ],
    )


def effective_spend_limits(call: ListCall) -> Row:
    """Return the response of ``spend_limits/effective``: all rows of a page of members."""
    users = _user_ids(call.query, "user_ids")
    if len(users) > 100:
        raise invalid("user_ids[]: List should have at most 100 items")
    periods = call.query.many("period", PERIODS) or PERIODS
    members = [
        rows
        for member in _lists(call).spend
        if (rows := [row for row in member if row["period"] in periods])
        and (not users or rows[0]["actor"].get("user_id") in users)
    ]
    page = _page(call, members)
    return {**page, "data": [row for rows in page["data"] for row in rows]}


def increase_requests(call: ListCall) -> Row:
    """Return the response of ``spend_limit_increase_requests``."""
    actors = _user_ids(call.query, "actor_ids")
    statuses = call.query.many("status", REQUEST_STATUSES) or REQUEST_STATUSES
    return _page(
        call,
        [
            row
            for row in _lists(call).increase_requests
            if row["status"] in statuses and (not actors or row["actor"]["user_id"] in actors)
        ],
    )


def _lists(call: ListCall) -> EnterpriseDirectory:
    assert isinstance(call.directory, EnterpriseDirectory)
    return call.directory


def _page(call: ListCall, rows: list[Any]) -> Row:
    return cursor_page(call.query, rows, call.query.integer("limit", 20, 1, 1000))


def _user_ids(query: Query, name: str) -> list[str]:
    ids = query.many(name)
    if any(not id_.startswith("user_") for id_ in ids):
        raise invalid(f"{name}[]: Input should start with user_")
    return ids


def _old_group(row: Row) -> Row:
    """Return a group in the format of API version 2023-06-01; half of them with the old field."""
    if row["source_type"] == "direct":
        return row
    return {("roles" if name == "role_ids" else name): value for name, value in row.items()}
