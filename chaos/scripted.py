"""Each kind of fault on each kind of endpoint, one per run, on the endpoint's second request."""

from __future__ import annotations

import functools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from chaos import world
from chaos.tap import (
    Result,
    Tables,
    bookmark_complaints,
    difference,
    error_complaints,
    output_complaints,
    success_complaints,
)
from simulator.fault_plans import FixedWindow
from simulator.faults import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.server import Simulator

AT_ONCE = 2
"""Number of parallel runs."""
MOST_REFUSALS = 10


class Endpoint(NamedTuple):
    """A kind of endpoint, with an example."""

    stream: str
    path: str
    several_buckets: bool = False
    """Whether windows of the report can be split."""
    both: bool = False
    is_feed: bool = False
    """Whether each page moves the bookmark."""


ENDPOINTS = (
    Endpoint("messages_usage", "usage_report/messages", several_buckets=True),
    Endpoint("analytics_cost", "analytics/cost", several_buckets=True),
    Endpoint("claude_code_usage", "usage_report/claude_code"),
    Endpoint("analytics_users", "analytics/users", both=True),
    Endpoint("users", "organizations/users"),
    Endpoint("workspace_members", "/members"),
    Endpoint("agent_sessions", "/v1/sessions", is_feed=True),
    Endpoint("compliance_activities", "/activities", is_feed=True),
)
BYSTANDERS = ("invites", "rate_limits", "report_buckets", "workspaces")
"""Streams that are read in addition, before and after the endpoint's stream."""


Settings = tuple[tuple[str, Any], ...]


@functools.cache
def undisturbed(endpoint: Endpoint, settings: Settings = ()) -> tuple[Tables, int]:
    """Return the correct rows with some settings, and the number of requests."""
    with world.simulator() as served:
        run = world.read(
            served, (endpoint.stream, *BYSTANDERS), both=endpoint.both, more=dict(settings)
        )
    wrong = [*output_complaints(run), *success_complaints(run)]
    tables = Tables()
    tables.load(run.messages)
    if wrong or not tables.rows.get(endpoint.stream):
        msg = f"{endpoint.stream}: the undisturbed run failed: {wrong}"
        raise RuntimeError(msg)
    return tables, len(served.seen)


def disturbed(kind: Kind, endpoint: Endpoint) -> Result:
    """Run the tap with one kind of fault on one endpoint."""
    right, requests = undisturbed(endpoint, tuple(kind.settings.items()))
    read = functools.partial(
        world.read,
        selected=(endpoint.stream, *BYSTANDERS),
        both=endpoint.both,
        more=kind.settings,
        is_impatient=kind.outlasts,
    )
    is_permanent = kind.is_permanent and not (
        (kind.splits and endpoint.several_buckets) or (kind.resumes and endpoint.is_feed)
    )
    tables = Tables()
    with world.simulator() as served:
        fault = kind.fault(endpoint.path, after=1)
        served.faults.append(fault)
        run = read(served)
        tables.load(run.messages)
        is_permanent = is_permanent and not (kind.may_recover and run.code == 0)
        result = Result(kind.name, fault.hits, runs=1, requests=len(served.seen))
        complaints = output_complaints(run)
        if not fault.hits:
            complaints.append("the fault was not injected")
        if is_permanent:
            result.retries = _repeated(served)
            complaints += error_complaints(run, kind, [endpoint.stream])
            complaints += bookmark_complaints(tables, right)
            if not kind.ends_run:
                complaints += difference(tables.only(BYSTANDERS), right.only(BYSTANDERS))
            served.faults.clear()
            run = read(served, state=tables.state)
            tables.load(run.messages)
            complaints += [f"second run: {text}" for text in output_complaints(run)]
        else:
            result.retries = result.requests - requests
            if kind.may_recover and result.retries <= 0:
                complaints.append("the wrong response was accepted")
    complaints += success_complaints(run)
    if kind.replaces:
        tables, replaced = tables.without_replacements()
        complaints += [] if replaced else ["no text has U+FFFD in it"]
    complaints += difference(tables, right)
    result.survived = int(not complaints)
    result.ends["one error, then resumed" if is_permanent else "retried"] = 1
    result.complaints = [f"{kind.name}, {endpoint.stream}: {text}" for text in complaints]
    return result


def split_buckets(endpoint: Endpoint) -> Result:
    """Run the tap against a server that splits buckets across pages."""
    right, requests = undisturbed(endpoint)
    tables = Tables()
    with world.simulator(split_buckets=True) as served:
        run = world.read(served, (endpoint.stream, *BYSTANDERS))
        tables.load(run.messages)
    complaints = [*output_complaints(run), *success_complaints(run), *difference(tables, right)]
    name = "buckets that go on in the next page"
    return Result(
        name,
        injected=len(served.requests(endpoint.path)) - 1,
        runs=1,
        survived=int(not complaints),
        requests=len(served.seen),
        retries=len(served.seen) - requests,
        ends=Counter(["no error"]),
        complaints=[f"{name}: {text}" for text in complaints],
    )


def rate_limited(requests: int, seconds: float) -> Result:
    """Run the tap against a rate limit that does not report when it resets."""
    endpoint = ENDPOINTS[0]
    right, undisturbed_requests = undisturbed(endpoint)
    limit = FixedWindow(requests, seconds)
    tables = Tables()
    with world.simulator() as served:
        served.plan = limit
        run = world.read(served, (endpoint.stream, *BYSTANDERS), deadline=20 * seconds)
        tables.load(run.messages)
    complaints = [*output_complaints(run), *success_complaints(run), *difference(tables, right)]
    if max(limit.refused.values(), default=0) >= MOST_REFUSALS:
        complaints.append(f"rejected too often: {dict(limit.refused)}")
    name = f"rate limit of {requests} in {seconds:.0f} s that does not report its reset"
    return Result(
        name,
        injected=limit.refused.total(),
        runs=1,
        survived=int(not complaints),
        requests=len(served.seen),
        retries=len(served.seen) - undisturbed_requests,
        ends=Counter(["retried"]),
        complaints=[f"{name}: {text}" for text in complaints],
    )


def scripted(*, short: bool) -> list[Result]:
    """Run all kinds on all endpoints, or with ``short`` each kind on one endpoint."""
    results = {kind.name: Result(kind.name) for kind in KINDS}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(undisturbed, ENDPOINTS))
        limited = pool.submit(rate_limited, 5, 5 if short else 60)
        split = pool.submit(split_buckets, ENDPOINTS[0])
        for result in pool.map(lambda pair: disturbed(*pair), _pairs(short=short)):
            results[result.fault].add(result)
        return [*results.values(), limited.result(), split.result()]


def _pairs(*, short: bool) -> Iterator[tuple[Kind, Endpoint]]:
    """Yield each kind with its endpoints, or with ``short`` with one of them."""
    for number, kind in enumerate(KINDS):
        fitting = [endpoint for endpoint in ENDPOINTS if kind.fits(endpoint.path)]
        for endpoint in [fitting[number % len(fitting)]] if short else fitting:
            yield kind, endpoint


def _repeated(served: Simulator) -> int:
    """Count the repeated requests."""
    sent = Counter((seen.path, seen.query) for seen in served.seen)
    return sum(times - 1 for times in sent.values())
