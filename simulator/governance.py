"""Plugins, webhooks and telemetry destinations of an organization (docs: api/beta/organization)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.admin_lists import by_id, cursor_page, not_found
from simulator.agents import created_between
from simulator.organization import new_id
from simulator.query import invalid
from simulator.times import moments, text_at

if TYPE_CHECKING:
    import datetime as dt

    from simulator.admin_lists import ListCall
    from simulator.directory import Directory, Row

PLUGINS_BETA = "ce-plugins-2026-09-01"
WEBHOOKS_BETA = "webhooks-2026-10-07"
TELEMETRY_BETA = "telemetry-destinations-2026-08-11"
COUNT = 25


def plugins(call: ListCall) -> Row:
    """Return the response of ``plugins``."""
    _check_beta(call, PLUGINS_BETA)
    query = call.query
    bounds = {name: query.time(f"created_at[{name}]") for name in ("gt", "gte", "lt", "lte")}
    rows = created_between(_plugins(call.directory), bounds)
    kind, user = query.text("owner_type"), query.text("owner_user_id")
    market = query.text("marketplace_id")
    if query.text("organization_id") not in (None, call.directory.organization.id):
        raise not_found("the organization")
    rows = [
        row
        for row in rows
        if kind in (None, row["owner"]["type"])
        and user in (None, row["owner"].get("user_id"))
        and market in (None, row["marketplace_id"])
    ]
    return cursor_page(query, rows, query.integer("limit", 20, 1, 100))


def webhooks(call: ListCall) -> Row:
    """Return the response of ``webhooks``."""
    _check_beta(call, WEBHOOKS_BETA)
    rows = _webhooks(call.directory)
    if call.query.choice("order", ("asc", "desc"), "desc") == "asc":
        rows = rows[::-1]
    return by_id(call.query, rows, least=0, most=100)


def telemetry_destinations(call: ListCall) -> Row:
    """Return the response of ``telemetry_destinations``."""
    query = call.query
    if TELEMETRY_BETA not in call.betas:
        raise invalid(f"anthropic-beta: {TELEMETRY_BETA} is required")
    if len(query.many("workspace_ids")) > 100:
        raise invalid("workspace_ids[]: List should have at most 100 items")
    rows = _telemetry_destinations(call.directory)
    known = {row["id"] for row in call.directory.workspaces}
    if (ids := query.many("workspace_ids")) and not known.intersection(ids):
        rows = []
    return cursor_page(query, rows, query.integer("limit", 20, 1, 1000))


def _check_beta(call: ListCall, name: str) -> None:
    """Without the header, the endpoint does not exist."""
    if name not in call.betas:
        raise not_found("the endpoint")


def _life(created_at: dt.datetime) -> Row:
    text = created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"created_at": text, "updated_at": text}


def _plugins(directory: Directory) -> list[Row]:
    rng = directory.rng("plugins")
    rows = []
    for number, created_at in enumerate(moments(rng, COUNT)):
        user = rng.choice(directory.users)
        creators: tuple[Row | None, ...] = (
            {"type": "user_actor", "user_id": user["id"], "email_address": user["email"]},
            {"type": "api_actor", "api_key_id": new_id(rng, "apikey")},
            None,
        )
        owners = ({"type": "organization"}, {"type": "user", "user_id": user["id"]})
        part = {"type": "skill", "name": f"part-{number}", "description": None}
        scan = {"status": "completed", "assessment": "warn", "reason": "It reads files."}
        pending = {"status": "processing", "assessment": None, "reason": None}
        rows.append(
            {
                "id": new_id(rng, "plugin"),
                "type": "plugin",
                "name": f"plugin-{number}",
                "display_name": f"Plugin {number}" if number % 2 else None,
                "description": None if number % 3 else "Checks invoices",
                "marketplace_id": "marketplace_01",
                "manifest_version": ("1.0.0", None)[number % 2],
                "latest_version_id": new_id(rng, "plugver"),
                "served_version_id": new_id(rng, "plugver"),
                "served_version_pinned": bool(number % 2),
                "owner": owners[number % 2],
                "created_by": creators[number % 3],
                "components": [part] if number % 4 else None,
                "content_scan": (scan, pending, None)[number % 3],
                "organization_installation_preference": ("required", None)[number % 2],
                "organization_installation_preference_inherited": (False, None)[number % 2],
                "reach": ("contained", "remote", None)[number % 3],
                **_life(created_at),
            }
        )
    return rows


def _webhooks(directory: Directory) -> list[Row]:
    rng = directory.rng("webhooks")
    return [
        {
            "id": new_id(rng, "whep"),
            "name": f"endpoint-{number}",
            "description": "",
            "url": f"https://hooks.example.com/{number}",
            "enabled_events": ["external_key.failed", "event.of_tomorrow"],
            "state": ("enabled", "disabled")[number % 2],
            "disabled_reason": ("", "too many failures")[number % 2],
            **_life(created_at),
        }
        for number, created_at in enumerate(moments(rng, COUNT))
    ]


def _telemetry_destinations(directory: Directory) -> list[Row]:
    rng = directory.rng("telemetry_destinations")
    states = (
        {"type": "enabled"},
        {"type": "disabled", "reason": {"type": "sustained_failure"}},
    )
    rows = []
    for number, created_at in enumerate(moments(rng, COUNT)):
        failed_at = text_at(created_at, rng) if number % 2 else None
        rows.append(
            {
                "id": new_id(rng, "teld"),
                "type": "telemetry_destination",
                "display_name": f"Collector {number}" if number % 3 else None,
                "endpoint_url": f"https://otel-{number}.example.com",
                "header_names": ["authorization"],
                "state": states[number % 2],
                "delivery_health": {
                    "last_success_at": text_at(created_at, rng),
                    "last_error_at": failed_at,
                    "last_error": "HTTP 503" if failed_at else None,
                },
                "traces": {
                    "enabled": bool(number % 2),
                    "content_mode": ("metadata_only", "content")[number % 2],
                    "endpoint_url": None,
                    "max_content_bytes": 4096 if number % 2 else None,
                },
                "workspaces": {"type": ("all", "include", "exclude")[number % 3]},
                **_life(created_at),
            }
        )
    return rows
