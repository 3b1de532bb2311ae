"""What the pages say, held to the code, and what they tell users to run, run.

Below each SQL statement of docs/finops.md is what it gives for a simulated organization.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from demo.meltano import ROOT, Meltano
from demo.postgres import Server, postgres
from simulator import claude_code
from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY
from tap_claude.directory import DirectoryStream
from tap_claude.reports import BucketLog
from tap_claude.streams import REPORTS, STREAMS
from tap_claude.tap import TapClaude
from tests.conftest import environment, only, settings, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.server import Simulator

README = (ROOT / "README.md").read_text()
FINOPS = (ROOT / "docs" / "finops.md").read_text()
PAGE_OF_STREAMS = (ROOT / "docs" / "streams.md").read_text()

# The organization that finops.md shows: its command line and settings are these.
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAYS = 100
SEED = 7

# The tap, for ever as if a year had not passed since then.
TAP = """
from tap_claude.streams import AnalyticsReport
from tap_claude.tap import TapClaude
AnalyticsReport.max_age = None
TapClaude.cli()
"""
TARGET = ROOT / ".meltano" / "loaders" / "target-postgres" / "venv" / "bin" / "target-postgres"

SQL = re.compile(r"^```sql\n(.+?)^```\n", re.DOTALL | re.MULTILINE)
# A statement, and its result right below it.
EXAMPLES = re.findall(SQL.pattern + r"\n((?:^\|[^\n]+\n)+)", FINOPS, re.DOTALL | re.MULTILINE)


def ready_reports() -> list[dict[str, Any]]:
    """Return the custom reports that meltano.yml has ready, commented out."""
    text = (ROOT / "meltano.yml").read_text()
    lines = re.findall(r"^    # (config:|  .*)$", text, re.MULTILINE)
    reports: list[dict[str, Any]] = yaml.safe_load("\n".join(lines))["config"]["reports"]
    return reports


def table(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without the line below its head."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return [rows[0], *rows[2:]]


def cells_after(page: str, head: str) -> dict[str, list[str]]:
    """Return the other cells by the first one, of all tables of a page with that head."""
    found: dict[str, list[str]] = {}
    for text in re.findall(rf"^{re.escape(head)}.*\n(?:^\|.+\n)+", page, re.MULTILINE):
        found |= {row[0]: row[1:] for row in table(text)[1:]}
    return found


class Warehouse:
    """A simulated organization, PostgreSQL, and the tap and the target between them."""

    def __init__(self, simulator: Simulator, server: Server, directory: Path) -> None:
        """Connect to the server; files go to the directory."""
        self.simulator = simulator
        self.server = server
        self.directory = directory
        self.database = psycopg.connect(server.dsn, options="-c timezone=UTC")

    def read(self, streams: tuple[str, ...], start: dt.date, state: str = "") -> Path:
        """Run the tap; return the file with its messages."""
        config = settings(
            self.simulator,
            access_token=ACCESS_TOKEN,
            analytics_api_key=ANALYTICS_KEY,
            start_date=start.isoformat(),
            reports=ready_reports(),
        )
        files = {"config": json.dumps(config), "catalog": json.dumps(only(config, *streams))}
        if state:
            files["state"] = state
        command = [sys.executable, "-c", TAP]
        for option, content in files.items():
            command += [f"--{option}", self._file(f"{option}.json", content)]
        messages, log = self.directory / "messages.jsonl", self.directory / "tap.log"
        with messages.open("wb") as out, log.open("wb") as err:
            done = subprocess.run(command, stdout=out, stderr=err, env=environment(), check=False)
        assert done.returncode == 0, log.read_text()
        return messages

    def load(self, schema: str, streams: tuple[str, ...], start: dt.date, state: str = "") -> str:
        """Run the tap and the target; return the last state."""
        target = {
            "sqlalchemy_url": self.server.dsn,
            "default_target_schema": schema,
            "load_method": "upsert",
            "use_copy": True,
            "validate_records": False,  # that takes most of the time
        }
        command = [str(TARGET), "--config", self._file("target.json", json.dumps(target))]
        with self.read(streams, start, state).open("rb") as messages:
            done = subprocess.run(command, stdin=messages, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().splitlines()[-1]

    def execute(self, query: str) -> psycopg.Cursor[Any]:
        return self.database.execute(query.encode())

    def count(self, query: str) -> int:
        row = self.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def _file(self, name: str, content: str) -> str:
        path = self.directory / name
        path.write_text(content)
        return str(path)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    directory = tmp_path_factory.mktemp("docs")
    meltano = Meltano(directory, {})
    if not meltano.is_installed():
        meltano.install()
    with ExitStack() as stack:
        # Not below pytest's own folder: that is root's alone, and PostgreSQL runs as another.
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="data-"))
        server = stack.enter_context(postgres(Path(data) / "data"))
        simulator = stack.enter_context(simulated(DAYS, seed=SEED, now=NOW))
        made = Warehouse(simulator, server, directory)
        stack.enter_context(closing(made.database))
        yield made


# -- docs/finops.md


@pytest.fixture(scope="module")
def finops(warehouse: Warehouse) -> Warehouse:
    """Load what the page's statements read, as the page says."""
    used = {name for query in SQL.findall(FINOPS) for name in re.findall(r"claude\.(\w+)", query)}
    warehouse.load("claude", tuple(used), NOW.date() - dt.timedelta(days=DAYS - 1))
    warehouse.database.commit()
    return warehouse


def shown(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_finops_says_how_to_get_its_organization() -> None:
    assert f"--days {DAYS} --seed {SEED} --now {NOW.isoformat()}" in FINOPS
    assert f'start_date: "{NOW.date() - dt.timedelta(days=DAYS - 1)}"' in FINOPS
    assert f'end_date: "{NOW:%Y-%m-%dT%H:%M:%SZ}"' in FINOPS


def test_finops_has_a_result_below_each_statement() -> None:
    assert [query for query, _ in EXAMPLES] == SQL.findall(FINOPS) != []


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_finops_shows_the_result(finops: Warehouse, example: tuple[str, str]) -> None:
    query, result = example
    cursor = finops.execute(query)
    assert cursor.description
    head = [column.name for column in cursor.description]
    assert [head, *([*map(shown, row)] for row in cursor.fetchall())] == table(result)


def test_finops_names_the_streams() -> None:
    tables = cells_after(FINOPS, "| question | table |")
    names = {name for cells in tables.values() for name in re.findall(r"`(\w+)`", cells[0])}
    custom = {report["name"] for report in ready_reports()}
    assert names <= {*REPORTS, *STREAMS, *custom}


# -- meltano.yml


def test_ready_reports_add_up_to_the_whole(warehouse: Warehouse) -> None:
    """Each can be read, tells something by all of its dimensions, and leaves nothing out."""
    reports = ready_reports()
    names = ("analytics_usage", "analytics_cost", *(report["name"] for report in reports))
    totals: Counter[str] = Counter()
    filled: dict[str, set[str]] = {name: set() for name in names}
    with warehouse.read(names, NOW.date() - dt.timedelta(days=20)).open() as lines:
        for message in map(json.loads, lines):
            if message["type"] == "RECORD":
                name, record = message["stream"], message["record"]
                value = record.get("total_tokens") or record.get("amount_usd") or 0
                totals[name] += Decimal(value)  # type: ignore[assignment]
                filled[name] |= {column for column in record if record[column] is not None}
    assert totals["analytics_usage"] > 0 < totals["analytics_cost"]
    for report in reports:
        name, whole = report["name"], totals[report["report"]]
        assert set(report["group_by"]) <= filled[name]
        if "rbac_group_id" in report["group_by"]:  # teams overlap
            assert totals[name] > whole
        else:
            assert totals[name] == whole


# -- README.md: rows of a report that are gone


@pytest.fixture(scope="module")
def restated(warehouse: Warehouse) -> Warehouse:
    """Load some days twice; at the second time, rows of the first one are gone."""
    streams = ("analytics_cost", "claude_code_usage", "report_buckets")
    start = NOW.date() - dt.timedelta(days=9)
    state = warehouse.load("restated", streams, start)
    sittings = claude_code.sittings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse.simulator.facts, "revision", 1)
        patch.setattr(warehouse.simulator.enterprise, "revision", 1)
        patch.setattr(claude_code, "sittings", lambda facts, day: sittings(facts, day)[4:])
        warehouse.load("restated", streams, start, state)
    return warehouse


# Buckets that the table's rows do not agree with.
DIFFERING = """
    with loaded as (
        select organization_type, {moment} as starting_at, count(*) as row_count, {usd} as usd
        from restated.{name}
        where _sdc_deleted_at is null
        group by 1, 2
    )
    select count(*)
    from restated.report_buckets as bucket
    full join loaded using (organization_type, starting_at)
    where stream = '{name}' and (
        bucket.row_count is distinct from coalesce(loaded.row_count, 0)
        or amount_usd <> coalesce(usd, 0)
    )
"""


@pytest.mark.parametrize("statement", SQL.findall(README), ids=["starting_at", "date"])
@pytest.mark.parametrize("how", ["delete", "flag"])
def test_the_readme_gets_rid_of_rows_that_are_gone(
    restated: Warehouse, statement: str, how: str
) -> None:
    (name,) = re.findall(r"delete from claude\.(\w+) as gone\n", statement)
    moment, usd = "starting_at", "sum(amount_usd)"
    if name == "claude_code_usage":
        moment, usd = "date", "null::numeric"
    differing = DIFFERING.format(name=name, moment=moment, usd=usd)
    live = f"select count(*) from restated.{name} where _sdc_deleted_at is null"
    before = restated.count(live)
    assert restated.count(differing) > 0
    if how == "flag":
        (begin,) = re.findall(r"begin with `(update .+?)`", README, re.DOTALL)
        begin = begin.replace("analytics_cost", name)
        statement = re.sub(r"delete .+\nusing .+\n", f"{begin}\n", statement)
    gone = restated.execute(statement.replace("claude.", "restated.")).rowcount
    assert 0 < gone < before
    assert restated.count(live) == before - gone
    assert restated.count(differing) == 0
    restated.database.rollback()


# -- README.md and docs/streams.md: what is declared


def test_the_readme_has_each_stream_with_its_keys() -> None:
    rows = cells_after(README, "| stream | one row is |")
    names = {name.strip("`"): cells for name, cells in rows.items()}
    assert names.keys() == {*REPORTS, *STREAMS, "custom reports"}
    for name, stream in {**REPORTS, **STREAMS}.items():
        keys: Any = stream.primary_keys
        assert names[name][1] == ", ".join(f"`{key}`" for key in keys)
        if issubclass(stream, DirectoryStream):
            assert len(names[name]) == 2
        elif not issubclass(stream, BucketLog):
            assert names[name][2] == f"`{stream.replication_key}`"


def test_the_readme_shows_legal_reports() -> None:
    (example,) = re.findall(r"^```yaml\n(.+?)^```\n", README, re.DOTALL | re.MULTILINE)
    config = yaml.safe_load(example)["config"]
    tap = TapClaude(config={"admin_api_key": "sk-ant-admin01-x", **config})
    assert {report["name"] for report in config["reports"]} <= tap.streams.keys()


def test_the_readme_has_each_dimension_and_filter() -> None:
    dimensions = cells_after(README, "| report | dimensions")
    assert dimensions.keys() == {f"`{name}`" for name in REPORTS}
    usage = dimensions["`analytics_usage`"][0]
    for name, report in REPORTS.items():
        cell, widths = dimensions[f"`{name}`"]
        cell = cell.replace("the same; ", f"{usage}, ").removesuffix(", which do not count")
        assert tuple(cell.split(", ")) == report.dimensions
        assert set(widths.split(", ")) == set(report.page_buckets)
    for names, (cell,) in cells_after(README, "| report | filters").items():
        for name in re.findall(r"\w+", names):
            expected = ", ".join(REPORTS[name].filters) or "none"
            assert cell == expected


def test_the_page_of_streams_has_each_stream_with_path_keys_and_lookback() -> None:
    rows = cells_after(PAGE_OF_STREAMS, "| stream | path | keys |")
    names = {name.strip("`"): cells for name, cells in rows.items()}
    letters = {"admin_api_key": "A", "access_token": "O", "analytics_api_key": "E"}
    for name, stream in {**REPORTS, **STREAMS}.items():
        if issubclass(stream, BucketLog):
            assert f"### {name}\n" in PAGE_OF_STREAMS
            continue
        path, keys, *more = names.pop(name)
        if name != "claude_code_model_usage":
            assert path == f"`{stream.path.replace('parent_id', 'id')}`"
        assert keys == ", ".join(letters[credential] for credential in stream.credentials)
        if not issubclass(stream, DirectoryStream):
            assert more[0] == f"{stream.lookback_days} days"
    assert not names


def links(page: Path) -> Iterator[tuple[Path, str]]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if not path.startswith("http"):
            yield (page.parent / path if path else page), anchor


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/finops.md", "docs/streams.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    for path, anchor in links(ROOT / page):
        assert path.is_file(), path
        heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}
        assert not anchor or anchor in anchors, anchor
