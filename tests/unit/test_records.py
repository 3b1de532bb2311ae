"""Columns, row keys and money: the parts that are easy to get wrong."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_claude.records import Columns, SchemaMismatchError, column_name
from tests.each import each

if TYPE_CHECKING:
    import random

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda amount: -500 < amount.adjusted() < 500
)


def string(format_: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": ["string", "null"], **({"format": format_} if format_ else {}), **more}


DOLLARS = string("x-singer.decimal", precision=38, scale=18)
COLUMNS = Columns(
    {
        "properties": {
            "model": string(),
            "tokens": {"type": ["integer", "null"]},
            "requests": {"type": ["integer", "null"]},
            "seen_at": string("date-time"),
            "day": string("date"),
            "deleted": {"type": ["boolean", "null"]},
            "tags": {"type": ["object", "null"]},
            "geos": {"type": ["array", "null"]},
            "amount": string(),
            "amount_usd": DOLLARS,
            "currency": string(),
            "estimated_cost_amount": string(),
            "estimated_cost_currency": string(),
            "estimated_cost_usd": DOLLARS,
        }
    }
)


@each(
    ("path", "expected"),
    [
        ("cache_creation.ephemeral_5m_input_tokens", "cache_creation_ephemeral_5m_input_tokens"),
        ("usage.server_tool_use.web_search_requests", "web_search_requests"),
        ("group.actor.email_address", "actor_email_address"),
        ("cost.amount", "amount"),
        ("core_metrics.num_sessions", "num_sessions"),
        (
            "claude_code_metrics.core_metrics.lines_of_code.added_count",
            "claude_code_lines_of_code_added_count",
        ),
        ("chat_cowork_unified_metrics.message_count", "unified_message_count"),
        ("chat_cowork_unified_monthly_active_user_count", "unified_monthly_active_user_count"),
        ("group", "group"),
        ("limits.group.id", "limits_group_id"),
    ],
)
def test_column_names(path: str, expected: str) -> None:
    assert column_name(tuple(path.split("."))) == expected


def plain(*columns: str, **more: Any) -> Columns:
    """Return string columns, and ``more`` columns."""
    return Columns({"properties": {**{name: string() for name in columns}, **more}})


def test_nested_fields_are_joined_but_lists_and_free_maps_are_kept() -> None:
    columns = plain("a_b", "a_c_d", tags={"type": "object"}, list={"type": "array"})
    row = {"a": {"b": "1", "c": {"d": None}}, "tags": {"team": {"x": 1}}, "list": [{"e": 1}]}
    assert columns.conform(row) == {
        "a_b": "1",
        "a_c_d": None,
        "tags": {"team": {"x": 1}},
        "list": [{"e": 1}],
    }
    assert not columns.unknown


@pytest.mark.parametrize("order", [1, -1])
def test_if_two_fields_share_a_column_a_value_wins_over_null(order: int) -> None:
    fields = [("actor_type", None), ("actor", {"type": "user_actor"})][::order]
    columns = plain("actor_type")
    assert columns.conform({"group": dict(fields)}) == {"actor_type": "user_actor"}


def test_the_column_of_a_field_does_not_depend_on_earlier_rows() -> None:
    columns = plain("a", "a_b")
    for row, expected in (
        ({"a": {"b": "1"}}, {"a": None, "a_b": "1"}),
        ({"a": "2"}, {"a": "2", "a_b": None}),
        ({"a": None}, {"a": None, "a_b": None}),
        ({"a": {"b": None}}, {"a": None, "a_b": None}),
        ({"a": {"b": "3"}}, {"a": None, "a_b": "3"}),
        ({}, {"a": None, "a_b": None}),
    ):
        assert columns.conform(row) == expected
    with pytest.raises(SchemaMismatchError, match="'a_b'"):
        columns.conform({"a": {"b": 1}})


def test_conform_returns_every_column_and_drops_the_rest() -> None:
    record = COLUMNS.conform({"model": "m", "tokens": Decimal("5.0"), "new": 1, "amount": "1.50"})
    assert list(record) == list(COLUMNS.names)
    assert record["tokens"] == 5
    assert type(record["tokens"]) is int
    assert record["amount"] == "1.50"
    assert record["requests"] is None


@each(
    ("column", "value"),
    [
        ("tokens", "12"),
        ("tokens", True),
        ("tokens", {}),
        ("model", {"a": {}}),
        ("tokens", Decimal("1.5")),
        ("tokens", Decimal("1e400")),
        ("tokens", Decimal("1e999999999")),
        ("model", 5),
        ("deleted", 1),
        ("seen_at", "soon"),
        ("day", 20260101),
        ("tags", []),
        ("geos", "us"),
        ("amount", "NaN"),
        ("amount", "1_000"),
        ("amount", " 1"),
        ("amount", "١"),  # noqa: RUF001
        ("amount", "1e9999"),
        ("amount", True),
        ("amount", {}),
        ("amount", {"usd": "1"}),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error_that_names_the_field(
    column: str, value: object
) -> None:
    with pytest.raises(SchemaMismatchError, match=f"'{column}'"):
        COLUMNS.conform({column: value})


def test_the_error_prints_no_control_characters() -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        COLUMNS.conform({"tokens": "\x1b[31m" + "x" * 1000})
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 150


def test_times_and_days_have_one_format() -> None:
    record = COLUMNS.conform(
        {"seen_at": "2026-01-01T01:00:00.000+01:00", "day": "2026-01-01T00:00:00Z"}
    )
    assert (record["seen_at"], record["day"]) == ("2026-01-01T00:00:00Z", "2026-01-01")
    assert COLUMNS.conform({"day": "2026-01-01"})["day"] == "2026-01-01"


def test_unknown_names_fields_that_have_values() -> None:
    columns = plain("model", "estimated_cost_amount")
    columns.conform({"model": "m", "estimated_cost": None, "new": 1, "odd": None})
    columns.conform({"block_metrics": {"count": 1, "deep": {"list": []}}, "new": 2})
    assert columns.unknown == {"new", "block_count", "block_deep_list"}


# -- money


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12.3400", "12.3400"),
        ("1E+2", "100"),
        (41, "41"),
        (Decimal("0.10"), "0.10"),
        (Decimal("1E-9"), "0.000000001"),
    ],
)
def test_amounts_are_unchanged_unless_they_have_an_exponent(value: object, expected: str) -> None:
    assert COLUMNS.conform({"amount": value})["amount"] == expected


@pytest.mark.parametrize(
    ("currency", "expected"), [("USD", "0.015"), ("EUR", None), (None, None)], ids=str
)
def test_dollars_need_the_currency(currency: str | None, expected: str | None) -> None:
    record = COLUMNS.conform(
        {
            "amount": "1.5",
            "currency": currency,
            "estimated_cost_amount": Decimal("1.5"),
            "estimated_cost_currency": currency,
        }
    )
    COLUMNS.add_dollars(record)
    assert record["amount_usd"] == record["estimated_cost_usd"] == expected


# -- merging

rows = st.fixed_dictionaries(
    {
        "model": texts,
        "tokens": st.none() | st.integers(-(2**60), 2**60),
        "requests": st.none() | st.integers(0, 5),
        "deleted": st.none() | st.booleans(),
        "amount": st.none() | amounts.map(str),
        "currency": st.just("USD"),
    }
)


@given(st.lists(rows, min_size=1, max_size=6), st.randoms())
def test_merging_keeps_sums_and_ignores_order(
    raw: list[dict[str, Any]], rng: random.Random
) -> None:
    def merged(order: list[dict[str, Any]]) -> dict[str, Any]:
        first, *others = [COLUMNS.conform(row) for row in order]
        for other in others:
            COLUMNS.merge(first, other)
        return first

    result = merged(raw)
    for counter in ("tokens", "requests"):
        values = [row[counter] for row in raw if row[counter] is not None]
        assert result[counter] == (sum(values) if values else None)
    parts = [Decimal(row["amount"]) for row in raw if row["amount"] is not None]
    with decimal.localcontext(prec=3000):
        assert (None if result["amount"] is None else Decimal(result["amount"])) == (
            sum(parts) if parts else None
        )
    assert merged(rng.sample(raw, len(raw))) == result


def test_integers_have_64_bits() -> None:
    """Targets reject or round larger integers."""
    least, most = -(2**63), 2**63 - 1
    assert [COLUMNS.conform({"tokens": n})["tokens"] for n in (least, most)] == [least, most]
    for value in (most + 1, least - 1, Decimal(most + 1)):
        with pytest.raises(
            SchemaMismatchError, match="'tokens' should be an integer of at most 64"
        ):
            COLUMNS.conform({"tokens": value})
    row = COLUMNS.conform({"tokens": most})
    with pytest.raises(SchemaMismatchError, match="'tokens'"):
        COLUMNS.merge(row, COLUMNS.conform({"tokens": 1}))


def test_a_single_row_keeps_its_amount_unchanged() -> None:
    assert COLUMNS.conform({"amount": "0.500000"})["amount"] == "0.500000"
