"""messages_usage and cost_report against the simulator: rows, sums, requests, bookmarks."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from simulator.changes import (
    days_for_hours,
    drop_first_bucket,
    drop_middle_bucket,
    one_bucket,
)
from simulator.console_reports import DELAY
from simulator.organization import DEFAULT_WORKSPACE
from simulator.server import Fault, Simulator
from tap_claude.streams import CostReport, MessagesUsage
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.conftest import Run


@pytest.fixture(name="tap")
def tap_of_two_streams(tap: Callable[..., Run]) -> Callable[..., Run]:
    """Run the tap with the two reports and the custom ones selected."""

    def run(*arguments: str, config: dict[str, Any], **more: Any) -> Run:
        custom = [report["name"] for report in config.get("reports", ())]
        more.setdefault("catalog", only(config, "messages_usage", "cost_report", *custom))
        if "--discover" in arguments:
            del more["catalog"]
        return tap(*arguments, config=config, **more)

    return run


COUNTERS = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens",
    "cache_creation_ephemeral_1h_input_tokens",
    "output_tokens",
    "web_search_requests",
)


def true_counters(simulator: Simulator, start: str, end: dt.datetime | None = None) -> list[int]:
    """Return the sums of the simulator's own facts."""
    facts = simulator.facts.between(
        dt.datetime.fromisoformat(start), min(end or NOW, simulator.now - DELAY)
    )
    return [sum(column) for column in zip(*(f.counters for f in facts if f.counters), strict=True)]


def true_cents(simulator: Simulator, start: str, end: dt.datetime | None = None) -> Decimal:
    facts = simulator.facts.between(
        dt.datetime.fromisoformat(start), min(end or NOW, simulator.now - DELAY)
    )
    return sum((line.amount for fact in facts for line in fact.costs), Decimal(0))


def counters(records: Iterable[dict[str, Any]]) -> list[int]:
    return [
        sum(column) for column in zip(*([r[c] for c in COUNTERS] for r in records), strict=True)
    ]


def cents(records: Iterable[dict[str, Any]]) -> Decimal:
    return sum((Decimal(record["amount"]) for record in records), Decimal(0))


def dollars(records: Iterable[dict[str, Any]]) -> Decimal:
    return sum((Decimal(record["amount_usd"]) for record in records), Decimal(0))


def starts(simulator: Simulator, path: str) -> list[str]:
    return [seen.values("starting_at")[0] for seen in simulator.requests(path)]


@pytest.mark.slow
def test_a_year_is_exact_and_takes_a_dozen_requests(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=400)
    start = days_ago(365)
    run = tap(config=settings(simulator, start_date=start))
    assert run.code == 0, run.stderr
    usage, cost = run.records("messages_usage"), run.records("cost_report")
    now = dt.datetime.now(dt.UTC)
    silent_days = 366 - len({r["starting_at"] for r in usage})
    assert silent_days >= 45
    assert counters(usage) == true_counters(simulator, start, now)
    assert cents(cost) == true_cents(simulator, start, now)
    assert dollars(cost) * 100 == cents(cost)
    assert len(simulator.requests("usage_report/messages")) <= 13
    assert len(simulator.requests("cost_report")) <= 13
    for records in (usage, cost):
        assert len({r["row_id"] for r in records}) == len(records)


def test_the_simulated_history_has_every_special_case(simulate: Any, tap: Any) -> None:
    """The tests of the tap rely on these cases."""
    simulator = simulate(days=120, now=NOW)
    run = tap(config=settings(simulator, start_date=days_ago(119, NOW)))
    usage, cost = run.records("messages_usage"), run.records("cost_report")
    assert any(r["workspace_id"] is None for r in usage)
    assert any(r["workspace_id"] is None for r in cost)
    assert any(r["api_key_id"] is None for r in usage)
    assert any(r["service_tier"] == "tier_of_tomorrow" for r in usage)
    assert max(r["cache_read_input_tokens"] for r in usage) > 2**31
    assert any(Decimal(r["amount"]) < 0 and r["model"] is None for r in cost)
    assert {"web_search", "code_execution", "session_usage", "tokens", None} == {
        r["cost_type"] for r in cost
    }
    decimals = {len(r["amount"].partition(".")[2]) for r in cost}
    assert set(range(13)) <= decimals
    assert not any(r["service_tier"] == "priority" for r in cost)
    assert any(r["service_tier"] == "priority" for r in usage)
    assert run.stderr.count("field_of_tomorrow_count") == 1


def test_rows_that_look_the_same_are_summed(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, breadth=60, now=NOW)
    report = {"name": "by_geo", "report": "messages_usage", "group_by": ["inference_geo"]}
    start = days_ago(2, NOW)
    run = tap(config=settings(simulator, start_date=start, reports=[report]))
    records = run.records("by_geo")
    assert len(records) == len({(r["starting_at"], r["inference_geo"]) for r in records})
    assert counters(records) == true_counters(simulator, start)


def test_rows_have_the_grain_of_the_facts(simulate: Any, tap: Any) -> None:
    """Every combination of dimensions is a row of its own, with its own sum."""
    simulator = simulate(days=8, breadth=80, now=NOW)
    start = days_ago(7, NOW)
    run = tap(config=settings(simulator, start_date=start))
    cost: dict[tuple[Any, ...], Decimal] = {}
    usage: dict[tuple[Any, ...], int] = {}
    for fact in simulator.facts.between(dt.datetime.fromisoformat(start), NOW - DELAY):
        day = fact.moment.strftime("%Y-%m-%dT00:00:00Z")
        workspace = None if fact.workspace_id == DEFAULT_WORKSPACE else fact.workspace_id
        for line in fact.costs:
            parsed = (fact.model, fact.context_window, fact.service_tier, fact.inference_geo)
            if line.cost_type != "tokens":
                parsed = (None,) * 4
            key = (day, workspace, line.description, line.cost_type, line.token_type, *parsed)
            cost[key] = cost.get(key, Decimal(0)) + line.amount
        if fact.counters:
            group = (fact.api_key_id, fact.model, fact.service_tier, fact.context_window)
            usage[day, workspace, *group] = (
                usage.get((day, workspace, *group), 0) + fact.counters[4]
            )
    cost_columns = "starting_at workspace_id description cost_type token_type model context_window"
    cost_columns += " service_tier inference_geo"
    usage_columns = "starting_at workspace_id api_key_id model service_tier context_window"
    assert {
        tuple(r[c] for c in cost_columns.split()): Decimal(r["amount"])
        for r in run.records("cost_report")
    } == cost
    assert {
        tuple(r[c] for c in usage_columns.split()): r["output_tokens"]
        for r in run.records("messages_usage")
    } == usage
    assert len(run.records("cost_report")) == len(cost)
    assert len(run.records("messages_usage")) == len(usage)


def test_currencies_are_never_added(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    rows = [
        {"amount": "1.5", "currency": "USD", "description": "d"},
        {"amount": "2.5", "currency": "EUR", "description": "d"},
        {"amount": "3.5", "currency": "USD", "description": "d"},
    ]
    bucket = {"starting_at": days_ago(2, NOW), "ending_at": days_ago(1, NOW), "results": rows}
    body = json.dumps({"data": [bucket], "has_more": False, "next_page": None})
    simulator.faults.append(Fault(status=200, body=body, path="cost_report"))
    run = tap(config=settings(simulator, start_date=days_ago(2, NOW)))
    assert sorted((r["amount"], r["amount_usd"]) for r in run.records("cost_report")) == [
        ("2.5", None),
        ("5.0", "0.050"),
    ]


@pytest.mark.parametrize(
    ("width", "length", "requests"),
    [("1h", dt.timedelta(days=3), 2), ("1m", dt.timedelta(hours=3), 2)],
)
def test_narrow_buckets_take_few_requests(
    simulate: Any, tap: Any, width: str, length: dt.timedelta, requests: int
) -> None:
    simulator = simulate(days=5, now=NOW)
    start = (NOW - length).isoformat()
    run = tap(config=settings(simulator, start_date=start, bucket_width=width))
    assert run.code == 0, run.stderr
    assert 1 <= len(simulator.requests("usage_report/messages")) <= requests
    first = min(r["starting_at"] for r in run.records("messages_usage"))
    records = run.records("messages_usage")
    snapped = dt.datetime.fromisoformat(start).replace(second=0)
    if width == "1h":
        snapped = snapped.replace(minute=0)
    assert first >= snapped.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert counters(records) == true_counters(simulator, snapped.isoformat())
    assert {r["bucket_width"] for r in records} == {width}
    # cost_report has days only
    assert {r["bucket_width"] for r in run.records("cost_report")} == {"1d"}


@pytest.mark.slow
def test_pages_grow_up_to_the_limits_of_the_api_and_of_bytes(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(days=30, now=NOW)
    config = settings(simulator, start_date=days_ago(20, NOW), bucket_width="1h")

    def lengths() -> list[int]:
        simulator.seen.clear()
        stream: Any = TapClaude(config=config).streams["messages_usage"]
        records = list(stream.get_records(None))
        assert counters(records) == true_counters(simulator, days_ago(20, NOW))
        bounds = [
            [
                dt.datetime.fromisoformat(seen.values(name)[0])
                for name in ("starting_at", "ending_at")
            ]
            for seen in simulator.seen
        ]
        return [int((end - start) / dt.timedelta(hours=1)) for start, end in bounds]

    assert lengths() == [24, 168, 168, 134]
    monkeypatch.setattr("tap_claude.report_kinds.PAGE_BYTES", 20_000)
    assert lengths()[0] == 24
    assert all(1 <= hours < 100 for hours in lengths()[1:])
    monkeypatch.setattr("tap_claude.report_kinds.PAGE_BYTES", 1)
    assert set(lengths()[1:]) == {1}


@pytest.mark.slow
def test_every_record_fits_its_schema_and_every_time_its_format(simulate: Any, tap: Any) -> None:
    run = tap(config=settings(simulate(days=40), start_date=days_ago(39)))
    for stream in ("messages_usage", "cost_report"):
        schema = run.schemas[stream]["schema"]
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        times = [n for n, s in schema["properties"].items() if s.get("format") == "date-time"]
        records = run.records(stream)
        assert records
        for record in records:
            validator.validate(record)
            assert list(record) == list(schema["properties"])
            for name in times:
                fraction = r"\.\d{3}" if name == "extracted_at" else ""
                assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d{fraction}Z", record[name])
        assert len({record["extracted_at"] for record in records}) == 1
        assert {record["organization_type"] for record in records} == {"console"}


def test_only_the_running_bucket_is_incomplete(simulate: Any, tap: Any) -> None:
    run = tap(config=settings(simulate(days=5), start_date=days_ago(4)))
    today = days_ago(0)
    for stream in ("messages_usage", "cost_report"):
        by_day = {(r["starting_at"], r["is_complete"]) for r in run.records(stream)}
        assert {day for day, complete in by_day if not complete} <= {today}
        assert {day for day, complete in by_day if complete} == {days_ago(n) for n in (4, 3, 2, 1)}


# -- bookmarks


def test_the_bookmark_passes_days_without_data(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=120)
    first, after = simulator.facts.silence
    run = tap(
        config=settings(
            simulator,
            start_date=(first + dt.timedelta(days=2)).isoformat(),
            end_date=(after - dt.timedelta(days=2)).isoformat(),
        )
    )
    assert run.code == 0
    assert not run.records("messages_usage")
    assert not run.records("cost_report")
    expected = f"{after - dt.timedelta(days=3)}T00:00:00Z"
    assert run.bookmark("messages_usage") == run.bookmark("cost_report") == expected


@pytest.mark.slow
def test_a_later_run_repeats_only_the_lookback(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=120)
    config = settings(simulator, start_date=days_ago(119))
    first = tap(config={**config, "end_date": days_ago(10)})
    assert first.bookmark("cost_report") == days_ago(11)
    simulator.seen.clear()
    second = tap(config=config, state=first.state)
    assert starts(simulator, "cost_report") == [days_ago(18)]
    assert starts(simulator, "usage_report/messages") == [days_ago(18)]
    assert second.bookmark("cost_report") == days_ago(0)
    again = {r["row_id"] for r in second.records("cost_report")}
    before = {r["row_id"] for r in first.records("cost_report")}
    expected = {
        r["row_id"] for r in first.records("cost_report") if r["starting_at"] >= days_ago(18)
    }
    assert again & before == expected


@pytest.mark.parametrize("days", [0, 2])
def test_lookback_days(simulate: Any, tap: Any, days: int) -> None:
    simulator = simulate(days=30)
    config = settings(simulator, start_date=days_ago(29), lookback_days=days)
    first = tap(config={**config, "end_date": days_ago(10)})
    simulator.seen.clear()
    tap(config=config, state=first.state)
    assert starts(simulator, "cost_report") == [days_ago(11 + days)]


@pytest.mark.slow
def test_the_bookmark_never_moves_back(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=120)
    config = settings(simulator, start_date=days_ago(119), lookback_days=100)
    state = tap(config={**config, "end_date": days_ago(3)}).state
    bookmark = state["bookmarks"]["cost_report"]["replication_key_value"]
    run = tap(config=config, state=state)
    assert len(run.records("cost_report")) > 100
    seen = [s["bookmarks"]["cost_report"]["replication_key_value"] for s in run.states]
    assert min(seen) == bookmark
    assert seen == sorted(seen)
    # also if a run reads less than the last one
    earlier = tap(config={**config, "end_date": days_ago(50)}, state=state)
    assert earlier.bookmark("cost_report") == bookmark


@pytest.mark.slow
def test_state_follows_every_page(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=100)
    simulator.faults.append(Fault(status=400, path="cost_report", after=2))
    config = settings(simulator, start_date=days_ago(99))
    run = tap(config=config)
    assert run.code == 1
    pages = [seen for seen in simulator.requests("cost_report") if seen.status == 200]
    assert len(pages) == 2
    last_read = dt.date.fromisoformat(pages[1].values("ending_at")[0][:10]) - dt.timedelta(days=1)
    assert run.bookmark("cost_report") == f"{last_read}T00:00:00Z"
    resumed = tap(config={**config, "lookback_days": 0}, state=run.state)
    assert resumed.code == 0
    whole = {r["row_id"]: r for r in (*run.records("cost_report"), *resumed.records("cost_report"))}
    assert cents(whole.values()) == true_cents(simulator, days_ago(99), dt.datetime.now(dt.UTC))


def test_bookmarks_of_any_precision_are_read(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=20)
    value = days_ago(5).replace("Z", ".000000+00:00")
    state = {
        "bookmarks": {
            "cost_report": {"replication_key": "starting_at", "replication_key_value": value}
        }
    }
    run = tap(config=settings(simulator, start_date=days_ago(19)), state=state)
    assert starts(simulator, "cost_report") == [days_ago(12)]
    assert run.bookmark("cost_report") == days_ago(0)


def test_the_state_has_no_page_tokens_and_no_secrets(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=100)
    run = tap(config=settings(simulator, start_date=days_ago(99)))
    for state in run.states:
        assert "page_" not in str(state)
        assert "sk-ant" not in str(state)
    here = simulator.organization_ids["console"]
    read = {name: state for name, state in run.state["bookmarks"].items() if state}
    assert read == {
        name: {
            "replication_key": "starting_at",
            "replication_key_value": days_ago(0),
            "report": {"group_by": sorted(group_by), "filters": {}, "bucket_width": "1d"},
            "organizations": {"console": {"id": here, "api_id": here}},
        }
        for name, group_by in (
            ("cost_report", CostReport.default_group_by),
            ("messages_usage", MessagesUsage.default_group_by),
        )
    }


@pytest.mark.slow
def test_full_table_reads_all_and_keeps_no_bookmark(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=20)
    config = settings(simulator, start_date=days_ago(19))
    catalog = json.loads(tap("--discover", config=config).stdout)
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["stream"] == "cost_report"
    state = tap(config=config).state
    simulator.seen.clear()
    run = tap(config=config, state=state, catalog=catalog)
    assert run.code == 0, run.stderr
    assert starts(simulator, "cost_report") == [days_ago(19)]


# -- requests


def test_requests_are_as_documented(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    tap(config=settings(simulator, start_date=days_ago(2, NOW), models=["claude-opus-4-6"]))
    (usage,) = simulator.requests("usage_report/messages")
    assert sorted(usage.query) == [
        ("bucket_width", "1d"),
        ("ending_at", "2026-03-21T00:00:00Z"),
        ("group_by[]", "api_key_id"),
        ("group_by[]", "context_window"),
        ("group_by[]", "model"),
        ("group_by[]", "service_tier"),
        ("group_by[]", "workspace_id"),
        ("limit", "31"),
        ("models[]", "claude-opus-4-6"),
        ("starting_at", "2026-03-18T00:00:00Z"),
    ]
    (cost,) = simulator.requests("cost_report")
    assert sorted(cost.query) == [
        ("bucket_width", "1d"),
        ("ending_at", "2026-03-21T00:00:00Z"),
        ("group_by[]", "description"),
        ("group_by[]", "workspace_id"),
        ("limit", "31"),
        ("starting_at", "2026-03-18T00:00:00Z"),
    ]
    for seen in (usage, cost):
        assert seen.headers["x-api-key"].startswith("sk-ant-admin01-")
        assert "authorization" not in seen.headers
        assert seen.headers["anthropic-version"] == "2023-06-01"
        assert seen.headers["user-agent"].startswith("tap-claude/")
        assert "anthropic-beta" not in seen.headers


def test_the_token_is_used_if_there_is_no_admin_key(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3)
    config = settings(simulator, start_date=days_ago(2), access_token="sk-ant-oat01-simulator")
    assert tap(config=config).code == 0
    assert all("authorization" not in seen.headers for seen in simulator.seen)
    del config["admin_api_key"]
    simulator.seen.clear()
    assert tap(config=config).code == 0
    assert {seen.headers["authorization"] for seen in simulator.seen} == {
        "Bearer sk-ant-oat01-simulator"
    }
    assert all("x-api-key" not in seen.headers for seen in simulator.seen)


def test_filters_reach_the_api(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    workspace = simulator.facts.organization.workspaces[1]
    config = settings(simulator, start_date=days_ago(4, NOW), workspace_ids=[workspace])
    run = tap(config=config)
    assert {r["workspace_id"] for r in run.records("messages_usage")} == {workspace}
    # cost_report has no filters; it must not look filtered
    assert None in {r["workspace_id"] for r in run.records("cost_report")}


# -- custom reports


@pytest.mark.slow
def test_custom_reports_are_separate_streams(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    reports = [
        {
            "name": "usage_fast_hourly",
            "report": "messages_usage",
            "group_by": ["speed", "inference_geo", "account_id"],
            "bucket_width": "1h",
            "filters": {"speeds": ["fast"], "service_tiers": ["standard", "batch"]},
        },
        {"name": "usage_total", "report": "messages_usage", "group_by": []},
        {"name": "cost_total", "report": "cost_report"},
    ]
    start = days_ago(4, NOW)
    run = tap(config=settings(simulator, start_date=start, bucket_width="1m", reports=reports))
    assert run.code == 0, run.stderr
    fast = run.records("usage_fast_hourly")
    assert fast
    assert {r["speed"] for r in fast} == {"fast"}
    assert {r["bucket_width"] for r in fast} == {"1h"}
    assert {r["model"] for r in fast} == {None}
    for name in ("usage_total", "cost_total"):
        records = run.records(name)
        assert len(records) == len({r["starting_at"] for r in records}) == 5
    assert counters(run.records("usage_total")) == true_counters(simulator, start)
    assert cents(run.records("cost_total")) == true_cents(simulator, start)
    betas = {
        seen.headers.get("anthropic-beta")
        for seen in simulator.requests("usage_report/messages")
        if ("group_by[]", "speed") in seen.query
    }
    assert betas == {"fast-mode-2026-02-01"}
    keys = [m["record"]["row_id"] for m in run.messages if m["type"] == "RECORD"]
    assert len(set(keys)) == len(keys)


# -- an API that refuses an end in the future


@pytest.mark.slow
def test_an_end_in_the_future_may_be_refused(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=40, refuse_future=True)
    run = tap(config=settings(simulator, start_date=days_ago(39)))
    assert run.code == 0, run.stderr
    assert run.stderr.count("current bucket is left out") == 2
    assert run.bookmark("cost_report") == days_ago(1)
    assert max(r["starting_at"] for r in run.records("cost_report")) == days_ago(1)
    # also if there is only the current bucket to read
    again = tap(config=settings(simulator, lookback_days=0, start_date=days_ago(0)))
    assert again.code == 0, again.stderr
    assert not again.records("cost_report")


def test_a_400_about_available_data_is_an_error_for_other_reports(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=40, now=NOW)
    message = "starting_at: the newest available day is 2026-03-15"
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    simulator.faults.append(Fault(400, path="cost_report", body=json.dumps(body)))
    config = settings(simulator, start_date=days_ago(30, NOW))
    run = tap(config=config, catalog=only(config, "cost_report"))
    assert run.code == 1
    assert message in run.errors[-1]


def test_the_bookmark_is_at_the_last_complete_bucket_of_an_invalid_page(
    simulate: Any, tap: Any
) -> None:
    simulator = simulate(days=10, now=NOW)

    def bucket(day: int, amount: Any) -> dict[str, Any]:
        return {
            "starting_at": days_ago(day, NOW),
            "ending_at": days_ago(day - 1, NOW),
            "results": [{"amount": amount, "currency": "USD", "description": "d"}],
        }

    data = [bucket(9, "1"), bucket(8, "2"), bucket(7, "a lot"), bucket(6, "4")]
    body = json.dumps({"data": data, "has_more": False, "next_page": None})
    simulator.faults.append(Fault(200, path="cost_report", body=body))
    config = settings(simulator, start_date=days_ago(9, NOW))
    run = tap(config=config, catalog=only(config, "cost_report"))
    assert run.code == 1
    assert [r["amount"] for r in run.records("cost_report")] == ["1", "2"]
    assert run.bookmark("cost_report") == days_ago(8, NOW)


# -- a bookmark belongs to a definition


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"group_by": ["model", "workspace_id"]}, 'group_by is ["model", "workspace_id"], but was'),
        ({"filters": {"models": ["claude-opus-4-6"]}}, "filters is"),
        ({"filters": {"api_key_ids": [""]}}, "filters is"),
        ({"bucket_width": "1h"}, 'bucket_width is "1h", but was "1d"'),
        ({"group_by": []}, 'group_by is [], but was ["model"]'),
    ],
)
def test_a_changed_definition_is_refused_and_the_other_streams_are_read(
    simulate: Any, tap: Any, change: dict[str, Any], says: str
) -> None:
    """Rows of both would share a table, and its sum would be doubled."""
    simulator = simulate(days=5, now=NOW)
    report = {"name": "by_model", "report": "messages_usage", "group_by": ["model"]}
    config = settings(simulator, start_date=days_ago(4, NOW), reports=[report])
    first = tap(config=config)
    assert first.code == 0, first.stderr
    run = tap(config={**config, "reports": [{**report, **change}]}, state=first.state)
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith("by_model: ")
    assert says in error
    assert "give the report a new name, or delete the stream's bookmark and empty its" in error
    assert not run.records("by_model")
    assert run.state["bookmarks"]["by_model"] == first.state["bookmarks"]["by_model"]
    assert run.records("cost_report")
    assert run.records("messages_usage")


def test_the_order_in_a_definition_does_not_matter(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    report = {
        "name": "mixed",
        "report": "messages_usage",
        "group_by": ["model", "workspace_id"],
        "filters": {"models": ["a", "b"], "service_tiers": ["batch"]},
    }
    config = settings(simulator, start_date=days_ago(4, NOW), reports=[report])
    state = tap(config=config).state
    report["group_by"] = ["workspace_id", "model"]
    report["filters"] = {"service_tiers": ["batch"], "models": ["b", "a"]}
    assert tap(config=config, state=state).code == 0


def test_a_changed_setting_changes_the_definition_too(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(simulator, start_date=days_ago(2, NOW))
    state = tap(config=config).state
    run = tap(config={**config, "bucket_width": "1h"}, state=state)
    assert run.code == 1
    assert [error.partition(":")[0] for error in run.errors] == ["messages_usage"]
    assert run.records("cost_report")


# -- the response is checked against the request


def test_days_are_not_accepted_as_hours(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    simulator.faults.append(Fault(path="usage_report/messages", change=days_for_hours))
    config = settings(simulator, start_date=days_ago(4, NOW), bucket_width="1h")
    run = tap(config=config)
    assert run.code == 1
    assert " and be 1:00:00 long" in run.errors[-1]
    assert not run.records("messages_usage")
    assert run.records("cost_report")


@pytest.mark.slow
@pytest.mark.parametrize("change", [drop_first_bucket, drop_middle_bucket, one_bucket])
def test_the_bookmark_does_not_pass_a_missing_bucket(simulate: Any, tap: Any, change: Any) -> None:
    simulator = simulate(days=20, now=NOW)
    simulator.faults.append(Fault(path="usage_report/messages", change=change))
    config = settings(simulator, start_date=days_ago(19, NOW), lookback_days=0)
    run = tap(config=config)
    assert run.code == 1
    assert run.errors[-1].startswith("messages_usage: a bucket is from")
    again = tap(config=config, state=run.state)
    assert again.code == 0
    read = {r["row_id"] for r in [*run.records("messages_usage"), *again.records("messages_usage")]}
    whole = tap(config=config)
    assert read == {r["row_id"] for r in whole.records("messages_usage")}


@pytest.mark.parametrize("width", ["1d", "1h"])
def test_buckets_that_continue_on_the_next_page_are_complete(
    simulate: Any, tap: Any, width: str
) -> None:
    plain = simulate(days=20, now=NOW)
    split = simulate(days=20, now=NOW, split_buckets=True)
    rows = []
    for simulator in (plain, split):
        config = settings(simulator, start_date=days_ago(9, NOW), bucket_width=width)
        run = tap(config=config)
        assert run.code == 0, run.stderr
        ids = [r["row_id"] for r in run.records("messages_usage")]
        assert len(set(ids)) == len(ids)
        rows.append(
            {
                r["row_id"]: {**r, "extracted_at": None}
                for name in ("messages_usage", "cost_report")
                for r in run.records(name)
            }
        )
    assert rows[0] == rows[1]


# -- filters


def test_an_empty_filter_reaches_the_api(simulate: Any, tap: Any) -> None:
    """It means use without a key, not all use."""
    simulator = simulate(days=5, now=NOW)
    report = {
        "name": "without_key",
        "report": "analytics_cost",
        "group_by": [],
        "filters": {"api_key_ids": [""]},
    }
    config = settings(simulator, start_date=days_ago(4, NOW), reports=[report])
    run = tap(config=config, catalog=only(config, "analytics_cost", "without_key"))
    assert run.code == 0, run.stderr
    sent = [seen for seen in simulator.requests("analytics/cost") if seen.values("api_key_ids[]")]
    assert [seen.values("api_key_ids[]") for seen in sent] == [[""]]
    keyless = [r for r in run.records("analytics_cost") if r["api_key_id"] is None]
    assert keyless
    assert cents(run.records("without_key")) == cents(keyless)
    assert cents(keyless) < cents(run.records("analytics_cost"))


def test_the_last_page_may_name_a_next_one(simulate: Any, tap: Any) -> None:
    """``has_more`` decides, also whether the last bucket of a page is complete."""
    simulator = simulate(days=5, now=NOW)
    bucket = {
        "starting_at": days_ago(1, NOW),
        "ending_at": days_ago(0, NOW),
        "results": [{"amount": "1", "currency": "USD", "description": "d"}],
    }
    body = json.dumps({"data": [bucket], "has_more": False, "next_page": "page_xyz"})
    simulator.faults.append(Fault(200, path="cost_report", body=body))
    config = settings(simulator, start_date=days_ago(1, NOW), end_date=days_ago(0, NOW))
    run = tap(config=config, catalog=only(config, "cost_report"))
    assert run.code == 0, run.stderr
    assert [r["amount"] for r in run.records("cost_report")] == ["1"]
    assert run.bookmark("cost_report") == days_ago(1, NOW)
    assert "returned no bucket" not in run.stderr
