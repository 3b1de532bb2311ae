"""The simulator refuses what the API refuses, with the same messages."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.facts import Facts
from simulator.replay import Replay
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, OAUTH, Fault, Simulator
from tests.conftest import NOW, days_ago, settings

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = {"x-api-key": ADMIN_KEY, "anthropic-version": "2023-06-01"}
START = ("starting_at", days_ago(4, NOW))
END = ("ending_at", days_ago(0, NOW))


@pytest.fixture
def simulator(simulate: Any) -> Simulator:
    made: Simulator = simulate(days=60, now=NOW)
    return made


def get(
    simulator: Simulator, path: str, *pairs: tuple[str, str], headers: dict[str, str] | None = None
) -> requests.Response:
    return requests.get(
        f"{simulator.url}/v1/organizations/{path}",
        params=list(pairs),
        headers=HEADERS if headers is None else headers,
        timeout=10,
    )


USAGE, COST = "usage_report/messages", "cost_report"
SIX = [
    ("group_by[]", name)
    for name in (
        "model",
        "api_key_id",
        "account_id",
        "service_tier",
        "inference_geo",
        "workspace_id",
    )
]


@pytest.mark.parametrize(
    ("path", "pairs", "says"),
    [
        (USAGE, [], "starting_at: Field required"),
        (USAGE, [START, END, *SIX], "Cannot specify more than 5 group_by[] dimensions."),
        (USAGE, [START, END, ("group_by", "model")], "group_by"),
        (USAGE, [START, END, ("group_by[]", "description")], "group_by[]"),
        (USAGE, [START, END, ("group_by[]", "speed")], "fast-mode-2026-02-01"),
        (USAGE, [START, END, ("speeds[]", "fast")], "fast-mode-2026-02-01"),
        (USAGE, [START, END, ("context_windows[]", "0-200k")], "context_windows[]"),
        (USAGE, [START, END, ("service_tiers[]", "tier_of_tomorrow")], "service_tiers[]"),
        (USAGE, [START, END, ("limit", "32")], "limit"),
        (USAGE, [START, END, ("limit", "0")], "limit"),
        (USAGE, [START, END, ("limit", "many")], "limit"),
        (USAGE, [START, END, ("limit", "169"), ("bucket_width", "1h")], "limit"),
        (USAGE, [START, END, ("limit", "1441"), ("bucket_width", "1m")], "limit"),
        (USAGE, [START, END, ("bucket_width", "1w")], "bucket_width"),
        (USAGE, [START, END, ("time_bucket_width", "1d")], "time_bucket_width"),
        (USAGE, [("starting_at", "2026-03-01"), END], "RFC 3339"),
        (USAGE, [("starting_at", "2026-03-01T00:00:00"), END], "RFC 3339"),
        (USAGE, [START, ("ending_at", START[1])], "Invalid date range"),
        (USAGE, [START, END, ("page", "page_nonsense")], "page"),
        (COST, [START, ("ending_at", START[1][:11] + "23:59:59Z")], "Invalid date range"),
        (COST, [("starting_at", END[1])], "Invalid date range"),
        (COST, [START, END, ("group_by[]", "model")], "group_by[]"),
        (COST, [START, END, ("bucket_width", "1h")], "bucket_width"),
        (COST, [START, END, ("models[]", "x")], "models[]"),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_wrong_queries(
    simulator: Simulator, path: str, pairs: list[tuple[str, str]], says: str
) -> None:
    response = get(simulator, path, *pairs)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]
    if says == "Invalid date range":
        assert error["message"] == ("Invalid date range: ending date must be after starting date")
        assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": "sk-ant-admin01-unknown"}, 401),
        ({"x-api-key": ACCESS_TOKEN}, 401),
        ({"x-api-key": ANALYTICS_KEY}, 403),
        ({"authorization": f"Bearer {ACCESS_TOKEN}"}, 401),
        ({"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-beta": "oauth-2020-01-01"}, 401),
        ({"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-beta": OAUTH}, 200),
        ({"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-beta": f"x,{OAUTH}"}, 200),
        ({"authorization": f"Bearer {ADMIN_KEY}"}, 200),
    ],
    ids=str,
)
def test_credentials(simulator: Simulator, headers: dict[str, str], status: int) -> None:
    version = {"anthropic-version": "2023-06-01"}
    response = get(simulator, COST, START, END, headers={**version, **headers})
    assert response.status_code == status
    if status == 403:
        assert "Missing required scopes. Got: " in response.json()["error"]["message"]


def test_an_access_token_needs_its_beta_header(simulator: Simulator) -> None:
    headers = {"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-version": "2023-06-01"}
    response = get(simulator, "service_accounts", headers=headers)
    assert response.status_code == 401
    error = response.json()["error"]
    assert error["type"] == "authentication_error"
    assert error["message"] == "OAuth authentication is currently not supported."
    assert get(simulator, "me", headers={**headers, "anthropic-beta": OAUTH}).ok


def test_the_version_header_is_required(simulator: Simulator) -> None:
    response = get(simulator, COST, START, END, headers={"x-api-key": ADMIN_KEY})
    assert response.status_code == 400
    assert "anthropic-version" in response.json()["error"]["message"]


def test_unknown_paths(simulator: Simulator) -> None:
    assert get(simulator, "nothing").status_code == 404


def test_cursors_belong_to_their_query(simulator: Simulator) -> None:
    first = get(simulator, COST, START, END, ("limit", "2")).json()
    assert first["has_more"] is True
    assert first["next_page"].startswith("page_")
    page = ("page", first["next_page"])
    second = get(simulator, COST, START, END, ("limit", "2"), page).json()
    assert [bucket["starting_at"][:10] for bucket in first["data"] + second["data"]] == [
        days_ago(day, NOW)[:10] for day in (4, 3, 2, 1)
    ]
    assert second["has_more"] is False
    assert second["next_page"] is None
    other = get(simulator, COST, START, END, ("limit", "3"), page)
    assert other.status_code == 400
    assert other.json()["error"]["message"] == "cursor does not match current query parameters"


def test_defaults(simulator: Simulator) -> None:
    long_ago = ("starting_at", days_ago(50, NOW))
    assert len(get(simulator, USAGE, long_ago).json()["data"]) == 7
    assert len(get(simulator, USAGE, long_ago, ("bucket_width", "1h")).json()["data"]) == 24
    assert len(get(simulator, USAGE, long_ago, ("bucket_width", "1m")).json()["data"]) == 60
    # a missing end is today's midnight: the current day is not returned
    days = get(simulator, COST, ("starting_at", days_ago(3, NOW))).json()["data"]
    assert [bucket["starting_at"][:10] for bucket in days] == [
        days_ago(day, NOW)[:10] for day in (3, 2, 1)
    ]


def test_speed_is_included_only_with_its_header(simulator: Simulator) -> None:
    rows = get(simulator, USAGE, START, END).json()["data"][0]["results"]
    assert "speed" not in rows[0]
    beta = {**HEADERS, "anthropic-beta": "x, fast-mode-2026-02-01"}
    rows = get(simulator, USAGE, START, END, ("group_by[]", "speed"), headers=beta).json()["data"][
        0
    ]
    assert {row["speed"] for row in rows["results"]} <= {"fast", "standard"}


def test_times_come_with_and_without_microseconds(simulator: Simulator) -> None:
    pairs = [("starting_at", days_ago(59, NOW)), END, ("limit", "31")]
    starts = [bucket["starting_at"] for bucket in get(simulator, COST, *pairs).json()["data"]]
    assert len({len(start) for start in starts}) == 2


def test_the_history_does_not_depend_on_the_time_of_the_request(simulate: Any) -> None:
    early = simulate(days=50, now=NOW)
    late = simulate(days=55, now=NOW.replace(day=25))
    pairs = [START, END, ("group_by[]", "workspace_id")]
    assert get(early, COST, *pairs).json() == get(late, COST, *pairs).json()
    other_seed = simulate(days=50, now=NOW, seed=8)
    assert get(early, COST, *pairs).json() != get(other_seed, COST, *pairs).json()


def test_the_rate_limit_per_minute(simulate: Any) -> None:
    simulator = simulate(days=5, now=NOW, requests_per_minute=3)
    responses = [get(simulator, COST, START, END) for _ in range(5)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
    assert 0 < int(responses[-1].headers["retry-after"]) <= 60
    assert simulator.stats()["refused"] == 2


# -- organizations

ENTERPRISE = {**HEADERS, "x-api-key": ANALYTICS_KEY}
HEADER = "anthropic-organization-id"


def test_each_response_names_its_organization(simulator: Simulator) -> None:
    ids = simulator.organization_ids
    assert {str(uuid.UUID(id_)) for id_ in ids.values()} == set(ids.values())
    assert ids["console"] != ids["enterprise"]
    me = get(simulator, "me")
    assert me.json()["id"] == me.headers[HEADER] == ids["console"]
    token = {"authorization": f"Bearer {ACCESS_TOKEN}", "anthropic-beta": OAUTH}
    token["anthropic-version"] = "2023-06-01"
    assert get(simulator, "service_accounts", headers=token).headers[HEADER] == ids["console"]
    assert get(simulator, "users", headers=ENTERPRISE).headers[HEADER] == ids["enterprise"]
    refused = get(simulator, "me", headers=ENTERPRISE)
    assert refused.status_code == 403
    assert refused.headers[HEADER] == ids["enterprise"]


def test_errors_name_the_organization_too(simulator: Simulator) -> None:
    simulator.faults += [Fault(503), Fault(429)]
    statuses = []
    for path in (USAGE, USAGE, USAGE, "nothing"):
        response = get(simulator, path)
        statuses.append(response.status_code)
        assert response.headers[HEADER] == simulator.organization_ids["console"]
    assert statuses == [503, 429, 400, 404]


def test_an_unknown_key_belongs_to_no_organization(simulator: Simulator) -> None:
    for headers in ({}, {"x-api-key": "sk-ant-admin01-unknown"}, {"x-api-key": ACCESS_TOKEN}):
        response = get(simulator, COST, headers=headers)
        assert response.status_code == 401
        assert HEADER not in response.headers


def test_a_proxy_may_strip_the_header(simulate: Any) -> None:
    simulator = simulate(days=3, now=NOW, organization_header=False)
    me = get(simulator, "me")
    assert HEADER not in me.headers
    assert HEADER not in get(simulator, "users", headers=ENTERPRISE).headers
    assert me.json()["id"] == simulator.organization_ids["console"]


def test_the_seed_determines_the_organization(simulate: Any) -> None:
    one, again, other = (simulate(days=3, now=NOW, seed=seed) for seed in (7, 7, 8))
    assert one.organization_ids == again.organization_ids
    # the Enterprise organization of seed 7 has the seed 8
    assert len({*one.organization_ids.values(), *other.organization_ids.values()}) == 4


def test_organizations_share_no_ids_by_default(simulate: Any) -> None:
    one, other = (simulate(days=3, now=NOW, seed=seed) for seed in (17, 28))
    users = [{row["id"] for row in get(it, "users").json()["data"]} for it in (one, other)]
    assert not users[0] & users[1]


def test_two_organizations_may_look_alike() -> None:
    day = NOW.date()
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(
                Simulator(Facts(seed=seed, first_day=day, today=day, shared_people=True), now=NOW)
            )
            for seed in (17, 28)
        )
        ids = {*one.organization_ids.values(), *other.organization_ids.values()}
        assert len(ids) == 4
        for headers, paths in (
            (HEADERS, ("users", "workspaces", "api_keys", "invites")),
            (ENTERPRISE, ("users", "rbac_groups")),
        ):
            for path in paths:
                pages = [get(it, path, headers=headers).json() for it in (one, other)]
                assert pages[0] == pages[1]
                assert pages[0]["data"]
        today = (("starting_at", days_ago(0, NOW)), ("ending_at", days_ago(-1, NOW)))
        by = [("group_by[]", name) for name in ("description", "workspace_id")]
        lines = [
            {
                (row["description"], row["workspace_id"]): row["amount"]
                for row in get(it, COST, *today, *by).json()["data"][0]["results"]
            }
            for it in (one, other)
        ]
        same = lines[0].keys() & lines[1].keys()
        assert {workspace for _, workspace in same} > {None}
        assert any(lines[0][key] != lines[1][key] for key in same)


# -- replay


def recording(directory: Path, name: str, *days: int, amount: str, page: str | None = None) -> None:
    buckets = [
        {
            "starting_at": days_ago(day, NOW),
            "ending_at": days_ago(day - 1, NOW),
            # as of late 2025: no inference_geo, no speed
            "results": [
                {"currency": "USD", "amount": amount, "workspace_id": None, "description": "Line"}
            ],
        }
        for day in days
    ]
    body = {"data": buckets, "has_more": page is not None, "next_page": page}
    (directory / name).write_text(json.dumps(body))


def test_replay_returns_recorded_responses(simulate: Any, tap: Any, tmp_path: Path) -> None:
    recording(tmp_path, "cost_report.grouped.1.json", 40, 39, amount="1.50", page="page_x")
    recording(tmp_path, "cost_report.grouped.2.json", 38, amount="2.25")
    recording(tmp_path, "cost_report.ungrouped.json", 40, amount="99", page="page_trimmed")
    recording(tmp_path, "usage_report_messages.json", 200, amount="0")
    simulator = simulate(days=3, replay=Replay(tmp_path))
    config = settings(simulator, start_date=days_ago(40, NOW), end_date=days_ago(0, NOW))
    total = {"name": "total", "report": "cost_report", "group_by": []}
    run = tap(config={**config, "reports": [total]})
    assert run.code == 0, run.stderr
    assert [(r["starting_at"], r["amount"]) for r in run.records("cost_report")] == [
        (days_ago(40, NOW), "1.50"),
        (days_ago(39, NOW), "1.50"),
        (days_ago(38, NOW), "2.25"),
    ]
    assert [r["amount"] for r in run.records("total")] == ["99"]
    assert not run.records("messages_usage")


def test_replay_needs_recordings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recorded responses"):
        Replay(tmp_path)
