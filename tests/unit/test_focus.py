"""What ``make focus`` reads from focus-validator, which exits with 0 whatever it finds."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest

from demo.meltano import ROOT
from focus.validator import CRITERIA, EXCEPTIONS, ValidatorError, parse, summary, validate
from tests.each import each

if TYPE_CHECKING:
    from pathlib import Path

# Printed by focus-validator 2.2.1, with fewer rules.
OUTPUT = """
=== Validation Results ===
Total: 6 | Pass: 2 | Fail: 2 | Skipped: 2
⏭️ BilledCost-C-004-M: SKIPPED  (violations=0, reason=not yet implemented, msg=not implemented)
⏭️ AvailabilityZone-C-001-M: SKIPPED  (violations=0, reason=rule not applicable, 1.5ms)
✅ BilledCost-C-001-M: PASS  (violations=0, 3.1ms)
✅ BilledCost-C-003-M: PASS  (violations=0, 2.8ms)
❌ InvoiceId-C-005-C: FAIL  (violations=3, msg=InvoiceId MUST NOT be NULL., 1.1ms)
❌ PricingQuantity-C-001-M: FAIL  (violations=2, msg=PricingQuantity MUST be of type DECIMAL, 2.0ms)

--- Failures ---
- InvoiceId-C-005-C: violations=3; InvoiceId MUST NOT be NULL.
  MustSatisfy: InvoiceId MUST NOT be null when the charge is associated with an invoice.
- PricingQuantity-C-001-M: violations=2; PricingQuantity MUST be of type DECIMAL, DOUBLE, or FLOAT.
  MustSatisfy: PricingQuantity MUST be of type Decimal.
"""


def test_failures_are_noticed_and_only_exceptions_are_expected() -> None:
    results = parse(OUTPUT)
    assert (results.passed, len(results.failed), results.skipped) == (2, 2, 2)
    text = "violations=2; PricingQuantity MUST be of type DECIMAL, DOUBLE, or FLOAT."
    assert results.unexpected == {"PricingQuantity-C-001-M": text}
    first, *others = summary(results)
    assert "2 rules passed, 2 failed, 2 skipped" in first
    assert others == [
        f"  expected: InvoiceId-C-005-C: {EXCEPTIONS['InvoiceId-C-005-C']}",
        f"  FAILED: PricingQuantity-C-001-M: {text}",
    ]


def test_a_failure_without_a_text_is_a_failure() -> None:
    assert "PricingQuantity-C-001-M" in parse(OUTPUT.partition("--- Failures ---")[0]).unexpected


def test_an_exception_that_passes_is_named() -> None:
    passes = OUTPUT.replace("❌ InvoiceId-C-005-C: FAIL", "✅ InvoiceId-C-005-C: PASS")
    results = parse(passes.replace("Pass: 2 | Fail: 2", "Pass: 3 | Fail: 1"))
    assert "  InvoiceId-C-005-C passes now: it is no longer an exception" in summary(results)


def test_the_exceptions_are_at_most_two_and_the_page_has_them() -> None:
    assert len(EXCEPTIONS) <= 2
    page = (ROOT / "docs" / "focus.md").read_text()
    listed = re.findall(r"^\| `([\w-]+-\d+-\w)` \| .{40,} \|$", page, re.MULTILINE)
    assert set(listed) == set(EXCEPTIONS)


@each(
    ("found", "replacement", "message"),
    [
        ("Total: 6", "In total: 6", "no totals"),
        ("Fail: 2", "Fail: 0", "totals are not those of its rules"),
        ("Pass: 2 | Fail: 2", "Pass: 4 | Fail: 0", "totals are not those of its rules"),
        ("❌ PricingQuantity-C-001-M: FAIL", "PricingQuantity", "totals are not those"),
        ("PASS", "SKIPPED", "totals are not those"),
    ],
)
def test_results_that_contradict_each_other_are_refused(
    found: str, replacement: str, message: str
) -> None:
    assert found in OUTPUT
    with pytest.raises(ValidatorError, match=message):
        parse(OUTPUT.replace(found, replacement))


def test_a_run_that_checks_nothing_is_refused() -> None:
    with pytest.raises(ValidatorError, match="passed no rule"):
        parse("Total: 0 | Pass: 0 | Fail: 0 | Skipped: 0\n")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a virtual environment with a program in the validator's place."""
    (tmp_path / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    program = tmp_path / "bin" / "focus-validator"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$PWD" "$@" > {tmp_path}/called\ncat {tmp_path}/output\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "output").write_text(OUTPUT, "utf-8")
    return tmp_path


def test_the_validator_runs_in_its_own_folder_and_downloads_nothing(environment: Path) -> None:
    assert validate(environment, environment / "focus.parquet").passed == 2
    folder, *options = (environment / "called").read_text().split()
    assert folder == str(environment / "lib" / "python3.12" / "site-packages")
    assert f"--data-file={environment / 'focus.parquet'}" in options
    assert "--block-download" in options
    # Without criteria, it skips most rules.
    assert f"--applicability-criteria={','.join(CRITERIA)}" in options


def test_a_validator_that_breaks_is_an_error_with_its_last_line(environment: Path) -> None:
    program = environment / "bin" / "focus-validator"
    program.write_text("#!/bin/sh\necho Traceback >&2\necho 'ValueError: no column' >&2\nexit 1\n")
    with pytest.raises(ValidatorError, match="exited with 1: ValueError: no column"):
        validate(environment, environment / "focus.parquet")
