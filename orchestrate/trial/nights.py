"""One run of the DAG: what it did for each organization, and what is wrong with it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from orchestrate.trial.airflow import Airflow
    from orchestrate.trial.customers import Customer

DAG = "claude"
CPU = re.compile(r"([\d.]+) seconds of CPU")
REPORT = "/v1/organizations/analytics/cost"
"""Read from all organizations, and from the bookmark less 30 days."""


@dataclass(frozen=True)
class Load:
    """What a run did for one customer."""

    customer: Customer
    state: str
    """Of the task."""
    tries: int
    rows: int
    """In all tables of the schema."""
    requests: int
    read_from: str
    """Start of the range that was read."""
    seconds: float
    """Of the last try."""
    cpu_seconds: float
    log: str
    """Of the last try."""
    span: tuple[str, str]
    """Start and end of the last try, as text that can be compared."""
    exact: bool
    """Whether all sums are those of the simulator."""


@dataclass(frozen=True)
class Night:
    """A run of the DAG."""

    state: str
    seconds: float
    after: str
    """State of the task that follows the loads."""
    loads: list[Load]

    @property
    def side_by_side(self) -> int:
        """Return how many loads ran at the same time, at most."""
        spans = [load.span for load in self.loads if load.span[1]]
        return max(
            (sum(begin <= moment < end for begin, end in spans) for moment, _ in spans), default=0
        )


def run_night(
    airflow: Airflow, customers: Sequence[Customer], database: psycopg.Connection
) -> Night:
    """Run the DAG, and measure."""
    before = [len(customer.simulator.seen) for customer in customers]
    started = time.monotonic()
    state, tasks = airflow.run(DAG)
    seconds = time.monotonic() - started
    loads = {task["rendered_map_index"]: task for task in tasks if task["task_id"] == "load"}
    (after,) = (task["state"] for task in tasks if task["task_id"] == "after_loads")
    return Night(
        state,
        seconds,
        after,
        [
            _load(customer, loads.get(customer.name, {}), count, airflow, database)
            for customer, count in zip(customers, before, strict=True)
        ],
    )


def _load(
    customer: Customer,
    task: dict[str, Any],
    count: int,
    airflow: Airflow,
    database: psycopg.Connection,
) -> Load:
    seen = customer.simulator.seen[count:]
    starts = [each.values("starting_at")[0] for each in seen if each.path == REPORT]
    log = airflow.log(task) if task else ""
    cpu = CPU.search(log)
    return Load(
        customer,
        state=task.get("state") or "missing",
        tries=task.get("try_number") or 0,
        rows=customer.rows(database),
        requests=len(seen),
        read_from=min(starts, default=""),
        seconds=task.get("duration") or 0,
        cpu_seconds=float(cpu[1]) if cpu else 0,
        log=log,
        span=(task.get("start_date") or "", task.get("end_date") or ""),
        exact=customer.loaded(database) == customer.expected(),
    )


def table(night: Night) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "organization       rows  requests  seconds  CPU s  tries  state    sums"
    for load in night.loads:
        yield (
            f"{load.customer.name:12}{load.rows:11,}{load.requests:10,}{load.seconds:9.1f}"
            f"{load.cpu_seconds:7.1f}{load.tries:7}  {load.state:9}"
            f"{'exact' if load.exact else 'differ'}"
        )
    yield (
        f"The run: {night.state}, {night.seconds:.0f} s,"
        f" up to {night.side_by_side} loads at a time. The task after the loads: {night.after}."
    )


def problems(night: Night, *, at_a_time: int, failing: Sequence[Customer]) -> Iterator[str]:
    """Yield what is not as it should be."""
    if night.state != ("failed" if failing else "success"):
        yield f"the run is {night.state}"
    if night.after != "success":
        yield f"the task after the loads is {night.after}"
    if night.side_by_side != at_a_time:
        yield f"{night.side_by_side} loads ran at a time, not {at_a_time}"
    for load in night.loads:
        name = load.customer.name
        if load.customer in failing:
            if load.state != "failed" or load.rows:
                yield f"{name}: {load.state} with {load.rows} rows; it should have failed"
            if not reason(load):
                yield f"{name}: the log of the task does not say why it failed"
        elif load.state != "success" or not load.exact:
            yield f"{name}: {load.state}; sums: {load.customer.expected()}"


def not_incremental(first: Night, second: Night) -> Iterator[str]:
    """Yield the customers that the second run has read from the start again."""
    for before, after in zip(first.loads, second.loads, strict=True):
        if before.exact and (
            after.read_from <= before.read_from or 2 * after.requests > before.requests
        ):
            yield (
                f"{after.customer.name}: not incremental: {after.requests} requests after"
                f" {before.requests}, from {after.read_from}"
            )


def reason(load: Load) -> str:
    """Return the line of the log with the reason of a failure."""
    lines = [line for line in load.log.splitlines() if "LoadError" in line or "HTTP 401" in line]
    return next((line for line in reversed(lines) if "HTTP 401" in line), "")
