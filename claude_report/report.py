"""From a database to the page."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import exc

from claude_report.chapters import chapters
from claude_report.errors import ReportError
from claude_report.figures import organization_names
from claude_report.layout import Chapter, Omitted, Page
from claude_report.marts import COLUMNS, Marts
from claude_report.overview import overview
from claude_report.page import render
from claude_report.values import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from claude_report.values import Organization

_ANY = dt.date(1970, 1, 1)
DRIVERS = {
    "bigquery": "sqlalchemy-bigquery",
    "duckdb": "duckdb-engine",
    "snowflake": "snowflake-sqlalchemy",
}
"""Packages with what SQLAlchemy does not have itself."""
BUILD = "build them with dbt build in transform/, or name their schema with --schema"


def make(  # what the command has as options
    database: str,
    *,
    schema: str,
    month: dt.date | None,
    organization: str | None,
    title: str,
    progress: Callable[[str], None],
) -> str:
    """Return the page of a month, of the newest one if it is None.

    Raises:
        ReportError: the database is not there, has no marts, or has no data of the month.
    """
    with connection(database) as opened:
        progress("Reading the marts")
        scope = find_scope(opened, schema, month, organization)
        marts = Marts(opened, scope)
        organizations = marts.organizations()
        newest = max(it.last_day for it in organizations)
        names = organization_names(organizations)
        first = overview(marts, organizations, names)
        found: list[Chapter | Omitted] = []
        for chapter in chapters(marts, names, is_newest=newest < scope.next_month):
            progress(chapter.title)
            found.append(chapter)
    return render(
        Page(
            title=title,
            month=scope.month,
            organizations=organizations,
            complete_until=_complete_until(organizations),
            overview=first,
            chapters=[it for it in found if isinstance(it, Chapter)],
            omitted=[it for it in found if isinstance(it, Omitted)],
        )
    )


def _complete_until(organizations: Sequence[Organization]) -> dt.datetime | None:
    times = [it.data_refreshed_at for it in organizations]
    return None if None in times else min(it for it in times if it)


@contextlib.contextmanager
def connection(database: str) -> Iterator[sa.Connection]:
    """Open a database for reading; errors of it become one line without the password.

    Raises:
        ReportError: it cannot be opened or read.
    """
    try:
        url = with_driver(sa.make_url(database))
    except exc.ArgumentError:
        msg = "--database: not a SQLAlchemy URL, like postgresql://user@host/name"
        raise ReportError(msg) from None
    name = f"--database {url.render_as_string(hide_password=True)}"
    options = {"read_only": True} if url.get_backend_name() == "duckdb" else {}
    try:
        engine = sa.create_engine(url, connect_args=options)
    except exc.NoSuchModuleError:
        package = DRIVERS.get(url.get_backend_name(), f"its driver for {url.drivername}")
        msg = f"{name}: no SQLAlchemy driver is installed: pip install {package}"
        raise ReportError(msg) from None
    except ModuleNotFoundError as error:
        msg = f"{name}: the driver is not installed: pip install {error.name}"
        raise ReportError(msg) from None
    try:
        with engine.connect() as opened:
            yield opened
    except exc.DBAPIError as error:
        lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        msg = f"{name}: {lines[0]}"
        if url.password:
            msg = msg.replace(str(url.password), "***")
        raise ReportError(msg) from None
    finally:
        engine.dispose()


def with_driver(url: sa.URL) -> sa.URL:
    """Name psycopg as the driver of PostgreSQL, unless the URL or the environment has psycopg2."""
    if url.drivername not in {"postgres", "postgresql"}:
        return url
    if importlib.util.find_spec("psycopg2"):
        return url.set(drivername="postgresql")
    return url.set(drivername="postgresql+psycopg")


def find_scope(
    opened: sa.Connection, schema: str, month: dt.date | None, organization: str | None
) -> Scope:
    """Return what the report is about.

    Raises:
        ReportError: there are no marts, or no data of the month or the organization.
    """
    inspector = sa.inspect(opened)
    missing = [name for name in COLUMNS if not inspector.has_table(name, schema=schema)]
    if missing:
        what = (
            "the marts are not there"
            if len(missing) == len(COLUMNS)
            else (f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        )
        msg = f"--schema {schema}: {what}; {BUILD}"
        raise ReportError(msg)
    anything = Marts(opened, Scope(schema, month or _ANY, organization))
    months = anything.loaded_months()
    if not months and organization is not None:
        known = [it.organization_id for it in Marts(opened, Scope(schema, _ANY)).organizations()]
        msg = f"--organization {organization}: not known; known are {', '.join(known) or 'none'}"
        raise ReportError(msg)
    if not months:
        msg = f"--schema {schema}: the marts are empty; load data with the tap, then run dbt build"
        raise ReportError(msg)
    if month is not None and month not in months:
        loaded = ", ".join(f"{it:%Y-%m}" for it in months[-12:])
        msg = f"--month {month:%Y-%m}: no data; loaded are {loaded}"
        raise ReportError(msg)
    return Scope(schema, month or months[-1], organization)
