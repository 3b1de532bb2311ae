"""``tap-claude-reconcile``: compare the tap's sums with the API's totals.

For each day of a range, it compares the sum of the tap's grouped rows with two other numbers of
the API: the total without grouping, and the other cost report. It queries the API only and writes
no Singer messages and no state.
"""

from __future__ import annotations

import datetime as dt
import functools
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from singer_sdk.exceptions import ConfigValidationError

from tap_claude.config import ReportSpec
from tap_claude.money import add_amounts
from tap_claude.report_kinds import BucketReport, RowReport
from tap_claude.streams import REPORTS
from tap_claude.tap import TapClaude, one_line_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

Days = dict[str, Decimal]


class Sums(NamedTuple):
    """The sums of a report, per day."""

    total: Days
    charged: Days
    """Without credits, which ``cost_report`` lists without a cost type."""
    open_days: frozenset[str]
    """Days that can still grow: printed, but not compared with the threshold."""


class Comparison(NamedTuple):
    """Two sources of the same number."""

    unit: str
    left: str
    right: str
    left_days: Days
    right_days: Days
    open_days: frozenset[str]

    def differences(self) -> Iterator[tuple[str, Decimal, Decimal]]:
        """Yield the days on which the two differ."""
        for day in sorted(self.left_days.keys() | self.right_days.keys()):
            left = self.left_days.get(day, Decimal(0))
            right = self.right_days.get(day, Decimal(0))
            if left != right:
                yield day, left, right


def compare(tap: TapClaude) -> Iterator[Comparison]:
    """Yield every comparison that the tap's credentials allow."""
    streams = {
        name: stream
        for name, stream in tap.streams.items()
        if name in REPORTS and isinstance(stream, (BucketReport, RowReport))
    }

    @functools.cache
    def sums(name: str, group_by: tuple[str, ...], organization_type: str) -> Sums:
        return add_up(tap, ReportSpec(name, name, group_by), organization_type)

    for name, stream in streams.items():
        unit = "USD" if "amount_usd" in stream.columns.names else "tokens"
        for kind in stream.organization_types:
            grouped, total = sums(name, stream.default_group_by, kind), sums(name, (), kind)
            yield Comparison(
                unit,
                f"{name} ({kind}), sum of rows",
                "the API's total",
                grouped.total,
                total.total,
                grouped.open_days | total.open_days,
            )
    if {"analytics_cost", "cost_report"} <= streams.keys():
        older = sums("cost_report", streams["cost_report"].default_group_by, "console")
        newer = sums("analytics_cost", (), "console")
        yield Comparison(
            "USD",
            "analytics_cost (console)",
            "cost_report without credits",
            newer.total,
            older.charged,
            newer.open_days | older.open_days,
        )


def add_up(tap: TapClaude, spec: ReportSpec, organization_type: str) -> Sums:
    """Read a report and return its exact sums per day."""
    stream = REPORTS[spec.base_stream](tap, run=tap.run, spec=spec)
    stream.forced_replication_method = "FULL_TABLE"  # neither reads nor writes a bookmark
    total: dict[str, str] = {}
    charged: dict[str, str] = {}
    open_days = set()
    for row in stream.get_records({"organization_type": organization_type}):
        day = row["starting_at"][:10]
        value = _value(row)
        total[day] = add_amounts(total.get(day, "0"), value)
        if row.get("cost_type"):
            charged[day] = add_amounts(charged.get(day, "0"), value)
        if not row["is_complete"]:
            open_days.add(day)
    return Sums(_decimals(total), _decimals(charged), frozenset(open_days))


def _value(row: dict[str, Any]) -> str:
    if "amount_usd" in row:
        return row["amount_usd"] or "0"
    if "total_tokens" in row:
        return str(row["total_tokens"] or 0)
    return str(sum(value or 0 for name, value in row.items() if name.endswith("_tokens")))


def _decimals(sums: dict[str, str]) -> Days:
    return {day: Decimal(text) for day, text in sums.items()}


def show(comparison: Comparison, threshold: Decimal) -> tuple[list[str], bool]:
    """Return the output lines of a comparison, and whether the numbers match."""
    days = comparison.left_days.keys() | comparison.right_days.keys()
    total = sum(comparison.left_days.values(), Decimal(0))
    head = f"{comparison.left} = {comparison.right}"
    differences = list(comparison.differences())
    lines = []
    matches = True
    for day, left, right in differences:
        limit = threshold if comparison.unit == "USD" else Decimal(0)
        is_open = day in comparison.open_days
        matches &= is_open or abs(left - right) <= limit
        note = "  (still open)" if is_open else ""
        lines.append(f"  {day}  {left:>20,f}  {right:>20,f}  {left - right:>+20,f}{note}")
    verdict = "ok" if matches else "DIFFERS"
    summary = (
        f"{total:,f} {comparison.unit}, {len(days)} days, {len(differences)} with a difference"
    )
    return [f"{verdict:8} {head}: {summary}", *lines], matches


@click.command(help=__doc__.partition("\n")[2])
@click.option("--config", "paths", multiple=True, help="Configuration file, or ENV.")
@click.option("--start-date", help="First day. Default: the setting, or 30 days ago.")
@click.option("--end-date", help="End, exclusive. Default: the setting, or today.")
@click.option(
    "--threshold",
    type=str,
    default="0.01",
    show_default=True,
    help="Largest difference per day, in USD, for exit code 0. Tokens must be equal.",
)
def main(
    paths: tuple[str, ...], start_date: str | None, end_date: str | None, threshold: str
) -> None:
    """Compare the numbers and print the result."""
    try:
        limit = Decimal(threshold)
    except ArithmeticError:
        msg = f"--threshold: {threshold!a:.40} is not a number of dollars"
        raise click.ClickException(msg) from None
    with one_line_errors(TapClaude.logger):
        given = TapClaude.cb_config(click.get_current_context(), click.Option(["--config"]), paths)
        config = given.config
        if start_date:
            config["start_date"] = start_date
        config["end_date"] = (
            end_date or config.get("end_date") or dt.datetime.now(dt.UTC).date().isoformat()
        )
        try:
            tap = TapClaude(config=config, parse_env_config=given.parse_env)
        except ConfigValidationError as error:
            raise click.ClickException("; ".join(error.errors)) from error
        matches = True
        for comparison in compare(tap):
            lines, equal = show(comparison, limit)
            matches &= equal
            click.echo("\n".join(lines))
        tap.report_failures()
        sys.exit(0 if matches else 1)
