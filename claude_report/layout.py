"""The parts of the page, before they are HTML: chapters, figures, tables, cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from claude_report.charts import Picture
    from claude_report.style import Colour
    from claude_report.values import Organization

Kind = Literal["text", "money", "price", "count", "share", "times", "day"]


@dataclass(frozen=True)
class Column:
    """A column of a table. The kind says how its values are shown; None is shown as a dash."""

    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Values with all their digits."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    total: Sequence[Any] | None = None
    """A last row: what the column comes to."""
    note: str = ""


@dataclass(frozen=True)
class Legend:
    """What a colour or a pattern stands for. A pattern has no colour."""

    text: str
    colour: Colour | None = None
    style: Literal[
        "box",
        "line",
        "dashed",
        "dotted",
        "hatched",
        "strip",
        "range",
        "tick",
        "circle",
        "square",
        "diamond",
        "triangle-up",
        "triangle-down",
    ] = "box"


@dataclass(frozen=True)
class Figure:
    """A picture, and the table that has its numbers."""

    id: str
    title: str
    description: str
    picture: Picture
    tables: Sequence[Table]
    legend: Sequence[Legend] = ()


@dataclass(frozen=True)
class Chapter:
    """A heading, a claim in one sentence, and the pictures that show it."""

    id: str
    title: str
    claim: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Omitted:
    """A chapter that is left out, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Card:
    """A large number of the first screen."""

    title: str
    value: str
    detail: str
    warn: bool = False


@dataclass(frozen=True)
class Overview:
    """The first screen."""

    claim: str
    cards: Sequence[Card]
    figures: Sequence[Figure]
    notes: Sequence[str]


@dataclass(frozen=True)
class Page:
    """All that the template needs."""

    title: str
    month: dt.date
    organizations: Sequence[Organization]
    complete_until: dt.datetime | None
    """Time until which the data of all organizations are complete; None if not known."""
    overview: Overview
    chapters: Sequence[Chapter]
    omitted: Sequence[Omitted] = field(default=())
