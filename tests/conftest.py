"""Fixtures: simulated organizations and a way to run the tap as its users do."""

from __future__ import annotations

import datetime as dt
import json
import os
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

# How long an example takes says how busy the machine is.
effort.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
effort.load_profile("tests")

NOW = dt.datetime(2026, 3, 20, 13, 37, 42, tzinfo=dt.UTC)
"""The time at which the simulated clock stands, where a test does not say otherwise."""

# A time that is never long past: the API goes back 365 days from the real present.
_BASE, _STEP = dt.datetime(2026, 3, 20, 13, 37, 42, tzinfo=dt.UTC), dt.timedelta(weeks=26)
RECENT = _BASE + _STEP * ((dt.datetime.now(dt.UTC) - _BASE) // _STEP)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--snapshot",
        action="store_true",
        help="write tests/tap/catalog.json, and the results in docs/, instead of comparing",
    )


def simulated(
    days: int = 10,
    *,
    breadth: int = 24,
    seed: int = 7,
    shared_people: bool = False,
    **options: Any,
) -> Simulator:
    """Make a simulator with a history that ends at the real present, or at ``now``."""
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
    """Start simulators that stop with the test."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(simulated(*args, **options))


@dataclass
class Run:
    """What one run of the tap printed."""

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
        """The text of what was logged at ERROR."""
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
    """Return the same for a process whose speed or memory is measured: without coverage."""
    env = environment(**more)
    return {name: value for name, value in env.items() if not name.startswith("COVERAGE_PROCESS")}


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
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
        command = [*arguments]
        for option, content in (("config", config), ("state", state), ("catalog", catalog)):
            if content is not None:
                path = tmp_path / f"{option}.json"
                path.write_text(json.dumps(content))
                command += [f"--{option}", str(path)]
        done = forks.run(command, environment(**(env or {})), tmp_path)
        messages = [
            json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"type"')
        ]
        # What a failed assertion shows should be read by people.
        stderr = "\n".join(line for line in done.stderr.splitlines() if "METRIC: " not in line)
        return Run(done.returncode, messages, stderr, done.stdout, done.stderr)

    return run


def settings(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return a configuration for a simulator; where its clock stands, reading ends there too."""
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
    """Return midnight so many days before today."""
    today = (now or dt.datetime.now(dt.UTC)).date()
    return f"{today - dt.timedelta(days=days)}T00:00:00Z"
