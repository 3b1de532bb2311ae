"""Fixtures: simulated organizations and a way to run the tap as its users do."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as effort

from simulator.facts import Facts
from simulator.server import ADMIN_KEY, Simulator
from tap_claude.tap import TapClaude
from tests.forks import Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# The time that an example takes depends on how busy the machine is.
effort.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
effort.load_profile("tests")

NOW = dt.datetime(2026, 3, 20, 13, 37, 42, tzinfo=dt.UTC)
"""The time of the simulated clock, unless a test sets another one."""

# A recent time, because the API's data go back 365 days from the real time.
_BASE, _STEP = dt.datetime(2026, 3, 20, 13, 37, 42, tzinfo=dt.UTC), dt.timedelta(weeks=26)
RECENT = _BASE + _STEP * ((dt.datetime.now(dt.UTC) - _BASE) // _STEP)


LONGEST = {"test_dbt_package.py", "test_focus.py", "test_report.py", "test_transform.py"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--snapshot",
        action="store_true",
        help="write tests/tap/catalog.json, and the results in docs/, instead of comparing",
    )
    parser.addoption(
        "--customers",
        type=int,
        default=3,
        help="how many simulated customers tests/e2e/test_transform.py loads (3)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; let the fast tests measure the coverage."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        fast = item.path.parent.name in {"unit", "report", "tap"}
        if fast and not any(item.get_closest_marker(name) for name in ("slow", "long")):
            item.add_marker("measured")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores, because some tests only wait."""
    return min(os.cpu_count() or 1, 7) + 1


def simulated(
    days: int = 10,
    *,
    breadth: int = 24,
    seed: int = 7,
    shared_people: bool = False,
    **options: Any,
) -> Simulator:
    """Make a simulator with a history that ends today, or at ``now``."""
    today = (options.get("now") or dt.datetime.now(dt.UTC)).date()
    facts = Facts(
        seed=seed,
        first_day=today - dt.timedelta(days=days - 1),
        today=today,
        breadth=breadth,
        shared_people=shared_people,
    )
    return Simulator(facts, **options)


@pytest.fixture
def simulate() -> Iterator[Callable[..., Simulator]]:
    """Start simulators; they stop with the test."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(simulated(*args, **options))


@dataclass
class Run:
    """The output of one run of the tap."""

    code: int
    messages: list[dict[str, Any]]
    stderr: str
    """Without metrics."""
    stdout: str = field(repr=False, default="")
    whole_stderr: str = field(repr=False, default="")

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

    @property
    def states(self) -> list[dict[str, Any]]:
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> dict[str, Any]:
        return self.states[-1]

    def bookmark(self, stream: str) -> str:
        value: str = self.state["bookmarks"][stream]["replication_key_value"]
        return value

    @property
    def schemas(self) -> dict[str, dict[str, Any]]:
        return {m["stream"]: m for m in self.messages if m["type"] == "SCHEMA"}

    @property
    def errors(self) -> list[str]:
        """The messages that were logged at ERROR."""
        return [
            line.split(" | ")[-1].strip()
            for line in self.stderr.splitlines()
            if "| ERROR " in line or line.startswith("Error: ")
        ]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings of the tap."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAP_CLAUDE")}
    return {**env, **more}


def measured_environment(**more: str) -> dict[str, str]:
    """Return it for a process whose speed or memory is measured: without coverage."""
    env = environment(**more)
    return {name: value for name, value in env.items() if not name.startswith("COVERAGE_PROCESS")}


def file_options(folder: Path, **files: Any) -> list[str]:
    """Write ``config``, ``catalog`` and ``state`` to a folder; return the options that name them.

    None is left out.
    """
    options = []
    for name, content in files.items():
        if content is not None:
            path = folder / f"{name}.json"
            path.write_text(json.dumps(content))
            options += [f"--{name}", str(path)]
    return options


def tap_command(folder: Path, **files: Any) -> list[str]:
    """Return the command of a run with files, as `file_options` writes them."""
    return [sys.executable, "-m", "tap_claude", *file_options(folder, **files)]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true; fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks(sys.executable, "tap_claude", ["tap_claude.tap"], environment()) as forks:
        yield forks


@pytest.fixture
def tap(tmp_path: Path, forks: Forks) -> Callable[..., Run]:
    """Run ``tap-claude`` in a process of its own."""

    def run(
        *arguments: str,
        config: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        catalog: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Run:
        files = file_options(tmp_path, config=config, state=state, catalog=catalog)
        done = forks.run([*arguments, *files], environment(**(env or {})))
        messages = [
            json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"type"')
        ]
        # A failed assertion should be readable.
        stderr = "\n".join(line for line in done.stderr.splitlines() if "METRIC: " not in line)
        return Run(done.returncode, messages, stderr, done.stdout, done.stderr)

    return run


def settings(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return a configuration for a simulator; reading ends at its time if its clock is stopped."""
    stopped = {"end_date": simulator.now.isoformat()} if simulator.stopped_clock else {}
    return {
        "admin_api_key": ADMIN_KEY,
        "base_url": simulator.url,
        "requests_per_minute": 0,
        **stopped,
        **more,
    }


def only(config: Mapping[str, Any], *streams: str) -> dict[str, Any]:
    """Return a catalogue with these streams selected and no others."""
    tap = TapClaude(config=dict(config), validate_config=False, setup_mapper=False)
    catalog: dict[str, Any] = json.loads(tap.catalog_json_text)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["stream"] in streams
    return catalog


def days_ago(days: int, now: dt.datetime | None = None) -> str:
    """Return the midnight of a number of days ago."""
    today = (now or dt.datetime.now(dt.UTC)).date()
    return f"{today - dt.timedelta(days=days)}T00:00:00Z"
