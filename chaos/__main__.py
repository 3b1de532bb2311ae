"""``python -m chaos``: run the tap against each fault of the simulator, and random faults."""

from __future__ import annotations

import argparse
import sys
import time

from chaos.randomly import randomly
from chaos.scripted import scripted
from chaos.tap import table


def main() -> int:
    """Run both parts; return 1 if there are complaints."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="random runs (200)")
    parser.add_argument(
        "--seed", type=int, help="seed of the first random run; skips the scripted part"
    )
    parser.add_argument("--short", action="store_true", help="each fault once, no random runs")
    args = parser.parse_args()
    complaints = []
    if args.seed is None:
        started = time.monotonic()
        results = scripted(short=args.short)
        print(table(results))
        print(f"\n{sum(it.runs for it in results)} runs in {time.monotonic() - started:.0f} s.")
        complaints = [text for it in results for text in it.complaints]
    if not args.short:
        complaints += random_part(args.seed or 0, args.runs)
    for text in complaints:
        print(f"COMPLAINT {text}")
    return int(bool(complaints))


def random_part(seed: int, runs: int) -> list[str]:
    """Run with random faults, print one line, and return the complaints."""
    started = time.monotonic()
    outcomes = list(randomly(seed, runs))
    if runs == 1:
        (it,) = outcomes
        print(f"streams: {', '.join(it.streams)}", *it.injected, sep="\n  ")
    bad = [it for it in outcomes if it.complaints]
    print(
        f"Random, seeds {seed} to {seed + runs - 1}: {len(outcomes) - len(bad)} of {runs} survived"
        f" {sum(len(it.injected) for it in outcomes)} faults"
        f" in {sum(it.requests for it in outcomes)} requests and {sum(it.runs for it in outcomes)}"
        f" runs ({time.monotonic() - started:.0f} s)."
    )
    return [
        f"{text} (python -m chaos --seed {it.seed} --runs 1)"
        for it in bad
        for text in it.complaints
    ]


if __name__ == "__main__":
    sys.exit(main())
