"""Chapters: budgets, limits, members without use, anomalies, the bill.

Each is left out with a reason if it has no data. Limits and members are known as they are now, so
the page of an earlier month leaves them out.
"""

from __future__ import annotations

import calendar
from decimal import Decimal
from typing import TYPE_CHECKING

from claude_report import charts, sentences, style
from claude_report.figures import cut
from claude_report.layout import Chapter, Column, Figure, Legend, Omitted, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_report.marts import Marts
    from claude_report.values import Anomaly, BillDay, Budget

ZERO = Decimal(0)
ONLY_NOW = "They are known only as they are now; this is an earlier month."
SOURCES = {"variable": "own budget", "spend_limit": "limit of the API"}


def budgets(marts: Marts, known: Mapping[str, str]) -> Chapter | Omitted:
    """Show what is spent of each budget of the month."""
    found = marts.budgets()
    if not found:
        return Omitted(
            "Budgets", "There are none: neither the variable claude_budgets nor a spend limit."
        )
    bars = [
        charts.Bar(
            _budget_name(it) + (f", {known[it.organization_id]}" if len(known) > 1 else ""),
            it.spent_share or ZERO,
            style.percent(it.spent_share or ZERO),
            mark=Decimal(1),
            warn=it.state == "over",
        )
        for it in found[: style.TOP]
    ]
    rows = [
        (
            _budget_name(it),
            known[it.organization_id],
            SOURCES.get(it.source, it.source),
            it.budget_usd,
            it.amount_usd,
            it.forecast_amount_usd,
            sentences.BUDGET_STATES.get(it.state, it.state),
        )
        for it in found
    ]
    columns = [
        Column("Budget"),
        Column("Organization"),
        Column("Kind"),
        Column("Budget (USD)", "money"),
        Column("Spent (USD)", "money"),
        Column("Forecast (USD, estimate)", "money"),
        Column("Budget is"),
    ]
    figure = Figure(
        "budgets",
        "Share of each budget that is spent",
        "One bar per budget or limit of an organization or product; the line is all of it.",
        charts.bars(bars),
        [cut(Table(columns, rows))],
        [
            Legend("Spent", style.BAR),
            Legend("Spent, and exceeded", style.WARN),
            Legend("All of the budget", style.INK, "tick"),
        ],
    )
    return Chapter("budgets", "Budgets", sentences.budgets(found), [figure])


def limits(marts: Marts, *, is_newest: bool) -> Chapter | Omitted:
    """Show the people who are near their limit."""
    if not is_newest:
        return Omitted("Limits of people", ONLY_NOW)
    found = marts.limits()
    if not found:
        return Omitted("Limits of people", "Nobody is near a limit, or no limits are loaded.")
    bars = [
        charts.Bar(
            style.clean(it.person_name),
            it.limit_spent_share or ZERO,
            style.percent(it.limit_spent_share or ZERO),
            mark=Decimal(1),
            warn=it.limit_spent_usd >= it.limit_usd,
        )
        for it in found[: style.TOP]
    ]
    rows = [
        (
            style.clean(it.person_name),
            it.limit_period,
            it.limit_usd,
            it.limit_spent_usd,
            it.limit_spent_share,
        )
        for it in found
    ]
    columns = [
        Column("Person"),
        Column("Period"),
        Column("Limit (USD)", "money"),
        Column("Spent (USD)", "money"),
        Column("Share", "share"),
    ]
    figure = Figure(
        "limits",
        "Share of the limit that is spent",
        f"One bar per person, at most {style.TOP}, the most used first; the line is the limit.",
        charts.bars(bars),
        [cut(Table(columns, rows))],
        [
            Legend("Spent", style.BAR),
            Legend("Spent, all of the limit", style.WARN),
            Legend("The limit", style.INK, "tick"),
        ],
    )
    return Chapter(
        "limits",
        "Limits of people",
        sentences.limits(found),
        [figure],
        ["Spent is what the API reports for the period that is running."],
    )


def seats(marts: Marts, *, is_newest: bool) -> Chapter | Omitted:
    """List the members who do not use Claude Enterprise."""
    if not is_newest:
        return Omitted("Members without use", ONLY_NOW)
    found = marts.members_without_use()
    if not found:
        return Omitted(
            "Members without use",
            "Every member of Claude Enterprise has used it in the last 30 days, or no members are "
            "loaded.",
        )
    rows = [
        (
            style.clean(it.person_name),
            style.clean(it.email_address) if it.email_address else style.MISSING,
            it.role or style.MISSING,
            it.last_day,
            it.seat_price_usd,
        )
        for it in found
    ]
    columns = [
        Column("Member"),
        Column("E-mail address"),
        Column("Role"),
        Column("Last use", "day"),
        Column("Seat a month (USD)", "money"),
    ]
    sums = (4,) if any(it.seat_price_usd is not None for it in found) else ()
    number = marts.members()
    used = number - len(found)
    bars = [
        charts.Bar("Used in the last 30 days", Decimal(used), style.count(used)),
        charts.Bar("Not used", Decimal(len(found)), style.count(len(found)), warn=True),
    ]
    figure = Figure(
        "seats",
        "Members of Claude Enterprise, and those without use in the last 30 days",
        "Two bars: the number of members with use, and of those without.",
        charts.bars(bars),
        [cut(Table(columns, rows), sums=sums)],
    )
    return Chapter(
        "seats",
        "Members without use",
        sentences.seats(found, number),
        [figure],
        [
            (
                "The API does not say which members have a seat. The price of a seat is the "
                "variable claude_seat_price_usd."
            )
        ],
    )


def anomalies(marts: Marts) -> Chapter | Omitted:
    """Show the days that are far from the median of their weekday."""
    found = marts.anomalies()
    if not found:
        return Omitted(
            "Anomalies",
            "No day is far from the median of its weekday, or there are less than four weeks "
            "before it.",
        )
    bars = [
        charts.Bar(
            f"{_anomaly_name(it)}, {style.short_day(it.day)}",
            it.amount_usd,
            style.whole_money(it.amount_usd),
            mark=it.median_amount_usd,
            warn=it.deviation_usd > 0,
        )
        for it in found[: style.TOP]
    ]
    rows = [
        (
            it.day,
            _anomaly_name(it),
            it.amount_usd,
            it.median_amount_usd,
            it.times_median,
            style.clean(it.driver_model_name) if it.driver_model_name else style.MISSING,
            style.clean(it.driver_actor_name) if it.driver_actor_name else style.MISSING,
        )
        for it in found
    ]
    columns = [
        Column("Day", "day"),
        Column("What"),
        Column("Cost (USD)", "money"),
        Column("Median of the weekday (USD)", "money"),
        Column("Factor", "times"),
        Column("Model that differs most"),
        Column("Actor that differs most"),
    ]
    figure = Figure(
        "anomalies",
        "Cost of the day, and the median of its weekday",
        "One bar per day and product or workspace, the largest difference first; the line is the "
        "median of the same weekday in the 8 weeks before.",
        charts.bars(bars),
        [cut(Table(columns, rows))],
        [
            Legend("Above the median", style.WARN),
            Legend("Below the median", style.BAR),
            Legend("Median of the weekday", style.INK, "tick"),
        ],
    )
    return Chapter(
        "anomalies",
        "Anomalies",
        sentences.anomalies(found),
        [figure],
        ["A product and a workspace can show the same cost."],
    )


def bill(marts: Marts) -> Chapter | Omitted:
    """Compare the cost with the bill of the Console organizations."""
    found = marts.bill()
    if not found:
        return Omitted(
            "Reconciliation with the bill",
            "Claude Enterprise has no bill in the API to compare with.",
        )
    picture = charts.stacks(
        [
            charts.Stack(
                it.day.day,
                {"Bill": it.cost_report_amount_usd, "Credits": -it.credits_amount_usd},
                bool(it.growing),
            )
            for it in found
        ],
        {"Bill": style.SERIES[0], "Credits": style.SERIES[1]},
        calendar.monthrange(found[0].day.year, found[0].day.month)[1],
    )
    columns = [
        Column("Day", "day"),
        Column("Cost (USD)", "money"),
        Column("Credits (USD)", "money"),
        Column("Bill, with credits (USD)", "money"),
        Column("Difference (USD)", "money"),
    ]
    rows = [_bill_row(it) for it in found]
    figure = Figure(
        "bill",
        "Bill per day: what is to be paid, and what credits cover",
        "One bar per day of the Console organizations. Its lower part is the bill after credits, "
        "its upper part the credits; both together are the cost.",
        picture,
        [cut(Table(columns, rows), sums=(1, 2, 3, 4))],
        [
            Legend("Bill, after credits", style.SERIES[0]),
            Legend("Credits", style.SERIES[1]),
            *([Legend("Not complete yet", style="hatched")] if found[-1].growing else []),
        ],
    )
    return Chapter(
        "bill",
        "Reconciliation with the bill",
        sentences.bill(found),
        [figure],
        [
            (
                "Difference: the bill less credits less cost. Priority Tier, seats, taxes and "
                "invoices are not in the API."
            )
        ],
    )


def _bill_row(it: BillDay) -> tuple[object, ...]:
    return (
        it.day,
        it.amount_usd,
        it.credits_amount_usd,
        it.cost_report_amount_usd,
        it.difference_amount_usd,
    )


def _budget_name(it: Budget) -> str:
    if it.scope_type == "organization" and it.source == "spend_limit":
        return "Whole organization"
    if it.scope_type == "product" and it.source == "spend_limit":
        return style.label(it.budget_name)
    return style.clean(it.budget_name, 48)


def _anomaly_name(it: Anomaly) -> str:
    return style.label(it.value_id) if it.dimension == "product" else style.clean(it.value_name, 48)
