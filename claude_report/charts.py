"""Pictures: values become SVG, through Altair and vl-convert.

Each chart is drawn twice, for a desk and for a phone. Only here money becomes a float: a picture
has fewer digits than that. Text from the data is passed as data, never as a part of an expression.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import altair as alt
import vl_convert

from claude_report import style
from claude_report.style import FONT, FONT_SIZE, NARROW, WIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal


@dataclass(frozen=True)
class Picture:
    """A chart in its two widths: SVG without an XML header, a title or a role."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Bar:
    """A bar with its name and what stands at its end."""

    name: str
    amount: Decimal
    text: str
    mark: Decimal | None = None
    """A line across the bar: a limit, or what is usual."""
    warn: bool = False
    rest: bool = False
    """Whether it stands for all others."""


@dataclass(frozen=True)
class Stack:
    """A day's bar: amounts by series."""

    day: int
    amounts: dict[str, Decimal]
    growing: bool = False
    unsettled: bool = False


@dataclass(frozen=True)
class Line:
    """The sum so far per day of the month."""

    now: Sequence[tuple[int, Decimal]]
    before: Sequence[tuple[int, Decimal]]
    days: int
    """Days of the longer month."""
    end: tuple[int, Decimal, Decimal | None, Decimal | None] | None
    """Last day of the month, forecast, and its range."""
    budget: Decimal | None


def stacks(found: Sequence[Stack], colours: dict[str, style.Colour], days: int) -> Picture:
    """Draw a stacked bar per day; days that still move are hatched."""
    rows = [
        {"day": stack.day, "series": name, "order": order, "amount": float(stack.amounts[name])}
        for stack in found
        for order, name in enumerate(colours)
        if name in stack.amounts
    ]
    totals = [
        {
            "day": stack.day,
            "growing": stack.growing,
            "unsettled": stack.unsettled,
            "top": float(sum(it for it in stack.amounts.values() if it > 0)),
        }
        for stack in found
        if stack.growing or stack.unsettled
    ]
    highest = max((sum(map(float, stack.amounts.values())) for stack in found), default=0)

    def draw(width: int) -> Any:
        height = 220
        x = _day_axis(days, width)
        y = alt.Y("amount:Q", axis=_money_axis(highest), stack="zero")
        bars = (
            _chart(rows)
            .mark_bar(stroke=style.PAPER.light, strokeWidth=0.6)
            .encode(
                x=x,
                y=y,
                order="order:O",
                color=alt.Color(
                    "series:N",
                    legend=None,
                    scale=alt.Scale(
                        domain=list(colours), range=[it.light for it in colours.values()]
                    ),
                ),
            )
        )
        moving = (
            _chart([it for it in totals if it["growing"]])
            .mark_bar(fill=style.HATCHED, stroke=style.MUTED.light, strokeWidth=0.8)
            .encode(x=x, y=alt.Y("top:Q"))
        )
        restated = (
            _chart([it for it in totals if it["unsettled"]])
            .mark_rect(fill=style.RESTATED, height=5)
            .encode(x=x, y=alt.value(height + 3.5))
        )
        return alt.layer(bars, moving, restated).properties(width=width - 62, height=height)

    return _picture(draw)


def lines(found: Line) -> Picture:
    """Draw the sum so far against last month's, with the forecast's range and the budget."""
    rows = [
        {"day": day, "amount": float(amount), "series": series}
        for series, points in (("now", found.now), ("before", found.before))
        for day, amount in points
    ]
    tops = [float(amount) for _, amount in (*found.now, *found.before)]
    if found.end is not None:
        tops += [float(it) for it in found.end[1:] if it is not None]
    if found.budget is not None:
        tops.append(float(found.budget))
    highest = max(tops, default=0)

    def draw(width: int) -> Any:
        x = _day_axis(found.days, width)
        y = alt.Y("amount:Q", axis=_money_axis(highest))
        layers: list[alt.Chart] = []
        for series, colour, dash in (
            ("before", style.EARLIER, [5, 3]),
            ("now", style.BAR, [1, 0]),
        ):
            own = [row for row in rows if row["series"] == series]
            chart = _chart(own)
            layers.append(
                chart.mark_line(stroke=colour.light, strokeWidth=2.5, strokeDash=dash).encode(
                    x=x, y=y
                )
            )
            if len(own) == 1:
                layers.append(chart.mark_point(fill=colour.light, size=60).encode(x=x, y=y))
        if found.budget is not None:
            rule = _chart([{"amount": float(found.budget)}])
            layers.append(
                rule.mark_rule(stroke=style.WARN.light, strokeWidth=1.5, strokeDash=[2, 2]).encode(
                    y=y
                )
            )
        if found.end is not None:
            day, expected, low, high = found.end
            end = _chart(
                [
                    {
                        "day": day,
                        "amount": float(expected),
                        "low": float(expected if low is None else low),
                        "high": float(expected if high is None else high),
                    }
                ]
            )
            layers.append(
                end.mark_rule(stroke=style.BAR.light, strokeWidth=7, opacity=0.35).encode(
                    x=x, y=alt.Y("low:Q"), y2="high"
                )
            )
            layers.append(
                end.mark_point(
                    shape="diamond", fill=style.BAR.light, stroke=style.PAPER.light, size=110
                ).encode(x=x, y=y)
            )
        return alt.layer(*layers).properties(width=width - 62, height=200)

    return _picture(draw)


def bars(found: Sequence[Bar]) -> Picture:
    """Draw a horizontal bar per name, with its text at the end."""
    rows = [
        {
            "rank": rank,
            "amount": float(bar.amount),
            "text": bar.text,
            "mark": None if bar.mark is None else float(bar.mark),
            "colour": _bar_colour(bar).light,
        }
        for rank, bar in enumerate(found)
    ]
    widest = max((len(bar.text) for bar in found), default=0)
    highest = max([0.0, *(float(max(it.amount, it.mark or it.amount)) for it in found)])

    def draw(width: int) -> Any:
        beside = width == WIDE
        left = NAMES if beside else 0
        right = width - 16 - (widest * 7 + 8)
        band = 24 if beside else 40
        y = alt.Y("rank:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
        shown = alt.Scale(domain=[0, highest or 1], range=[left, right], nice=False)
        x = alt.X("amount:Q", axis=None, scale=shown)
        down = 0 if beside else 9
        base = _chart(rows)
        layers = [
            base.mark_bar(height=15, yOffset=down).encode(
                x=x, y=y, color=alt.Color("colour:N", scale=None)
            ),
            base.mark_text(align="left", dx=5, dy=down, fill=style.INK.light).encode(
                x=x, y=y, text="text:N"
            ),
            _names([bar.name for bar in found], width, y),
        ]
        if any(row["mark"] is not None for row in rows):
            layers.append(
                _chart([row for row in rows if row["mark"] is not None])
                .mark_tick(
                    stroke=style.INK.light,
                    fill=style.INK.light,
                    thickness=2,
                    opacity=1,
                    height=21,
                    yOffset=down,
                )
                .encode(x=alt.X("mark:Q", axis=None, scale=shown), y=y)
            )
        return alt.layer(*layers).properties(width=width - 16, height=max(1, len(rows)) * band)

    return _picture(draw)


def dots(
    found: Sequence[tuple[str, dict[str, Decimal]]], colours: dict[str, style.Colour]
) -> Picture:
    """Draw prices of several kinds per name, on a logarithmic scale."""
    rows = [
        {"rank": rank, "series": kind, "price": float(price)}
        for rank, (_, prices) in enumerate(found)
        for kind, price in prices.items()
        if price > 0
    ]
    powers = [
        math.log10(price) for _, prices in found for price in prices.values() if price > 0
    ] or [0.0]
    decades = [10.0**power for power in range(math.floor(min(powers)), math.floor(max(powers)) + 2)]

    def draw(width: int) -> Any:
        beside = width == WIDE
        left = NAMES if beside else 8
        band = 26 if beside else 42
        y = alt.Y("rank:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
        x = alt.X(
            "price:Q",
            scale=alt.Scale(
                type="log", range=[left, width - 40], domain=[decades[0], decades[-1]], nice=False
            ),
            axis=alt.Axis(
                title="USD per million tokens",
                format="$,~g",
                orient="bottom",
                values=decades,
                grid=True,
            ),
        )
        points = (
            _chart(rows)
            .mark_point(size=100, opacity=1, stroke=style.PAPER.light, yOffset=0 if beside else 9)
            .encode(
                x=x,
                y=y,
                fill=alt.Fill(
                    "series:N",
                    legend=None,
                    scale=alt.Scale(
                        domain=list(colours), range=[it.light for it in colours.values()]
                    ),
                ),
                shape=alt.Shape(
                    "series:N",
                    legend=None,
                    scale=alt.Scale(domain=list(colours), range=list(SHAPES[: len(colours)])),
                ),
            )
        )
        text = _names([name for name, _ in found], width, y)
        return alt.layer(points, text).properties(
            width=width - 24, height=max(1, len(found)) * band
        )

    return _picture(draw)


SHAPES: tuple[Literal["circle", "square", "diamond", "triangle-up", "triangle-down"], ...] = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
)


NAMES = 230
"""Pixels for the names beside bars. On a phone they stand above them."""


def _names(names: Sequence[str], width: int, y: alt.Y) -> Any:
    beside = width == WIDE
    room = NAMES - 14 if beside else width - 24
    rows = [{"rank": rank, "name": style.fit(name, room)} for rank, name in enumerate(names)]
    text = _chart(rows).mark_text(
        align="right" if beside else "left", dy=0 if beside else -10, fill=style.INK.light
    )
    names_beside: alt.Chart = text.encode(
        x=alt.value(NAMES - 10 if beside else 0), y=y, text="name:N"
    )
    return names_beside


def _bar_colour(bar: Bar) -> style.Colour:
    if bar.warn:
        return style.WARN
    return style.OTHER if bar.rest else style.BAR


MONEY_FORMATS = ((5, "$,.2f"), (20_000, "$,.0f"))
"""Formats of axes whose highest value is below a number of dollars."""


def _day_axis(days: int, width: int) -> alt.X:
    step = 2 if width == WIDE else 5
    return alt.X(
        "day:O",
        scale=alt.Scale(domain=list(range(1, days + 1)), paddingInner=0.15, paddingOuter=0.1),
        axis=alt.Axis(
            values=list(range(1, days + 1, step)),
            title=None,
            labelAngle=0,
            labelPadding=9,
            tickSize=0,
        ),
    )


def _money_axis(highest: float) -> alt.Axis:
    shown = next((it for top, it in MONEY_FORMATS if highest < top), "$,.2~s")
    return alt.Axis(title=None, format=shown, tickCount=4)


def _chart(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=list(rows)))  # type: ignore[no-untyped-call]


def _picture(draw: Callable[[int], Any]) -> Picture:
    return Picture(*(_svg(draw(width), width) for width in (WIDE, NARROW)))


def _svg(chart: Any, width: int) -> str:
    styled = chart.configure(
        aria=False,
        background="transparent",
        font=FONT,
        padding={"left": 4, "right": 8, "top": 8, "bottom": 4},
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            domain=False,
            gridColor=style.GRID.light,
            labelColor=style.MUTED.light,
            labelFontSize=FONT_SIZE,
            titleColor=style.MUTED.light,
            titleFontSize=FONT_SIZE,
            titleFontWeight="normal",
            tickColor=style.GRID.light,
        ),
        axisX=alt.AxisConfig(grid=False),
        text=alt.MarkConfig(fontSize=FONT_SIZE),
    )
    spec = styled.to_dict(validate=False)
    svg = vl_convert.vegalite_to_svg(json.dumps(spec))
    return re.sub(r"^<svg[^>]*?viewBox", f'<svg class="{_class(width)}" viewBox', svg)


def _class(width: int) -> str:
    return "wide" if width == WIDE else "narrow"
