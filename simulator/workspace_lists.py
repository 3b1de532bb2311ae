"""What workspaces have besides agents: user profiles, models, batches, files and skills."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING

from simulator.admin_lists import by_cursor, by_id, cursor_page
from simulator.organization import MODELS, new_id
from simulator.query import invalid
from simulator.times import moments, text_at

if TYPE_CHECKING:
    from simulator.admin_lists import ListCall
    from simulator.directory import Row
    from simulator.facts import Facts

LIFECYCLES = ("active", "deprecated", "retired")
ENFORCEMENT = ("unrestricted", "pending", "restricted", "banned")
FILES = 45
DAY = dt.timedelta(days=1)
_CAPABILITIES = ("batch", "citations", "code_execution", "image_input", "pdf_input")


def user_profiles(call: ListCall) -> Row:
    """Return the response of ``user_profiles``: the same ones in all workspaces."""
    query = call.query
    if call.betas:
        raise invalid("anthropic-beta: an older shape of user profiles is not simulated")
    statuses = query.many("enforcement_status", ENFORCEMENT) or ENFORCEMENT
    rows = [row for row in _user_profiles(call.facts) if row["enforcement_status"] in statuses]
    field = query.choice("order_by", ("created_at", "updated_at"), "created_at")
    newest_first = query.choice("order", ("asc", "desc"), "desc") == "desc"
    return by_cursor(query, sorted(rows, key=lambda row: str(row[field]), reverse=newest_first))


def models(call: ListCall) -> Row:
    """Return the response of ``models``: the same ones in all workspaces."""
    chosen = call.query.many("lifecycle", LIFECYCLES) or LIFECYCLES[:2]
    return by_id(call.query, _models(call.facts), lambda row: row["lifecycle"] in chosen)


def message_batches(call: ListCall) -> Row:
    """Return the response of ``messages/batches``, newest first."""
    return by_id(call.query, _message_batches(call.facts, call.workspace_id, call.now))


def files(call: ListCall) -> Row:
    """Return the response of ``files``."""
    query = call.query
    rows = _files(call.facts, call.workspace_id)
    if ids := query.many("ids"):
        if query.text("limit") or query.text("page"):
            raise invalid("ids[]: cannot be combined with limit or page")
        rows = [row for row in rows if row["id"] in ids]
    return cursor_page(query, rows, query.integer("limit", 20, 1, 1000))


def skills(call: ListCall) -> Row:
    """Return the response of ``skills``; those of Anthropic are in every workspace."""
    query = call.query
    rows = _skills(call.facts, call.workspace_id)
    if source := query.text("source"):
        rows = [row for row in rows if row["source"]["type"] == source]
    return cursor_page(query, rows, query.integer("limit", 20, 1, 1000))


# -- rows


def _rng(facts: Facts, name: str) -> random.Random:
    return random.Random(f"workspace:{facts.organization.seed}:{name}")


def _user_profiles(facts: Facts) -> list[Row]:
    rng = _rng(facts, "user_profiles")
    person = facts.organization.person(20_000).name
    names = ("Acme Ltd", person, None, "Globex")
    restriction = {
        "id": "enfa_1",
        "type": "restriction",
        "reason": "unspecified",
        "action": None,
        "expires_at": None,
        "opened_at": "2026-01-02T03:04:05Z",
    }
    cyber = {
        "status": "active",
        "requirements": {"data_retention": True, "human_review": False},
        "tiers": {"tier_1": {"status": "active"}},
    }
    efs = {"status": "pending", "features": {"feature_1": {"status": "inactive"}}}
    ids = facts.cast.user_profiles
    return [
        {
            "id": id_,
            "type": "user_profile",
            "name": names[number % 4],
            "access_type": ("passthrough", "application")[number % 2],
            "enforcement_status": "restricted" if number == 3 else "unrestricted",
            "enforcement_actions": [restriction] if number == 3 else [],
            "external_user_details": {
                "account_status": (None, "active")[number % 2],
                "country": ("DE", None)[number % 2],
                "email_hash": f"{rng.getrandbits(128):032x}" if number else None,
                "name_hash": f"{rng.getrandbits(128):032x}" if number else None,
                "entity_type": ("business", "individual", None, "business")[number % 4],
                "onboarded_at": text_at(created_at, rng) if number else None,
                "reference_id": f"customer-{number}",
            },
            "metadata": {"plan": "gold"} if number == 1 else {},
            "programs": {"cyber": cyber if number == 0 else None, "efs": efs if number else None},
            "created_at": text_at(created_at, rng),
            "updated_at": text_at(created_at + DAY, rng),
        }
        for number, (id_, created_at) in enumerate(zip(ids, moments(rng, len(ids)), strict=True))
    ]


def _models(facts: Facts) -> list[Row]:
    """Return the models of the reports, and some that nobody uses."""
    today = dt.datetime.combine(facts.today, dt.time(), dt.UTC)
    names = [(model.name, model.display_name) for model in MODELS]
    names += [(f"claude-2-{number}", f"Claude 2.{number}") for number in range(40)]
    rows = []
    for number, (name, display_name) in enumerate(names):
        # The last model of the reports retires soon, but is still used.
        retires_at = None if number < len(MODELS) - 1 else today + 45 * DAY
        if name.startswith("claude-2"):
            retires_at = today - (100 + number) * DAY
        is_retired = retires_at is not None and retires_at < today
        capabilities = {part: {"supported": True} for part in _CAPABILITIES}
        line = next((part for part in ("haiku", "sonnet", "opus") if part in name), None)
        rows.append(
            {
                "id": name,
                "type": "model",
                "display_name": display_name,
                "line": line,
                "lifecycle": "retired" if is_retired else "deprecated" if retires_at else "active",
                "created_at": f"20{25 - number // 20}-0{1 + number % 9}-01T00:00:00Z",
                "deprecated_at": retires_at and (retires_at - 90 * DAY).isoformat(),
                "retires_at": retires_at and retires_at.isoformat(),
                "max_input_tokens": 200_000,
                "max_tokens": 64_000,
                "capabilities": None if is_retired else capabilities | _more_capabilities(number),
            }
        )
    return rows


def _more_capabilities(number: int) -> Row:
    yes, no = {"supported": True}, {"supported": False}
    return {
        "structured_outputs": yes if number else no,
        "context_management": {"supported": True, "clear_thinking_20251015": yes},
        "effort": {"supported": True, "high": yes, "low": yes, "max": no, "medium": yes},
        "server_tools": {"supported": True, "code_execution": yes, "web_search": yes},
        "thinking": {
            "supported": True,
            "types": {"adaptive": yes, "between_tools": no, "disabled": yes, "enabled": yes},
        },
    }


def _message_batches(facts: Facts, workspace_id: str, now: dt.datetime) -> list[Row]:
    """Return a batch for each fact of the batch API, newest first."""
    start = dt.datetime.combine(facts.first_day, dt.time(), dt.UTC)
    rows = []
    for number, fact in enumerate(facts.between(start, now)):
        if fact.product != "message_batches_api" or fact.workspace_id != workspace_id:
            continue
        rng = _rng(facts, f"batch:{workspace_id}:{fact.moment}:{fact.counters}")
        ended_at = fact.moment + dt.timedelta(minutes=rng.randrange(5, 600))
        is_ended = ended_at <= now
        id_ = new_id(rng, "msgbatch")
        requests = fact.requests or 0
        rows.append(
            {
                "id": id_,
                "type": "message_batch",
                "processing_status": "ended" if is_ended else "in_progress",
                "request_counts": {
                    "processing": 0 if is_ended else requests,
                    "succeeded": requests if is_ended else 0,
                    "errored": number % 3 if is_ended else 0,
                    "canceled": 0,
                    "expired": 0,
                },
                "created_at": fact.moment.isoformat(),
                "ended_at": ended_at.isoformat() if is_ended else None,
                "cancel_initiated_at": None,
                "archived_at": None,
                "expires_at": (fact.moment + DAY).isoformat(),
                "results_url": f"https://api.example.com/v1/messages/batches/{id_}/results"
                if is_ended
                else None,
            }
        )
    return rows[::-1]


def _files(facts: Facts, workspace_id: str) -> list[Row]:
    rng = _rng(facts, f"files:{workspace_id}")
    return [
        {
            "id": new_id(rng, "file"),
            "type": "file",
            "filename": f"invoices-{number}.csv",
            "mime_type": "text/csv",
            "size_bytes": rng.randrange(10**10),  # more than 32 bits
            "downloadable": bool(number % 2),
            "created_at": text_at(created_at, rng),
            "expires_at": text_at(created_at + 30 * DAY, rng) if number % 3 == 0 else None,
        }
        for number, created_at in enumerate(moments(rng, FILES))
    ]


def _skills(facts: Facts, workspace_id: str) -> list[Row]:
    rng = _rng(facts, f"skills:{workspace_id}")
    named = [(name, name.upper(), "anthropic") for name in ("docx", "pdf", "pptx", "xlsx")]
    named += [
        (new_id(rng, "skill"), f"Skill {number}", ("custom", "plugin")[number % 2])
        for number in range(20)
    ]
    everywhere = _rng(facts, "skills")
    return [
        {
            "id": id_,
            "type": "skill",
            "display_name": name,
            "latest_version_id": "1759178010641129" if source == "anthropic" else new_id(rng, "v"),
            "source": {"type": source},
            "created_at": "2025-10-02T00:00:00Z"
            if source == "anthropic"
            else text_at(created_at, rng),
            "updated_at": "2025-11-02T00:00:00Z"
            if source == "anthropic"
            else text_at(created_at, rng),
        }
        for (id_, name, source), created_at in zip(
            named, moments(everywhere, len(named)), strict=True
        )
    ]
