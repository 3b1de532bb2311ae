"""The simulated analytics endpoints follow the API's documentation (usage-cost-analytics-api)."""

from __future__ import annotations

import collections
import datetime as dt
import itertools
import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import requests
from anthropic.types.beta.organization.analytics import (
    BetaAnalyticsCostItem,
    BetaAnalyticsUsageItem,
)

from simulator.analytics import BETA
from simulator.analytics_query import DIMENSIONS, FAN_OUT, FILTERS
from simulator.console_reports import DELAY
from simulator.facts import Fact, Facts
from simulator.organization import DEFAULT_WORKSPACE
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, OAUTH, Simulator
from tests.conftest import NOW, days_ago, simulated
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Row = dict[str, Any]
Pairs = list[tuple[str, str]]
Sums = dict[tuple[Any, ...], Any]

USAGE, COST = "analytics/usage", "analytics/cost"
HEADERS = {"x-api-key": ADMIN_KEY, "anthropic-version": "2026-10-21", "anthropic-beta": BETA}
ENTERPRISE = {**HEADERS, "x-api-key": ANALYTICS_KEY}
START = ("starting_at", days_ago(6, NOW))
END = ("ending_at", days_ago(-1, NOW))
DAILY = ("time_bucket_width", "1d")
GROUPABLE = [name for name in DIMENSIONS if name != "organization_id"]
EMPTY_PAGE, SHORT_PAGE = 2, 1


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=60, now=NOW) as made:
        yield made


def get(
    simulator: Simulator, path: str, *pairs: tuple[str, str], headers: dict[str, str] = HEADERS
) -> requests.Response:
    return requests.get(
        f"{simulator.url}/v1/organizations/{path}", params=list(pairs), headers=headers, timeout=30
    )


def pages(
    simulator: Simulator, path: str, *pairs: tuple[str, str], headers: dict[str, str] = HEADERS
) -> list[Row]:
    """Read all pages."""
    found: list[Row] = []
    while not found or found[-1]["has_more"]:
        page = [("page", found[-1]["next_page"])] if found else []
        response = get(simulator, path, *pairs, *page, headers=headers)
        assert response.status_code == 200, response.text
        found.append(response.json())
    assert found[-1]["next_page"] is None
    return found


def rows(
    simulator: Simulator, path: str, *pairs: tuple[str, str], headers: dict[str, str] = HEADERS
) -> list[Row]:
    limit = () if any(name == "limit" for name, _ in pairs) else (("limit", "1000"),)
    found = pages(simulator, path, *pairs, *limit, headers=headers)
    return [row for page in found for row in page["data"]]


def by(*names: str) -> Pairs:
    return [("group_by[]", name) for name in names]


def text(value: Any) -> str:
    """Make rows and values countable."""
    return json.dumps(value, sort_keys=True)


def amounts(found: Iterable[Row], name: str = "amount") -> Decimal:
    return sum((Decimal(row["cost"][name]) for row in found), Decimal(0))


# -- refused queries

HOUR = dt.timedelta(hours=1)
SIX = by("actor", "model", "product", "api_key_id", "workspace_id", "speed")
BOTH: list[tuple[Pairs, str]] = [
    ([], "starting_at: Field required"),
    ([("starting_at", "2026-03-01"), END], "RFC 3339"),
    ([("starting_at", "2026-03-01T00:00:00"), END], "RFC 3339"),
    ([("starting_at", "2025-12-31T23:59:59Z"), END], "2026-01-01"),
    ([START, ("ending_at", "tomorrow")], "RFC 3339"),
    ([START, DAILY], "ending_at: Field required"),
    ([START, ("ending_at", START[1])], "Invalid date range"),
    ([START, ("ending_at", days_ago(7, NOW))], "Invalid date range"),
    ([START, ("ending_at", START[1].replace("00:00:00", "00:59:00"))], "Invalid date range"),
    ([("starting_at", days_ago(31, NOW)), END], "31 days"),
    ([START, END, ("time_bucket_width", "1m")], "24 hours"),
    ([START, END, ("time_bucket_width", "1w")], "time_bucket_width"),
    ([START, END, ("bucket_width", "1d")], "bucket_width"),
    ([START, END, *SIX], "Cannot specify more than 5 group_by[] dimensions."),
    ([START, END, ("group_by", "model")], "group_by"),
    ([START, END, *by("description")], "group_by[]"),
    ([START, END, *by("account_id")], "group_by[]"),
    ([START, END, *by("organization_id")], "parent organization"),
    ([START, END, ("organization_ids[]", "org_x")], "parent organization"),
    ([START, END, *by("claude_tag_user_id", "rbac_group_id")], "claude_tag_user_id"),
    ([START, END, *by("claude_tag_user_id"), ("rbac_group_ids[]", "x")], "claude_tag_user_id"),
    ([START, END, ("exclude_deleted_users", "true")], "group_by[]=actor"),
    ([START, END, *by("actor"), ("exclude_deleted_users", "yes")], "exclude_deleted_users"),
    ([START, END, ("limit", "0")], "limit"),
    ([START, END, ("limit", "1001")], "limit"),
    ([START, END, ("limit", "many")], "limit"),
    ([START, END, ("order", "up")], "order"),
    ([START, END, ("order_by", "model")], "order_by"),
    ([START, END, ("page", "page_nonsense")], "page"),
    ([START, END, ("model", "x")], "model"),
    ([START, END, ("models", "x")], "models"),
    ([START, END, ("models[]", "")], "models[]"),
    ([START, END, ("context_window[]", "0-200k")], "context_window[]"),
    ([START, END, ("context_windows[]", "0-1M")], "context_windows[]"),
    ([START, END, ("service_tiers[]", "tier_of_tomorrow")], "service_tiers[]"),
    ([START, END, ("inference_geos[]", "eu")], "inference_geos[]"),
    ([START, END, ("speeds[]", "slow")], "speeds[]"),
    ([START, END, ("products[]", "claude-tag")], "products[]"),
    ([START, END, ("products[]", "cc_security_autopatch")], "products[]"),
    ([START, END, ("actor_types[]", "user")], "actor_types[]"),
    ([START, END, ("actor_ids[]", "somebody@example.com")], "actor_ids[]"),
    ([START, END, ("actor_ids[]", "")], "actor_ids[]"),
    ([START, END, ("api_key_ids[]", "key-1")], "api_key_ids[]"),
    ([START, END, ("workspace_ids[]", "default")], "workspace_ids[]"),
    ([START, END, ("session_ids[]", "x")], "session_ids[]"),
    ([START, END, ("user_profile_ids[]", "x")], "user_profile_ids[]"),
    ([START, END, ("claude_tag_categories[]", "category_of_tomorrow")], "claude_tag_categories[]"),
]
USAGE_ONLY: list[tuple[Pairs, str]] = [
    ([START, END, *by("cost_type")], "group_by[]"),
    ([START, END, *by("token_type")], "group_by[]"),
    ([START, END, ("order_by", "amount")], "order_by"),
]
COST_ONLY: list[tuple[Pairs, str]] = [
    ([START, END, ("order_by", "requests")], "order_by"),
    ([START, END, *SIX, *by("cost_type", "token_type")], "more than 5"),
]


@each(
    ("path", "pairs", "says"),
    [
        *((path, *case) for path in (USAGE, COST) for case in BOTH),
        *((USAGE, *case) for case in USAGE_ONLY),
        *((COST, *case) for case in COST_ONLY),
    ],
)
def test_wrong_queries(simulator: Simulator, path: str, pairs: Pairs, says: str) -> None:
    response = get(simulator, path, *pairs)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]


def test_the_history_covers_one_year() -> None:
    now = NOW.replace(year=2027, month=6)
    with simulated(days=3, now=now) as simulator:
        year = now - dt.timedelta(days=365)
        assert get(simulator, COST, ("starting_at", year.isoformat())).status_code == 200
        too_far = get(simulator, COST, ("starting_at", (year - HOUR).isoformat()))
        assert too_far.status_code == 400
        assert "365 days" in too_far.json()["error"]["message"]


def test_an_end_in_the_future_may_be_refused() -> None:
    with simulated(days=9, now=NOW, refuse_future=True) as simulator:
        assert get(simulator, COST, START, END).status_code == 400
        assert get(simulator, COST, START).status_code == 200


@each("path", [USAGE, COST])
@each(
    ("headers", "status"),
    [
        ({"anthropic-beta": BETA}, 401),
        ({"anthropic-beta": BETA, "x-api-key": "sk-ant-api01-unknown"}, 401),
        ({"x-api-key": ADMIN_KEY}, 400),
        ({"x-api-key": ADMIN_KEY, "anthropic-beta": "fast-mode-2026-02-01"}, 400),
        ({"x-api-key": ADMIN_KEY, "anthropic-beta": f"x, {BETA}"}, 200),
        ({"x-api-key": ANALYTICS_KEY, "anthropic-beta": BETA}, 200),
        ({"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-beta": BETA}, 401),
        ({"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-beta": f"{BETA}, {OAUTH}"}, 200),
    ],
)
def test_credentials_and_the_beta_header(
    simulator: Simulator, path: str, headers: dict[str, str], status: int
) -> None:
    version = {"anthropic-version": "2023-06-01"}
    response = get(simulator, path, START, END, headers={**version, **headers})
    assert response.status_code == status
    if status == 400:
        assert BETA in response.json()["error"]["message"]


# -- rows


def test_without_parameters_there_is_one_row_of_full_hours(simulator: Simulator) -> None:
    start = ("starting_at", "2026-03-15T10:59:59+00:00")
    for path in (USAGE, COST):
        page = get(simulator, path, start).json()
        (row,) = page["data"]
        times = [dt.datetime.fromisoformat(row[name]) for name in ("starting_at", "ending_at")]
        assert times == [NOW.replace(day=15, hour=10, minute=0, second=0), floor(NOW, "1h")]
        assert set(row["group"]) == {*DIMENSIONS, *(FAN_OUT if path == COST else ())}
        assert set(row["group"].values()) == {None}
        assert page["has_more"] is False
        assert page["next_page"] is None
    # a missing end is at most 31 days later
    (row,) = get(simulator, USAGE, ("starting_at", "2026-01-25T00:00:00Z")).json()["data"]
    assert row["ending_at"].startswith("2026-02-25T00:00:00")
    # without activity, there is no row
    first_days = [("starting_at", "2026-01-01T00:00:00Z"), ("ending_at", "2026-01-05T00:00:00Z")]
    for path in (USAGE, COST):
        assert get(simulator, path, *first_days).json()["data"] == []


def test_defaults_are_twenty_rows_largest_first(simulator: Simulator) -> None:
    query = [START, END, DAILY, *by("actor", "model", "workspace_id")]
    usage = get(simulator, USAGE, *query).json()
    tokens = [row["usage"]["total_tokens"] for row in usage["data"]]
    assert len(tokens) == 20
    assert usage["has_more"] is True
    assert tokens == sorted(tokens, reverse=True)
    cost = get(simulator, COST, *query).json()["data"]
    assert len(cost) == 20
    cents = [Decimal(row["cost"]["amount"]) for row in cost]
    assert cents == sorted(cents, reverse=True)


METRICS: dict[str, Callable[[Row], Any]] = {
    "total_tokens": lambda row: row["usage"]["total_tokens"],
    "output_tokens": lambda row: row["usage"]["output_tokens"],
    "uncached_input_tokens": lambda row: row["usage"]["uncached_input_tokens"],
    "requests": lambda row: row["usage"]["requests"] or 0,
    "amount": lambda row: Decimal(row["cost"]["amount"]),
    "list_amount": lambda row: Decimal(row["cost"]["list_amount"]),
}


@each("order", ["asc", "desc"])
@each("order_by", [*METRICS, "time"])
@each("width", [(), (DAILY,)])
def test_every_order_shows_every_row_once(
    simulator: Simulator, order_by: str, order: str, width: Pairs
) -> None:
    path = COST if "amount" in order_by else USAGE
    query = [START, END, *width, *by("actor", "model", "product")]
    ordered = [*query, ("order_by", order_by), ("order", order)]
    expected = collections.Counter(text(row) for row in rows(simulator, path, *query))
    found = rows(simulator, path, *ordered, ("limit", "7"))
    assert collections.Counter(text(row) for row in found) == expected
    main = METRICS["amount" if path == COST else "total_tokens"]
    if order_by == "time" and width:
        starts = [row["starting_at"][:19] for row in found]
        assert starts == sorted(starts, reverse=order == "desc")
        for day in set(starts):
            inside = [main(row) for row in found if row["starting_at"][:19] == day]
            assert inside == sorted(inside, reverse=True)
    else:
        values = [METRICS.get(order_by, main)(row) for row in found]
        assert values == sorted(values, reverse=order == "desc")


@each("limit", [1, 2, 3, 50])
def test_pages_are_full_short_or_empty(simulator: Simulator, limit: int) -> None:
    query = [START, END, DAILY, *by("actor", "model"), ("order_by", "time"), ("order", "asc")]
    found = pages(simulator, USAGE, *query, ("limit", str(limit)))
    assert len(found) > EMPTY_PAGE
    assert len(found[0]["data"]) == limit
    assert len(found[SHORT_PAGE]["data"]) == (limit + 1) // 2
    assert found[EMPTY_PAGE]["data"] == []
    assert found[EMPTY_PAGE]["has_more"] is True
    days = [{row["starting_at"] for row in page["data"]} for page in found]
    assert any(left & right for left, right in itertools.pairwise(days))
    all_rows = [row for page in found for row in page["data"]]
    assert all_rows == rows(simulator, USAGE, *query)


def test_fan_out_does_not_count_toward_the_limit(simulator: Simulator) -> None:
    query = [START, END, DAILY, *by("model", "workspace_id", *FAN_OUT), ("limit", "20")]
    first = get(simulator, COST, *query).json()["data"]
    assert len(first) > 22
    grouped = {(row["starting_at"], text({**row["group"], **NOTHING})) for row in first}
    assert len(grouped) == 20
    assert {row["cost"]["requests"] for row in first} == {None}


NOTHING: Row = dict.fromkeys(FAN_OUT)


def test_cost_and_token_types(simulator: Simulator) -> None:
    query = [START, END]
    total = rows(simulator, COST, *query)
    by_cost = rows(simulator, COST, *query, *by("cost_type"))
    by_token = rows(simulator, COST, *query, *by("token_type"))
    by_both = rows(simulator, COST, *query, *by(*FAN_OUT))
    kinds = {row["group"]["cost_type"] for row in by_cost}
    assert kinds == {"tokens", "web_search", "code_execution", "session_usage"}
    assert {row["group"]["token_type"] for row in by_cost} == {None}
    # by token type alone, only tokens are included
    assert {row["group"]["cost_type"] for row in by_token} == {"tokens"}
    assert len({row["group"]["token_type"] for row in by_token}) == len(by_token) == 5
    tokens = [row for row in by_cost if row["group"]["cost_type"] == "tokens"]
    assert amounts(by_token) == amounts(tokens) < amounts(total)
    assert amounts(by_both) == amounts(by_cost) == amounts(total)
    assert [row for row in by_both if row["group"]["cost_type"] == "tokens"]
    for row in by_both:
        assert (row["group"]["token_type"] is None) is (row["group"]["cost_type"] != "tokens")


def test_cursors_belong_to_their_query(simulator: Simulator) -> None:
    query = [START, END, DAILY, *by("model")]
    page = ("page", get(simulator, USAGE, *query, ("limit", "5")).json()["next_page"])
    assert get(simulator, USAGE, page, *query, ("limit", "5")).status_code == 200
    for path, pairs, headers in (
        (USAGE, [*query, ("limit", "6")], HEADERS),
        (USAGE, [*query, ("limit", "5"), ("order", "asc")], HEADERS),
        (USAGE, [*query, ("limit", "5"), *by("product")], HEADERS),
        (COST, [*query, ("limit", "5")], HEADERS),
        (USAGE, [*query, ("limit", "5")], ENTERPRISE),
    ):
        response = get(simulator, path, page, *pairs, headers=headers)
        assert response.status_code == 400
        message = response.json()["error"]["message"]
        assert message == "cursor does not match current query parameters"


def test_pages_show_the_data_of_the_first_one() -> None:
    query = [START, END, DAILY, *by("model", "product", "actor"), ("limit", "9")]
    with simulated(days=30, now=NOW) as simulator:
        expected = rows(simulator, USAGE, *query)
        first = get(simulator, USAGE, *query).json()
        simulator.stopped_clock = NOW + dt.timedelta(hours=5)
        simulator.facts.revision = 1
        rest: list[Row] = [first]
        while rest[-1]["has_more"]:
            page = ("page", rest[-1]["next_page"])
            rest.append(get(simulator, USAGE, *query, page).json())
        assert [row for page in rest for row in page["data"]] == expected
        assert {page["data_refreshed_at"] for page in rest} == {first["data_refreshed_at"]}
        assert rows(simulator, USAGE, *query) != expected


def test_data_refreshed_at_follows_the_clock() -> None:
    with simulated(days=9, now=NOW) as simulator:
        seen = []
        for hours in range(3):
            simulator.stopped_clock = NOW + hours * HOUR
            text = get(simulator, COST, START, END).json()["data_refreshed_at"]
            assert text.endswith("Z")
            assert "." in text
            seen.append(dt.datetime.fromisoformat(text))
            assert 3 * HOUR < simulator.now - seen[-1] < 6 * HOUR
        assert seen == sorted(set(seen))


# -- rows equal the facts


def floor(moment: dt.datetime, width: str) -> dt.datetime:
    """Return the start of the bucket."""
    moment = moment.replace(second=0, microsecond=0)
    if width != "1m":
        moment = moment.replace(minute=0)
    return moment.replace(hour=0) if width == "1d" else moment


def visible(facts: Facts, start: dt.datetime, end: dt.datetime) -> list[Fact]:
    return list(facts.between(start, min(end, NOW - DELAY)))


def values_of(facts: Facts, fact: Fact, names: Iterable[str]) -> list[tuple[Any, ...]]:
    """Return the values of a fact for dimensions: once, or once for each group of its user."""
    shown: list[list[Any]] = [[]]
    for name in names:
        if name == "actor":
            options: Iterable[Any] = [text(facts.cast.describe(fact.actor, facts.revision))]
        elif name == "rbac_group_id":
            options = fact.rbac_group_ids or [None]
        elif name == "inference_geo":
            geo = fact.inference_geo
            options = [None if geo == "not_available" else geo]
        else:
            options = [getattr(fact, name)]
        shown = [[*before, option] for before in shown for option in options]
    return [tuple(values) for values in shown]


def key_of(row: Row, names: Iterable[str]) -> tuple[Any, ...]:
    group = row["group"]
    return tuple(text(group[name]) if name == "actor" else group[name] for name in names)


def true_usage(facts: Facts, names: list[str], width: str, *range_: dt.datetime) -> Sums:
    """Aggregate the facts: bucket and dimensions -> six counters and the requests."""
    sums: Sums = {}
    for fact in visible(facts, *range_):
        if fact.counters or fact.requests:
            for values in values_of(facts, fact, names):
                key = (floor(fact.moment, width), *values)
                before = sums.get(key, [0, 0, 0, 0, 0, 0, None])
                counts = [*(fact.counters or [0] * 6)]
                requests_ = before[6]
                if fact.requests is not None:
                    requests_ = (requests_ or 0) + fact.requests
                sums[key] = [*map(sum, zip(before, counts, strict=False)), requests_]
    return sums


def true_cost(facts: Facts, names: list[str], width: str, *range_: dt.datetime) -> Sums:
    """Aggregate the facts: bucket, dimensions, cost and token type -> amount and list amount."""
    sums: Sums = {}
    for fact in visible(facts, *range_):
        for line in fact.costs:
            if line.cost_type is None:  # a credit: amounts are before credits
                continue
            for values in values_of(facts, fact, names):
                key = (floor(fact.moment, width), *values, line.cost_type, line.token_type)
                amount, listed = sums.get(key, (Decimal(0), Decimal(0)))
                sums[key] = (amount + line.amount, listed + line.list_amount)
    return sums


def shown_usage(found: Iterable[Row], names: list[str]) -> Sums:
    """Add up rows in the shape of `true_usage`."""
    sums: Sums = {}
    for row in found:
        usage = row["usage"]
        cache = usage["cache_creation"]
        counts = [
            usage["uncached_input_tokens"],
            usage["cache_read_input_tokens"],
            cache["ephemeral_5m_input_tokens"],
            cache["ephemeral_1h_input_tokens"],
            usage["output_tokens"],
            usage["server_tool_use"]["web_search_requests"],
        ]
        assert usage["total_tokens"] == sum(counts[:5])
        key = (dt.datetime.fromisoformat(row["starting_at"]), *key_of(row, names))
        before = sums.get(key, [0, 0, 0, 0, 0, 0, None])
        requests_ = before[6]
        if usage["requests"] is not None:
            requests_ = (requests_ or 0) + usage["requests"]
        sums[key] = [*map(sum, zip(before, counts, strict=False)), requests_]
    return sums


def shown_cost(found: Iterable[Row], names: list[str]) -> Sums:
    """Add up rows in the shape of `true_cost`."""
    sums: Sums = {}
    for row in found:
        cost = row["cost"]
        assert cost["currency"] == "USD"
        values = key_of(row, [*names, *FAN_OUT])
        key = (dt.datetime.fromisoformat(row["starting_at"]), *values)
        amount, listed = sums.get(key, (Decimal(0), Decimal(0)))
        sums[key] = amount + Decimal(cost["amount"]), listed + Decimal(cost["list_amount"])
    return sums


@each("seed", range(30))
def test_random_groupings_equal_the_facts(simulator: Simulator, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    facts, headers = rng.choice(((simulator.facts, HEADERS), (simulator.enterprise, ENTERPRISE)))
    names = rng.sample(GROUPABLE, rng.randrange(6))
    if "claude_tag_user_id" in names and "rbac_group_id" in names:
        names.remove("rbac_group_id")
    width = rng.choice(("1d", "1h", "1m"))
    start = floor(NOW, width) - dt.timedelta(days=rng.randrange(1, 25))
    if width == "1d":
        start = floor(start, "1d")
    end = start + dt.timedelta(hours=24 if width == "1m" else 24 * rng.randrange(1, 30))
    query = [
        ("starting_at", start.isoformat()),
        ("ending_at", end.isoformat()),
        ("time_bucket_width", width),
        ("order_by", rng.choice(("time", "total_tokens"))),
        ("order", rng.choice(("asc", "desc"))),
        *by(*names),
    ]
    found = rows(simulator, USAGE, *query, ("limit", str(rng.choice((40, 1000)))), headers=headers)
    truth = true_usage(facts, names, width, start, end)
    assert shown_usage(found, names) == truth
    assert len(found) >= len(truth)
    del query[3:5]
    found = rows(simulator, COST, *query, *by(*FAN_OUT), headers=headers)
    assert shown_cost(found, names) == true_cost(facts, names, width, start, end)
    for row in found:
        length = dt.datetime.fromisoformat(row["ending_at"]) - dt.datetime.fromisoformat(
            row["starting_at"]
        )
        assert length == {"1d": 24 * HOUR, "1h": HOUR, "1m": HOUR / 60}[width]


def test_every_grouping_costs_the_same_as_cost_report(simulator: Simulator) -> None:
    legacy: dict[str, Decimal] = {}
    query = [START, END, *by("description"), ("limit", "31")]
    for bucket in get(simulator, "cost_report", *query).json()["data"]:
        billed = [row for row in bucket["results"] if row["cost_type"] is not None]
        legacy[bucket["starting_at"][:10]] = sum(
            (Decimal(row["amount"]) for row in billed), Decimal(0)
        )
    assert len(legacy) == 7
    for names in ([], *([name] for name in (*GROUPABLE, *FAN_OUT)), [*SOME, *FAN_OUT]):
        found = rows(simulator, COST, START, END, DAILY, *by(*names))
        days: dict[str, list[Row]] = {}
        for row in found:
            days.setdefault(row["starting_at"][:10], []).append(row)
        if names == ["token_type"]:  # documented to include tokens only
            continue
        assert {day: amounts(members) for day, members in days.items()} == legacy, names


SOME = ["actor", "product", "model", "workspace_id", "api_key_id"]


def test_usage_equals_that_of_the_older_report(simulator: Simulator) -> None:
    query = [START, END, *by("model"), ("bucket_width", "1d"), ("limit", "31")]
    older: dict[tuple[str, str], int] = collections.Counter()
    for bucket in get(simulator, "usage_report/messages", *query).json()["data"]:
        for row in bucket["results"]:
            older[bucket["starting_at"][:10], row["model"]] += row["output_tokens"]
    found = rows(simulator, USAGE, START, END, DAILY, *by("model"))
    assert older == {
        (row["starting_at"][:10], row["group"]["model"]): row["usage"]["output_tokens"]
        for row in found
        if row["group"]["model"]
    }


def test_teams_overlap(simulator: Simulator) -> None:
    total = rows(simulator, COST, START, END, headers=ENTERPRISE)
    teams = rows(simulator, COST, START, END, *by("rbac_group_id"), headers=ENTERPRISE)
    assert None in {row["group"]["rbac_group_id"] for row in teams}
    assert amounts(teams) > amounts(total)
    # by either of its ids, a team is the same
    team = simulator.enterprise.cast.teams[1]
    found = [
        rows(simulator, COST, START, END, ("rbac_group_ids[]", id_), headers=ENTERPRISE)
        for id_ in (team.id, team.uuid)
    ]
    assert found[0] == found[1] != []
    (row,) = (row for row in teams if row["group"]["rbac_group_id"] == team.id)
    assert amounts(found[0]) == amounts([row])


def test_list_amounts_are_before_discounts(simulator: Simulator) -> None:
    found = rows(simulator, COST, START, END, *by("cost_type"))
    for row in found:
        cost = row["cost"]
        ratio = Decimal(cost["amount"]) / Decimal(cost["list_amount"])
        assert ratio == (Decimal("0.9876") if row["group"]["cost_type"] == "tokens" else 1)


# -- filters


def matching(facts: Facts, test: Callable[[Fact], object], path: str) -> Any:
    start = dt.datetime.fromisoformat(START[1])
    chosen = [fact for fact in visible(facts, start, floor(NOW, "1h")) if test(fact)]
    if path == USAGE:
        return sum(sum(fact.counters[:5]) for fact in chosen)
    return sum((line.amount for f in chosen for line in f.costs if line.cost_type), Decimal(0))


VALUES: dict[str, Callable[[Facts], list[str]]] = {
    "actor_ids": lambda facts: [facts.organization.users[0], facts.organization.keys[3].id],
    "actor_types": lambda _: ["federated_actor", "user_actor"],
    "agent_ids": lambda facts: [tasks[0].agent_id for tasks in facts.cast.tasks.values()],
    "api_key_ids": lambda facts: [facts.organization.keys[3].id, ""],
    "claude_tag_categories": lambda _: ["dm", "monitoring"],
    "claude_tag_user_ids": lambda _: ["U00MEMBER"],
    "context_windows": lambda _: ["200k-1M"],
    "deployment_ids": lambda facts: [
        task.deployment_id for task in facts.cast.tasks[DEFAULT_WORKSPACE] if task.deployment_id
    ],
    "environment_ids": lambda facts: [
        tasks[0].environment_id for tasks in facts.cast.tasks.values()
    ],
    "inference_geos": lambda _: ["not_available"],
    "models": lambda _: ["claude-opus-4-6"],
    "products": lambda _: ["claude_code", "managed_agents_api"],
    "rbac_group_ids": lambda facts: [facts.cast.teams[0].id, facts.cast.teams[1].id],
    "service_tiers": lambda _: ["batch", "priority"],
    "session_ids": lambda facts: [
        task.session_id(NOW.date()) for task in facts.cast.tasks[DEFAULT_WORKSPACE]
    ],
    "slack_channel_ids": lambda facts: facts.cast.slack_channels[:2],
    "speeds": lambda _: ["fast"],
    "user_profile_ids": lambda facts: facts.cast.user_profiles[:2],
    "workspace_ids": lambda _: [DEFAULT_WORKSPACE],
}
"""Values to look for, for each filter."""
# Most filters use the dimension of their name; these are different.
LOOKS: dict[str, Callable[[Fact, list[str]], object]] = {
    "actor_ids": lambda fact, values: fact.actor and fact.actor.id in values,
    "api_key_ids": lambda fact, values: fact.api_key_id is None or fact.api_key_id in values,
    "claude_tag_categories": lambda fact, values: fact.claude_tag_category in values,
    "inference_geos": lambda fact, _: fact.inference_geo in {"not_available", None},
    "rbac_group_ids": lambda fact, values: set(fact.rbac_group_ids) & set(values),
}
NOT_IN_CONSOLE = {
    "claude_tag_categories",
    "claude_tag_user_ids",
    "rbac_group_ids",
    "slack_channel_ids",
}
NOT_IN_ENTERPRISE = {
    "agent_ids",
    "api_key_ids",
    "deployment_ids",
    "environment_ids",
    "service_tiers",
    "session_ids",
    "user_profile_ids",
    "workspace_ids",
}


def test_every_filter_is_tested() -> None:
    assert set(VALUES) == set(FILTERS)


@each("path", [USAGE, COST])
@each("name", VALUES)
def test_filters(simulator: Simulator, path: str, name: str) -> None:
    def looks(fact: Fact, values: list[str]) -> object:
        test = LOOKS.get(name)
        return test(fact, values) if test else getattr(fact, name.removesuffix("s")) in values

    for facts, headers, absent in (
        (simulator.facts, HEADERS, NOT_IN_CONSOLE),
        (simulator.enterprise, ENTERPRISE, NOT_IN_ENTERPRISE),
    ):
        values = VALUES[name](facts)
        query = [START, END, *((f"{name}[]", value) for value in values)]
        found = rows(simulator, path, *query, headers=headers)
        if name in absent:
            assert not found
            continue
        expected = matching(facts, lambda fact: looks(fact, values), path)  # noqa: B023
        assert expected
        (row,) = found
        got = row["usage"]["total_tokens"] if path == USAGE else Decimal(row["cost"]["amount"])
        assert got == expected


def test_filters_narrow_each_other(simulator: Simulator) -> None:
    query = [START, END, ("models[]", "claude-opus-4-6"), ("products[]", "claude_code")]
    (row,) = rows(simulator, USAGE, *query)
    expected = matching(
        simulator.facts,
        lambda fact: fact.model == "claude-opus-4-6" and fact.product == "claude_code",
        USAGE,
    )
    assert row["usage"]["total_tokens"] == expected


# -- identities


def actors(simulator: Simulator, headers: dict[str, str] = HEADERS) -> list[Row | None]:
    start = ("starting_at", days_ago(30, NOW))
    found = rows(simulator, USAGE, start, *by("actor"), headers=headers)
    return [row["group"]["actor"] for row in found]


def test_actors_of_every_kind(simulator: Simulator) -> None:
    found = actors(simulator)
    shown = [actor for actor in found if actor]
    assert {actor["type"] for actor in shown} == {
        "user_actor",
        "service_account_actor",
        "federated_actor",
        "api_actor",
    }
    providers = [actor["provider"] for actor in shown if actor["type"] == "federated_actor"]
    assert {provider["type"] for provider in providers} == {"aws", "azure", "gcp", "oidc"}
    # no actor, and three that cannot be shown: rows that look the same
    assert found.count(None) == 4
    assert len({text(actor) for actor in shown}) == len(shown)
    users = [actor for actor in shown if actor["type"] == "user_actor"]
    looks = {(user["deleted"], user["email_address"] is None, user["name"]) for user in users}
    assert {(deleted, mail) for deleted, mail, _ in looks} == {
        (True, False),  # has left
        (True, True),  # the account was deleted
        (False, True),  # works for Anthropic
        (False, False),
    }
    assert {None, "Deleted User", "Claude Security"} <= {name for *_, name in looks}
    people = simulator.facts.organization.people
    assert any(u["user_id"] in people and u["name"] == people[u["user_id"]].name for u in users)


def test_the_first_identity_counts() -> None:
    everybody = {
        "account_id": "user_1",
        "owner_id": "user_2",
        "service_account_id": "svac_1",
        "federated_id": "federated-1",
        "api_key_id": "apikey_1",
    }
    seen = []
    while everybody:
        actor = Fact(NOW, "wrkspc_1", **everybody).actor  # type: ignore[arg-type]
        assert actor
        seen.append((actor.type, actor.id))
        del everybody[next(iter(everybody))]
    assert seen == [
        ("user_actor", "user_1"),
        ("user_actor", "user_2"),
        ("service_account_actor", "svac_1"),
        ("federated_actor", "federated-1"),
        ("api_actor", "apikey_1"),
    ]
    assert Fact(NOW, "wrkspc_1").actor is None


def test_a_key_is_the_actor_only_if_it_has_no_owner(simulator: Simulator) -> None:
    """Usage of a personal key belongs to its owner."""
    keys = [key.id for key in simulator.facts.organization.keys]
    month = ("starting_at", days_ago(30, NOW))
    used = rows(simulator, USAGE, month, *[("api_key_ids[]", key) for key in keys])
    own = rows(simulator, USAGE, month, *[("actor_ids[]", key) for key in keys])
    assert 0 < own[0]["usage"]["requests"] < used[0]["usage"]["requests"]


def test_deleted_users_can_be_left_out(simulator: Simulator) -> None:
    query = [START, END, DAILY, *by("actor", "model"), ("limit", "1")]
    every = pages(simulator, USAGE, *query)
    some = pages(simulator, USAGE, *query, ("exclude_deleted_users", "true"))
    assert len(some) == len(every)
    kept = [row for page in some for row in page["data"]]
    assert kept == [
        row
        for page in every
        for row in page["data"]
        if not (row["group"]["actor"] or {}).get("deleted")
    ]
    emptied = [
        number for number, page in enumerate(some) if every[number]["data"] and not page["data"]
    ]
    assert emptied


# -- Claude Enterprise


def test_enterprise_is_another_organization(simulator: Simulator) -> None:
    assert simulator.enterprise.organization.users != simulator.facts.organization.users
    month = ("starting_at", days_ago(30, NOW))
    console_only = ["workspace_id", "api_key_id", "service_tier", "session_id", "user_profile_id"]
    found = rows(simulator, COST, month, *by(*console_only), headers=ENTERPRISE)
    assert {value for row in found for value in row["group"].values()} == {None}
    products = {
        row["group"]["product"]
        for row in rows(simulator, USAGE, month, *by("product"), headers=ENTERPRISE)
    }
    assert {"chat", "cowork", "claude_code", "claude_tag", "other", None} <= products
    tag = by("claude_tag_category", "claude_tag_user_id", "slack_channel_id", "product")
    found = [
        row["group"]
        for row in rows(simulator, USAGE, month, *tag, headers=ENTERPRISE)
        if row["group"]["product"] == "claude_tag"
    ]
    categories = {group["claude_tag_category"] for group in found}
    assert categories == {"dm", "engaged", "monitoring", "proactive", "scheduled"}
    assert any(group["claude_tag_user_id"] for group in found)
    assert any(group["claude_tag_user_id"] is None for group in found)
    assert any(group["slack_channel_id"] is None for group in found)
    assert actors(simulator, ENTERPRISE).count(None) == 4


def test_an_enterprise_alone() -> None:
    today = NOW.date()
    other = Facts(
        seed=99, first_day=today - dt.timedelta(days=3), today=today, breadth=2, enterprise=True
    )
    with simulated(days=9, now=NOW, enterprise=other) as simulator:
        found = rows(simulator, COST, START, END, DAILY, headers=ENTERPRISE)
        assert len(found) == 4
        users = {row["id"] for row in simulator.directories["E"].users}
        assert set(other.organization.users) <= users


# -- the history of the Console


def test_the_history_has_every_special_case(simulator: Simulator) -> None:
    month = ("starting_at", days_ago(30, NOW))
    usage = rows(simulator, USAGE, month, END, DAILY, *by("product", "model", "service_tier"))
    products = {row["group"]["product"] for row in usage}
    assert products == {
        "claude_code",
        "claude_console",
        "cc_security_autopatch",
        "messages_api",
        "message_batches_api",
        "managed_agents_api",
        None,
    }
    tiers = {row["group"]["service_tier"] for row in usage}
    assert {"priority", "tier_of_tomorrow", None} <= tiers
    assert {row["usage"]["requests"] is None for row in usage} == {True, False}
    assert max(row["usage"]["total_tokens"] for row in usage) > 2**31
    executed = [row for row in usage if row["group"]["model"] is None]
    assert {row["usage"]["total_tokens"] for row in executed} == {0}
    assert {row["group"]["product"] for row in executed} == {None}
    assert all(row["usage"]["requests"] for row in executed)
    geos = rows(simulator, USAGE, month, *by("inference_geo"))
    assert {row["group"]["inference_geo"] for row in geos} == {"global", "us", None}
    workspaces = rows(simulator, COST, month, *by("workspace_id"))
    assert DEFAULT_WORKSPACE in {row["group"]["workspace_id"] for row in workspaces}
    sessions = rows(
        simulator, COST, month, *by("agent_id", "deployment_id", "environment_id", "session_id")
    )
    assert len({row["group"]["session_id"] for row in sessions}) > 5
    assert any(
        row["group"]["session_id"] and row["group"]["deployment_id"] is None for row in sessions
    )
    tiers = {
        row["group"]["service_tier"] for row in rows(simulator, COST, month, *by("service_tier"))
    }
    assert "priority" not in tiers
    assert "metric_of_tomorrow" in usage[0]["usage"]
    assert {len(row["starting_at"]) for row in usage} == {20, 27}


# -- restatement


def test_the_past_is_restated(simulator: Simulator) -> None:
    today = NOW.date()
    facts = Facts(first_day=today - dt.timedelta(days=59), today=today)
    days = [today - dt.timedelta(days=number) for number in range(59, -1, -1)]
    revisions = []
    for revision in (0, 1, 2, 1):
        facts.revision = revision
        revisions.append([facts.day(day) for day in days])
    first, second, third, again = revisions
    assert again == second
    assert first == [simulator.facts.day(day) for day in days]
    assert first[:30] == second[:30] == third[:30]
    for old, new, newer in zip(first[30:], second[30:], third[30:], strict=True):
        assert old != new != newer
        assert new == sorted(new, key=lambda fact: fact.moment)
    assert [len(day) for day in second].count(0) == 1
    before = {(fact.moment, fact.model): fact for day in first[30:] for fact in day}
    after = {(fact.moment, fact.model): fact for day in second[30:] for fact in day}
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()
    changed = [key for key in before.keys() & after.keys() if before[key] != after[key]]
    assert any(before[key].costs != after[key].costs for key in changed)


def test_a_user_is_renamed_and_another_one_leaves() -> None:
    with simulated(days=40, now=NOW) as simulator:
        shown = []
        for revision in (0, 1):
            simulator.facts.revision = revision
            shown.append(
                {a["user_id"]: a for a in actors(simulator) if a and a["type"] == "user_actor"}
            )
        renamed, left, *_ = simulator.facts.organization.users
        assert shown[0][renamed]["name"] != shown[1][renamed]["name"]
        assert [look[left]["deleted"] for look in shown] == [False, True]


# -- the official SDK


@pytest.mark.parametrize("key", [ADMIN_KEY, ANALYTICS_KEY])
def test_the_official_sdk_reads_the_same_rows(simulator: Simulator, key: str) -> None:
    client = anthropic.Anthropic(api_key=key, base_url=simulator.url, max_retries=0)
    analytics = client.beta.organization.analytics
    start, end = START[1], END[1]
    headers = {**HEADERS, "x-api-key": key}
    usage = analytics.usage.list(
        starting_at=start,
        ending_at=end,
        time_bucket_width="1d",
        group_by=["actor", "actor_type", "product", "service_tier", "claude_tag_category"],
        order_by="time",
        order="asc",
        limit=9,
    )
    cost = analytics.cost.list(
        starting_at=start,
        ending_at=end,
        group_by=["actor", "model", "inference_geo", "cost_type", "token_type"],
        limit=9,
    )
    assert usage.data_refreshed_at
    assert usage.data_refreshed_at < NOW
    for path, page, query in (
        (
            USAGE,
            usage,
            [
                DAILY,
                *by("actor", "actor_type", "product", "service_tier", "claude_tag_category"),
                ("order_by", "time"),
                ("order", "asc"),
            ],
        ),
        (COST, cost, by("actor", "model", "inference_geo", "cost_type", "token_type")),
    ):
        ours = rows(simulator, path, START, END, *query, headers=headers)
        theirs = list(page)
        assert len(ours) == len(theirs) > 9
        for row, item in zip(ours, theirs, strict=True):
            assert official(path, row) == item


def official(path: str, row: Row) -> BetaAnalyticsUsageItem | BetaAnalyticsCostItem:
    """Read a row into the SDK's type, strictly; only a service tier may be unknown to it."""
    kind = BetaAnalyticsUsageItem if path == USAGE else BetaAnalyticsCostItem
    tier = row["group"]["service_tier"]
    unknown = tier == "tier_of_tomorrow"
    known = {**row, "group": {**row["group"], "service_tier": None if unknown else tier}}
    item = kind.model_validate_json(json.dumps(known), strict=True)
    item.group.service_tier = tier
    return item


def test_the_official_sdk_sends_empty_entries(simulator: Simulator) -> None:
    client = anthropic.Anthropic(api_key=ADMIN_KEY, base_url=simulator.url, max_retries=0)
    (item,) = client.beta.organization.analytics.usage.list(
        starting_at=START[1], ending_at=END[1], api_key_ids=[""]
    )
    expected = matching(simulator.facts, lambda fact: fact.api_key_id is None, USAGE)
    assert item.usage.total_tokens == expected
