"""Simulator -> tap -> Meltano -> target-postgres -> PostgreSQL, all of them real."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import time
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from demo.meltano import Meltano, MeltanoError
from simulator.console_reports import DELAY
from simulator.server import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    ANALYTICS_KEY,
    COMPLIANCE_KEY,
    PERSONAL_KEY,
    Fault,
)
from tap_claude.streams import REPORTS, STREAMS
from tests.conftest import RECENT, days_ago

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.postgres import Server
    from simulator.server import Simulator

pytestmark = pytest.mark.usefixtures("plugins")

SUMS = """
    select
        sum(uncached_input_tokens), sum(cache_read_input_tokens),
        sum(cache_creation_ephemeral_5m_input_tokens),
        sum(cache_creation_ephemeral_1h_input_tokens), sum(output_tokens),
        sum(web_search_requests)
    from {schema}.messages_usage
"""


@pytest.fixture
def database(server: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        yield connection


def pipeline(
    directory: Path, server: Server, simulator: Simulator, schema: str, **settings: str
) -> Meltano:
    """Return Meltano, set up to load a simulator into a schema of its own."""
    directory.mkdir(exist_ok=True)
    return Meltano(
        directory,
        {
            "TAP_CLAUDE_ADMIN_API_KEY": ADMIN_KEY,
            "TAP_CLAUDE_BASE_URL": simulator.url,
            "TAP_CLAUDE_REQUESTS_PER_MINUTE": "0",
            "TARGET_POSTGRES_SQLALCHEMY_URL": server.dsn,
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": schema,
            **settings,
        },
    )


def one(database: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = database.execute(query.encode()).fetchone()
    assert row is not None
    return row


def assert_equal_to_the_facts(
    database: psycopg.Connection, schema: str, simulator: Simulator, start: str
) -> None:
    facts = list(simulator.facts.between(dt.datetime.fromisoformat(start), simulator.now - DELAY))
    counters = tuple(map(sum, zip(*(f.counters for f in facts if f.counters), strict=True)))
    assert one(database, SUMS.format(schema=schema)) == counters
    cents = sum((line.amount for fact in facts for line in fact.costs), Decimal(0))
    assert one(database, f"select sum(amount::numeric) from {schema}.cost_report") == (cents,)
    assert one(database, f"select sum(amount_usd) * 100 from {schema}.cost_report") == (cents,)
    for table in ("messages_usage", "cost_report"):
        rows, keys = one(database, f"select count(*), count(distinct row_id) from {schema}.{table}")
        assert rows == keys > 0


def test_every_counter_and_cent_lands_once_also_after_a_failed_run(
    simulate: Any, server: Server, database: psycopg.Connection, tmp_path: Path
) -> None:
    """A run fails in the middle; the next one reads the rest, and one of two days later the new."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    simulator = simulate(days=60, breadth=8, now=now - dt.timedelta(days=2))
    start = days_ago(59, now)
    meltano = pipeline(tmp_path, server, simulator, "first", TAP_CLAUDE_START_DATE=start)
    simulator.faults.append(Fault(status=400, path="usage_report/messages", after=1))
    with pytest.raises(MeltanoError):
        meltano.run()
    message = "messages_usage: HTTP 400 invalid_request_error: planned fault 400"
    assert message in meltano.log.read_text()
    for table in ("cost_report", "users"):  # before it and after it
        assert one(database, f"select count(*) from first.{table}")[0] > 0
    assert one(
        database,
        "select data_type, numeric_precision, numeric_scale from information_schema.columns"
        " where table_schema = 'first' and column_name = 'amount_usd'",
    ) == ("numeric", 38, 18)

    simulator.seen.clear()
    meltano.run()
    assert_equal_to_the_facts(database, "first", simulator, start)
    # Meltano kept the bookmark of the complete stream, and of the pages of the other one.
    assert [s.values("starting_at")[0] for s in simulator.requests("cost_report")] == [
        days_ago(9, now)
    ]
    first = simulator.requests("usage_report/messages")[0]
    assert first.values("starting_at") > [start]

    # two days later
    simulator.seen.clear()
    rows = one(database, "select count(*) from first.cost_report")[0]
    simulator.stopped_clock = now
    meltano.run()
    assert_equal_to_the_facts(database, "first", simulator, start)
    assert one(database, "select count(*) from first.cost_report")[0] > rows
    for path in ("cost_report", "usage_report/messages"):
        again = simulator.requests(path)
        assert [s.values("starting_at")[0] for s in again] == [days_ago(9, now)]
    for table in ("claude_code_usage", "claude_code_model_usage", "users", "rate_limits"):
        assert one(database, f"select count(*) from first.{table}")[0] > 0


DELETE_MISSING = """
    delete from past.{table} as r
    using past.report_buckets as b
    where b.stream = '{table}'
      and b.organization_type = r.organization_type
      and b.organization_id = r.organization_id
      and b.bucket_width = r.bucket_width
      and b.starting_at = r.starting_at
      and r.extracted_at < b.extracted_at
"""


@pytest.mark.long
def test_a_restated_past_is_right_after_the_next_run(
    simulate: Any, server: Server, database: psycopg.Connection, tmp_path: Path
) -> None:
    """Changed values, new rows and missing rows, in both reports of both organizations."""
    simulator = simulate(days=50, breadth=8)
    streams = ("analytics_cost", "analytics_usage", "messages_usage", "cost_report")
    meltano = pipeline(
        tmp_path,
        server,
        simulator,
        "past",
        TAP_CLAUDE_ANALYTICS_API_KEY=ANALYTICS_KEY,
        TAP_CLAUDE_START_DATE=days_ago(49),
        TAP_CLAUDE_LOOKBACK_DAYS="30",
        TAP_CLAUDE__SELECT=json.dumps([f"{name}.*" for name in (*streams, "report_buckets")]),
    )
    meltano.run()
    assert_analytics_equal_to_the_facts(database, simulator)

    simulator.facts.revision = simulator.enterprise.revision = 1
    meltano.run()
    stale = {}
    for table in streams:
        stale[table] = database.execute(DELETE_MISSING.format(table=table).encode()).rowcount
    assert all(count > 0 for count in stale.values()), stale
    assert_analytics_equal_to_the_facts(database, simulator)
    # now nothing is left to delete
    for table in streams:
        assert database.execute(DELETE_MISSING.format(table=table).encode()).rowcount == 0
        rows, expected = one(
            database,
            f"select (select count(*) from past.{table}), (select sum(row_count)"
            f" from past.report_buckets where stream = '{table}')",
        )
        assert rows == expected


def assert_analytics_equal_to_the_facts(database: psycopg.Connection, simulator: Simulator) -> None:
    start = dt.datetime.fromisoformat(days_ago(49))
    for kind, facts in (("console", simulator.facts), ("enterprise", simulator.enterprise)):
        known = list(facts.between(start, simulator.now - DELAY))
        charged = [line for fact in known for line in fact.costs]
        cents = sum((line.amount for line in charged if line.cost_type), Decimal(0))
        where = f"where organization_type = '{kind}'"
        assert one(database, f"select sum(amount::numeric) from past.analytics_cost {where}") == (
            cents,
        )
        tokens = sum(sum(fact.counters[:5]) for fact in known)
        assert one(database, f"select sum(total_tokens) from past.analytics_usage {where}") == (
            tokens,
        )
        if kind == "console":
            cents = sum((line.amount for line in charged), Decimal(0))
            assert one(database, "select sum(amount::numeric) from past.cost_report") == (cents,)


@pytest.mark.long
def test_the_run_after_a_killed_run_loads_the_rest(
    simulate: Any, server: Server, database: psycopg.Connection, tmp_path: Path
) -> None:
    """Meltano, tap and target are killed during a backfill; Meltano's state is enough to resume."""
    simulator = simulate(days=300, breadth=8)
    start = days_ago(299)
    meltano = pipeline(
        tmp_path,
        server,
        simulator,
        "killed",
        TAP_CLAUDE_START_DATE=start,
        TAP_CLAUDE__SELECT='["messages_usage.*", "cost_report.*", "claude_code_usage.*"]',
    )
    for requests in (150, 220):
        simulator.seen.clear()
        process = meltano.start("run", "--force", "tap-claude", "target-postgres")
        while len(simulator.seen) < requests and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    meltano.run()
    assert_equal_to_the_facts(database, "killed", simulator, start)
    # Today may have no row yet: Claude Code's data are an hour late.
    today = dt.date.fromisoformat(start[:10]) + dt.timedelta(days=299)
    query = f"select count(distinct date) from killed.claude_code_usage where date < '{today}'"
    (days,) = one(database, query)
    silent = simulator.facts.silence
    assert silent is not None
    assert days == 299 - (silent[1] - silent[0]).days


@pytest.mark.long
def test_both_organizations_and_every_stream(
    simulate: Any, server: Server, database: psycopg.Connection, tmp_path: Path
) -> None:
    """With all keys and everything selected, one run fills all tables; the next reads little."""
    simulator = simulate(days=40, breadth=8, now=RECENT)
    meltano = pipeline(
        tmp_path,
        server,
        simulator,
        "everything",
        TAP_CLAUDE_ANALYTICS_API_KEY=ANALYTICS_KEY,
        TAP_CLAUDE_ACCESS_TOKEN=ACCESS_TOKEN,
        TAP_CLAUDE_WORKSPACE_API_KEY=PERSONAL_KEY,
        TAP_CLAUDE_AGENT_WORKSPACE_IDS=json.dumps(simulator.facts.organization.workspaces),
        TAP_CLAUDE_COMPLIANCE_API_KEY=COMPLIANCE_KEY,
        TAP_CLAUDE_LEGACY_REPORTS="true",
        TAP_CLAUDE_START_DATE=days_ago(35, RECENT),
        TAP_CLAUDE_END_DATE=RECENT.isoformat(),
        TAP_CLAUDE__SELECT='["*.*"]',
    )
    meltano.run()
    counts = {
        name: one(database, f"select count(*) from everything.{name}")[0]
        for name in (*REPORTS, *STREAMS)
    }
    assert all(counts.values()), counts
    for name, stream in STREAMS.items():
        if tuple(stream.primary_keys) == ("row_id",):
            unique = one(database, f"select count(distinct row_id) from everything.{name}")
            assert unique == (counts[name],)
    assert one(
        database,
        "select data_type, numeric_precision, numeric_scale from information_schema.columns"
        " where table_schema = 'everything' and table_name = 'effective_spend_limits'"
        " and column_name = 'period_to_date_spend_usd'",
    ) == ("numeric", 38, 18)

    simulator.seen.clear()
    meltano.run()
    for name, count in counts.items():
        if name != "report_buckets":
            after = one(database, f"select count(*) from everything.{name}")[0]
            assert after == count, name
    days = Counter(date for s in simulator.requests("analytics/users") for date in s.values("date"))
    # 3 days before the newest, the newest, and the one that is not available yet
    assert sorted(days) == [days_ago(day, RECENT)[:10] for day in (4, 3, 2, 1, 0)]
    (summaries, *_) = simulator.requests("analytics/summaries")
    assert summaries.values("starting_date") == [days_ago(4, RECENT)[:10]]
    for path, lookback in (
        ("usage_report/messages", 7),
        ("analytics/usage", 30),
        ("analytics/usage_report", 30),
        ("analytics/user_cost_report", 30),
    ):
        start = min(s.values("starting_at")[0] for s in simulator.requests(path))
        assert start == days_ago(lookback, RECENT), path
