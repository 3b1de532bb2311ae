"""Activity of the members of Claude Enterprise: a list of sessions, which all reports aggregate.

As in `simulator.facts`, a day depends on the seed and the date only. If `Facts.revision` is
increased, the counters of the last days are a few percent higher; no rows are added or removed.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
import zlib
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator.facts import DAY
from simulator.organization import new_id

if TYPE_CHECKING:
    from simulator.facts import Facts

RESTATED_DAYS = 3
ROLLED_OUT = dt.date(2026, 2, 1)
"""First day with Claude Tag, unified Chat and Cowork, and the newer metrics."""
CODE_ARTIFACTS_FROM = dt.date(2026, 8, 17)
FOUNDED = dt.datetime(2025, 6, 1, 8, 15, 30, tzinfo=dt.UTC)
OFFICE = ("excel", "outlook", "powerpoint", "word")
ARTIFACT_TYPES = (
    "application/vnd.ant.code",
    "application/vnd.ant.mermaid",
    "application/vnd.ant.react",
    "image/svg+xml",
    "other",
    "text/html",
    "text/markdown",
    "text/plain",
)

# Kinds of activity, with their frequency and their counters (exclusive maximum).
_WEIGHTS = {
    "chat": 30,
    "claude_code": 20,
    "cowork": 20,
    "office_agent": 15,
    "claude_design": 5,
    "science": 4,
    "claude_tag": 10,
}
_COUNTS = {
    "chat": {
        "thinking_message_count": 20,
        "shared_conversations_viewed_count": 3,
        "projects_created_count": 2,
        "web_search_count": 5,
    },
    "claude_code": {
        "commit_count": 5,
        "pull_request_count": 3,
        "added_count": 900,
        "removed_count": 300,
        **{
            f"{tool}_tool:{verdict}": most
            for tool, most in (("edit", 40), ("multi_edit", 9), ("notebook_edit", 3), ("write", 20))
            for verdict in ("accepted", "rejected")
        },
    },
    "cowork": {
        "action_count": 90,
        "dispatch_turn_count": 4,
        "web_search_count": 9,
        "edit_tool_count": 9,
        "notebook_edit_tool_count": 2,
        "write_tool_count": 5,
    },
    "office_agent": {},
    "claude_design": {"projects_created_count": 2},
    "science": {"delegation_count": 4, "remote_compute_job_count": 3, "skills_used_count": 6},
    "claude_tag": {},
}
FILE_EDITS = (
    "edit_tool_count",
    "multi_edit_tool_count",
    "notebook_edit_tool_count",
    "write_tool_count",
)


@dataclass(frozen=True, slots=True)
class Project:
    """A project of claude.ai; fields that are no longer known are None."""

    id: str
    name: str
    created_at: str | None
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill, and the kinds of activity it is used in."""

    name: str
    share_status: str | None
    display_name: str | None
    kinds: tuple[str, ...] = ("chat", "cowork", "claude_code", "office_agent")


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector; only an opaque id can have a display name."""

    name: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin; without an id if the API withholds it."""

    name: str
    id: str | None


@dataclass(frozen=True, slots=True)
class SkillUse:
    """Usage of a skill in a session. Amounts are in cents."""

    skill: Skill
    count: int
    list_price: Decimal | None
    """None for a chat, whose requests have no attribution."""
    overage: Decimal
    enabled: bool


@dataclass(frozen=True, slots=True)
class ConnectorUse:
    """Usage of a connector in a session."""

    connector: Connector
    calls: tuple[int, ...]
    """Read, write and unclassified calls."""
    credential: str | None

    @property
    def count(self) -> int:
        """Number of calls."""
        return sum(self.calls)


@dataclass(frozen=True, slots=True)
class PluginUse:
    """Usage of a plugin in a session: at least one of the two counters."""

    plugin: Plugin
    count: int
    installed: bool


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact created in a session."""

    type: str
    shared: bool
    published: bool


@dataclass(frozen=True, slots=True)
class Session:
    """Activity of a member in one product on one day."""

    date: dt.date
    user_id: str
    teams: tuple[str, ...]
    product: str
    part: str
    """Office: the program; unified Chat and Cowork: chat or sessions; else empty."""
    id: str
    """Conversations and Cowork sessions continue on other days of the week."""
    counts: dict[str, int]
    project: Project | None = None
    files: tuple[str, ...] = ()
    viewed: tuple[str, ...] = ()
    designs: tuple[str, ...] = ()
    skills: tuple[SkillUse, ...] = ()
    connectors: tuple[ConnectorUse, ...] = ()
    plugins: tuple[PluginUse, ...] = ()
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class World:
    """All projects, skills, connectors and plugins."""

    projects: tuple[Project, ...]
    skills: tuple[Skill, ...]
    connectors: tuple[Connector, ...]
    plugins: tuple[Plugin, ...]
    skills_of: dict[str, tuple[Skill, ...]] = field(default_factory=dict)


def sessions(facts: Facts, date: dt.date, revision: int | None = None) -> tuple[Session, ...]:
    """Return the sessions of a day, at the current or a given revision."""
    restated = date >= facts.today - RESTATED_DAYS * DAY
    return _sessions(
        facts, date, (facts.revision if revision is None else revision) if restated else 0
    )


def slack_users(facts: Facts, date: dt.date, revision: int) -> frozenset[str]:
    """Return the Slack users of Claude Tag without a linked account; no report names them."""
    if not tag_measured(date) or _silent(facts, date):
        return frozenset()
    rng = random.Random(f"slack:{facts.seed}:{date}")
    most = len(facts.organization.users) + 4
    found = {f"unlinked-{number}" for number in rng.sample(range(2 * most), rng.randrange(most))}
    if revision and date >= facts.today - RESTATED_DAYS * DAY:
        found.add(f"late-{revision}")
    return frozenset(found)


def tag_measured(date: dt.date) -> bool:
    """Whether there are data on Claude Tag: not before its first day, nor on one day a month."""
    return date >= ROLLED_OUT and date.day != 13


@functools.lru_cache(maxsize=16)
def world(facts: Facts) -> World:
    """Return all projects, skills, connectors and plugins."""
    rng = random.Random(f"engagement:{facts.seed}")
    users = facts.organization.users
    names = ("Budget 2026", "Größen & Maße", "顧客サポート", "Lançamento 🚀", "Onboarding")
    projects = []
    for number in range(6 + len(users) // 4):
        made = FOUNDED + 3 * number * DAY + dt.timedelta(microseconds=123456 * (number % 2))
        # One in five was deleted early; one in five has a deleted creator.
        projects.append(
            Project(
                new_id(rng, "claude_proj"),
                names[number % len(names)],
                None if number % 5 == 3 else made.isoformat().replace("+00:00", "Z"),
                None if number % 5 in {3, 4} else users[number % len(users)],
            )
        )
    skills = (
        Skill("xlsx", None, None),
        Skill("pptx", "public", None, ("chat", "cowork", "office_agent")),
        Skill("brand-guidelines", "organization", None),
        Skill("brand-guidelines", "private", None),
        Skill("契約レビュー", "organization", None, ("chat", "cowork")),
        Skill(new_id(rng, "skill"), "organization", "Größenprüfung"),
        Skill(new_id(rng, "skill"), "private", None),
        Skill("deploy", None, None, ("claude_code",)),
        Skill("unknown", None, "Unknown skill"),
    )
    return World(
        projects=tuple(projects),
        skills=skills,
        connectors=(
            Connector("atlassian"),
            Connector("github"),
            Connector("google_drive"),
            Connector("slack"),
            Connector(new_id(rng, "mcpsrv"), "Größen-Katalog MCP"),
            Connector(new_id(rng, "mcpsrv")),
        ),
        plugins=(
            Plugin("serena", "serena@claude-plugins-official"),
            Plugin("review-kit", "review-kit@claude-plugins-official"),
            Plugin("review-kit", "review-kit@example-marketplace"),
            Plugin("übersetzer", None),
            Plugin("third-party", None),
        ),
        skills_of={
            kind: tuple(skill for skill in skills if kind in skill.kinds) for kind in _WEIGHTS
        },
    )


def _silent(facts: Facts, date: dt.date) -> bool:
    quiet = facts.silence is not None and facts.silence[0] <= date < facts.silence[1]
    return quiet or date < facts.first_day


@functools.lru_cache(maxsize=2048)
def _sessions(facts: Facts, date: dt.date, revision: int) -> tuple[Session, ...]:
    if revision:
        return tuple(_restated(session, revision) for session in _sessions(facts, date, 0))
    if _silent(facts, date):
        return ()
    rng = random.Random(f"engagement:{facts.seed}:{date}")
    users = facts.organization.users
    made = []
    for number in range(len(users)):
        # The last one is rarely active, the others on most days.
        there = 0.15 if number == len(users) - 1 else 0.9 - 0.1 * (number % 4)
        if rng.random() < there:
            made += [_session(rng, facts, date, number, turn) for turn in range(rng.randint(2, 6))]
    return tuple(made)


def _session(rng: random.Random, facts: Facts, date: dt.date, number: int, turn: int) -> Session:
    things = world(facts)
    kind = rng.choices(tuple(_WEIGHTS), weights=tuple(_WEIGHTS.values()))[0]
    if kind == "claude_tag" and not tag_measured(date):
        kind = "chat"
    product, part = _place(rng, kind, number, date)
    user = facts.organization.users[number]
    id_ = f"{date}:{user}:{turn}"
    if kind in {"chat", "cowork"}:
        year, week, _ = date.isocalendar()
        id_ = f"{year}:{week}:{user}:{kind}:{rng.randrange(4)}"
    session = Session(
        date=date,
        user_id=user,
        teams=facts.cast.teams_of(user, date),
        product=product,
        part=part,
        id=id_,
        counts=_counted(rng, kind),
    )
    if kind == "claude_design":
        designs = tuple(f"{user}:{design}" for design in rng.sample(range(4), rng.randrange(3)))
        return replace(session, designs=designs)
    if kind in {"science", "claude_tag"}:
        return session
    return replace(
        session,
        project=_project(things, id_) if kind == "chat" else None,
        files=tuple(f"{user}:{name}" for name in rng.sample(range(12), rng.randrange(4)))
        if kind == "chat"
        else (),
        viewed=tuple(map(str, rng.sample(range(20), rng.randrange(3)))) if kind == "chat" else (),
        skills=tuple(
            _skill_use(rng, skill, kind)
            for skill in rng.sample(things.skills_of[kind], rng.randrange(3))
        ),
        connectors=tuple(
            ConnectorUse(
                connector,
                (rng.randrange(1, 9), rng.randrange(4), rng.randrange(4)),
                rng.choice(("individual", "managed", None)),
            )
            for connector in rng.sample(things.connectors, rng.randrange(3))
        ),
        plugins=_plugin_uses(rng, things) if kind in {"cowork", "claude_code"} else (),
        artifacts=_artifacts(rng, kind, date),
    )


def _place(rng: random.Random, kind: str, number: int, date: dt.date) -> tuple[str, str]:
    """Return the product and its part; one in three users has unified Chat and Cowork, by week."""
    if kind == "office_agent":
        return kind, rng.choice(OFFICE)
    unified = date >= ROLLED_OUT and (number + date.toordinal() // 7) % 3 == 0
    if unified and kind in {"chat", "cowork"}:
        return "chat_cowork_unified", "chat" if kind == "chat" else "sessions"
    return kind, ""


def _counted(rng: random.Random, kind: str) -> dict[str, int]:
    counts = {name: rng.randrange(most) for name, most in _COUNTS[kind].items()}
    if kind == "claude_code":
        if rng.random() < 0.01:  # sometimes more than 32 bits
            counts["added_count"] *= 10**8
        return counts
    if kind == "cowork" and rng.random() < 0.5:
        counts |= dict.fromkeys(FILE_EDITS, 0)
    return {**counts, "message_count": counts.get("thinking_message_count", 0) + rng.randint(1, 40)}


def _project(things: World, conversation: str) -> Project | None:
    """Return the project of a conversation, always the same one, or None."""
    number = zlib.crc32(conversation.encode()) % (len(things.projects) + 3)
    return things.projects[number] if number < len(things.projects) else None


def _skill_use(rng: random.Random, skill: Skill, kind: str) -> SkillUse:
    price = Decimal(rng.randrange(10**18)).scaleb(-15) if rng.random() < 0.8 else Decimal(0)
    return SkillUse(
        skill,
        count=rng.randrange(1, 7),
        list_price=None if kind == "chat" else price,
        overage=price * Decimal("0.314") if rng.random() < 0.4 else Decimal(0),
        enabled=kind == "chat" and rng.random() < 0.3,
    )


def _plugin_uses(rng: random.Random, things: World) -> tuple[PluginUse, ...]:
    uses = []
    for plugin in rng.sample(things.plugins, rng.randrange(3)):
        count = rng.randrange(6)
        uses.append(PluginUse(plugin, count, installed=not count or rng.random() < 0.1))
    return tuple(uses)


def _artifacts(rng: random.Random, kind: str, date: dt.date) -> tuple[Artifact, ...]:
    if kind == "office_agent" or (kind != "chat" and date < CODE_ARTIFACTS_FROM):
        return ()
    made = []
    for _ in range(rng.randrange(3)):
        type_ = rng.choice(ARTIFACT_TYPES) if kind == "chat" else "text/html"
        shared = rng.random() < 0.4
        made.append(Artifact(type_, shared, published=shared and rng.random() < 0.5))
    return tuple(made)


def _restated(session: Session, revision: int) -> Session:
    """Return a session at a later revision, with higher counters."""

    def grown(count: int) -> int:
        return count + revision * (1 + count // 25) if count else 0

    return replace(
        session,
        counts={name: grown(count) for name, count in session.counts.items()},
        skills=tuple(
            replace(use, count=grown(use.count), overage=use.overage * (1 + Decimal(revision) / 32))
            for use in session.skills
        ),
        connectors=tuple(
            replace(use, calls=tuple(map(grown, use.calls))) for use in session.connectors
        ),
        plugins=tuple(replace(use, count=grown(use.count)) for use in session.plugins),
        artifacts=session.artifacts + session.artifacts[-1:] * revision,
    )
