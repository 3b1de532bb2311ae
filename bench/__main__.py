"""``python -m bench``: compare the tap with the floor and three peers, on the same pages.

Their runs alternate, so that a change in the machine's speed affects all of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contestants import ALL, DEFAULT_PAGES, FLOOR, PEERS, PLAIN, TAP
from bench.measure import Cost, Result, measure, run
from bench.workloads import Workload, small, workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.contestants import Contestant

LATENCY = 0.2
RATIOS = Path(__file__).with_name("ratios.json")
STARTUPS = {
    "import singer_sdk": ["-c", "import singer_sdk"],
    "tap-claude --version": ["-m", "tap_claude", "--version"],
    "tap-claude --discover": ["-m", "tap_claude", "--discover"],
}
HEAD = (
    f"{'':14}{'':9}{'rows per':>11}{'':8}{'CPU':>8}{'plain':>8}{'start':>8}{'us CPU':>10}"
    f"{'wall s':>8}{'wall s':>8}{'':10}{'peak':>7}{'written':>9}\n"
    f"{'':14}{'rows':>9}{'CPU second':>11}{'spread':>8}{'/ floor':>8}{'/ CPU':>8}{'CPU s':>8}"
    f"{'a row':>10}{'0 ms':>8}{'200 ms':>8}{'requests':>10}{'MB':>7}{'MB':>9}"
)


@dataclasses.dataclass
class Runs:
    """All measurements of a contestant on a workload."""

    contestant: Contestant
    workload: Workload
    """The part of the workload that it read."""
    results: list[Result] = dataclasses.field(default_factory=list)
    first_buckets: list[Result] = dataclasses.field(default_factory=list)
    """Runs over the last bucket only: mostly the startup."""
    late: Result | None = None
    """The run with latency."""

    @property
    def cpu_per_row(self) -> list[float]:
        """Microseconds per row in each run, including the startup."""
        return [result.cost.cpu / result.rows * 1e6 for result in self.results]

    @property
    def cpu_per_more_row(self) -> float:
        """Microseconds per row beyond the first bucket, from the best runs."""
        most, least = (
            min(result.cost.cpu for result in runs) for runs in (self.results, self.first_buckets)
        )
        rows = self.results[0].rows - self.first_buckets[0].rows
        return (most - least) / rows * 1e6

    def median(self, value: Callable[[Result], float]) -> float:
        """Return the median of one figure."""
        return _median(map(value, self.results))


def main() -> None:
    """Measure, and print the tables."""
    args = _arguments()
    chosen = workloads(dt.datetime.now(dt.UTC))
    chosen = [workload for workload in chosen if args.workload in {None, workload.name}]
    if args.small:
        chosen = list(map(small, chosen))
    chosen = [workload.times(args.times) for workload in chosen]
    contestants = [it for it in ALL if not args.only or it.name in args.only]
    if args.small and not args.only:
        contestants = [it for it in contestants if it in {FLOOR, TAP, PLAIN}]
    for missing in (it for it in contestants if not it.is_installed):
        sys.exit(f"{missing.name} is not installed: run `make bench`")
    report: dict[str, Any] = {"workloads": {}}
    PEERS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PEERS) as name:
        bench = Bench(contestants, Path(name), args.repeat, whole=not args.small and not args.only)
        if bench.whole:
            report["startup"] = bench.startups()
        for workload in chosen:
            report["workloads"][workload.name] = bench.compare(workload)
    if args.record:
        ratios = {name: figures["ratios"] for name, figures in report["workloads"].items()}
        known = json.loads(RATIOS.read_text()) if RATIOS.exists() else {}
        RATIOS.write_text(json.dumps({**known, **ratios}, indent=2) + "\n")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


@dataclasses.dataclass
class Bench:
    """Alternating runs, each in its own directory."""

    contestants: Sequence[Contestant]
    directory: Path
    repeat: int
    whole: bool
    """Whether to measure latency, page sizes and startup, too."""

    def compare(self, workload: Workload) -> dict[str, Any]:
        """Run all contestants alternately; print and return the results."""
        everyone = [Runs(it, _share(it, workload)) for it in self.contestants]
        for _ in range(self.repeat):
            for it in everyone:
                it.results.append(self._run(it.contestant, it.workload))
                it.first_buckets.append(self._run(it.contestant, it.workload.last(1)))
        defaults = {}
        if self.whole:
            for it in everyone:
                it.late = self._run(it.contestant, it.workload, LATENCY)
            if workload.name == "daily":
                defaults = {it.name: self._run(it, workload).requests for it in DEFAULT_PAGES}
        ratios = _ratios({it.contestant.name: it for it in everyone})
        _print_table(workload, everyone)
        print("  ".join(f"{name}: {ratio}" for name, ratio in ratios.items()))
        for it in everyone:
            if it.late and it.contestant == TAP:
                waited = it.late.requests * LATENCY
                start = min(result.cost.wall for result in it.first_buckets)
                print(
                    f"at 200 ms: {it.late.cost.wall:.1f} s, of which the start takes {start:.1f} s"
                    f" and the requests wait {waited:.1f} s; without the start"
                    f" {(it.late.cost.wall - start) / waited:.2f} times the waiting"
                )
        if defaults:
            counts = ", ".join(f"{name} {count}" for name, count in defaults.items())
            print(f"requests with the API's default page size: {counts}")
        print(flush=True)
        return {
            "ratios": ratios,
            "requests_with_default_pages": defaults,
            "contestants": {it.contestant.name: _figures(it) for it in everyone},
        }

    def _run(self, contestant: Contestant, workload: Workload, latency: float = 0) -> Result:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{workload.name}: {contestant.name} ...\033[K\r")
        result = run(contestant, workload, self.directory / "run", latency)
        if sys.stderr.isatty():
            sys.stderr.write("\033[K")
        return result

    def startups(self) -> dict[str, Any]:
        """Measure the startup time."""
        costs: dict[str, list[Cost]] = {name: [] for name in STARTUPS}
        for _ in range(max(5, self.repeat)):
            for name, arguments in STARTUPS.items():
                command = [sys.executable, *arguments]
                files = (self.directory / name for name in ("stdout", "stderr"))
                costs[name].append(measure(command, *files))
        print(f"{'start':26}{'CPU s':>7}{'wall s':>8}{'CPU / import':>14}")
        figures = {}
        for name, measured in costs.items():
            cpu, wall = (_median(getattr(it, part) for it in measured) for part in ("cpu", "wall"))
            figures[name] = {"cpu": cpu, "wall": wall}
            ratio = cpu / figures["import singer_sdk"]["cpu"]
            print(f"{name:26}{cpu:7.2f}{wall:8.2f}{ratio:14.2f}")
        print(flush=True)
        return figures


def _share(contestant: Contestant, workload: Workload) -> Workload:
    """Return the part of a workload that a contestant reads."""
    if contestant.slow and workload.slow_buckets:
        return workload.last(workload.slow_buckets)
    return workload


def _ratios(runs: dict[str, Runs]) -> dict[str, float]:
    """Return the ratios of the tap, without startup; higher is better."""
    if TAP.name not in runs:
        return {}
    tap = runs[TAP.name].cpu_per_more_row
    ratios = {}
    if FLOOR.name in runs:
        ratios["share of the floor's speed"] = round(runs[FLOOR.name].cpu_per_more_row / tap, 2)
    if PLAIN.name in runs:
        fast = runs[PLAIN.name].cpu_per_more_row / tap
        ratios["times as fast as the plain tap"] = round(fast, 2)
    return ratios


def _print_table(workload: Workload, everyone: Sequence[Runs]) -> None:
    start, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in (workload.start, workload.end))
    print(
        f"{workload.name}: {workload.stream}, {start} to {end} by {workload.width},"
        f" {workload.rows_per_bucket} rows a bucket; {len(everyone[0].results)} runs each"
    )
    names = {it.contestant.name: it for it in everyone}
    floor, plain = names.get(FLOOR.name), names.get(PLAIN.name)
    print(HEAD)
    for it in everyone:
        cpu = _median(it.cpu_per_row)
        late = f"{it.late.cost.wall:.1f}" if it.late else "-"
        print(
            f"{it.contestant.name:14}{it.results[0].rows:9,}{1e6 / cpu:11,.0f}"
            f"{_spread(it.cpu_per_row):>8}{_ratio(cpu, floor):>8}{_ratio(plain, cpu):>8}"
            f"{_median(r.cost.cpu for r in it.first_buckets):8.2f}{it.cpu_per_more_row:10.1f}"
            f"{it.median(lambda r: r.cost.wall):8.1f}{late:>8}{it.results[0].requests:10,}"
            f"{it.median(lambda r: r.cost.peak):7.0f}{it.results[0].written / 1e6:9.1f}"
        )


def _ratio(above: float | Runs | None, below: float | Runs | None) -> str:
    """Divide CPU times per row, if both were measured."""
    figures = [_median(it.cpu_per_row) if isinstance(it, Runs) else it for it in (above, below)]
    return "-" if figures[0] is None or figures[1] is None else f"{figures[0] / figures[1]:.2f}"


def _spread(values: Sequence[float]) -> str:
    """Return the spread of the runs, as a percentage of the median."""
    return f"{(max(values) - min(values)) / _median(values):.0%}"


def _figures(it: Runs) -> dict[str, Any]:
    return {
        "rows": it.results[0].rows,
        "requests": it.results[0].requests,
        "written": it.results[0].written,
        "largest_page": it.results[0].largest,
        "cpu_us_per_row": it.cpu_per_row,
        "cpu_us_per_more_row": it.cpu_per_more_row,
        "start_cpu": [result.cost.cpu for result in it.first_buckets],
        "wall": [result.cost.wall for result in it.results],
        "wall_with_latency": it.late and it.late.cost.wall,
        "peak_mb": [result.cost.peak for result in it.results],
    }


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs per contestant (3)")
    parser.add_argument("--small", action="store_true", help="small workloads, without the peers")
    parser.add_argument("--workload", choices=("daily", "hourly", "minutes", "cost"))
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="run this contestant only; repeatable"
    )
    parser.add_argument("--times", type=int, default=1, help="factor for the groups per bucket (1)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument(
        "--record", action="store_true", help="store the ratios for the tests; requires --small"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
