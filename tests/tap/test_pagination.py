"""Cursors: followed to the last page, never in a circle, never computed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulator.server import ANALYTICS_KEY, Fault
from tests.conftest import NOW, days_ago, only, settings


def page(day: int, *, more: bool | None = None, cursor: str | None = None, **extra: Any) -> Fault:
    """Return a page of cost_report with one bucket and one cent in it."""
    bucket = {
        "starting_at": days_ago(day, NOW),
        "ending_at": days_ago(day - 1, NOW),
        "results": [{"amount": "1", "currency": "USD", "description": "d"}],
    }
    body: dict[str, Any] = {"data": [bucket], "next_page": cursor, **extra}
    if more is not None:
        body["has_more"] = more
    return Fault(status=200, body=json.dumps(body), path="cost_report")


def empty(*, more: bool, cursor: str | None) -> Fault:
    body = {"data": [], "has_more": more, "next_page": cursor}
    return Fault(status=200, body=json.dumps(body), path="cost_report")


def run_with(tap: Any, simulator: Any, *faults: Fault) -> Any:
    simulator.faults.extend(faults)
    config = settings(simulator, start_date=days_ago(9, NOW))
    return tap(config=config, catalog=only(config, "cost_report"))


def test_an_empty_page_is_not_the_end(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=10, now=NOW)
    run = run_with(
        tap,
        simulator,
        page(9, more=True, cursor="page_b"),
        empty(more=True, cursor="page_c"),
        page(8, more=True, cursor="page_a"),
        page(7, more=False),
    )
    assert run.code == 0, run.stderr
    assert [r["starting_at"] for r in run.records("cost_report")] == [
        days_ago(day, NOW) for day in (9, 8, 7)
    ]
    sent = simulator.requests("cost_report")
    assert [seen.values("page") for seen in sent] == [[], ["page_b"], ["page_c"], ["page_a"]]
    rest = [{pair for pair in seen.query if pair[0] != "page"} for seen in sent]
    assert all(query == rest[0] for query in rest)


@pytest.mark.parametrize(
    "last",
    [page(9, cursor=None), page(9, more=False, cursor="page_left_over")],
    ids=["no has_more, null cursor", "has_more false rules"],
)
def test_the_paging_fields_decide_when_to_stop(simulate: Any, tap: Any, last: Fault) -> None:
    simulator = simulate(days=10, now=NOW)
    assert run_with(tap, simulator, last).code == 0
    assert len(simulator.requests("cost_report")) == 1


def test_a_cursor_without_has_more_is_followed(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=10, now=NOW)
    run = run_with(tap, simulator, page(9, cursor="page_b"), page(8, more=False))
    assert len(run.records("cost_report")) == 2


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ([page(9, more=True, cursor=None)], "no next_page"),
        ([page(9, more=True, cursor="")], "no next_page"),
        (
            [page(9, more=True, cursor="page_b"), page(8, more=True, cursor="page_b")],
            "twice",
        ),
        (
            [
                page(9, more=True, cursor="page_b"),
                page(8, more=True, cursor="page_c"),
                page(7, more=True, cursor="page_b"),
            ],
            "twice",
        ),
        ([Fault(status=200, body='{"data": []}', path="cost_report")], "neither has_more nor"),
    ],
    ids=["no cursor", "empty cursor", "repeated", "a circle", "no paging fields"],
)
def test_contradicting_paging_fields_are_an_error(
    simulate: Any, tap: Any, faults: list[Fault], says: str
) -> None:
    simulator = simulate(days=10, now=NOW)
    run = run_with(tap, simulator, *faults)
    assert run.code == 1
    assert run.errors[-1].startswith("cost_report: ")
    assert says in run.errors[-1]
    assert len(simulator.requests("cost_report")) == len(faults)
    # Earlier buckets are kept, except the last one, which the next page may continue.
    assert len(run.records("cost_report")) == len(faults) - 1


@pytest.mark.parametrize("days", [(10, 9), (9, 7), (8, 7), (9, 9), (9, 8, 8)])
def test_buckets_that_were_not_requested_are_an_error(
    simulate: Any, tap: Any, days: tuple[int, ...]
) -> None:
    """One before the window, a gap, one missing at the start, one that is repeated."""
    simulator = simulate(days=10, now=NOW)
    first = page(days[0], more=False)
    body = json.loads(str(first.body))
    body["data"] = [json.loads(str(page(day).body))["data"][0] for day in days]
    body["data"][-1]["results"].append({"amount": "1", "currency": "USD", "description": "e"})
    first.body = json.dumps(body)
    run = run_with(tap, simulator, first)
    assert run.code == 1
    assert " and be 1 day, 0:00:00 long" in run.errors[-1]


def test_a_bucket_that_continues_on_the_next_page_is_one_bucket(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=10, now=NOW)
    run = run_with(
        tap, simulator, page(9, more=True, cursor="page_b"), page(9, more=False, cursor=None)
    )
    (record,) = run.records("cost_report")
    assert record["amount"] == "2"


def test_buckets_missing_at_the_end_are_requested_again(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=10, now=NOW)
    run = run_with(tap, simulator, page(9, more=False))
    assert run.bookmark("cost_report") == days_ago(9, NOW)
    assert f"the API returned no bucket for {days_ago(8, NOW)}" in run.stderr
    config = settings(simulator, start_date=days_ago(9, NOW), lookback_days=0)
    again = tap(config=config, state=run.state, catalog=only(config, "cost_report"))
    assert again.bookmark("cost_report") == days_ago(0, NOW)
    assert simulator.requests("cost_report")[-1].values("starting_at") == [days_ago(9, NOW)]


@pytest.mark.parametrize("envelope", ["data", "summaries"])
def test_a_series_may_have_several_pages(simulate: Any, tap: Any, envelope: str) -> None:
    """It has one page today, usually without next_page; if there is one, it is followed."""
    simulator = simulate(days=10, now=NOW)
    pages = [
        {envelope: [{"starting_at": days_ago(3, NOW)}], "next_page": "page_b"},
        {envelope: [{"starting_at": days_ago(2, NOW)}]},
    ]
    simulator.faults.extend(
        Fault(status=200, body=json.dumps(body), path="summaries") for body in pages
    )
    config = settings(simulator, analytics_api_key=ANALYTICS_KEY, start_date=days_ago(3, NOW))
    run = tap(config=config, catalog=only(config, "analytics_summaries"))
    assert run.code == 0, run.stderr
    assert len(run.records("analytics_summaries")) == 2
    sent = simulator.requests("analytics/summaries")
    assert [seen.values("page") for seen in sent] == [[], ["page_b"]]
