"""Full tables: people, workspaces, keys, limits; complete, in few requests, and deleted rows."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from simulator.directory import Directory
from simulator.facts import Facts
from simulator.faults import FOREVER
from simulator.organization import DEFAULT_WORKSPACE
from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY, Fault, Simulator
from tests.conftest import NOW, measured_environment, only, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADMIN = (
    "api_keys",
    "external_keys",
    "invites",
    "organization",
    "rate_limits",
    "users",
    "workspace_members",
    "workspace_rate_limits",
    "workspaces",
)
OAUTH = (
    "federation_issuers",
    "federation_rules",
    "service_account_workspaces",
    "service_accounts",
)


@pytest.fixture(scope="module")
def wide() -> Iterator[Simulator]:
    """An organization with thousands of people, workspaces and keys."""
    facts = Facts(first_day=NOW.date(), today=NOW.date())
    directory = Directory(facts.organization, users=3000, workspaces=500, keys=20_000)
    with Simulator(facts, now=NOW, directory=directory) as simulator:
        yield simulator


@pytest.mark.slow
def test_a_large_directory_takes_few_requests(wide: Simulator, tap: Any) -> None:
    config = settings(wide, start_date="2026-03-20", end_date="2026-03-20T01:00:00Z")
    catalog = only(config, *ADMIN)
    wide.seen.clear()
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    assert len(run.records("users")) == 3000
    assert len(run.records("api_keys")) == 20_000
    workspaces = run.records("workspaces")
    assert len(workspaces) == len(wide.directories["A"].workspaces) >= 500
    sent: dict[str, int] = {}
    for seen in wide.seen:
        parts = seen.path.removeprefix("/v1/organizations/").split("/")
        sent[parts[0] if len(parts) == 1 else parts[2]] = (
            sent.get(parts[0] if len(parts) == 1 else parts[2], 0) + 1
        )
    assert sent["users"] == 3
    assert sent["api_keys"] == 20
    # the list of workspaces is requested once, for three streams
    assert sent["workspaces"] == 1
    members = [record["workspace_id"] for record in run.records("workspace_members")]
    most = max(members.count(workspace) for workspace in set(members))
    assert sent["members"] == len(workspaces) + -(-most // 1000) - 1
    for stream in ADMIN:
        keys = run.schemas[stream]["key_properties"]
        records = run.records(stream)
        assert len({tuple(r[key] for key in keys) for r in records}) == len(records) > 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_directory(wide: Simulator, tmp_path: Path) -> None:
    """The peak with 20,000 keys is close to that with a few rate limits."""

    def peak(stream: str) -> int:
        config = settings(wide, start_date="2026-03-20")
        for name, content in (("c", config), ("p", only(config, stream))):
            (tmp_path / name).write_text(json.dumps(content))
        # Not getrusage: its peak includes the parent process at the fork.
        script = (
            "import pathlib, sys; from tap_claude.tap import TapClaude\n"
            "try: TapClaude.cli()\n"
            "finally:\n"
            "    status = pathlib.Path('/proc/self/status').read_text()\n"
            "    print(status.partition('VmHWM:')[2].split()[0], file=sys.stderr)"
        )
        command = [sys.executable, "-c", script, "--config", "c", "--catalog", "p"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env=measured_environment(PYTHONPATH=":".join(sys.path)),
        )
        return int(done.stderr.split()[-1])

    grown = peak("api_keys") - peak("rate_limits")
    assert grown < 8_000, f"{grown} KiB"


@pytest.mark.slow
def test_all_rows_are_read(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date="2026-03-20", access_token=ACCESS_TOKEN)
    run = tap(config=config, catalog=only(config, *ADMIN, *OAUTH))
    assert run.code == 0, run.stderr
    workspaces = {record["id"]: record for record in run.records("workspaces")}
    assert workspaces[DEFAULT_WORKSPACE]["name"] == "Default"
    assert any(record["archived_at"] for record in workspaces.values())
    geos = [r["data_residency_allowed_inference_geos"] for r in workspaces.values()]
    assert ["unrestricted"] in geos
    assert any(geo != ["unrestricted"] for geo in geos)
    assert any(record["tags"] for record in workspaces.values())
    statuses = {record["status"] for record in run.records("api_keys")}
    assert statuses == {"active", "inactive", "archived", "expired"}
    assert {"pending", "accepted", "expired"} <= {r["status"] for r in run.records("invites")}
    assert any(record["archived_at"] for record in run.records("service_accounts"))
    for stream in (*ADMIN, *OAUTH):
        for record in run.records(stream):
            assert record["organization_type"] == "console"
            assert list(record) == list(run.schemas[stream]["schema"]["properties"])
    limits = run.records("rate_limits")
    assert any(record["models"] is None for record in limits)
    assert any(record["group_display_name"] for record in limits)
    assert all(record["group_type"] and record["limit_type"] for record in limits)
    by_key = {(r["id"], r["limit_type"]) for r in limits}
    assert len(by_key) == len(limits)


def test_both_versions_of_the_api_give_the_same_rows(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    rows: list[dict[str, Any]] = []
    for version in ("2023-06-01", "2026-10-21"):
        config = settings(simulator, start_date="2026-03-20", anthropic_version=version)
        run = tap(config=config, catalog=only(config, "api_keys", "rate_limits"))
        assert {s.headers["anthropic-version"] for s in simulator.seen[-2:]} == {version}
        rows.append(
            {
                stream: [
                    {name: value for name, value in r.items() if name != "extracted_at"}
                    for r in run.records(stream)
                ]
                for stream in ("api_keys", "rate_limits")
            }
        )
        assert "unknown to this version" not in run.stderr
    old, new = rows
    assert old["rate_limits"] == new["rate_limits"]
    for before, after in zip(old["api_keys"], new["api_keys"], strict=True):
        assert before == after
    assert {r["principal_type"] for r in new["api_keys"]} == {
        "user_actor",
        "service_account_actor",
        None,
    }


def test_a_group_type_alone_is_read(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    row = {
        "id": "rl_1",
        "type": "rate_limit",
        "group_type": "batch",
        "models": None,
        "limits": [{"type": "requests_per_minute", "value": 5}],
    }
    body = json.dumps({"data": [row], "next_page": None})
    simulator.faults.append(Fault(status=200, body=body, path="rate_limits"))
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "rate_limits"))
    (record,) = run.records("rate_limits")
    assert (record["group_type"], record["group_id"]) == ("batch", None)
    assert (record["limit_type"], record["limit_value"]) == ("requests_per_minute", 5)


def test_requests_are_as_documented(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date="2026-03-20", access_token=ACCESS_TOKEN)
    tap(config=config, catalog=only(config, *ADMIN, *OAUTH))
    first = {
        seen.path.removeprefix("/v1/organizations/"): seen for seen in reversed(simulator.seen)
    }
    queries = {path: dict(seen.query) for path, seen in first.items()}
    assert queries["me"] == {}
    assert queries["workspaces"] == {
        "limit": "1000",
        "include_archived": "true",
        "include_default": "true",
    }
    assert queries["users"] == queries["invites"] == queries["api_keys"] == {"limit": "1000"}
    assert queries["service_accounts"] == {"limit": "100", "include_archived": "true"}
    for path, seen in first.items():
        oauth = path.startswith(("service_accounts", "federation"))
        assert ("authorization" in seen.headers) is oauth, path
        assert ("x-api-key" in seen.headers) is not oauth, path


def test_the_cursor_comes_from_the_envelope(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    users = [
        {"id": f"user_{n}", "type": "user", "email": "e", "name": "n", "role": "user"}
        for n in range(3)
    ]
    for n, (more, cursor) in enumerate(((True, "not_an_id"), (True, "another"), (False, None))):
        body = {"data": [users[n]], "has_more": more, "first_id": "x", "last_id": cursor}
        simulator.faults.append(Fault(status=200, body=json.dumps(body), path="users"))
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "users"))
    assert [record["id"] for record in run.records("users")] == ["user_0", "user_1", "user_2"]
    assert [seen.values("after_id") for seen in simulator.requests("users")] == [
        [],
        ["not_an_id"],
        ["another"],
    ]


@pytest.mark.parametrize(
    ("stream", "body", "says"),
    [
        ("users", {"data": []}, "no has_more"),
        ("users", {"data": [], "has_more": True, "last_id": None}, "no last_id"),
        ("rate_limits", {"data": []}, "no next_page"),
        ("rate_limits", {"data": [], "next_page": ""}, "empty next_page"),
    ],
)
def test_contradicting_envelopes_are_an_error(
    simulate: Any, tap: Any, stream: str, body: dict[str, Any], says: str
) -> None:
    simulator = simulate(days=3, now=NOW)
    simulator.faults.append(Fault(status=200, body=json.dumps(body), path=stream))
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, stream))
    assert run.code == 1
    assert run.errors[-1].startswith(f"{stream}: ")
    assert says in run.errors[-1]


# -- streams that the key may not read, deleted parents


def test_the_catalogue_has_no_stream_that_an_admin_key_cannot_read(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    offered = json.loads(tap("--discover", config=settings(simulator)).stdout)["streams"]
    assert not {entry["stream"] for entry in offered} & set(OAUTH)


def test_an_enterprise_key_reads_people_only(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, analytics_api_key=ANALYTICS_KEY, start_date="2026-03-20")
    del config["admin_api_key"]
    run = tap(config=config, catalog=only(config, "users", "invites"))
    assert run.code == 0, run.stderr
    for stream in ("users", "invites"):
        assert {r["organization_type"] for r in run.records(stream)} == {"enterprise"}


def test_both_organizations_in_one_run(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, analytics_api_key=ANALYTICS_KEY, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "users", "workspaces"))
    assert run.code == 0, run.stderr
    kinds = [record["organization_type"] for record in run.records("users")]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"console", "enterprise"}
    assert {r["organization_type"] for r in run.records("workspaces")} == {"console"}
    assert "partitions" not in str(run.state)


def test_a_deleted_workspace_is_left_out(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    simulator.faults.append(Fault(status=404, path="/members", after=1))
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "workspace_members"))
    assert run.code == 0, run.stderr
    assert "is left out: HTTP 404" in run.stderr
    assert run.records("workspace_members")


def test_a_list_that_is_missing_for_all_parents_is_a_refusal(simulate: Any, tap: Any) -> None:
    """It must not look like an empty table."""
    simulator = simulate(days=3, now=NOW)
    simulator.faults.append(Fault(status=404, path="/members", times=9999))
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "workspace_members", "users"))
    assert run.code == 1
    assert "workspace_members: HTTP 404" in run.errors[-1]
    assert activated(run) == ["users"]


# -- ACTIVATE_VERSION


def activated(run: Any) -> list[str]:
    return [m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"]


def test_a_completely_read_table_is_activated_after_its_last_row(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, *ADMIN, "cost_report"))
    assert sorted(activated(run)) == sorted(ADMIN)
    for stream in ADMIN:
        kinds = [m["type"] for m in run.messages if m.get("stream") == stream]
        assert kinds[-1] == "ACTIVATE_VERSION"
        versions = {m.get("version") for m in run.messages if m.get("stream") == stream}
        assert len(versions - {None}) == 1
    off = tap(
        config={**config, "emit_activate_version_messages": False},
        catalog=only(config, "users"),
    )
    assert not activated(off)
    assert not any("version" in m for m in off.messages if m["type"] == "RECORD")


def test_an_incompletely_read_table_is_not_activated(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date="2026-03-20", analytics_api_key=ANALYTICS_KEY)
    catalog = only(config, "users", "workspace_members")
    for fault in (
        Fault(status=400, path="/members", after=3),
        Fault(status=403, path="users", after=1),  # the second organization
    ):
        simulator.faults[:] = [fault]
        run = tap(config=config, catalog=catalog)
        assert run.code == 1
        stream = "users" if fault.status == 403 else "workspace_members"
        assert run.records(stream)
        assert stream not in activated(run)


# -- one refused parent of a list


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "skip", "code"), [(403, False, 1), (403, True, 0), (400, True, 1), (404, False, 0)]
)
def test_one_refused_parent_does_not_end_the_list(
    simulate: Any, tap: Any, status: int, *, skip: bool, code: int
) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(
        simulator, start_date="2026-03-20", on_permission_error="skip" if skip else "fail"
    )
    catalog = only(config, "workspace_members", "report_buckets")
    whole = tap(config=config, catalog=catalog)
    first = whole.records("workspace_members")[0]["workspace_id"]
    path = f"workspaces/{first}/members"
    simulator.faults.append(Fault(status, path=path, times=FOREVER))
    run = tap(config=config, catalog=catalog)
    assert run.code == code
    assert f"workspace_members: {first} is left out: HTTP {status}" in run.stderr
    kept = [r for r in whole.records("workspace_members") if r["workspace_id"] != first]
    assert kept
    assert [r["user_id"] for r in run.records("workspace_members")] == [r["user_id"] for r in kept]
    # Rows that were not read may still exist.
    assert not any(m["type"] == "ACTIVATE_VERSION" for m in run.messages)
    assert not run.records("report_buckets")
    assert any(m["type"] == "ACTIVATE_VERSION" for m in whole.messages)


def test_a_row_without_the_id_of_its_parent_gets_it(simulate: Any, tap: Any) -> None:
    """It is part of the key: targets would reject or duplicate a row with null."""
    simulator = simulate(days=3, now=NOW)
    body = '{"data": [{"user_id": "user_1"}], "has_more": false}'
    simulator.faults.append(Fault(200, body=body, path="/members"))
    config = settings(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, "workspace_members"))
    records = run.records("workspace_members")
    assert records[0]["user_id"] == "user_1"
    sent = [seen.path for seen in simulator.seen if seen.path.endswith("/members")]
    assert records[0]["workspace_id"] in sent[0]
