"""Marts of simulated organizations in DuckDB, each kind of customer in a schema of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY
from tests.conftest import RECENT, days_ago, environment, simulated
from tests.e2e.dbt import MARTS, Dbt, install
from tests.e2e.raw_tables import load

if TYPE_CHECKING:
    from pathlib import Path

CONSOLE = {"admin_api_key": ADMIN_KEY, "access_token": ACCESS_TOKEN}
ENTERPRISE = {"analytics_api_key": ANALYTICS_KEY}
TIERS = ["service_tier", "context_window", "inference_geo", "speed", "model"]
REPORTS = [
    {"name": f"{kind}_by_{what}", "report": f"analytics_{kind}", "group_by": groups}
    for kind in ("cost", "usage")
    for what, groups in (("team", ["rbac_group_id"]), ("tier", TIERS))
]
VARIABLES = {
    "claude_budgets": [
        {"name": "Everything", "amount_usd": "1500.01", "organization_type": "enterprise"},
        {"name": "Claude Code", "amount_usd": 600, "product": "claude_code"},
    ],
    "claude_seat_price_usd": {"default": 30, "owner": "60.5"},
}


class Customer(NamedTuple):
    """How much history and use a customer has, and what its keys reach."""

    days: int
    breadth: int
    seed: int
    keys: dict[str, str]


CUSTOMERS = {
    "mixed": Customer(66, 12, 7, CONSOLE | ENTERPRISE),
    "console": Customer(66, 8, 21, CONSOLE),
    "new": Customer(1, 6, 31, CONSOLE),
}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "x" * 300,
    "שלום \u202eevil\u202c עולם",
    "👩‍👩‍👧‍👦 🇺🇦 名前",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt; ${x} `y`",
    "a\nb\tc\x07d\u2028e",
    "'; drop table claude_cost; --",
    " ",
)


READ = [mart for mart in MARTS if mart != "claude_focus"]
"""The marts that the report reads."""


def build(folder: Path) -> Path:
    """Read all customers, build their marts; return the database."""
    install()
    raw = folder / "raw.duckdb"
    organizations = {}
    with duckdb.connect(str(raw)) as database:
        for name, customer in CUSTOMERS.items():
            messages, organizations[name] = _read(folder, name, customer)
            load(database, "claude", messages)
    Dbt(folder / "dbt", VARIABLES).run("run", target="duckdb", database=raw)
    made = folder / "spend.duckdb"
    with duckdb.connect(str(made)) as database:
        database.execute(f"attach '{raw}' as source (read_only)")
        for name, ids in organizations.items():
            copy(database, name, "source.claude_marts", f"organization_id in {(*ids, '')}")
        copy(database, "hostile", "mixed", "true")
        _rename(database, "hostile")
        copy(database, "empty", "mixed", "false")
        copy(database, "partial", "mixed", "false")
        database.execute("drop table partial.claude_cost")
    return made


def copy(database: duckdb.DuckDBPyConnection, schema: str, source: str, condition: str) -> None:
    """Copy the marts into a schema."""
    database.execute(f"create schema {schema}")
    for mart in READ:
        database.execute(
            f"create table {schema}.{mart} as select * from {source}.{mart} where {condition}"
        )


def _read(folder: Path, name: str, customer: Customer) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the tap; return its messages, and the ids of the organizations."""
    with simulated(
        customer.days, breadth=customer.breadth, seed=customer.seed, now=RECENT
    ) as simulator:
        config = {
            **customer.keys,
            "base_url": simulator.url,
            "requests_per_minute": 0,
            "start_date": days_ago(customer.days - 1, RECENT),
            "end_date": RECENT.isoformat(),
            "organization_label": name.capitalize(),
            "reports": REPORTS if len(customer.keys) > len(CONSOLE) else [],
            "emit_activate_version_messages": False,
        }
        path = folder / f"{name}.json"
        path.write_text(json.dumps(config))
        done = subprocess.run(
            [sys.executable, "-m", "tap_claude", "--config", str(path)],
            capture_output=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        ids = [simulator.facts.organization.id, simulator.enterprise.organization.id]
    return [json.loads(line) for line in done.stdout.splitlines()], ids


def _rename(database: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Give everything that has a name in the marts one of the hostile names."""
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in HOSTILE)
    for mart in READ:
        for (column,) in database.execute(
            "select column_name from information_schema.columns where table_schema = ?"
            " and table_name = ? and data_type = 'VARCHAR'",
            [schema, mart],
        ).fetchall():
            if column.endswith(("_name", "email_address")):
                own = ""
            elif column in {"product", "model"}:  # they are told apart by their text
                own = f" || {column}"
            else:
                continue
            database.execute(
                f"update {schema}.{mart} set {column} = [{names}]"
                f"[1 + cast(hash({column}) % {len(HOSTILE)} as bigint)]{own}"
                f" where {column} is not null"
            )
