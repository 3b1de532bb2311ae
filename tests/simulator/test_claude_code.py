"""The simulated Claude Code report: strictness, special rows, and exact sums."""

from __future__ import annotations

import collections
import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.claude_code import COUNTERS, TOKENS, Sitting, sittings
from simulator.facts import SILENCE_AFTER_DAYS
from simulator.server import ADMIN_KEY, ANALYTICS_KEY, Simulator
from tests.conftest import NOW, simulated
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TODAY = NOW.date()
DAYS = [TODAY - dt.timedelta(days=ago) for ago in range(1, 15)]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=30, now=NOW) as made:
        yield made


def get(simulator: Simulator, key: str = ADMIN_KEY, **pairs: Any) -> requests.Response:
    return requests.get(
        f"{simulator.url}/v1/organizations/usage_report/claude_code",
        params=pairs,
        headers={"x-api-key": key, "anthropic-version": "2023-06-01"},
        timeout=10,
    )


def page(simulator: Simulator, **pairs: Any) -> dict[str, Any]:
    response = get(simulator, **pairs)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = json.loads(response.text, parse_float=Decimal)
    assert found["has_more"] is (found["next_page"] is not None)
    return found


def rows(simulator: Simulator, date: dt.date, **pairs: Any) -> list[dict[str, Any]]:
    found = page(simulator, starting_at=date, **pairs)
    data: list[dict[str, Any]] = found["data"]
    while found["has_more"]:
        found = page(simulator, starting_at=date, page=found["next_page"], **pairs)
        data += found["data"]
    return data


def identity(row: dict[str, Any]) -> str:
    measured = {"core_metrics", "tool_actions", "model_breakdown"}
    return json.dumps({k: v for k, v in row.items() if k not in measured}, sort_keys=True)


def totals_of_rows(data: Iterable[dict[str, Any]]) -> dict[Any, Decimal]:
    totals: dict[Any, Decimal] = collections.defaultdict(Decimal)
    for row in data:
        metrics = row["core_metrics"]
        lines = {f"lines_{name}": count for name, count in metrics["lines_of_code"].items()}
        for name in COUNTERS:
            totals[name] += (metrics | lines)[name]
        for tool, counts in row["tool_actions"].items():
            totals[tool, "accepted"] += counts["accepted"]
            totals[tool, "rejected"] += counts["rejected"]
        for model in row.get("model_breakdown", ()):
            totals[model["model"], "cents"] += model["estimated_cost"]["amount"]
            for name, count in model["tokens"].items():
                totals[model["model"], name] += count
    return dict(totals)


def totals_of_sittings(day: Iterable[Sitting]) -> dict[Any, Decimal]:
    totals: dict[Any, Decimal] = collections.defaultdict(Decimal)
    for sitting in day:
        for name, count in zip(COUNTERS, sitting.counters, strict=True):
            totals[name] += count
        for tool, accepted, rejected in sitting.tools:
            totals[tool, "accepted"] += accepted
            totals[tool, "rejected"] += rejected
        for use in sitting.models:
            totals[use.model, "cents"] += use.cost
            for name, count in zip(TOKENS, use.tokens, strict=True):
                totals[use.model, name] += count
    return dict(totals)


@each(
    ("pairs", "says"),
    [
        ({}, "starting_at: Field required"),
        ({"starting_at": "2026-03-18T00:00:00Z"}, "YYYY-MM-DD"),
        ({"starting_at": "2026-3-18"}, "YYYY-MM-DD"),
        ({"starting_at": "2026-02-30"}, "valid date"),
        ({"starting_at": "2026-03-18", "ending_at": "2026-03-19"}, "ending_at: Extra inputs"),
        ({"starting_at": "2026-03-18", "limit": 0}, "limit"),
        ({"starting_at": "2026-03-18", "limit": 1001}, "limit"),
        ({"starting_at": "2026-03-18", "page": "page_x"}, "page"),
        ({"starting_at": "2026-03-18", "group_by[]": "model"}, "group_by[]"),
    ],
)
def test_wrong_queries(simulator: Simulator, pairs: dict[str, Any], says: str) -> None:
    response = get(simulator, **pairs)
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]


def test_an_enterprise_key_is_refused(simulator: Simulator) -> None:
    assert get(simulator, key=ANALYTICS_KEY, starting_at=DAYS[0]).status_code == 403


def test_cursors_belong_to_their_day(simulator: Simulator) -> None:
    first = page(simulator, starting_at=DAYS[0], limit=2)
    response = get(simulator, starting_at=DAYS[1], limit=2, page=first["next_page"])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "cursor does not match current query parameters"


def test_pages(simulator: Simulator) -> None:
    everything = rows(simulator, DAYS[0], limit=1000)
    assert len(page(simulator, starting_at=DAYS[0])["data"]) == min(20, len(everything))
    for limit in (1, 2, 7):
        assert rows(simulator, DAYS[0], limit=limit) == everything


def test_the_sums_of_a_day_equal_its_facts(simulator: Simulator) -> None:
    for day in DAYS:
        data = rows(simulator, day)
        assert {row["date"] for row in data} == {f"{day}T00:00:00Z"}
        assert {row["organization_id"] for row in data} == {simulator.organization_ids["console"]}
        assert totals_of_rows(data) == totals_of_sittings(sittings(simulator.facts, day))


def test_people_and_keys_are_those_of_the_directory(simulator: Simulator) -> None:
    known = simulator.directories["A"]
    names = {
        "user_actor": {row["email"] for row in known.users},
        "api_actor": {row["name"] for row in known.api_keys},
    }
    seen = collections.defaultdict(set)
    for day in DAYS:
        for row in rows(simulator, day):
            kind = row["actor"].pop("type")
            (name,) = row["actor"].values()
            seen[kind].add(name)
    assert set(seen) == set(names)
    assert all(seen[kind] <= names[kind] for kind in names)


def test_special_rows(simulator: Simulator) -> None:
    data = [row for day in DAYS for row in rows(simulator, day)]
    many = collections.Counter(map(identity, data))
    assert max(many.values()) > 1, "no rows that look the same"
    actors = collections.Counter((row["date"], str(row["actor"])) for row in data)
    assert max(actors.values()) > 2
    for name, values in (
        ("customer_type", {"api", "subscription"}),
        ("subscription_type", {"enterprise", "team", None, "absent"}),
        ("is_remote", {True, False, "absent"}),
    ):
        assert {row.get(name, "absent") for row in data} == values
    assert len({row["terminal_type"] for row in data}) > 3
    assert all(("is_remote" in row) is ("subscription_type" in row) for row in data)
    assert any("tool_of_tomorrow" in row["tool_actions"] for row in data)
    assert any(not row["tool_actions"] for row in data)
    assert any("model_breakdown" not in row for row in data)
    assert any(row.get("model_breakdown") == [] for row in data)


def test_amounts_are_numbers_with_every_digit(simulator: Simulator) -> None:
    text = "".join(get(simulator, starting_at=day, limit=1000).text for day in DAYS)
    amounts = [part.partition("}")[0] for part in text.split('"amount":')[1:]]
    whole = [amount for amount in amounts if amount.isdigit()]
    assert 0 < len(whole) < len(amounts)
    assert not [amount for amount in amounts if "e" in amount.lower()]
    assert [amount for amount in amounts if str(float(amount)) != amount not in whole]


def test_only_activity_older_than_an_hour_is_shown(simulate: Any) -> None:
    simulator = simulate(days=30, now=NOW)
    morning = rows(simulator, TODAY)
    until = NOW - dt.timedelta(hours=1)
    day = sittings(simulator.facts, TODAY)
    assert totals_of_rows(morning) == totals_of_sittings(s for s in day if s.moment < until)
    first = page(simulator, starting_at=TODAY, limit=3)
    simulator.stopped_clock = NOW.replace(hour=23, minute=59)
    # All pages show the data of the first one.
    second = page(simulator, starting_at=TODAY, limit=3, page=first["next_page"])
    assert first["data"] + second["data"] == morning[:6]
    evening = rows(simulator, TODAY)
    before, after = totals_of_rows(morning), totals_of_rows(evening)
    assert 0 < before["num_sessions"] < after["num_sessions"] < len(day) + 1
    simulator.stopped_clock = NOW + dt.timedelta(days=1)
    assert totals_of_rows(rows(simulator, TODAY)) == totals_of_sittings(day)
    assert rows(simulator, TODAY + dt.timedelta(days=9)) == []


def test_days_without_data(simulate: Any) -> None:
    simulator = simulate(days=150, now=NOW)
    first = simulator.facts.first_day
    silent = first + dt.timedelta(days=SILENCE_AFTER_DAYS)
    for day in (first - dt.timedelta(days=1), silent):
        response = {"data": [], "has_more": False, "next_page": None}
        assert page(simulator, starting_at=day) == response
    assert rows(simulator, silent - dt.timedelta(days=1))


def test_a_day_follows_from_the_seed(simulate: Any) -> None:
    same, other = simulate(days=60, now=NOW), simulate(days=30, now=NOW, seed=8)
    again = simulate(days=30, now=NOW)
    assert rows(same, DAYS[0]) == rows(again, DAYS[0]) != rows(other, DAYS[0])
