"""The command ``claude-report``: options, errors, progress, the file."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click

from claude_report.errors import ReportError

PRECISION = 76
"""Digits of sums: more than two of the longest amounts of a database have."""


def month_of(text: str | None) -> dt.date | None:
    """Return the first day of a month like 2026-09."""
    if text is None:
        return None
    try:
        return dt.datetime.strptime(f"{text}-01", "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        msg = f"--month {text}: write a month like 2026-09"
        raise ReportError(msg) from None


class Progress:
    """Says on standard error what is being done, once a second has passed."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def __call__(self, what: str) -> None:
        """Say what is done, or what comes next."""
        if (seconds := time.monotonic() - self._started) >= 1:
            click.echo(f"{seconds:4.0f} s  {what}", err=True)


def write(path: Path, text: str) -> None:
    """Write a file in one step: it is there with all of its content, or as it was before.

    Raises:
        ReportError: the file cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        msg = f"--out {path}: {error.strerror}"
        raise ReportError(msg) from None


@click.command(context_settings={"auto_envvar_prefix": "CLAUDE_REPORT"})
@click.option("--database", required=True, metavar="URL", help="SQLAlchemy URL of the database.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write."
)
@click.option("--schema", default="claude_marts", show_default=True, help="Schema of the marts.")
@click.option("--month", metavar="YYYY-MM", help="Month, UTC. Default: the newest one.")
@click.option("--organization", metavar="ID", help="Only this organization. Default: all.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--title", default="Claude spend", show_default=True, help="Title of the page.")
def command(  # one argument per option
    database: str,
    out: Path,
    schema: str,
    month: str | None,
    organization: str | None,
    title: str,
    *,
    quiet: bool,
) -> None:
    """Write the spend report of a month as one HTML file, from the marts of the dbt package.

    Each option can also be set by an environment variable: CLAUDE_REPORT_DATABASE, and so on.
    """
    try:
        with decimal.localcontext(prec=PRECISION):
            try:
                from claude_report.report import make  # noqa: PLC0415  # the extra may be missing
            except ModuleNotFoundError as error:
                msg = f"{error.name} is not installed: pip install 'tap-claude[report]'"
                raise ReportError(msg) from None
            text = make(
                database,
                schema=schema,
                month=month_of(month),
                organization=organization,
                title=title,
                progress=(lambda _: None) if quiet else Progress(),
            )
            write(out, text)
    except ReportError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    if not quiet:
        click.echo(f"Wrote {out} ({len(text.encode()) / 1000:,.0f} kB)", err=True)


def main() -> None:
    """Run the command. Empty environment variables count as not set."""
    for name in [it for it in os.environ if it.startswith("CLAUDE_REPORT_")]:
        if not os.environ[name]:
            del os.environ[name]
    command()
