"""The page as HTML: text is escaped, numbers keep their digits, nothing is loaded."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

from claude_report import charts, style
from claude_report.layout import (
    Card,
    Chapter,
    Column,
    Figure,
    Kind,
    Legend,
    Omitted,
    Overview,
    Table,
)
from claude_report.layout import Page as Content
from claude_report.page import cell, render
from claude_report.values import Organization
from tests.each import each

EVIL = "</title></style></td><script>alert(1)</script>&\"'"


@each(
    ("value", "kind", "expected"),
    [
        (EVIL[-30:], "text", "script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;"),
        (Decimal("-1234.567800"), "money", '<data value="-1234.567800">−1,234.56<span>78</span>'),
        (Decimal("1E-18"), "money", "0.00<span>0000000000000001</span>"),
        (Decimal("0.9756"), "share", '<data value="0.9756">98%</data>'),
        (17_959, "count", '<data value="17959">17,959</data>'),
        (dt.date(2026, 9, 7), "day", '<time datetime="2026-09-07">7 Sep 2026</time>'),
        (None, "money", "–"),
    ],
)
def test_cells(value: Any, kind: Kind, expected: str) -> None:
    assert expected in str(cell(value, kind))


def test_text_from_the_data_is_never_html() -> None:
    figure = Figure(
        "f",
        EVIL,
        EVIL,
        charts.bars([charts.Bar(EVIL, Decimal(1), "$1.00"), charts.Bar("👩" * 99, Decimal(2), "")]),
        [Table([Column(EVIL)], [(EVIL,)], total=(EVIL,), note=EVIL)],
        [Legend(EVIL, style.BAR)],
    )
    time = dt.datetime(2026, 9, 18, 9, 30, tzinfo=dt.UTC)
    html = render(
        Content(
            EVIL,
            dt.date(2026, 9, 1),
            [Organization("console", "1", EVIL, time.date(), time.date(), time, time)],
            time,
            Overview(EVIL, [Card(EVIL, EVIL, EVIL)], [figure], [EVIL]),
            [Chapter("c", EVIL, EVIL, [figure], [EVIL])],
            [Omitted(EVIL, EVIL)],
        )
    )
    assert "<script" not in html
    assert html.count("</title>") == html.count("<title")
    assert html.count("</style>") == 1
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    assert not re.search(r"(?:href|src)=\"(?!#)|@import|url\((?!#)", html)
    assert "complete until 18 Sep 2026, 09:30 UTC" in html


@each(
    ("name", "pixels"), [("W" * 80, 100), ("i" * 80, 100), ("👩‍👩‍👧" * 20, 100), ("名" * 30, 100)]
)
def test_names_in_charts_are_cut_between_characters(name: str, pixels: int) -> None:
    cut = style.fit(name, pixels)
    assert cut.endswith("…")
    assert len(cut) < len(style.clean(name))
    cut.encode("utf-16")  # fails in the middle of a character
