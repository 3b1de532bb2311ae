"""Random faults on random streams, from a seed; a failed run is repeated with its state."""

from __future__ import annotations

import functools
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chaos import world
from chaos.scripted import AT_ONCE
from chaos.tap import (
    Tables,
    bookmark_complaints,
    difference,
    error_complaints,
    output_complaints,
    success_complaints,
)
from simulator.fault_plans import FaultPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 0.08
MOST_RUNS = 3
BOTH = True


@dataclass
class Outcome:
    """The result of one seed."""

    seed: int
    streams: list[str]
    runs: int = 0
    requests: int = 0
    injected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@functools.cache
def undisturbed() -> Tables:
    """Return the correct rows of all streams."""
    tables = Tables()
    with world.simulator() as served:
        run = world.read(served, world.streams(both=BOTH), both=BOTH)
    if wrong := [*output_complaints(run), *success_complaints(run)]:
        msg = f"the undisturbed run failed: {wrong}"
        raise RuntimeError(msg)
    tables.load(run.messages)
    return tables


def one(seed: int) -> Outcome:
    """Read some streams with the faults of a seed, and repeat until a run succeeds."""
    rng = random.Random(seed)  # noqa: S311
    names = [name for name in world.streams(both=BOTH) if name != "report_buckets"]
    selected = sorted([*rng.sample(names, rng.randint(2, 5)), "report_buckets"])
    plan = FaultPlan(seed, RATE, permanent_at=rng.randrange(30) if rng.random() < 0.5 else None)  # noqa: PLR2004
    outcome = Outcome(seed, selected)
    right, tables = undisturbed().only(selected), Tables()
    with world.simulator() as served:
        served.plan = plan
        while outcome.runs < MOST_RUNS:
            had_ended_a_run = plan.has_ended_a_run
            run = world.read(served, selected, tables.state or None, both=BOTH)
            outcome.runs += 1
            tables.load(run.messages)
            found = output_complaints(run)
            given = plan.has_ended_a_run and not had_ended_a_run
            if plan.permanent and given and not (plan.permanent[0].may_recover and run.code == 0):
                found += error_complaints(run, plan.permanent[0], selected)
            else:
                found += success_complaints(run)
            found += bookmark_complaints(tables, right)
            outcome.complaints += [f"run {outcome.runs}: {text}" for text in found]
            if run.code == 0:
                break
        outcome.requests = len(served.seen)
    outcome.injected = plan.injected
    outcome.complaints += difference(tables, right)
    return outcome


def randomly(seed: int, runs: int) -> Iterator[Outcome]:
    """Run ``runs`` seeds, starting with ``seed``."""
    undisturbed()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(one, range(seed, seed + runs))
