"""Money: exact decimal strings in cents and in dollars (docs: cost_report).

The API's amounts are decimal strings in cents. They are never converted to float, and never
rounded by the default decimal context.
"""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Format of a dollar column: an exact decimal in targets that support it, exact text in others.
DECIMAL_FORMAT = "x-singer.decimal"
DECIMAL_PRECISION = 38
DECIMAL_SCALE = 18

_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]{1,3})?", re.ASCII)
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII).fullmatch
# Raises an error instead of rounding.
_EXACT = decimal.Context(
    prec=decimal.MAX_PREC,
    Emax=decimal.MAX_EMAX,
    Emin=decimal.MIN_EMIN,
    traps=[decimal.Inexact, decimal.InvalidOperation],
)
_SMALLEST_DOLLARS = decimal.Decimal(1).scaleb(-DECIMAL_SCALE)
_ROUND = decimal.Context(
    prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[]
)


def parse_amount(value: object) -> str:
    """Return a decimal string; a plain one is unchanged, and a JSON number is converted."""
    if value.__class__ is str and _PLAIN(value):
        return value
    if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (match := _AMOUNT.fullmatch(value)):
        return format(decimal.Decimal(value), "f") if match["exponent"] else value
    raise TypeError


def add_amounts(left: str, right: str) -> str:
    """Exact sum of two decimal strings, without an exponent."""
    return _plain(_EXACT.add(decimal.Decimal(left), decimal.Decimal(right)))


def sum_amounts(amounts: Iterable[str]) -> str:
    """Exact sum of decimal strings, without an exponent; "0" if there are none."""
    total = decimal.Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, decimal.Decimal(amount))
    return _plain(total)


def cents_to_dollars(cents: str) -> str:
    """Convert cents to dollars without an exponent; rounds half-even at the 18th decimal place."""
    whole, _, fraction = cents.partition(".")
    # Fast path for the common case: move the decimal point.
    if (
        len(fraction) <= DECIMAL_SCALE - 2
        and len(whole) >= 3  # noqa: PLR2004  # at least a dollar
        and whole[0] != "0"
        and whole.isdigit()
        and (not fraction or fraction.isdigit())
    ):
        return f"{whole[:-2]}.{whole[-2:]}{fraction}"
    dollars = _EXACT.scaleb(decimal.Decimal(cents), -2)
    exponent = dollars.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMAL_SCALE:
        dollars = dollars.quantize(_SMALLEST_DOLLARS, decimal.ROUND_HALF_EVEN, context=_ROUND)
    return _plain(dollars)


def _plain(amount: decimal.Decimal) -> str:
    return format(abs(amount) if amount.is_zero() else amount, "f")


def restore_decimals(schema: dict[str, Any]) -> None:
    """Set precision and scale of every dollar column of a schema.

    The SDK's schema model drops them, and without a scale some warehouses store whole dollars only.
    """
    for spec in schema.get("properties", {}).values():
        if spec.get("format") == DECIMAL_FORMAT:
            spec |= {"precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE}
