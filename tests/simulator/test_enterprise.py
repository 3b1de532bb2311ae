"""The simulated lists and legacy reports of Claude Enterprise follow the API's documentation."""

from __future__ import annotations

import collections
import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import requests
from anthropic.types import organization as official
from anthropic.types.beta import organization as beta
from anthropic.types.organization import rbac_groups, rbac_roles, spend_limits

from simulator import analytics, analytics_query
from simulator.console_reports import DELAY
from simulator.enterprise_lists import BETA, PERIODS, SCOPE_TYPES, EnterpriseDirectory
from simulator.enterprise_reports import DIMENSIONS, MOST_GROUPS, PAGES, PRODUCTS
from simulator.facts import Fact, Facts
from simulator.query import WIDTHS
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, OAUTH, SCOPES, Simulator
from tests.conftest import NOW, days_ago, simulated
from tests.each import each
from tests.simulator.official import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic import BaseModel

Row = dict[str, Any]
Pairs = list[tuple[str, str]]

OLD, NEW = "2023-06-01", "2026-10-21"
USAGE, COST = "analytics/usage_report", "analytics/cost_report"
USER_USAGE, USER_COST = "analytics/user_usage_report", "analytics/user_cost_report"
BUCKETED, BY_USER = (USAGE, COST), (USER_USAGE, USER_COST)
REPORTS = (*BUCKETED, *BY_USER)
LISTS = (
    "rbac_groups",
    "rbac_groups/{id}/members",
    "rbac_roles",
    "rbac_roles/{id}/permissions",
    "spend_limits",
    "spend_limits/effective",
    "spend_limit_increase_requests",
)
START = ("starting_at", days_ago(6, NOW))
END = ("ending_at", days_ago(0, NOW))
WEEK = [START, END]
TEAM = "rbac_group_id"
DAILY = ("bucket_width", "1d")
MOVED = "cursor does not match current query parameters"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=60, now=NOW) as made:
        yield made


def lists(simulator: Simulator) -> EnterpriseDirectory:
    found = simulator.directories["E"]
    assert isinstance(found, EnterpriseDirectory)
    return found


def full(simulator: Simulator, path: str) -> str:
    """Fill in the id: a group's with many members, a role's with many permissions."""
    known = lists(simulator)
    if path.startswith("rbac_groups/{id}"):
        id_ = max(
            (row["id"] for row in known.rbac_groups),
            key=lambda id_: len(known.group_members(id_, NOW.date())),
        )
    else:
        id_ = max(
            (row["id"] for row in known.rbac_roles), key=lambda id_: len(known.permissions(id_))
        )
    return path.replace("{id}", id_)


def get(
    simulator: Simulator,
    path: str,
    *pairs: tuple[str, str],
    version: str = NEW,
    headers: Mapping[str, str | None] | None = None,
) -> requests.Response:
    defaults = {
        "x-api-key": ANALYTICS_KEY,
        "anthropic-version": version,
        "anthropic-beta": f"{BETA},{analytics.BETA}",
    }
    return requests.get(
        f"{simulator.url}/v1/organizations/{full(simulator, path)}",
        params=list(pairs),
        headers={**defaults, **(headers or {})},
        timeout=30,
    )


def pages(
    simulator: Simulator, path: str, *pairs: tuple[str, str], version: str = NEW
) -> list[Row]:
    """Read all pages."""
    found: list[Row] = []
    more: str | None = ""
    while more is not None:
        page = [("page", more)] if more else []
        response = get(simulator, path, *pairs, *page, version=version)
        assert response.status_code == 200, response.text
        found.append(response.json())
        more = found[-1].get("next_page")
        assert found[-1].get("has_more", more is not None) is (more is not None)
    return found


def rows(simulator: Simulator, path: str, *pairs: tuple[str, str], version: str = NEW) -> list[Row]:
    """Read everything: reports by bucket in pages of their own, the others in large ones."""
    limited = path in BUCKETED or any(name == "limit" for name, _ in pairs)
    limit = [] if limited else [("limit", "1000")]
    found = pages(simulator, path, *pairs, *limit, version=version)
    return [row for page in found for row in page["data"]]


def results(simulator: Simulator, path: str, *pairs: tuple[str, str]) -> list[Row]:
    return [result for bucket in rows(simulator, path, *pairs) for result in bucket["results"]]


def by(*names: str) -> Pairs:
    return [("group_by[]", name) for name in names]


def total(found: Iterable[Row], name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in found), Decimal(0))


def countable(found: Iterable[Row]) -> collections.Counter[str]:
    return collections.Counter(json.dumps(row, sort_keys=True) for row in found)


# -- refused queries

EVERY_REPORT: list[tuple[Pairs, str]] = [
    ([], "starting_at: Field required"),
    ([("starting_at", "2026-03-01"), END], "RFC 3339"),
    ([("starting_at", "2025-12-31T23:59:59Z"), END], "2026-01-01"),
    ([START, ("ending_at", "tomorrow")], "RFC 3339"),
    ([START, ("ending_at", START[1])], "ending date must be after starting date"),
    ([("starting_at", days_ago(32, NOW)), END], "31 days"),
    ([*WEEK, ("bucket_width", "1w")], "bucket_width"),
    ([*WEEK, ("time_bucket_width", "1d")], "time_bucket_width: Extra inputs"),
    ([*WEEK, ("group_by", "model")], "group_by: Extra inputs"),
    *(
        ([*WEEK, *by(name)], "group_by[]")
        for name in ("actor", "user_id", "workspace_id", "service_tier", "api_key_id", "day")
    ),
    ([*WEEK, *by("claude_tag_user_id", "rbac_group_id")], "claude_tag_user_id"),
    ([*WEEK, *by("claude_tag_user_id"), ("rbac_group_ids[]", "x")], "claude_tag_user_id"),
    ([*WEEK, ("limit", "0")], "limit"),
    ([*WEEK, ("limit", "many")], "limit"),
    ([*WEEK, ("page", "page_nonsense")], "page"),
    ([*WEEK, ("models", "x")], "models: Extra inputs"),
    ([*WEEK, ("models[]", "")], "models[]"),
    ([*WEEK, ("context_window[]", "0-200k")], "context_window[]: Extra inputs"),
    ([*WEEK, ("context_windows[]", "0-1M")], "context_windows[]"),
    ([*WEEK, ("inference_geos[]", "eu")], "inference_geos[]"),
    ([*WEEK, ("speeds[]", "slow")], "speeds[]"),
    ([*WEEK, ("products[]", "claude_tag")], "products[]"),
    ([*WEEK, ("products[]", "claude-in-slack")], "products[]"),
    ([*WEEK, ("products[]", "claude_console")], "products[]"),
    ([*WEEK, ("claude_tag_categories[]", "category_of_tomorrow")], "claude_tag_categories[]"),
    ([*WEEK, ("user_ids[]", "somebody@example.com")], "user_ids[]"),
    ([*WEEK, ("actor_ids[]", "user_1")], "actor_ids[]: Extra inputs"),
    ([*WEEK, ("service_tiers[]", "batch")], "service_tiers[]: Extra inputs"),
]
BY_BUCKET_ONLY: list[tuple[Pairs, str]] = [
    *(
        ([*WEEK, ("bucket_width", width), ("limit", str(most + 1))], "limit")
        for width, (_, most) in PAGES.items()
    ),
    ([*WEEK, ("order_by", "total_tokens")], "order_by: Extra inputs"),
    ([*WEEK, ("order", "asc")], "order: Extra inputs"),
    ([*WEEK, ("exclude_deleted_users", "true")], "exclude_deleted_users: Extra inputs"),
]
BY_USER_ONLY: list[tuple[Pairs, str]] = [
    ([START, DAILY], "ending_at: Field required"),
    ([*WEEK, ("bucket_width", "1m")], "24 hours"),
    ([*WEEK, ("limit", "1001")], "limit"),
    ([*WEEK, ("order_by", "time")], "order_by"),
    ([*WEEK, ("order", "up")], "order"),
    ([*WEEK, ("exclude_deleted_users", "yes")], "exclude_deleted_users"),
]
LIST_CASES = [
    *((path, [("unknown", "1")], "unknown: Extra inputs") for path in LISTS),
    *((path, [("limit", limit)], "limit") for path in LISTS for limit in ("0", "1001")),
    *((path, [("page", "page_1")], "page: Invalid page token") for path in LISTS),
    *((path, [("after_id", "x")], "after_id: Extra inputs") for path in LISTS),
    ("spend_limits", [("scope_type", "user")], "scope_type: Extra inputs"),
    ("spend_limits", [("scope_type[]", "team")], "scope_type[]"),
    ("spend_limits/effective", [("period[]", "yearly")], "period[]"),
    ("spend_limits/effective", [("user_ids[]", "apikey_1")], "user_ids[]"),
    ("spend_limits/effective", [("user_ids[]", f"user_{n}") for n in range(101)], "at most 100"),
    ("spend_limit_increase_requests", [("status[]", "open")], "status[]"),
    ("spend_limit_increase_requests", [("status", "denied")], "status: Extra inputs"),
    ("spend_limit_increase_requests", [("actor_ids[]", "somebody")], "actor_ids[]"),
]


@each(
    ("path", "pairs", "says"),
    [
        *((path, *case) for path in REPORTS for case in EVERY_REPORT),
        *((path, *case) for path in BUCKETED for case in BY_BUCKET_ONLY),
        *((path, *case) for path in BY_USER for case in BY_USER_ONLY),
        *(
            (path, [*WEEK, *by(name)], "group_by[]")
            for path in (USAGE, USER_USAGE)
            for name in analytics_query.FAN_OUT
        ),
        (USER_USAGE, [*WEEK, ("order_by", "amount")], "order_by"),
        (USER_COST, [*WEEK, ("order_by", "requests")], "order_by"),
        *LIST_CASES,
    ],
)
def test_wrong_queries(simulator: Simulator, path: str, pairs: Pairs, says: str) -> None:
    response = get(simulator, path, *pairs)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]


@each("path", [*REPORTS, *LISTS])
def test_cursors_belong_to_their_query(simulator: Simulator, path: str) -> None:
    pairs = [*WEEK, *by("model", "product")] if path in REPORTS else []
    page = ("page", get(simulator, path, *pairs, ("limit", "2")).json()["next_page"])
    assert get(simulator, path, *pairs, ("limit", "2"), page).status_code == 200
    for other in ([*pairs, ("limit", "3")], [*pairs[:-1], ("limit", "2")] if pairs else []):
        response = get(simulator, path, *other, page)
        assert response.status_code == 400
        assert response.json()["error"]["message"] == MOVED


def test_a_cursor_belongs_to_one_report(simulator: Simulator) -> None:
    pairs = [*WEEK, ("limit", "2")]
    for one, other in ((USAGE, COST), (USER_COST, USER_USAGE), (USAGE, USER_USAGE)):
        page = ("page", get(simulator, one, *pairs).json()["next_page"])
        assert get(simulator, other, *pairs, page).json()["error"]["message"] == MOVED


def test_the_history_covers_one_year() -> None:
    now = NOW.replace(year=2027, month=6)
    year = now - dt.timedelta(days=365)
    with simulated(days=3, now=now) as simulator:
        for path in REPORTS:
            assert get(simulator, path, ("starting_at", year.isoformat())).status_code == 200
            earlier = (year - dt.timedelta(hours=1)).isoformat()
            response = get(simulator, path, ("starting_at", earlier))
            assert "365 days" in response.json()["error"]["message"]


def test_an_end_in_the_future_may_be_refused() -> None:
    tomorrow = ("ending_at", days_ago(-1, NOW))
    for refuse_future, status in ((True, 400), (False, 200)):
        with simulated(days=9, now=NOW, refuse_future=refuse_future) as simulator:
            for path in REPORTS:
                assert get(simulator, path, START, tomorrow).status_code == status
                assert get(simulator, path, START).status_code == 200


def test_spend_limits_need_their_beta_header(simulator: Simulator) -> None:
    for header in ("", analytics.BETA):
        response = get(simulator, "spend_limits", headers={"anthropic-beta": header})
        assert response.status_code == 400
        assert BETA in response.json()["error"]["message"]
        for path in LISTS:
            if path != "spend_limits":
                assert get(simulator, path, headers={"anthropic-beta": header}).status_code == 200


@each(
    ("path", "code"),
    [
        ("rbac_groups/rbac_group_unknown/members", None),
        ("rbac_roles/rbac_role_unknown/permissions", "rbac_role_not_found"),
        ("rbac_groups/x/y/members", None),
        ("spend_limits/spl_1", None),
    ],
)
def test_missing_rows(simulator: Simulator, path: str, code: str | None) -> None:
    response = get(simulator, path)
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["type"] == "not_found_error"
    assert error.get("details", {}).get("error_code") == code


# -- scopes

NEEDED = {
    **dict.fromkeys(("analytics/usage", "analytics/cost", *REPORTS), "read:analytics"),
    **dict.fromkeys(("users", "invites", *LISTS[2:4]), "read:members"),
    **dict.fromkeys(LISTS[:2], "read:rbac_groups"),
    **dict.fromkeys(LISTS[4:], "read:spend_limits"),
}
AUDITED = {"read:members", "read:rbac_groups"}


def test_scopes_of_the_key() -> None:
    with simulated(days=9, now=NOW) as simulator:
        # test_workspaces.py tests the plugins.
        assert {*simulator.scopes["E"]} == {*NEEDED.values(), "read:plugins"}
        for scopes in (
            *([scope] for scope in sorted(set(NEEDED.values()))),
            ["read:org_audit"],
            ["read:analytics", "read:org_audit"],
            [],
        ):
            simulator.scopes["E"] = scopes
            for path, needed in NEEDED.items():
                pairs = [START] if path.startswith("analytics/") else []
                response = get(simulator, path, *pairs)
                audited = "read:org_audit" in scopes and needed in AUDITED
                if needed in scopes or audited:
                    assert response.status_code == 200, (path, scopes)
                    continue
                assert response.status_code == 403
                error = response.json()["error"]
                assert error["type"] == "permission_error"
                assert error["details"]["error_code"] == "api_key_scope_missing"
                says = f"Missing required scopes. Got: {scopes} Needed: ['{needed}']"
                assert error["message"] == says
        # not of another simulator or credential
        assert SCOPES["E"] != []
        assert get(simulator, "workspaces", headers={"x-api-key": ADMIN_KEY}).status_code == 200


@each("path", [*REPORTS, *LISTS])
def test_credentials_of_the_console_are_refused(simulator: Simulator, path: str) -> None:
    pairs = [START] if path in REPORTS else []
    admin = get(simulator, path, *pairs, headers={"x-api-key": ADMIN_KEY})
    oauth = get(
        simulator,
        path,
        *pairs,
        headers={
            "x-api-key": None,
            "authorization": f"Bearer {ACCESS_TOKEN}",
            "anthropic-beta": OAUTH,
        },
    )
    for response in (admin, oauth):
        assert response.status_code == 403
        assert response.json()["error"]["type"] == "permission_error"
    assert get(simulator, path, *pairs).status_code == 200


METRICS: dict[str, Callable[[Row], Any]] = {
    "total_tokens": lambda row: row["total_tokens"],
    "output_tokens": lambda row: row["output_tokens"],
    "uncached_input_tokens": lambda row: row["uncached_input_tokens"],
    "requests": lambda row: row["requests"] or 0,
    "amount": lambda row: Decimal(row["amount"]),
    "list_amount": lambda row: Decimal(row["list_amount"]),
}


TOKENS = ("uncached_input_tokens", "cache_read_input_tokens", "output_tokens")


def tokens(row: Row) -> Any:
    """Return the total, which buckets do not contain."""
    return sum(row[name] for name in TOKENS) + sum(row["cache_creation"].values())


# -- reports by bucket


def visible(simulator: Simulator) -> list[Fact]:
    """Return the facts of the week."""
    start, end = (dt.datetime.fromisoformat(text) for _, text in WEEK)
    return list(simulator.enterprise.between(start, min(end, NOW - DELAY)))


@each("width", WIDTHS)
@each("path", BUCKETED)
def test_every_bucket_is_returned_once_oldest_first(
    simulator: Simulator, path: str, width: str
) -> None:
    days = 1 if width == "1m" else 6
    query = [("starting_at", days_ago(days, NOW)), END, ("bucket_width", width)]
    found = pages(simulator, path, *query)
    default, most = PAGES[width]
    assert {len(page["data"]) for page in found[:-1]} <= {default}
    buckets = [bucket for page in found for bucket in page["data"]]
    assert rows(simulator, path, *query, ("limit", str(most))) == buckets
    assert rows(simulator, path, *query, ("limit", "5" if width == "1d" else "17")) == buckets
    times = [
        tuple(dt.datetime.fromisoformat(bucket[name]) for name in ("starting_at", "ending_at"))
        for bucket in buckets
    ]
    start = dt.datetime.fromisoformat(days_ago(days, NOW))
    step = WIDTHS[width]
    expected = dt.timedelta(days=days) // step
    assert times == [(start + n * step, start + (n + 1) * step) for n in range(expected)]
    assert all(len(bucket["results"]) <= 1 for bucket in buckets)
    if width != "1d":
        assert any(not bucket["results"] for bucket in buckets)


def test_ranges_are_full_buckets_that_have_begun(simulator: Simulator) -> None:
    last_day = ("starting_at", days_ago(1, NOW).replace("T00", "T05"))
    (yesterday,) = rows(simulator, USAGE, last_day)
    assert yesterday["starting_at"][:19] == days_ago(1, NOW)[:19]
    future = [last_day, ("ending_at", days_ago(-5, NOW))]
    assert [bucket["ending_at"][:10] for bucket in rows(simulator, USAGE, *future)] == [
        days_ago(0, NOW)[:10],
        days_ago(-1, NOW)[:10],
    ]
    assert rows(simulator, USAGE, *future, ("bucket_width", "1h"))[-1]["starting_at"][11:13] == "13"
    ahead = [("starting_at", days_ago(-2, NOW)), ("ending_at", days_ago(-3, NOW))]
    assert get(simulator, USAGE, *ahead).json()["data"] == []


def test_totals_equal_those_of_the_current_reports(simulator: Simulator) -> None:
    daily = ("time_bucket_width", "1d")
    usage = [row["usage"] for row in rows(simulator, "analytics/usage", *WEEK, daily)]
    legacy = results(simulator, USAGE, *WEEK)
    assert legacy
    for name in (*TOKENS, "requests"):
        assert sorted(row[name] for row in legacy) == sorted(row[name] for row in usage)
    for name in ("cache_creation", "server_tool_use"):
        assert countable(row[name] for row in legacy) == countable(row[name] for row in usage)
    cost = [row["cost"] for row in rows(simulator, "analytics/cost", *WEEK, daily)]
    for name in ("amount", "list_amount", "requests"):
        theirs = sorted(Decimal(row[name]) for row in cost)
        assert sorted(Decimal(row[name]) for row in results(simulator, COST, *WEEK)) == theirs


@each("dimension", DIMENSIONS)
def test_groups_equal_the_facts(simulator: Simulator, dimension: str) -> None:
    expected: collections.Counter[Any] = collections.Counter()
    for fact in visible(simulator):
        if dimension == "rbac_group_id":
            values: Iterable[Any] = fact.rbac_group_ids or [None]
        else:
            value = getattr(fact, dimension)
            named = {"not_available": None, "other": None, "claude_tag": "claude-tag"}
            values = [named.get(value, value)]
        for value in values:
            expected[value] += sum(fact.counters[:5])
    found: collections.Counter[Any] = collections.Counter()
    for row in results(simulator, USAGE, *WEEK, *by(dimension)):
        assert {name for name in DIMENSIONS if row[name] is not None} <= {dimension}
        found[row[dimension]] += tokens(row)
    assert found == expected
    assert len(found) > 1


def test_products_have_their_old_names(simulator: Simulator) -> None:
    for path in BUCKETED:
        found = results(simulator, path, *WEEK, *by("product"))
        assert {row["product"] for row in found} <= {*PRODUCTS, None}
        assert {row["product"] for row in found} >= {"claude-tag", None}
        for bucket in rows(simulator, path, *WEEK, *by("product")):
            shown = [row["product"] for row in bucket["results"]]
            assert len(shown) == len(set(shown))  # one null only


@each(
    ("name", "dimension"),
    [
        ("products", "product"),
        ("models", "model"),
        ("context_windows", "context_window"),
        ("inference_geos", "inference_geo"),
        ("speeds", "speed"),
        ("rbac_group_ids", "rbac_group_id"),
        ("slack_channel_ids", "slack_channel_id"),
        ("claude_tag_categories", "claude_tag_category"),
        ("claude_tag_user_ids", "claude_tag_user_id"),
    ],
)
@each("path", REPORTS)
def test_filters(simulator: Simulator, path: str, name: str, dimension: str) -> None:
    read = results if path in BUCKETED else rows
    everything = read(simulator, path, *WEEK, *by(dimension))
    value = min({row[dimension] for row in everything} - {None})
    found = read(simulator, path, *WEEK, *by(dimension), (f"{name}[]", value))
    if dimension == "rbac_group_id":  # users of this group are in others too
        found = [row for row in found if row[dimension] == value]
    assert countable(found) == countable(row for row in everything if row[dimension] == value)
    assert 0 < len(found) < len(everything)


def test_filters_of_users_and_of_teams_by_their_other_id(simulator: Simulator) -> None:
    everything = rows(simulator, USER_USAGE, *WEEK)
    user = everything[3]["actor"]["user_id"]
    assert rows(simulator, USER_USAGE, *WEEK, ("user_ids[]", user)) == [everything[3]]
    (bucketed,) = [results(simulator, USAGE, *WEEK, ("user_ids[]", user))]
    assert total(bucketed, "output_tokens") == everything[3]["output_tokens"]
    team = simulator.enterprise.cast.teams[0]
    assert results(simulator, USAGE, *WEEK, ("rbac_group_ids[]", team.uuid)) == results(
        simulator, USAGE, *WEEK, ("rbac_group_ids[]", team.id)
    )
    nobody = ("inference_geos[]", "not_available")
    found = rows(simulator, USER_USAGE, *WEEK, *by("inference_geo"), nobody)
    assert {row["inference_geo"] for row in found} == {None}


def test_types_of_cost_and_of_tokens(simulator: Simulator) -> None:
    for path, read in ((COST, results), (USER_COST, rows)):
        together = read(simulator, path, *WEEK)
        by_cost = read(simulator, path, *WEEK, *by("cost_type"))
        by_token = read(simulator, path, *WEEK, *by("token_type"))
        by_both = read(simulator, path, *WEEK, *by("cost_type", "token_type"))
        assert {row["cost_type"] for row in by_cost} == {"tokens", "web_search", "code_execution"}
        assert {row["token_type"] for row in by_cost} == {None}
        assert {row["cost_type"] for row in by_token} == {"tokens"}
        assert len({row["token_type"] for row in by_token}) == 5
        of_tokens = [row for row in by_cost if row["cost_type"] == "tokens"]
        assert total(by_token, "amount") == total(of_tokens, "amount")
        for name in ("amount", "list_amount"):
            assert total(by_both, name) == total(by_cost, name) == total(together, name)
        assert {row["cost_type"] for row in together} == {None}
        assert all(row["requests"] for row in together)
        for row in (*by_cost, *by_token, *by_both):
            assert row["requests"] is None


def test_a_bucket_shows_its_largest_hundred_groups() -> None:
    day = NOW.date()
    history: dict[str, Any] = {"first_day": day - dt.timedelta(days=3), "today": day}
    broad = Facts(seed=8, breadth=1500, enterprise=True, **history)
    query = [("starting_at", days_ago(2, NOW)), END]
    # Without teams, where use counts more than once.
    many = [name for name in DIMENSIONS if name != TEAM]
    with Simulator(Facts(**history), now=NOW, enterprise=broad) as simulator:
        for path in BUCKETED:
            metric = METRICS["amount"] if path == COST else tokens
            wholes = rows(simulator, path, *query)
            for more in (many, [*many, *(analytics_query.FAN_OUT if path == COST else ())]):
                for bucket, whole in zip(
                    rows(simulator, path, *query, *by(*more)), wholes, strict=True
                ):
                    shown = [metric(row) for row in bucket["results"]]
                    assert len(shown) == MOST_GROUPS
                    assert shown == sorted(shown, reverse=True)
                    # no row for the rest
                    assert sum(shown) < metric(whole["results"][0])
        # All groups, from a filter for each value: no hidden group is larger than a shown one.
        (first, _) = rows(simulator, USAGE, *query, *by(*many))
        least = tokens(first["results"][-1])
        everything = [
            row
            for model in {row["model"] for row in first["results"]} - {None}
            for product in PRODUCTS
            for row in rows(
                simulator, USAGE, *query, *by(*many), ("models[]", model), ("products[]", product)
            )[0]["results"]
        ]
        assert len(everything) > MOST_GROUPS
        larger = [row for row in everything if tokens(row) >= least]
        assert countable(larger) <= countable(first["results"])


# -- reports by user


@each("order", ["asc", "desc", None])
@each("order_by", METRICS)
@each("width", [[], [DAILY]])
def test_rows_are_ordered_by_their_metric(
    simulator: Simulator, order_by: str, order: str | None, width: Pairs
) -> None:
    path = USER_COST if "amount" in order_by else USER_USAGE
    query = [*WEEK, *width, *by("model", "product")]
    ordered = [*query, ("order_by", order_by), *([("order", order)] if order else [])]
    found = rows(simulator, path, *ordered, ("limit", "7"))
    assert countable(found) == countable(rows(simulator, path, *query))
    values = [METRICS[order_by](row) for row in found]
    assert values == sorted(values, reverse=order != "asc")
    starts = [row["starting_at"] for row in found]
    assert {text is None for text in starts} == {not width}
    if width:  # not by time
        assert starts not in (sorted(starts), sorted(starts, reverse=True))
        assert all(row["ending_at"] > row["starting_at"] for row in found)


def test_defaults_of_the_reports_by_user(simulator: Simulator) -> None:
    query = [*WEEK, *by("model", "product")]
    for path, metric in ((USER_USAGE, "total_tokens"), (USER_COST, "amount")):
        page = get(simulator, path, *query).json()
        assert len(page["data"]) == 20
        values = [METRICS[metric](row) for row in page["data"]]
        assert values == sorted(values, reverse=True)
        # without an end: until now
        assert get(simulator, path, START).json()["data"]


def known_user(simulator: Simulator, fact: Fact) -> Row | None:
    shown = simulator.enterprise.cast.describe(fact.actor, 0)
    return shown if shown and shown["type"] == "user_actor" else None


def test_sums_of_users_equal_the_facts(simulator: Simulator) -> None:
    expected: collections.Counter[str] = collections.Counter()
    unknown = 0
    for fact in visible(simulator):
        user = known_user(simulator, fact)
        if user:
            expected[user["user_id"]] += sum(fact.counters[:5])
        else:
            unknown += sum(fact.counters[:5])
    assert unknown
    for more in ([], [DAILY], by("model"), [DAILY, *by("context_window", "product", "speed")]):
        found: collections.Counter[str] = collections.Counter()
        for row in rows(simulator, USER_USAGE, *WEEK, *more):
            found[row["actor"]["user_id"]] += row["total_tokens"]
        assert found == expected
    # the organization's report has the rest
    for path, report in ((USER_USAGE, USAGE), (USER_COST, COST)):
        name = "requests" if path == USER_USAGE else "amount"
        own = total(rows(simulator, path, *WEEK), name)
        assert own < total(results(simulator, report, *WEEK), name)


def test_actors(simulator: Simulator) -> None:
    found = [row["actor"] for row in rows(simulator, USER_USAGE, *WEEK)]
    assert len({actor["user_id"] for actor in found}) == len(found)
    assert {actor["type"] for actor in found} == {"user_actor"}
    assert {actor["deleted"] for actor in found} == {True, False}
    assert any(actor["name"] == "Deleted User" for actor in found)
    assert any(actor["name"] is None for actor in found)
    old = [row["actor"] for row in rows(simulator, USER_USAGE, *WEEK, version=OLD)]
    assert all("email_address" not in actor for actor in old)
    assert [
        {("email_address" if name == "email" else name): value for name, value in actor.items()}
        for actor in old
    ] == found
    emails = {row["id"]: row["email"] for row in lists(simulator).users}
    for actor in found:
        if not actor["deleted"]:
            assert emails[actor["user_id"]] == actor["email_address"]


@pytest.mark.parametrize("limit", ["1", "4"])
def test_pages_may_be_short_or_empty(simulator: Simulator, limit: str) -> None:
    query = [*WEEK, DAILY, *by("model")]
    found = pages(simulator, USER_USAGE, *query, ("limit", limit))
    assert len(found[0]["data"]) == int(limit)
    assert found[2]["data"] == []
    assert found[2]["has_more"] is True
    assert [row for page in found for row in page["data"]] == rows(simulator, USER_USAGE, *query)
    everything = rows(simulator, USER_USAGE, *query)
    living = rows(simulator, USER_USAGE, *query, ("exclude_deleted_users", "true"))
    assert living == [row for row in everything if not row["actor"]["deleted"]]
    assert 0 < len(living) < len(everything)
    shorter = pages(
        simulator, USER_USAGE, *query, ("exclude_deleted_users", "true"), ("limit", limit)
    )
    assert len(shorter) == len(found)


def test_fan_out_does_not_count_toward_the_limit(simulator: Simulator) -> None:
    query = [*WEEK, *by("model", *analytics_query.FAN_OUT)]
    first = get(simulator, USER_COST, *query, ("limit", "5")).json()["data"]
    assert len(first) > 5
    assert len({(row["actor"]["user_id"], row["model"]) for row in first}) == 5
    assert rows(simulator, USER_COST, *query, ("limit", "5")) == rows(simulator, USER_COST, *query)


# -- all reports


@each("path", REPORTS)
def test_envelopes(simulator: Simulator, path: str) -> None:
    pairs = [*WEEK, *by("model"), ("limit", "3")]
    common = {"data", "data_refreshed_at", "has_more", "next_page"}
    for page in pages(simulator, path, *pairs):
        assert set(page) == common
        assert page["data_refreshed_at"] < NOW.isoformat()
    for page in pages(simulator, path, *pairs, version=OLD):
        assert set(page) == {*common, "organization_id"}
        assert page["organization_id"] == simulator.organization_ids["enterprise"]


@each("path", REPORTS)
def test_pages_show_the_data_of_the_first_one(path: str) -> None:
    # without an end: the chain keeps the end of its first page too
    query = [START, *by("model", "product"), ("limit", "2")]
    with simulated(days=30, now=NOW) as simulator:
        expected = rows(simulator, path, *query)
        first = get(simulator, path, *query).json()
        simulator.stopped_clock = NOW + dt.timedelta(hours=29)
        simulator.enterprise.revision = 1
        rest: list[Row] = [first]
        while rest[-1]["has_more"]:
            page = ("page", rest[-1]["next_page"])
            rest.append(get(simulator, path, *query, page).json())
        assert [row for page in rest for row in page["data"]] == expected
        assert {page["data_refreshed_at"] for page in rest} == {first["data_refreshed_at"]}
        assert rows(simulator, path, *query) != expected


# -- lists


def table(simulator: Simulator, path: str) -> list[Row]:
    """Return the rows of a list, without paging."""
    known = lists(simulator)
    id_ = full(simulator, path).split("/")[1] if "{" in path else ""
    found: dict[str, Callable[[], list[Row]]] = {
        "rbac_groups": lambda: known.rbac_groups,
        "rbac_groups/{id}/members": lambda: known.group_members(id_, NOW.date()),
        "rbac_roles": lambda: known.rbac_roles,
        "rbac_roles/{id}/permissions": lambda: known.permissions(id_),
        "spend_limits": lambda: known.spend_limits,
        "spend_limits/effective": lambda: [row for rows in known.spend for row in rows],
        "spend_limit_increase_requests": lambda: known.increase_requests,
    }
    return found[path]()


@each("limit", [None, "1", "3", "1000"])
@each("path", LISTS)
def test_every_row_is_returned_exactly_once(
    simulator: Simulator, path: str, limit: str | None
) -> None:
    found = pages(simulator, path, *([("limit", limit)] if limit else []))
    assert all(set(page) == {"data", "next_page"} for page in found)
    assert [row for page in found for row in page["data"]] == table(simulator, path)
    assert len(table(simulator, path)) > 20
    if limit in {"1", "3"}:
        assert found[1]["data"] == []


def test_groups_are_those_of_the_reports(simulator: Simulator) -> None:
    found = rows(simulator, "rbac_groups")
    reported = {row["rbac_group_id"] for row in rows(simulator, USER_USAGE, *WEEK, *by(TEAM))}
    assert {row["id"] for row in found} > reported - {None} != set()
    assert [row["name"] for row in found[:3]] == ["Engineering", "Finance", "Support"]
    assert len({row["name"] for row in found}) < len(found)
    shown = [row["role_ids"] for row in found]
    assert None in shown
    assert [] in shown
    known = {row["id"] for row in rows(simulator, "rbac_roles")}
    assert {id_ for ids in shown for id_ in ids or ()} <= known
    assert {row["source_type"] for row in found} == {"direct", "scim"}


def test_members_equal_those_in_the_reports(simulator: Simulator) -> None:
    emails = {row["id"]: row["email"] for row in rows(simulator, "users")}
    sizes = []
    for group in rows(simulator, "rbac_groups"):
        members = rows(simulator, f"rbac_groups/{group['id']}/members")
        sizes.append(len(members))
        assert all(row["email"] == emails[row["user_id"]] for row in members)
        assert {row[TEAM] for row in members} <= {group["id"]}
        assert len({row["user_id"] for row in members}) == len(members)
    assert 0 in sizes
    day = [("starting_at", days_ago(1, NOW)), END]
    pairs = {
        (row[TEAM], row["actor"]["user_id"])
        for row in rows(simulator, USER_USAGE, *day, *by(TEAM))
        if row[TEAM]
    }
    assert pairs
    for id_, user in pairs:
        members = rows(simulator, f"rbac_groups/{id_}/members")
        assert user in {row["user_id"] for row in members}


def test_members_change_with_time() -> None:
    with simulated(days=9, now=NOW) as simulator:
        third = simulator.enterprise.cast.teams[2].id
        in_march = rows(simulator, f"rbac_groups/{third}/members")
        simulator.stopped_clock = NOW + dt.timedelta(days=20)
        in_april = rows(simulator, f"rbac_groups/{third}/members")
        assert {row["user_id"] for row in in_march} != {row["user_id"] for row in in_april}


def test_roles_and_permissions(simulator: Simulator) -> None:
    roles = rows(simulator, "rbac_roles")
    assert {row["source"]["type"] for row in roles} == {"built_in", "custom"}
    for role in roles:
        permissions = rows(simulator, f"rbac_roles/{role['id']}/permissions")
        assert {row["resource"]["type"] for row in permissions} == {
            *("organization", "all_connectors", "connector", "connector_tool", "connector_scope"),
        }


def test_the_old_version_has_the_old_fields(simulator: Simulator) -> None:
    for page in pages(simulator, "rbac_groups", ("limit", "3"), version=OLD):
        assert set(page) == {"data", "next_page", "has_more"}
    old, new = (rows(simulator, "rbac_groups", version=version) for version in (OLD, NEW))
    assert [sorted({"roles", "role_ids"} & set(row)) for row in old[:4]] == [
        ["role_ids"],
        ["roles"],
    ] * 2
    assert [
        {("role_ids" if name == "roles" else name): value for name, value in row.items()}
        for row in old
    ] == new
    old, new = (rows(simulator, "rbac_roles", version=version) for version in (OLD, NEW))
    assert old == [{**row, "name": row["display_name"]} for row in new]


def test_spend_limits(simulator: Simulator) -> None:
    found = rows(simulator, "spend_limits")
    assert {row["scope"]["type"] for row in found} == set(SCOPE_TYPES)
    assert {row["period"] for row in found} == set(PERIODS)
    assert {row["is_enabled"] for row in found} == {True, False}
    assert any(row["amount"] is None for row in found)
    assert all(row["amount"] is None or row["amount"].isdecimal() for row in found)
    assert len({row["id"] for row in found}) == len(found)
    types = [("scope_type[]", "user"), ("scope_type[]", "rbac_group")]
    wanted = [row for row in found if row["scope"]["type"] in {"user", "rbac_group"}]
    assert rows(simulator, "spend_limits", *types) == wanted
    (workspace,) = (row for row in found if row["scope"]["type"] == "workspace")
    id_ = ("workspace_id", workspace["scope"]["workspace_id"])
    assert rows(simulator, "spend_limits", id_) == [workspace]
    assert rows(simulator, "spend_limits", ("workspace_id", "wrkspc_unknown")) == []


def test_effective_spend_limits(simulator: Simulator) -> None:
    path = "spend_limits/effective"
    found = rows(simulator, path)
    limits = {row["id"]: row for row in rows(simulator, "spend_limits")}
    for row in found:
        limit = limits[row["spend_limit_id"]]
        assert (row["amount"], row["source"], row["period"]) == (
            *(limit["amount"], limit["scope"], limit["period"]),
        )
        if row["actor"]["type"] == "user_actor":
            assert row["scope"] == {"type": "user", "user_id": row["actor"]["user_id"]}
    assert {row["source"]["type"] for row in found} == {
        *("user", "rbac_group", "seat_tier", "organization"),
    }
    people = {row["id"]: (row["email"], row["name"]) for row in rows(simulator, "users")}
    actors = [row["actor"] for row in found if row["actor"]["type"] == "user_actor"]
    shown = {actor["user_id"]: (actor["email_address"], actor["name"]) for actor in actors}
    assert shown == people
    (key,) = (row for row in found if row["actor"]["type"] == "scoped_api_key_actor")
    assert key["scope"] == {"type": "organization"}
    sizes = collections.Counter(row["actor"].get("user_id") for row in found)
    assert set(sizes.values()) == {1, 2, 3}
    parts = [
        Decimal(r["period_to_date_spend"]) / Decimal(r["amount"]) for r in found if r["amount"]
    ]
    assert sum(part > 1 for part in parts) == 1
    assert any(Decimal("0.8") < part < 1 for part in parts)
    assert "0" in {row["period_to_date_spend"] for row in found}
    assert any("." in row["period_to_date_spend"] for row in found)
    assert any(row["amount"] is None for row in found)


def test_pages_of_members_and_their_filters(simulator: Simulator) -> None:
    path = "spend_limits/effective"
    found = rows(simulator, path)
    for page in pages(simulator, path, ("limit", "4")):
        assert len({row["actor"].get("user_id") for row in page["data"]}) in {0, 2, 4}
    assert len(get(simulator, path, ("limit", "4")).json()["data"]) > 4
    weekly = rows(simulator, path, ("period[]", "weekly"), ("limit", "3"))
    assert weekly == [row for row in found if row["period"] == "weekly"]
    users = [found[0]["actor"]["user_id"], found[5]["actor"]["user_id"], "user_unknown"]
    pairs = [("user_ids[]", id_) for id_ in users]
    assert rows(simulator, path, *pairs) == [
        row for row in found if row["actor"].get("user_id") in users
    ]
    assert rows(simulator, path, ("user_ids[]", "user_unknown")) == []


def test_increase_requests(simulator: Simulator) -> None:
    path = "spend_limit_increase_requests"
    found = rows(simulator, path)
    assert len({row["id"] for row in found}) == len(found)
    assert {row["status"] for row in found} == {"pending", "approved", "denied"}
    for row in found:
        pending = row["status"] == "pending"
        assert (row["resolved_at"] is None) is (row["resolved_by"] is None) is pending
        assert pending or row["resolved_at"] > row["created_at"]
        if row["spend_summary"]:
            assert row["spend_summary"]["actor"] == row["actor"]
            assert row["spend_summary"]["period"] == row["period"]
    assert any(row["spend_summary"] is None for row in found)
    resolvers = [row["resolved_by"] for row in found if row["resolved_by"]]
    assert {actor["type"] for actor in resolvers} == {"user_actor", "scoped_api_key_actor"}
    owners = {row["id"] for row in rows(simulator, "users") if "owner" in row["role"]}
    assert {actor["user_id"] for actor in resolvers if "user_id" in actor} <= owners
    assert any(row["actor"]["deleted"] and row["actor"]["name"] is None for row in found)
    denied = rows(simulator, path, ("status[]", "denied"), ("limit", "2"))
    assert denied == [row for row in found if row["status"] == "denied"]
    actor = found[0]["actor"]["user_id"]
    own = rows(simulator, path, ("actor_ids[]", actor))
    assert own == [row for row in found if row["actor"]["user_id"] == actor]


# -- the official SDK

TYPES: dict[str, type[BaseModel]] = {
    USAGE: beta.BetaAnalyticsUsageReportTimeBucket,
    COST: beta.BetaAnalyticsCostReportTimeBucket,
    USER_USAGE: beta.BetaAnalyticsUsageUsersItem,
    USER_COST: beta.BetaAnalyticsCostUsersItem,
    "rbac_groups": official.RBACGroup,
    "rbac_groups/{id}/members": rbac_groups.RBACGroupMember,
    "rbac_roles": official.RBACRole,
    "rbac_roles/{id}/permissions": rbac_roles.RBACRolePermission,
    "spend_limits": beta.BetaSpendLimit,
    "spend_limits/effective": official.SpendSummary,
    "spend_limit_increase_requests": spend_limits.SpendLimitIncreaseRequest,
}


def queries(path: str) -> list[Pairs]:
    if path not in REPORTS:
        return [[]]
    fan_out = analytics_query.FAN_OUT if path in {COST, USER_COST} else ()
    names = [*DIMENSIONS, *fan_out]
    alone = [[*WEEK, DAILY, *by(name)] for name in names]
    return [WEEK, *alone, [*WEEK, *by(*(name for name in names if name != TEAM))]]


@each("path", TYPES)
def test_rows_match_the_official_types(simulator: Simulator, path: str) -> None:
    extra = {"+metric_of_tomorrow"} if path in REPORTS else set()
    for query in queries(path):
        found = rows(simulator, path, *query)
        assert found
        for row in found:
            model = TYPES[path].model_validate_json(json.dumps(row), strict=True)
            bare = path in BUCKETED and not row["results"]
            assert differences(model) == (set() if bare else extra)


READERS: dict[str, Callable[[Any, str], Iterable[Any]]] = {
    USAGE: lambda api, _: api.analytics.usage_report.list(
        starting_at=START[1], ending_at=END[1], group_by=["model"], limit=2
    ),
    COST: lambda api, _: api.analytics.cost_report.list(
        starting_at=START[1], ending_at=END[1], group_by=["model"], limit=2
    ),
    USER_USAGE: lambda api, _: api.analytics.user_usage_report.list(
        starting_at=START[1], ending_at=END[1], group_by=["model"], limit=7
    ),
    USER_COST: lambda api, _: api.analytics.user_cost_report.list(
        starting_at=START[1], ending_at=END[1], group_by=["model"], limit=7
    ),
    "rbac_groups": lambda api, _: api.rbac_groups.list(limit=7),
    "rbac_groups/{id}/members": lambda api, id_: api.rbac_groups.members.list(id_, limit=7),
    "rbac_roles": lambda api, _: api.rbac_roles.list(limit=7),
    "rbac_roles/{id}/permissions": lambda api, id_: api.rbac_roles.permissions.list(id_, limit=7),
    "spend_limits": lambda api, _: api.spend_limits.list(limit=7, betas=[BETA]),
    "spend_limits/effective": lambda api, _: api.spend_limits.effective.list(limit=7),
    "spend_limit_increase_requests": lambda api, _: api.spend_limits.increase_requests.list(
        limit=7
    ),
}


@each("path", READERS)
def test_the_official_sdk_reads_everything(simulator: Simulator, path: str) -> None:
    with anthropic.Anthropic(
        base_url=simulator.url, api_key=ANALYTICS_KEY, max_retries=0
    ) as client:
        id_ = full(simulator, path).split("/")[1] if "{" in path else ""
        read = list(READERS[path](client.beta.organization, id_))
    expected = rows(simulator, path, *([*WEEK, *by("model")] if path in REPORTS else []))
    assert read == [type(row).construct(**raw) for row, raw in zip(read, expected, strict=True)]
