"""Reshape rows of the API: split them, or convert older shapes.

Pure functions from one row to a list of rows. They raise `SchemaMismatchError` for unexpected
types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_claude.records import SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = dict[str, Any]

# Tools of Claude Code that have their own columns.
KNOWN_TOOLS = frozenset({"edit_tool", "multi_edit_tool", "write_tool", "notebook_edit_tool"})
# Fields that a Claude Code row and its models share.
PARENT_FIELDS = (
    "date",
    "organization_id",
    "actor",
    "customer_type",
    "subscription_type",
    "terminal_type",
    "is_remote",
)
# Fields that all activities have.
ACTIVITY_FIELDS = ("id", "created_at", "type", "organization_id", "organization_uuid", "actor")


def unchanged(row: Row) -> list[Row]:
    """Return a row unchanged."""
    return [row]


def with_tools(row: Row) -> list[Row]:
    """Move the actions of known tools to columns, and of all others to ``other_tool_actions``."""
    tools = _object_of(row, "tool_actions")
    columns = {name: actions for name, actions in tools.items() if name in KNOWN_TOOLS}
    others = {name: actions for name, actions in tools.items() if name not in KNOWN_TOOLS}
    rest = {name: value for name, value in row.items() if name != "tool_actions"}
    return [{**rest, **columns, "other_tool_actions": others or None}]


def per_model(row: Row) -> list[Row]:
    """Return one row per model of a Claude Code row, with the identifying fields of the parent."""
    parent = {name: row.get(name) for name in PARENT_FIELDS}
    return [{**parent, **entry} for entry in _objects_of(row, "model_breakdown")]


def per_limiter(row: Row) -> list[Row]:
    """Return one row per limiter of a rate-limit group (docs: rate-limits-api).

    Before 2026-10-21, the group was only a ``group_type``.
    """
    group = _object_of(row, "group") or {"type": row.get("group_type")}
    rest = {n: v for n, v in row.items() if n not in {"group", "group_type", "limits"}}
    return [
        {**rest, **_prefixed("group", group), **_prefixed("limit", limit)}
        for limit in _objects_of(row, "limits")
    ]


def with_key_owner(row: Row) -> list[Row]:
    """Convert older shapes of an API key's owner and scope (docs: api/admin/api_keys)."""
    scope, principal = _object_of(row, "scope"), _object_of(row, "principal")
    if "id" in principal:
        kind = str(principal.get("type")).removesuffix("_actor")
        principal = {"type": f"{kind}_actor", f"{kind}_id": principal["id"]}
    workspace = scope.get("workspace_id") or row.get("workspace_id")
    return [{**row, "principal": principal or None, "workspace_id": workspace}]


def with_group_roles(row: Row) -> list[Row]:
    """Accept the older name of an RBAC group's roles; null means unknown."""
    roles = row.get("role_ids", row.get("roles"))
    if isinstance(roles, list):
        roles = [role.get("id") if isinstance(role, dict) else role for role in roles]
    rest = {name: value for name, value in row.items() if name != "roles"}
    return [{**rest, "role_ids": roles}]


def with_role_name(row: Row) -> list[Row]:
    """Accept the older name of the ``display_name`` of an RBAC role."""
    rest = {name: value for name, value in row.items() if name != "name"}
    return [{**rest, "display_name": row.get("display_name") or row.get("name")}]


def with_address(row: Row) -> list[Row]:
    """Accept the older name of the actor's e-mail address."""
    actor = row.get("actor")
    if not isinstance(actor, dict) or "email" not in actor:
        return [row]
    rest = {name: value for name, value in actor.items() if name != "email"}
    return [{**row, "actor": {"email_address": actor["email"], **rest}}]


def with_geo_list(row: Row) -> list[Row]:
    """Make ``allowed_inference_geos`` a list, even if the API sends "unrestricted"."""
    residency = _object_of(row, "data_residency")
    geos = residency.get("allowed_inference_geos")
    if isinstance(geos, str):
        return [{**row, "data_residency": {**residency, "allowed_inference_geos": [geos]}}]
    return [row]


def with_agent_version(row: Row) -> list[Row]:
    """Rename ``version``: target-postgres cannot load a full table with a column of that name."""
    rest = {name: value for name, value in row.items() if name != "version"}
    return [{**rest, "agent_version": row.get("version")}]


def with_details(row: Row) -> list[Row]:
    """Move the fields that only some types of activity have to ``details``.

    (docs: manage-claude/compliance-activity-feed)
    """
    rest = {name: value for name, value in row.items() if name not in ACTIVITY_FIELDS}
    common = {name: row.get(name) for name in ACTIVITY_FIELDS}
    tagged = common.pop("organization_id")
    return [{**common, "tagged_organization_id": tagged, "details": rest or None}]


def _object_of(row: Row, name: str) -> Row:
    """Return an object of a row; empty for null. Raises `SchemaMismatchError`."""
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SchemaMismatchError(name, "an object", value)
    return value


def _objects_of(row: Row, name: str) -> list[Row]:
    """Return a list of objects of a row; empty for null. Raises `SchemaMismatchError`."""
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SchemaMismatchError(name, "a list of objects", value)
    return value


def _prefixed(prefix: str, fields: Mapping[str, Any]) -> Row:
    return {f"{prefix}_{name}": value for name, value in fields.items()}
