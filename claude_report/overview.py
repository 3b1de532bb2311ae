"""The first screen: the month so far, its forecast, last month's same days, the budget."""

from __future__ import annotations

import calendar
import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from claude_report import charts, sentences, style
from claude_report.layout import Card, Column, Figure, Legend, Overview, Table

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from claude_report.marts import Marts
    from claude_report.values import Day, Month, Organization, ProductDay

PRODUCTS = 5
"""Products with a colour of their own."""
REST = "All other products"
ZERO = Decimal(0)


@dataclass(frozen=True)
class Comparison:
    """The complete days of the month, and the same days of the month before."""

    through: dt.date
    amount_usd: Decimal
    before_through: dt.date
    before_amount_usd: Decimal


def overview(
    marts: Marts, organizations: Sequence[Organization], names: Mapping[str, str]
) -> Overview:
    """Make the first screen of a month that has data."""
    month = marts.scope.month
    both = marts.days()
    days = [it for it in both if it.day >= month]
    before = [it for it in both if it.day < month]
    products = marts.product_days()
    months = marts.months()
    comparison = compare(days, before, months, organizations, month)
    forecast = total_forecast(months)
    is_final = all(it.is_final for it in months)
    states = {
        names[it.organization_id] if len(months) > 1 else "": it.budget_state
        for it in months
        if it.budget_state
    }
    amount = sum((it.amount_usd for it in days), ZERO)

    by_product: dict[str | None, Decimal] = defaultdict(Decimal)
    for it in products:
        by_product[it.product] += it.amount_usd
    pace = (
        sentences.final_month(amount, states)
        if is_final
        else sentences.pace(month, forecast, states)
    )
    figures = [_days_figure(days, products, by_product, month)]
    if forecast or len(days) > 1:
        figures.append(
            _pace_figure(days, before if comparison else [], months, forecast, pace, month)
        )
    compared = None
    if comparison is not None:
        compared = comparison.amount_usd, comparison.before_amount_usd
    cards = [
        _cost_card(amount, days, month, is_final=is_final),
        *([] if is_final else [_forecast_card(month, forecast)]),
        _comparison_card(comparison, month),
        _budget_card(months, month, names),
    ]
    return Overview(
        claim=sentences.headline(by_product, compared),
        cards=cards,
        figures=figures,
        notes=_notes(marts, days),
    )


def compare(
    days: Sequence[Day],
    before: Sequence[Day],
    months: Sequence[Month],
    organizations: Sequence[Organization],
    month: dt.date,
) -> Comparison | None:
    """Compare the complete days with those of last month; None if last month is not loaded.

    A month that is over is compared with the whole month before, however long both are.
    """
    last_month = (month - dt.timedelta(1)).replace(day=1)
    if not before or any(it.first_day > last_month for it in organizations):
        return None
    if all(it.is_final for it in months):
        through, before_through = _end(month), _end(last_month)
    else:
        growing = min((it.day for it in days if it.growing), default=None)
        complete = [it.day for it in days if growing is None or it.day < growing]
        if not complete:
            return None
        through = complete[-1]
        before_through = last_month.replace(day=min(through.day, _end(last_month).day))
    return Comparison(
        through,
        sum((it.amount_usd for it in days if it.day <= through), ZERO),
        before_through,
        sum((it.amount_usd for it in before if it.day <= before_through), ZERO),
    )


def total_forecast(
    months: Sequence[Month],
) -> tuple[Decimal, Decimal | None, Decimal | None] | None:
    """Add up the forecasts of all organizations, and their ranges; None if one has none."""
    if any(
        it.forecast_amount_usd is None or (not it.is_final and it.through_day is None)
        for it in months
    ):
        return None
    expected = sum((it.forecast_amount_usd or ZERO for it in months), ZERO)
    if any(it.forecast_low_amount_usd is None for it in months):
        return expected, None, None
    low = sum((it.forecast_low_amount_usd or ZERO for it in months), ZERO)
    high = sum((it.forecast_high_amount_usd or ZERO for it in months), ZERO)
    return expected, low, high


# -- cards


def _cost_card(amount: Decimal, days: Sequence[Day], month: dt.date, *, is_final: bool) -> Card:
    listed = sum((it.list_amount_usd for it in days), ZERO)
    name = f"{month:%B}" if is_final else f"{month:%B} so far"
    return Card(f"Cost of {name}", style.money(amount), f"{style.money(listed)} at list prices")


def _forecast_card(
    month: dt.date, forecast: tuple[Decimal, Decimal | None, Decimal | None] | None
) -> Card:
    title = f"Forecast for {month:%B} (estimate)"
    if forecast is None:
        return Card(title, "None yet", "It needs a complete day.")
    expected, low, high = forecast
    if low is None or high is None:
        detail = "No range yet: it needs two days."
    elif low == high:
        detail = "No range: no more is expected than is spent."
    else:
        detail = f"between {style.whole_money(low)} and {style.whole_money(high)}"
    return Card(title, style.whole_money(expected), detail)


def _comparison_card(found: Comparison | None, month: dt.date) -> Card:
    last_month = month - dt.timedelta(1)
    title = "Against last month's same days"
    if found is None:
        return Card(title, "Not known", f"{last_month:%B} is not loaded in full.")
    detail = (
        f"{style.money(found.amount_usd)} until {style.short_day(found.through)}, "
        f"{style.money(found.before_amount_usd)} until {style.short_day(found.before_through)}"
    )
    if not found.before_amount_usd:
        return Card(title, "No cost then", detail)
    text = sentences.change(found.amount_usd, found.before_amount_usd)
    return Card(title, text[:1].upper() + text[1:], detail)


def _budget_card(months: Sequence[Month], month: dt.date, names: Mapping[str, str]) -> Card:
    title = f"Budget of {month:%B}"
    budgets = [it for it in months if it.budget_usd is not None]
    if not budgets:
        return Card(title, "None", "No budget or monthly limit is known.")
    worst = next(
        state for state in sentences.BUDGET_STATES if state in {it.budget_state for it in budgets}
    )
    warn = worst in {"over", "likely_over"}
    first = next(it for it in budgets if it.budget_state == worst)
    detail = f"{style.money(first.amount_usd)} of {style.money(first.budget_usd or ZERO)} spent"
    if len(months) > 1:
        detail += f" by {style.quoted(names[first.organization_id])}"
    return Card(title, sentences.BUDGET_STATES[worst].capitalize(), detail, warn)


# -- figures


def _days_figure(
    days: Sequence[Day],
    products: Sequence[ProductDay],
    by_product: dict[str | None, Decimal],
    month: dt.date,
) -> Figure:
    ranked = sorted(by_product, key=lambda it: (-by_product[it], str(it)))
    own = ranked[:PRODUCTS] if len(ranked) > PRODUCTS + 1 else ranked
    rest = [it for it in ranked if it not in own]
    names = [style.label(it) for it in own] + ([REST] if rest else [])
    colours = dict(zip(names, [*style.SERIES[: len(own)], style.OTHER], strict=False))
    amounts: dict[dt.date, dict[str, Decimal]] = {it.day: {} for it in days}
    for it in products:
        name = style.label(it.product) if it.product in own else REST
        of_day = amounts.setdefault(it.day, {})
        of_day[name] = of_day.get(name, ZERO) + it.amount_usd
    picture = charts.stacks(
        [
            charts.Stack(it.day.day, amounts[it.day], bool(it.growing), bool(it.unsettled))
            for it in days
        ],
        colours,
        _end(month).day,
    )
    legend = [Legend(name, colour) for name, colour in colours.items()]
    if any(it.growing for it in days):
        legend.append(Legend("Not complete yet", style="hatched"))
    if any(it.unsettled for it in days):
        legend.append(Legend("The API may still restate the day", style="strip"))
    table = Table(
        [
            Column("Day", "day"),
            Column("All (USD)", "money"),
            *(Column(f"{name} (USD)", "money") for name in names),
            Column("State"),
        ],
        [
            (it.day, it.amount_usd, *(amounts[it.day].get(name) for name in names), _state(it))
            for it in days
        ],
        total=(
            "Total",
            sum((it.amount_usd for it in days), ZERO),
            *(sum((of_day.get(name, ZERO) for of_day in amounts.values()), ZERO) for name in names),
            "",
        ),
    )
    products_table = Table(
        [Column("Product"), Column("Cost (USD)", "money"), Column("Share", "share")],
        [
            (style.label(it), by_product[it], _share(by_product[it], by_product.values()))
            for it in ranked
        ],
    )
    return Figure(
        "days",
        f"Cost per day of {style.month(month)}, by product",
        "One bar per day (UTC). Its parts are the products; the total is the cost of the day in "
        "US dollars, after discounts and before credits.",
        picture,
        [products_table, table],
        legend,
    )


def _pace_figure(
    days: Sequence[Day],
    before: Sequence[Day],
    months: Sequence[Month],
    forecast: tuple[Decimal, Decimal | None, Decimal | None] | None,
    claim: str,
    month: dt.date,
) -> Figure:
    now, then = _running(days), _running(before)
    last = _end(month).day
    is_final = all(it.is_final for it in months)
    budget = months[0].budget_usd if len(months) == 1 else None
    longest = max(last, _end(month - dt.timedelta(1)).day if before else 0)
    picture = charts.lines(
        charts.Line(
            sorted(now.items()),
            sorted(then.items()),
            longest,
            (last, *forecast) if forecast and not is_final else None,
            budget,
        )
    )
    legend = [Legend(f"{month:%B}", style.BAR, "line")]
    if then:
        legend.append(Legend(f"{month - dt.timedelta(1):%B}", style.EARLIER, "dashed"))
    if forecast and not is_final:
        legend.append(Legend("Forecast and its range (estimate)", style.BAR, "range"))
    if budget is not None:
        legend.append(Legend("Budget", style.WARN, "dotted"))
    columns = [Column("Day of the month", "count"), Column(f"{month:%B} so far (USD)", "money")]
    if then:
        columns.append(Column(f"{month - dt.timedelta(1):%B} until then (USD)", "money"))
    numbers = sorted({*now, *then})
    rows = [(it, now.get(it), *([then.get(it)] if then else [])) for it in numbers]
    return Figure(
        "pace",
        claim,
        "The cost added up from the first of the month, in US dollars.",
        picture,
        [Table(columns, rows)],
        legend,
    )


def _running(days: Sequence[Day]) -> dict[int, Decimal]:
    found, total = {}, ZERO
    for it in days:
        total += it.amount_usd
        found[it.day.day] = total
    return found


def _notes(marts: Marts, days: Sequence[Day]) -> list[str]:
    notes = []
    if any(it.unsettled for it in days):
        notes.append("The API restates the last 30 days: their cost can still change.")
    if found := marts.other_currencies():
        notes.append(f"Cost in other currencies is not included: {', '.join(found)}.")
    return notes


def _state(it: Day) -> str:
    if it.growing:
        return "growing"
    return "unsettled" if it.unsettled else "settled"


def _share(part: Decimal, all_of_it: Collection[Decimal]) -> Decimal | None:
    total = sum(all_of_it, ZERO)
    return part / total if total else None


def _end(month: dt.date) -> dt.date:
    """Return the last day of a month."""
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])
