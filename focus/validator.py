"""Run focus-validator, and read what it prints: it exits with 0 even if rules fail."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

VERSION = "1.2"
"""Version of FOCUS that the validator has rules for."""

CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "REGION_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
)
"""What holds for Claude. Rules that depend on anything else do not apply."""

EXCEPTIONS: Mapping[str, str] = {
    "InvoiceId-C-005-C": "no API says which invoice a charge is on, so InvoiceId is null; "
    "the rule fails on every null, and its counterpart, InvoiceId-C-004-C, passes",
}
"""Rules that may fail, with the reason. At most two."""

_TOTALS = re.compile(
    r"^Total: (\d+) \| Pass: (\d+) \| Fail: (\d+) \| Skipped: (\d+)$", re.MULTILINE
)
_RULE = re.compile(r"^\S+ ([\w-]+): (PASS|FAIL|SKIPPED)\b(.*)$", re.MULTILINE)
_FAILURE = re.compile(r"^- ([\w-]+): (.*)$", re.MULTILINE)


class ValidatorError(Exception):
    """The validator did not run to its end, or printed something else than results."""


@dataclass(frozen=True)
class Results:
    """How many rules passed and were skipped, and which failed."""

    passed: int
    failed: Mapping[str, str]
    """Rule, and what the validator says about it."""
    skipped: int

    @property
    def unexpected(self) -> dict[str, str]:
        """The failures that are not exceptions."""
        return {rule: text for rule, text in self.failed.items() if rule not in EXCEPTIONS}


def validate(environment: Path, data: Path) -> Results:
    """Check a Parquet or CSV file with the validator that is installed in a virtual environment.

    Raises:
        ValidatorError: There are no results, or they contradict each other.
    """
    # It opens a file with a path that is relative to its folder.
    (folder,) = environment.glob("lib/python*/site-packages")
    command = [
        str(environment.absolute() / "bin" / "focus-validator"),
        f"--data-file={data.absolute()}",
        f"--validate-version={VERSION}",
        f"--applicability-criteria={','.join(CRITERIA)}",
        "--block-download",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        msg = f"focus-validator exited with {done.returncode}: {lines[-1]}"
        raise ValidatorError(msg)
    return parse(done.stdout)


def parse(output: str) -> Results:
    """Return the results that the validator has printed: totals, a line per rule, and failures.

    Raises:
        ValidatorError: There are no results, or they contradict each other.
    """
    totals = _TOTALS.search(output)
    if not totals:
        msg = "focus-validator printed no totals"
        raise ValidatorError(msg)
    total, passed, failed, skipped = map(int, totals.groups())
    results, _, texts = output[totals.end() :].partition("\n--- Failures ---\n")
    rules = {rule: status for rule, status, _ in _RULE.findall(results)}
    counted = Counter(rules.values())
    if (
        total != passed + failed + skipped
        or len(rules) != total
        or (counted["PASS"], counted["FAIL"], counted["SKIPPED"]) != (passed, failed, skipped)
    ):
        msg = f"focus-validator's totals are not those of its rules: {totals.group()}"
        raise ValidatorError(msg)
    if not passed:
        msg = "focus-validator passed no rule"
        raise ValidatorError(msg)
    said = dict(_FAILURE.findall(texts))
    failures = {rule: said.get(rule, "") for rule, status in rules.items() if status == "FAIL"}
    return Results(passed, failures, skipped)


def summary(results: Results) -> Iterable[str]:
    """Yield the lines of a report."""
    yield (
        f"FOCUS {VERSION}: {results.passed} rules passed, {len(results.failed)} failed, "
        f"{results.skipped} skipped (not applicable, optional, or not checkable by a program)."
    )
    for rule, text in sorted(results.failed.items()):
        if rule in EXCEPTIONS:
            yield f"  expected: {rule}: {EXCEPTIONS[rule]}"
        else:
            yield f"  FAILED: {rule}: {text}"
    for rule in sorted(EXCEPTIONS.keys() - results.failed.keys()):
        yield f"  {rule} passes now: it is no longer an exception"
