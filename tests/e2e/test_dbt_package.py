"""The dbt package with one credential, in other warehouses and in projects of somebody else."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
import yaml

from demo.meltano import ROOT
from tests.conftest import environment
from tests.e2e.dbt import BIN, MARTS, PACKAGE, Dbt, install
from tests.e2e.test_transform import (
    build,
    connect,
    create_database,
    load_duckdb,
    load_postgres,
    make_customer,
    rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.postgres import Server
    from tests.e2e.test_transform import Customer

pytestmark = pytest.mark.long

# Marts that one kind of organization leaves empty.
ENTERPRISE_ONLY = {"claude_teams"}
CONSOLE_ONLY = {"claude_api_keys", "claude_workspaces", "claude_reconciliation"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    install()
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def dbt(folder: Path) -> Dbt:
    return Dbt(folder / "dbt", {"claude_schema": "claude_a"})


@pytest.fixture(scope="module")
def customers(messages_folder: Path) -> Callable[[str], Customer]:
    """Return a customer with both credentials, or with one of them."""

    @functools.cache
    def read(kinds: str) -> Customer:
        customer = make_customer(("both", "console", "enterprise").index(kinds), messages_folder)
        customer.schema = "claude_a"
        return customer

    return read


@pytest.fixture(scope="module")
def both(customers: Callable[[str], Customer], folder: Path, dbt: Dbt) -> Path:
    """Return the database of the customer with both credentials, with its marts."""
    path = folder / "both.duckdb"
    load_duckdb([customers("both")], path)
    dbt.run("run", target="duckdb", database=path)
    return path


def test_it_builds_where_nothing_is_loaded_yet(server: Server, dbt: Dbt) -> None:
    """In PostgreSQL, which checks all types; its unit tests pass, which need no rows."""
    create_database(server, "empty")
    built = build(dbt, server, "empty", "build")
    for test in yaml.safe_load((PACKAGE / "models" / "_unit_tests.yml").read_text())["unit_tests"]:
        assert f"PASS {test['model']}::{test['name']}" in built
    with connect(server, "empty") as database:
        assert [mart for mart in MARTS if len(rows(database, mart)) > 1] == []


@pytest.mark.parametrize("kind", ["console", "enterprise"])
def test_one_credential_is_enough(
    kind: str, customers: Callable[[str], Customer], server: Server, folder: Path, dbt: Dbt
) -> None:
    customer, name = customers(kind), f"only_{kind}"
    path = folder / f"{name}.duckdb"
    load_duckdb([customer], path)
    dbt.run("build", target="duckdb", database=path)
    create_database(server, name)
    load_postgres(customer, server, name, folder)
    build(dbt, server, name, "run")
    with duckdb.connect(str(path), read_only=True) as replaced, connect(server, name) as postgres:
        found = {mart: rows(replaced, mart) for mart in MARTS}
        assert {mart: rows(postgres, mart) for mart in MARTS} == found
    empty = {mart for mart in MARTS if len(found[mart]) == 1} - {"claude_anomalies"}
    # Without limits of the API, and without budgets, a Console organization has none.
    assert empty == (CONSOLE_ONLY if kind == "enterprise" else {*ENTERPRISE_ONLY, "claude_budgets"})


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_the_compiled_sql_of_other_warehouses_gives_the_same_rows(
    dialect: str, both: Path, tmp_path: Path
) -> None:
    """It is compiled without a connection, and run in DuckDB as SQLGlot translates it."""
    path = tmp_path / "other.duckdb"
    shutil.copy(both, path)
    with duckdb.connect(str(path)) as database:
        tables = [
            name
            for (name,) in database.execute(
                "select table_name from information_schema.tables where table_schema = 'claude_a'"
            ).fetchall()
        ]
        variables = {"claude_schema": "claude_a", "claude_tables": tables}
        Dbt(tmp_path, variables).run(
            *("compile", "--no-introspect", "--no-populate-cache"),
            target=dialect,
            BIGQUERY_METHOD="oauth-secrets",
            BIGQUERY_PROJECT="other",
            CLAUDE_DBT_SCHEMA="other_marts",
            SNOWFLAKE_DATABASE="other",
        )
        transpile = [str(ROOT / "tests" / "e2e" / "transpile.py"), str(tmp_path / dialect), dialect]
        printed = subprocess.run(
            [str(BIN / "python"), *transpile], capture_output=True, text=True, check=True
        ).stdout
        database.execute("set timezone = 'UTC'")
        database.execute("create schema other_marts")
        for model in json.loads(printed):
            name = f"{model['schema']}.{model['name']}"
            database.execute(f"create {model['materialized']} {name} as {model['sql']}")
        for mart in MARTS:
            assert rows(database, mart, "other_marts") == rows(database, mart), mart


def test_dbt_says_how_fresh_the_tables_are(both: Path, dbt: Dbt, tmp_path: Path) -> None:
    fresh = dbt.run("source", "freshness", target="duckdb", database=both)
    assert "PASS freshness of claude.report_buckets" in fresh
    path = tmp_path / "stale.duckdb"
    shutil.copy(both, path)
    with duckdb.connect(str(path)) as database:
        database.execute("update claude_a.report_buckets set extracted_at = '2026-01-01T00:00:00Z'")
    stale = dbt.attempt("source", "freshness", target="duckdb", database=path)
    assert stale.returncode == 1
    assert "ERROR STALE freshness of claude.report_buckets" in stale.stdout


def test_a_file_of_duckdb_needs_another_name_than_the_schema(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "Claude_A.duckdb")) as database:
        database.execute("create schema claude_a")
        database.execute('create table "Claude_A".claude_a.report_buckets (stream varchar)')
    done = Dbt(tmp_path, {"claude_schema": "claude_a"}).attempt(
        *("run", "--select", "stg_claude__report_buckets"),
        target="duckdb",
        CLAUDE_DBT_PATH="Claude_A.duckdb",
    )
    assert done.returncode == 1
    assert (
        "DuckDB cannot tell the schema claude_a from a file of the same name: rename"
        " Claude_A.duckdb, or set var claude_schema"
    ) in done.stdout


PROJECT = """\
name: somebody_else
version: 1.0.0
profile: claude
models:
  somebody_else: {+materialized: table}
vars:
  claude:
    claude_schema: claude_a
"""
MODEL = """\
select organization_name, day, amount_usd from {{ ref('claude_daily') }}
"""


def test_a_project_of_somebody_else_takes_the_package_by_git(both: Path, tmp_path: Path) -> None:
    """As docs/marts.md says, with a clone in place of the address."""
    page = (ROOT / "docs" / "marts.md").read_text()
    packages = page.split("```yaml\n# packages.yml\n")[1].split("```")[0]
    clone = tmp_path / "clone"
    shutil.copytree(PACKAGE, clone / "transform", ignore=shutil.ignore_patterns("target", "logs"))
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com")
    for arguments in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message=package"),
    ):
        subprocess.run([*git, *arguments], cwd=clone, check=True)
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text(PROJECT)
    (project / "models" / "spend.sql").write_text(MODEL)
    address = "https://github.com/tap-claude/tap-claude.git"
    assert packages.count(address) == 1
    (project / "packages.yml").write_text(packages.replace(address, clone.as_uri()))
    dbt = Dbt(tmp_path / "dbt")
    dbt.run("deps", target="duckdb", package=project)
    path = tmp_path / "theirs.duckdb"
    shutil.copy(both, path)
    dbt.run("run", target="duckdb", package=project, database=path, CLAUDE_DBT_SCHEMA="own")
    with duckdb.connect(str(path), read_only=True) as database:
        for mart in MARTS:
            assert rows(database, mart, "own") == rows(database, mart), mart
        assert len(rows(database, "spend", "own")) == len(rows(database, "claude_daily"))


def test_meltano_builds_the_marts(both: Path, tmp_path: Path) -> None:
    """In somebody else's project, which has the definition of this one's utility and job."""
    here = yaml.safe_load((ROOT / "meltano.yml").read_text())
    (utility,) = (it for it in here["plugins"]["utilities"] if it["name"] == "dbt")
    (job,) = (it for it in here["jobs"] if it["name"] == "load-and-build")
    assert job["tasks"] == ["tap-claude target-postgres dbt:build"]
    # Not installed again, which takes a minute.
    assert utility.pop("pip_url") == "-r transform/requirements.txt"
    utility["executable"] = str(BIN / "dbt")
    project = {
        "project_id": "somebody-else",
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "send_anonymous_usage_stats": False,
        "plugins": {"utilities": [utility]},
        "jobs": [{"name": "build", "tasks": ["dbt:build"]}],
    }
    (tmp_path / "meltano.yml").write_text(yaml.safe_dump(project))
    shutil.copytree(PACKAGE, tmp_path / "transform")
    variables = tmp_path / "transform" / "dbt_project.yml"
    text = variables.read_text()
    assert "  claude_schema: claude\n" in text
    variables.write_text(text.replace("claude_schema: claude\n", "claude_schema: claude_a\n"))
    path = tmp_path / "meltano.duckdb"
    shutil.copy(both, path)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("meltano")), "run", "--no-install", "build"],
        cwd=tmp_path,
        env=environment(
            CLAUDE_DBT_PATH=str(path),
            CLAUDE_DBT_SCHEMA="by_meltano",
            DBT_TARGET="duckdb",
            MELTANO_CLI_DISABLE_VERSION_CHECK="true",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with duckdb.connect(str(path), read_only=True) as database:
        for mart in MARTS:
            assert rows(database, mart, "by_meltano") == rows(database, mart), mart
