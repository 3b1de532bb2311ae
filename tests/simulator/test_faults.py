"""Each fault of the simulator does what its name says, tested without the tap."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import itertools
import json
import time
import tracemalloc
import zlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.analytics import BETA
from simulator.changes import (
    HUGE,
    LONE_SURROGATE,
    NUL,
    add_to_name,
    days_for_hours,
    drop_cursor,
    drop_data,
    drop_first_bucket,
    drop_middle_bucket,
    end_a_month_later,
    huge_integer,
    null_row,
    one_bucket,
    other_day,
    repeat_cursor,
    wrong_value,
)
from simulator.deliveries import (
    BLOCK,
    cut_off,
    cut_off_chunked,
    gzip_bomb,
    mute,
    oversized,
    refused,
    reset,
    reset_after_headers,
    trickle,
)
from simulator.fault_plans import FaultPlan, FixedWindow
from simulator.faults import ERROR_TYPES, FOREVER, KINDS, Fault
from simulator.server import ADMIN_KEY, ANALYTICS_KEY
from simulator.server import Fault as FaultOfServer
from tests.conftest import NOW, days_ago

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.server import Simulator

HEADERS = {"x-api-key": ADMIN_KEY, "anthropic-version": "2023-06-01"}
BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture
def simulator(simulate: Any) -> Simulator:
    made: Simulator = simulate(days=3, now=NOW)
    return made


@pytest.fixture
def get(simulator: Simulator) -> Callable[..., requests.Response]:
    """Request the users, with a new connection."""

    def request_users(
        *, stream: bool = False, timeout: float = 10, **params: Any
    ) -> requests.Response:
        url = f"{simulator.url}/v1/organizations/users"
        return requests.get(url, params, headers=HEADERS, stream=stream, timeout=timeout)

    return request_users


def test_the_old_name_still_works() -> None:
    assert FaultOfServer is Fault


def test_a_reset_comes_before_any_byte(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=reset))
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        get()
    assert get().ok


def test_a_reset_comes_after_the_headers(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=reset_after_headers))
    response = get(stream=True)
    assert response.status_code == 200
    assert int(response.headers["content-length"]) > 1000
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="reset by peer"):
        _ = response.content


def test_a_body_is_shorter_than_its_length(simulator: Simulator, get: Any) -> None:
    right = get().content
    simulator.faults += [Fault(deliver=cut_off), Fault(deliver=cut_off)]
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get()
    response = get(stream=True)
    assert int(response.headers["content-length"]) == len(right)
    half = response.raw.read(len(right) // 2)
    assert half == right[: len(right) // 2]
    with pytest.raises(Exception, match="IncompleteRead"):
        response.raw.read(1)


def test_a_chunked_body_ends_in_a_chunk(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=cut_off_chunked))
    response = get(stream=True)
    assert response.headers["transfer-encoding"] == "chunked"
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = response.content


def test_a_trickle_causes_no_read_timeout(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=trickle(0.1)))
    started = time.monotonic()
    with get(stream=True, timeout=0.5) as response:
        for _ in range(8):
            assert len(response.raw.read(1)) == 1
    assert time.monotonic() - started > 0.6


def test_a_server_may_say_nothing(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=mute(1)))
    with pytest.raises(requests.ReadTimeout):
        get(timeout=0.2)
    simulator.faults.append(Fault(deliver=mute(0.2)))
    with pytest.raises(requests.ConnectionError, match="without response"):
        get()
    assert get().ok


def test_a_bomb_is_small_and_its_text_is_correct(simulator: Simulator, get: Any) -> None:
    right = get().json()
    simulator.faults.append(Fault(deliver=oversized(4 * len(BLOCK), encoded=True)))
    response = get()
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.content) > 4 * len(BLOCK)
    assert response.json() == right


def test_a_bomb_of_a_gigabyte_needs_little_memory() -> None:
    tracemalloc.start()
    size = unpacked = 0
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for part in gzip_bomb(b'{"data": []}', 1024):
        size += len(part)
        if part and unpacked < 4 * len(BLOCK):
            unpacked += len(decompressor.decompress(part))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1_200_000
    assert unpacked >= 4 * len(BLOCK)
    assert peak < 8 * len(BLOCK)


def test_a_page_may_be_absurdly_large(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=oversized()))
    tracemalloc.start()
    with get(stream=True) as response:
        assert int(response.headers["content-length"]) > 2**30
        parts = itertools.islice(response.iter_content(len(BLOCK)), 64)
        assert sum(map(len, parts)) == 64 * len(BLOCK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * len(BLOCK)
    assert get().ok


def test_connections_are_refused_for_a_while(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=refused(0.5)))
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        get()
    with pytest.raises(requests.ConnectionError, match="refused"):
        get()
    while True:
        try:
            assert get().ok
            break
        except requests.ConnectionError:
            assert time.monotonic() - started < 60
            time.sleep(0.05)
    assert time.monotonic() - started > 0.4


def test_a_simulator_stops_while_it_refuses(simulate: Any) -> None:
    """Otherwise, the fixture would hang."""
    simulate(days=3, now=NOW).refuse(3600)


# -- changes of the correct response


def test_a_cursor_repeats(simulator: Simulator, get: Any) -> None:
    fault = Fault(change=repeat_cursor, needs_cursor=True)
    simulator.faults.append(fault)
    first = get(limit=3).json()
    assert fault.hits == 0
    again = get(limit=3, after_id=first["last_id"]).json()
    assert fault.hits == 1
    assert again["has_more"]
    assert again["last_id"] == first["last_id"]
    assert again["data"] != first["data"]


def test_responses_change(simulator: Simulator, get: Any) -> None:
    right = get(limit=3).json()
    changes = [drop_cursor, drop_data, null_row, wrong_value]
    simulator.faults += [Fault(change=change) for change in changes]
    without_cursor, without_data, with_null, with_wrong = (get(limit=3).json() for _ in changes)
    assert without_cursor == {**right, "has_more": True, "last_id": None}
    assert "data" not in without_data
    assert with_null["data"] == [None, *right["data"][1:]]
    assert with_wrong["data"][0]["email"] == 5
    assert get(limit=3).json() == right, "the directory's own rows were changed"


def test_a_change_waits_for_a_response_that_it_can_change(simulator: Simulator, get: Any) -> None:
    last = get(limit=1000).json()["last_id"]
    fault = Fault(change=null_row)
    simulator.faults.append(fault)
    assert get(limit=3, after_id=last).json()["data"] == []
    assert (fault.hits, fault.times) == (0, 1)
    assert get(limit=3).json()["data"][0] is None
    assert (fault.hits, fault.times) == (1, 0)


def test_characters_that_no_database_stores(simulator: Simulator, get: Any) -> None:
    right = get(limit=3).json()["data"][0]["name"]
    simulator.faults += [Fault(change=add_to_name(it)) for it in (LONE_SURROGATE, NUL)]
    for escape, character in ((rb"\ud800", "\ud800"), (rb"\u0000", "\0")):
        response = get(limit=3)
        assert escape in response.content
        response.content.decode()
        assert json.loads(response.content)["data"][0]["name"] == right + character
    assert get(limit=3).json()["data"][0]["name"] == right


@pytest.fixture
def fetch(simulator: Simulator) -> Callable[..., Any]:
    """Request a page of any endpoint, with or without a fault."""

    def page(path: str, change: Any = None, **params: Any) -> Any:
        if change:
            simulator.faults.append(Fault(change=change))
        enterprise = path == "analytics/users"
        response = requests.get(
            f"{simulator.url}/v1/organizations/{path}",
            {name.replace("_by", "_by[]"): value for name, value in params.items()},
            headers={
                **HEADERS,
                "x-api-key": ANALYTICS_KEY if enterprise else ADMIN_KEY,
                "anthropic-beta": BETA,
            },
            timeout=10,
        )
        assert response.ok, response.text
        found = response.json()
        assert not change or simulator.faults[-1].hits == 1
        return found

    return page


USAGE, CLAUDE_CODE, COST = "usage_report/messages", "usage_report/claude_code", "analytics/cost"
RANGE = {"starting_at": days_ago(2, NOW), "ending_at": days_ago(0, NOW)}
DATE = NOW.date() - dt.timedelta(days=2)


@pytest.mark.parametrize(
    ("path", "params"),
    [(USAGE, RANGE), (CLAUDE_CODE, {"starting_at": DATE}), ("analytics/users", {"date": DATE})],
)
def test_an_integer_may_be_too_large(fetch: Any, path: str, params: dict[str, Any]) -> None:
    text = json.dumps(fetch(path, huge_integer, **params))
    assert text.count(str(HUGE)) == text.count(str(2**63)) == 1
    assert str(2**63) not in json.dumps(fetch(path, **params))


def results(buckets: Any) -> list[Any]:
    return [row for bucket in buckets for row in bucket["results"]]


def test_buckets_may_be_wider_than_requested(fetch: Any) -> None:
    right = fetch(USAGE, **RANGE)["data"]
    (bucket,) = fetch(USAGE, one_bucket, **RANGE)["data"]
    assert moment(bucket["starting_at"]) == moment(RANGE["starting_at"])
    assert moment(bucket["ending_at"]) == moment(RANGE["ending_at"])
    assert bucket["results"] == results(right)
    hourly = {**RANGE, "bucket_width": "1h", "limit": 48}
    hours = fetch(USAGE, **hourly)["data"]
    days = fetch(USAGE, days_for_hours, **hourly)["data"]
    assert len(hours) == 48
    assert [it["starting_at"] for it in days] == [days_ago(2, NOW), days_ago(1, NOW)]
    assert [it["ending_at"] for it in days] == [days_ago(1, NOW), days_ago(0, NOW)]
    assert results(days) == results(hours)


def test_buckets_may_be_missing(fetch: Any) -> None:
    hourly = {**RANGE, "bucket_width": "1h", "limit": 5}
    right = fetch(USAGE, **hourly)["data"]
    assert fetch(USAGE, drop_first_bucket, **hourly)["data"] == right[1:]
    assert fetch(USAGE, drop_middle_bucket, **hourly)["data"] == right[:2] + right[3:]


def test_rows_may_be_longer_than_requested(fetch: Any) -> None:
    query = {**RANGE, "time_bucket_width": "1d", "group_by": "model"}
    right = fetch(COST, **query)["data"]
    wrong = fetch(COST, end_a_month_later, **query)["data"]
    assert right
    for row, other in zip(right, wrong, strict=True):
        assert {**row, "ending_at": ""} == {**other, "ending_at": ""}
        assert moment(other["ending_at"]) - moment(other["starting_at"]) == dt.timedelta(31)


def test_rows_may_be_of_another_day(fetch: Any) -> None:
    right = fetch(CLAUDE_CODE, starting_at=DATE)["data"]
    wrong = fetch(CLAUDE_CODE, other_day, starting_at=DATE)["data"]
    assert {row["date"] for row in right} == {f"{DATE}T00:00:00Z"}
    assert {row["date"] for row in wrong} == {f"{DATE - dt.timedelta(days=1)}T00:00:00Z"}
    assert [{**row, "date": ""} for row in wrong] == [{**row, "date": ""} for row in right]


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "change",
    [
        add_to_name(NUL),
        days_for_hours,
        drop_first_bucket,
        drop_middle_bucket,
        end_a_month_later,
        huge_integer,
        one_bucket,
        other_day,
    ],
)
def test_changes_wait_for_a_matching_response(
    simulator: Simulator, fetch: Any, change: Any
) -> None:
    fault = Fault(change=change)
    simulator.faults.append(fault)
    limits = fetch("rate_limits")
    assert limits == fetch("rate_limits")
    assert (fault.hits, fault.times) == (0, 1)


# -- refusals


@pytest.mark.parametrize("status", sorted({*ERROR_TYPES, 500}))
def test_a_fault_has_the_error_of_its_status(simulator: Simulator, get: Any, status: int) -> None:
    simulator.faults += [Fault(status), Fault(status, message="Data is not available")]
    kind = ERROR_TYPES.get(status, "api_error")
    for message in (f"planned fault {status}", "Data is not available"):
        response = get()
        assert response.status_code == status
        assert response.json() == {
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": response.headers["request-id"],
        }


@pytest.mark.parametrize("status", [400, 403, 404])
def test_one_parent_of_a_list_may_be_refused(simulator: Simulator, status: int) -> None:
    refused_id, *ids = [row["id"] for row in simulator.directories["A"].workspaces[:3]]
    path = f"workspaces/{refused_id}/members"
    simulator.faults.append(Fault(status, path=path, times=FOREVER))

    def statuses(id_: str) -> list[int]:
        url = f"{simulator.url}/v1/organizations/workspaces/{id_}/members"
        return [requests.get(url, headers=HEADERS, timeout=10).status_code for _ in range(2)]

    assert statuses(refused_id) == [status, status]
    assert [statuses(id_) for id_ in ids] == [[200, 200]] * 2


def test_each_error_is_an_error_object(simulator: Simulator, get: Any) -> None:
    def body(path: str, **headers: str) -> Any:
        url = f"{simulator.url}{path}"
        response = requests.get(url, headers={**HEADERS, **headers}, timeout=10)
        found = response.json()
        assert set(found) == {"type", "error", "request_id"}
        assert found["type"] == "error"
        assert found["request_id"] == response.headers["request-id"]
        assert found["error"]["message"]
        return response.status_code, found["error"]["type"]

    root = "/v1/organizations/"
    assert body(f"{root}users", **{"x-api-key": "x"}) == (401, "authentication_error")
    assert body(f"{root}me", **{"x-api-key": ANALYTICS_KEY}) == (403, "permission_error")
    assert body(f"{root}workspaces/wrkspc_x/members") == (404, "not_found_error")
    for path in (f"{root}nothing", f"{root}a/b/c/d", "/v1/nothing", "/", "/v2/organizations/me"):
        assert body(path) == (404, "not_found_error")
    assert body(f"{root}users?limit=x") == (400, "invalid_request_error")
    assert get().headers["request-id"].startswith("req_")


# -- kinds


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("408", 408),
        ("409", 409),
        ("500", 500),
        ("502 with an HTML body", 502),
        ("503", 503),
        ("504", 504),
        ("529", 529),
        ("401 in mid-run", 401),
        ("403 in mid-run", 403),
        ("404 in mid-run", 404),
        ("400 in mid-run", 400),
        ("403 with the page of a firewall", 403),
        ("404 with the page of a wrong URL", 404),
        ("a list instead of a page", 200),
        ("null instead of a page", 200),
        ("an error with status 200", 200),
        ("malformed JSON", 200),
    ],
)
def test_kinds_have_the_status_of_their_names(
    simulator: Simulator, get: Any, name: str, status: int
) -> None:
    simulator.faults.append(BY_NAME[name].fault("organizations/users", after=1))
    assert get().ok
    response = get()
    assert response.status_code == status
    if "HTML" in name or "the page" in name:
        assert response.text.startswith("<html>")
        assert "anthropic-organization-id" not in response.headers
        assert response.headers["content-type"] == "text/html"
    if name == "malformed JSON":
        with pytest.raises(requests.JSONDecodeError):
            response.json()


def test_limits_may_report_when_they_reset(simulator: Simulator, get: Any) -> None:
    def headers(name: str) -> Any:
        simulator.faults.append(BY_NAME[name].fault())
        response = get()
        assert response.status_code == 429
        return response.headers

    assert headers("429, retry-after in seconds")["retry-after"] == "1"
    moment = parsedate_to_datetime(headers("429, retry-after as a date")["retry-after"])
    assert abs(moment - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=4)
    assert "retry-after" not in headers("429 without retry-after")
    stale = headers("429, reset time in the past")
    assert "retry-after" not in stale
    reset_at = dt.datetime.fromisoformat(stale["anthropic-ratelimit-requests-reset"])
    assert reset_at < dt.datetime.now(dt.UTC)
    assert headers("429, retry-after: 0, three times")["retry-after"] == "0"
    assert [get().status_code for _ in range(3)] == [429, 429, 200]
    absurd = headers("429, retry-after as a date that no clock holds")["retry-after"]
    with pytest.raises(OverflowError):
        parsedate_to_datetime(absurd)
    lagging = headers("429, retry-after as a date of a clock that lags")["retry-after"]
    assert parsedate_to_datetime(lagging) < dt.datetime.now(dt.UTC)
    assert headers("429, retry-after of a day")["retry-after"] == "86400"


def test_a_redirect_leads_to_another_host(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(BY_NAME["redirect to another host"].fault())
    with pytest.raises(requests.ConnectionError, match=r"elsewhere\.invalid"):
        get()


def test_only_a_request_with_a_cursor_finds_it_expired(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(BY_NAME["a cursor that expires"].fault(after=7))
    first = get(limit=3)
    assert first.ok
    refused_page = get(limit=3, after_id=first.json()["last_id"])
    assert refused_page.status_code == 400
    assert refused_page.json()["error"] == {
        "type": "invalid_request_error",
        "message": "page: token has expired",
    }
    assert get(limit=3, after_id=first.json()["last_id"]).ok


def test_kinds_have_different_names() -> None:
    assert len(BY_NAME) == len(KINDS)


def test_kinds_are_for_endpoints() -> None:
    assert BY_NAME["503"].fits("/v1/organizations/me")
    days = BY_NAME["days for hours"]
    assert days.fits("/v1/organizations/usage_report/messages")
    assert not days.fits("/v1/organizations/me")
    for kind in KINDS:
        assert kind.error or not kind.may_recover
        assert kind.error or not kind.ends_run
        assert not kind.settings or not kind.weight, "a plan does not choose settings"


# -- plans


def test_a_plan_follows_from_its_seed() -> None:
    def given(seed: int, rate: float = 0.3) -> list[str]:
        plan = FaultPlan(seed, rate)
        for number in range(200):
            if fault := plan(f"/{number % 3}", [("page", "x")] if number % 2 else []):
                fault.hits += 1
        return plan.injected

    assert given(1) == given(1) != given(2)
    assert 30 < len(given(1)) < 90
    assert given(1, 0) == []
    assert sum("expires" in name for name in given(1, 1)) <= 3


def test_a_plan_never_uses_all_retries() -> None:
    plan = FaultPlan(5, 1, in_a_row=3)
    assert [plan("/a", []) is None for _ in range(8)] == [False, False, False, True] * 2


def test_a_plan_has_one_permanent_fault(simulator: Simulator, get: Any) -> None:
    plan = FaultPlan(5, 0, permanent_at=4)
    simulator.plan = plan
    for _ in range(3):
        assert get().ok
        assert not plan.has_ended_a_run
    for _ in range(5):
        with contextlib.suppress(
            requests.RequestException
        ):  # perhaps a redirect to an unreachable host
            get()
    assert plan.has_ended_a_run
    assert len(plan.injected) == 1


def test_the_window_of_a_rate_limit_restarts() -> None:
    limit = FixedWindow(2, seconds=0.2)
    assert [limit("", []) is None for _ in range(4)] == [True, True, False, False]
    time.sleep(0.25)
    assert limit("", []) is None
    assert limit.refused == {0: 2}


def test_http_client_sees_no_status_line(simulator: Simulator) -> None:
    simulator.faults.append(Fault(deliver=reset))
    connection = http.client.HTTPConnection(simulator.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/v1/organizations/users", headers=HEADERS)
    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()
