"""The chapters of the page, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_report import control, what, who

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_report.layout import Chapter, Omitted
    from claude_report.marts import Marts


def chapters(
    marts: Marts, names: Mapping[str, str], *, is_newest: bool
) -> Iterator[Chapter | Omitted]:
    """Yield the chapters, each when it is made.

    Args:
        marts: the data.
        names: the names of the organizations by id.
        is_newest: whether the month is the newest one; what is known only as it is now belongs
            to that month.
    """
    if organizations := who.organizations(marts, names):
        yield organizations
    yield who.people(marts)
    yield who.teams(marts, names)
    yield who.api_keys(marts, is_newest=is_newest)
    yield who.workspaces(marts)
    yield what.models(marts, names)
    yield what.cache(marts)
    yield what.code(marts)
    yield control.budgets(marts, names)
    yield control.limits(marts, is_newest=is_newest)
    yield control.seats(marts, is_newest=is_newest)
    yield control.anomalies(marts)
    yield control.bill(marts)
