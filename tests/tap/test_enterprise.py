"""Claude Enterprise: adoption day by day, the legacy reports, groups and limits."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from simulator.facts import Facts
from simulator.faults import FOREVER
from simulator.server import ANALYTICS_KEY, Fault, Simulator
from tests.conftest import NOW, RECENT, days_ago, only, settings
from tests.tap.test_kill import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

DAILY = {
    "analytics_users": "analytics/users",
    "analytics_projects": "analytics/apps/chat/projects",
    "analytics_skills": "analytics/skills",
    "analytics_connectors": "analytics/connectors",
    "analytics_plugins": "analytics/plugins",
    "analytics_artifacts": "analytics/artifacts",
}
LEGACY = {
    "analytics_usage_report": "analytics/usage_report",
    "analytics_cost_report": "analytics/cost_report",
    "analytics_user_usage_report": "analytics/user_usage_report",
    "analytics_user_cost_report": "analytics/user_cost_report",
}
# The API goes back to 2026-01-01, and the tap never beyond the real present.
FLOOR = dt.date(2026, 1, 1)
YEAR_END = min(
    dt.datetime(2026, 12, 31, 13, tzinfo=dt.UTC),
    dt.datetime.now(dt.UTC).replace(hour=13) - dt.timedelta(days=1),
)
NEWEST = YEAR_END.date() - dt.timedelta(days=1)
DAYS = [FLOOR + dt.timedelta(days=day) for day in range((NEWEST - FLOOR).days + 1)]


def enterprise(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return a configuration with the Enterprise key alone."""
    config = settings(simulator, analytics_api_key=ANALYTICS_KEY, legacy_reports=True, **more)
    del config["admin_api_key"]
    return config


def requested(simulator: Simulator, path: str, name: str = "date") -> list[str]:
    return [value for seen in simulator.requests(path) for value in seen.values(name)]


def march(*days: int) -> list[str]:
    return [f"2026-03-{day:02}" for day in days]


# -- days


@pytest.mark.slow
@pytest.mark.parametrize(("stream", "path"), DAILY.items())
def test_one_chain_of_requests_per_day_and_the_lookback_is_repeated(
    simulate: Any, tap: Any, stream: str, path: str
) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-10")
    catalog = only(config, stream)
    first = tap(config=config, catalog=catalog)
    assert first.code == 0, first.stderr
    # The last day is requested too, and the API reports it as unavailable.
    assert requested(simulator, path) == march(*range(10, 21))
    assert first.bookmark(stream) == "2026-03-19"
    assert {r["date"] for r in first.records(stream)} <= set(march(*range(10, 20)))
    assert len(first.records(stream)) > 10
    assert "the newest available day is 2026-03-19." in first.stderr
    assert not first.errors

    simulator.seen.clear()
    second = tap(config=config, catalog=catalog, state=first.state)
    assert requested(simulator, path) == march(*range(16, 21))
    assert second.bookmark(stream) == "2026-03-19"

    # A day later, one more day is available.
    simulator.seen.clear()
    simulator.stopped_clock = NOW + dt.timedelta(days=1)
    third = tap(
        config={**config, "end_date": None, "lookback_days": 0},
        catalog=catalog,
        state=second.state,
    )
    assert requested(simulator, path) == march(19, 20, 21)
    assert third.bookmark(stream) == "2026-03-20"


def test_the_api_decides_which_day_is_the_newest(simulate: Any, tap: Any) -> None:
    """Before 10:00 UTC, yesterday is not available yet; the delay may change one day."""
    simulator = simulate(days=40, now=NOW.replace(hour=9))
    config = enterprise(simulator, start_date="2026-03-10")
    run = tap(config=config, catalog=only(config, "analytics_users", "analytics_summaries"))
    assert run.code == 0, run.stderr
    assert run.bookmark("analytics_users") == "2026-03-18"
    assert run.bookmark("analytics_summaries") == "2026-03-18T00:00:00Z"


def test_a_start_after_the_newest_day_is_not_an_error(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-20")
    run = tap(config=config, catalog=only(config, *DAILY, "analytics_summaries"))
    assert run.code == 0, run.stderr
    assert not run.errors
    for stream in (*DAILY, "analytics_summaries"):
        assert not run.records(stream)
        assert "replication_key_value" not in run.state["bookmarks"].get(stream, {})


@pytest.mark.parametrize(
    "message",
    [
        "date: Input should be a valid date",
        "date: must not be earlier than 2026-01-01",
        "date: 2026-03-13 is not available",
        "filter[]: unsupported dimension; see the changes of 2026-02-01",
    ],
)
def test_another_400_is_an_error(simulate: Any, tap: Any, message: str) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-10")
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    simulator.faults.append(Fault(400, path="analytics/users", body=json.dumps(body), after=3))
    run = tap(config=config, catalog=only(config, "analytics_users"))
    assert run.code == 1
    assert f"analytics_users: HTTP 400 invalid_request_error: {message}" in run.errors[-1]
    assert run.bookmark("analytics_users") == "2026-03-12"


def test_reading_starts_at_the_first_day_of_the_api_with_a_warning(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=300, now=NOW)
    config = enterprise(simulator, start_date="2025-12-01", end_date="2026-01-03")
    run = tap(config=config, catalog=only(config, "analytics_skills", "analytics_summaries"))
    assert run.code == 0, run.stderr
    assert requested(simulator, "analytics/skills") == ["2026-01-01", "2026-01-02"]
    assert run.stderr.count("the API has no data before 2026-01-01T00:00:00Z") == 2


def test_unknown_products_are_left_out_with_one_warning(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-10")
    run = tap(config=config, catalog=only(config, "analytics_users"))
    assert run.code == 0, run.stderr
    assert run.stderr.count("holodeck_message_count, metric_of_tomorrow") == 1
    assert not any("holodeck" in name for r in run.records("analytics_users") for name in r)


def test_metrics_that_are_not_enabled_are_null(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=80, now=NOW)
    config = enterprise(simulator, start_date="2026-01-25", end_date="2026-02-05")
    run = tap(config=config, catalog=only(config, "analytics_users"))
    column = "unified_sessions_message_count"
    before = {r[column] for r in run.records("analytics_users") if r["date"] < "2026-02-01"}
    after = {r[column] for r in run.records("analytics_users") if r["date"] >= "2026-02-01"}
    assert before == {None}
    assert None not in after
    assert max(after) > 0


def test_grouped_rows_have_their_own_keys(simulate: Any, tap: Any) -> None:
    """Standard streams are not grouped, but a grouped row must not replace another row."""
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-19")
    rows = [
        {"skill_name": "s", "share_status": None, "invocation_count": 1, **grouped}
        for grouped in (
            {},
            {"product": "chat"},
            {"product": "cowork"},
            {"rbac_group_id": "chat"},
            {"user_id": "chat"},
            {"share_status": "private"},
        )
    ]
    body = json.dumps({"data": rows, "next_page": None})
    simulator.faults.append(Fault(200, path="analytics/skills", body=body))
    run = tap(config=config, catalog=only(config, "analytics_skills"))
    assert len({r["row_id"] for r in run.records("analytics_skills")}) == len(rows)


@pytest.mark.slow
def test_engagement_is_restated(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-10")
    catalog = only(config, *DAILY)
    first = tap(config=config, catalog=catalog)
    simulator.enterprise.revision = 1
    second = tap(config=config, catalog=catalog, state=first.state)
    loaded: Any = {}
    upsert(loaded, first.messages)
    before = dict(loaded)
    upsert(loaded, second.messages)
    fresh: Any = {}
    upsert(fresh, tap(config=config, catalog=catalog).messages)
    assert loaded == fresh != before
    assert loaded.keys() == before.keys()


# -- a year


@pytest.mark.slow
def test_a_year_of_days_resumes_at_any_day(simulate: Any, tap: Any) -> None:
    """All six streams; after a failure, only the failed day is requested again."""
    simulator = simulate(days=365, now=YEAR_END, breadth=8)
    config = enterprise(simulator, start_date="2026-01-01")
    catalog = only(config, *DAILY)
    whole = tap(config=config, catalog=catalog)
    assert whole.code == 0, whole.stderr
    assert len(simulator.seen) == 6 * (len(DAYS) + 1)  # and the day that is not available yet
    assert {whole.bookmark(stream) for stream in DAILY} == {str(NEWEST)}

    rng = random.Random(5)  # noqa: S311
    rows: Any = {}
    state: dict[str, Any] = {}
    config["lookback_days"] = 0
    simulator.seen.clear()
    failures = 8
    for left in range(failures, -1, -1):
        if left:
            after = rng.randrange(30, 6 * len(DAYS) // failures)
            simulator.faults.append(Fault(429, headers={"retry-after": "86400"}, after=after))
        run = tap(config=config, catalog=catalog, state=state)
        assert run.code == (1 if left else 0)
        upsert(rows, run.messages)
        state = run.state
    expected: Any = {}
    upsert(expected, whole.messages)
    assert rows == expected
    # Each day once, except the failed ones, the newest finished day, and the end.
    again = sum(times - 1 for times in Counter((s.path, s.query) for s in simulator.seen).values())
    assert again <= failures * (2 * len(DAILY) + 1)


@pytest.mark.slow
def test_a_year_of_summaries_is_one_request(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=365, now=YEAR_END)
    config = enterprise(simulator, start_date=str(FLOOR), end_date=None)
    catalog = only(config, "analytics_summaries")
    run = tap(config=config, catalog=catalog)
    assert len(simulator.seen) == 1
    # Without an end, the API's clock decides which days are available.
    assert not requested(simulator, "analytics/summaries", "ending_date")
    assert [r["starting_at"] for r in run.records("analytics_summaries")] == [
        f"{day}T00:00:00Z" for day in DAYS
    ]
    again = tap(config=config, catalog=catalog, state=run.state)
    assert [r["starting_at"][:10] for r in again.records("analytics_summaries")] == [
        str(day) for day in DAYS[-4:]
    ]


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_both_envelopes_of_summaries_are_read(simulate: Any, tap: Any, version: str) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-10", anthropic_version=version)
    run = tap(config=config, catalog=only(config, "analytics_summaries"))
    assert run.code == 0, run.stderr
    records = run.records("analytics_summaries")
    assert [r["starting_at"][:10] for r in records] == march(*range(10, 20))
    assert all(isinstance(r["daily_adoption_rate"], float) for r in records)
    users = tap(config=config, catalog=only(config, "analytics_users")).records("analytics_users")
    active = Counter(r["date"] for r in users)
    assert [active[r["starting_at"][:10]] for r in records] == [
        r["daily_active_user_count"] for r in records
    ]


@pytest.mark.parametrize("days", [("11", "10"), ("10", "10"), ("10", "25"), ("09",)])
def test_a_series_that_is_out_of_order_is_an_error(
    simulate: Any, tap: Any, days: tuple[str, ...]
) -> None:
    simulator = simulate(days=40, now=NOW)
    config = enterprise(simulator, start_date="2026-03-10", end_date="2026-03-15")
    data = [{"starting_at": f"2026-03-{day}T00:00:00Z"} for day in days]
    simulator.faults.append(Fault(200, path="summaries", body=json.dumps({"data": data})))
    run = tap(config=config, catalog=only(config, "analytics_summaries"))
    assert run.code == 1
    assert "is out of order or outside the requested window" in run.errors[-1]
    assert not run.records("analytics_summaries")


# -- the legacy reports


def facts_of(simulator: Simulator, first: str) -> list[Any]:
    start = dt.datetime.fromisoformat(first)
    return list(simulator.enterprise.between(start, simulator.now - dt.timedelta(minutes=5)))


@pytest.mark.slow
def test_legacy_reports_have_every_token_and_cent(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=70, now=RECENT)
    first = days_ago(60, RECENT)
    config = enterprise(simulator, start_date=first)
    catalog = only(config, *LEGACY, "analytics_usage", "analytics_cost", "report_buckets")
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    sums = {
        stream: sum(float(r[column]) for r in run.records(stream))
        for stream, column in (
            ("analytics_usage", "output_tokens"),
            ("analytics_usage_report", "output_tokens"),
            ("analytics_cost", "amount"),
            ("analytics_cost_report", "amount"),
        )
    }
    assert sums["analytics_usage_report"] == sums["analytics_usage"] > 0
    assert sums["analytics_cost_report"] == pytest.approx(sums["analytics_cost"], rel=1e-12)
    # Per user: only usage that has one.
    people = [r for r in run.records("analytics_usage") if r["actor_type"] == "user_actor"]
    by_user = run.records("analytics_user_usage_report")
    for column in ("total_tokens", "output_tokens", "requests"):
        assert sum(r[column] or 0 for r in by_user) == sum(r[column] or 0 for r in people) > 0
    assert {r["actor_user_id"] for r in by_user} == {r["actor_user_id"] for r in people}
    for stream in LEGACY:
        records = run.records(stream)
        assert len({r["row_id"] for r in records}) == len(records) > 0
        assert run.bookmark(stream) == days_ago(0, RECENT)
        buckets = [b for b in run.records("report_buckets") if b["stream"] == stream]
        assert len(buckets) == 61
        assert sum(b["row_count"] for b in buckets) == len(records)
        assert not max(records, key=lambda r: r["starting_at"])["is_complete"]
        assert min(records, key=lambda r: r["starting_at"])["is_complete"]
        assert all(r["data_refreshed_at"] for r in records)


@pytest.mark.slow
def test_legacy_reports_need_few_requests(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=100, now=RECENT)
    config = enterprise(simulator, start_date=days_ago(92, RECENT))
    run = tap(config=config, catalog=only(config, *LEGACY))
    assert run.code == 0, run.stderr
    assert [s.values("limit") for s in simulator.requests(LEGACY["analytics_usage_report"])] == [
        ["31"]
    ] * 3
    by_user = simulator.requests(LEGACY["analytics_user_usage_report"])
    spans = {(s.values("starting_at")[0][:10], s.values("ending_at")[0][:10]) for s in by_user}
    lengths = sorted((dt.date.fromisoformat(b) - dt.date.fromisoformat(a)).days for a, b in spans)
    assert lengths == [1, 30, 31, 31]  # the first request measures the size of a day
    assert {v for s in by_user for v in s.values("limit")} == {"1000"}
    assert {v for s in by_user for v in s.values("bucket_width")} == {"1d"}


@pytest.mark.slow
def test_an_interrupted_window_of_unordered_rows_is_read_again(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=70, now=RECENT)
    stream = "analytics_user_cost_report"
    config = enterprise(simulator, start_date=days_ago(60, RECENT), lookback_days=0)
    catalog = only(config, stream)
    whole: Any = {}
    upsert(whole, tap(config=config, catalog=catalog).messages)
    simulator.faults.append(Fault(400, path=LEGACY[stream], after=2))
    first = tap(config=config, catalog=catalog)
    assert first.code == 1
    assert first.bookmark(stream) == days_ago(60 - 31, RECENT)  # 1 day, then 31
    rows: Any = {}
    upsert(rows, first.messages)
    upsert(rows, tap(config=config, catalog=catalog, state=first.state).messages)
    assert rows == whole


@pytest.mark.parametrize("row", [{"starting_at": None}, {"starting_at": "2020-01-01T00:00:00Z"}])
def test_an_unordered_row_of_another_window_is_an_error(simulate: Any, tap: Any, row: Any) -> None:
    simulator = simulate(days=70, now=RECENT)
    config = enterprise(simulator, start_date=days_ago(9, RECENT))
    body = json.dumps({"data": [row], "has_more": False, "next_page": None})
    simulator.faults.append(Fault(200, path="user_usage_report", body=body))
    run = tap(config=config, catalog=only(config, "analytics_user_usage_report"))
    assert run.code == 1
    assert re.match(
        r"analytics_user_usage_report: a row of (the page has no starting_at|2020\S+ is out of"
        r" order or outside the requested window)",
        run.errors[-1],
    )


@pytest.mark.parametrize(
    ("stream", "instead"),
    [
        ("analytics_usage_report", "analytics_usage"),
        ("analytics_cost_report", "analytics_cost"),
    ],
)
def test_truncated_buckets_cause_one_warning(
    simulate: Any, tap: Any, stream: str, instead: str
) -> None:
    simulator = simulate(days=5, now=RECENT)
    start = days_ago(4, RECENT)
    config = enterprise(simulator, start_date=start, end_date=days_ago(1, RECENT))

    def bucket(day: int, groups: int) -> dict[str, Any]:
        results = [{"model": f"m{number}", "currency": "USD"} for number in range(groups)]
        return {
            "starting_at": days_ago(day, RECENT),
            "ending_at": days_ago(day - 1, RECENT),
            "results": results,
        }

    for groups, times in ((99, 0), (100, 1)):
        data = [bucket(day, groups) for day in (4, 3, 2)]
        body = json.dumps({"data": data, "has_more": False, "next_page": None})
        simulator.faults.append(Fault(200, path=LEGACY[stream], body=body))
        run = tap(config=config, catalog=only(config, stream))
        assert run.code == 0, run.stderr
        assert len(run.records(stream)) == 3 * groups
        assert run.stderr.count("the limit of the API") == times
        assert run.stderr.count(f"The stream {instead} contains all groups.") == times


# -- groups, roles, limits


def test_unknown_roles_are_null_and_no_roles_are_an_empty_list(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    for version in ("2023-06-01", "2026-10-21"):
        config = enterprise(simulator, anthropic_version=version)
        run = tap(config=config, catalog=only(config, "rbac_groups", "rbac_roles"))
        roles = [r["role_ids"] for r in run.records("rbac_groups")]
        assert None in roles
        assert [] in roles
        assert any(roles)
        assert all(r["display_name"] for r in run.records("rbac_roles"))


def test_members_and_permissions_are_requested_per_parent(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    config = enterprise(simulator)
    run = tap(
        config=config,
        catalog=only(
            config, "rbac_groups", "rbac_group_members", "rbac_roles", "rbac_role_permissions"
        ),
    )
    assert run.code == 0, run.stderr
    groups, roles = run.records("rbac_groups"), run.records("rbac_roles")
    # Each list of parents is requested once, for two streams.
    assert len(simulator.seen) == 2 + len(groups) + len(roles)
    assert {r["rbac_role_id"] for r in run.records("rbac_role_permissions")} <= {
        r["id"] for r in roles
    }
    for stream in ("rbac_group_members", "rbac_role_permissions"):
        records = run.records(stream)
        assert len({r["row_id"] for r in records}) == len(records) > 0


def test_limits_are_exact_dollars(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    config = enterprise(simulator)
    run = tap(config=config, catalog=only(config, "spend_limits", "effective_spend_limits"))
    assert {s.headers.get("anthropic-beta") for s in simulator.requests("spend_limits")} == {
        "spend-limit-reads-2026-09-26"
    }
    effective = run.records("effective_spend_limits")
    for record in (*run.records("spend_limits"), *effective):
        assert (record["amount"] is None) == (record["amount_usd"] is None)
    spent = [(r["period_to_date_spend"], r["period_to_date_spend_usd"]) for r in effective]
    assert all(float(cents) == pytest.approx(100 * float(dollars)) for cents, dollars in spent)
    assert len({r["row_id"] for r in effective}) == len(effective)
    assert {r["actor_type"] for r in effective} == {"user_actor", "scoped_api_key_actor"}


# -- scopes

NEEDS = {
    "read:analytics": (*DAILY, *LEGACY, "analytics_summaries", "analytics_usage"),
    "read:members": ("rbac_roles", "rbac_role_permissions", "users", "invites"),
    "read:rbac_groups": ("rbac_groups", "rbac_group_members"),
    "read:spend_limits": (
        "spend_limits",
        "effective_spend_limits",
        "spend_limit_increase_requests",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("missing", NEEDS)
def test_a_missing_scope_is_named_and_the_other_streams_are_read(
    simulate: Any, tap: Any, missing: str
) -> None:
    simulator = simulate(days=40, now=NOW)
    simulator.scopes["E"] = [scope for scope in NEEDS if scope != missing]
    config = enterprise(simulator, start_date="2026-03-18")
    streams: Iterable[str] = [stream for group in NEEDS.values() for stream in group]
    run = tap(config=config, catalog=only(config, *streams))
    assert run.code == 1
    assert len(run.errors) == len(NEEDS[missing])
    for stream in NEEDS[missing]:
        (line,) = (line for line in run.errors if line.startswith(f"{stream}: HTTP 403"))
        assert f"with the scope {missing}" in line
        assert f"!{stream}.*" in line
        assert not run.records(stream)
    for scope, group in NEEDS.items():
        if scope != missing:
            assert all(run.records(stream) for stream in group)


def test_enterprise_facts_are_another_organizations(simulate: Any) -> None:
    simulator = simulate(days=5, now=NOW)
    assert isinstance(simulator.enterprise, Facts)
    assert simulator.enterprise.organization.seed != simulator.facts.organization.seed


@pytest.mark.parametrize("start", [3, 30])
def test_only_a_day_of_the_last_week_can_be_the_newest_day(
    simulate: Any, tap: Any, start: int
) -> None:
    """A 400 that names another day and the word "available" is still an error."""
    simulator = simulate(days=60, now=NOW)
    message = "Data is not available for organizations that joined after 2026-02-01"
    simulator.faults.append(Fault(400, path="analytics/users", message=message, times=FOREVER))
    config = enterprise(simulator, start_date=days_ago(start, NOW))
    run = tap(config=config, catalog=only(config, "analytics_users"))
    assert run.code == 1
    assert message in run.errors[-1]


def test_a_gap_in_a_series_is_requested_again(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=30, now=NOW)
    rows = [
        {"starting_at": days_ago(day, NOW), "ending_at": days_ago(day - 1, NOW)}
        for day in (18, 17, 15, 14)
    ]
    body = json.dumps({"data": rows, "next_page": None})
    simulator.faults.append(Fault(200, body=body, path="summaries"))
    config = enterprise(simulator, start_date=days_ago(20, NOW), lookback_days=0)
    run = tap(config=config, catalog=only(config, "analytics_summaries"))
    # The days before the organization existed are not a gap.
    assert len(run.records("analytics_summaries")) == 4
    assert run.bookmark("analytics_summaries") == days_ago(17, NOW)
    again = tap(config=config, state=run.state, catalog=only(config, "analytics_summaries"))
    assert again.records("analytics_summaries")[0]["starting_at"] == days_ago(17, NOW)
    assert again.bookmark("analytics_summaries") == days_ago(1, NOW)
