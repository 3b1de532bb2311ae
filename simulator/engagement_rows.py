"""Rows of the engagement endpoints, aggregated from sessions."""

from __future__ import annotations

import collections
import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.engagement_facts import (
    FILE_EDITS,
    OFFICE,
    ROLLED_OUT,
    Session,
    tag_measured,
)
from simulator.facts import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulator.facts import Facts

Row = dict[str, Any]
Part = tuple[Session, Any]
"""A session, and the object in it that a row describes."""

CLASSIFIED_FROM = {
    "office_agent": dt.date(2026, 5, 29),
    "claude_code": dt.date(2026, 5, 30),
    "chat": dt.date(2026, 6, 1),
    "chat_cowork_unified": dt.date(2026, 6, 1),
    "cowork": dt.date(2026, 6, 2),
}
"""First day, by product, on which connector calls are classified as read or write."""
CREDENTIALS_FROM = dt.date(2026, 7, 1)
OFFICE_SPEND_FROM = dt.date(2026, 6, 18)
TOOLS = ("edit_tool", "multi_edit_tool", "notebook_edit_tool", "write_tool")


@dataclass(frozen=True)
class Span:
    """The range of days of a response."""

    start: dt.date
    last: dt.date
    rollup: bool
    """Whether a range was requested instead of a day."""
    grouped: frozenset[str]
    filtered: frozenset[str]

    @property
    def rolled_out(self) -> bool:
        """Whether the newer metrics are available."""
        return self.last >= ROLLED_OUT

    @property
    def aggregated(self) -> bool:
        """Whether some distinct counts cannot be computed."""
        return self.rollup or bool(self.grouped)


# -- users


def user_row(span: Span, facts: Facts, parts: Sequence[Part]) -> Row:
    """Return the activity of a member, or of the members of a group."""
    every = [session for session, _ in parts]
    places = _by_place(every)
    offices = {part: _office(places["office_agent", part]) for part in OFFICE}
    code = places["claude_code", ""]
    row: Row = {
        "user": None if span.grouped else person(facts, every[0].user_id),
        "distinct_user_count": _members(every) if span.grouped else None,
        "web_search_count": _total(every, "web_search_count"),
        "chat_metrics": _chat(span, places["chat", ""]),
        "claude_code_metrics": {
            "core_metrics": {
                "distinct_session_count": _distinct(code),
                "commit_count": _total(code, "commit_count"),
                "pull_request_count": _total(code, "pull_request_count"),
                "artifacts_created_count": _made(code),
                "lines_of_code": {
                    "added_count": _total(code, "added_count"),
                    "removed_count": _total(code, "removed_count"),
                },
            },
            "tool_actions": {
                tool: {
                    f"{verdict}_count": _total(code, f"{tool}:{verdict}")
                    for verdict in ("accepted", "rejected")
                }
                for tool in TOOLS
            },
        },
        "cowork_metrics": _cowork(span, places["cowork", ""]),
        "office_metrics": offices,
        "design_metrics": _design(places["claude_design", ""]),
        "science_metrics": _science(places["science", ""]),
        "holodeck_metrics": {"message_count": 1},
    }
    if span.rolled_out:
        row["chat_cowork_unified_metrics"] = {
            "chat": {
                **_chat(span, places["chat_cowork_unified", "chat"]),
                "distinct_shared_artifacts_viewed_count": None,
            },
            "sessions": _cowork(span, places["chat_cowork_unified", "sessions"]),
        }
        row["claude_tag_metrics"] = _tag(span, places["claude_tag", ""])
        row["last_activity_date"] = max(session.date for session in every).isoformat()
    return row


def person(facts: Facts, user_id: str | None) -> Row | None:
    """Return a member in the format of these endpoints."""
    if user_id is None:
        return None
    email = facts.organization.people[user_id].email
    return {"id": user_id, "email_address": email, "type": "user"}


def _chat(span: Span, part: list[Session]) -> Row:
    projects = {session.project.id for session in part if session.project}
    return {
        "message_count": _total(part, "message_count"),
        "thinking_message_count": _total(part, "thinking_message_count"),
        "shared_conversations_viewed_count": _total(part, "shared_conversations_viewed_count"),
        "connectors_used_count": _calls(part),
        "distinct_artifacts_created_count": _made(part),
        "distinct_connectors_used_count": _connectors(part),
        "distinct_conversation_count": _distinct(part),
        "distinct_files_uploaded_count": _union(part, lambda session: session.files, span),
        "distinct_projects_created_count": _total(part, "projects_created_count"),
        "distinct_projects_used_count": len(projects),
        "distinct_shared_artifacts_viewed_count": _union(
            part, lambda session: session.viewed, span
        ),
        "distinct_skills_used_count": _skills(part),
    }


def _cowork(span: Span, part: list[Session]) -> Row:
    edits = {name: _total(part, name) for name in FILE_EDITS}
    edited = [session for session in part if any(session.counts.get(name) for name in FILE_EDITS)]
    newer = {
        **edits,
        "file_edit_count": sum(edits.values()),
        "sessions_with_file_edits_count": None if span.aggregated else _distinct(edited),
        "plugins_used_count": sum(use.count for session in part for use in session.plugins),
        "distinct_plugins_used_count": len(
            {use.plugin for session in part for use in session.plugins if use.count}
        ),
    }
    return {
        "message_count": _total(part, "message_count"),
        "action_count": _total(part, "action_count"),
        "dispatch_turn_count": _total(part, "dispatch_turn_count"),
        "artifacts_created_count": _made(part),
        "connectors_used_count": _calls(part),
        "distinct_connectors_used_count": _connectors(part),
        "distinct_session_count": _distinct(part),
        "skills_used_count": _skill_count(part),
        "distinct_skills_used_count": _skills(part),
        **(newer if span.rolled_out else dict.fromkeys(newer)),
    }


def _office(part: list[Session]) -> Row:
    return {
        "message_count": _total(part, "message_count"),
        "connectors_used_count": _calls(part),
        "distinct_connectors_used_count": _connectors(part),
        "distinct_session_count": _distinct(part),
        "skills_used_count": _skill_count(part),
        "distinct_skills_used_count": _skills(part),
    }


def _design(part: list[Session]) -> Row:
    return {
        "message_count": _total(part, "message_count"),
        "distinct_session_count": _distinct(part),
        "distinct_projects_created_count": _total(part, "projects_created_count"),
        "distinct_projects_used_count": len(
            {design for session in part for design in session.designs}
        ),
    }


def _science(part: list[Session]) -> Row:
    return {
        "message_count": _total(part, "message_count"),
        "distinct_session_count": _distinct(part),
        "delegation_count": _total(part, "delegation_count"),
        "remote_compute_job_count": _total(part, "remote_compute_job_count"),
        "skills_used_count": _total(part, "skills_used_count"),
    }


def _tag(span: Span, part: list[Session]) -> Row:
    days = (span.start + number * DAY for number in range((span.last - span.start).days + 1))
    if "project_id" not in span.filtered and not any(map(tag_measured, days)):
        return {"active_day_count": None, "active_message_count": None}
    return {
        "active_day_count": len({(session.user_id, session.date) for session in part}),
        "active_message_count": _total(part, "message_count"),
    }


# -- things


def project_row(_: Span, facts: Facts, parts: Sequence[Part]) -> Row:
    """Return the activity in a project."""
    project = parts[0][1]
    every = [session for session, _ in parts]
    return {
        "project_id": project.id,
        "project_name": project.name,
        "created_at": project.created_at,
        "created_by": person(facts, project.created_by),
        "message_count": _total(every, "message_count"),
        "distinct_conversation_count": _distinct(every),
        "distinct_user_count": _members(every),
    }


def skill_row(span: Span, _: Facts, parts: Sequence[Part]) -> Row:
    """Return the usage and cost of a skill."""
    skill = parts[0][1].skill
    amounts = _amounts(span, parts)
    cut = (span.grouped | span.filtered) & {"user_id", "rbac_group_id", "product"}
    enabling = {session.user_id for session, use in parts if use.enabled}
    return {
        "skill_name": skill.name,
        "skill_display_name": skill.display_name,
        "share_status": skill.share_status,
        "distinct_user_count": _members(session for session, _ in parts),
        "invocation_count": sum(use.count for _, use in parts) if span.rolled_out else None,
        "enable_count": None if cut or span.rollup else len(enabling),
        **amounts,
        "currency": "USD" if any(amounts.values()) else None,
        **_used(span, parts, "skill"),
    }


def _amounts(span: Span, parts: Sequence[Part]) -> Row:
    cut = "product" in span.grouped | span.filtered
    since = {"office_agent": OFFICE_SPEND_FROM} if cut else {}
    counted = [
        use for session, use in parts if session.date >= since.get(session.product, ROLLED_OUT)
    ]
    prices = [use.list_price for use in counted if use.list_price is not None]
    overages = [use.overage for use in counted]
    return {
        "attributed_list_price": _cents(sum(prices, Decimal(0))) if prices else None,
        "estimated_overage_spend": _cents(sum(overages, Decimal(0))) if overages else None,
    }


def _cents(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def connector_row(span: Span, _: Facts, parts: Sequence[Part]) -> Row:
    """Return the usage of a connector."""
    connector = parts[0][1].connector
    classified = [use for session, use in parts if session.date >= CLASSIFIED_FROM[session.product]]
    known = span.start >= min(CLASSIFIED_FROM.values())
    calls = [sum(use.calls[i] for use in classified) if known else None for i in range(3)]
    users = {
        kind: {session.user_id for session, use in parts if use.credential == kind}
        for kind in ("individual", "managed")
    }
    has_data = span.start >= CREDENTIALS_FROM and any(users.values())
    return {
        "connector_name": connector.name,
        "connector_display_name": connector.display_name,
        "distinct_user_count": _members(session for session, _ in parts),
        **dict(zip(("read_call_count", "write_call_count"), calls, strict=False)),
        "unclassified_call_count": calls[2],
        **{
            f"{kind}_auth_distinct_user_count": len(found) if has_data else None
            for kind, found in users.items()
        },
        **_used(span, parts, "connector"),
    }


def plugin_row(span: Span, _: Facts, parts: Sequence[Part]) -> Row:
    """Return the usage of a plugin and, unless withheld, its installations."""
    plugin = parts[0][1].plugin
    installing = {session.user_id for session, use in parts if use.installed}
    used = _used(span, [part for part in parts if part[1].count], "plugin")
    row = {
        "plugin_name": plugin.name,
        "plugin_id": plugin.id,
        "distinct_user_count": _members(session for session, _ in parts),
        "install_count": None if plugin.name == "third-party" else len(installing),
        "invocation_count": sum(use.count for _, use in parts),
        "claude_code_metrics": used["claude_code_metrics"],
        "cowork_metrics": used["cowork_metrics"],
    }
    if span.rolled_out:
        row["chat_cowork_unified_metrics"] = used["chat_cowork_unified_metrics"]["sessions"]
    return row


def artifact_row(_: Span, __: Facts, parts: Sequence[Part]) -> Row:
    """Return the number of artifacts of a type."""
    return {
        "artifact_type": parts[0][1].type,
        "is_shared": parts[0][1].shared,
        "artifacts_created_count": len(parts),
        "published_artifacts_created_count": sum(artifact.published for _, artifact in parts),
        "distinct_user_count": _members(session for session, _ in parts),
    }


def _used(span: Span, parts: Sequence[Part], thing: str) -> Row:
    """Return the number of conversations and sessions, by product, that used an object."""
    places = _by_place(session for session, _ in parts)
    in_session, in_chat = (
        f"distinct_session_{thing}_used_count",
        f"distinct_conversation_{thing}_used_count",
    )
    used: Row = {
        "chat_metrics": {in_chat: _distinct(places["chat", ""])},
        "claude_code_metrics": {in_session: _distinct(places["claude_code", ""])},
        "cowork_metrics": {in_session: _distinct(places["cowork", ""])},
        "office_metrics": {
            part: {in_session: _distinct(places["office_agent", part])} for part in OFFICE
        },
    }
    if span.rolled_out:
        chats, others = (places["chat_cowork_unified", part] for part in ("chat", "sessions"))
        used["chat_cowork_unified_metrics"] = {
            "chat": {in_chat: None if span.rollup else _distinct(chats)},
            "sessions": {in_session: None if span.rollup else _distinct(others)},
        }
    return used


# -- counting


def _by_place(every: Iterable[Session]) -> dict[tuple[str, str], list[Session]]:
    places: dict[tuple[str, str], list[Session]] = collections.defaultdict(list)
    for session in every:
        places[session.product, session.part].append(session)
    return places


def _total(part: Iterable[Session], name: str) -> int:
    return sum(session.counts.get(name, 0) for session in part)


def _distinct(part: Iterable[Session]) -> int:
    return len({session.id for session in part})


def _members(part: Iterable[Session]) -> int:
    return len({session.user_id for session in part})


def _made(part: Iterable[Session]) -> int:
    return sum(len(session.artifacts) for session in part)


def _calls(part: Iterable[Session]) -> int:
    return sum(use.count for session in part for use in session.connectors)


def _connectors(part: Iterable[Session]) -> int:
    return len({use.connector for session in part for use in session.connectors})


def _skill_count(part: Iterable[Session]) -> int:
    return sum(use.count for session in part for use in session.skills)


def _skills(part: Iterable[Session]) -> int:
    return len({use.skill for session in part for use in session.skills})


def _union(
    part: Iterable[Session], things: Callable[[Session], Iterable[str]], span: Span
) -> int | None:
    """Count distinct objects; null if that cannot be computed."""
    if span.aggregated:
        return None
    return len({thing for session in part for thing in things(session)})
