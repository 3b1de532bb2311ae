"""``python -m demo``: from a simulated organization to marts of Claude spend and a page.

Data, bookmarks and logs are stored in ``.demo`` and plugins in ``.meltano``, so that a second run
continues where the first one ended.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import requests

from demo import report
from demo.meltano import DBT, PLUGINS, REPORT, ROOT, Meltano, MeltanoError
from demo.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTORY = ROOT / ".demo"
PAGE = DIRECTORY / "claude-report.html"
HISTORY = dt.timedelta(days=120)
ADMIN_KEY = "sk-ant-admin01-simulator"


def main() -> int:
    """Run the demo; return its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # exit, so that all processes are stopped
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    proxy_exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, [proxy_exceptions, "127.0.0.1"]))
    decimal.getcontext().prec = 60  # sums of money keep all digits
    DIRECTORY.mkdir(exist_ok=True)
    first_day = _first_day(DIRECTORY / "first_day")
    with simulator(first_day) as url, postgres(DIRECTORY / "postgres") as server:
        meltano = Meltano(
            DIRECTORY,
            {
                "TAP_CLAUDE_ADMIN_API_KEY": ADMIN_KEY,
                "TAP_CLAUDE_BASE_URL": url,
                "TAP_CLAUDE_START_DATE": first_day.isoformat(),
                "TAP_CLAUDE_REQUESTS_PER_MINUTE": "0",  # the limit is for the real API
                "TARGET_POSTGRES_SQLALCHEMY_URL": server.dsn,
                "DBT_TARGET": "postgres",
                "CLAUDE_DBT_HOST": server.host,
                "CLAUDE_DBT_PORT": str(server.port),
                "CLAUDE_DBT_USER": server.user,
                "CLAUDE_DBT_DBNAME": server.database,
                "CLAUDE_REPORT_DATABASE": server.dsn,
                "CLAUDE_REPORT_OUT": str(PAGE),
            },
            (*PLUGINS, DBT, REPORT),
        )
        with psycopg.connect(server.dsn, autocommit=True, options="-c timezone=UTC") as database:
            try:
                return demonstrate(database, meltano, url, first_day)
            except MeltanoError as error:
                print(error)
                return 1


def demonstrate(
    database: psycopg.Connection, meltano: Meltano, url: str, first_day: dt.date
) -> int:
    """Run the pipeline and print the results; return 1 if a row or a cent is wrong."""
    before = {table: report.count(database, table) for table in report.TABLES}
    if not meltano.is_installed():
        plugins = " ".join(meltano.plugins)
        print(f"meltano install {plugins} (first run only) ...", flush=True)
        meltano.install()
    print("meltano run tap-claude target-postgres ...", flush=True)
    started = dt.datetime.now(dt.UTC)
    meltano.run()
    seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
    sent = _get(f"{url}/_simulator/stats")["requests"]

    print("meltano run dbt:build ...", flush=True)
    meltano.run(f"{DBT}:build")
    print("meltano run claude-report:html ...", flush=True)
    meltano.run(f"{REPORT}:html")

    landed = [report.landed(database, table, started, before[table]) for table in report.TABLES]
    print("", *report.spend_per_day(database), sep="\n")
    print("", *report.spend_per_model(database), sep="\n")
    print("", *report.spend_per_workspace(database), sep="\n")
    print("", *report.claude_code_per_person(database), sep="\n")
    print("", *report.forecast(database), sep="\n")
    print("", *report.tables(landed), "", sep="\n")

    start = dt.datetime.combine(first_day, dt.time())
    since = min(it.read_from for it in landed if it.read_from)
    if since > start:
        print(f"Incremental: {sent} requests in {seconds:.0f} s, for {since:%Y-%m-%d} and later:")
        print("the days that the API may have restated since they were read, and the new ones.")
    else:
        print(f"Everything from {since:%Y-%m-%d} on: {sent} requests in {seconds:.0f} s.")
        print("Run `make demo` again: the next run is incremental.")

    # Reports have a delay of some minutes: a day that has just ended may not be complete yet.
    end = dt.datetime.combine((started - dt.timedelta(hours=1)).date(), dt.time())
    dollars = report.billed(database, start, end)
    expected = bill(url, start, end) / 100
    print(f"Cost until {end:%Y-%m-%d}: {dollars:,f} USD; in the simulator: {expected:,f} USD.")
    if dollars != expected or any(it.doubled for it in landed):
        print("They should be equal, without duplicate rows. Run `make clean` to start over.")
        return 1
    print(f"The spend report, a page for your browser: {PAGE}")
    return 0


@contextlib.contextmanager
def simulator(first_day: dt.date) -> Iterator[str]:
    """Serve the simulated organization in a separate process; yield its URL."""
    url_file = DIRECTORY / "simulator.url"
    url_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "simulator", "--first-day", first_day.isoformat()]
    command += ["--port", "0", "--url-file", str(url_file)]
    log_path = DIRECTORY / "simulator.log"
    with (
        log_path.open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        try:
            while not (url_file.exists() and url_file.read_text()):
                if process.poll() is not None:
                    sys.exit(f"The simulator did not start:\n{log_path.read_text()}")
                time.sleep(0.05)
            yield url_file.read_text()
        finally:
            process.terminate()


def bill(url: str, start: dt.datetime, end: dt.datetime) -> decimal.Decimal:
    """Return the dollars of a range, read from the simulator without the tap."""
    cents, page = decimal.Decimal(), None
    while True:
        content = _get(
            f"{url}/v1/organizations/cost_report",
            starting_at=f"{start:%Y-%m-%dT%H:%M:%SZ}",
            ending_at=f"{end:%Y-%m-%dT%H:%M:%SZ}",
            limit=31,
            page=page,
        )
        cents += sum(
            decimal.Decimal(row["amount"]) for day in content["data"] for row in day["results"]
        )
        page = content["next_page"]
        if not content["has_more"]:
            return cents


def _get(url: str, **parameters: Any) -> dict[str, Any]:
    headers = {"x-api-key": ADMIN_KEY, "anthropic-version": "2023-06-01"}
    response = requests.get(url, parameters, headers=headers, timeout=60)
    response.raise_for_status()
    content: dict[str, Any] = response.json()
    return content


def _first_day(note: Path) -> dt.date:
    """Return the first day of the history, which is stored so that all runs use the same one."""
    if not note.exists():
        note.write_text(
            (dt.datetime.now(dt.UTC).date() - HISTORY + dt.timedelta(days=1)).isoformat()
        )
    return dt.date.fromisoformat(note.read_text())


if __name__ == "__main__":
    sys.exit(main())
