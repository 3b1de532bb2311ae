"""What the figures of all chapters share: bars of amounts, and tables that are cut."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from claude_report import charts, style
from claude_report.layout import Figure, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_report.values import Organization

ZERO = Decimal(0)


def organization_names(found: Iterable[Organization]) -> dict[str, str]:
    """Return a name per id: that of the organization, and its type where the name is not unique."""
    known = {it.organization_id: (style.clean(it.organization_name, 40), it) for it in found}
    names = [name for name, _ in known.values()]
    return {
        id_: name if names.count(name) == 1 else f"{name} ({it.organization_type})"
        for id_, (name, it) in known.items()
    }


def cost_figure(
    id_: str,
    title: str,
    names: Sequence[str],
    amounts: Sequence[Decimal],
    tables: Sequence[Table],
    rest: Sequence[str] = (),
) -> Figure:
    """Draw the first amounts as bars, the others as one; those named in ``rest`` are grey."""
    bars = [
        charts.Bar(name, amount, style.whole_money(amount), rest=name in rest)
        for name, amount in zip(names, amounts, strict=True)
    ]
    if len(bars) > style.TOP + 1:
        amount = sum(amounts[style.TOP :], ZERO)
        others = f"{style.count(len(bars) - style.TOP)} others"
        shown = style.whole_money(amount)
        bars = [*bars[: style.TOP], charts.Bar(others, amount, shown, rest=True)]
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
            known = [row[index] for row in rows if row[index] is not None]
            return sum(known) if known else None
        return ""

    return (name, *(cell(index) for index in range(1, width)))


def ratio(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """Return a share or a quotient; None if the whole is zero."""
    return Decimal(part) / whole if whole else None
