"""``python -m focus``: simulator -> tap -> PostgreSQL -> dbt -> Parquet -> focus-validator.

It fails if BilledCost is not exactly the bill of the simulated organizations, or if a rule of FOCUS
fails that is not in ``validator.EXCEPTIONS``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import decimal
import os
import signal
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg

from demo.meltano import ROOT, Meltano, MeltanoError
from demo.postgres import Server, postgres
from focus.validator import ValidatorError, summary, validate
from simulator.console_reports import DELAY
from simulator.facts import Facts
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, Simulator

SEED = 11
ENVIRONMENT = ROOT / ".focus"
DBT = ROOT / ".dbt" / "bin" / "dbt"
SCHEMA = "claude_marts"
COLUMNS = """
    select column_name, data_type, numeric_precision, numeric_scale
    from information_schema.columns
    where table_schema = %s and table_name = 'claude_focus'
    order by ordinal_position
"""


class FocusError(Exception):
    """A step failed; the message says which one and why."""


def main() -> int:
    """Build the table, check it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m focus", description=__doc__)
    parser.add_argument("--days", type=int, default=75, help="days of history (75)")
    parser.add_argument(
        "--breadth", type=int, default=40, help="uses of each organization per day (40)"
    )
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # exit, so that all processes are stopped
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    decimal.getcontext().prec = 60  # sums of money keep all digits
    try:
        with tempfile.TemporaryDirectory(prefix="focus-") as name:
            return run(Path(name), options.days, options.breadth)
    except (FocusError, MeltanoError, ValidatorError) as error:
        print(error)
        return 1


def run(directory: Path, days: int, breadth: int) -> int:
    """Do everything in a directory; return 1 if a cent or a rule is wrong."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    first_day = now.date() - dt.timedelta(days=days - 1)
    facts = Facts(seed=SEED, first_day=first_day, today=now.date(), breadth=breadth)
    with Simulator(facts, now=now) as simulator, postgres(directory / "postgres") as server:
        print("meltano run tap-claude target-postgres ...", flush=True)
        load(simulator, server, directory, first_day)
        print("dbt build --select +claude_focus ...", flush=True)
        transform(server, directory)
        with psycopg.connect(server.dsn) as database:
            billed, rows = database.execute(
                f'select sum("BilledCost"), count(*) from {SCHEMA}.claude_focus'.encode()
            ).fetchone() or (Decimal(), 0)
            data = export(database, directory)
        expected = bill(simulator, first_day)
    print(f"BilledCost of {rows:,} rows: {billed.normalize():f} USD;", end=" ")
    print(f"in the simulator: {expected.normalize():f} USD.")
    print("focus-validator ...", flush=True)
    results = validate(ENVIRONMENT, data)
    print(*summary(results), sep="\n")
    if billed != expected:
        print("BilledCost is not the bill.")
        return 1
    return 1 if results.unexpected else 0


def load(simulator: Simulator, server: Server, directory: Path, first_day: dt.date) -> None:
    """Load both organizations with Meltano."""
    meltano = Meltano(
        directory,
        {
            "TAP_CLAUDE_ADMIN_API_KEY": ADMIN_KEY,
            "TAP_CLAUDE_ACCESS_TOKEN": ACCESS_TOKEN,
            "TAP_CLAUDE_ANALYTICS_API_KEY": ANALYTICS_KEY,
            "TAP_CLAUDE_BASE_URL": simulator.url,
            "TAP_CLAUDE_START_DATE": first_day.isoformat(),
            "TAP_CLAUDE_END_DATE": simulator.now.isoformat(),
            "TAP_CLAUDE_REQUESTS_PER_MINUTE": "0",  # the limit is for the real API
            "TARGET_POSTGRES_SQLALCHEMY_URL": server.dsn,
        },
    )
    if not meltano.is_installed():
        print("meltano install tap-claude target-postgres (first run only) ...", flush=True)
        meltano.install()
    meltano.run()


def transform(server: Server, directory: Path) -> None:
    """Build and test the table with dbt.

    Raises:
        FocusError: dbt failed.
    """
    environment = os.environ | {
        "DBT_TARGET": "postgres",
        "DBT_PROFILES_DIR": str(ROOT / "transform"),
        "DBT_PROJECT_DIR": str(ROOT / "transform"),
        "DBT_TARGET_PATH": str(directory / "target"),
        "DBT_LOG_PATH": str(directory / "logs"),
        "CLAUDE_DBT_HOST": server.host,
        "CLAUDE_DBT_PORT": str(server.port),
        "CLAUDE_DBT_USER": server.user,
        "CLAUDE_DBT_DBNAME": server.database,
        "CLAUDE_DBT_SCHEMA": SCHEMA,
    }
    # Cautious: tests that need other marts, too, are left out.
    command = [str(DBT), "--no-use-colors", "build", "--select", "+claude_focus"]
    command += ["--indirect-selection", "cautious"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()[-25:]
        msg = "\n".join(["dbt build failed:", *lines])
        raise FocusError(msg)


def export(database: psycopg.Connection, directory: Path) -> Path:
    """Write the table to a Parquet file with the types that it has in PostgreSQL; return its path.

    In a CSV file, the validator would take quantities for integers, and amounts for floats.
    """
    text, data = directory / "focus.csv", directory / "focus.parquet"
    with text.open("wb") as file, database.cursor() as cursor:
        query = f"copy {SCHEMA}.claude_focus to stdout (format csv, header)".encode()
        with cursor.copy(query) as rows:
            for block in rows:
                file.write(block)
    columns = ", ".join(typed(*column) for column in database.execute(COLUMNS.encode(), [SCHEMA]))
    with duckdb.connect() as duck:
        duck.execute(
            f"copy (select {columns} from read_csv('{text}', all_varchar = true))"
            f" to '{data}' (format parquet)"
        )
    return data


def typed(name: str, kind: str, precision: int | None, scale: int | None) -> str:
    """Return the expression for a column with DuckDB's name of its type."""
    if kind == "numeric":
        kind = f"decimal({precision or 38}, {18 if scale is None else scale})"
    return f'cast("{name}" as {kind}) as "{name}"'


def bill(simulator: Simulator, first_day: dt.date) -> Decimal:
    """Return the dollars that both organizations are charged, less credits.

    The reports of Claude Enterprise have no credits.
    """
    start = dt.datetime.combine(first_day, dt.time(), dt.UTC)
    end = simulator.now - DELAY
    cents = (
        line.amount
        for facts in (simulator.facts, simulator.enterprise)
        for fact in facts.between(start, end)
        for line in fact.costs
        if line.cost_type or not facts.enterprise
    )
    return sum(cents, Decimal()) / 100


if __name__ == "__main__":
    sys.exit(main())
