"""Formats of numbers and names, and colours that everybody can tell apart."""

from __future__ import annotations

import itertools
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from claude_report import style
from tests.each import each


@each(
    ("text", "expected"),
    [
        (style.money(Decimal("1234.565")), "$1,234.57"),
        (style.money(Decimal("-19.4")), "−$19.40"),
        (style.money(Decimal("0.0049")), "<$0.01"),
        (style.money(Decimal(0)), "$0.00"),
        (style.whole_money(Decimal("11173.53")), "$11,174"),
        (style.whole_money(Decimal("99.99")), "$99.99"),
        (style.percent(Decimal("0.8249")), "82%"),
        (style.percent(Decimal("0.0849")), "8.5%"),
        (style.percent(Decimal("0.0001")), "<0.1%"),
        (style.percent(Decimal(0)), "0.0%"),
        (style.price(Decimal("0.08")), "0.0800"),
        (style.count(17_959_530_216), "17,959,530,216"),
        (style.label("claude_code"), "Claude Code"),
        (style.label("messages_api"), "Messages API"),
        (style.label(None), "Not known"),
    ],
)
def test_numbers_and_ids_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-1e18, max_value=1e18)
)
def test_exact_money_has_all_digits(amount: Decimal) -> None:
    cents, rest = style.exact_money(amount)
    assert Decimal((cents + rest).replace(",", "").replace("−", "-")) == amount
    assert len(cents.partition(".")[2]) == 2
    assert not rest.endswith("0")


@each(
    ("name", "expected"),
    [
        ("a\nb\tc\x07d", "a b c d"),
        ("\u202eevil\u202c", "evil"),
        ("  ", "(no name)"),
        (None, "(no name)"),
        ("x" * 300, "x" * 79 + "…"),
        ("👩‍👩‍👧 名前", "👩‍👩‍👧 名前"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_names_fit_on_one_line(name: str | None, expected: str) -> None:
    assert style.clean(name) == expected


def test_a_name_cannot_turn_its_sentence() -> None:
    assert style.quoted("שלום") == "\u2068שלום\u2069"


# Matrices of Machado, Oliveira and Fernandes (2009) for complete colour blindness, on linear RGB.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def linear(colour: str) -> list[float]:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    return [it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in parts]


def seen(colour: str, matrix: tuple[tuple[float, ...], ...]) -> list[float]:
    """Return a colour as CIELAB, as it is seen with a kind of colour blindness."""
    rgb = linear(colour)
    rgb = [min(1, max(0, sum(a * b for a, b in zip(row, rgb, strict=True)))) for row in matrix]
    white = (0.9505, 1.0, 1.089)
    rows = (
        (0.4124, 0.3576, 0.1805),
        (0.2126, 0.7152, 0.0722),
        (0.0193, 0.1192, 0.9505),
    )
    x, y, z = (
        sum(a * b for a, b in zip(row, rgb, strict=True)) / point
        for row, point in zip(rows, white, strict=True)
    )
    x, y, z = (it ** (1 / 3) if it > 0.008856 else 7.787 * it + 16 / 116 for it in (x, y, z))
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def contrast(one: str, other: str) -> float:
    low, high = sorted(
        0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other))
    )
    return (high + 0.05) / (low + 0.05)


@each("theme", [0, 1])
def test_series_are_told_apart_with_each_kind_of_colour_blindness(theme: int) -> None:
    colours = [it[theme] for it in (*style.SERIES[:5], style.OTHER)]
    for name, matrix in BLINDNESS.items():
        for one, other in itertools.combinations(colours, 2):
            distance = sum(
                (a - b) ** 2 for a, b in zip(seen(one, matrix), seen(other, matrix), strict=True)
            )
            assert distance**0.5 > 14, (name, one, other, round(distance**0.5, 1))


@each("theme", [0, 1])
def test_text_has_contrast_and_bars_stand_out(theme: int) -> None:
    paper = style.PAPER[theme]
    for colour in (style.INK, style.MUTED, style.BAR, style.WARN):
        assert contrast(colour[theme], paper) >= 4.5, colour
    for colour in (*style.SERIES, style.OTHER, style.EARLIER):
        assert contrast(colour[theme], paper) >= 2.2, colour
