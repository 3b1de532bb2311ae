"""Claude Code: one pass over the days gives two streams, exact and complete."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from simulator import claude_code
from simulator.changes import other_day
from simulator.server import Fault
from tap_claude.tap import TapClaude
from tests.conftest import NOW, days_ago, only, settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.claude_code import Sitting
    from simulator.server import Simulator

USAGE, MODELS = "claude_code_usage", "claude_code_model_usage"
PATH = "usage_report/claude_code"


def sittings(simulator: Simulator, days: int) -> list[Sitting]:
    """Return the simulated activity of the last days, as far as the API shows it."""
    dates = [simulator.now.date() - dt.timedelta(days=day) for day in range(days)]
    return [
        sitting
        for date in dates
        for sitting in claude_code.sittings(simulator.facts, date)
        if sitting.moment < simulator.now - claude_code.DELAY
    ]


def total(records: Iterable[dict[str, Any]], column: str) -> int:
    return sum(record[column] or 0 for record in records)


def test_both_streams_equal_the_facts(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=12, breadth=80, now=NOW)
    config = settings(simulator, start_date=days_ago(11, NOW))
    run = tap(config=config, catalog=only(config, USAGE, MODELS))
    assert run.code == 0, run.stderr
    true = sittings(simulator, 12)
    usage, models = run.records(USAGE), run.records(MODELS)

    columns = (
        "num_sessions",
        "lines_of_code_added",
        "lines_of_code_removed",
        "commits_by_claude_code",
        "pull_requests_by_claude_code",
    )
    for index, column in enumerate(columns):
        assert total(usage, column) == sum(sitting.counters[index] for sitting in true)
    accepted: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for sitting in true:
        for tool, yes, no in sitting.tools:
            accepted[tool] += yes
            rejected[tool] += no
    for tool in ("edit_tool", "multi_edit_tool", "write_tool", "notebook_edit_tool"):
        assert total(usage, f"{tool}_accepted") == accepted[tool] > 0
        assert total(usage, f"{tool}_rejected") == rejected[tool]
    others = [r["other_tool_actions"] for r in usage if r["other_tool_actions"]]
    assert {tool for actions in others for tool in actions} == {"tool_of_tomorrow"}
    assert sum(a["tool_of_tomorrow"]["accepted"] for a in others) == accepted["tool_of_tomorrow"]
    assert sum(a["tool_of_tomorrow"]["rejected"] for a in others) == rejected["tool_of_tomorrow"]

    uses = [use for sitting in true for use in sitting.models]
    for index, column in enumerate(claude_code.TOKENS):
        assert total(models, f"tokens_{column}") == sum(use.tokens[index] for use in uses)
    cents = sum((use.cost for use in uses), Decimal(0))
    assert sum(Decimal(r["estimated_cost_amount"]) for r in models) == cents
    for record in models:  # dollars have 18 decimals, the simulated estimates may have more
        exact = Decimal(record["estimated_cost_amount"]) / 100
        assert abs(Decimal(record["estimated_cost_usd"]) - exact) <= Decimal("5E-19")

    for records in (usage, models):
        assert len({r["row_id"] for r in records}) == len(records)
        assert {r["actor_type"] for r in records} == {"user_actor", "api_actor"}
        assert None in {r["is_remote"] for r in records}
    assert run.stderr.count("the same identifying fields as") == 2
    for stream in (USAGE, MODELS):
        assert re.search(rf"{stream}: \d+ rows had the same identifying fields", run.stderr)
    assert "unknown to this version" not in run.stderr


@pytest.mark.slow
def test_one_chain_of_requests_per_day_for_any_selected_streams(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=6, breadth=1500, now=NOW)
    config = settings(simulator, start_date=days_ago(4, NOW))
    pages = None
    for streams in ((USAGE, MODELS), (USAGE,), (MODELS,)):
        catalog = only(config, *streams)
        simulator.seen.clear()
        run = tap(config=config, catalog=catalog)
        assert run.code == 0, run.stderr
        sent = [(s.values("starting_at")[0], s.values("limit")) for s in simulator.requests(PATH)]
        assert {day for day, _ in sent} == {days_ago(day, NOW)[:10] for day in range(5)}
        assert {tuple(limit) for _, limit in sent} == {("1000",)}
        assert len(sent) < 15
        pages = pages or len(sent)
        assert len(sent) == pages
        for stream in streams:
            assert run.records(stream)
            assert run.bookmark(stream) == days_ago(0, NOW)[:10]


def test_a_malformed_response_is_not_cached(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    for body in ("not json", '{"data": null}'):
        simulator.faults.append(Fault(status=200, body=body, path="claude_code"))
    config = settings(simulator, start_date=days_ago(2, NOW))
    run = tap(config=config, catalog=only(config, USAGE, MODELS))
    assert run.code == 0, run.stderr
    assert run.records(USAGE)
    assert run.records(MODELS)
    assert len(simulator.requests(PATH)) == 3 + 2


def test_the_bookmarks_are_independent(simulate: Any, tap: Any) -> None:
    """Streams that share requests may have different bookmarks."""
    simulator = simulate(days=30, now=NOW)
    config = settings(simulator, start_date=days_ago(29, NOW))
    both = only(config, USAGE, MODELS)
    state = {
        "bookmarks": {
            name: {"replication_key": "date", "replication_key_value": days_ago(day, NOW)[:10]}
            for name, day in ((USAGE, 5), (MODELS, 20))
        }
    }
    run = tap(config=config, catalog=both, state=state)
    assert run.code == 0, run.stderr
    assert min(r["date"] for r in run.records(USAGE)) == days_ago(8, NOW)[:10]
    assert min(r["date"] for r in run.records(MODELS)) == days_ago(23, NOW)[:10]
    days = [seen.values("starting_at")[0] for seen in simulator.requests(PATH)]
    assert len(days) == len(set(days)) == 24
    assert run.bookmark(USAGE) == run.bookmark(MODELS) == days_ago(0, NOW)[:10]


def test_the_bookmark_passes_days_without_data(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=120, now=NOW)
    first, after = simulator.facts.silence
    config = settings(simulator, start_date=first.isoformat(), end_date=after.isoformat())
    run = tap(config=config, catalog=only(config, USAGE, MODELS))
    assert run.code == 0
    assert not run.records(USAGE)
    last = (after - dt.timedelta(days=1)).isoformat()
    assert run.bookmark(USAGE) == run.bookmark(MODELS) == last


def test_a_day_is_complete_an_hour_after_its_end(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=4)
    config = settings(simulator, start_date=days_ago(3))
    run = tap(config=config, catalog=only(config, USAGE))
    now = dt.datetime.now(dt.UTC)
    for record in run.records(USAGE):
        end = dt.datetime.fromisoformat(record["date"] + "T00:00:00Z") + dt.timedelta(days=1)
        assert record["is_complete"] is (end <= now - dt.timedelta(hours=1))


def test_a_day_is_complete_after_the_delay(simulate: Any) -> None:
    simulator = simulate(days=6)
    stream: Any = TapClaude(config=settings(simulator, start_date=days_ago(5))).streams[USAGE]
    assert stream.delay == dt.timedelta(hours=1)
    stream.delay = dt.timedelta(days=2)
    complete = {r["date"]: r["is_complete"] for r in stream.get_records(None)}
    assert [complete[days_ago(day)[:10]] for day in (5, 4, 3, 2, 1)] == [True] * 3 + [False] * 2


def usage_page(*rows: dict[str, Any]) -> Fault:
    body = json.dumps({"data": rows, "has_more": False, "next_page": None})
    return Fault(status=200, body=body, path="claude_code")


def test_every_identifying_field_is_part_of_the_key(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    base = {
        "date": days_ago(1, NOW),
        "actor": {"type": "user_actor", "email_address": "a@example.com"},
        "organization_id": "o",
        "customer_type": "api",
        "subscription_type": None,
        "terminal_type": "vscode",
        "is_remote": False,
        "core_metrics": {"num_sessions": 1},
        "model_breakdown": [
            {"model": "m", "tokens": {"input": 1}, "estimated_cost": {"amount": 1}}
        ],
    }
    variants: list[dict[str, Any]] = [
        {},
        {"actor": {"type": "user_actor", "email_address": "b@example.com"}},
        {"actor": {"type": "api_actor", "api_key_name": "a@example.com"}},
        {"organization_id": "p"},
        {"customer_type": "subscription"},
        {"subscription_type": "team"},
        {"terminal_type": "tmux"},
        {"is_remote": True},
        {"is_remote": None},
        {"date": days_ago(1, NOW)[:10], "core_metrics": {"num_sessions": 2}},  # the first again
    ]
    simulator.faults.append(usage_page(*({**base, **variant} for variant in variants)))
    config = settings(simulator, start_date=days_ago(1, NOW), end_date=days_ago(0, NOW))
    run = tap(config=config, catalog=only(config, USAGE, MODELS))
    assert run.code == 0, run.stderr
    records = run.records(USAGE)
    assert len(records) == 9
    assert total(records, "num_sessions") == 11
    models = run.records(MODELS)
    assert len(models) == 9
    assert total(models, "tokens_input") == 10
    assert {r["estimated_cost_usd"] for r in models} == {None}  # no currency


def test_currencies_of_a_model_are_never_added(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    money = [(100, "USD"), (10, "EUR"), (4, "USD")]
    costs = [{"amount": amount, "currency": currency} for amount, currency in money]
    row = {
        "date": days_ago(1, NOW),
        "actor": {"type": "user_actor", "email_address": "a@example.com"},
        "model_breakdown": [{"model": "m", "estimated_cost": cost} for cost in costs],
    }
    simulator.faults.append(usage_page(row))
    config = settings(simulator, start_date=days_ago(1, NOW), end_date=days_ago(0, NOW))
    run = tap(config=config, catalog=only(config, MODELS))
    sums = {r["estimated_cost_currency"]: r["estimated_cost_amount"] for r in run.records(MODELS)}
    assert sums == {"USD": "104", "EUR": "10"}


def test_money_that_is_a_json_number_stays_exact(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=NOW)
    amounts = ["0.1", "12345678901234567.123456789012345678", "41", "1e-7", "0.30"]
    rows = ",".join(
        '{"actor": {"type": "api_actor", "api_key_name": "k"}, "model_breakdown": [{"model":'
        f'"m{n}", "tokens": {{}}, "estimated_cost": {{"amount": {amount}, "currency": "USD"}}}}]}}'
        for n, amount in enumerate(amounts)
    )
    body = f'{{"data": [{rows}], "has_more": false, "next_page": null}}'
    simulator.faults.append(Fault(status=200, body=body, path="claude_code"))
    config = settings(simulator, start_date=days_ago(1, NOW), end_date=days_ago(0, NOW))
    run = tap(config=config, catalog=only(config, MODELS))
    assert run.code == 0, run.stderr
    assert {
        r["model"]: (r["estimated_cost_amount"], r["estimated_cost_usd"])
        for r in run.records(MODELS)
    } == {
        "m0": ("0.1", "0.001"),
        "m1": ("12345678901234567.123456789012345678", "123456789012345.671234567890123457"),
        "m2": ("41", "0.41"),
        "m3": ("0.0000001", "0.000000001"),
        "m4": ("0.30", "0.0030"),
    }


def test_rows_of_another_day_are_an_error(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    simulator.faults.append(Fault(path="claude_code", change=other_day, after=1))
    config = settings(simulator, start_date=days_ago(4, NOW))
    run = tap(config=config, catalog=only(config, "claude_code_usage", "cost_report"))
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith(f"claude_code_usage: a row of {days_ago(3, NOW)} has date")
    assert {r["date"] for r in run.records("claude_code_usage")} <= {days_ago(4, NOW)[:10]}
    assert run.bookmark("claude_code_usage") == days_ago(4, NOW)[:10]
    assert run.records("cost_report")


@pytest.mark.slow
def test_a_row_repeated_on_the_next_page_causes_a_warning(simulate: Any, tap: Any) -> None:
    """The tap cannot know whether the API repeated it; it warns that it was added."""
    simulator = simulate(days=15, now=NOW, repeat_rows=True, breadth=200)
    config = settings(simulator, start_date=days_ago(14, NOW))
    run = tap(config=config, catalog=only(config, "analytics_cost"))
    assert run.code == 0, run.stderr
    assert "rows had the same identifying fields as another row" in run.stderr
    assert "If the API sent rows twice, the sums are too high" in run.stderr
    plain = simulate(days=15, now=NOW, breadth=200)
    run = tap(config={**config, "base_url": plain.url}, catalog=only(config, "analytics_cost"))
    assert "the same identifying fields as" not in run.stderr
