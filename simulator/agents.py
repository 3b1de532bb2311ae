"""Claude Managed Agents: agents, deployments, environments and sessions of a workspace.

Sessions are sums of the facts, so their tokens are those of ``analytics/usage`` (docs:
api/beta/agents, api/beta/sessions).
"""

from __future__ import annotations

import datetime as dt
import functools
import random
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from simulator.admin_lists import by_cursor, cursor_page, unarchived
from simulator.organization import MODELS, new_id
from simulator.query import ApiError, Query, invalid
from simulator.times import moments, text_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.admin_lists import ListCall
    from simulator.directory import Row
    from simulator.facts import Fact, Facts

BETA = "managed-agents-2026-04-01"
STATUSES = ("rescheduling", "running", "idle", "terminated")
CONTENT = "What people say to Claude is nobody else's business."
"""Text in every field with content; nobody who reads tables should find it."""
QUIET = dt.timedelta(days=2)
"""Time without usage after which a session has ended."""
_EFFORTS = ("low", "medium", "high")


def agents(call: ListCall) -> Row:
    """Return the response of ``agents``."""
    _check_beta(call)
    rows = _created_between(call.query, _agents(call.facts, call.workspace_id), ("gte", "lte"))
    return by_cursor(call.query, unarchived(call.query, rows))


def deployments(call: ListCall) -> Row:
    """Return the response of ``deployments``."""
    _check_beta(call)
    query = call.query
    rows = _created_between(query, _deployments(call.facts, call.workspace_id), ("gte", "lte"))
    if query.text("status") and query.flag("include_archived"):
        raise invalid("status: cannot be combined with include_archived")
    if status := query.text("status"):
        rows = [row for row in rows if row["status"] == status]
    if agent := query.text("agent_id"):
        rows = [row for row in rows if row["agent"]["id"] == agent]
    return by_cursor(query, unarchived(query, rows))


def environments(call: ListCall) -> Row:
    """Return the response of ``environments``."""
    _check_beta(call)
    rows = _environments(call.facts, call.workspace_id)
    return by_cursor(call.query, unarchived(call.query, rows))


def sessions(call: ListCall) -> Row:
    """Return the response of ``sessions``."""
    _check_beta(call)
    query = call.query
    rows = _sessions(call.facts, call.workspace_id, call.now, call.facts.revision)
    rows = _created_between(query, rows, ("gt", "gte", "lt", "lte"))
    statuses = query.many("statuses", STATUSES) or STATUSES
    agent, deployment = query.text("agent_id"), query.text("deployment_id")
    version = query.text("agent_version")
    if not agent:
        version = None  # applies to an agent only
    store = query.text("memory_store_id")
    rows = [
        row
        for row in unarchived(query, rows)
        if row["status"] in statuses
        and agent in (None, row["agent"]["id"])
        and deployment in (None, row["deployment_id"])
        and version in (None, str(row["agent"]["version"]))
        and store is None  # no session has one
    ]
    if query.choice("order", ("asc", "desc"), "desc") == "desc":
        rows = rows[::-1]
    return cursor_page(query, rows, query.integer("limit", 20, 1, 1000))


def _check_beta(call: ListCall) -> None:
    if BETA not in call.betas:
        raise ApiError(400, "invalid_request_error", f"anthropic-beta: {BETA} is required")


def _created_between(query: Query, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows between the bounds ``created_at[gte]`` and so on, or ``created_at.gte``."""
    bounds = {name: query.time(f"created_at[{name}]") for name in names}
    return created_between(rows, bounds)


def created_between(rows: list[Row], bounds: dict[str, dt.datetime | None]) -> list[Row]:
    """Return the rows that were created between some bounds."""
    found = []
    for row in rows:
        moment = dt.datetime.fromisoformat(row["created_at"])
        tests = {
            "gt": moment.__gt__,
            "gte": moment.__ge__,
            "lt": moment.__lt__,
            "lte": moment.__le__,
        }
        if all(tests[name](bound) for name, bound in bounds.items() if bound is not None):
            found.append(row)
    return found


# -- rows


def _rng(facts: Facts, workspace_id: str, name: str) -> random.Random:
    return random.Random(f"{name}:{facts.organization.seed}:{workspace_id}")


def _life(created_at: dt.datetime, rng: random.Random, *, archived: bool = False) -> Row:
    day = dt.timedelta(days=1)
    return {
        "created_at": text_at(created_at, rng),
        "updated_at": text_at(created_at + day, rng),
        "archived_at": text_at(created_at + 2 * day, rng) if archived else None,
    }


def _model(rng: random.Random) -> Row:
    return {
        "id": rng.choice(MODELS).name,
        "effort": rng.choice((None, {"type": rng.choice(_EFFORTS)})),
        "inference_geo": rng.choice((None, "us")),
        "speed": rng.choice(("standard", None)),
    }


def _definition(facts: Facts, workspace_id: str, id_: str, number: int) -> Row:
    """Return what an agent and the sessions of it have in common."""
    rng = _rng(facts, workspace_id, id_)
    roles = ({"type": "service_account"}, {"type": "aws_role", "role_arn": "arn:aws:iam::1:role/a"})
    skill = {"type": "anthropic", "skill_id": "xlsx", "version": "latest"}
    return {
        "id": id_,
        "type": "agent",
        "name": ("Invoice checker", "Support triage", "Old agent")[number],
        "description": f"Agent {number}" if number else None,
        "execution_identity": roles[number % 2],
        "mcp_servers": [{"type": "url", "name": "crm", "url": "https://mcp.example.com/token"}],
        "model": _model(rng),
        "skills": [skill] if number else [],
        "system": CONTENT,
        "tools": [
            {
                "type": "custom",
                "name": "lookup",
                "description": CONTENT,
                "input_schema": {"type": "object"},
            }
        ],
        "version": number + 1,
    }


def _agent_ids(facts: Facts, workspace_id: str) -> list[str]:
    used = dict.fromkeys(task.agent_id for task in facts.cast.tasks[workspace_id])
    return [*used, new_id(_rng(facts, workspace_id, "unused"), "agent")]


def _agents(facts: Facts, workspace_id: str) -> list[Row]:
    rng = _rng(facts, workspace_id, "agents")
    ids = _agent_ids(facts, workspace_id)
    return [
        {
            **_definition(facts, workspace_id, id_, number),
            "metadata": {"owner": "ada.abe@example.com"} if number else {},
            "multiagent": {
                "type": "coordinator",
                "agents": [{"type": "agent", "id": ids[0], "version": 1}],
            }
            if number == 1
            else None,
            **_life(created_at, rng, archived=number == len(ids) - 1),
        }
        for number, (id_, created_at) in enumerate(zip(ids, moments(rng, len(ids)), strict=True))
    ]


def _deployments(facts: Facts, workspace_id: str) -> list[Row]:
    rng = _rng(facts, workspace_id, "deployments")
    tasks = {t.deployment_id: t for t in facts.cast.tasks[workspace_id] if t.deployment_id}
    rows = []
    for number, ((id_, task), created_at) in enumerate(
        zip(tasks.items(), moments(rng, len(tasks)), strict=True)
    ):
        schedule = {
            "type": "cron",
            "expression": "0 6 * * *",
            "timezone": "Europe/Berlin",
            "last_run_at": text_at(created_at, rng),
            "upcoming_runs_at": [text_at(created_at, rng)],
        }
        error = {"type": "error", "error": {"type": "vault_not_found_error"}}
        rows.append(
            {
                "id": id_,
                "type": "deployment",
                "name": ("Nightly", "On demand")[number],
                "description": None if number else "Runs at night",
                "agent": {"type": "agent", "id": task.agent_id, "version": 1},
                "environment_id": task.environment_id,
                "initial_events": [
                    {"type": "user.message", "content": [{"type": "text", "text": CONTENT}]}
                ],
                "metadata": {},
                "status": ("active", "paused")[number],
                "paused_reason": error if number else None,
                "resources": [
                    {"type": "memory_store", "memory_store_id": "mem_1", "instructions": CONTENT}
                ],
                "schedule": None if number else schedule,
                "vault_ids": ["vlt_1"] if number else [],
                "budget": None if number else _budget("2500"),
                **_life(created_at, rng),
            }
        )
    return rows


def _environments(facts: Facts, workspace_id: str) -> list[Row]:
    rng = _rng(facts, workspace_id, "environments")
    used = dict.fromkeys(task.environment_id for task in facts.cast.tasks[workspace_id])
    ids = [*used, new_id(rng, "env")]
    packages: Row = {name: [] for name in ("apt", "cargo", "gem", "go", "npm")}
    packages |= {"pip": ["pandas"]}
    limited = {
        "type": "limited",
        "allow_mcp_servers": True,
        "allow_package_managers": False,
        "allowed_hosts": ["example.com"],
    }
    configs: tuple[Row, ...] = (
        {"type": "cloud", "networking": limited, "packages": packages | {"type": "packages"}},
        {"type": "cloud", "networking": {"type": "unrestricted"}, "packages": packages},
        {"type": "self_hosted"},
    )
    return [
        {
            "id": id_,
            "type": "environment",
            "name": ("Production", "Test", "Laptop")[number],
            "description": None,
            "config": configs[number],
            "metadata": {},
            "scope": ("organization", "account", None)[number],
            **_life(created_at, rng, archived=number == len(ids) - 1),
        }
        for number, (id_, created_at) in enumerate(zip(ids, moments(rng, len(ids)), strict=True))
    ]


def _budget(cents: str) -> Row:
    return {"type": "limit", "max_list_cost": {"amount": cents, "currency": "USD"}}


@functools.lru_cache(maxsize=64)
def _sessions(facts: Facts, workspace_id: str, now: dt.datetime, revision: int) -> list[Row]:
    """Return the sessions of a workspace up to now, oldest first."""
    found: dict[str, list[Fact]] = {}
    start = dt.datetime.combine(facts.first_day, dt.time(), dt.UTC)
    for fact in facts.between(start, now, revision):
        if fact.session_id and fact.workspace_id == workspace_id:
            found.setdefault(fact.session_id, []).append(fact)
    rows = [_session(facts, workspace_id, id_, usage, now) for id_, usage in found.items()]
    return sorted(rows, key=lambda row: (dt.datetime.fromisoformat(row["created_at"]), row["id"]))


def _session(facts: Facts, workspace_id: str, id_: str, usage: list[Fact], now: dt.datetime) -> Row:
    rng = _rng(facts, workspace_id, id_)
    agent_id = usage[0].agent_id or ""
    number = _agent_ids(facts, workspace_id).index(agent_id)
    created_at = usage[0].moment - dt.timedelta(seconds=rng.randrange(1, 50), milliseconds=250)
    last = usage[-1].moment
    kind = rng.randrange(5)
    if now - last < QUIET:
        status = "rescheduling" if kind == 0 else "running"
    else:
        status = "idle" if kind < 2 else "terminated"
    is_archived = status == "idle" and kind == 1
    # It cannot go on, so its duration ends, too.
    end = last if status == "terminated" or is_archived else now
    counters = [sum(f.counters[place] for f in usage if f.counters) for place in range(6)]
    listed = sum((cost.list_amount for f in usage for cost in f.costs), Decimal(0))
    cost = {"amount": str(listed.quantize(Decimal(1), ROUND_HALF_EVEN)), "currency": "USD"}
    return {
        "id": id_,
        "type": "session",
        "agent": {**_definition(facts, workspace_id, agent_id, number), "multiagent": None},
        "environment_id": usage[0].environment_id,
        "deployment_id": usage[0].deployment_id,
        "title": CONTENT,
        "status": status,
        "metadata": {"ticket": str(kind)},
        "outcome_evaluations": [
            {
                "type": "outcome_evaluation",
                "outcome_id": "out_1",
                "description": CONTENT,
                "explanation": CONTENT,
                "iteration": 1,
                "result": "satisfied",
                "completed_at": None,
            }
        ],
        "resources": [],
        "stats": {
            "active_seconds": 12.5 * len(usage),
            "duration_seconds": (end - created_at) / dt.timedelta(seconds=1),
        },
        "usage": {
            "active_seconds": 10.25 * len(usage),
            "input_tokens": counters[0],
            "cache_read_input_tokens": counters[1],
            "cache_creation": {
                "ephemeral_5m_input_tokens": counters[2],
                "ephemeral_1h_input_tokens": counters[3],
            },
            "output_tokens": counters[4],
            "server_tool_use": {"web_search_requests": counters[5], "web_fetch_requests": 0},
            # Absent until it is tracked.
            **({} if status == "rescheduling" else {"list_cost": cost}),
        },
        "vault_ids": [],
        "budget": _budget("100000") if kind == 1 else None,
        "created_at": created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "updated_at": last.strftime("%Y-%m-%dT%H:%M:%SZ"),
        # Half of the idle ones are put away.
        "archived_at": text_at(last + QUIET, rng) if is_archived else None,
    }
