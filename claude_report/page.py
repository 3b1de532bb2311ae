"""The HTML of the page: a Jinja2 template with autoescape, styles included, without scripts."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from claude_report import style

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_report.charts import Picture
    from claude_report.layout import Figure, Kind, Page, Table

COLOURS = (
    style.PAPER,
    style.INK,
    style.MUTED,
    style.GRID,
    style.BAR,
    style.EARLIER,
    style.WARN,
    style.OTHER,
    *style.SERIES,
)


_TAG = re.compile(r"<[^>]*>")
_ROLE = re.compile(r' (?:class|role|aria-[a-z]+)="[^"]*"')
"""What Vega says of parts of a picture. The picture as a whole has a title and a description."""
FORMATS: dict[str, Callable[[Any], str]] = {
    "count": style.count,
    "share": style.percent,
    "price": style.price,
    "times": style.times,
}
"""How numbers of a kind of column are shown, other than money."""


def render(page: Page) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("claude_report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": cell,
        "day": style.day,
        "month": style.month,
        "moment": style.moment,
        "clean": style.clean,
    }
    environment.globals |= {"svg": svg, "legend_class": legend_class, "cell_classes": cell_classes}
    css = _css(environment)
    return environment.get_template("page.html.j2").render(
        page=page,
        css=Markup(css),
        policy=_policy(css),  # our own
    )


def cell(value: Any, kind: Kind) -> Markup:
    """Return the content of a cell. Numbers are ``data`` elements with all their digits."""
    if value is None:
        return Markup(style.MISSING)
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dt.date):
        return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), style.day(value))
    if kind == "money":
        amount = Decimal(value)
        shown, rest = style.exact_money(amount)
        exact = f"{amount:f}"
        return Markup('<data value="{}">{}<span>{}</span></data>').format(exact, shown, rest)
    return Markup('<data value="{}">{}</data>').format(value, FORMATS[kind](value))


def svg(figure: Figure, picture: Picture) -> Markup:
    """Return both forms of a chart, with a title and a description for those who cannot see it.

    The SVG is that of vl-convert, which escapes its text.
    """
    return Markup("\n").join(
        _labelled(drawn, figure, form)
        for form, drawn in (("wide", picture.wide), ("narrow", picture.narrow))
    )


def cell_classes(table: Table) -> list[str]:
    """Return the class of the cells of each column: the cents of money stand below each other."""
    rows = [*table.rows, table.total] if table.total else table.rows
    return [
        _cell_class(column.kind, [row[index] for row in rows])
        for index, column in enumerate(table.columns)
    ]


def _cell_class(kind: Kind, values: Sequence[Any]) -> str:
    if kind in {"text", "day"}:
        return "text"
    if kind != "money":
        return "number"
    amounts = [it for it in values if isinstance(it, Decimal)]
    return f"number f{max((len(style.exact_money(it)[1]) for it in amounts), default=0)}"


def legend_class(colour: style.Colour | None) -> str:
    """Return the class that gives an element a colour in both themes."""
    return "" if colour is None else f"c{COLOURS.index(colour)}"


def _labelled(drawn: str, figure: Figure, form: str) -> Markup:
    id_ = f"{figure.id}-{form}"
    opening = Markup(
        '<svg role="img" aria-labelledby="{0}-title" aria-describedby="{0}-description" '
    ).format(id_)
    words = Markup('<title id="{0}-title">{1}</title><desc id="{0}-description">{2}</desc>').format(
        id_, figure.title, figure.description
    )
    head, _, rest = drawn.partition(">")
    head = head.removeprefix("<svg ")
    rest = _TAG.sub(lambda tag: _ROLE.sub("", tag[0]), rest)
    return opening + Markup(f"{head}>") + words + Markup(rest)


def _css(environment: jinja2.Environment) -> str:
    """Return the styles: colours in charts have their counterparts of the dark theme."""
    dark = "".join(
        f'svg [fill="{colour.light}"]{{fill:{colour.dark}}}'
        f'svg [stroke="{colour.light}"]{{stroke:{colour.dark}}}'
        for colour in dict.fromkeys(COLOURS)
    )
    classes = "".join(f".c{index}{{color:{colour.light}}}" for index, colour in enumerate(COLOURS))
    dark += "".join(f".c{index}{{color:{colour.dark}}}" for index, colour in enumerate(COLOURS))
    names = {
        "paper": style.PAPER,
        "ink": style.INK,
        "muted": style.MUTED,
        "grid": style.GRID,
        "accent": style.BAR,
        "warn": style.WARN,
    }
    source = environment.get_template("page.css.j2")
    return source.render(names=names, classes=Markup(classes), dark=Markup(dark), style=style)


def _policy(css: str) -> str:
    """Return the content security policy: nothing is loaded, nothing runs."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'"
