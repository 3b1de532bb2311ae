"""Row keys: equal only for equal identities, and they never change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tap_claude.row_keys import RowKey

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

dimensions = st.dictionaries(st.sampled_from(["a", "b", "ab", "a,b"]), texts, max_size=4)

separators = ["", " ", ",", ":", '"', "\\", "\x00", "null", "None", "[]", "a", "a,", "\u2028", "é"]

tricky = st.none() | st.sampled_from(separators)

identities = st.tuples(
    st.sampled_from(["s", "s2"]),
    st.sampled_from(["console", "enterprise"]),
    st.sampled_from(["c0ffee", "console", "1d"]),
    st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
    st.sampled_from(["1d", "1h"]),
    dimensions | st.dictionaries(st.sampled_from(["a", "b", "ab"]), tricky, max_size=3),
)


def row_id(*identity: Any) -> str:
    stream, kind, organization, start, width, values = identity
    return RowKey(stream, (kind, organization), start, width, values).of(values)


@given(identities, identities)
def test_row_keys_are_equal_only_for_equal_identities(left: Any, right: Any) -> None:
    assert (row_id(*left) == row_id(*right)) == (left == right)


@given(identities)
def test_row_keys_do_not_depend_on_the_order_of_dimensions(identity: Any) -> None:
    *head, values = identity
    assert row_id(*head, values) == row_id(*head, dict(reversed(values.items())))


def test_null_empty_and_missing_values_differ() -> None:
    head = ("s", "console", "c0ffee", "2026-01-01T00:00:00Z", "1d")
    keys = {row_id(*head, {"a": None}), row_id(*head, {"a": ""}), row_id(*head, {})}
    assert len(keys) == 3


def test_row_keys_never_change() -> None:
    """A key that changes from one version to the next doubles every row of a warehouse."""
    head: Any = ("messages_usage", "console", "c0ffee", "2026-01-01T00:00:00Z", "1d")
    values = {"model": "claude-é", "workspace_id": None}
    assert row_id(*head, values) == "d9fd36546418cc2763a9edcaf6725cc8"
    canonical = json.dumps(
        [*head, sorted(values.items())],
        ensure_ascii=False,
        separators=(",", ":"),
    )
    assert row_id(*head, values) == hashlib.sha256(canonical.encode()).hexdigest()[:32]
