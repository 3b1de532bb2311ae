"""How often a month ends within the range that claude_forecast has given."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from demo.meltano import ROOT
from simulator.facts import Facts
from tests.e2e.dbt import Dbt, install
from tests.e2e.raw_tables import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MONTHS = 100
AFTER_DAYS = (10, 15, 20, 25)
"""Days of the month that are complete when it is forecast."""
HISTORY = dt.timedelta(days=56)
COLUMNS = (
    "row_id",
    "organization_type",
    "organization_id",
    "bucket_width",
    "starting_at",
    "amount_usd",
    "is_complete",
    "extracted_at",
)


def month_of(number: int) -> tuple[dt.date, dt.date]:
    """Return first and last day of a month: different ones, so that they begin on any weekday."""
    year, month = 2026, 3 + number % 8
    return dt.date(year, month, 1), dt.date(year, month, calendar.monthrange(year, month)[1])


def costs(number: int) -> dict[dt.date, Decimal]:
    """Return the dollars per day of a simulated organization: a month, and the 8 weeks before.

    Some work on weekdays only, others at weekends, too; large and small ones.
    """
    first, last = month_of(number)
    start = first - HISTORY
    facts = Facts(
        seed=number,
        first_day=start,
        today=last,
        breadth=(8, 24)[number % 2],
        enterprise=number % 3 == 0,
        weekends=(0, 0.2, 0.5, 1)[number % 4],
    )
    days = (start + dt.timedelta(n) for n in range((last - start).days + 1))
    return {
        day: sum(
            (line.amount for fact in facts.day(day) for line in fact.costs if line.cost_type),
            Decimal(0),
        )
        / 100
        for day in days
    }


def raw_rows(months: dict[int, dict[dt.date, Decimal]]) -> Iterator[dict[str, Any]]:
    """Yield Singer messages: per month and number of AFTER_DAYS, an organization of its own."""
    schema: dict[str, Any] = {"properties": {name: {} for name in COLUMNS}}
    yield {
        "type": "SCHEMA",
        "stream": "analytics_cost",
        "schema": schema,
        "key_properties": ["row_id"],
    }
    for number, days in months.items():
        first, _ = month_of(number)
        for after in AFTER_DAYS:
            until = first + dt.timedelta(after)
            for day, amount in days.items():
                if until - HISTORY <= day < until:
                    record = {
                        "row_id": f"{number}-{after}-{day}",
                        "organization_type": "console",
                        "organization_id": f"{number}-{after}",
                        "bucket_width": "1d",
                        "starting_at": f"{day}T00:00:00Z",
                        "amount_usd": format(amount, "f"),
                        "is_complete": True,
                        "extracted_at": f"{until}T01:00:00Z",
                    }
                    yield {"type": "RECORD", "stream": "analytics_cost", "record": record}


@pytest.mark.slow
@pytest.mark.long
def test_four_of_five_months_end_within_the_range(tmp_path: Path) -> None:
    install()
    months = {number: costs(number) for number in range(MONTHS)}
    path = tmp_path / "months.duckdb"
    with duckdb.connect(str(path)) as database:
        load(database, "claude", raw_rows(months))
    Dbt(tmp_path / "dbt").run("run", "--select", "+claude_forecast", target="duckdb", database=path)
    with duckdb.connect(str(path), read_only=True) as database:
        forecasts = {
            id_: (low, high)
            for id_, low, high in database.execute(
                "select organization_id, forecast_low_amount_usd, forecast_high_amount_usd"
                " from claude_marts.claude_forecast where days_left > 0"
            ).fetchall()
        }
    assert len(forecasts) == MONTHS * len(AFTER_DAYS)
    inside = dict.fromkeys(AFTER_DAYS, 0)
    for number, days in months.items():
        first, _ = month_of(number)
        total = sum((usd for day, usd in days.items() if day >= first), Decimal(0))
        for after in AFTER_DAYS:
            low, high = forecasts[f"{number}-{after}"]
            inside[after] += low <= total <= high
    assert min(inside.values()) >= 80, inside
    page = (ROOT / "docs" / "marts.md").read_text()
    shown = re.findall(r"^\| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert {int(after): int(count) for after, count in shown} == inside
