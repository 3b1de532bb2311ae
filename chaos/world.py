"""The organization of all runs: a few days, small pages, and a fixed time."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import json
from typing import TYPE_CHECKING, Any

from chaos.tap import Run, run_tap
from simulator.facts import Facts
from simulator.server import (
    ADMIN_KEY,
    ANALYTICS_KEY,
    COMPLIANCE_KEY,
    PERSONAL_KEY,
    PREFIX,
    Simulator,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DAYS = 5
PATIENCE = 5
"""Seconds that the tap waits for a response."""

# A recent time, because the API's data go back 365 days from the real time only.
_BASE, _STEP = dt.datetime(2026, 3, 20, 13, 37, 42, tzinfo=dt.UTC), dt.timedelta(weeks=26)
NOW = _BASE + _STEP * ((dt.datetime.now(dt.UTC) - _BASE) // _STEP)
FIRST_DAY = NOW.date() - dt.timedelta(days=DAYS - 1)

PAGE_SIZES = {
    "usage_report/messages": 2,
    "cost_report": 2,
    "analytics/cost": 40,
    "analytics/users": 2,
    "usage_report/claude_code": 8,
    "/v1/sessions": 2,
}
PAGE_SIZE = 20
HOURS = 24
"""Page size of a report with hourly buckets."""


class SmallPages(Simulator):
    """A simulator that ignores the requested page size and returns many small pages."""

    def respond(
        self, path: str, pairs: list[tuple[str, str]], headers: dict[str, str]
    ) -> dict[str, Any]:
        """Return a small page."""
        endpoint = path.removeprefix(PREFIX)
        hourly = ("bucket_width", "1h") in pairs
        most = HOURS if hourly else PAGE_SIZES.get(endpoint, PAGE_SIZE)
        small = [
            (name, str(min(most, int(value))) if name == "limit" else value)
            for name, value in pairs
        ]
        return super().respond(path, small, headers)


def simulator(**options: Any) -> SmallPages:
    """Return a simulator; all simulators have the same history."""
    return SmallPages(
        _facts(enterprise=False), now=NOW, enterprise=_facts(enterprise=True), **options
    )


@functools.cache
def _facts(*, enterprise: bool) -> Facts:
    return Facts(
        seed=8 if enterprise else 7,
        first_day=FIRST_DAY,
        today=NOW.date(),
        breadth=12,
        enterprise=enterprise,
    )


def config(url: str, *, both: bool) -> dict[str, Any]:
    """Return settings, without a lookback, so that rows are lost if a bookmark is too far."""
    keys = {"admin_api_key": ADMIN_KEY, "workspace_api_key": PERSONAL_KEY}
    if both:
        keys |= {"analytics_api_key": ANALYTICS_KEY, "compliance_api_key": COMPLIANCE_KEY}
    return {
        **keys,
        "agent_workspace_ids": _facts(enterprise=False).organization.workspaces,
        "base_url": url,
        "legacy_reports": True,
        "start_date": FIRST_DAY.isoformat(),
        "end_date": NOW.isoformat(),
        "lookback_days": 0,
        "requests_per_minute": 0,
        "request_timeout": PATIENCE,
    }


@functools.cache
def _discovered(*, both: bool) -> Any:
    run = run_tap(config("http://127.0.0.1:9", both=both), None, None, "--discover")
    if run.code:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout)


def streams(*, both: bool) -> list[str]:
    """Return the names of the streams that the keys can read."""
    return [entry["stream"] for entry in _discovered(both=both)["streams"]]


def catalog(selected: Collection[str], *, both: bool) -> dict[str, Any]:
    """Return a catalogue with some streams selected."""
    found: dict[str, Any] = copy.deepcopy(_discovered(both=both))
    for entry in found["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["stream"] in selected
    return found


def read(
    served: Simulator,
    selected: Collection[str],
    state: dict[str, Any] | None = None,
    *,
    both: bool = False,
    deadline: float = 60,
    more: Mapping[str, Any] | None = None,
    is_impatient: bool = False,
) -> Run:
    """Run the tap against a simulator, with ``more`` settings."""
    settings = {**config(served.url, both=both), **(more or {})}
    chosen = catalog(selected, both=both)
    return run_tap(settings, chosen, state, deadline=deadline, is_impatient=is_impatient)
