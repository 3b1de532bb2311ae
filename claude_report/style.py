"""How things look: colours, sizes, and the formats of numbers, days and names.

Money and counts are Decimal and int up to their text. Rounded numbers are rounded half up.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

# -- colours


class Colour(NamedTuple):
    """A colour on the light page and its counterpart on the dark one."""

    light: str
    dark: str


PAPER = Colour("#ffffff", "#14171c")
INK = Colour("#1b1f27", "#e8eaee")
MUTED = Colour("#5a6372", "#a3adbb")
GRID = Colour("#dde1e7", "#323a46")
BAR = Colour("#1f6fb2", "#5ba6e6")
"""Bars that need no colour to be told apart."""
EARLIER = Colour("#7b8493", "#939daa")
"""What was before: last month, the median."""
WARN = Colour("#b3470f", "#f08a4b")
"""Above a budget, a limit or the median."""
OTHER = Colour("#9aa2ae", "#6d7683")
"""All that has no colour of its own."""
SERIES = (
    Colour("#1f6fb2", "#5ba6e6"),
    Colour("#e08214", "#f2a64b"),
    Colour("#0f5d46", "#3f9e5f"),
    Colour("#a63a79", "#e07ab5"),
    Colour("#5fb5df", "#9edcfa"),
    Colour("#5b3f8c", "#a48be0"),
)
"""Told apart with each kind of colour blindness, in both themes (a test computes it)."""
HATCHED = "url(#moving)"
"""Drawn over a bar that still moves; the page has the pattern."""
RESTATED = "url(#restated)"

# -- sizes, in pixels

WIDE, NARROW = 720, 340
"""Widths of the two forms of each chart: for a desk or paper, and for a phone."""
FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"
"""Of the charts. These fonts have the same widths, so what was measured fits everywhere."""
FONT_SIZE = 12
TOP = 10
"""Bars of a chart."""
CARDS = 4
"""Numbers side by side on the first screen."""
ROWS = 40
"""Rows of a table; the rest is one row."""
NAME_LENGTH = 80
CENTS_UNTIL = 100
"""Dollars from which on charts and estimates have no cents."""

# -- numbers, days, names

MISSING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_CONTROLS = re.compile(r"[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]")


def money(amount: Decimal) -> str:
    """Return dollars rounded to cents; less than half a cent is shown as such."""
    if amount and abs(amount) < Decimal("0.005"):
        return f"{_MINUS if amount < 0 else ''}<$0.01"
    return _signed(amount, 2, "$")


def whole_money(amount: Decimal) -> str:
    """Return dollars without cents from 100 dollars on, for charts and estimates."""
    return _signed(amount, 0, "$") if abs(amount) >= CENTS_UNTIL else money(amount)


def exact_money(amount: Decimal) -> tuple[str, str]:
    """Return all digits of dollars in two parts: up to the cents, and those after them."""
    digits = f"{amount.copy_abs():f}"  # abs() would round to the precision of the context
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0").ljust(2, "0")
    sign = _MINUS if amount < 0 else ""
    return f"{sign}{int(whole):,}.{fraction[:2]}", fraction[2:]


def price(amount: Decimal) -> str:
    """Return dollars per million tokens, or per commit, rounded to four decimals."""
    return _signed(amount, 4, "")


def percent(share: Decimal) -> str:
    """Return a share as a percentage; one decimal below 10 %."""
    if share and abs(share) < Decimal("0.0005"):
        return "<0.1%"
    return f"{_signed(share * 100, 1 if abs(share) < Decimal('0.0995') else 0, '')}%"


def count(number: int) -> str:
    """Return an integer with thousands separators."""
    return f"{_MINUS if number < 0 else ''}{abs(number):,}"


def times(factor: Decimal) -> str:
    """Return a factor, like 12.9 times."""
    return f"{_signed(factor, 1, '')} times"


def day(value: dt.date) -> str:
    """Return a day, like 7 Sep 2026."""
    return f"{value.day} {value:%b %Y}"


def short_day(value: dt.date) -> str:
    """Return a day without its year."""
    return f"{value.day} {value:%b}"


def month(value: dt.date) -> str:
    """Return a month, like September 2026."""
    return f"{value:%B %Y}"


def moment(value: dt.datetime) -> str:
    """Return a time in UTC to the minute."""
    return f"{day(value)}, {value:%H:%M} UTC"


def clean(name: str | None, length: int = NAME_LENGTH) -> str:
    """Return a name on one line, cut to a length, without what could disturb its surroundings."""
    text = _CONTROLS.sub("", name or "")
    text = "".join(" " if unicodedata.category(it) in {"Cc", "Cs"} else it for it in text)
    text = " ".join(text.split())
    if len(text) > length:
        text = text[: length - 1].rstrip() + "…"
    return text or "(no name)"


def fit(name: str, pixels: float) -> str:
    """Return a name cut to a width in a chart.

    Vega's own limit cuts in the middle of a character beyond 16 bits, and fails.
    """
    text = clean(name)
    room = pixels
    for index, character in enumerate(text):
        room -= _width(character)
        if room < 0:
            return text[: max(1, index - 1)].rstrip() + "…"
    return text


def _width(character: str) -> float:
    """Return at least the width of a character in pixels."""
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    if unicodedata.east_asian_width(character) in {"W", "F"} or ord(character) > 0xFFFF:  # noqa: PLR2004
        return FONT_SIZE * 1.35
    if character in "ijlt.,:;|'!()[] -":
        return FONT_SIZE * 0.35
    return FONT_SIZE * (0.9 if character in "mwMW@%" else 0.72 if character.isupper() else 0.58)


def quoted(name: str | None) -> str:
    """Return a name for a sentence: isolated, so that its direction does not turn the sentence."""
    return f"\N{FIRST STRONG ISOLATE}{clean(name, 48)}\N{POP DIRECTIONAL ISOLATE}"


def label(id_: str | None) -> str:
    """Return an identifier of the API in words: claude_code becomes Claude Code."""
    if id_ is None:
        return "Not known"
    words = clean(id_).replace("_", " ").split()
    small = {"api": "API", "cc": "CC", "in": "in"}
    return " ".join(small.get(word, word[:1].upper() + word[1:]) for word in words)


def _signed(number: Decimal, decimals: int, unit: str) -> str:
    rounded = number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{_MINUS if rounded < 0 else ''}{unit}{abs(rounded):,f}"
