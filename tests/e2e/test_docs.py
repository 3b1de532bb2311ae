"""The pages agree with the code, and their statements run.

Below each SQL statement of docs/finops.md, docs/adoption.md, docs/names.md and docs/marts.md is its
result for a simulated organization. With --snapshot, the results are written instead.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg.rows
import pytest
import yaml

from demo.meltano import ROOT
from simulator import claude_code
from simulator.server import ACCESS_TOKEN, ANALYTICS_KEY, COMPLIANCE_KEY, PERSONAL_KEY
from tap_claude.credentials import CREDENTIALS as KEYS
from tap_claude.credentials import ENTERPRISE
from tap_claude.incremental import IncrementalStream
from tap_claude.progress import Progress
from tap_claude.report_buckets import BucketLogStream
from tap_claude.streams import REPORTS, STREAMS
from tap_claude.tap import TapClaude
from tests.conftest import environment, file_options, only, settings, simulated
from tests.e2e.dbt import Dbt, install
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.postgres import Server
    from simulator.server import Simulator

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench" / "README.md")
}
README = PAGES["README.md"]
ADOPTION = PAGES["docs/adoption.md"]
CREDENTIALS = PAGES["docs/credentials.md"]
CUSTOM_REPORTS = PAGES["docs/custom-reports.md"]
FINOPS = PAGES["docs/finops.md"]
NAMES = PAGES["docs/names.md"]
LOADING = PAGES["docs/loading.md"]
MARTS = PAGES["docs/marts.md"]
PERFORMANCE = PAGES["docs/performance.md"]
PAGE_OF_STREAMS = PAGES["docs/streams.md"]

# The organization that the pages show: its command line and settings, in finops.md, are these.
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAYS = 100
SEED = 7

# The tap without the API's limit of 365 days, so that the dates of the pages stay readable.
TAP = """
from tap_claude.streams import AnalyticsReport, LegacyBucketReport, LegacyUserReport
from tap_claude.tap import TapClaude
for report in (AnalyticsReport, LegacyBucketReport, LegacyUserReport):
    report.max_age = None
TapClaude.cli()
"""
TARGET = ROOT / ".meltano" / "loaders" / "target-postgres" / "venv" / "bin" / "target-postgres"

SQL = re.compile(r"^```sql\n(.+?)^```\n", re.DOTALL | re.MULTILINE)
# A statement and the result below it.
EXAMPLE = re.compile(SQL.pattern + r"\n((?:^\|[^\n]+\n)+)", re.DOTALL | re.MULTILINE)
SHOWN = {"finops": FINOPS, "adoption": ADOPTION, "names": NAMES, "marts": MARTS}
"""Pages that show results."""
EXAMPLES = [
    pytest.param(name, *example, id=f"{name}-{number}")
    for name, page in (
        ("finops", FINOPS),
        ("adoption", ADOPTION),
        ("names", NAMES),
        ("marts", MARTS),
    )
    for number, example in enumerate(EXAMPLE.findall(page))
]
# The statements that delete the rows that the API no longer has.
CLEANUPS = SQL.findall(LOADING)


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
            workspace_api_key=PERSONAL_KEY,
            agent_workspace_ids=self.simulator.facts.organization.workspaces,
            compliance_api_key=COMPLIANCE_KEY,
            legacy_reports=True,
            start_date=start.isoformat(),
            reports=ready_reports(),
        )
        files = file_options(
            self.directory,
            config=config,
            catalog=only(config, *streams),
            state=json.loads(state) if state else None,
        )
        command = [sys.executable, "-c", TAP, *files]
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
            "validate_records": False,  # that takes most of the time
        }
        config = self.directory / "target.json"
        config.write_text(json.dumps(target))
        command = [str(TARGET), "--config", str(config)]
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


@pytest.fixture(scope="module")
def warehouse(
    server: Server,
    plugins: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Warehouse]:
    with simulated(DAYS, seed=SEED, now=NOW) as simulator:
        made = Warehouse(simulator, server, tmp_path_factory.mktemp("docs"))
        with closing(made.database):
            yield made


# -- docs/finops.md, docs/adoption.md, docs/names.md


@pytest.fixture(scope="module")
def loaded(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Load all streams and build the marts, as finops.md says."""
    streams = {*REPORTS, *STREAMS, *(report["name"] for report in ready_reports())}
    warehouse.load("claude", tuple(streams), NOW.date() - dt.timedelta(days=DAYS - 1))
    warehouse.database.commit()
    install()
    dbt = Dbt(tmp_path_factory.mktemp("dbt"))
    dbt.run("run", target="postgres", CLAUDE_DBT_HOST=warehouse.server.host)
    return warehouse


def shown(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_finops_describes_how_to_start_its_organization() -> None:
    assert f"--days {DAYS} --seed {SEED} --now {NOW.isoformat()}" in FINOPS
    assert f'start_date: "{NOW.date() - dt.timedelta(days=DAYS - 1)}"' in FINOPS
    assert f'end_date: "{NOW:%Y-%m-%dT%H:%M:%SZ}"' in FINOPS


each_page = pytest.mark.parametrize(
    "page", [FINOPS, ADOPTION, NAMES, MARTS], ids=["finops", "adoption", "names", "marts"]
)


@each_page
def test_the_page_has_a_result_below_each_statement(page: str) -> None:
    assert [query for query, _ in EXAMPLE.findall(page)] == SQL.findall(page) != []


@each_page
def test_the_page_uses_no_clock(page: str) -> None:
    assert not [query for query in SQL.findall(page) if re.search(r"\bnow\(|\bcurrent_", query)]


@pytest.mark.long
@pytest.mark.parametrize(("name", "query", "result"), EXAMPLES)
def test_the_page_shows_the_result(
    loaded: Warehouse, request: pytest.FixtureRequest, name: str, query: str, result: str
) -> None:
    cursor = loaded.execute(query)
    assert cursor.description
    head = [column.name for column in cursor.description]
    found = [head, *([*map(shown, row)] for row in cursor.fetchall())]
    if request.config.getoption("--snapshot") and found != table(result):
        page = ROOT / "docs" / f"{name}.md"
        lines = [f"| {' | '.join(row)} |" for row in found]
        new = "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:], ""])
        page.write_text(
            page.read_text().replace(query + "```\n\n" + result, query + "```\n\n" + new)
        )
    else:
        assert found == table(result)


@each_page
def test_the_page_names_the_streams(page: str) -> None:
    tables = cells_after(page, "| question | table |")
    names = {name for cells in tables.values() for name in re.findall(r"`(\w+)`", cells[0])}
    custom = {report["name"] for report in ready_reports()}
    assert names <= {*REPORTS, *STREAMS, *custom}


def test_each_statement_of_a_page_runs_in_a_test() -> None:
    """Some run in the tests of their page: targets, focus and orchestrate. The others run here."""
    pages = {name for name, page in PAGES.items() if "```sql" in page}
    shown_with_results = {f"docs/{name}.md" for name in SHOWN}
    assert pages == {
        *shown_with_results,
        "docs/focus.md",
        "docs/loading.md",
        "docs/many-organizations.md",
        "docs/targets.md",
    }


def test_the_page_shows_the_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(logging.getLogger(__name__), interval=3600)
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began)
    progress.start("analytics_users")
    progress.expect(365, "day")
    progress.requests, progress.rows = 73, 14231
    progress.at("2026-03-14", 72)
    # A burst of 10 requests, then 50 per minute.
    monkeypatch.setattr(time, "monotonic", lambda: began + (73 - 10) / (50 / 60))
    assert f"\n{progress.line()}\n" in PERFORMANCE


# -- meltano.yml


def test_ready_reports_add_up_to_the_whole(warehouse: Warehouse) -> None:
    """Each can be read, has values in all of its dimensions, and leaves nothing out."""
    reports = ready_reports()
    bases = {report["report"] for report in reports}
    names = (*bases, *(report["name"] for report in reports))
    counters = {
        "analytics_users": "claude_code_commit_count",
        "analytics_skills": "invocation_count",
        "analytics_connectors": "read_call_count",
    }
    measured = {report["name"]: counters.get(report["report"]) for report in reports} | counters
    totals: Counter[str] = Counter()
    filled: dict[str, set[str]] = {name: set() for name in names}
    with warehouse.read(names, NOW.date() - dt.timedelta(days=20)).open() as lines:
        for message in map(json.loads, lines):
            if message["type"] == "RECORD":
                name, record = message["stream"], message["record"]
                value = record.get("total_tokens") or record.get("amount_usd") or 0
                if counter := measured.get(name):
                    value = record[counter] or 0
                totals[name] += Decimal(value)  # type: ignore[assignment]
                filled[name] |= {column for column in record if record[column] is not None}
    assert all(totals[name] > 0 for name in bases)
    for report in reports:
        name, whole = report["name"], totals[report["report"]]
        assert set(report["group_by"]) <= filled[name]
        if "rbac_group_id" in report["group_by"]:  # teams overlap
            assert totals[name] > whole
        else:
            assert totals[name] == whole


# -- docs/loading.md: deleted rows of a report


@pytest.fixture(scope="module")
def restated(warehouse: Warehouse) -> Warehouse:
    """Load some days twice; the second time, rows of the first one are missing."""
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


# Buckets that do not agree with the rows of the table.
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


@pytest.mark.parametrize("statement", CLEANUPS, ids=["starting_at", "date"])
@pytest.mark.parametrize("how", ["delete", "flag"])
def test_the_page_removes_deleted_rows(restated: Warehouse, statement: str, how: str) -> None:
    (name,) = re.findall(r"delete from claude\.(\w+) as stale\n", statement)
    moment, usd = "starting_at", "sum(amount_usd)"
    if name == "claude_code_usage":
        moment, usd = "date", "null::numeric"
    differing = DIFFERING.format(name=name, moment=moment, usd=usd)
    live = f"select count(*) from restated.{name} where _sdc_deleted_at is null"
    before = restated.count(live)
    assert restated.count(differing) > 0
    if how == "flag":
        (begin,) = re.findall(r"begin with\s+`(update .+?)`", LOADING, re.DOTALL)
        begin = begin.replace("analytics_cost", name)
        statement = re.sub(r"delete .+\nusing .+\n", f"{begin}\n", statement)
    deleted = restated.execute(statement.replace("claude.", "restated.")).rowcount
    assert 0 < deleted < before
    assert restated.count(live) == before - deleted
    assert restated.count(differing) == 0
    restated.database.rollback()


# -- declarations


def test_the_page_has_the_scope_of_each_enterprise_stream() -> None:
    scopes = {
        scope.strip("`"): set(re.findall(r"`(\w+)`", streams))
        for scope, (streams,) in cells_after(CREDENTIALS, "| scope | streams |").items()
    }
    for name, stream in {**REPORTS, **STREAMS}.items():
        if not set(ENTERPRISE) & set(stream.credentials) or issubclass(stream, BucketLogStream):
            continue
        scope = str(stream.required_scope)
        assert ("analytics_" if name.startswith("analytics_") else name) in scopes[scope]
    assert {name for names in scopes.values() for name in names} <= {
        *REPORTS,
        *STREAMS,
        "analytics_",
    }


def test_the_page_shows_legal_reports() -> None:
    (example,) = re.findall(r"^```yaml\n(.+?)^```\n", CUSTOM_REPORTS, re.DOTALL | re.MULTILINE)
    config = yaml.safe_load(example)["config"]
    keys = {"admin_api_key": "sk-ant-admin01-x", "analytics_api_key": "sk-ant-api01-x"}
    tap = TapClaude(config={**keys, **config})
    assert {report["name"] for report in config["reports"]} <= tap.streams.keys()


def test_the_page_has_each_dimension_and_filter() -> None:
    dimensions = cells_after(CUSTOM_REPORTS, "| report | dimensions")
    assert dimensions.keys() == {f"`{name}`" for name in REPORTS}
    usage = dimensions["`analytics_usage`"][0]
    for name, report in REPORTS.items():
        cell, widths = dimensions[f"`{name}`"]
        cell = cell.replace("the same; ", f"{usage}, ").removesuffix(", which do not count")
        assert tuple(cell.split(", ")) == (report.dimensions or ("none",))
        assert set(widths.split(", ")) == set(report.page_buckets)
    for names, (cell,) in cells_after(CUSTOM_REPORTS, "| report | filters").items():
        for name in re.findall(r"\w+", names):
            expected = ", ".join(REPORTS[name].filters) or "none"
            assert cell == expected


def test_the_page_of_streams_has_each_stream_with_path_keys_and_lookback() -> None:
    rows = cells_after(PAGE_OF_STREAMS, "| stream | path | keys |")
    names = {name.strip("`"): cells for name, cells in rows.items()}
    letters = dict(zip(KEYS, "AOOEWC", strict=True))
    for name, stream in {**REPORTS, **STREAMS}.items():
        if issubclass(stream, BucketLogStream):
            assert f"### {name}\n" in PAGE_OF_STREAMS
            continue
        path, keys, *more = names.pop(name)
        if name != "claude_code_model_usage":
            assert path == f"`{stream.path.replace('parent_id', 'id')}`"
        found = dict.fromkeys(letters[credential] for credential in stream.credentials)
        assert keys == ", ".join(found)
        if issubclass(stream, IncrementalStream):
            days = stream.lookback_days
            assert more[0] == f"{days} day{'s' * (days > 1)}"
    assert not names


def links(page: Path) -> Iterator[tuple[Path, str]]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if not path.startswith("http"):
            yield (page.parent / path if path else page), anchor


@each("page", sorted(PAGES))
def test_links_have_a_target(page: str) -> None:
    for path, anchor in links(ROOT / page):
        assert path.is_file(), path
        if path.suffix != ".md":
            continue
        heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}
        assert not anchor or anchor in anchors, anchor
