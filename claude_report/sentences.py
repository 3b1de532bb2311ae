"""The claim above each picture: one sentence, computed from the data. Pure functions.

Numbers in sentences are rounded as ``style`` says; the table below the picture has all digits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from claude_report.style import (
    count,
    day,
    label,
    money,
    percent,
    quoted,
    short_day,
    times,
    whole_money,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from claude_report import values

ACTOR_KINDS = {
    "user_actor": "person",
    "service_account_actor": "service account",
    "federated_actor": "federated identity",
    "api_actor": "API key",
}
BUDGET_STATES = {
    "over": "exceeded",
    "likely_over": "likely exceeded",
    "near": "nearly spent",
    "within": "kept",
}


def change(now: Decimal, before: Decimal) -> str:
    """Say how much an amount differs from the one before, which is not zero."""
    share = (now - before) / before
    if percent(share) == percent(Decimal(0)):
        return "unchanged"
    return f"{'up' if share > 0 else 'down'} {percent(abs(share))}"


def headline(
    amounts: Mapping[str | None, Decimal], comparison: tuple[Decimal, Decimal] | None
) -> str:
    """Say which product costs most, and how the cost compares with last month's same days."""
    total = sum(amounts.values(), Decimal(0))
    if total <= 0:
        return "There is no cost yet."
    product, most = max(amounts.items(), key=lambda item: (item[1], str(item[0])))
    name = "Cost without a known product" if product is None else quoted(label(product))
    first = f"{name} is {percent(most / total)} of the cost"
    if len(amounts) == 1:
        first = f"{name} is all of the cost"
    if comparison is None:
        return f"{first}."
    if not comparison[1]:
        return f"{first}; last month's same days had no cost."
    return f"{first}; all cost is {change(*comparison)} on last month's same days."


def pace(
    month: dt.date,
    forecast: tuple[Decimal, Decimal | None, Decimal | None] | None,
    budgets: Mapping[str, str],
) -> str:
    """Say where the month is heading to, and how that stands against the budgets."""
    if forecast is None:
        return f"There is no forecast yet: it needs a complete day{budget_state(budgets)}."
    expected, low, high = forecast
    text = f"At the pace so far, {month:%B} ends at about {whole_money(expected)}"
    if low is not None and high is not None and low != high:
        text += f", between {whole_money(low)} and {whole_money(high)}"
    return f"{text} (estimate){budget_state(budgets)}."


def final_month(amount: Decimal, budgets: Mapping[str, str]) -> str:
    """Say what a month that is over came to."""
    return f"The month is over: it cost {money(amount)}{budget_state(budgets)}."


def budget_state(budgets: Mapping[str, str]) -> str:
    """Say how budgets stand, as the rest of a sentence; empty without any.

    Args:
        budgets: the state of each budget by the name of its organization; the name is empty if
            there is one organization.
    """
    if not budgets:
        return ""
    worst = next(state for state in BUDGET_STATES if state in budgets.values())
    names = [name for name, state in budgets.items() if state == worst]
    if len(names) > 1:
        return f"; {len(names)} of {len(budgets)} budgets are {BUDGET_STATES[worst]}"
    name = f" of {quoted(names[0])}" if names[0] else ""
    return {
        "over": f"; the budget{name} is exceeded",
        "likely_over": f"; the budget{name} will likely be exceeded",
        "near": f"; that is near the budget{name}",
        "within": f"; the budget{name} is kept",
    }[worst]


def share_of_first(
    what: str,
    names: Sequence[str | None],
    amounts: Sequence[Decimal],
    total: Decimal,
    whole: str = "the cost",
) -> str:
    """Say who or what comes first in a list that is ordered by cost, and how much it is of all."""
    if not amounts or total <= 0:
        return f"No {what} has cost."
    if len(amounts) == 1:
        return f"{quoted(names[0])} is the only {what} with cost."
    text = f"{quoted(names[0])} comes first with {percent(amounts[0] / total)} of {whole}"
    several = 3
    if len(amounts) > several:
        first = sum(amounts[:several], Decimal(0))
        text += f"; the first {several} of {count(len(amounts))} have {percent(first / total)}"
    return f"{text}."


def people(actors: Sequence[values.Actor]) -> str:
    """Say who costs most, person or not, and how much of the cost is that of people."""
    total = sum((actor.amount_usd for actor in actors), Decimal(0))
    known = [actor for actor in actors if actor.actor_id is not None]
    if not known or total <= 0:
        return "It is not known who caused the cost."
    first = known[0]
    kind = ACTOR_KINDS.get(first.actor_type or "", "not known")
    name = quoted(first.name) + ("" if kind == "person" else f" ({kind})")
    persons = [actor for actor in known if actor.actor_type == "user_actor"]
    text = f"{name} comes first with {percent(first.amount_usd / total)} of the cost"
    if not persons:
        return f"{text}; none of it is attributed to a person."
    share = percent(sum((it.amount_usd for it in persons), Decimal(0)) / total)
    all_of_them = "one person has" if len(persons) == 1 else f"{count(len(persons))} people have"
    return f"{text}; {all_of_them} {share}, and keys, service accounts and others have the rest."


def teams(found: Sequence[values.Team]) -> str:
    """Say which team costs most. Teams overlap, so there is no share of all of them."""
    first = found[0]
    text = f"{quoted(first.team_name)} has the most cost, {money(first.amount_usd)}"
    return f"{text}, of {count(len(found))} teams." if len(found) > 1 else f"{text}."


def unused_keys(number: int) -> str:
    """Say how many active keys are not used."""
    are = "active API key has" if number == 1 else "active API keys have"
    return f"{count(number)} {are} not been used in the last 30 days."


def prices(models: Sequence[values.Model]) -> str:
    """Say which models' output tokens are the dearest and the cheapest, as they were paid."""
    paid = [
        (found, quoted(model.model))
        for model in models
        if (found := model.price("output_tokens")) is not None
    ]
    if not paid:
        return "No tokens were used."
    (low, cheapest), (high, dearest) = min(paid), max(paid)
    if cheapest == dearest:
        return f"A million output tokens of {dearest} cost {money(high)}."
    return (
        f"A million output tokens cost from {money(low)} ({cheapest}) to {money(high)}"
        f" ({dearest}), as they were really paid."
    )


def cache(models: Sequence[values.Model]) -> str:
    """Say how much of the input came from the cache, and what that saved."""
    inputs = sum(model.input_tokens for model in models)
    if not inputs:
        return "No input tokens were used."
    read = sum(model.cache_read_input_tokens for model in models)
    savings = [it.cache_savings_usd for it in models if it.cache_savings_usd is not None]
    text = f"{percent(Decimal(read) / inputs)} of the input tokens came from the cache"
    if not savings:
        return f"{text}; what that saved is not known."
    saved = sum(savings, Decimal(0))
    verb = "saved" if saved >= 0 else "cost"
    return f"{text}, which {verb} about {whole_money(abs(saved))} (estimate)."


def code(coders: Sequence[values.Coder]) -> str:
    """Say what Claude Code cost, and what a commit and a pull request cost of it."""
    billed = sum((coder.amount_usd for coder in coders), Decimal(0))
    commits = sum(coder.commits_by_claude_code for coder in coders)
    pulls = sum(coder.pull_requests_by_claude_code for coder in coders)
    estimated = sum(
        (it.api_estimated_cost_usd + it.subscription_estimated_cost_usd for it in coders),
        Decimal(0),
    )
    if not billed and not estimated:
        return f"{count(len(coders))} used Claude Code, without cost."
    if not billed:
        return f"Claude Code is not billed here; its use is estimated at {money(estimated)}."
    text = f"Claude Code cost {money(billed)}"
    made = [
        f"{money(billed / number)} per {thing}"
        for number, thing in ((commits, "commit"), (pulls, "pull request"))
        if number
    ]
    return f"{text}: {' and '.join(made)}." if made else f"{text}."


def seats(members: Sequence[values.Member], number: int) -> str:
    """Say how many of the members did not use Claude, and what their seats cost."""
    are = f"{count(len(members))} of {count(number)} members {_has(len(members))}"
    text = f"{are} not used Claude for 30 days"
    priced = [it.seat_price_usd for it in members if it.seat_price_usd is not None]
    if not priced:
        return f"{text}."
    return f"{text}; their seats cost {money(sum(priced, Decimal(0)))} a month, if each has one."


def budgets(found: Sequence[values.Budget]) -> str:
    """Say how many budgets are over or near their limit."""
    states = [budget.state for budget in found]
    parts = [
        f"{states.count(state)} {words}"
        for state, words in BUDGET_STATES.items()
        if state in states
    ]
    if len(found) == 1:
        return f"The only budget is {BUDGET_STATES[found[0].state]}."
    return f"Of {count(len(found))} budgets: {', '.join(parts)}."


def limits(found: Sequence[values.Limit]) -> str:
    """Say how many people have spent most of their limit, or all of it."""
    over = sum(it.limit_spent_usd >= it.limit_usd for it in found)
    text = f"{count(len(found))} {'person is' if len(found) == 1 else 'people are'} near a limit"
    return f"{text}; {count(over)} {_has(over)} spent all of it."


def anomalies(found: Sequence[values.Anomaly]) -> str:
    """Say how many days stand out, and what drove the largest."""
    first = found[0]
    name = label(first.value_id) if first.dimension == "product" else first.value_name
    text = f"{quoted(name)} on {short_day(first.day)} cost {money(first.amount_usd)}"
    if first.times_median is not None:
        text += f", {times(first.times_median)} the median of its weekday"
    if first.driver_model_name:
        text += f", driven by {quoted(first.driver_model_name)}"
        if first.driver_actor_name:
            text += f" of {quoted(first.driver_actor_name)}"
    if len(found) == 1:
        return f"One cost stands out: {text}."
    return f"{count(len(found))} costs stand out; the largest: {text}."


def bill(days: Sequence[values.BillDay]) -> str:
    """Say whether the bill agrees with the cost, and how much credit it has."""
    complete = [it for it in days if not it.growing]
    differing = [it for it in complete if it.difference_amount_usd]
    credited = sum((it.credits_amount_usd for it in days), Decimal(0))
    if not complete:
        text = "No day is complete in both reports yet"
    elif not differing:
        text = f"Bill and cost agree to the last digit on all {count(len(complete))} complete days"
        if len(complete) == 1:
            text = "Bill and cost agree to the last digit on the one complete day"
    else:
        worst = max(differing, key=lambda it: abs(it.difference_amount_usd))
        text = (
            f"Bill and cost differ on {count(len(differing))} of {count(len(complete))} complete"
            f" days, most on {day(worst.day)} by {money(worst.difference_amount_usd)}"
        )
    if not credited:
        return f"{text}; there are no credits."
    return f"{text}; credits take {money(abs(credited))} off the bill."


def _has(number: int) -> str:
    return "has" if number == 1 else "have"
