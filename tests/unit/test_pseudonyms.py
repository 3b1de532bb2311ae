"""Names and e-mail addresses of people leave the tap only as the setting allows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tap_claude.pseudonyms import Pseudonyms, pseudonym
from tests.each import each
from tests.unit.test_schemas import FILES

KEY = "a secret of some length"

# Columns with the name of a thing. A new column whose name sounds like a person's must be
# marked "x-person" in its schema, or be added here if it is not a person's.
THINGS = {
    "actor_api_key_name",
    "agent_name",
    "agents.name",
    "api_keys.name",
    "compliance_organizations.name",
    "connector_display_name",
    "connector_name",
    "deployments.name",
    "environments.name",
    "external_keys.display_name",
    "federation_issuers.name",
    "federation_rules.name",
    "filename",
    "group_display_name",
    "header_names",
    "issuer_name",
    "models.display_name",
    "organization.name",
    "owner_type",
    "owner_user_id",
    "plugin_name",
    "plugins.display_name",
    "plugins.name",
    "project_name",
    "provider_config_key_name",
    "rbac_group_name",
    "rbac_groups.name",
    "rbac_roles.display_name",
    "resource_tool_name",
    "service_accounts.name",
    "skill_display_name",
    "skill_name",
    "skills.display_name",
    "target_service_account_name",
    "telemetry_destinations.display_name",
    "webhooks.name",
    "workspaces.name",
}
SOUNDS_LIKE_A_PERSON = re.compile(r"name|mail|person|login|phone|contact|owner")
COLUMNS = [
    (stream, column, spec)
    for stream, schema in FILES.items()
    for column, spec in schema["properties"].items()
]
PERSONS = {
    stream: [column for name, column, spec in COLUMNS if name == stream and "x-person" in spec]
    for stream in FILES
}


@each(("stream", "column", "spec"), COLUMNS)
def test_a_column_for_a_person_is_marked(stream: str, column: str, spec: dict[str, Any]) -> None:
    about_person = re.search(r"\b(e-mail|person's)\b", spec["description"], re.IGNORECASE)
    if spec.get("x-person"):
        assert "string" in spec["type"]
        assert column not in FILES[stream].get("required", ())
        assert not spec.get("format")
    elif SOUNDS_LIKE_A_PERSON.search(column) or about_person:
        assert f"{stream}.{column}" in THINGS or column in THINGS, "a person's? then mark it"


def test_each_name_of_a_thing_is_a_column() -> None:
    columns = {name for stream, column, _ in COLUMNS for name in (column, f"{stream}.{column}")}
    assert columns >= THINGS


# -- values


def test_the_same_person_has_the_same_pseudonym() -> None:
    one = pseudonym(b"key", "Ada.Abe@example.com")
    assert one == pseudonym(b"key", " ada.abe@EXAMPLE.com ")
    assert one != pseudonym(b"other", "Ada.Abe@example.com")
    assert one != pseudonym(b"key", "ada.abe2@example.com")
    assert re.fullmatch("[0-9a-f]{32}", one)


def test_the_pseudonym_never_changes() -> None:
    """With another algorithm, new rows would not match the loaded ones."""
    assert pseudonym(b"key", "ada@example.com") == "20caa94149b865c2f3a23002c8ca0b02"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("nobody at all", "nobody at all"),
        ("sub:ada@example.com", "sub:{ada}"),
        ("Ada <ada@example.com>, (ada@example.com).", "Ada <{ada}>, ({ada})."),
        ({"by": "ada@example.com", "ada@example.com": 1}, {"by": "{ada}", "{ada}": 1}),
        (["ada@example.com", 1, None], ["{ada}", 1, None]),
        ("arn:aws:sts::1:assumed-role/r/ada@example.com", "arn:aws:sts::1:assumed-role/r/{ada}"),
        ("review-kit@official", "review-kit@official"),
        (5, 5),
        (None, None),
    ],
)
def test_addresses_in_other_text_are_replaced(value: Any, expected: Any) -> None:
    record = {"text": value}
    Pseudonyms("hash", "key", ()).replace(record)
    text = json.dumps(expected).replace("{ada}", pseudonym(b"key", "ada@example.com"))
    assert record == {"text": json.loads(text)}


def test_an_object_keeps_nothing_that_leads_to_a_person() -> None:
    details = {
        "client": "203.0.113.7:443, then [2001:db8::1], at 12:00:00 on 2026-01-02T03:04:05Z.",
        "user_agent": "Mozilla/5.0",
        "invited_email": "ada@example.com",
        "nested": [{"ip": "::1", "version": "1.2", "mac": "00:1a:2b:3c:4d:5e"}],
        "role": "admin",
        "count": 7,
    }
    for mode in ("hash", "drop"):
        record: dict[str, Any] = {"details": details, "actor_ip_address": "203.0.113.7"}
        pseudonyms = Pseudonyms(mode, KEY, ["actor_ip_address"], ["details"])
        pseudonyms.replace(record)
        same = record["actor_ip_address"]
        pseudonyms.finish(record)
        hidden = {
            text: pseudonym(KEY.encode(), text) if mode == "hash" else ""
            for text in ("203.0.113.7", "2001:db8::1", "::1", "Mozilla/5.0", "ada@example.com")
        }
        address = hidden["203.0.113.7"]
        assert record["details"] == {
            "client": f"{address}:443, then [{hidden['2001:db8::1']}], at 12:00:00 on"
            " 2026-01-02T03:04:05Z.",
            "user_agent": hidden["Mozilla/5.0"],
            "invited_email": hidden["ada@example.com"],
            "nested": [{"ip": hidden["::1"], "version": "1.2", "mac": "00:1a:2b:3c:4d:5e"}],
            "role": "admin",
            "count": 7,
        }
        # An address in the object is the one in the column.
        assert address in {same, ""}
        assert record["actor_ip_address"] == (same if mode == "hash" else None)


def test_ids_are_unchanged() -> None:
    record = {"id": "a@b.c", "plugin_id": "kit@plugins.io", "role_ids": ["a@b.c"], "grid": "a@b.c"}
    Pseudonyms("hash", "key", ()).replace(record)
    assert record.pop("grid") == pseudonym(b"key", "a@b.c")
    assert record == {"id": "a@b.c", "plugin_id": "kit@plugins.io", "role_ids": ["a@b.c"]}
