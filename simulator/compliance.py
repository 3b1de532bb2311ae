"""The Compliance API: the feed of activities, and the organizations of a parent.

Every key, member and role of the directory has the activity that created it (docs:
manage-claude/compliance-activity-feed).
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from typing import TYPE_CHECKING, Any

from simulator.admin_lists import by_id, cursor_page
from simulator.agents import created_between
from simulator.enterprise_lists import EnterpriseDirectory
from simulator.organization import new_id
from simulator.query import invalid
from simulator.times import text_at

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from simulator.admin_lists import ListCall
    from simulator.directory import Directory, Row

DAY = dt.timedelta(days=1)
MEMBER_DAYS = 400
"""Days before and after the first day in which people join workspaces."""
BROWSERS = ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "python-requests/2.32")
OFFICE = "203.0.113.7"
HOME = "2001:db8::8a2e:370:7334"


def activities(call: ListCall) -> Row:
    """Return the response of ``compliance/activities``."""
    query = call.query
    bounds = {name: query.time(f"created_at.{name}") for name in ("gt", "gte", "lt", "lte")}
    rows = created_between(
        _activities(call.directory, call.facts.first_day, call.now.date()), bounds
    )
    rows = created_between(rows, {"lte": call.now})
    wanted, unwanted = query.many("activity_types"), query.many("exclude_activity_types")
    if wanted and unwanted:
        raise invalid("activity_types[] and exclude_activity_types[] cannot be combined")
    actors = {*query.many("actor_ids"), *query.many("user_ids")}
    organizations = query.many("organization_ids")
    rows = [
        row
        for row in rows
        if (not wanted or row["type"] in wanted)
        and row["type"] not in unwanted
        and (not actors or actors & set(map(str, row["actor"].values())))
        and (not organizations or row["organization_id"] in organizations)
    ]
    if query.choice("order", ("asc", "desc"), "desc") == "desc":
        rows = rows[::-1]
    return by_id(query, rows, default=100, most=5000)


def organizations(call: ListCall) -> Row:
    """Return the response of ``compliance/organizations``, oldest first."""
    rng = call.directory.rng("organizations")
    ids = [
        call.directory.organization.id,
        *(str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(3)),
    ]
    rows = [
        {
            "uuid": id_,
            "name": f"Subsidiary {number}",
            "created_at": f"2024-0{number + 1}-01T00:00:00Z",
        }
        for number, id_ in enumerate(ids)
    ]
    page = cursor_page(call.query, rows, call.query.integer("limit", 1000, 1, 1000))
    return {**page, "has_more": page["next_page"] is not None}


@functools.lru_cache(maxsize=64)
def _activities(directory: Directory, first_day: dt.date, today: dt.date) -> list[Row]:
    """Return all activities, oldest first."""
    rows = [
        *_creations(directory, directory.rng("activities:created")),
        *_joins(directory, first_day, directory.rng("activities:joined")),
    ]
    if isinstance(directory, EnterpriseDirectory):
        rows += _roles(directory, directory.rng("activities:roles"))
    date = first_day
    while date <= today:
        # Separate for each day, so that the past stays as it is.
        rows += _daily(directory, date, directory.rng(f"activities:{date}"))
        date += DAY
    return sorted(rows, key=lambda row: (dt.datetime.fromisoformat(row["created_at"]), row["id"]))


def _creations(directory: Directory, rng: random.Random) -> Iterator[Row]:
    for key in directory.api_keys:
        creator = key["created_by"]
        actor: Row = {"type": "anthropic_actor"}
        if creator:
            actor = {"type": "admin_api_key_actor", "admin_api_key_id": "apikey_01admin"}
            if creator["type"] == "user":
                actor = _user(directory, creator["id"], rng)
        details = {"api_key_id": key["id"], "workspace_id": key["scope"].get("workspace_id")}
        yield _activity(directory, "api_key_created", key["created_at"], actor, rng, **details)
    for account in directory.service_accounts:
        actor = _user(directory, rng.choice(directory.users)["id"], rng)
        yield _activity(
            directory,
            "service_account_created",
            account["created_at"],
            actor,
            rng,
            service_account_id=account["id"],
        )
    for number, user in enumerate(directory.users):
        actor = _user(directory, rng.choice(directory.users)["id"], rng)
        if number % 7 == 6:
            actor = {
                "type": "scim_directory_sync_actor",
                "workos_event_id": f"event_{number}",
                "directory_id": "directory_01",
                "idp_connection_type": "OktaSAML",
            }
        yield _activity(
            directory,
            "organization_user_added",
            user["added_at"],
            actor,
            rng,
            user_id=user["id"],
            invited_email=user["email"],
            role=user["role"],
            request={"client": f"from {OFFICE}, by {user['email']}", "user_agent": BROWSERS[0]},
        )


def _joins(directory: Directory, first_day: dt.date, rng: random.Random) -> Iterator[Row]:
    """Yield an activity for each member of a workspace, around the first day of the history."""
    start = dt.datetime.combine(first_day, dt.time(), dt.UTC) - MEMBER_DAYS * DAY
    for workspace in directory.workspaces:
        for member in directory.members(workspace["id"]):
            yield _activity(
                directory,
                "workspace_member_added",
                text_at(start + 2 * rng.random() * MEMBER_DAYS * DAY, rng),
                _user(directory, rng.choice(directory.users)["id"], rng),
                rng,
                workspace_id=workspace["id"],
                user_id=member["user_id"],
                workspace_role=member["workspace_role"],
            )


def _roles(directory: EnterpriseDirectory, rng: random.Random) -> Iterator[Row]:
    for role in directory.rbac_roles:
        actor = _user(directory, rng.choice(directory.users)["id"], rng)
        yield _activity(
            directory, "rbac_role_created", role["created_at"], actor, rng, rbac_role_id=role["id"]
        )
    for group in directory.rbac_groups:
        for member in directory.group_members(group["id"], dt.date(2026, 1, 1)):
            yield _activity(
                directory,
                "rbac_group_member_added",
                member["created_at"],
                _user(directory, rng.choice(directory.users)["id"], rng),
                rng,
                rbac_group_id=group["id"],
                user_id=member["user_id"],
            )


def _daily(directory: Directory, date: dt.date, rng: random.Random) -> Iterator[Row]:
    """Yield sign-ins, which belong to no organization, and new chats without their names."""
    midnight = dt.datetime.combine(date, dt.time(), dt.UTC)

    def moment() -> str:
        return text_at(midnight + rng.random() * DAY, rng)

    for _ in range(rng.randrange(1, 5)):
        actor = _user(directory, rng.choice(directory.users)["id"], rng)
        row = _activity(directory, "user_signed_in", moment(), actor, rng)
        yield {**row, "organization_id": None, "organization_uuid": None}
    stranger = {
        "type": "unauthenticated_user_actor",
        "unauthenticated_email_address": "stranger@example.com",
        "ip_address": HOME,
        "user_agent": BROWSERS[1],
    }
    row = _activity(directory, "sign_in_failed", moment(), stranger, rng, client_ip=HOME)
    yield {**row, "organization_id": None, "organization_uuid": None}
    if isinstance(directory, EnterpriseDirectory):
        actor = _user(directory, rng.choice(directory.users)["id"], rng)
        chat = new_id(rng, "claude_chat")
        yield _activity(directory, "claude_chat_created", moment(), actor, rng, claude_chat_id=chat)


def _user(directory: Directory, user_id: str, rng: random.Random) -> Row:
    email = next((row["email"] for row in directory.users if row["id"] == user_id), None)
    return {
        "type": "user_actor",
        "user_id": user_id,
        "email_address": email,
        "ip_address": rng.choice((OFFICE, HOME)),
        "user_agent": rng.choice(BROWSERS),
    }


def _activity(
    directory: Directory, kind: str, created_at: str, actor: Row, rng: random.Random, **details: Any
) -> Row:
    uuid_ = directory.organization.id
    return {
        "id": new_id(rng, "activity"),
        "type": kind,
        "created_at": created_at,
        "organization_id": f"org_01{uuid_[:8]}",
        "organization_uuid": uuid_,
        "actor": actor,
        **details,
    }
