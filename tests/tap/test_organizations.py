"""The organization of a row: in every key, pinned in the state, never another one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from simulator.faults import FOREVER
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, Fault
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings

if TYPE_CHECKING:
    from tests.conftest import Run

BOTH = {"admin_api_key": ADMIN_KEY, "analytics_api_key": ANALYTICS_KEY}


def everything(config: dict[str, Any]) -> dict[str, Any]:
    return only(config, *TapClaude(config=config).streams)


def keys(run: Run) -> set[tuple[Any, ...]]:
    """Return the key of every record, as a target sees it."""
    schemas = run.schemas
    return {
        (
            message["stream"],
            *(message["record"][k] for k in schemas[message["stream"]]["key_properties"]),
        )
        for message in run.messages
        if message["type"] == "RECORD"
    }


@pytest.mark.slow
def test_organizations_that_look_alike_share_no_key(simulate: Any, tap: Any) -> None:
    """The same people, keys, workspaces and lines of the bill, in two of each kind."""
    runs = []
    for seed in (1, 2):
        simulator = simulate(days=5, now=NOW, seed=seed, shared_people=True)
        config = settings(simulator, start_date=days_ago(4, NOW), access_token=ACCESS_TOKEN, **BOTH)
        run = tap(config=config, catalog=everything(config))
        assert run.code == 0, run.stderr
        runs.append(run)
        for message in run.messages:
            if message["type"] == "RECORD":
                record = message["record"]
                assert record["organization_id"] in simulator.organization_ids.values()
                assert record["organization_label"] is None
    people = [{record["id"] for record in run.records("users")} for run in runs]
    assert people[0] == people[1]
    lines = [
        {
            (r["starting_at"], r["workspace_id"], r["description"])
            for r in run.records("cost_report")
        }
        for run in runs
    ]
    assert lines[0] & lines[1]
    first, second = map(keys, runs)
    assert len({stream for stream, *_ in first}) > 25
    assert not first & second


def test_a_person_in_two_organizations_is_two_rows(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW), **BOTH)
    run = tap(config=config, catalog=only(config, "users"))
    kinds = {r["organization_id"]: r["organization_type"] for r in run.records("users")}
    assert kinds == {here: kind for kind, here in simulator.organization_ids.items()}
    assert len(keys(run)) == len(run.records("users"))


@pytest.mark.parametrize(
    ("label", "ids"),
    [
        (None, {"console": "console", "enterprise": "enterprise"}),
        ("Acme", {"console": "Acme (console)", "enterprise": "Acme (enterprise)"}),
    ],
)
def test_without_an_id_the_label_or_the_type_is_used(
    simulate: Any, tap: Any, label: str | None, ids: dict[str, str]
) -> None:
    simulator = simulate(days=3, now=NOW, organization_header=False)
    simulator.faults.append(Fault(404, path="organizations/me", times=FOREVER))
    config = settings(simulator, start_date=days_ago(2, NOW), organization_label=label, **BOTH)
    run = tap(config=config, catalog=only(config, "users", "analytics_cost"))
    assert run.code == 0, run.stderr
    for stream in ("users", "analytics_cost"):
        found = {r["organization_type"]: r["organization_id"] for r in run.records(stream)}
        assert found == ids
        assert {r["organization_label"] for r in run.records(stream)} == {label}
    # requested once per organization, for any number of streams and pages
    assert len(simulator.requests("me")) == 2


def test_without_the_header_the_id_is_requested(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW, organization_header=False)
    config = settings(simulator, start_date=days_ago(2, NOW), organization_label="Acme")
    run = tap(config=config, catalog=only(config, "users", "cost_report"))
    here = simulator.organization_ids["console"]
    assert {r["organization_id"] for r in run.records("users")} == {here}
    assert {r["organization_label"] for r in run.records("cost_report")} == {"Acme"}
    assert len(simulator.requests("me")) == 1


@pytest.mark.parametrize("body", ['{"data": [], "has_more": false}', "<html>", "[]"])
def test_a_response_without_an_id_is_ignored(simulate: Any, tap: Any, body: str) -> None:
    simulator = simulate(days=3, now=NOW, organization_header=False)
    simulator.faults.append(Fault(200, body=body, path="organizations/me"))
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, "users"))
    assert {r["organization_id"] for r in run.records("users")} == {"console"}


def test_an_organization_keeps_the_id_that_its_table_began_with(simulate: Any, tap: Any) -> None:
    """First without a header, then with another label, then with the header: the same keys."""
    without_id = simulate(days=3, now=NOW, organization_header=False)
    without_id.faults.append(Fault(404, path="organizations/me", times=FOREVER))
    with_id = simulate(days=3, now=NOW)
    state: dict[str, Any] = {}
    seen: list[set[tuple[Any, ...]]] = []
    for simulator, label in ((without_id, "Acme"), (without_id, "Acme Inc"), (with_id, "Acme Inc")):
        config = settings(simulator, start_date=days_ago(2, NOW), organization_label=label)
        run = tap(config=config, catalog=only(config, "cost_report", "users"), state=state)
        assert run.code == 0, run.stderr
        assert {r["organization_id"] for r in run.records("cost_report")} == {"Acme"}
        seen.append(keys(run))
        state = run.state
    assert seen[0] == seen[1] == seen[2]
    # The state now has the id too, and another organization is refused.
    other = simulate(days=3, now=NOW, seed=8)
    config = settings(other, start_date=days_ago(2, NOW))
    assert tap(config=config, catalog=only(config, "users"), state=state).code == 1


def test_a_state_of_another_organization_is_refused(simulate: Any, tap: Any) -> None:
    mine, other = simulate(days=3, now=NOW), simulate(days=3, now=NOW, seed=8)
    config = settings(mine, start_date=days_ago(2, NOW))
    state = tap(config=config).state
    run = tap(config={**config, "base_url": other.url}, state=state)
    assert run.code == 1
    (error,) = run.errors
    assert mine.organization_ids["console"] in error
    assert other.organization_ids["console"] in error
    assert "a separate state" in error
    assert not [m for m in run.messages if m["type"] in {"RECORD", "ACTIVATE_VERSION"}]
    read = {name: part for name, part in state["bookmarks"].items() if part}
    assert run.state["bookmarks"] == read


def test_two_credentials_of_one_kind_share_an_organization(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW), access_token=ACCESS_TOKEN)
    foreign = {"anthropic-organization-id": "another"}
    body = '{"data": [], "has_more": false, "next_page": null}'
    simulator.faults.append(Fault(200, body=body, headers=foreign, path="federation_issuers"))
    run = tap(config=config, catalog=only(config, "cost_report", "federation_issuers"))
    assert run.code == 1
    assert "access_token belongs to the organization another, but" in run.errors[-1]


def test_an_organization_that_a_row_names_is_kept(simulate: Any, tap: Any) -> None:
    """A parent's key reads rows of several organizations."""
    simulator = simulate(days=3, now=NOW)
    reports = [{"name": "by_org", "report": "analytics_cost", "group_by": ["organization_id"]}]
    config = settings(simulator, start_date=days_ago(2, NOW), reports=reports)
    here = simulator.organization_ids["console"]
    row = {
        "starting_at": days_ago(1, NOW),
        "ending_at": days_ago(0, NOW),
        "cost": {"amount": "1", "list_amount": "1", "currency": "USD"},
    }
    rows = [{**row, "group": {"organization_id": child}} for child in ("child_1", "child_2", None)]
    body = {"data": rows, "has_more": False, "next_page": None, "data_refreshed_at": None}
    simulator.faults.append(
        Fault(
            200,
            body=json.dumps(body),
            path="analytics/cost",
            headers={"anthropic-organization-id": here},
        )
    )
    run = tap(config=config, catalog=only(config, "by_org", "claude_code_usage"))
    records = run.records("by_org")
    assert [r["organization_id"] for r in records] == ["child_1", "child_2", here]
    assert len({r["row_id"] for r in records}) == 3
    assert {r["organization_id"] for r in run.records("claude_code_usage")} == {here}


# -- a credential that is missing in one run


def test_a_missing_credential_is_reported(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW), **BOTH)
    streams = ("users", "analytics_users", "workspaces")
    first = tap(config=config, catalog=only(config, *streams))
    activated = {m["stream"] for m in first.messages if m["type"] == "ACTIVATE_VERSION"}
    assert activated == {"users", "workspaces"}
    catalog = only({**config, "analytics_api_key": ANALYTICS_KEY}, *streams)
    run = tap(config={**config, "analytics_api_key": ""}, catalog=catalog, state=first.state)
    assert "contains an organization of type enterprise" in run.stderr
    assert "(analytics_api_key)" in run.stderr
    # Its people are not in this run, so they must not look deleted.
    activated = {m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"}
    assert activated == {"workspaces"}
    # The others were read, and the stream without a credential is an error.
    assert run.records("users")
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("analytics_users: is selected in the catalogue, but none of its cred")
    # The bookmark of the organization that was not read stays.
    assert run.state["bookmarks"]["analytics_users"] == first.state["bookmarks"]["analytics_users"]


def test_a_selected_stream_that_is_not_available_causes_a_warning(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    reports = [{"name": "of_yesterday", "report": "cost_report"}]
    config = settings(simulator, start_date=days_ago(2, NOW), reports=reports)
    catalog = only(config, "of_yesterday", "users")
    run = tap(config={**config, "reports": []}, catalog=catalog)
    assert run.code == 0
    assert "of_yesterday: is selected in the catalogue, but is not available" in run.stderr
