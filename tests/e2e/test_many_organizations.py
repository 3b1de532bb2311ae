"""Many customers in one schema of PostgreSQL, loaded in parallel: their rows stay separate.

Each customer has a tap, a target-postgres and a state of its own. All of them have the same people,
workspaces and keys, so only the organization distinguishes their rows.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from simulator import claude_code
from simulator.console_reports import DELAY
from simulator.server import ADMIN_KEY, ANALYTICS_KEY
from tests.conftest import RECENT, days_ago, environment, only, simulated, tap_command
from tests.e2e.test_targets import VIEWS, executable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from demo.postgres import Server
    from simulator.facts import Facts
    from simulator.server import Simulator

COUNT = 5
SIDE_BY_SIDE = 4
DAYS = 6
BREADTH = 4
FIRST_NIGHT, SECOND_NIGHT = RECENT - dt.timedelta(days=2), RECENT
START = days_ago(DAYS - 1, FIRST_NIGHT)

# Customers by number. The first two have both kinds of organization; every second one of the
# others is a Claude Enterprise organization.
BOTH = (0, 1)
KILLED_IN_THE_FIRST_NIGHT = 2
KILLED_IN_THE_SECOND_NIGHT = 1
RESTATED = (KILLED_IN_THE_SECOND_NIGHT, 4)
# Where a run is killed: some streams are finished, one is in the middle, some have not begun.
# The rest is larger than the buffer of a pipe.
KILLED_IN_STREAM, KILLED_AT_RECORD = b'"stream":"cost_report"', 5

# The sum of each table.
MEASURES = {
    "analytics_cost": "sum(amount_usd)",
    "analytics_usage": "sum(total_tokens)",
    "claude_code_usage": "sum(lines_of_code_added)",
    "cost_report": "sum(amount_usd)",
    "messages_usage": "sum(uncached_input_tokens + cache_read_input_tokens + output_tokens"
    " + cache_creation_ephemeral_5m_input_tokens + cache_creation_ephemeral_1h_input_tokens)",
    "users": "count(*)",
}
TABLES = (*MEASURES, "report_buckets")
RESTATED_TABLES = tuple(table for table in MEASURES if table != "claude_code_usage")


# -- customers


@dataclass
class Customer:
    """A simulated customer, and the state after its last run."""

    simulator: Simulator
    config: dict[str, Any]
    folder: Path
    state: dict[str, Any] | None = None

    @property
    def organizations(self) -> dict[str, Facts]:
        """Return the facts of each organization that the credentials can read, by its id."""
        kinds = {
            "admin_api_key": self.simulator.facts,
            "analytics_api_key": self.simulator.enterprise,
        }
        return {facts.organization.id: facts for key, facts in kinds.items() if key in self.config}

    def users(self, facts: Facts) -> list[dict[str, Any]]:
        return self.simulator.directories["E" if facts.enterprise else "A"].users


def make_customer(number: int, folder: Path, stack: ExitStack) -> Customer:
    # Claude Enterprise has the seed after the Console's.
    simulator = stack.enter_context(
        simulated(DAYS, breadth=BREADTH, seed=2 * number, shared_people=True, now=FIRST_NIGHT)
    )
    if number in BOTH:
        keys = {"admin_api_key": ADMIN_KEY, "analytics_api_key": ANALYTICS_KEY}
    elif number % 2:
        keys = {"analytics_api_key": ANALYTICS_KEY}
    else:
        keys = {"admin_api_key": ADMIN_KEY}
    config = {
        **keys,
        "base_url": simulator.url,
        "requests_per_minute": 0,
        "start_date": START,
        "organization_label": f"customer-{number}",
        "emit_activate_version_messages": False,
    }
    own = folder / f"customer-{number}"
    own.mkdir()
    return Customer(simulator, config, own)


def restate(customer: Customer) -> None:
    """Change the customer's past, and remove a user from each organization."""
    for facts in customer.organizations.values():
        facts.revision = 1
        customer.users(facts).pop(0)


# -- runs


def run_command(customer: Customer, tables: Sequence[str]) -> list[str]:
    config = customer.config | {"end_date": customer.simulator.now.isoformat()}
    catalog = only(config, *tables)
    return tap_command(customer.folder, config=config, catalog=catalog, state=customer.state)


def load(
    customer: Customer,
    target_config: Path,
    *,
    tables: Sequence[str] = TABLES,
    kill: bool = False,
) -> None:
    """Pipe the tap into the target, and keep the state that the target prints.

    With ``kill`` the tap is killed in the middle; its output so far is loaded.
    """
    target_command = [str(executable("target-postgres")), "--config", str(target_config)]
    log_path = customer.folder / "log"
    with (
        log_path.open("ab") as log,
        subprocess.Popen(
            run_command(customer, tables), stdout=subprocess.PIPE, stderr=log, env=environment()
        ) as tap,
        subprocess.Popen(
            target_command,
            stdin=subprocess.PIPE if kill else tap.stdout,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as target,
    ):
        assert tap.stdout is not None
        if kill:
            assert target.stdin is not None
            records = 0
            while records < KILLED_AT_RECORD:
                line = tap.stdout.readline()
                target.stdin.write(line)
                records += b'"type":"RECORD"' in line and KILLED_IN_STREAM in line
                assert line, log_path.read_text()[-4000:]
            tap.kill()
        tap.stdout.close()
        printed, _ = target.communicate()
    codes = (tap.returncode, target.returncode)
    assert codes == (-signal.SIGKILL if kill else 0, 0), log_path.read_text()[-4000:]
    customer.state = json.loads(printed.splitlines()[-1])


def load_all(
    customers: Sequence[Customer], target_config: Path, *, killed: Sequence[Customer] = ()
) -> None:
    """Load customers in parallel; a killed run is started again."""

    def night(customer: Customer) -> None:
        if customer in killed:
            load(customer, target_config, kill=True)
        load(customer, target_config)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(night, customers))


# -- expected and loaded sums


def truth(customers: Sequence[Customer]) -> dict[str, dict[str, Decimal | int]]:
    """Return the expected sum of each table for each organization."""
    expected: dict[str, dict[str, Decimal | int]] = {table: {} for table in MEASURES}
    start = dt.datetime.fromisoformat(START)
    for customer in customers:
        now = customer.simulator.now
        for id_, facts in customer.organizations.items():
            happened = list(facts.between(start, now - DELAY))
            charged = [line for fact in happened for line in fact.costs]
            tokens = sum(sum(fact.counters[:5]) for fact in happened)
            # analytics_cost has no credits
            spent = sum((line.amount for line in charged if line.cost_type), Decimal(0))
            expected["analytics_cost"][id_] = spent / 100
            expected["analytics_usage"][id_] = tokens
            expected["users"][id_] = len(customer.users(facts))
            if not facts.enterprise:
                billed = sum((line.amount for line in charged), Decimal(0))
                expected["cost_report"][id_] = billed / 100
                expected["messages_usage"][id_] = tokens
                expected["claude_code_usage"][id_] = sum(
                    sitting.counters[1]
                    for day in range((now - start).days + 1)
                    for sitting in claude_code.sittings(facts, start.date() + dt.timedelta(day))
                    if sitting.moment < now - claude_code.DELAY
                )
    return expected


def sums(database: psycopg.Connection, view: str = "{}") -> dict[str, dict[str, Decimal | int]]:
    """Return the sum of each table for each organization."""
    return {
        table: dict(
            query_rows(
                database,
                f"select organization_id, {measure} from {view.format(table)} group by 1",
            )
        )
        for table, measure in MEASURES.items()
    }


def create_views(database: psycopg.Connection) -> None:
    names = "|".join(TABLES)
    for statement in VIEWS["postgres"].split(";\n"):
        if re.search(rf"^create view current_({names}) as$", statement, re.MULTILINE):
            database.execute(statement.encode())


def query_rows(database: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


def assert_no_key_is_shared(database: psycopg.Connection, table: str) -> None:
    columns = {
        name
        for (name,) in query_rows(
            database,
            "select attname from pg_index join pg_attribute"
            " on attrelid = indrelid and attnum = any(indkey)"
            f" where indisprimary and indrelid = '{table}'::regclass",
        )
    }
    assert columns == ({"organization_id", "id"} if table == "users" else {"row_id"})
    shared = f"group by {', '.join(columns)} having count(distinct organization_id) > 1"
    assert not query_rows(database, f"select 1 from {table} {shared}")


# -- the tests


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def schema(
    name: str, server: Server, folder: Path, stack: ExitStack
) -> tuple[psycopg.Connection, Path]:
    """Return a connection to a schema, and a configuration of the target that loads into it."""
    config = folder / "target.json"
    settings = {"sqlalchemy_url": server.dsn, "default_target_schema": name}
    # Other tests check the schemas; here it would take a fifth of the target's time.
    config.write_text(json.dumps(settings | {"validate_records": False}))
    connection = psycopg.connect(server.dsn, autocommit=True, options=f"-c search_path={name}")
    return stack.enter_context(connection), config


def test_customers_share_a_schema_but_no_rows(
    server: Server, stack: ExitStack, tmp_path: Path
) -> None:
    database, target_config = schema("everybody", server, tmp_path, stack)
    customers = [make_customer(number, tmp_path, stack) for number in range(COUNT)]
    owners = {id_: customer for customer in customers for id_ in customer.organizations}
    assert len(owners) == COUNT + len(BOTH)

    # One customer creates the tables first: if two targets create the same table at the
    # same time, one of them fails.
    load(customers[0], target_config)
    load_all(customers[1:], target_config, killed=[customers[KILLED_IN_THE_FIRST_NIGHT]])
    create_views(database)
    assert sums(database) == sums(database, "current_{}") == truth(customers)

    for customer in customers:
        customer.simulator.stopped_clock = SECOND_NIGHT
    restated = [customers[number] for number in RESTATED]
    for customer in restated:
        restate(customer)
    load_all(customers, target_config, killed=[customers[KILLED_IN_THE_SECOND_NIGHT]])
    expected = truth(customers)
    assert sums(database, "current_{}") == expected

    # The views hide rows of the restated organizations only.
    everything = sums(database)
    for table in RESTATED_TABLES:
        hidden = {id_ for id_, found in everything[table].items() if found != expected[table][id_]}
        assert hidden == {id_ for c in restated for id_ in c.organizations} & set(expected[table])
    assert everything["claude_code_usage"] == expected["claude_code_usage"]

    # The same people are in many organizations; those who left one are still in the others.
    people = query_rows(database, "select organization_id, id from current_users")
    assert set(people) == {
        (id_, user["id"])
        for id_, customer in owners.items()
        for user in customer.users(customer.organizations[id_])
    }
    assert len({user for _, user in people}) < len(people) / (COUNT / 2)
    assert not query_rows(database, "select 1 from users where _sdc_deleted_at is not null")

    for table in TABLES:
        assert_no_key_is_shared(database, table)
        named = query_rows(
            database, f"select distinct organization_id, organization_label from {table}"
        )
        assert set(named) == {
            (id_, owners[id_].config["organization_label"]) for id_ in expected.get(table, owners)
        }
    for table in MEASURES:
        rows = f"select organization_id, count(*) from current_{table} group by 1"
        logged = (
            "select organization_id, sum(row_count) from current_report_buckets"
            f" where stream = '{table}' group by 1"
        )
        assert dict(query_rows(database, rows)) == dict(query_rows(database, logged))


def test_with_activate_version_each_run_marks_the_users_of_the_others(
    server: Server, stack: ExitStack, tmp_path: Path
) -> None:
    """This is why a shared schema needs ``emit_activate_version_messages: false``."""
    database, target_config = schema("activated", server, tmp_path, stack)
    customers = [make_customer(number, tmp_path, stack) for number in (2, 4)]
    for customer in customers:
        customer.config["emit_activate_version_messages"] = True
        load(customer, target_config, tables=("users",))
    first, second = (id_ for customer in customers for id_ in customer.organizations)
    found = query_rows(
        database,
        "select organization_id, bool_and(_sdc_deleted_at is not null) from users group by 1",
    )
    assert dict(found) == {first: True, second: False}
