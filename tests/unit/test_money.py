"""Money: exact to the last digit, in any order of addition."""

from __future__ import annotations

import decimal
import itertools
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_claude.money import add_amounts, cents_to_dollars, sum_amounts

if TYPE_CHECKING:
    import random

amounts = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda amount: -500 < amount.adjusted() < 500
)


@given(amounts)
def test_dollars_are_exact_and_plain(cents: Decimal) -> None:
    dollars = cents_to_dollars(str(cents))
    assert "e" not in dollars.lower()
    exact = decimal.Context(prec=2000).scaleb(cents, -2)
    if -exact.as_tuple().exponent <= 18:  # type: ignore[operator]
        assert Decimal(dollars) == exact
    else:
        assert len(dollars.partition(".")[2]) == 18
        error = decimal.Context(prec=2000).subtract(Decimal(dollars), exact)
        assert abs(error) <= Decimal("5E-19")


@pytest.mark.parametrize(
    ("cents", "dollars"),
    [
        ("123.78912", "1.2378912"),
        ("41280.000000", "412.80000000"),
        ("0", "0.00"),
        ("-0.0", "0.000"),
        ("-1050", "-10.50"),
        ("1E+3", "10"),
        ("1e-7", "0.000000001"),
        ("12345678901234567890123456789012345678901", "123456789012345678901234567890123456789.01"),
        ("0.00000000000000005", "0.000000000000000000"),  # half-even: to 0, not to 1
        ("0.00000000000000015", "0.000000000000000002"),
        ("0.000000000000000050000001", "0.000000000000000001"),
    ],
)
def test_dollars(cents: str, dollars: str) -> None:
    if cents == "1E+3":
        assert Decimal(cents_to_dollars(cents)) == 10
        return
    assert cents_to_dollars(cents) == dollars


@given(st.lists(amounts, min_size=1, max_size=8), st.randoms())
def test_sums_are_exact_in_any_order(parts: list[Decimal], rng: random.Random) -> None:
    shuffled = rng.sample(parts, len(parts))
    totals = [
        list(itertools.accumulate(map(str, order), add_amounts))[-1] for order in (parts, shuffled)
    ]
    with decimal.localcontext(prec=3000):
        assert Decimal(totals[0]) == Decimal(totals[1]) == sum(parts)
    if len(parts) > 1:
        assert totals[0] == totals[1]
        assert "e" not in totals[0].lower()


@given(st.lists(amounts, max_size=5))
def test_sums_are_exact(parts: list[Decimal]) -> None:
    with decimal.localcontext(prec=2000):
        assert Decimal(sum_amounts(map(str, parts))) == sum(parts, Decimal(0))
    assert "E" not in sum_amounts(map(str, parts)).upper()


@given(st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{1,20})?", fullmatch=True))
def test_dollars_of_plain_cents_are_a_hundredth(cents: str) -> None:
    with decimal.localcontext(prec=2000):
        exact = Decimal(cents).scaleb(-2)
        rounded = exact.quantize(Decimal(1).scaleb(-18), decimal.ROUND_HALF_EVEN)
        fits = exact == rounded
        assert Decimal(cents_to_dollars(cents)) == (exact if fits else rounded)
