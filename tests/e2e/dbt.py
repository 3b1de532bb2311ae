"""dbt on the package in transform/, in the environment that the Makefile builds for it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from demo.meltano import ROOT
from tests.forks import Forks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.forks import Done

PACKAGE = ROOT / "transform"
OTHER_ENVIRONMENT = os.environ.get("TESTS_DBT")
"""An environment that is used as it is: tests.mutations runs copies of this repository."""
BIN = Path(OTHER_ENVIRONMENT or ROOT / ".dbt") / "bin"
MARTS = (
    "claude_anomalies",
    "claude_api_keys",
    "claude_budgets",
    "claude_code_people",
    "claude_cost",
    "claude_daily",
    "claude_focus",
    "claude_forecast",
    "claude_models",
    "claude_people",
    "claude_reconciliation",
    "claude_teams",
    "claude_usage",
    "claude_workspaces",
)


def install() -> None:
    """Build the environment of dbt, if it is not there or not up to date."""
    if OTHER_ENVIRONMENT:
        return
    with FileLock(ROOT / ".dbt.lock"):
        subprocess.run(["make", "--silent", ".dbt/.installed"], cwd=ROOT, check=True)


@functools.cache
def _forks() -> Forks:
    """Return the process of dbt that this process forks; it ends with it."""
    modules = ("dbt.cli.main", "dbt.adapters.duckdb", "dbt.adapters.postgres")
    return Forks(str(BIN / "python"), str(BIN / "dbt"), modules, _environment())


@dataclass
class Dbt:
    """Runs dbt with the profiles of the package. What it writes goes to a folder."""

    folder: Path
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Variables of all runs: with others, dbt reads the whole package again."""

    def run(self, *command: str, target: str, **options: Any) -> str:
        """Run a command of dbt, with the options of `attempt`; return what it printed."""
        done = self.attempt(*command, target=target, **options)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def attempt(
        self,
        *command: str,
        target: str,
        package: Path = PACKAGE,
        database: Path | None = None,
        **env: str,
    ) -> Done:
        """Run a command of dbt that may fail. The database is a file of DuckDB."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if database:
            # By a name that stays the same: with another one, dbt reads the whole package again.
            link = self.folder / "warehouse.duckdb"
            link.unlink(missing_ok=True)
            link.hardlink_to(database)
            env["CLAUDE_DBT_PATH"] = link.name
        return _forks().run(
            [
                "--no-use-colors",
                *command,
                "--project-dir",
                str(package),
                "--profiles-dir",
                str(PACKAGE),
                "--vars",
                json.dumps(dict(self.variables)),
            ],
            _environment()
            | {
                "DBT_LOG_PATH": str(self.folder / "logs"),
                "DBT_TARGET": target,
                "DBT_TARGET_PATH": str(self.folder / target),
            }
            | env,
            cwd=self.folder,
        )


def _environment() -> dict[str, str]:
    """Return the environment without anybody's settings of dbt."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DBT_", "CLAUDE_DBT_", "COVERAGE_PROCESS"))
    }
