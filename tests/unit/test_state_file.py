"""State files: each format that users have is accepted, anything else is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tap_claude.state_file import read_state

BOOKMARKS = {"cost_report": {"replication_key": "starting_at", "replication_key_value": "x"}}


@pytest.mark.parametrize(
    "content",
    [
        {"bookmarks": BOOKMARKS},
        {"bookmarks": BOOKMARKS, "currently_syncing": None},
        {"type": "STATE", "value": {"bookmarks": BOOKMARKS}},
        {"singer_state": {"bookmarks": BOOKMARKS}},
    ],
    ids=["bare", "more", "message", "meltano"],
)
def test_each_format_that_users_have_is_accepted(content: Any) -> None:
    assert read_state(json.dumps(content, indent=2))["bookmarks"] == BOOKMARKS


@pytest.mark.parametrize("text", ["{}", '{"singer_state": {}}', '{"bookmarks": {}}\n'])
def test_a_state_may_be_empty(text: str) -> None:
    assert read_state(text).get("bookmarks", {}) == {}


def test_null_partitions_are_dropped() -> None:
    state = read_state('{"bookmarks": {"analytics_cost": {"partitions": null}}}')
    assert state == {"bookmarks": {"analytics_cost": {}}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[]", "must contain a JSON object; expected a Singer state"),
        ('{"streams": []}', "contains no state; expected a Singer state"),
        ('{"cost_report": "2026-01-01"}', "contains no state"),
        ('{"type": "STATE"}', "contains no state"),
        ('{"type": "RECORD", "record": {}}', "contains no state"),
        ('{"singer_state": null}', "contains no state"),
        ('{"bookmarks": []}', "bookmarks must be an object"),
        ('{"bookmarks": null}', "bookmarks must be an object"),
        ('{"bookmarks": {"cost_report": "2026-01-01"}}', "bookmarks.cost_report must be"),
        ('{"bookmarks": {"users": {"partitions": {}}}}', "bookmarks.users.partitions must be"),
        ('{"bookmarks": {"users": {"partitions": [{}]}}}', "bookmarks.users.partitions must be"),
        ('{"bookmarks": {}}\n{"bookmarks": {}}\n', "has several lines; keep only the last"),
    ],
)
def test_other_content_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read_state(text)
