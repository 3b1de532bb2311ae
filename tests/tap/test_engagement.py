"""Custom reports on the daily Enterprise streams: grouped and filtered by what the API allows."""

from __future__ import annotations

import collections
import datetime as dt
import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from simulator.engagement_facts import sessions, world
from simulator.server import ANALYTICS_KEY, Fault, Simulator
from tap_claude.streams import REPORTS, EngagementReport
from tap_claude.tap import TapClaude
from tests.conftest import NOW, RECENT, days_ago, only, settings, simulated
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.engagement_facts import Session

BASES = [name for name, report in REPORTS.items() if issubclass(report, EngagementReport)]
DAY = dt.timedelta(days=1)
TEAM = "rbac_group_id"
SKILLS_BY_TEAM = {"name": "skills_by_team", "report": "analytics_skills", "group_by": [TEAM]}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=40, now=RECENT) as made:
        yield made


def enterprise(simulator: Simulator, *reports: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a configuration with the Enterprise key alone and custom reports."""
    config = settings(simulator, analytics_api_key=ANALYTICS_KEY, reports=[*reports], **more)
    del config["admin_api_key"]
    return config


# -- any report, against the facts


# What a session contributes to, per report: the columns that identify the row, and the object.
ENTITIES: dict[str, Callable[[Session], list[tuple[dict[str, Any], Any]]]] = {
    "analytics_users": lambda session: [({"user_id": session.user_id}, session)],
    "analytics_projects": lambda session: (
        [({"project_id": session.project.id}, session)] if session.project else []
    ),
    "analytics_skills": lambda session: [
        ({"skill_name": use.skill.name, "share_status": use.skill.share_status}, use)
        for use in session.skills
    ],
    "analytics_connectors": lambda session: [
        ({"connector_name": use.connector.name}, use) for use in session.connectors
    ],
    "analytics_plugins": lambda session: [
        ({"plugin_name": use.plugin.name, "plugin_id": use.plugin.id}, use)
        for use in session.plugins
    ],
    "analytics_artifacts": lambda session: [
        ({"artifact_type": made.type, "is_shared": made.shared}, made) for made in session.artifacts
    ],
}

IDENTITY: dict[str, tuple[str, ...]] = {
    "analytics_users": ("user_id",),
    "analytics_projects": ("project_id",),
    "analytics_skills": ("skill_name", "share_status"),
    "analytics_connectors": ("connector_name",),
    "analytics_plugins": ("plugin_name", "plugin_id"),
    "analytics_artifacts": ("artifact_type", "is_shared"),
}

# A counter that adds up, per report, and what an object adds to it.
COUNTERS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "analytics_users": (
        "claude_code_commit_count",
        lambda session: session.counts.get("commit_count", 0),
    ),
    "analytics_projects": ("message_count", lambda session: session.counts["message_count"]),
    "analytics_skills": ("invocation_count", lambda use: use.count),
    "analytics_connectors": ("read_call_count", lambda use: use.calls[0]),
    "analytics_plugins": ("invocation_count", lambda use: use.count),
    "analytics_artifacts": ("artifacts_created_count", lambda _: 1),
}


def has(session: Session, entity: dict[str, Any], name: str, values: list[str]) -> bool:
    """Whether an object of a session passes a filter."""
    if name == TEAM:
        return not set(values).isdisjoint(session.teams)
    if name == "project_id":
        return session.project is not None and session.project.id in values
    if name in {"user_id", "product"}:
        return getattr(session, name) in values
    if name == "is_shared":
        return str(entity[name]).lower() in values
    return entity[name] in values


def truth(simulator: Simulator, report: dict[str, Any], start: dt.date, end: dt.date) -> Any:
    """Aggregate the sessions: day, entity and dimensions -> counter and distinct users."""
    base, group_by = report["report"], sorted(report["group_by"])
    _, counted = COUNTERS[base]
    sums: dict[Any, int] = collections.Counter()
    users: dict[Any, set[str]] = collections.defaultdict(set)
    day = start
    while day < end:
        for session in sessions(simulator.enterprise, day):
            for entity, found in ENTITIES[base](session):
                if not all(has(session, entity, *item) for item in report["filters"].items()):
                    continue
                # A person counts in each of their teams.
                for team in session.teams or (None,) if TEAM in group_by else (None,):
                    values = tuple(team if n == TEAM else getattr(session, n) for n in group_by)
                    # Grouped rows of users are about the group.
                    own = () if base == "analytics_users" and group_by else tuple(entity.values())
                    sums[day.isoformat(), own, values] += counted(found)
                    users[day.isoformat(), own, values].add(session.user_id)
        day += DAY
    unknown = base == "analytics_users" and not group_by
    return {key: (sums[key], None if unknown else len(users[key])) for key in sums}


def read(
    simulator: Simulator, report: dict[str, Any], start: dt.date, end: dt.date, page_size: int
) -> Any:
    """Return the records of a custom report, in the form of `truth`."""
    config = enterprise(simulator, report, start_date=str(start), end_date=str(end))
    stream: Any = TapClaude(config=config).streams[report["name"]]
    stream.page_size = page_size
    records = list(stream.get_records(None))
    assert len({record["row_id"] for record in records}) == len(records)
    base, group_by = report["report"], sorted(report["group_by"])
    column, _ = COUNTERS[base]
    names = [] if base == "analytics_users" and group_by else IDENTITY[base]
    ungrouped = {"product", TEAM, "user_id"} - {*group_by, *names}
    found: dict[Any, Any] = {}
    for record in records:
        assert all(record.get(name) is None for name in ungrouped)
        if base == "analytics_artifacts" and not group_by and not record[column]:
            continue  # the API lists each type
        key = (
            record["date"],
            tuple(record[name] for name in names),
            tuple(record[name] for name in group_by),
        )
        assert key not in found
        found[key] = (record[column], record["distinct_user_count"])
    return found


def choices(simulator: Simulator) -> dict[str, list[str]]:
    """Return values for each filter."""
    things = world(simulator.enterprise)
    return {
        "user_id": list(simulator.enterprise.organization.users),
        TEAM: [team.id for team in simulator.enterprise.cast.teams],
        "project_id": [project.id for project in things.projects],
        "product": ["chat_cowork_unified", "claude_code"],
        "skill_name": sorted({skill.name for skill in things.skills}),
        "share_status": ["organization", "private", "public"],
        "connector_name": [connector.name for connector in things.connectors],
        "plugin_name": sorted({plugin.name for plugin in things.plugins}),
        "artifact_type": ["text/html", "text/markdown", "other"],
        "is_shared": ["true", "false"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=[pytest.mark.long] if seed >= 30 else []) for seed in range(200)],
)
def test_any_report_equals_the_facts(simulator: Simulator, seed: int) -> None:
    """Random report, grouping, filters, days and page size."""
    rng = random.Random(seed)  # noqa: S311
    base = rng.choice(BASES)
    declared = REPORTS[base]
    group_by = rng.sample(declared.dimensions, rng.randrange(len(declared.dimensions) + 1))
    names = rng.sample(declared.filters, rng.choice((0, 0, 1, 2)))
    if "project_id" in names and (TEAM in {*names, *group_by}) and base == "analytics_users":
        names.remove("project_id")
    values = choices(simulator)
    start = RECENT.date() - rng.randrange(3, 35) * DAY
    end = min(start + rng.randrange(1, 6) * DAY, RECENT.date())
    report = {
        "name": "mine",
        "report": base,
        "group_by": group_by,
        "filters": {
            name: rng.sample(values[name], rng.randrange(1, len(values[name]) + 1))
            for name in names
        },
    }
    page_size = rng.choice((7, 100, 1000))
    assert read(simulator, report, start, end, page_size) == truth(simulator, report, start, end)


def test_people_count_in_each_of_their_teams_and_amounts_are_exact(simulator: Simulator) -> None:
    start, end = RECENT.date() - 20 * DAY, RECENT.date() - 10 * DAY
    by_person = {**SKILLS_BY_TEAM, "name": "by_person", "group_by": ["user_id"]}
    config = enterprise(
        simulator, SKILLS_BY_TEAM, by_person, start_date=str(start), end_date=str(end)
    )
    streams: Any = TapClaude(config=config).streams
    sums: dict[str, tuple[int, Decimal]] = {}
    for name in ("analytics_skills", "by_person", "skills_by_team"):
        records = list(streams[name].get_records(None))
        sums[name] = (
            sum(r["invocation_count"] for r in records),
            sum((Decimal(r["estimated_overage_spend"]) for r in records), Decimal(0)),
        )
    assert sums["by_person"] == sums["analytics_skills"]
    assert sums["skills_by_team"][0] > sums["analytics_skills"][0] > 0
    assert sums["skills_by_team"][1] > sums["analytics_skills"][1] > 0


# -- runs


def test_one_chain_of_requests_per_day_with_dimensions_and_filters(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=40, now=NOW)
    team = simulator.enterprise.cast.teams[0].id
    report = {
        **SKILLS_BY_TEAM,
        "group_by": [TEAM, "product"],
        "filters": {TEAM: [team], "product": ["chat", "cowork"]},
    }
    config = enterprise(simulator, report, start_date="2026-03-10")
    catalog = only(config, "skills_by_team", "report_buckets")
    first = tap(config=config, catalog=catalog)
    assert first.code == 0, first.stderr
    asked = simulator.requests("analytics/skills")
    days = [f"2026-03-{day}" for day in range(10, 21)]
    assert [seen.values("date")[0] for seen in asked] == days
    for seen in asked:
        assert sorted((name, value) for name, value in seen.query if name != "date") == [
            ("filter[]", "product:chat"),
            ("filter[]", "product:cowork"),
            ("filter[]", f"{TEAM}:{team}"),
            ("group_by[]", "product"),
            ("group_by[]", TEAM),
            ("limit", "1000"),
        ]
    records = first.records("skills_by_team")
    assert {record["product"] for record in records} == {"chat", "cowork"}
    assert {record["date"] for record in records} == set(days[:-1])
    assert {record["organization_id"] for record in records} == {
        simulator.organization_ids["enterprise"]
    }
    assert first.bookmark("skills_by_team") == "2026-03-19"
    assert first.state["bookmarks"]["skills_by_team"]["report"] == {
        "group_by": ["product", TEAM],
        "filters": {"product": ["chat", "cowork"], TEAM: [team]},
        "bucket_width": "1d",
    }
    buckets = [b for b in first.records("report_buckets") if b["stream"] == "skills_by_team"]
    assert [bucket["date"] for bucket in buckets] == days[:-1]
    assert sum(bucket["row_count"] for bucket in buckets) == len(records)

    simulator.seen.clear()
    second = tap(config=config, catalog=catalog, state=first.state)
    assert [s.values("date")[0] for s in simulator.requests("analytics/skills")] == days[6:]
    assert {r["row_id"] for r in second.records("skills_by_team")} <= {
        record["row_id"] for record in records
    }


@each(
    ("change", "says"),
    [
        ({"group_by": ["product"]}, 'group_by is ["product"], but was ["rbac_group_id"]'),
        ({"filters": {"user_id": ["user_x"]}}, 'filters is {"user_id": ["user_x"]}, but was {}'),
    ],
)
def test_a_changed_report_is_refused_and_the_others_are_read(
    simulator: Simulator, tap: Any, change: dict[str, Any], says: str
) -> None:
    config = enterprise(simulator, SKILLS_BY_TEAM, start_date=days_ago(4, RECENT))
    catalog = only(config, "skills_by_team", "analytics_skills")
    first = tap(config=config, catalog=catalog)
    assert first.code == 0, first.stderr
    run = tap(
        config={**config, "reports": [{**SKILLS_BY_TEAM, **change}]},
        catalog=catalog,
        state=first.state,
    )
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("skills_by_team: ")
    assert says in error
    assert not run.records("skills_by_team")
    assert run.records("analytics_skills")


def test_the_key_of_a_skill_does_not_depend_on_its_currency(simulate: Any, tap: Any) -> None:
    """It is null until the API has an amount."""
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, SKILLS_BY_TEAM, start_date="2026-03-19", end_date="2026-03-20")
    keys = set()
    for currency in (None, "USD"):
        row = {"skill_name": "s", TEAM: "rbac_group_1", "currency": currency}
        body = json.dumps({"data": [row], "next_page": None})
        simulator.faults.append(Fault(200, path="analytics/skills", body=body))
        (record,) = tap(config=config, catalog=only(config, "skills_by_team")).records(
            "skills_by_team"
        )
        keys.add(record["row_id"])
    assert len(keys) == 1


def test_a_bookmark_of_an_older_version_is_valid(simulator: Simulator, tap: Any) -> None:
    """The standard streams did not store what they asked for."""
    config = enterprise(simulator, start_date=days_ago(9, RECENT), lookback_days=0)
    state = {"bookmarks": {"analytics_skills": {"replication_key_value": days_ago(3, RECENT)[:10]}}}
    run = tap(config=config, catalog=only(config, "analytics_skills"), state=state)
    assert run.code == 0, run.stderr
    assert min(r["date"] for r in run.records("analytics_skills")) == days_ago(3, RECENT)[:10]


def test_names_of_people_are_replaced_in_grouped_rows_too(simulator: Simulator, tap: Any) -> None:
    report = {"name": "mine", "report": "analytics_projects", "group_by": ["user_id"]}
    runs = []
    for more in ({}, {"pseudonymize_users": "hash", "pseudonymize_key": "x" * 16}):
        config = enterprise(simulator, report, start_date=days_ago(4, RECENT), **more)
        runs.append(tap(config=config, catalog=only(config, "mine")))
        assert runs[-1].code == 0, runs[-1].stderr
    plain, hidden = (run.records("mine") for run in runs)
    assert any("@" in (record["created_by_email_address"] or "") for record in plain)
    assert not any("@" in str(record) for record in hidden)
    for name in ("row_id", "user_id", "message_count"):
        assert [record[name] for record in hidden] == [record[name] for record in plain]


def test_a_summary_may_be_of_some_teams_only(simulator: Simulator, tap: Any) -> None:
    teams = [team.id for team in simulator.enterprise.cast.teams[:2]]
    report = {"name": "of_teams", "report": "analytics_summaries", "filters": {TEAM: teams}}
    config = enterprise(simulator, report, start_date=days_ago(9, RECENT))
    simulator.seen.clear()
    run = tap(config=config, catalog=only(config, "of_teams", "analytics_summaries"))
    assert run.code == 0, run.stderr
    requests = simulator.requests("analytics/summaries")
    assert {tuple(seen.values("filter[]")) for seen in requests} == {
        (),
        tuple(f"{TEAM}:{team}" for team in teams),
    }
    whole = {r["starting_at"]: r for r in run.records("analytics_summaries")}
    for record in run.records("of_teams"):
        members = {
            session.user_id
            for session in sessions(
                simulator.enterprise, dt.date.fromisoformat(record["starting_at"][:10])
            )
            if not set(teams).isdisjoint(session.teams)
        }
        assert record["daily_active_user_count"] == len(members)
        assert record["assigned_seat_count"] is None
        assert record["row_id"] != whole[record["starting_at"]]["row_id"]
    assert len(run.records("of_teams")) == len(whole) > 5


@each(("group_by", "code"), [(["product"], 1), ([], 0)])
def test_grouped_artifacts_must_say_that_a_page_is_the_last(
    simulate: Any, tap: Any, group_by: list[str], code: int
) -> None:
    """Ungrouped ones are one page, so that nothing is lost without `next_page`."""
    simulator = simulate(days=40, now=NOW)
    rows = [{"artifact_type": "other", "is_shared": False, "artifacts_created_count": 1}]
    simulator.faults.append(Fault(200, path="analytics/artifacts", body=json.dumps({"data": rows})))
    report = {"name": "mine", "report": "analytics_artifacts", "group_by": group_by}
    config = enterprise(simulator, report, start_date="2026-03-19", end_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "mine"))
    assert run.code == code, run.stderr
    assert ("it may not be the last page" in run.stderr) is bool(code)
