"""Bookmarks: they move by finished bucket, and never back."""

from __future__ import annotations

import copy
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from tap_claude.bookmarks import Bookmark
from tap_claude.errors import StreamError
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Mapping

State = dict[str, Any]

JANUARY, FEBRUARY, MARCH = (f"2026-0{month}-01T00:00:00Z" for month in (1, 2, 3))
DEFINITION = {"group_by": ["model"], "filters": {}, "bucket_width": "1d"}
CONSOLE, ENTERPRISE = ({"organization_type": kind} for kind in ("console", "enterprise"))


class Stream:
    """The state of one stream, as the SDK stores it."""

    def __init__(
        self, state: State, *, method: str = "INCREMENTAL", reads_two_kinds: bool = False
    ) -> None:
        """Begin with the state of the run before."""
        self.stream_state = state
        self.replication_method = method
        self.replication_key: str | None = "starting_at"
        self.reads_two_kinds = reads_two_kinds
        self.written: list[State] = []

    def get_context_state(self, context: Mapping[str, Any] | None) -> State:
        if context is None:
            return self.stream_state
        partitions = self.stream_state.setdefault("partitions", [])
        for partition in partitions:
            if partition["context"] == context:
                return partition  # type: ignore[no-any-return]
        partitions.append({"context": dict(context)})
        return partitions[-1]  # type: ignore[no-any-return]

    def write_state(self, state: State) -> None:
        self.written.append(copy.deepcopy(state))

    def bookmark(
        self,
        kind: str = "console",
        partition: Mapping[str, Any] | None = None,
        definition: State | None = None,
    ) -> Bookmark:
        return Bookmark(self, kind, partition, definition)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_a_bookmark_moves_forward_only() -> None:
    stream = Stream({})
    bookmark = stream.bookmark(definition=DEFINITION)
    assert bookmark.newest() is None
    for starting_at in (FEBRUARY, JANUARY, "", FEBRUARY, MARCH):
        bookmark.advance(starting_at)
    expected = {"replication_key": "starting_at", "report": DEFINITION}
    assert stream.written == [
        {**expected, "replication_key_value": FEBRUARY},
        {**expected, "replication_key_value": MARCH},
    ]
    assert stream.stream_state == stream.written[-1]
    assert bookmark.newest() == at(MARCH)


def test_a_bookmark_in_the_future_is_replaced() -> None:
    stream = Stream({"replication_key_value": "2999-01-01T00:00:00Z"})
    stream.bookmark().advance(JANUARY)
    assert stream.stream_state["replication_key_value"] == JANUARY


def test_a_full_table_has_no_bookmark() -> None:
    stream = Stream({"replication_key_value": "soon"}, method="FULL_TABLE")
    bookmark = stream.bookmark(definition=DEFINITION)
    bookmark.check_definition()
    bookmark.advance(JANUARY)
    assert bookmark.newest() is None
    assert not stream.written


def test_each_organization_has_its_own_bookmark() -> None:
    """Two organizations use partitions; a bookmark from before is the first organization's."""
    stream = Stream({}, reads_two_kinds=True)
    stream.bookmark("enterprise").advance(JANUARY)
    assert stream.stream_state["organization_type"] == "enterprise"

    # With a second credential, each organization has a partition.
    assert stream.bookmark("console", CONSOLE).newest() is None
    enterprise = stream.bookmark("enterprise", ENTERPRISE)
    assert enterprise.newest() == at(JANUARY)
    enterprise.advance(MARCH)
    stream.bookmark("console", CONSOLE).advance(FEBRUARY)

    # Without one of them, the other one continues where it was.
    assert stream.bookmark("enterprise").newest() == at(MARCH)
    assert stream.bookmark("console").newest() == at(FEBRUARY)
    assert stream.stream_state["partitions"] == [
        {"context": kind, "replication_key": "starting_at", "replication_key_value": value}
        for kind, value in ((ENTERPRISE, MARCH), (CONSOLE, FEBRUARY))
    ]


def test_the_oldest_unreported_bucket_counts() -> None:
    stream = Stream(
        {
            "organization_type": "console",
            "unreported_since": FEBRUARY,
            "partitions": [
                {"context": CONSOLE, "unreported_since": JANUARY},
                {"context": ENTERPRISE, "unreported_since": "2025-01-01T00:00:00Z"},
            ],
        }
    )
    assert stream.bookmark("console", CONSOLE).unreported_since() == at(JANUARY)
    assert Stream({}).bookmark().unreported_since() is None


@each(
    "before",
    [
        {**DEFINITION, "group_by": []},
        {**DEFINITION, "filters": {"models": ["m"]}},
        {**DEFINITION, "bucket_width": "1h"},
        {},
    ],
)
def test_a_bookmark_of_another_definition_is_refused(before: State) -> None:
    stream = Stream({"replication_key_value": JANUARY, "report": before})
    bookmark = stream.bookmark(definition=DEFINITION)
    with pytest.raises(StreamError, match="when the bookmark was created") as error:
        bookmark.check_definition()
    changed = [name for name in DEFINITION if before.get(name) != DEFINITION[name]]
    assert [name for name in DEFINITION if f"{name} is " in str(error.value)] == changed
    # A bookmark without a definition, and a stream without variants, are accepted.
    Stream({"replication_key_value": JANUARY}).bookmark(definition=DEFINITION).check_definition()
    stream.bookmark(definition=None).check_definition()


@each("value", ["soon", 7, {}, "2026-13-01"])
def test_a_bookmark_that_is_not_a_time_is_an_error(value: Any) -> None:
    bookmark = Stream({"replication_key_value": value, "unreported_since": value}).bookmark()
    with pytest.raises(StreamError, match=r"the state's replication_key_value .+ is not a time"):
        bookmark.newest()
    if value:
        with pytest.raises(StreamError, match=r"the state's unreported_since .+ is not a time"):
            bookmark.unreported_since()
