"""claude_focus from what one credential or other reports reach, and FOCUS' validator on it."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from filelock import FileLock

from demo.meltano import ROOT
from focus.validator import validate
from simulator.console_reports import DELAY
from simulator.server import ANALYTICS_KEY
from tests.conftest import RECENT, days_ago, environment, settings, simulated
from tests.e2e.dbt import Dbt, install
from tests.e2e.raw_tables import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from simulator.facts import Facts

pytestmark = [pytest.mark.slow, pytest.mark.long]

DAYS = 40
START = days_ago(DAYS - 1, RECENT)
TIERS = ["service_tier", "context_window", "inference_geo", "speed", "model"]
REPORTS = [
    {"name": "usage_by_tier", "report": "analytics_usage", "group_by": TIERS},
    {
        "name": "cost_by_tier",
        "report": "analytics_cost",
        "group_by": [*TIERS, "cost_type", "token_type"],
    },
]
CONSOLE_REPORTS = ["cost_report", "messages_usage", "workspaces", "organization"]

PAGE = (ROOT / "docs" / "focus.md").read_text()

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Loaded:
    """A simulated customer with both kinds of organization, in DuckDB."""

    console: Facts
    enterprise: Facts
    path: Path
    dbt: Dbt

    def build(self, **variables: Any) -> None:
        """Build the table, and run its tests in dbt."""
        command = ("build", "--select", "+claude_focus", "--indirect-selection", "cautious")
        dbt = Dbt(self.dbt.folder / ("_".join(variables) or "usual"), variables)
        dbt.run(*command, target="duckdb", database=self.path)

    def rows(self, query: str) -> list[Row]:
        with duckdb.connect(str(self.path)) as database:
            return database.execute(query.replace("FOCUS", "claude_marts.claude_focus")).fetchall()

    def sums(self, column: str, condition: str = "true") -> dict[str, Decimal]:
        """Return the sum of a column by organization."""
        query = (
            f'select "BillingAccountId", sum("{column}") from FOCUS where {condition} group by 1'
        )
        return dict(self.rows(query))


def midnight(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=None)


def happened(facts: Facts) -> Iterator[Any]:
    return facts.between(dt.datetime.fromisoformat(START), RECENT - DELAY)


def bill(facts: Facts, *kinds: str | None) -> Decimal:
    """Return the dollars of these types of cost; None is a credit."""
    lines = (line for fact in happened(facts) for line in fact.costs if line.cost_type in kinds)
    return sum((line.amount for line in lines), Decimal()) / 100


def tokens(facts: Facts) -> int:
    return sum(sum(fact.counters[:5]) for fact in happened(facts))


USAGE = ("tokens", "web_search", "code_execution", "session_usage")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    install()
    folder = tmp_path_factory.mktemp("focus")
    with simulated(DAYS, breadth=6, seed=5, now=RECENT) as simulator:
        config = settings(
            simulator, start_date=START, analytics_api_key=ANALYTICS_KEY, reports=REPORTS
        )
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        done = subprocess.run(
            [sys.executable, "-m", "tap_claude", "--config", str(path)],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    warehouse = folder / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as database:
        load(database, "claude", map(json.loads, done.stdout.splitlines()))
    return Loaded(simulator.facts, simulator.enterprise, warehouse, Dbt(folder / "dbt"))


@pytest.fixture(scope="module")
def usual(loaded: Loaded) -> Loaded:
    """Build the table from everything, with the default variables, in a file of its own."""
    path = loaded.path.with_name("usual.duckdb")
    shutil.copy(loaded.path, path)
    built = replace(loaded, path=path)
    built.build()
    return built


def test_the_bill_is_that_of_cost_report_without_analytics_cost(loaded: Loaded) -> None:
    """Without analytics_usage, too, tokens are those of messages_usage, and find their cost."""
    loaded.build(claude_tables=CONSOLE_REPORTS)
    id_ = loaded.console.organization.id
    assert loaded.sums("BilledCost") == {id_: bill(loaded.console, *USAGE, None)}
    assert loaded.sums("ListCost") == loaded.sums("BilledCost")
    assert loaded.sums("ConsumedQuantity", """"ConsumedUnit" = 'Tokens'""") == {
        id_: tokens(loaded.console)
    }
    units = """select distinct "ConsumedUnit" from FOCUS where "x_CostType" = 'tokens'"""
    assert loaded.rows(units) == [("Tokens",)]


def test_days_that_analytics_cost_does_not_reach_are_those_of_cost_report(loaded: Loaded) -> None:
    """As for a Console organization with more than a year of history."""
    cut = days_ago(20, RECENT)
    with duckdb.connect(str(loaded.path)) as database:
        for table in ("analytics_cost", "analytics_usage"):
            database.execute(f"create table claude.{table}_whole as from claude.{table}")
            database.execute(f"delete from claude.{table} where starting_at < '{cut}'")
        log = "claude.report_buckets"
        database.execute(f"create table {log}_whole as from {log}")
        database.execute(
            f"delete from {log} where stream like 'analytics_%' and starting_at < '{cut}'"
        )
    try:
        loaded.build()
        id_ = loaded.console.organization.id
        assert loaded.sums("BilledCost")[id_] == bill(loaded.console, *USAGE, None)
        assert loaded.sums("ConsumedQuantity", """"ConsumedUnit" = 'Tokens'""")[id_] == tokens(
            loaded.console
        )
        # Only analytics_cost knows products.
        first_days = """
            select
                min("ChargePeriodStart"),
                min("ChargePeriodStart") filter ("x_Product" is not null)
            from FOCUS
        """
        assert loaded.rows(first_days) == [(midnight(START), midnight(cut))]
    finally:
        with duckdb.connect(str(loaded.path)) as database:
            for table in ("analytics_cost", "analytics_usage", "report_buckets"):
                database.execute(f"drop table claude.{table}")
                database.execute(f"alter table claude.{table}_whole rename to {table}")


def test_by_tier_each_price_is_one_price(loaded: Loaded) -> None:
    """By default, a unit price is a blend, and a model has as many as it has mixes."""
    loaded.build(claude_focus_by_tier=True)
    ids = [facts.organization.id for facts in (loaded.console, loaded.enterprise)]
    assert loaded.sums("BilledCost") == {
        ids[0]: bill(loaded.console, *USAGE, None),
        ids[1]: bill(loaded.enterprise, *USAGE),
    }
    prices = """
        select count(distinct "ListUnitPrice") from FOCUS
        where "x_CostType" = 'tokens' and "BilledCost" > 0
        group by "SkuPriceId"
    """
    counts = [count for (count,) in loaded.rows(prices)]
    assert len(counts) > 50
    assert set(counts) == {1}


def test_quantities_times_prices_are_costs_and_every_charge_has_a_key(usual: Loaded) -> None:
    ids = [facts.organization.id for facts in (usual.console, usual.enterprise)]
    assert usual.sums("BilledCost", """"ChargeCategory" = 'Credit'""") == {
        ids[0]: bill(usual.console, None)
    }
    off = """
        select count(*) from FOCUS
        where abs("PricingQuantity" * "ContractedUnitPrice" - "BilledCost") > 0.000000000001
            or abs("PricingQuantity" * "ListUnitPrice" - "ListCost") > 0.000000000001
    """
    assert usual.rows(off) == [(0,)]
    counts = """select count(*), count(distinct "x_ChargeId"), count("Tags") > 0 from FOCUS"""
    ((rows, keys, has_tags),) = usual.rows(counts)
    assert rows == keys > 1000
    assert has_tags
    # The statement of the page.
    statement = PAGE.partition("```sql\n")[2].partition("```")[0]
    assert sum(row[-1] for row in usual.rows(statement)) == sum(usual.sums("BilledCost").values())
    # The API does not count sessions.
    units: dict[str | None, str | None] = dict(
        usual.rows('select distinct "x_CostType", "ConsumedUnit" from FOCUS')
    )
    assert units == {
        "tokens": "Tokens",
        "web_search": "Requests",
        "code_execution": "Runs",
        "session_usage": "Charges",
        None: None,
    }


# -- the validator


@pytest.fixture(scope="module")
def validator() -> Path:
    """Return the environment of FOCUS' validator, built if it is not there."""
    with FileLock(ROOT / ".focus.lock"):
        command = ["make", "--silent", ".focus/.installed"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "Python 3.12" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return ROOT / ".focus"


def check(validator: Path, built: Loaded, folder: Path, columns: str) -> Sequence[str]:
    """Return the rules that unexpectedly fail on the columns of the table."""
    data = folder / "focus.parquet"
    built.rows(f"copy (select {columns} from FOCUS) to '{data}' (format parquet)")
    return list(validate(validator, data).unexpected)


def test_the_validator_finds_nothing_unless_something_is_wrong(
    validator: Path, usual: Loaded, tmp_path: Path
) -> None:
    assert check(validator, usual, tmp_path, "*") == []
    wrong = """* exclude ("BilledCost") replace ('Chat' as "ServiceCategory")"""
    found = check(validator, usual, tmp_path, wrong)
    assert {"CostAndUsage-D-006-M", "ServiceCategory-C-003-M"} <= set(found)


@pytest.mark.usefixtures("plugins", "validator")
def test_the_command_builds_and_validates_the_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "focus", "--days", "20", "--breadth", "12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "USD; in the simulator: " in done.stdout
    assert "1 failed, " in done.stdout
