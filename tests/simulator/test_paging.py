"""Unusual page boundaries, which the simulator uses only on request."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.analytics import BETA
from simulator.server import ADMIN_KEY, ANALYTICS_KEY, Simulator
from tests.conftest import NOW, days_ago, simulated
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

RANGE = {"starting_at": days_ago(6, NOW), "ending_at": days_ago(0, NOW)}
BUCKETED = {
    "usage_report/messages": ADMIN_KEY,
    "cost_report": ADMIN_KEY,
    "analytics/usage_report": ANALYTICS_KEY,
    "analytics/cost_report": ANALYTICS_KEY,
}
CLAUDE_CODE, ANALYTICS = "usage_report/claude_code", "analytics/usage"


@pytest.fixture(scope="module")
def plain() -> Iterator[Simulator]:
    with simulated(days=8, now=NOW) as made:
        yield made


@pytest.fixture(scope="module")
def unusual() -> Iterator[Simulator]:
    with simulated(days=8, now=NOW, split_buckets=True, repeat_rows=True) as made:
        yield made


def pages(simulator: Simulator, path: str, key: str = ADMIN_KEY, **params: Any) -> list[list[Row]]:
    found: list[list[Row]] = []
    page: dict[str, Any] = {}
    while True:
        response = requests.get(
            f"{simulator.url}/v1/organizations/{path}",
            {**params, **page},
            headers={"x-api-key": key, "anthropic-version": "2026-10-21", "anthropic-beta": BETA},
            timeout=10,
        )
        body = response.json()
        assert response.ok, body
        found.append(body["data"])
        if not body["has_more"]:
            return found
        page = {"page": body["next_page"]}


def bucket_rows(data: list[list[Row]]) -> list[Row]:
    return [
        {"starting_at": bucket["starting_at"], "ending_at": bucket["ending_at"], **row}
        for page in data
        for bucket in page
        for row in bucket["results"]
    ]


@each("limit", [1, 2, 3, 31])
@each("path", BUCKETED)
def test_a_bucket_continues_on_the_next_page(
    plain: Simulator, unusual: Simulator, path: str, limit: int
) -> None:
    query = {**RANGE, "group_by[]": "description" if path == "cost_report" else "model"}
    right = pages(plain, path, BUCKETED[path], **query, limit=limit)
    split = pages(unusual, path, BUCKETED[path], **query, limit=limit)
    assert bucket_rows(split) == bucket_rows(right)
    assert all(0 < len(page) <= limit for page in split)
    continued = [
        (one[-1], other[0])
        for one, other in itertools.pairwise(split)
        if one[-1]["starting_at"] == other[0]["starting_at"]
    ]
    assert continued
    for one, other in continued:
        assert one["ending_at"] == other["ending_at"]
        assert one["results"]
        assert other["results"]
    starts = {bucket["starting_at"] for page in split for bucket in page}
    assert len(starts) == 6, "no bucket is left out"


def test_buckets_are_not_split_by_default(plain: Simulator) -> None:
    for path, key in BUCKETED.items():
        data = pages(plain, path, key, **RANGE, limit=2)
        starts = [bucket["starting_at"] for page in data for bucket in page]
        assert len(starts) == len(set(starts)) == 6


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (CLAUDE_CODE, {"starting_at": days_ago(2, NOW)[:10]}),
        (ANALYTICS, {**RANGE, "group_by[]": "api_key_id", "time_bucket_width": "1d"}),
    ],
)
def test_a_row_is_repeated_on_the_next_page(
    plain: Simulator, unusual: Simulator, path: str, query: Row
) -> None:
    right = [row for page in pages(plain, path, **query, limit=7) for row in page]
    repeated = [page for page in pages(unusual, path, **query, limit=7) if page]
    assert len(repeated) > 2
    for one, other in itertools.pairwise(repeated):
        assert other[0] == one[-1]
    assert repeated[0] + [row for page in repeated[1:] for row in page[1:]] == right
    # with one row per page, there would be no progress
    assert [row for page in pages(unusual, path, **query, limit=1) for row in page] == right
