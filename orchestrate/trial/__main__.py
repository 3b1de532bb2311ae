"""``python -m orchestrate.trial``: twenty organizations under Airflow, two nights.

In the first night the key of the last one is revoked. Everything is in ``.orchestrate``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import decimal
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from psycopg import sql

from demo.meltano import AIRFLOW, PLUGINS, ROOT, Meltano, MeltanoError
from demo.postgres import postgres
from orchestrate.trial import nights
from orchestrate.trial.airflow import AirflowError, airflow
from orchestrate.trial.customers import MEASURES, make_customer
from orchestrate.trial.gauge import Gauge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.postgres import Server
    from orchestrate.trial.airflow import Airflow
    from orchestrate.trial.customers import Customer

DIRECTORY = ROOT / ".orchestrate"
AT_A_TIME = 4
STREAMS = (*MEASURES, "claude_code_usage", "workspaces", "analytics_users", "report_buckets")
"""The streams that are loaded: reports, lists and days, so that the trial takes minutes."""


def main() -> int:
    """Run the trial; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m orchestrate.trial", description=__doc__)
    least = AT_A_TIME + 1  # one is revoked; the others are loaded at the same time
    parser.add_argument(
        "--organizations", type=int, default=20, help=f"how many, at least {least} (20)"
    )
    count = parser.parse_args().organizations
    if count < least:
        parser.error(f"--organizations: {count} are too few; at least {least} are needed")
    for number in (signal.SIGINT, signal.SIGTERM):  # exit, so that all processes are stopped
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    decimal.getcontext().prec = 60  # sums of money keep all digits
    DIRECTORY.mkdir(exist_ok=True)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    first_night, second_night = now - dt.timedelta(days=2), now - dt.timedelta(days=1)
    customers = [make_customer(number, first_night) for number in range(1, count + 1)]
    try:
        for plugins in (PLUGINS, (AIRFLOW,)):
            meltano = Meltano(DIRECTORY, {}, plugins)
            if not meltano.is_installed():
                print(f"meltano install {' '.join(plugins)} (first run only) ...", flush=True)
                meltano.install()
        with contextlib.ExitStack() as stack:
            for customer in customers:
                stack.enter_context(customer.simulator)
            server = stack.enter_context(postgres(DIRECTORY / "postgres"))
            database = stack.enter_context(psycopg.connect(server.dsn, autocommit=True))
            start_over(database, customers)
            started = time.monotonic()
            running = stack.enter_context(
                airflow(
                    DIRECTORY / "airflow-home",
                    url(server, "psycopg2", "airflow"),
                    meltano.environment | environment(server, customers),
                )
            )
            running.wait_for_dag(nights.DAG)
            print(f"Airflow has started, in {time.monotonic() - started:.0f} s.", flush=True)
            gauge = stack.enter_context(Gauge(server.dsn))
            found = try_out(running, customers, database, second_night)
    except (MeltanoError, AirflowError) as error:
        print(error)
        return 1
    print(
        f"At most: {gauge.load_mb} MB for one load, {gauge.airflow_mb} MB for Airflow; connections"
        f" to PostgreSQL: {gauge.load_connections} of all loads,"
        f" {gauge.airflow_connections} of Airflow."
    )
    print(*(f"Problem: {problem}" for problem in found), sep="\n")
    return bool(found)


def try_out(
    airflow: Airflow,
    customers: Sequence[Customer],
    database: psycopg.Connection,
    second_night: dt.datetime,
) -> list[str]:
    """Run two nights; return what is wrong."""
    airflow.create_pool(nights.DAG, AT_A_TIME)
    for customer in customers:
        airflow.set_variable(customer.secret, customer.key[1])
    revoked = customers[-1]  # so that the others are loaded at the same time, before it
    airflow.set_variable(revoked.secret, f"{revoked.key[1]}-revoked")

    first = nights.run_night(airflow, customers, database)
    print("\nThe first night", *nights.table(first), sep="\n")
    (why,) = (nights.reason(load) for load in first.loads if load.customer is revoked)
    print(f"The log of {revoked.name}: {why}", flush=True)
    found = [*nights.problems(first, at_a_time=AT_A_TIME, failing=[revoked])]

    airflow.set_variable(revoked.secret, revoked.key[1])
    for customer in customers:
        customer.simulator.stopped_clock = second_night
    second = nights.run_night(airflow, customers, database)
    print("\nThe second night, with a new key", *nights.table(second), sep="\n")
    found += nights.problems(second, at_a_time=AT_A_TIME, failing=[])
    return [*found, *nights.not_incremental(first, second)]


def start_over(database: psycopg.Connection, customers: Sequence[Customer]) -> None:
    """Drop what an earlier trial has left, and create the databases of Airflow and Meltano."""
    for name in ("airflow", "meltano"):
        for statement in ("drop database if exists {} with (force)", "create database {}"):
            database.execute(sql.SQL(statement).format(sql.Identifier(name)))
    for customer in customers:
        drop = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(customer.schema))
        database.execute(drop)


def environment(server: Server, customers: Sequence[Customer]) -> dict[str, str]:
    """Write the list of organizations; return the environment of the tasks."""
    path = DIRECTORY / "organizations.yaml"
    content: dict[str, Any] = {
        "settings": {"requests_per_minute": 0},  # the limit is for the real API
        "organizations": [customer.entry for customer in customers],
    }
    path.write_text(yaml.safe_dump(content))
    return {
        "CLAUDE_ORGANIZATIONS": str(path),
        "MELTANO_DATABASE_URI": url(server, "psycopg", "meltano"),
        "TAP_CLAUDE__SELECT": json.dumps([f"{stream}.*" for stream in STREAMS]),
        "TARGET_POSTGRES_SQLALCHEMY_URL": server.dsn,
    }


def url(server: Server, driver: str, database: str) -> str:
    """Return the SQLAlchemy URL of a database of the server."""
    dsn = server.dsn.replace(f"/{server.database}?", f"/{database}?", 1)
    return dsn.replace("postgresql://", f"postgresql+{driver}://", 1)


if __name__ == "__main__":
    sys.exit(main())
