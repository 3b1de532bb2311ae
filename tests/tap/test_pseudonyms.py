"""Names and e-mail addresses of people leave the tap only as the setting allows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from simulator.compliance import BROWSERS, HOME, OFFICE
from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY, COMPLIANCE_KEY, WORKSPACE_KEY
from tap_claude.pseudonyms import pseudonym
from tap_claude.tap import TapClaude
from tests.conftest import RECENT, days_ago, only, settings, simulated
from tests.unit.test_pseudonyms import COLUMNS, KEY, PERSONS
from tests.unit.test_schemas import FILES

pytestmark = pytest.mark.slow


ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")

READ_AT = {"extracted_at", "starting_at", "ending_at"}


OBJECTS = {
    stream: [
        column for name, column, spec in COLUMNS if name == stream and "x-personal-object" in spec
    ]
    for stream in FILES
}


@pytest.fixture(scope="module")
def world() -> Any:
    with simulated(days=12, now=RECENT) as simulator:
        # Other text with addresses: descriptions, and subjects of federated identities.
        accounts = simulator.directories["O"].service_accounts
        accounts[0]["description"] = "ask Ada.Abe@example.com"
        simulator.directories["A"].workspaces[1]["tags"] = {"owner": "ada.abe@example.com"}
        yield simulator


RUNS: dict[str, Any] = {}
"""What a run printed, by its settings: the world stands still."""


def run_with(world: Any, tap: Any, *, again: bool = False, **more: Any) -> Any:
    name = json.dumps(more, sort_keys=True)
    if name in RUNS and not again:
        return RUNS[name]
    config = settings(
        world,
        access_token=ACCESS_TOKEN,
        analytics_api_key=ANALYTICS_KEY,
        workspace_api_key=WORKSPACE_KEY,
        compliance_api_key=COMPLIANCE_KEY,
        legacy_reports=True,
        start_date=days_ago(5, RECENT),
        **more,
    )
    RUNS[name] = run = tap(config=config)
    assert run.code == 0, run.stderr
    return run


def known_people(world: Any) -> tuple[set[str], set[str]]:
    """Return every name and every address that the simulator may show."""
    users = [row for kind in "AE" for row in world.directories[kind].users]
    invites = [row for kind in "AE" for row in world.directories[kind].invites]
    addresses = {row["email"] for row in (*users, *invites)}
    return {row["name"] for row in users} | {"Deleted User"}, addresses


@pytest.mark.parametrize("mode", ["hash", "drop"])
def test_no_stream_contains_a_name_or_an_address(world: Any, tap: Any, mode: str) -> None:
    plain = run_with(world, tap)
    names, addresses = known_people(world)
    assert any(name in plain.stdout for name in names)
    assert any(address in plain.stdout for address in addresses)
    hidden = run_with(world, tap, pseudonymize_users=mode, pseudonymize_key=KEY)
    records = [m["record"] for m in hidden.messages if m["type"] == "RECORD"]
    text = json.dumps(records, ensure_ascii=False)
    assert not {found for found in ADDRESS.findall(text) if "example.com" in found}
    assert not [trace for trace in (HOME, OFFICE, *BROWSERS) if trace in text]
    strings = {value for record in records for value in record.values() if isinstance(value, str)}
    assert not strings & names
    assert KEY not in hidden.stdout + hidden.stderr
    for stream, columns in PERSONS.items():
        before, after = plain.records(stream), hidden.records(stream)
        assert len(before) == len(after), stream
        for old, new in zip(before, after, strict=True):
            # The bucket of a full table is the time of the read.
            times = READ_AT if old.get("bucket_width") == "full" else {"extracted_at"}
            for column in old:
                if column in columns and old[column] is not None:
                    replaced = pseudonym(KEY.encode(), old[column]) if mode == "hash" else None
                    assert new[column] == replaced
                elif column in OBJECTS.get(stream, ()):
                    continue
                elif column not in {"row_id", *times} and "@" not in str(old[column]):
                    assert new[column] == old[column]


def test_every_stream_with_people_has_some(world: Any, tap: Any) -> None:
    """Otherwise, the test above would prove nothing."""
    plain = run_with(world, tap)
    for stream, columns in PERSONS.items():
        for column in columns:
            if column.startswith("spend_summary_actor") and not plain.records(stream):
                continue
            assert any(r[column] for r in plain.records(stream)), f"{stream}.{column}"


@pytest.mark.parametrize("mode", ["hash", "drop"])
def test_joins_and_keys_still_work(world: Any, tap: Any, mode: str) -> None:
    plain = run_with(world, tap)
    hidden = run_with(world, tap, pseudonymize_users=mode, pseudonymize_key=KEY)
    again = run_with(world, tap, again=True, pseudonymize_users=mode, pseudonymize_key=KEY)
    for stream in PERSONS:
        keys = plain.schemas[stream]["key_properties"]
        old, new, same = (
            [tuple(r[k] for k in keys) for r in run.records(stream)]
            for run in (plain, hidden, again)
        )
        assert len(set(new)) == len(new) == len(old)
        assert new == same
        # If only an address identifies a person, the key contains its pseudonym.
        identity = getattr(plain_stream(stream), "key_columns", ())
        for record, before, after in zip(plain.records(stream), old, new, strict=True):
            addressed = any("@" in str(record[name]) for name in identity if name != "plugin_id")
            assert (before == after) is not addressed, stream
    if mode == "hash":
        members = {r["email"] for r in hidden.records("users")}
        coders = {r["actor_email_address"] for r in hidden.records("claude_code_usage")} - {None}
        assert coders <= members


def test_a_key_does_not_reveal_an_address(world: Any, tap: Any) -> None:
    """Without the secret, the key of a Claude Code row cannot be checked against a guess."""
    one = run_with(world, tap, pseudonymize_users="drop", pseudonymize_key=KEY)
    other = run_with(world, tap, pseudonymize_users="drop", pseudonymize_key=KEY[::-1])
    people = [
        {r["row_id"] for r in run.records("claude_code_usage") if r["actor_type"] == "user_actor"}
        for run in (one, other)
    ]
    assert people[0]
    assert not people[0] & people[1]


def test_selection_and_maps_see_pseudonyms(world: Any, tap: Any) -> None:
    config = settings(
        world,
        pseudonymize_users="hash",
        pseudonymize_key=KEY,
        stream_maps={"users": {"copy": "email"}},
    )
    run = tap(config=config, catalog=only(config, "users"))
    assert run.code == 0, run.stderr
    records = run.records("users")
    assert records
    assert all(re.fullmatch("[0-9a-f]{32}", r["copy"]) for r in records)


def plain_stream(name: str) -> Any:
    """Return a stream of a tap without settings, for its declarations."""
    config = {"legacy_reports": True}
    return TapClaude(config=config, validate_config=False, setup_mapper=False).streams[name]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"pseudonymize_users": "hash"}, "pseudonymize_key: is required by"),
        (
            {"pseudonymize_users": "hash", "pseudonymize_key": "fifteen letters"},
            "pseudonymize_key: is too short; use at least 16 characters",
        ),
        ({"pseudonymize_users": "none", "pseudonymize_key": "x"}, "pseudonymize_key: is too short"),
        ({"pseudonymize_users": "HASH"}, "pseudonymize_users: 'HASH' is not one of"),
    ],
)
def test_wrong_settings_are_refused_before_any_request(
    world: Any, tap: Any, config: dict[str, str], problem: str
) -> None:
    before = len(world.seen)
    run = tap(config=settings(world, **config))
    assert run.code == 1
    assert problem in run.stderr
    assert len(world.seen) == before
    assert "fifteen" not in run.stderr


def test_dropping_without_a_key_causes_a_warning(world: Any, tap: Any) -> None:
    config = settings(world, pseudonymize_users="drop")
    run = tap(config=config, catalog=only(config, "users"))
    assert run.code == 0
    assert "drop without pseudonymize_key" in run.stderr
