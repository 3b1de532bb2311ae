"""A small benchmark: all programs read the same rows, and the tap has not become slower."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bench.contestants import AIRBYTE, ALL, DLT, FLOOR, PLAIN, ROOT, TAP
from bench.measure import run
from bench.server import PATHS, Server
from bench.workloads import BETA, DIMENSIONS, text, workloads
from simulator.server import ADMIN_KEY
from tests.conftest import measured_environment, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.workloads import Workload

pytestmark = pytest.mark.slow


NOW = dt.datetime.now(dt.UTC)
WORKLOADS = {workload.name: workload for workload in workloads(NOW)}
RATIOS = json.loads((ROOT / "bench" / "ratios.json").read_text())
# Unknown fields of the simulator, and actors that the benchmark does not have.
ONLY_SIMULATED = ("_of_tomorrow", "federated_actor")


def few(name: str) -> Workload:
    """Return a workload that is short, but has several pages."""
    return WORKLOADS[name].last({"daily": 40, "hourly": 30, "minutes": 70, "cost": 4}[name])


@contextmanager
def serving(workload: Workload) -> Iterator[str]:
    server = Server(workload.stream, workload.groups)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()


def get(url: str, workload: Workload, **more: Any) -> requests.Response:
    by_row = workload.stream == "analytics_cost"
    params = {
        "starting_at": text(workload.start),
        "ending_at": text(workload.end),
        "time_bucket_width" if by_row else "bucket_width": workload.width,
        "group_by[]": DIMENSIONS[workload.stream],
        **({"order_by": "time", "order": "asc"} if by_row else {}),
        **more,
    }
    headers = {"x-api-key": ADMIN_KEY, "anthropic-version": "2023-06-01", "anthropic-beta": BETA}
    return requests.get(url + PATHS[workload.stream], params, headers=headers, timeout=60)


def chain(url: str, workload: Workload, **more: Any) -> list[dict[str, Any]]:
    """Return all pages."""
    pages = [get(url, workload, **more).json()]
    while pages[-1]["has_more"]:
        pages.append(get(url, workload, **more, page=pages[-1]["next_page"]).json())
    return pages


def shape(
    value: Any, path: str = "", into: dict[str, set[str]] | None = None
) -> dict[str, set[str]]:
    """Return the types at every path."""
    shapes: dict[str, set[str]] = {} if into is None else into
    shapes.setdefault(path, set()).add(type(value).__name__)
    if isinstance(value, dict):
        path += f"({value['type']})" if "type" in value else ""
        for name, inner in value.items():
            shape(inner, f"{path}.{name}", shapes)
    elif isinstance(value, list):
        for inner in value:
            shape(inner, f"{path}[]", shapes)
    return shapes


@pytest.mark.parametrize("name", ["daily", "cost"])
def test_pages_have_the_structure_of_the_simulator(name: str) -> None:
    workload = WORKLOADS[name].last(3)
    limit = {"daily": 2, "cost": 100}[name]
    with serving(workload) as url, simulated(days=5, breadth=500) as simulator:
        ours, theirs = (
            shape(chain(where, workload, limit=limit)) for where in (url, simulator.url)
        )
    assert ours.keys() == {
        path for path in theirs if not any(name in path for name in ONLY_SIMULATED)
    }
    assert {path: types for path, types in ours.items() if types - theirs[path]} == {}


@pytest.mark.parametrize("name", ["daily", "hourly", "minutes"])
def test_buckets_are_paged_as_by_the_simulator(name: str) -> None:
    workload = few(name)
    most = {"1d": 31, "1h": 168, "1m": 1440}[workload.width]
    with serving(workload) as url, simulated(days=60, breadth=1) as simulator:
        for more in ({}, {"limit": 13}, {"limit": most}):
            bounds, theirs = (
                [
                    [dt.datetime.fromisoformat(bucket["starting_at"]) for bucket in page["data"]]
                    for page in chain(where, workload, **more)
                ]
                for where in (url, simulator.url)
            )
            assert bounds == theirs
        for where in (url, simulator.url):
            assert get(where, workload, limit=most + 1).status_code == 400


def test_rows_are_paged_by_group() -> None:
    workload = few("cost")
    with serving(workload) as url:
        assert {len(page["data"]) for page in chain(url, workload)} == {20 * 5}
        assert len(chain(url, workload)) == 4 * 400 / 20
        rows = [row for page in chain(url, workload, limit=1000) for row in page["data"]]
        assert get(url, workload, limit=1001).status_code == 400
    keys = {json.dumps([row["starting_at"], row["group"]]) for row in rows}
    assert len(keys) == len(rows) == 4 * 2000
    assert rows == sorted(rows, key=lambda row: str(row["starting_at"]))


def records(directory: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (directory / "stdout").read_text().splitlines())
    return [line["record"] for line in lines if line["type"] == "RECORD"]


@pytest.mark.long
@pytest.mark.parametrize("name", WORKLOADS)
def test_floor_and_both_taps_read_the_same(name: str, tmp_path: Path) -> None:
    workload = few(name)
    for contestant in (FLOOR, TAP, PLAIN):
        run(contestant, workload, tmp_path / contestant.name)
    floor, tap, plain = (records(tmp_path / it.name) for it in (FLOOR, TAP, PLAIN))
    for record in (*floor, *tap):
        del record["extracted_at"]
        # The pages come from two servers, started one after the other.
        record.pop("data_refreshed_at", None)
    assert {r["row_id"]: r for r in floor} == {r["row_id"]: r for r in tap}
    assert len({r["row_id"] for r in tap}) == len(tap) == len(plain)
    for column in ("output_tokens", "amount"):
        if column in plain[0]:
            assert sum(Decimal(r[column]) for r in tap) == sum(Decimal(r[column]) for r in plain)


@pytest.mark.long
@pytest.mark.parametrize("name", ["daily", "cost"])
@pytest.mark.parametrize("peer", [DLT, AIRBYTE], ids=lambda peer: peer.name)
def test_peers_read_all_rows(peer: Any, name: str, tmp_path: Path) -> None:
    if not peer.is_installed:
        pytest.skip("`make bench` installs it")
    assert (
        run(peer, few(name), tmp_path / "run").rows == few(name).buckets * few(name).rows_per_bucket
    )


@pytest.mark.long
@pytest.mark.parametrize("name", ["daily", "cost"])
def test_tap_is_faster_than_half_of_the_recorded_ratio(name: str, tmp_path: Path) -> None:
    """A ratio depends little on the machine and its load; it must not fall by half."""
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--small", "--repeat", "1"]
    command += ["--workload", name, "--json", str(path)]
    for _ in range(3):  # the machine may be busy with something else
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=measured_environment(),
        )
        assert done.returncode == 0, done.stderr
        ratios = json.loads(path.read_text())["workloads"][name]["ratios"]
        assert ratios.keys() == RATIOS[name].keys()
        slower = {what: ratio for what, ratio in ratios.items() if ratio < RATIOS[name][what] / 2}
        if not slower:
            return
    pytest.fail(f"{slower}, recorded: {RATIOS[name]}\n{done.stdout}")


def test_year_of_days_needs_a_quarter_of_the_requests(tmp_path: Path) -> None:
    plain = -(-365 // 7)  # pages of the API's default size
    assert run(TAP, WORKLOADS["daily"], tmp_path / "run").requests <= plain / 4


def test_contestants_have_different_names() -> None:
    assert len({contestant.name for contestant in ALL}) == len(ALL) == 5
