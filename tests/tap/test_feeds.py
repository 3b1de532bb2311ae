"""Feeds: sessions that change after they were read, kills, late rows, and wrong orders."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from chaos.world import SmallPages
from simulator.facts import Facts
from simulator.server import (
    ADMIN_KEY,
    ANALYTICS_KEY,
    COMPLIANCE_KEY,
    PERSONAL_KEY,
    WORKSPACE_KEY,
    Fault,
    Simulator,
)
from tests.conftest import NOW, only, settings

DAY = dt.timedelta(days=1)
SESSIONS, ACTIVITIES = "agent_sessions", "compliance_activities"
ENDED = {"replication_key", "replication_key_value", "open_since", "organizations"}


@pytest.fixture
def weeks() -> Any:
    """An organization whose history goes on after the clock was stopped, in small pages."""
    facts = Facts(first_day=(NOW - 40 * DAY).date(), today=(NOW + 30 * DAY).date())
    with SmallPages(facts, now=NOW) as simulator:
        yield simulator


def config_of(simulator: Simulator, **more: Any) -> dict[str, Any]:
    return settings(
        simulator, workspace_api_key=WORKSPACE_KEY, start_date="2026-01-01", lookback_days=0, **more
    )


def read(tap: Any, config: dict[str, Any], stream: str, state: Any = None) -> Any:
    return tap(config=config, catalog=only(config, stream), state=state)


def by_id(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {record["id"]: {**record, "extracted_at": None} for record in records}


@pytest.mark.slow
def test_sessions_that_ran_at_the_last_run_are_read_again(weeks: Simulator, tap: Any) -> None:
    """Also those that ended since, and nothing that was final."""
    rows: dict[str, Any] = {}
    state: Any = None
    read_again = 0
    for days in (0, 1, 6, 20):
        weeks.stopped_clock = NOW + days * DAY
        before = dict(rows)
        run = read(tap, config_of(weeks), SESSIONS, state)
        assert run.code == 0, run.stderr
        changed = by_id(run.records(SESSIONS))
        rows |= changed
        state = run.state
        assert rows == by_id(read(tap, config_of(weeks), SESSIONS).records(SESSIONS))
        read_again += sum(
            before[id_]["status"] == "running" and row["status"] == "terminated"
            for id_, row in changed.items()
            if id_ in before
        )
        if before:
            final = [row for row in rows.values() if row["status"] == "terminated"]
            assert len(changed) < len(rows)
            assert any(row["id"] not in changed for row in final)
    assert read_again
    # One time, however many sessions can still change.
    assert set(state["bookmarks"][SESSIONS]) == ENDED


@pytest.mark.slow
@pytest.mark.parametrize("stream", [SESSIONS, ACTIVITIES])
def test_a_feed_that_is_killed_after_each_state_ends_with_the_same_rows(
    weeks: Simulator, tap: Any, stream: str
) -> None:
    weeks.stopped_clock = NOW - 5 * DAY
    first = read(tap, config_of(weeks), stream)
    weeks.stopped_clock = NOW
    whole = by_id(first.records(stream))
    whole |= by_id(read(tap, config_of(weeks), stream, first.state).records(stream))
    full = read(tap, config_of(weeks), stream)
    assert whole == by_id(full.records(stream))
    # What a target has after each STATE of the first run, and the rest from that state.
    loaded: list[dict[str, Any]] = []
    states = 0
    for message in full.messages:
        if message["type"] == "RECORD":
            loaded.append(message["record"])
        elif message["type"] == "STATE" and states % 7 == 0:
            rest = read(tap, config_of(weeks), stream, message["value"])
            assert by_id([*loaded, *rest.records(stream)]) == whole
        states += message["type"] == "STATE"
    assert states > 3


@pytest.mark.slow
def test_the_lookback_is_read_again(weeks: Simulator, tap: Any) -> None:
    run = read(tap, config_of(weeks), ACTIVITIES)
    assert run.bookmark(ACTIVITIES) == "2026-03-20T13:37:42Z"
    weeks.seen.clear()
    config = {**config_of(weeks), "lookback_days": 2}
    again = read(tap, config, ACTIVITIES, run.state)
    (asked,) = {seen.values("created_at.gte")[0] for seen in weeks.seen}
    assert asked == "2026-03-18T13:37:42Z"
    rows = [row for row in run.records(ACTIVITIES) if row["created_at"] >= asked]
    assert by_id(again.records(ACTIVITIES)) == by_id(rows) != {}
    assert again.bookmark(ACTIVITIES) == run.bookmark(ACTIVITIES)


def test_rows_that_appear_late_are_read(simulate: Any, tap: Any) -> None:
    """Also without a lookback: the last hour is read again."""
    simulator = simulate(days=3)
    config = {**config_of(simulator), "start_date": f"{simulator.facts.first_day}"}
    run = read(tap, config, ACTIVITIES)
    hour_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    assert dt.datetime.fromisoformat(run.bookmark(ACTIVITIES)) <= hour_ago
    assert run.bookmark(ACTIVITIES)[:13] >= f"{simulator.facts.first_day}"


def test_an_empty_feed_has_a_bookmark(simulate: Any, tap: Any) -> None:
    """Or an idle organization would be read from 30 days before each run."""
    config = config_of(simulate(days=3, now=NOW)) | {"start_date": "2026-03-20T13:37:00Z"}
    run = read(tap, config, ACTIVITIES)
    assert (run.code, run.records(ACTIVITIES)) == (0, [])
    assert run.bookmark(ACTIVITIES) == "2026-03-20T13:37:42Z"


def newest_first(response: Any, pairs: Any) -> Any:  # noqa: ARG001
    return {**response, "data": response["data"][::-1]}


def of_another_time(response: Any, pairs: Any) -> Any:  # noqa: ARG001
    last = {**response["data"][-1], "created_at": "2026-12-31T00:00:00Z"}
    return {**response, "data": [*response["data"][:-1], last]}


@pytest.mark.parametrize("change", [newest_first, of_another_time])
def test_a_feed_in_another_order_or_range_is_refused(
    weeks: Simulator, tap: Any, change: Any
) -> None:
    weeks.faults.append(Fault(200, change=change, path="/v1/sessions", times=99))
    run = read(tap, config_of(weeks), SESSIONS)
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("agent_sessions: a row was created at 2026-")
    assert "not between the row before it and the end of the range" in error
    assert "replication_key_value" not in json.dumps(run.state)


@pytest.mark.slow
def test_a_feed_goes_on_after_an_expired_cursor(weeks: Simulator, tap: Any) -> None:
    whole = by_id(read(tap, config_of(weeks), SESSIONS).records(SESSIONS))
    weeks.seen.clear()
    weeks.faults.append(Fault(400, path="/v1/sessions", needs_cursor=True, after=3))
    run = read(tap, config_of(weeks), SESSIONS)
    assert run.code == 0, run.stderr
    assert by_id(run.records(SESSIONS)) == whole
    assert "the page cursor has expired; resuming after the last page" in run.stderr
    assert len({seen.values("created_at[gte]")[0] for seen in weeks.seen}) == 2


# -- workspaces


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["fail", "skip"])
def test_a_workspace_that_is_refused_does_not_stop_the_others(
    simulate: Any, tap: Any, policy: str
) -> None:
    simulator = simulate(days=20, now=NOW)
    good, bad, *others = simulator.facts.organization.workspaces
    simulator.acts_on.discard(bad)
    config = {
        **config_of(simulator, agent_workspace_ids=[good, bad, *others]),
        "workspace_api_key": PERSONAL_KEY,
        "on_permission_error": policy,
    }
    catalog = only(config, "agents", SESSIONS)
    run = tap(config=config, catalog=catalog)
    assert run.code == (1 if policy == "fail" else 0)
    for stream in ("agents", SESSIONS):
        assert {record["workspace_id"] for record in run.records(stream)} == {good, *others}
        assert f"{stream}: {bad}: HTTP 403 permission_error: The key may not act on" in run.stderr
        assert f"{stream}: {bad} is left out: HTTP 403" in run.stderr
        assert len([line for line in run.errors if line.startswith(f"{stream}: ")]) == (
            policy == "fail"
        )
    # Its rows would be deleted.
    assert not [m for m in run.messages if m["type"] == "ACTIVATE_VERSION"]
    parts = run.state["bookmarks"][SESSIONS]["partitions"]
    marks = {part["context"]["workspace_id"]: part.get("replication_key_value") for part in parts}
    assert {id_ for id_, mark in marks.items() if mark} == {good, *others}
    # Once the key may act on it, it is read from the beginning.
    simulator.acts_on.add(bad)
    later = tap(config=config, catalog=catalog, state=run.state)
    assert later.code == 0, later.stderr
    whole = tap(config=config, catalog=catalog)
    both = by_id([*run.records(SESSIONS), *later.records(SESSIONS)])
    assert both == by_id(whole.records(SESSIONS))
    assert [m["stream"] for m in later.messages if m["type"] == "ACTIVATE_VERSION"] == ["agents"]


def test_the_workspace_of_the_response_is_checked(simulate: Any, tap: Any) -> None:
    """A key that ignores the header reads the same workspace again and again."""
    simulator = simulate(days=3, now=NOW)
    simulator.workspace_of = lambda _: simulator.facts.organization.workspaces[0]
    ids = simulator.facts.organization.workspaces[:2]
    config = config_of(simulator, agent_workspace_ids=ids)
    run = read(tap, config, "agents")
    assert run.code == 1
    assert run.errors == [f"agents: the API returned the workspace {ids[0]}, not {ids[1]}"]


def test_the_organization_is_asked_with_the_admin_key(simulate: Any, tap: Any) -> None:
    """A key of a workspace cannot, and the agents of the organization are read first."""
    simulator = simulate(days=3, now=NOW, organization_header=False)
    run = read(tap, config_of(simulator), "agents")
    assert run.code == 0, run.stderr
    ids = {record["organization_id"] for record in run.records("agents")}
    assert ids == {simulator.facts.organization.id}
    (me,) = simulator.requests("me")
    assert me.headers["x-api-key"] == ADMIN_KEY


def test_an_activity_names_its_organization(simulate: Any, tap: Any) -> None:
    """A Compliance key can belong to the parent of the organization of the other keys."""
    simulator = simulate(days=3, now=NOW)
    own, console = simulator.enterprise.organization.id, simulator.facts.organization.id
    of_key = simulator.organization_id

    def of_parent(headers: dict[str, str]) -> str | None:
        return "parent" if headers["x-api-key"] == COMPLIANCE_KEY else of_key(headers)

    simulator.organization_id = of_parent
    config = config_of(
        simulator, compliance_api_key=COMPLIANCE_KEY, analytics_api_key=ANALYTICS_KEY
    )
    config["start_date"] = "2024-01-01"
    run = tap(config=config, catalog=only(config, ACTIVITIES, "rbac_groups", "users"))
    assert run.code == 0, run.stderr
    for stream in ("rbac_groups", "users"):
        assert {row["organization_id"] for row in run.records(stream)} <= {own, console}
    records = run.records(ACTIVITIES)
    named = [record for record in records if record["organization_uuid"] == own]
    assert {record["organization_id"] for record in named} == {own}
    assert {record["tagged_organization_id"] for record in named} == {f"org_01{own[:8]}"}
    signed_in = [record for record in records if record["type"] == "user_signed_in"]
    assert {record["organization_id"] for record in signed_in} == {"parent", console}
