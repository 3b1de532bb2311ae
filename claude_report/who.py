"""Chapters: who and what caused the cost. Each is left out with a reason if it has no data."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from claude_report import sentences, style
from claude_report.figures import cost_figure, cut, ratio
from claude_report.layout import Chapter, Column, Omitted, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_report.marts import Marts
    from claude_report.values import Team

ZERO = Decimal(0)
COST, SHARE = Column("Cost (USD)", "money"), Column("Share", "share")
LIST = Column("At list prices (USD)", "money")


def organizations(marts: Marts, known: Mapping[str, str]) -> Chapter | None:
    """Compare the organizations, if there are several."""
    found = sorted(marts.months(), key=lambda it: (-it.amount_usd, it.organization_id))
    if len(found) <= 1:
        return None
    names = [known[it.organization_id] for it in found]
    amounts = [it.amount_usd for it in found]
    table = Table(
        [
            Column("Organization"),
            COST,
            Column("Forecast (USD, estimate)", "money"),
            Column("Lower end (USD)", "money"),
            Column("Upper end (USD)", "money"),
            Column("Budget (USD)", "money"),
            Column("Budget is"),
        ],
        [
            (
                name,
                it.amount_usd,
                *(
                    (
                        it.forecast_amount_usd,
                        it.forecast_low_amount_usd,
                        it.forecast_high_amount_usd,
                    )
                    if it.is_final or it.through_day
                    else (None, None, None)
                ),
                it.budget_usd,
                sentences.BUDGET_STATES.get(it.budget_state or "", style.MISSING),
            )
            for name, it in zip(names, found, strict=True)
        ],
    )
    return Chapter(
        "organizations",
        "Organizations",
        sentences.share_of_first("organization", names, amounts, sum(amounts, ZERO)),
        [cost_figure("organizations", "Cost per organization", names, amounts, [table])],
    )


def people(marts: Marts) -> Chapter | Omitted:
    """Show who caused the cost: people, keys, service accounts."""
    found = marts.actors()
    if not found:
        return Omitted("People", "There is no cost in this month.")
    total = sum((it.amount_usd for it in found), ZERO)
    names = ["Not known" if it.actor_id is None else it.name for it in found]
    kinds = [sentences.ACTOR_KINDS.get(it.actor_type or "", "not known") for it in found]
    rows = [
        (style.clean(name), kind, it.amount_usd, it.list_amount_usd, ratio(it.amount_usd, total))
        for name, kind, it in zip(names, kinds, found, strict=True)
    ]
    columns = [Column("Who"), Column("Kind"), COST, LIST, SHARE]
    return Chapter(
        "people",
        "People",
        sentences.people(found),
        [
            cost_figure(
                "people",
                "Cost per person, key and service account",
                [
                    style.clean(name)
                    if kind in {"person", "not known"}
                    else f"{style.clean(name, 40)} ({kind})"
                    for name, kind in zip(names, kinds, strict=True)
                ],
                [it.amount_usd for it in found],
                [cut(Table(columns, rows), sums=(2, 3, 4))],
                rest=["Not known"],
            )
        ],
    )


def teams(marts: Marts, known: Mapping[str, str]) -> Chapter | Omitted:
    """Show the cost per team; teams overlap."""
    own = [it for it in marts.teams() if it.amount_usd and it.team_id is not None]
    with_teams = {it.organization_id for it in own}
    found = [it for it in marts.teams() if it.amount_usd and it.organization_id in with_teams]
    if not own:
        return Omitted(
            "Teams",
            "No team has cost in this month. Teams are the groups of Claude Enterprise.",
        )
    names = [_team_name(it, known, several=len(with_teams) > 1) for it in found]
    table = Table(
        [
            Column("Team"),
            COST,
            Column("Members", "count"),
            Column("of them active", "count"),
            Column("Membership"),
        ],
        [
            (
                name,
                it.amount_usd,
                *((it.members, it.active_members) if it.team_id else (None, None)),
                {"day_of_use": "on the day of use", "present": "present"}.get(it.membership, ""),
            )
            for name, it in zip(names, found, strict=True)
        ],
    )
    return Chapter(
        "teams",
        "Teams",
        sentences.teams(own),
        [
            cost_figure(
                "teams",
                "Cost per team",
                names,
                [it.amount_usd for it in found],
                [cut(table)],
                rest=[name for name, it in zip(names, found, strict=True) if it.team_id is None],
            )
        ],
        ["Teams overlap: a person in two teams counts in both. Do not add them up."],
    )


def _team_name(it: Team, known: Mapping[str, str], *, several: bool) -> str:
    name = style.clean(it.team_name, 48) if it.team_id else "In no team"
    return f"{name}, {known[it.organization_id]}" if several else name


def api_keys(marts: Marts, *, is_newest: bool) -> Chapter | Omitted:
    """Show the cost per API key, and how many active keys are not used."""
    found = marts.api_keys()
    if not found:
        return Omitted("API keys", "No API key has cost in this month.")
    total = sum((it.amount_usd for it in found), ZERO)
    names = [style.clean(it.name) for it in found]
    rows = [
        (
            name,
            it.status or style.MISSING,
            style.clean(it.owner_name) if it.owner_name else style.MISSING,
            it.last_day,
            it.amount_usd,
            it.list_amount_usd,
        )
        for name, it in zip(names, found, strict=True)
    ]
    columns = [Column("API key"), Column("Status now"), Column("Owner"), Column("Last use", "day")]
    unused = marts.unused_keys() if is_newest else 0
    return Chapter(
        "keys",
        "API keys",
        sentences.share_of_first(
            "API key", names, [it.amount_usd for it in found], total, "the cost of all keys"
        ),
        [
            cost_figure(
                "keys",
                "Cost per API key",
                names,
                [it.amount_usd for it in found],
                [cut(Table([*columns, COST, LIST], rows), sums=(4, 5))],
            )
        ],
        [sentences.unused_keys(unused)] if unused else [],
    )


def workspaces(marts: Marts) -> Chapter | Omitted:
    """Show the cost per workspace."""
    found = marts.workspaces()
    if not found:
        return Omitted(
            "Workspaces", "No workspace has cost in this month. Claude Enterprise has none."
        )
    total = sum((it.amount_usd for it in found), ZERO)
    names = [style.clean(it.name) for it in found]
    rows = [
        (
            name,
            it.status or style.MISSING,
            it.members,
            it.active_api_keys,
            it.amount_usd,
            it.list_amount_usd,
        )
        for name, it in zip(names, found, strict=True)
    ]
    columns = [
        Column("Workspace"),
        Column("Status now"),
        Column("Members", "count"),
        Column("Active keys", "count"),
    ]
    amounts = [it.amount_usd for it in found]
    return Chapter(
        "workspaces",
        "Workspaces",
        sentences.share_of_first("workspace", names, amounts, total, "the cost of all workspaces"),
        [
            cost_figure(
                "workspaces",
                "Cost per workspace",
                names,
                amounts,
                [cut(Table([*columns, COST, LIST], rows), sums=(4, 5))],
            )
        ],
    )
