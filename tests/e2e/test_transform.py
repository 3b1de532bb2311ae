"""The dbt package: its marts come to what has happened in the simulated organizations.

Some customers are loaded twice into DuckDB: in between, the past was restated, rows were deleted,
and people were renamed or have left. One build holds all of them; with --customers 15, they are 20
organizations. The long tests build the same rows in PostgreSQL, and from append-only tables.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import random
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest
from filelock import FileLock

from simulator import claude_code
from simulator.console_reports import DELAY
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY
from tests.conftest import RECENT, days_ago, environment, simulated
from tests.e2e.dbt import MARTS, Dbt, install
from tests.e2e.raw_tables import load
from tests.e2e.test_targets import executable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from demo.postgres import Server
    from simulator.facts import Facts
    from simulator.server import Simulator

DAYS = 66
START = days_ago(DAYS - 1, RECENT)
KEYS = {
    "console": {"admin_api_key": ADMIN_KEY, "access_token": ACCESS_TOKEN},
    "enterprise": {"analytics_api_key": ANALYTICS_KEY},
}
TEAM_REPORTS = [
    {"name": f"{kind}_by_team", "report": f"analytics_{kind}", "group_by": ["rbac_group_id"]}
    for kind in ("cost", "usage")
]
SCHEMAS = ("claude_a", "claude_b")
VARIABLES = {
    "claude_schemas": list(SCHEMAS),
    "claude_budgets": [{"name": "Everything", "amount_usd": "1000.01"}],
    "claude_seat_price_usd": {"default": 30, "owner": "60.5"},
}

Row = dict[str, Any]
Messages = list[Row]


# -- customers


@dataclass
class Customer:
    """A simulated customer, what its credentials reach, and what two runs of the tap have sent."""

    simulator: Simulator
    schema: str
    kinds: tuple[str, ...]
    runs: list[Path]

    @property
    def organizations(self) -> list[Facts]:
        facts = {"console": self.simulator.facts, "enterprise": self.simulator.enterprise}
        return [facts[kind] for kind in self.kinds]


def make_customer(number: int, folder: Path) -> Customer:
    """Read a customer twice. The first has both kinds of organization, later ones one or both.

    The first customers have the same people, workspaces and keys, and share a schema. What is
    already in the folder, which other files of tests share, is not read again.
    """
    rng = random.Random(number)  # noqa: S311
    kinds = (("console", "enterprise"), ("console",), ("enterprise",))[number % 3]
    with simulated(
        DAYS,
        breadth=rng.choice((3, 5, 8)),
        seed=2 * number,
        shared_people=number < 3,
        now=RECENT,
        repeat_rows=number % 2 == 1,
    ) as simulator:
        schema = SCHEMAS[0] if number < 2 else SCHEMAS[number % 2]
        customer = Customer(simulator, schema, kinds, [])
        with FileLock(folder / f"{number}.lock"):
            state = _read(customer, folder / f"{number}-0.jsonl", number)
            simulator.facts.revision = simulator.enterprise.revision = 1
            for directory in simulator.directories.values():
                directory.users = directory.users[1:]
            _read(customer, folder / f"{number}-1.jsonl", number, state)
    return customer


def _read(customer: Customer, out: Path, number: int, state: str = "") -> str:
    """Run the tap into a file, unless it is there; return the last state."""
    customer.runs.append(out)
    if not out.exists():
        _run(customer, out, number, state)
    last = json.loads(out.read_text().splitlines()[-1])
    assert last["type"] == "STATE"
    return json.dumps(last["value"])


def _run(customer: Customer, out: Path, number: int, state: str) -> None:
    config = {
        "base_url": customer.simulator.url,
        "requests_per_minute": 0,
        "start_date": START,
        "end_date": RECENT.isoformat(),
        "lookback_days": 30,
        # A table with several organizations is not one run's to activate.
        "emit_activate_version_messages": False,
        "reports": TEAM_REPORTS if number % 2 == 0 else [],
        **({"organization_label": f"Customer {number}"} if number else {}),
    }
    for kind in customer.kinds:
        config |= KEYS[kind]
    command = [sys.executable, "-m", "tap_claude"]
    for option, content in {"config": json.dumps(config), "state": state}.items():
        if content:
            path = out.with_suffix(f".{option}.json")
            path.write_text(content)
            command += [f"--{option}", str(path)]
    part = out.with_suffix(".part")
    with part.open("wb") as stdout:
        done = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, env=environment(), check=False
        )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    part.rename(out)


def messages(path: Path) -> Messages:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- what has happened


@functools.cache
def truth(facts: Facts) -> dict[str, Decimal | int]:
    """Return what has happened in an organization, from the simulator alone."""
    start = dt.datetime.fromisoformat(START)
    found: dict[str, Decimal | int] = defaultdict(Decimal)
    for fact in facts.between(start, RECENT - DELAY):
        lines = [line for line in fact.costs if line.cost_type]
        cents = sum((line.amount for line in lines), Decimal(0))
        actor = fact.actor
        is_person = actor is not None and actor.type == "user_actor"
        # The API does not name them.
        is_person &= actor is not None and actor.id not in facts.cast.ghosts
        found["cost"] += cents / 100
        found["list"] += sum((line.list_amount for line in lines), Decimal(0)) / 100
        found["bill"] += sum((line.amount for line in fact.costs), Decimal(0)) / 100
        found["tokens"] += sum(fact.counters[:5])
        found["teams"] += (len(fact.rbac_group_ids) or 1) * cents / 100
        for name, applies in (
            ("people", is_person),
            ("keys", fact.api_key_id is not None),
            ("workspaces", fact.workspace_id is not None),
            ("claude_code", fact.product == "claude_code"),
        ):
            found[name] += cents / 100 if applies else 0
    if not facts.enterprise:
        for day in range(DAYS):
            for sitting in claude_code.sittings(facts, start.date() + dt.timedelta(day)):
                if sitting.moment < RECENT - claude_code.DELAY:
                    found["lines"] += sitting.counters[1]
    return found


# Of each mart: column, rows, kinds of organization, and what it should come to.
BOTH = ("console", "enterprise")
TOTALS = (
    ("claude_cost", "amount_usd", "true", BOTH, "cost"),
    ("claude_cost", "list_amount_usd", "true", BOTH, "list"),
    ("claude_usage", "total_tokens", "true", BOTH, "tokens"),
    ("claude_daily", "amount_usd", "true", BOTH, "cost"),
    ("claude_daily", "list_amount_usd", "true", BOTH, "list"),
    ("claude_daily", "total_tokens", "true", BOTH, "tokens"),
    ("claude_forecast", "amount_usd", "true", BOTH, "cost"),
    ("claude_budgets", "amount_usd", "source = 'variable'", BOTH, "cost"),
    ("claude_models", "amount_usd", "true", BOTH, "cost"),
    ("claude_models", "total_tokens", "true", BOTH, "tokens"),
    ("claude_people", "amount_usd", "true", BOTH, "people"),
    ("claude_api_keys", "amount_usd", "true", ("console",), "keys"),
    ("claude_workspaces", "amount_usd", "true", ("console",), "workspaces"),
    ("claude_teams", "amount_usd", "membership = 'day_of_use'", ("enterprise",), "teams"),
    ("claude_code_people", "amount_usd", "true", BOTH, "claude_code"),
    ("claude_code_people", "lines_of_code_added", "true", ("console",), "lines"),
    ("claude_reconciliation", "amount_usd", "true", ("console",), "cost"),
    ("claude_reconciliation", "cost_report_amount_usd", "true", ("console",), "bill"),
    ("claude_reconciliation", "difference_amount_usd", "true", ("console",), "nothing"),
)


# -- databases


@dataclass
class Built:
    """The marts of the customers in DuckDB."""

    customers: Sequence[Customer]
    database: duckdb.DuckDBPyConnection


def rows(database: Any, mart: str, schema: str = "claude_marts") -> list[tuple[Any, ...]]:
    """Return the rows of a mart in an order of their own, with numbers that compare as text."""
    cursor = database.execute(f"select * from {schema}.{mart}")
    names = [column[0] for column in cursor.description]
    return [tuple(names), *sorted(tuple(map(_text, row)) for row in cursor.fetchall())]


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return str(value)


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    install()
    return Dbt(tmp_path_factory.mktemp("dbt"), VARIABLES)


def load_postgres(customer: Customer, server: Server, database: str, folder: Path) -> None:
    config = folder / f"target-{database}-{customer.schema}.json"
    dsn = server.dsn.replace("@/postgres?", f"@/{database}?")
    settings = {"sqlalchemy_url": dsn, "default_target_schema": customer.schema}
    config.write_text(json.dumps(settings | {"load_method": "upsert", "validate_records": False}))
    for run in customer.runs:
        with run.open("rb") as stdin:
            done = subprocess.run(
                [str(executable("target-postgres")), "--config", str(config)],
                stdin=stdin,
                capture_output=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr.decode()[-3000:]


def load_duckdb(customers: Iterable[Customer], path: Path, *, append: bool = False) -> None:
    with duckdb.connect(str(path)) as database:
        for customer in customers:
            for run in customer.runs:
                load(database, customer.schema, messages(run), append=append)


def build(dbt: Dbt, server: Server, database: str, *command: str) -> str:
    """Run a command of dbt on a database of PostgreSQL; return what it printed."""
    return dbt.run(
        *command, target="postgres", CLAUDE_DBT_HOST=server.host, CLAUDE_DBT_DBNAME=database
    )


def create_database(server: Server, name: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())


def connect(server: Server, name: str) -> psycopg.Connection:
    return psycopg.connect(server.dsn.replace("@/postgres?", f"@/{name}?"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("databases")


@pytest.fixture(scope="module")
def built(
    request: pytest.FixtureRequest, dbt: Dbt, folder: Path, messages_folder: Path
) -> Iterator[Built]:
    count = request.config.getoption("--customers")
    customers = [make_customer(number, messages_folder) for number in range(count)]
    path = folder / "replaced.duckdb"
    load_duckdb(customers, path)
    dbt.run("build", target="duckdb", database=path)
    with duckdb.connect(str(path), read_only=True) as database:
        yield Built(customers, database)


# -- the marts


@pytest.mark.slow
def test_each_mart_comes_to_what_has_happened(built: Built) -> None:
    happened = {
        facts.organization.id: (facts, truth(facts))
        for customer in built.customers
        for facts in customer.organizations
    }
    for mart, column, condition, kinds, measure in TOTALS:
        expected = {
            id_: found[measure] if measure != "nothing" else Decimal(0)
            for id_, (facts, found) in happened.items()
            if ("enterprise" if facts.enterprise else "console") in kinds
        }
        if mart == "claude_teams":
            expected = {
                facts.organization.id: expected[facts.organization.id]
                for customer in built.customers[::2]
                for facts in customer.organizations
                if facts.enterprise
            }
        query = f"""
            select organization_id, sum({column}) from claude_marts.{mart}
            where {condition} and organization_type in {(*kinds, "")} group by 1
        """
        assert dict(built.database.execute(query).fetchall()) == expected, (mart, column)


@pytest.mark.slow
def test_the_focus_table_is_the_bill(built: Built) -> None:
    """The bill of a Console organization has credits; reports of Claude Enterprise have none."""
    expected = {}
    for customer in built.customers:
        for facts in customer.organizations:
            found = truth(facts)
            billed = found["cost" if facts.enterprise else "bill"]
            expected[facts.organization.id] = (billed, found["list"], found["tokens"])
    query = """
        select
            "BillingAccountId",
            sum("BilledCost"),
            sum(case when "ChargeCategory" = 'Usage' then "ListCost" end),
            sum(case when "ConsumedUnit" = 'Tokens' then "ConsumedQuantity" end)
        from claude_marts.claude_focus
        group by 1
    """
    assert {id_: tuple(of) for id_, *of in built.database.execute(query).fetchall()} == expected


def assert_same_marts(found: Any, expected: Any) -> None:
    for mart in MARTS:
        pairs = zip(rows(found, mart), rows(expected, mart), strict=True)
        # Not one comparison: pytest would compute the difference of all rows, for hours.
        differ = [pair for pair in pairs if pair[0] != pair[1]]
        assert not differ[:1], (mart, len(differ))


@pytest.mark.slow
def test_no_mart_is_empty(built: Built) -> None:
    assert [mart for mart in MARTS if len(rows(built.database, mart)) == 1] == []


@pytest.mark.long
def test_postgresql_agrees_row_for_row(
    built: Built, dbt: Dbt, server: Server, folder: Path
) -> None:
    create_database(server, "transform")
    for customer in built.customers:
        load_postgres(customer, server, "transform", folder)
    build(dbt, server, "transform", "build")
    with connect(server, "transform") as postgres:
        assert_same_marts(postgres, built.database)


@pytest.mark.long
def test_tables_that_both_runs_were_appended_to_give_the_same_rows(
    built: Built, dbt: Dbt, folder: Path
) -> None:
    path = folder / "appended.duckdb"
    load_duckdb(built.customers, path, append=True)
    dbt.run("run", target="duckdb", database=path)
    with duckdb.connect(str(path), read_only=True) as appended:
        assert_same_marts(appended, built.database)


@pytest.mark.slow
def test_people_have_the_names_that_they_have_now(built: Built) -> None:
    """With the second run, one person has a new name and another one has left."""
    for customer in built.customers:
        for facts in customer.organizations:
            kind = "E" if facts.enterprise else "A"
            directory = {u["id"]: u["name"] for u in customer.simulator.directories[kind].users}
            found = built.database.execute(
                "select person_id, person_name, is_member from claude_marts.claude_people"
                f" where organization_id = '{facts.organization.id}'"
            ).fetchall()
            assert {id_: name for id_, name, is_member in found if is_member} == directory
            assert len({id_ for id_, *_ in found}) == len(found)


@pytest.mark.slow
def test_every_column_of_a_mart_is_described(built: Built, dbt: Dbt) -> None:
    manifest = json.loads((dbt.folder / "duckdb" / "manifest.json").read_text())
    for mart in MARTS:
        node = manifest["nodes"][f"model.claude.{mart}"]
        described = [name for name, column in node["columns"].items() if column["description"]]
        assert node["description"], mart
        assert described == list(rows(built.database, mart)[0]), mart
