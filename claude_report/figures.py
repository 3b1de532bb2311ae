"""What the figures of all chapters share: bars of amounts, and tables that are cut."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from claude_report import charts, style
from claude_report.layout import Figure, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

ZERO = Decimal(0)
BUDGET_IS = {"over": "exceeded", "likely_over": "likely exceeded", "near": "near", "within": "kept"}


def organization(it: Any) -> str:
    return f"{style.clean(it.organization_name, 60)} ({it.organization_type})"


def cost_figure(
    id_: str, title: str, names: Sequence[str], amounts: Sequence[Decimal], tables: Sequence[Table]
) -> Figure:
    """Draw the first amounts as bars, and the rest as one bar."""
    bars = [
        charts.Bar(name, amount, style.whole_money(amount))
        for name, amount in zip(names, amounts, strict=True)
    ]
    if len(bars) > style.TOP + 1:
        rest = sum(amounts[style.TOP :], ZERO)
        others = f"{style.count(len(bars) - style.TOP)} others"
        bars = [*bars[: style.TOP], charts.Bar(others, rest, style.whole_money(rest), rest=True)]
    description = "One bar for each, the highest cost first, in US dollars."
    return Figure(id_, title, description, charts.bars(bars), tables)


def cut(table: Table, sums: Sequence[int] = ()) -> Table:
    """Show the first rows of a table, one row for all others, and the total of its columns."""
    rows = list(table.rows)
    first, others = rows[: style.ROWS], rows[style.ROWS :]
    width = len(table.columns)
    if others:
        first.append(_sum_row(f"{style.count(len(others))} others", others, sums, width))
    total = _sum_row("Total", rows, sums, width) if sums else None
    return Table(table.columns, first, total, table.note)


def _sum_row(
    name: str, rows: Sequence[Sequence[Any]], sums: Sequence[int], width: int
) -> tuple[Any, ...]:
    def cell(index: int) -> Any:
        if index in sums:
            return sum((row[index] for row in rows if row[index] is not None), 0)
        return ""

    return (name, *(cell(index) for index in range(1, width)))


def ratio(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    return Decimal(part) / whole if whole else None
