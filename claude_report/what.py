"""Chapters: what the cost is made of. Each is left out with a reason if it has no data."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from claude_report import charts, sentences, style
from claude_report.figures import cost_figure, cut, ratio
from claude_report.layout import Chapter, Column, Figure, Legend, Omitted, Table
from claude_report.values import TOKEN_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_report.marts import Marts
    from claude_report.values import Coder, Model

ZERO = Decimal(0)
COST, SHARE = Column("Cost (USD)", "money"), Column("Share", "share")
LIST = Column("At list prices (USD)", "money")
KINDS = dict(
    zip(
        TOKEN_KINDS,
        ("Input, not cached", "Cache read", "Cache write, 5 min", "Cache write, 1 h", "Output"),
        strict=True,
    )
)


def models(marts: Marts, known: Mapping[str, str]) -> Chapter | Omitted:
    """Show cost, prices and use of the models."""
    found = marts.models()
    if not found:
        return Omitted("Models and prices", "There is no cost in this month.")
    total = sum((it.amount_usd for it in found), ZERO)
    names = ["Other than tokens" if it.model is None else style.clean(it.model) for it in found]
    rows = [
        (name, it.amount_usd, it.list_amount_usd, ratio(it.amount_usd, total), it.total_tokens)
        for name, it in zip(names, found, strict=True)
    ]
    columns = [Column("Model"), COST, LIST, SHARE, Column("Tokens", "count")]
    figures = [
        cost_figure(
            "models",
            "Cost per model",
            names,
            [it.amount_usd for it in found],
            [cut(Table(columns, rows), sums=(1, 2, 3, 4))],
        )
    ]
    used = [it for it in found if it.model is not None and it.total_tokens]
    if used:
        figures.append(_prices(used, marts, known))
    return Chapter(
        "models",
        "Models and prices",
        sentences.share_of_first("model", names, [it.amount_usd for it in found], total),
        figures,
        [
            (
                "Prices blend service tiers, context windows and regions. Tokens of Priority Tier "
                "have no cost here, and lower them."
            )
        ],
    )


def _prices(used: Sequence[Model], marts: Marts, known: Mapping[str, str]) -> Figure:
    shown = used[: style.TOP]
    colours = dict(zip(KINDS.values(), style.SERIES, strict=False))
    picture = charts.dots(
        [
            (
                it.model or "",
                {
                    KINDS[kind]: price
                    for kind in TOKEN_KINDS
                    if (price := it.price(kind)) is not None
                },
            )
            for it in shown
        ],
        colours,
    )
    prices = Table(
        [Column("Model"), *(Column(f"{it} (USD)", "price") for it in KINDS.values())],
        [(style.clean(it.model), *(it.price(kind) for kind in TOKEN_KINDS)) for it in used],
        note="US dollars per million tokens, cost divided by tokens, rounded to four decimals.",
    )
    tables = [cut(prices)]
    if mix := marts.model_mix():
        tables.append(
            cut(
                Table(
                    [
                        Column("Model"),
                        Column("Organization"),
                        Column("Batch", "share"),
                        Column("Long context", "share"),
                        Column("Fast mode", "share"),
                        Column("Inference in the US", "share"),
                    ],
                    [(style.clean(it.model), known[it.organization_id], *it.shares) for it in mix],
                    note="Shares of the tokens. A dash: the report by tier is not loaded.",
                )
            )
        )
    legend = [
        Legend(text, colour, shape)
        for (text, colour), shape in zip(colours.items(), charts.SHAPES, strict=True)
    ]
    return Figure(
        "prices",
        sentences.prices(used),
        "The price of a million tokens of each kind per model, in US dollars, on a logarithmic "
        "scale.",
        picture,
        tables,
        legend,
    )


def cache(marts: Marts) -> Chapter | Omitted:
    """Show the share of the input that came from the cache, and what that saved."""
    found = [it for it in marts.models() if it.model is not None and it.input_tokens]
    if not any(it.cache_read_input_tokens for it in found):
        return Omitted("Cache", "No input token came from the cache in this month.")
    names = [style.clean(it.model) for it in found]
    shares = [ratio(it.cache_read_input_tokens, it.input_tokens) or ZERO for it in found]
    bars = [
        charts.Bar(name, share, style.percent(share))
        for name, share in zip(names, shares, strict=True)
    ]
    rows = [
        (name, share, it.cache_read_input_tokens, it.input_tokens, it.cache_savings_usd)
        for name, share, it in zip(names, shares, found, strict=True)
    ]
    columns = [
        Column("Model"),
        Column("From the cache", "share"),
        Column("Tokens read from the cache", "count"),
        Column("All input tokens", "count"),
        Column("Saved (USD, estimate)", "money"),
    ]
    figure = Figure(
        "cache",
        "Share of the input tokens that came from the cache",
        "One bar per model: tokens read from the cache, divided by all input tokens.",
        charts.bars(bars[: style.TOP]),
        [cut(Table(columns, rows), sums=(2, 3, 4))],
    )
    return Chapter(
        "cache",
        "Cache",
        sentences.cache(found),
        [figure],
        [
            (
                "Saved: what the tokens read from and written to the cache would have cost as "
                "other input, less what they did cost. Negative if writing cost more than reading "
                "saved."
            )
        ],
    )


def code(marts: Marts) -> Chapter | Omitted:
    """Show what Claude Code cost, and what came out of it."""
    found = marts.coders()
    if not found:
        return Omitted("Claude Code", "Nobody used Claude Code in this month.")
    names = {it: "Not known" if it.person_id == "not known" else it.name for it in found}
    paid = [it for it in found if it.amount_usd > 0]
    by_cost = paid or found
    estimated = {it: it.api_estimated_cost_usd + it.subscription_estimated_cost_usd for it in found}
    amounts = [it.amount_usd if paid else estimated[it] for it in by_cost]
    rows = [
        (
            style.clean(names[it]),
            it.amount_usd,
            estimated[it],
            it.num_sessions,
            it.lines_of_code_added,
            it.commits_by_claude_code,
            it.pull_requests_by_claude_code,
            ratio(it.tool_actions_accepted, it.tool_actions_accepted + it.tool_actions_rejected),
        )
        for it in found
    ]
    columns = [
        Column("Who"),
        Column("Billed (USD)", "money"),
        Column("Estimated (USD)", "money"),
        Column("Sessions", "count"),
        Column("Lines added", "count"),
        Column("Commits", "count"),
        Column("Pull requests", "count"),
        Column("Accepted", "share"),
    ]
    figure = cost_figure(
        "code",
        "Billed cost of Claude Code" if paid else "Estimated cost of Claude Code (estimate)",
        [style.clean(names[it]) for it in by_cost],
        amounts,
        [_payers(found), cut(Table(columns, rows), sums=(1, 2, 3, 4, 5, 6))],
        rest=["Not known"],
    )
    return Chapter(
        "code",
        "Claude Code",
        sentences.code(found),
        [figure],
        [
            (
                "Billed is the cost of the product. Estimated is the API's own estimate of the "
                "same use, told apart by who pays: use that a subscription covers is not billed."
            )
        ],
    )


def _payers(found: Sequence[Coder]) -> Table:
    """Make the table of cost per commit and pull request, by who pays."""

    def row(name: str, amount: Decimal, commits: int, pulls: int) -> tuple[object, ...]:
        return (name, amount, commits, pulls, ratio(amount, commits), ratio(amount, pulls))

    def total(column: str) -> int:
        return sum(getattr(it, column) for it in found)

    def money(column: str) -> Decimal:
        return sum((getattr(it, column) for it in found), ZERO)

    rows = [
        row(
            "Billed",
            money("amount_usd"),
            total("commits_by_claude_code"),
            total("pull_requests_by_claude_code"),
        )
    ]
    for payer, name in (("api", "Paid by the API"), ("subscription", "Covered by a subscription")):
        if estimate := money(f"{payer}_estimated_cost_usd"):
            commits, pulls = total(f"{payer}_commits"), total(f"{payer}_pull_requests")
            rows.append(row(f"{name} (estimate)", estimate, commits, pulls))
    columns = [
        Column("Who pays"),
        COST,
        Column("Commits", "count"),
        Column("Pull requests", "count"),
        Column("Per commit (USD)", "price"),
        Column("Per pull request (USD)", "price"),
    ]
    return Table(columns, rows, note="Cost per commit and pull request: rounded to four decimals.")
