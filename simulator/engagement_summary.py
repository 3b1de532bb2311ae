"""The summary of a day in Claude Enterprise: active users by product."""

from __future__ import annotations

import collections
import functools
from typing import TYPE_CHECKING, Any

from simulator.engagement_facts import (
    ROLLED_OUT,
    sessions,
    slack_users,
    tag_measured,
)
from simulator.facts import DAY

if TYPE_CHECKING:
    import datetime as dt

    from simulator.facts import Facts


Row = dict[str, Any]


PER_PRODUCT = (
    "chat",
    "chat_cowork_unified",
    "claude_code",
    "claude_design",
    "claude_tag",
    "office_agent",
    "science",
)
"""Products whose active users are reported only since the newer metrics exist."""


SHORT_MONTH = ("claude_tag", "chat_cowork_unified")


def summary(facts: Facts, date: dt.date, revision: int, teams: frozenset[str], invites: int) -> Row:
    """Return the summary of a day; with teams, of their members only."""
    seats = None if teams else len(facts.organization.users)

    def active(product: str, days: int) -> int:
        windows = (active_users(facts, date - ago * DAY, revision, teams) for ago in range(days))
        return len(frozenset().union(*(users.get(product, ()) for users in windows)))

    row: Row = {
        "starting_at": f"{date}T00:00:00Z",
        "ending_at": f"{date + DAY}T00:00:00Z",
        "assigned_seat_count": seats,
        "pending_invite_count": None if teams else invites,
        "metric_of_tomorrow": 1,
    }
    for period, days in (("daily", 1), ("weekly", 7), ("monthly", 30)):
        count = active("", days)
        row[f"{period}_active_user_count"] = count
        row[f"{period}_adoption_rate"] = round(100 * count / seats, 2) if seats else None
        row[f"cowork_{period}_active_user_count"] = active("cowork", days)
        if date < ROLLED_OUT:
            continue
        for product in PER_PRODUCT:
            short = product in SHORT_MONTH and days == 30 and not teams
            unknown = product == "claude_tag" and (teams or not tag_measured(date))
            row[f"{product}_{period}_active_user_count"] = (
                None if unknown else active(product, 28 if short else days)
            )
    if date >= ROLLED_OUT:
        row["science_entitled_user_count"] = (seats + 1) // 2 if seats else None
    return row


@functools.lru_cache(maxsize=2048)
def active_users(
    facts: Facts, date: dt.date, revision: int, teams: frozenset[str]
) -> dict[str, set[str]]:
    """Return the active users of a day, by product; an empty name means any product."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for session in sessions(facts, date, revision):
        if not teams or not teams.isdisjoint(session.teams):
            found[session.product].add(session.user_id)
            found[""].add(session.user_id)
    if not teams:
        found["claude_tag"] |= slack_users(facts, date, revision)
    return dict(found)
