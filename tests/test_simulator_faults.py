"""Each fault of the simulator does what its name says, seen without the tap."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import itertools
import time
import tracemalloc
import zlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.faults import (
    BLOCK,
    KINDS,
    Fault,
    FaultPlan,
    FixedWindow,
    cut_off,
    cut_off_chunked,
    drop_cursor,
    drop_data,
    gzip_bomb,
    null_row,
    oversized,
    refused,
    repeat_cursor,
    reset,
    reset_after_headers,
    trickle,
    wrong_value,
)
from simulator.server import ADMIN_KEY
from simulator.server import Fault as FaultOfServer
from tests.conftest import NOW

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
    """Ask for the users, with a connection of its own."""

    def ask(*, stream: bool = False, timeout: float = 10, **params: Any) -> requests.Response:
        url = f"{simulator.url}/v1/organizations/users"
        return requests.get(url, params, headers=HEADERS, stream=stream, timeout=timeout)

    return ask


def test_the_old_name_goes_on_working() -> None:
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


def test_a_trickle_runs_into_no_timeout_of_a_read(simulator: Simulator, get: Any) -> None:
    simulator.faults.append(Fault(deliver=trickle(0.1)))
    started = time.monotonic()
    with get(stream=True, timeout=0.5) as response:
        for _ in range(8):
            assert len(response.raw.read(1)) == 1
    assert 0.6 < time.monotonic() - started < 5


def test_a_bomb_is_small_and_its_text_is_right(simulator: Simulator, get: Any) -> None:
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
            assert time.monotonic() - started < 5
            time.sleep(0.05)
    assert time.monotonic() - started > 0.4


def test_a_simulator_stops_while_it_refuses(simulate: Any) -> None:
    """The fixture would hang."""
    simulate(days=3, now=NOW).refuse(3600)


# -- changes of the right answer


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


def test_answers_change(simulator: Simulator, get: Any) -> None:
    right = get(limit=3).json()
    changes = [drop_cursor, drop_data, null_row, wrong_value]
    simulator.faults += [Fault(change=change) for change in changes]
    without_cursor, without_data, with_null, with_wrong = (get(limit=3).json() for _ in changes)
    assert without_cursor == {**right, "has_more": True, "last_id": None}
    assert "data" not in without_data
    assert with_null["data"] == [None, *right["data"][1:]]
    assert with_wrong["data"][0]["email"] == 5
    assert get(limit=3).json() == right, "the directory's own rows were changed"


def test_a_change_waits_for_something_to_change(simulator: Simulator, get: Any) -> None:
    last = get(limit=1000).json()["last_id"]
    fault = Fault(change=null_row)
    simulator.faults.append(fault)
    assert get(limit=3, after_id=last).json()["data"] == []
    assert (fault.hits, fault.times) == (0, 1)
    assert get(limit=3).json()["data"][0] is None
    assert (fault.hits, fault.times) == (1, 0)


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
    if "HTML" in name:
        assert response.headers["content-type"] == "text/html"
    if name == "malformed JSON":
        with pytest.raises(requests.JSONDecodeError):
            response.json()


def test_limits_tell_when_to_come_back_or_do_not(simulator: Simulator, get: Any) -> None:
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


def test_kinds_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(KINDS)


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


def test_a_plan_never_uses_up_the_retries() -> None:
    plan = FaultPlan(5, 1, in_a_row=3)
    assert [plan("/a", []) is None for _ in range(8)] == [False, False, False, True] * 2


def test_a_plan_has_one_permanent_fault(simulator: Simulator, get: Any) -> None:
    plan = FaultPlan(5, 0, permanent_at=4)
    simulator.plan = plan
    for _ in range(3):
        assert get().ok
        assert not plan.has_ended_a_run
    for _ in range(5):
        with contextlib.suppress(requests.RequestException):  # a redirect to nowhere, perhaps
            get()
    assert plan.has_ended_a_run
    assert len(plan.injected) == 1


def test_a_window_of_a_rate_limit_begins_anew() -> None:
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
