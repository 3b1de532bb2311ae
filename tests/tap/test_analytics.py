"""analytics_usage and analytics_cost: exact for any grouping, in one or two organizations."""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from simulator.changes import end_a_month_later
from simulator.console_reports import DELAY
from simulator.server import ADMIN_KEY, ANALYTICS_KEY, Fault, Simulator
from tap_claude.streams import ANALYTICS_DIMENSIONS
from tap_claude.tap import TapClaude
from tests.conftest import RECENT, days_ago, only, settings, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.facts import Fact, Facts

USAGE, COST = "analytics_usage", "analytics_cost"
PATHS = {USAGE: "analytics/usage", COST: "analytics/cost"}
WIDTHS = {"1m": dt.timedelta(minutes=1), "1h": dt.timedelta(hours=1), "1d": dt.timedelta(days=1)}
COUNTERS = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens",
    "cache_creation_ephemeral_1h_input_tokens",
    "output_tokens",
    "web_search_requests",
)
GROUPABLE = [name for name in ANALYTICS_DIMENSIONS if name != "organization_id"]
PEOPLE = {"email_address", "name", "deleted"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated(days=60, now=RECENT) as made:
        yield made


def flat(value: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Flatten an actor without the tap's own code."""
    found: dict[str, Any] = {}
    for name, part in value.items():
        if isinstance(part, dict):
            found |= flat(part, f"{prefix}_{name}")
        else:
            found[f"{prefix}_{name}"] = part
    return found


def shown(facts: Facts, fact: Fact, names: list[str]) -> list[tuple[Any, ...]]:
    """Return the values that a fact has for dimensions, once per team if grouped by team."""
    options: list[list[Any]] = []
    for name in names:
        if name == "actor":
            actor = facts.cast.describe(fact.actor, facts.revision) or {}
            ids = flat({k: v for k, v in actor.items() if k not in PEOPLE}, "actor")
            options.append([tuple(sorted((k, v) for k, v in ids.items() if v is not None))])
        elif name == "rbac_group_id":
            options.append(list(fact.rbac_group_ids) or [None])
        elif name == "inference_geo":
            options.append([None if fact.inference_geo == "not_available" else fact.inference_geo])
        else:
            options.append([getattr(fact, name)])
    rows: list[tuple[Any, ...]] = [()]
    for choice in options:
        rows = [(*row, value) for row in rows for value in choice]
    return rows


def kept(record: dict[str, Any], names: list[str]) -> tuple[Any, ...]:
    """Return the values that a record has for dimensions, in the form of `shown`."""
    values: list[Any] = []
    for name in names:
        if name == "actor":
            ids = {
                column: value
                for column, value in record.items()
                if column.startswith("actor_")
                and value is not None
                and column.removeprefix("actor_") not in PEOPLE
            }
            # Only the type: the dimension actor_type without an actor.
            values.append(tuple(sorted(ids.items())) if len(ids) > 1 else ())
        else:
            values.append(record[name])
    return tuple(values)


def start_of(moment: dt.datetime, width: str) -> dt.datetime:
    return moment - (moment - dt.datetime(2000, 1, 1, tzinfo=dt.UTC)) % WIDTHS[width]


def truth(
    facts: Facts, report: str, names: list[str], width: str, start: dt.datetime, end: dt.datetime
) -> dict[tuple[Any, ...], Any]:
    """Aggregate the simulator's facts: bucket and dimensions -> sums."""
    dimensions = [name for name in names if name not in {"cost_type", "token_type"}]
    sums: dict[tuple[Any, ...], Any] = {}
    for fact in facts.between(start, min(end, RECENT - DELAY)):
        bucket = start_of(fact.moment, width).strftime("%Y-%m-%dT%H:%M:%SZ")
        for values in shown(facts, fact, dimensions):
            if report == USAGE and (fact.counters or fact.requests):
                counts = fact.counters or (0,) * 6
                before = sums.get((bucket, *values), ((0,) * 6, None))
                requests = before[1]
                if fact.requests is not None:
                    requests = (requests or 0) + fact.requests
                sums[bucket, *values] = (
                    tuple(map(sum, zip(before[0], counts, strict=True))),
                    requests,
                )
            for line in fact.costs if report == COST else ():
                if line.cost_type is None:  # a credit; amounts are before credits
                    continue
                if "token_type" in names and "cost_type" not in names and not line.token_type:
                    continue  # the API then shows tokens only
                kinds = {"cost_type": line.cost_type, "token_type": line.token_type}
                key = (bucket, *values, *(kinds[name] for name in names if name in kinds))
                amount, listed = sums.get(key, (Decimal(0), Decimal(0)))
                sums[key] = (amount + line.amount, listed + line.list_amount)
    return sums


def sums_of(report: str, records: list[dict[str, Any]], names: list[str]) -> dict[Any, Any]:
    """Return the sums of the records in the form of `truth`; each key occurs once."""
    ordered = [n for n in names if n not in {"cost_type", "token_type"}]
    ordered += [n for n in names if n in {"cost_type", "token_type"}]
    found: dict[Any, Any] = {}
    for record in records:
        key = (record["starting_at"], *kept(record, ordered))
        assert key not in found
        if report == USAGE:
            counts = tuple(record[counter] for counter in COUNTERS)
            assert record["total_tokens"] == sum(counts[:5])
            found[key] = (counts, record["requests"])
        else:
            assert Decimal(record["amount_usd"]) * 100 == Decimal(record["amount"])
            assert Decimal(record["list_amount_usd"]) * 100 == Decimal(record["list_amount"])
            found[key] = (Decimal(record["amount"]), Decimal(record["list_amount"]))
    assert len({record["row_id"] for record in records}) == len(records)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=[pytest.mark.long] if seed >= 30 else []) for seed in range(200)],
)
def test_any_report_equals_the_facts(simulator: Simulator, seed: int) -> None:
    """Random credential, grouping, width, window and page size; to the last digit."""
    rng = random.Random(seed)  # noqa: S311
    enterprise = rng.random() < 0.3
    report = rng.choice((USAGE, COST))
    names = rng.sample(GROUPABLE, rng.randrange(6))
    if "claude_tag_user_id" in names and "rbac_group_id" in names:
        names.remove("rbac_group_id")
    if report == COST:
        names += rng.sample(["cost_type", "token_type"], rng.randrange(3))
    width = rng.choice(("1d", "1d", "1h", "1m"))
    start = start_of(RECENT - dt.timedelta(days=rng.randrange(1, 50)), width)
    length = rng.randrange(1, 50) if width == "1d" else 2 if width == "1h" else 1
    end = min(start + dt.timedelta(days=length), RECENT)
    config = {
        ("analytics_api_key" if enterprise else "admin_api_key"): (
            ANALYTICS_KEY if enterprise else ADMIN_KEY
        ),
        "base_url": simulator.url,
        "requests_per_minute": 0,
        "start_date": start.isoformat(),
        "end_date": end.isoformat(),
        "reports": [{"name": "mine", "report": report, "group_by": names, "bucket_width": width}],
    }
    stream: Any = TapClaude(config=config).streams["mine"]
    stream.page_size = rng.choice((17, 100, 1000))
    records = list(stream.get_records(None))
    facts = simulator.enterprise if enterprise else simulator.facts
    expected = truth(facts, report, names, width, start_of(start, width), end_of(end, width))
    assert sums_of(report, records, names) == expected


def end_of(moment: dt.datetime, width: str) -> dt.datetime:
    start = start_of(moment, width)
    return start if start == moment else start + WIDTHS[width]


# -- requests


@pytest.mark.slow
def test_requests_are_as_documented(simulator: Simulator, tap: Any) -> None:
    config = settings(simulator, start_date=days_ago(40, RECENT), models=["claude-opus-4-6"])
    catalog = only(config, USAGE, COST)
    simulator.seen.clear()
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    assert {s.headers["anthropic-beta"] for s in simulator.seen} == {
        "analytics-usage-cost-2026-08-24"
    }
    for report, path in PATHS.items():
        first = simulator.requests(path)[0]
        dimensions = ["actor", "product", "model", "workspace_id", "api_key_id"]
        if report == COST:
            dimensions += ["cost_type", "token_type"]
        assert first.values("group_by[]") == dimensions
        query = {name: value for name, value in first.query if name != "group_by[]"}
        assert query == {
            "starting_at": days_ago(40, RECENT),
            "ending_at": days_ago(9, RECENT),
            "time_bucket_width": "1d",
            "order_by": "time",
            "order": "asc",
            "limit": "1000",
            "models[]": "claude-opus-4-6",
        }
        assert {s.values("starting_at")[0] for s in simulator.requests(path)} == {
            days_ago(40, RECENT),
            days_ago(9, RECENT),
        }
        assert {r["model"] for r in run.records(report)} == {"claude-opus-4-6"}


def test_minutes_are_read_day_by_day(simulator: Simulator, tap: Any) -> None:
    start = RECENT - dt.timedelta(hours=30)
    config = settings(simulator, start_date=start.isoformat(), bucket_width="1m")
    catalog = only(config, USAGE)
    simulator.seen.clear()
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    assert len({s.values("starting_at")[0] for s in simulator.requests(PATHS[USAGE])}) == 2
    assert run.bookmark(USAGE) == RECENT.strftime("%Y-%m-%dT%H:%M:00Z")


def test_reading_starts_at_the_first_day_of_the_api_with_one_warning(
    simulate: Any, tap: Any
) -> None:
    simulator = simulate(days=3)
    config = settings(simulator, start_date="2020-01-01")
    run = tap(config=config, catalog=only(config, USAGE))
    assert run.code == 0, run.stderr
    assert run.stderr.count("the API has no data before") == 1
    sent = simulator.requests(PATHS[USAGE])
    assert sent
    assert all(seen.status == 200 for seen in sent)


def end_of_day(start: str | None) -> str | None:
    if start is None or not start.endswith("Z"):
        return start
    return (dt.datetime.fromisoformat(start) + dt.timedelta(days=1)).isoformat()


def usage_page(*starts: str | None, more: str | None = None) -> Fault:
    """Return a page of usage rows that start at these times."""
    rows = [
        {
            "starting_at": start,
            "ending_at": end_of_day(start),
            "group": {"model": "m"},
            "usage": {"total_tokens": 1},
        }
        for start in starts
    ]
    body = {
        "data": rows,
        "has_more": more is not None,
        "next_page": more,
        "data_refreshed_at": None,
    }
    return Fault(status=200, body=json.dumps(body), path="analytics/usage")


@pytest.mark.parametrize(
    "pages",
    [
        [usage_page(days_ago(2, RECENT), days_ago(3, RECENT))],
        [usage_page(days_ago(2, RECENT), more="page_2"), usage_page(days_ago(3, RECENT))],
        [usage_page(days_ago(9, RECENT))],
        [usage_page(days_ago(-1, RECENT))],
        [usage_page(days_ago(2, RECENT)[:11] + "01:00:00Z")],
        [usage_page("soon")],
        [usage_page(days_ago(2, RECENT), days_ago(1, RECENT), days_ago(2, RECENT))],
        [usage_page(days_ago(2, RECENT), None, *[days_ago(2, RECENT)] * 3)],
    ],
    ids=[
        "backwards",
        "backwards over pages",
        "before",
        "after",
        "not aligned",
        "no time",
        "between",
        "without a time between",
    ],
)
def test_rows_out_of_order_or_range_are_an_error(
    simulate: Any, tap: Any, pages: list[Fault]
) -> None:
    simulator = simulate(days=3, now=RECENT)
    simulator.faults.extend(Fault(**vars(page)) for page in pages)
    config = settings(simulator, start_date=days_ago(4, RECENT))
    run = tap(config=config, catalog=only(config, USAGE))
    assert run.code == 1
    assert run.errors[-1].startswith(f"{USAGE}: ")
    assert "Traceback" not in run.stderr


def test_an_invalid_data_refreshed_at_is_retried(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=RECENT)
    body = {"data": [], "has_more": False, "next_page": None, "data_refreshed_at": "soon"}
    simulator.faults.append(Fault(status=200, body=json.dumps(body), path="analytics/usage"))
    config = settings(simulator, start_date=days_ago(2, RECENT))
    run = tap(config=config, catalog=only(config, USAGE))
    assert run.code == 0
    assert f"{USAGE}: retrying" in run.stderr
    assert "data_refreshed_at is not a time" in run.stderr


def test_a_bucket_may_span_pages_some_of_them_empty(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=3, now=RECENT)
    day = days_ago(2, RECENT)
    simulator.faults += [
        usage_page(day, day, more="page_2"),
        usage_page(more="page_3"),
        usage_page(day, days_ago(1, RECENT)),
    ]
    config = settings(simulator, start_date=days_ago(4, RECENT))
    run = tap(config=config, catalog=only(config, USAGE))
    assert run.code == 0, run.stderr
    assert [(r["starting_at"], r["total_tokens"]) for r in run.records(USAGE)] == [
        (day, 3),
        (days_ago(1, RECENT), 1),
    ]
    assert run.bookmark(USAGE) == days_ago(0, RECENT)


# -- freshness, people, organizations


def test_is_complete_follows_data_refreshed_at(simulator: Simulator, tap: Any) -> None:
    config = settings(simulator, start_date=days_ago(3, RECENT), bucket_width="1h")
    run = tap(config=config, catalog=only(config, USAGE))
    records = run.records(USAGE)
    refreshed = {r["data_refreshed_at"] for r in records}
    assert len(refreshed) == 1
    frontier = dt.datetime.fromisoformat(refreshed.pop())
    assert frontier < RECENT
    for record in records:
        end = dt.datetime.fromisoformat(record["ending_at"])
        assert record["is_complete"] is (end <= frontier)
    assert {r["is_complete"] for r in records} == {True, False}


def test_a_renamed_or_deleted_person_keeps_the_key(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=20, now=RECENT)
    report = {"name": "people", "report": USAGE, "group_by": ["actor"]}
    config = settings(simulator, start_date=days_ago(19, RECENT), reports=[report])
    catalog = only(config, "people")

    def people() -> dict[str, set[tuple[Any, ...]]]:
        found: dict[str, set[tuple[Any, ...]]] = {}
        for r in tap(config=config, catalog=catalog).records("people"):
            if r["actor_user_id"]:
                shown_as = (r["actor_name"], r["actor_deleted"])
                found.setdefault(r["actor_user_id"], set()).add(shown_as)
                keys.setdefault((r["starting_at"], r["actor_user_id"]), set()).add(r["row_id"])
        return found

    keys: dict[tuple[str, str], set[str]] = {}
    before = people()
    simulator.facts.revision = 1
    after = people()
    assert any(before[user] != after[user] for user in before.keys() & after.keys())
    assert all(len(ids) == 1 for ids in keys.values())


def test_actors_of_every_kind_have_typed_columns(simulator: Simulator, tap: Any) -> None:
    config = settings(simulator, start_date=days_ago(30, RECENT))
    records = tap(config=config, catalog=only(config, USAGE)).records(USAGE)
    by_type = {
        kind: [r for r in records if r["actor_type"] == kind]
        for kind in ("user_actor", "service_account_actor", "federated_actor", "api_actor", None)
    }
    assert all(by_type.values())
    assert all(r["actor_user_id"] for r in by_type["user_actor"])
    assert {r["actor_deleted"] for r in by_type["user_actor"]} == {True, False}
    assert all(r["actor_service_account_id"] for r in by_type["service_account_actor"])
    assert all(r["actor_api_key_id"] for r in by_type["api_actor"])
    assert {r["actor_provider_type"] for r in by_type["federated_actor"]} == {
        "aws",
        "azure",
        "gcp",
        "oidc",
    }


def test_both_organizations_in_one_run(simulator: Simulator, tap: Any) -> None:
    config = settings(simulator, start_date=days_ago(9, RECENT), analytics_api_key=ANALYTICS_KEY)
    catalog = only(config, COST, "report_buckets")
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    for kind, facts in (("console", simulator.facts), ("enterprise", simulator.enterprise)):
        records = [r for r in run.records(COST) if r["organization_type"] == kind]
        names = ["actor", "product", "model", "workspace_id", "api_key_id"]
        names += ["cost_type", "token_type"]
        start = dt.datetime.fromisoformat(days_ago(9, RECENT))
        expected = truth(facts, COST, names, "1d", start, RECENT)
        assert sums_of(COST, records, names) == expected
    partitions = run.state["bookmarks"][COST]["partitions"]
    assert [p["context"] for p in partitions] == [
        {"organization_type": "console"},
        {"organization_type": "enterprise"},
    ]
    assert {p["replication_key_value"] for p in partitions} == {days_ago(0, RECENT)}

    # one organization is refused: the other is read, and its bookmark advances
    state = json.loads(json.dumps(run.state))
    for partition in state["bookmarks"][COST]["partitions"]:
        partition["replication_key_value"] = days_ago(5, RECENT)
    simulator.faults.append(Fault(status=403, path="analytics/cost"))
    refused = tap(config=config, catalog=catalog, state=state)
    assert refused.code == 1
    assert {r["organization_type"] for r in refused.records(COST)} == {"enterprise"}
    bookmarks = [p["replication_key_value"] for p in refused.state["bookmarks"][COST]["partitions"]]
    assert bookmarks == [days_ago(5, RECENT), days_ago(0, RECENT)]


@pytest.mark.slow
def test_a_second_credential_keeps_the_bookmark_of_the_first(simulate: Any, tap: Any) -> None:
    """Removing it keeps the bookmark of the other one."""
    simulator = simulate(days=60)
    one = settings(simulator, start_date=days_ago(59), lookback_days=0)
    both = {**one, "analytics_api_key": ANALYTICS_KEY}

    def starts(config: dict[str, Any], state: dict[str, Any]) -> tuple[list[str], Any]:
        simulator.seen.clear()
        run = tap(config=config, state=state, catalog=only(config, USAGE))
        assert run.code == 0, run.stderr
        firsts: dict[str, str] = {}
        for seen in simulator.requests(PATHS[USAGE]):
            firsts.setdefault(seen.headers["x-api-key"], seen.values("starting_at")[0])
        return [firsts.get(key, "") for key in (ADMIN_KEY, ANALYTICS_KEY)], run.state

    sent, state = starts({**one, "end_date": days_ago(9)}, {})
    assert sent == [days_ago(59), ""]
    sent, state = starts({**both, "end_date": days_ago(4)}, state)
    assert sent == [days_ago(10), days_ago(59)]
    sent, _ = starts(one, state)
    assert sent == [days_ago(5), ""]
    enterprise = {name: value for name, value in both.items() if name != "admin_api_key"}
    sent, _ = starts(enterprise, state)
    assert sent == ["", days_ago(5)]


def test_the_official_sdk_reads_the_same(simulator: Simulator, tap: Any) -> None:
    config = settings(simulator, start_date=days_ago(9, RECENT))
    run = tap(config=config, catalog=only(config, USAGE, COST))
    window: dict[str, Any] = {
        "starting_at": days_ago(9, RECENT),
        "ending_at": days_ago(-1, RECENT),
        "time_bucket_width": "1d",
        "limit": 1000,
    }
    with anthropic.Anthropic(base_url=simulator.url, api_key=ADMIN_KEY) as client:
        analytics = client.beta.organization.analytics
        usage = list(analytics.usage.list(**window, group_by=["product"]))
        costs = list(analytics.cost.list(**window))
    tokens: dict[tuple[str, str | None], int] = {}
    for row in usage:
        key = (row.starting_at.strftime("%Y-%m-%dT%H:%M:%SZ"), row.group.product)
        tokens[key] = tokens.get(key, 0) + row.usage.total_tokens
    ours: dict[tuple[str, str | None], int] = {}
    for record in run.records(USAGE):
        key = (record["starting_at"], record["product"])
        ours[key] = ours.get(key, 0) + record["total_tokens"]
    assert ours == tokens
    cents = sum(Decimal(row.cost.amount) for row in costs)
    assert sum(Decimal(r["amount"]) for r in run.records(COST)) == cents


# -- report_buckets


@pytest.mark.slow
def test_every_bucket_is_reported_after_all_rows(simulate: Any, tap: Any) -> None:
    simulator = simulate(days=120, now=RECENT)
    names = ("messages_usage", "cost_report", "claude_code_usage", "claude_code_model_usage")
    config = settings(simulator, start_date=days_ago(100, RECENT))
    run = tap(config=config, catalog=only(config, USAGE, COST, *names, "report_buckets"))
    assert run.code == 0, run.stderr
    buckets = run.records("report_buckets")
    kinds = [m.get("stream") for m in run.messages if m["type"] == "RECORD"]
    assert kinds[-len(buckets) :] == ["report_buckets"] * len(buckets)
    assert len({b["row_id"] for b in buckets}) == len(buckets) == 6 * 101
    for stream in (USAGE, COST, *names):
        mine = {b["starting_at"]: b for b in buckets if b["stream"] == stream}
        assert sorted(mine) == [days_ago(day, RECENT) for day in range(100, -1, -1)]
        assert sum(b["row_count"] == 0 for b in mine.values()) >= 45
        for start, bucket in mine.items():
            records = [
                r
                for r in run.records(stream)
                if (r.get("starting_at") or r["date"])[:10] == start[:10]
            ]
            assert bucket["row_count"] == len(records)
            if "amount_usd" in run.schemas[stream]["schema"]["properties"]:
                total = sum((Decimal(r["amount_usd"]) for r in records), Decimal(0))
                assert Decimal(bucket["amount_usd"]) == total
            else:
                assert bucket["amount_usd"] is None
            if stream == USAGE:
                assert bucket["total_tokens"] == sum(r["total_tokens"] for r in records)
            assert (bucket["data_refreshed_at"] is not None) is (stream in PATHS)


def test_the_report_of_a_bucket_does_not_depend_on_selected_columns(
    simulate: Any, tap: Any
) -> None:
    simulator = simulate(days=5, now=RECENT)
    config = settings(simulator, start_date=days_ago(4, RECENT))
    streams = (USAGE, COST, "messages_usage")
    catalog = only(config, *streams, "report_buckets")
    whole = tap(config=config, catalog=catalog).records("report_buckets")
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if entry["stream"] in streams and item["breadcrumb"]:
                item["metadata"]["selected"] = False
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    assert set(run.records(COST)[0]) == {"row_id", "starting_at"}
    for record in (*whole, *run.records("report_buckets")):
        del record["extracted_at"]
    assert run.records("report_buckets") == whole


@pytest.mark.parametrize("status", [403, 400], ids=["refused", "broken off"])
def test_an_unfinished_bucket_is_not_reported(simulate: Any, tap: Any, status: int) -> None:
    simulator = simulate(days=60, now=RECENT)
    simulator.faults.append(Fault(status=status, path="analytics/usage", after=1))
    config = settings(simulator, start_date=days_ago(50, RECENT))
    run = tap(config=config, catalog=only(config, USAGE, "report_buckets"))
    assert run.code == 1
    buckets = run.records("report_buckets")
    starts = {b["starting_at"] for b in buckets}
    assert starts
    assert max(starts) == run.bookmark(USAGE)
    for bucket in buckets:
        rows = [r for r in run.records(USAGE) if r["starting_at"] == bucket["starting_at"]]
        assert len(rows) == bucket["row_count"]


@pytest.mark.slow
def test_after_a_lost_cursor_reading_resumes_at_the_first_unfinished_bucket(
    simulate: Any, tap: Any
) -> None:
    """It writes no row twice."""
    simulator = simulate(days=25, breadth=300, now=RECENT)
    first = days_ago(20, RECENT)
    config = settings(simulator, start_date=first)
    catalog = only(config, "analytics_cost")
    whole = tap(config=config, catalog=catalog)
    assert len(simulator.requests("analytics/cost")) > 4
    simulator.seen.clear()
    simulator.faults.append(Fault(400, path="analytics/cost", after=3))
    run = tap(config=config, catalog=catalog)
    assert run.code == 0, run.stderr
    sent = [seen.values("starting_at")[0] for seen in simulator.requests("analytics/cost")]
    assert sent[:4] == [first] * 4
    (restart,) = set(sent[4:])
    assert restart > first
    ours, theirs = ([r["row_id"] for r in each.records("analytics_cost")] for each in (run, whole))
    assert sorted(ours) == sorted(theirs)


def test_a_row_of_a_month_is_not_accepted_as_a_day(simulate: Any, tap: Any) -> None:
    """An API that ignores time_bucket_width would send such a row."""
    simulator = simulate(days=3, now=RECENT)
    simulator.faults.append(Fault(path="analytics/usage", change=end_a_month_later))
    config = settings(simulator, start_date=days_ago(2, RECENT))
    run = tap(config=config, catalog=only(config, USAGE, "cost_report"))
    assert run.code == 1
    (error,) = run.errors
    assert error.startswith(f"{USAGE}: a row of {days_ago(2, RECENT)} has ending_at")
    assert not run.records(USAGE)
    assert run.records("cost_report")
