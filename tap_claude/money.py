"""Money: exact decimal strings in cents and in dollars (docs: cost_report).

The API's amounts are decimal strings in cents. No float ever touches them, and nothing is rounded
by a context that happens to be the default.
"""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# How a dollar column is described: exact in the warehouses that know it, exact text elsewhere.
DECIMAL_FORMAT = "x-singer.decimal"
DECIMAL_PRECISION = 38
DECIMAL_SCALE = 18

_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]{1,3})?", re.ASCII)
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII).fullmatch
# Exact or an error: money is never rounded by a context that happens to be the default.
_EXACT = decimal.Context(
    prec=decimal.MAX_PREC,
    Emax=decimal.MAX_EMAX,
    Emin=decimal.MIN_EMIN,
    traps=[decimal.Inexact, decimal.InvalidOperation],
)
_LEAST_DOLLARS = decimal.Decimal(1).scaleb(-DECIMAL_SCALE)
_ROUND = decimal.Context(
    prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[]
)


def parse_amount(value: object) -> str:
    """Pass a plain decimal string through untouched; a JSON number becomes one."""
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
    """Exact dollars of an amount in cents, half-even at the 18th decimal, without an exponent."""
    whole, _, fraction = cents.partition(".")
    # The common case, by moving the point; all others the long way.
    if (
        len(fraction) <= DECIMAL_SCALE - 2
        and len(whole) >= 3  # noqa: PLR2004  # a dollar at least
        and whole[0] != "0"
        and whole.isdigit()
        and (not fraction or fraction.isdigit())
    ):
        return f"{whole[:-2]}.{whole[-2:]}{fraction}"
    dollars = _EXACT.scaleb(decimal.Decimal(cents), -2)
    exponent = dollars.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMAL_SCALE:
        dollars = dollars.quantize(_LEAST_DOLLARS, decimal.ROUND_HALF_EVEN, context=_ROUND)
    return _plain(dollars)


def _plain(amount: decimal.Decimal) -> str:
    return format(abs(amount) if amount.is_zero() else amount, "f")


def restore_decimals(schema: dict[str, Any]) -> None:
    """Give every dollar column of a schema its precision and scale.

    The SDK's schema model forgets them, and without a scale some warehouses keep whole dollars.
    """
    for spec in schema.get("properties", {}).values():
        if spec.get("format") == DECIMAL_FORMAT:
            spec |= {"precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE}
