"""The simulated engagement endpoints: strictness, pages, and consistent numbers."""

from __future__ import annotations

import collections
import datetime as dt
import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests
from anthropic.types import organization as official

from simulator.engagement_facts import ARTIFACT_TYPES, ROLLED_OUT, sessions
from simulator.facts import SILENCE_AFTER_DAYS, SILENCE_DAYS
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, OAUTH, Simulator
from tests.conftest import NOW, simulated
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel

Row = dict[str, Any]

DAY = dt.timedelta(days=1)
TODAY = NOW.date()
DAYS = [TODAY - ago * DAY for ago in range(1, 25)]
LATE = dt.datetime(2026, 11, 20, 13, tzinfo=dt.UTC)
LATE_DAYS = [dt.date(2026, 5, 20) + number * DAY for number in range(45)]
NOT_ADDABLE = ("distinct", "sessions_with", "install", "enable", "tomorrow", "holodeck")
NO_LAG = "data is not yet available; the latest available day is"

TYPES: dict[str, type[BaseModel]] = {
    "users": official.AnalyticsUserActivity,
    "apps/chat/projects": official.AnalyticsProjectActivity,
    "skills": official.AnalyticsSkillActivity,
    "connectors": official.AnalyticsConnectorActivity,
    "plugins": official.AnalyticsPluginActivity,
    "artifacts": official.AnalyticsArtifactActivity,
    "summaries": official.AnalyticsSingleDayActivitySummary,
}
KEYS = {
    "users": ("user.id",),
    "apps/chat/projects": ("project_id",),
    "skills": ("skill_name", "share_status"),
    "connectors": ("connector_name",),
    "plugins": ("plugin_name", "plugin_id"),
    "artifacts": ("artifact_type", "is_shared"),
}
GROUPS = {
    "users": ("rbac_group_id",),
    "apps/chat/projects": ("rbac_group_id", "user_id"),
    **dict.fromkeys(
        ("skills", "connectors", "plugins", "artifacts"), ("product", "rbac_group_id", "user_id")
    ),
}
RANGED = [name for name in KEYS if name != "artifacts"]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=60, now=NOW) as made:
        yield made


@pytest.fixture(scope="module")
def late() -> Iterator[Simulator]:
    with simulated(days=200, now=LATE) as made:
        yield made


def get(
    simulator: Simulator,
    path: str,
    *,
    key: str = ANALYTICS_KEY,
    version: str = "2026-10-21",
    **pairs: Any,
) -> requests.Response:
    named = {
        f"{name}[]" if isinstance(value, list) else name: value for name, value in pairs.items()
    }
    credential = {"x-api-key": key}
    if key == ACCESS_TOKEN:
        credential = {"authorization": f"Bearer {key}", "anthropic-beta": OAUTH}
    return requests.get(
        f"{simulator.url}/v1/organizations/analytics/{path}",
        params=named,
        headers={**credential, "anthropic-version": version},
        timeout=10,
    )


def page(simulator: Simulator, path: str, **pairs: Any) -> Row:
    response = get(simulator, path, **pairs)
    assert response.status_code == 200, response.text
    found: Row = response.json()
    assert set(found) == {"data", "next_page"}
    return found


def pages(simulator: Simulator, path: str, **pairs: Any) -> list[list[Row]]:
    found = page(simulator, path, **pairs)
    every = [found["data"]]
    while found["next_page"]:
        found = page(simulator, path, page=found["next_page"], **pairs)
        every.append(found["data"])
    return every


def rows(simulator: Simulator, path: str, **pairs: Any) -> list[Row]:
    return [row for part in pages(simulator, path, **pairs) for row in part]


def refusal(simulator: Simulator, path: str, **pairs: Any) -> str:
    response = get(simulator, path, **pairs)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    message: str = error["message"]
    return message


def value(row: Row, path: str) -> Any:
    found: Any = row
    for name in path.split("."):
        found = found[name]
    return found


def numbers(row: Any, path: str = "") -> Iterator[tuple[str, int | None]]:
    """Yield the counts in a row, down to the innermost."""
    for name, part in row.items():
        if isinstance(part, dict):
            yield from numbers(part, f"{path}{name}.")
        elif isinstance(part, int) and not isinstance(part, bool):
            yield f"{path}{name}", part


def added(data: Iterable[Row]) -> dict[str, int]:
    """Add up what can be added up."""
    totals: dict[str, int] = collections.Counter()
    for row in data:
        for name, count in numbers(row):
            if not any(part in name for part in NOT_ADDABLE):
                totals[name] += count or 0
    return {name: total for name, total in totals.items() if total}


def teams_of(simulator: Simulator, user: str | None, date: dt.date) -> tuple[str, ...]:
    return simulator.enterprise.cast.teams_of(user, date)


# -- refusals


REFUSED: list[tuple[str, Row, str]] = [
    ("users", {}, "date: Field required, or starting_date"),
    ("artifacts", {}, "date: Field required"),
    ("summaries", {}, "starting_date: Field required"),
    ("summaries", {"date": DAYS[0]}, "starting_date: Field required"),
    ("users", {"date": "2025-12-31"}, "date: must not be earlier than 2026-01-01"),
    (
        "skills",
        {"starting_date": "2025-12-31"},
        "starting_date: must not be earlier than 2026-01-01",
    ),
    ("users", {"date": "20260301"}, "date: Input should be a date in the format YYYY-MM-DD"),
    ("users", {"date": "2026-02-30"}, "date: Input should be a valid date"),
    (
        "users",
        {"date": DAYS[0], "starting_date": DAYS[1]},
        "date: cannot be combined with starting_date",
    ),
    (
        "plugins",
        {"date": DAYS[0], "ending_date": DAYS[0]},
        "ending_date: only valid with starting_date",
    ),
    (
        "users",
        {"starting_date": DAYS[1], "ending_date": DAYS[1]},
        "Invalid date range: ending date must be after starting date",
    ),
    (
        "users",
        {"starting_date": DAYS[1], "ending_date": TODAY + DAY},
        f"ending_date: {NO_LAG} {DAYS[0]}",
    ),
    (
        "artifacts",
        {"date": DAYS[0], "starting_date": DAYS[0]},
        "starting_date: Extra inputs are not permitted",
    ),
    ("artifacts", {"date": DAYS[0], "order": "asc"}, "order: Extra inputs are not permitted"),
    ("summaries", {"starting_date": DAYS[0], "order": "asc"}, "order: Extra inputs"),
    ("summaries", {"starting_date": DAYS[0], "page": "page_x"}, "page: Invalid page token"),
    ("users", {"date": DAYS[0], "page": "page_x"}, "page: Invalid page token"),
    ("users", {"date": DAYS[0], "limit": 0}, "limit: Input should be between 1 and 1000"),
    ("users", {"date": DAYS[0], "limit": 1001}, "limit: Input should be between 1 and 1000"),
    ("summaries", {"starting_date": DAYS[0], "limit": 1001}, "limit: Input should be between"),
    ("users", {"date": DAYS[0], "order_by": "user_id"}, "order_by: Input should be one of"),
    ("users", {"date": DAYS[0], "order": "up"}, "order: Input should be one of"),
    ("users", {"date": DAYS[0], "group_by": ["user_id"]}, "group_by[]: Input should be one of"),
    (
        "apps/chat/projects",
        {"date": DAYS[0], "group_by": ["product"]},
        "group_by[]: Input should be one of",
    ),
    ("summaries", {"starting_date": DAYS[0], "group_by": ["rbac_group_id"]}, "group_by[]: Extra"),
    (
        "users",
        {"date": DAYS[0], "filter": ["product:chat"]},
        "filter[]: dimension should be one of",
    ),
    ("summaries", {"starting_date": DAYS[0], "filter": ["user_id:user_1"]}, "filter[]: dimension"),
    (
        "users",
        {"date": DAYS[0], "filter": ["user_id"]},
        "filter[]: Input should be dimension:value",
    ),
    ("users", {"date": DAYS[0], "filter": ["user_id:1"]}, "filter[]: user_id should start with"),
    ("users", {"date": DAYS[0], "filter": ["rbac_group_id:x"]}, "filter[]: rbac_group_id should"),
    (
        "skills",
        {"date": DAYS[0], "filter": ["product:other"]},
        "filter[]: product should be one of",
    ),
    (
        "plugins",
        {"date": DAYS[0], "filter": ["product:chat"]},
        "filter[]: product should be one of",
    ),
    (
        "artifacts",
        {"date": DAYS[0], "filter": ["product:office_agent"]},
        "filter[]: product should",
    ),
    ("artifacts", {"date": DAYS[0], "filter": ["is_shared:yes"]}, "filter[]: is_shared should be"),
    (
        "artifacts",
        {"date": DAYS[0], "filter": ["artifact_type:x"]},
        "filter[]: artifact_type should",
    ),
    (
        "users",
        {"date": DAYS[0], "filter": [f"user_id:user_{number}" for number in range(101)]},
        "filter[]: List should have at most 100 items",
    ),
    (
        "users",
        {"date": DAYS[0], "filter": ["project_id:claude_proj_1"], "group_by": ["rbac_group_id"]},
        "filter[]: project_id cannot be combined",
    ),
    (
        "users",
        {"date": DAYS[0], "filter": ["project_id:claude_proj_1", "rbac_group_id:rbac_group_1"]},
        "filter[]: project_id cannot be combined",
    ),
    ("users", {"date": DAYS[0], "unknown": 1}, "unknown: Extra inputs are not permitted"),
    ("users", {"date": DAYS[0], "filter[0]": "x"}, "filter[0]: Extra inputs are not permitted"),
]


@each(("path", "pairs", "message"), REFUSED)
def test_refusals(simulator: Simulator, path: str, pairs: Row, message: str) -> None:
    assert refusal(simulator, path, **pairs).startswith(message)


def test_a_range_of_more_than_366_days(simulate: Any) -> None:
    now = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
    simulator = simulate(days=30, now=now)
    for path in (*RANGED, "summaries"):
        for days, status in ((366, 200), (367, 400)):
            end = dt.date(2026, 1, 1) + days * DAY
            response = get(simulator, path, starting_date="2026-01-01", ending_date=end)
            assert response.status_code == status
    message = refusal(simulator, "users", starting_date="2026-01-01")
    assert message == "Invalid date range: may span at most 366 days"


@each("path", TYPES)
def test_only_the_scoped_key_may_read(simulator: Simulator, path: str) -> None:
    for key in (ADMIN_KEY, ACCESS_TOKEN):
        response = get(simulator, path, key=key, date=DAYS[0])
        assert response.status_code == 403
        assert response.json()["error"]["details"]["error_code"] == "api_key_scope_missing"
        assert response.json()["error"]["message"].endswith("Needed: ['read:analytics']")


@pytest.mark.parametrize(("time", "ago"), [((9, 59, 59), 2), ((10, 0, 0), 1)])
def test_a_day_is_available_from_ten_on_the_next_day(
    simulate: Any, time: tuple[int, int, int], ago: int
) -> None:
    hour, minute, second = time
    now = NOW.replace(hour=hour, minute=minute, second=second, microsecond=0)
    simulator = simulate(days=20, now=now)
    latest = TODAY - ago * DAY
    for path in KEYS:
        assert page(simulator, path, date=latest)["data"]
        assert refusal(simulator, path, date=latest + DAY) == f"date: {NO_LAG} {latest}"
    for path in (*RANGED, "summaries"):
        message = refusal(simulator, path, starting_date=latest + DAY)
        assert message == f"starting_date: {NO_LAG} {latest}"
    start = latest - 3 * DAY
    message = refusal(simulator, "summaries", starting_date=start, ending_date=latest + 2 * DAY)
    assert message == f"ending_date: {NO_LAG} {latest}"
    series = page(simulator, "summaries", starting_date=start)
    assert series == page(simulator, "summaries", starting_date=start, ending_date=latest + DAY)
    assert series["data"][-1]["starting_at"] == f"{latest}T00:00:00Z"
    # A range may end today, with the data so far.
    whole = rows(simulator, "users", starting_date=start, ending_date=TODAY)
    assert whole == rows(simulator, "users", starting_date=start)
    assert whole == rows(simulator, "users", starting_date=start, ending_date=latest + DAY)


# -- pages


@each("path", KEYS)
def test_pages(late: Simulator, path: str) -> None:
    date = dt.date(2026, 6, 10)
    query = {"date": date, "group_by": list(GROUPS[path])}
    everything = page(late, path, limit=1000, **query)
    assert everything["next_page"] is None
    for limit in (1, 2, 7):
        parts = pages(late, path, limit=limit, **query)
        assert [row for part in parts for row in part] == everything["data"]
    if len(everything["data"]) > 3:
        sizes = [len(part) for part in pages(late, path, limit=2, **query)]
        assert sizes[:3] == [2, 1, 0], "no short page, no empty one"


def test_the_cube_of_artifacts_is_one_page(simulator: Simulator) -> None:
    everything = page(simulator, "artifacts", date=DAYS[0])
    assert page(simulator, "artifacts", date=DAYS[0], limit=2) == everything
    cells = itertools.product(ARTIFACT_TYPES, (False, True))
    assert [(row["artifact_type"], row["is_shared"]) for row in everything["data"]] == list(cells)
    assert any(not row["artifacts_created_count"] for row in everything["data"])
    assert any(row["artifacts_created_count"] for row in everything["data"])


def test_a_cursor_belongs_to_its_query(simulator: Simulator) -> None:
    mismatch = "cursor does not match current query parameters"
    query = {"date": DAYS[0], "limit": 2, "group_by": ["user_id"]}
    cursor = page(simulator, "skills", **query)["next_page"]
    assert cursor.startswith("page_")
    for change in ({"date": DAYS[1]}, {"limit": 3}, {"group_by": ["product"]}, {"order": "asc"}):
        assert refusal(simulator, "skills", page=cursor, **{**query, **change}) == mismatch
    assert refusal(simulator, "connectors", page=cursor, **query) == mismatch
    assert page(simulator, "skills", page=cursor, **query)["data"]


def test_all_pages_show_the_data_of_the_first_one(simulate: Any) -> None:
    simulator = simulate(days=20, now=NOW)
    before = rows(simulator, "users", starting_date=DAYS[5], limit=2)
    first = page(simulator, "users", starting_date=DAYS[5], limit=2)
    simulator.enterprise.revision = 1
    simulator.stopped_clock = NOW + DAY
    second = page(simulator, "users", starting_date=DAYS[5], limit=2, page=first["next_page"])
    assert first["data"] + second["data"] == before[:3]
    assert rows(simulator, "users", starting_date=DAYS[5], limit=2) != before


# -- summaries


def test_both_envelopes_of_summaries(simulator: Simulator) -> None:
    new = get(simulator, "summaries", starting_date=DAYS[9]).json()
    old = get(simulator, "summaries", starting_date=DAYS[9], version="2023-06-01").json()
    assert list(new) == ["data", "next_page"]
    assert list(old) == ["summaries", "next_page"]
    assert old["summaries"] == new["data"]
    assert old["next_page"] is new["next_page"] is None
    # It is one page, with any limit.
    assert get(simulator, "summaries", starting_date=DAYS[9], limit=2).json() == new
    starts = [row["starting_at"] for row in new["data"]]
    assert starts == [f"{day}T00:00:00Z" for day in reversed(DAYS[:10])]
    assert [row["ending_at"] for row in new["data"]][:-1] == starts[1:]
    # The version does not change the other endpoints.
    query = {"date": DAYS[0], "version": "2023-06-01"}
    assert page(simulator, "users", **query) == page(simulator, "users", date=DAYS[0])


def products_of(row: Row) -> set[str]:
    """Return the products that a member used, from the blocks that are not all zeros."""
    blocks = {
        "chat": row["chat_metrics"],
        "claude_code": row["claude_code_metrics"],
        "cowork": row["cowork_metrics"],
        "office_agent": row["office_metrics"],
        "claude_design": row["design_metrics"],
        "science": row["science_metrics"],
        "chat_cowork_unified": row.get("chat_cowork_unified_metrics", {}),
    }
    return {name for name, block in blocks.items() if any(n for _, n in numbers(block))}


def test_summaries_agree_with_users(simulator: Simulator) -> None:
    active: dict[dt.date, dict[str, set[str]]] = {}
    first = simulator.enterprise.first_day
    for number in range((TODAY - first).days):
        day = active.setdefault(first + number * DAY, collections.defaultdict(set))
        for row in rows(simulator, "users", date=first + number * DAY):
            for product in ("", *products_of(row)):
                day[product].add(row["user"]["id"])
    series = page(simulator, "summaries", starting_date=first)["data"]
    assert len(series) == len(active)
    seats = len(simulator.enterprise.organization.users)
    for row, date in zip(series, active, strict=True):
        assert row["assigned_seat_count"] == seats
        assert row["pending_invite_count"] > 0

        def expected(product: str, days: int, date: dt.date = date) -> int:
            window = (active.get(date - ago * DAY, {}) for ago in range(days))
            return len(set().union(*(day.get(product, set()) for day in window)))

        for period, days in (("daily", 1), ("weekly", 7), ("monthly", 30)):
            count = row[f"{period}_active_user_count"]
            assert count == expected("", days)
            assert row[f"{period}_adoption_rate"] == round(100 * count / seats, 2)
            assert isinstance(row[f"{period}_adoption_rate"], float)
            assert row[f"cowork_{period}_active_user_count"] == expected("cowork", days)
            for product in ("chat", "claude_code", "claude_design", "office_agent", "science"):
                name = f"{product}_{period}_active_user_count"
                assert (name in row) is (date >= ROLLED_OUT)
                assert row.get(name, expected(product, days)) == expected(product, days)
            if date >= ROLLED_OUT:
                unified = row[f"chat_cowork_unified_{period}_active_user_count"]
                assert unified == expected("chat_cowork_unified", min(days, 28))
                tag = row[f"claude_tag_{period}_active_user_count"]
                assert (tag is None) is (date.day == 13)
    rates = {row["daily_adoption_rate"] for row in series}
    assert {66.67, 50.0} <= rates
    tags = [row["claude_tag_weekly_active_user_count"] or 0 for row in series[20:]]
    assert max(tags) > seats, "nobody without a seat uses Claude Tag"


def test_summaries_of_a_group(simulator: Simulator) -> None:
    team = simulator.enterprise.cast.teams[1]
    query = {"starting_date": DAYS[9], "filter": [f"rbac_group_id:{team.id}"]}
    series = page(simulator, "summaries", **query)["data"]
    by_uuid = {**query, "filter": [f"rbac_group_id:{team.uuid}"]}
    assert page(simulator, "summaries", **by_uuid)["data"] == series
    for row, date in zip(series, reversed(DAYS[:10]), strict=True):
        people = rows(simulator, "users", date=date, filter=query["filter"])
        assert row["daily_active_user_count"] == len(people)
        assert all(team.id in teams_of(simulator, person["user"]["id"], date) for person in people)
        for name in ("assigned_seat_count", "pending_invite_count", "science_entitled_user_count"):
            assert row[name] is None
        for period in ("daily", "weekly", "monthly"):
            assert row[f"{period}_adoption_rate"] is None
            assert row[f"claude_tag_{period}_active_user_count"] is None
    assert max(row["daily_active_user_count"] for row in series) > 0
    teams = [f"rbac_group_id:{each.id}" for each in simulator.enterprise.cast.teams]
    more = page(simulator, "summaries", starting_date=DAYS[9], filter=teams)["data"]
    every = page(simulator, "summaries", starting_date=DAYS[9])["data"]
    counts = [[row["weekly_active_user_count"] for row in part] for part in (series, more, every)]
    assert all(one <= two <= three for one, two, three in zip(*counts, strict=True))
    assert counts[0] != counts[1] != counts[2]
    nobody = ["rbac_group_id:rbac_group_unknown"]
    empty = page(simulator, "summaries", starting_date=DAYS[9], filter=nobody)["data"]
    assert not any(row["monthly_active_user_count"] for row in empty)


# -- rows


@each("path", TYPES)
def test_rows_are_of_the_official_types(simulator: Simulator, late: Simulator, path: str) -> None:
    def check(data: list[Row]) -> None:
        assert data
        for row in data:
            assert row.pop("metric_of_tomorrow") == 1
            kind.model_validate_json(json.dumps(row), strict=True)
            missing = set(kind.model_fields) - set(row)
            assert all(not kind.model_fields[name].is_required() for name in missing)
            assert missing <= optional
            assert set(row) - set(kind.model_fields) <= {"holodeck_metrics"}

    kind = TYPES[path]
    optional = {"product", "rbac_group_id", "rbac_group_name", "user_id", "last_activity_date"}
    optional |= {
        name for name in kind.model_fields if name.startswith(("chat_cowork", "claude_tag"))
    }
    if path == "summaries":
        optional |= {
            name
            for name in kind.model_fields
            if name.startswith(("chat_", "claude_", "office_", "science_"))
        }
        for made in (simulator, late):
            check(page(made, path, starting_date="2026-01-01")["data"])
        return
    for made, date in (
        (simulator, dt.date(2026, 1, 28)),
        (simulator, DAYS[3]),
        (late, LATE_DAYS[-1]),
    ):
        check(rows(made, path, date=date))
        check(rows(made, path, date=date, group_by=list(GROUPS[path])))
        if path in RANGED:
            check(rows(made, path, starting_date=date))


@each("path", KEYS)
def test_keys_are_unique(simulator: Simulator, late: Simulator, path: str) -> None:
    twice = False
    for made, days in ((simulator, DAYS), (late, LATE_DAYS[::5])):
        for date in days:
            data = rows(made, path, date=date)
            keys = [tuple(value(row, name) for name in KEYS[path]) for row in data]
            assert len(set(keys)) == len(keys)
            twice = twice or len({key[0] for key in keys}) < len(keys)
            dimensions = GROUPS[path]
            for number in range(1, len(dimensions) + 1):
                group_by = list(dimensions[:number])
                own = [] if path == "users" else KEYS[path]
                data = rows(made, path, date=date, group_by=group_by)
                keys = [tuple(value(row, name) for name in (*own, *group_by)) for row in data]
                assert len(set(keys)) == len(keys)
    assert twice is (path in {"skills", "plugins", "artifacts"})


def test_rows_have_no_more_groups_than_asked_for(simulator: Simulator) -> None:
    every = {"product", "rbac_group_id", "rbac_group_name", "user_id"}
    for path, dimensions in GROUPS.items():
        assert not every & set(rows(simulator, path, date=DAYS[0])[0])
        for dimension in dimensions:
            expected = {dimension}
            if dimension == "rbac_group_id":
                expected.add("rbac_group_name")
            for row in rows(simulator, path, date=DAYS[0], group_by=[dimension]):
                assert every & set(row) == expected
    names = {
        row["rbac_group_id"]: row["rbac_group_name"]
        for date in DAYS
        for row in rows(simulator, "users", date=date, group_by=["rbac_group_id"])
    }
    assert set(names) == {None, *(team.id for team in simulator.enterprise.cast.teams)}
    known = {row["id"]: row["name"] for row in simulator.directories["E"].rbac_groups}  # type: ignore[attr-defined]
    assert {id_ for id_, name in names.items() if name is None} == {
        None,
        simulator.enterprise.cast.teams[-1].id,
    }
    assert all(known[id_] == name for id_, name in names.items() if name)


@each(
    ("path", "dimension"),
    [(path, name) for path, names in GROUPS.items() for name in names if name != "rbac_group_id"],
)
def test_groups_add_up(late: Simulator, path: str, dimension: str) -> None:
    whole = []
    for date in LATE_DAYS[15::5]:
        whole.append(added(rows(late, path, date=date)))
        assert added(rows(late, path, date=date, group_by=[dimension])) == whole[-1]
    assert any(whole)


def test_groups_of_users_add_up(simulator: Simulator) -> None:
    for date in DAYS[::5]:
        people = rows(simulator, "users", date=date)
        assert all(row["user"] and row["distinct_user_count"] is None for row in people)
        groups = rows(simulator, "users", date=date, group_by=["rbac_group_id"])
        # Who is in two groups counts in both.
        for group in groups:
            assert group["user"] is None
            team = group["rbac_group_id"]
            members = []
            for person in people:
                teams = teams_of(simulator, person["user"]["id"], date)
                if team in teams or (team is None and not teams):
                    members.append(person)
            assert group["distinct_user_count"] == len(members)
            assert added([group]) == added(members)


@each("path", RANGED)
def test_a_range_is_recomputed(late: Simulator, path: str) -> None:
    start, end = LATE_DAYS[20], LATE_DAYS[30]
    days = [start + number * DAY for number in range((end - start).days)]
    rollup = rows(late, path, starting_date=start, ending_date=end)
    daily = [row for date in days for row in rows(late, path, date=date)]
    assert added(rollup) == added(daily) != {}

    def keys(data: Iterable[Row]) -> set[Any]:
        return {tuple(value(row, name) for name in KEYS[path]) for row in data}

    assert keys(rollup) == keys(daily)
    assert len(rollup) == len(keys(daily)) < len(daily)
    if path == "users":
        assert all(row["last_activity_date"] < str(end) for row in rollup)
        assert len({row["last_activity_date"] for row in rollup}) > 1
        return
    for row in rollup:
        mine = [d for d in daily if keys([d]) == keys([row])]
        counts = [d["distinct_user_count"] for d in mine]
        assert max(counts) <= row["distinct_user_count"] <= min(sum(counts), 6)
    assert sum(row["distinct_user_count"] for row in rollup) < sum(
        row["distinct_user_count"] for row in daily
    )


def test_what_cannot_be_computed_is_null(simulator: Simulator) -> None:
    name = "chat_metrics.distinct_files_uploaded_count"
    assert all(value(row, name) is not None for row in rows(simulator, "users", date=DAYS[0]))
    for query in ({"starting_date": DAYS[5]}, {"date": DAYS[0], "group_by": ["rbac_group_id"]}):
        assert all(value(row, name) is None for row in rows(simulator, "users", **query))
    for row in rows(simulator, "skills", starting_date=DAYS[5]):
        assert row["enable_count"] is None
        assert row["chat_cowork_unified_metrics"]["chat"] == {
            "distinct_conversation_skill_used_count": None
        }


def test_later_products_are_missing_on_earlier_days(simulator: Simulator) -> None:
    newer = {"chat_cowork_unified_metrics", "claude_tag_metrics", "last_activity_date"}
    for date in (ROLLED_OUT - DAY, ROLLED_OUT):
        there = date >= ROLLED_OUT
        for row in rows(simulator, "users", date=date):
            assert newer & set(row) == (newer if there else set())
            assert (row["cowork_metrics"]["plugins_used_count"] is not None) is there
            assert (row["cowork_metrics"]["file_edit_count"] is not None) is there
            if there:
                assert row["last_activity_date"] == str(date)
        for path in ("skills", "connectors", "plugins"):
            for row in rows(simulator, path, date=date):
                assert ("chat_cowork_unified_metrics" in row) is there
        for row in rows(simulator, "skills", date=date):
            assert (row["invocation_count"] is not None) is there
            assert (row["estimated_overage_spend"] is not None) is there
            assert (row["currency"] == "USD") is there
    unmeasured = rows(simulator, "users", date=dt.date(2026, 3, 13))
    empty = {"active_day_count": None, "active_message_count": None}
    assert all(row["claude_tag_metrics"] == empty for row in unmeasured)


def test_connectors_before_and_after_their_metrics_began(late: Simulator) -> None:
    calls = ("read_call_count", "write_call_count", "unclassified_call_count")
    auths = ("individual_auth_distinct_user_count", "managed_auth_distinct_user_count")
    counts = []
    for date in (*LATE_DAYS[:20], *LATE_DAYS[-6:]):
        for row in rows(late, "connectors", date=date):
            assert all((row[name] is not None) is (date >= dt.date(2026, 5, 29)) for name in calls)
            if date < dt.date(2026, 7, 1):
                assert all(row[name] is None for name in auths)
            else:
                counts.append([row[name] for name in auths])
    # Both are set or neither, and neither if no credential was used.
    assert all((one is None) is (other is None) for one, other in counts)
    assert any(one is None for one, _ in counts)
    assert any(0 in pair for pair in counts)
    before = rows(late, "connectors", starting_date="2026-05-28", ending_date="2026-06-10")
    assert all(row[name] is None for row in before for name in calls)
    after = rows(late, "connectors", starting_date="2026-05-29", ending_date="2026-07-03")
    assert all(row[name] is not None for row in after for name in calls)
    assert all(row[name] is None for row in after for name in auths)
    users = rows(late, "users", starting_date="2026-06-02", ending_date="2026-06-10")
    # Rows of users do not include calls from Claude Code.
    products = ("chat", "chat_cowork_unified", "cowork", "office_agent")
    again = rows(
        late,
        "connectors",
        starting_date="2026-06-02",
        ending_date="2026-06-10",
        filter=[f"product:{product}" for product in products],
    )
    used = [
        n or 0 for row in users for k, n in numbers(row) if k.endswith(".connectors_used_count")
    ]
    assert sum(used) == sum(row[name] for row in again for name in calls)


def test_amounts_of_skills(late: Simulator) -> None:
    data = [row for date in LATE_DAYS for row in rows(late, "skills", date=date)]
    for name in ("attributed_list_price", "estimated_overage_spend"):
        amounts = {row[name] for row in data if row[name] is not None}
        assert "0" in amounts
        assert all(Decimal(amount) >= 0 and "E" not in amount for amount in amounts)
        assert any(str(float(amount)) != amount for amount in amounts if "." in amount)
    assert {row["currency"] for row in data} == {"USD"}
    assert any(row["attributed_list_price"] is None for row in data)
    for date in LATE_DAYS[::5]:
        for row in rows(late, "skills", date=date, group_by=["product"]):
            assert row["enable_count"] is None
            if row["product"] == "chat":
                assert row["attributed_list_price"] is None
            if row["product"] == "office_agent":
                known = date >= dt.date(2026, 6, 18)
                assert (row["attributed_list_price"] is not None) is known
                assert (row["currency"] is not None) is known


def test_special_rows(simulator: Simulator) -> None:
    skills = [row for date in DAYS for row in rows(simulator, "skills", date=date)]
    statuses = collections.defaultdict(set)
    for row in skills:
        statuses[row["skill_name"]].add(row["share_status"])
        named = row["skill_display_name"] is not None
        assert named <= (row["skill_name"].startswith("skill_") or row["skill_name"] == "unknown")
    assert statuses["brand-guidelines"] == {"organization", "private"}
    assert statuses["xlsx"] == {None}
    assert any(not name.isascii() for name in statuses)
    opaque = [row for row in skills if row["skill_name"].startswith("skill_")]
    assert {row["skill_display_name"] for row in opaque} == {None, "Größenprüfung"}

    plugins = {
        (row["plugin_name"], row["plugin_id"])
        for date in DAYS
        for row in rows(simulator, "plugins", date=date)
    }
    assert ("third-party", None) in plugins
    assert collections.Counter(name for name, _ in plugins)["review-kit"] == 2

    projects = {
        row["project_id"]: row
        for date in DAYS
        for row in rows(simulator, "apps/chat/projects", date=date)
    }
    known = {row["id"]: row["email"] for row in simulator.directories["E"].users}
    makers = [row["created_by"] for row in projects.values()]
    assert all(known[maker["id"]] == maker["email_address"] for maker in makers if maker)
    assert any(row["created_at"] is None for row in projects.values())
    assert any(row["created_at"] and not row["created_by"] for row in projects.values())
    assert all(row["created_at"] or not row["created_by"] for row in projects.values())
    assert len({row["project_name"] for row in projects.values()}) < len(projects)
    assert any(not row["project_name"].isascii() for row in projects.values())

    people = [row for date in DAYS for row in rows(simulator, "users", date=date)]
    assert {row["user"]["id"] for row in people} <= set(known)
    assert all(row["holodeck_metrics"] == {"message_count": 1} for row in people)


def test_artifacts_of_code_since_august(late: Simulator) -> None:
    for start, there in (("2026-05-20", False), ("2026-08-20", True)):
        first = dt.date.fromisoformat(start)
        data = [
            row
            for number in range(20)
            for row in rows(late, "artifacts", date=first + number * DAY, group_by=["product"])
        ]
        products = {row["product"] for row in data}
        assert ({"claude_code", "cowork"} <= products) is there
        assert len({row["artifact_type"] for row in data}) > 4
        for row in data:
            if row["product"] in {"claude_code", "cowork"}:
                assert row["artifact_type"] == "text/html"
            assert 0 < row["distinct_user_count"] <= row["artifacts_created_count"]
            assert row["published_artifacts_created_count"] <= row["artifacts_created_count"]
    for start, end in (("2026-05-20", "2026-06-20"), ("2026-08-20", "2026-09-20")):
        users = rows(late, "users", starting_date=start, ending_date=end)
        core = [row["claude_code_metrics"]["core_metrics"] for row in users]
        assert any(part["artifacts_created_count"] for part in core) is (start > "2026-08")


# -- filters and orders


def test_filters(simulator: Simulator) -> None:
    facts = simulator.enterprise
    one, two, *_ = facts.organization.users
    query = {"starting_date": DAYS[20]}
    found = rows(simulator, "users", **query, filter=[f"user_id:{one}"])
    assert [row["user"]["id"] for row in found] == [one]
    found = rows(simulator, "users", **query, filter=[f"user_id:{one}", f"user_id:{two}"])
    assert {row["user"]["id"] for row in found} == {one, two}
    team = facts.cast.teams[0].id
    both = [f"user_id:{one}", f"user_id:{facts.organization.users[2]}", f"rbac_group_id:{team}"]
    assert [row["user"]["id"] for row in rows(simulator, "users", **query, filter=both)] == [one]
    for path, entry, name, values in (
        ("skills", "skill_name:BRAND-guidelines", "skill_name", {"brand-guidelines"}),
        ("skills", "share_status:organization", "share_status", {"organization"}),
        ("connectors", "connector_name:GitHub MCP", "connector_name", {"github"}),
        ("connectors", "connector_name:atlassian", "connector_name", {"atlassian"}),
        (
            "connectors",
            "connector_name:größen-katalog mcp",
            "connector_display_name",
            {"Größen-Katalog MCP"},
        ),
        ("plugins", "plugin_name:Übersetzer", "plugin_name", {"übersetzer"}),
    ):
        data = rows(simulator, path, **query, filter=[entry])
        assert {row[name] for row in data} == values
        wanted = [row for row in rows(simulator, path, **query) if row[name] in values]
        assert data == wanted
    for path in ("skills", "connectors", "plugins", "artifacts"):
        day = {"date": DAYS[1]}
        grouped = rows(simulator, path, **day, group_by=["product"])
        for product in ("claude_code", "cowork", "chat_cowork_unified"):
            cut = rows(simulator, path, **day, group_by=["product"], filter=[f"product:{product}"])
            assert cut == [row for row in grouped if row["product"] == product]


def test_filters_of_artifacts(simulator: Simulator) -> None:
    cube = rows(simulator, "artifacts", date=DAYS[0])
    for entry, name, wanted in (
        ("is_shared:true", "is_shared", True),
        ("artifact_type:text/plain", "artifact_type", "text/plain"),
    ):
        cut = rows(simulator, "artifacts", date=DAYS[0], filter=[entry])
        assert cut == [row for row in cube if row[name] == wanted]
    user = simulator.enterprise.organization.users[0]
    scoped = rows(simulator, "artifacts", date=DAYS[0], filter=[f"user_id:{user}"])
    assert len(scoped) == len(cube)
    assert all(row["distinct_user_count"] <= 1 for row in scoped)


def test_users_of_a_project(simulator: Simulator) -> None:
    for date in DAYS[:6]:
        for project in rows(simulator, "apps/chat/projects", date=date):
            entry = f"project_id:{project['project_id']}"
            people = rows(simulator, "users", date=date, filter=[entry])
            assert len(people) == project["distinct_user_count"]
            messages = conversations = 0
            for person in people:
                chats = [person["chat_metrics"], person["chat_cowork_unified_metrics"]["chat"]]
                messages += sum(chat["message_count"] for chat in chats)
                conversations += sum(chat["distinct_conversation_count"] for chat in chats)
                assert sum(chat["distinct_projects_used_count"] for chat in chats) == 1
                sessions_block = person["chat_cowork_unified_metrics"]["sessions"]
                assert not any(count for _, count in numbers(sessions_block))
                assert not any(count for _, count in numbers(person["claude_code_metrics"]))
                tag = {"active_day_count": 0, "active_message_count": 0}
                assert person["claude_tag_metrics"] == tag
            assert messages == project["message_count"]
            assert conversations == project["distinct_conversation_count"]


def test_orders(simulator: Simulator) -> None:
    default: dict[str, Callable[[Row], Any]] = {
        "users": lambda row: row["user"]["email_address"],
        "apps/chat/projects": lambda row: row["project_id"],
        "skills": lambda row: row["skill_name"],
        "connectors": lambda row: row["connector_name"],
        "plugins": lambda row: row["plugin_name"],
    }
    for path, key in default.items():
        up = [key(row) for row in rows(simulator, path, starting_date=DAYS[9])]
        assert up == sorted(up)
        down = rows(simulator, path, starting_date=DAYS[9], order="desc")
        assert [key(row) for row in down] == up[::-1]
    for path, metric in (
        ("users", "chat_metrics.message_count"),
        ("apps/chat/projects", "message_count"),
        ("skills", "invocation_count"),
        ("connectors", "distinct_user_count"),
        ("plugins", "invocation_count"),
    ):
        top = [value(r, metric) for r in rows(simulator, path, date=DAYS[0], order_by=metric)]
        assert top == sorted(top, reverse=True)
        query = {"date": DAYS[0], "order_by": metric, "order": "asc"}
        assert [value(row, metric) for row in rows(simulator, path, **query)] == top[::-1]
    assert rows(simulator, "users", date=DAYS[0], order_by="email_address") == rows(
        simulator, "users", date=DAYS[0]
    )


# -- the history


def test_days_without_data(late: Simulator) -> None:
    first = late.enterprise.first_day
    silent = first + SILENCE_AFTER_DAYS * DAY
    for date in (first - DAY, silent, silent + (SILENCE_DAYS - 1) * DAY):
        for path in KEYS:
            assert page(late, path, date=date) == {"data": [], "next_page": None}
    series = page(late, "summaries", starting_date=silent, ending_date=silent + 40 * DAY)["data"]
    assert len(series) == 40
    assert not any(row["daily_active_user_count"] for row in series)
    assert not any(row["claude_tag_daily_active_user_count"] for row in series)
    monthly = [row["monthly_active_user_count"] for row in series]
    assert monthly[0] > 0 == monthly[-1]


def test_the_last_days_are_restated(simulate: Any) -> None:
    simulator = simulate(days=20, now=NOW)

    def look() -> dict[tuple[str, dt.date], list[Row]]:
        return {(path, day): rows(simulator, path, date=day) for path in KEYS for day in DAYS[:8]}

    before = look()
    series = page(simulator, "summaries", starting_date=DAYS[7])["data"]
    simulator.enterprise.revision = 1
    for (path, day), data in look().items():
        old = before[path, day]
        keys = [[value(row, name) for name in KEYS[path]] for row in data]
        assert keys == [[value(row, name) for name in KEYS[path]] for row in old]
        assert (data != old) is (day in DAYS[:3] and bool(added(old))), (path, day)
    again = page(simulator, "summaries", starting_date=DAYS[7])["data"]
    assert again[:-3] == series[:-3]
    assert again[-3:] != series[-3:]
    names = ("starting_at", "daily_active_user_count", "daily_adoption_rate")
    for name in names:
        assert [row[name] for row in again] == [row[name] for row in series]
    simulator.enterprise.revision = 0
    assert look() == before


def test_a_day_follows_from_the_seed(simulate: Any) -> None:
    same, other = simulate(days=40, now=NOW), simulate(days=30, now=NOW, seed=8)
    again = simulate(days=30, now=NOW)
    for path in KEYS:
        assert rows(same, path, date=DAYS[0]) == rows(again, path, date=DAYS[0])
        assert rows(again, path, date=DAYS[0]) != rows(other, path, date=DAYS[0])


def test_more_people(simulate: Any) -> None:
    simulator = simulate(days=5, now=NOW, breadth=1000)
    people = rows(simulator, "users", date=DAYS[0], limit=30)
    assert len(people) > 50
    assert added(people) == added(rows(simulator, "users", date=DAYS[0], limit=1000))
    truth = {session.user_id for session in sessions(simulator.enterprise, DAYS[0])}
    assert {row["user"]["id"] for row in people} == truth
