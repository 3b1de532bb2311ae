"""Run Meltano on this checkout with its own settings, without those of the user."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
PLUGINS = ("tap-claude", "target-postgres")
DBT, REPORT, AIRFLOW = "dbt", "claude-report", "airflow"
# Files whose changes require a new installation of a plugin.
INSTALLED_FROM = {
    DBT: ("transform/requirements.txt",),
    AIRFLOW: ("orchestrate/requirements-airflow.txt",),
} | dict.fromkeys((*PLUGINS, REPORT), ("meltano.yml", "pyproject.toml", "constraints.txt"))

# How lines of Meltano's tracebacks start.
TRACEBACK = ("│", "╭", "╰")


class MeltanoError(Exception):
    """Meltano failed; the message contains the end of its log."""


class Meltano:
    """Meltano with its state and its log in a directory; plugins are installed in ``.meltano``."""

    def __init__(
        self, directory: Path, settings: Mapping[str, str], plugins: Sequence[str] = PLUGINS
    ) -> None:
        """Store settings, which are environment variables, in addition to the common ones."""
        self.plugins = plugins
        self.log = directory / "meltano.log"
        self.log.write_bytes(b"")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(
                ("CLAUDE_", "DBT_", "MELTANO_", "TAP_CLAUDE_", "TARGET_POSTGRES_")
            )
        }
        self.environment = inherited | {
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_CLI_LOG_FORMAT": "uncolored",
            "NO_COLOR": "1",
            # A bookmark of the simulator must never be used for a real organization.
            "MELTANO_DATABASE_URI": f"sqlite:///{directory / 'meltano.db'}",
            "MELTANO_PROJECT_ROOT": str(ROOT),
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "UV_SYSTEM_CERTS": "true",  # like pip
            **settings,
        }

    def is_installed(self) -> bool:
        """Whether the plugins are installed from the current files."""
        return not self._missing()

    def install(self) -> None:
        """Install the plugins that are not installed, or not from the current files."""
        missing = self._missing()
        try:
            self._call("install", "--clean", *missing)
        except MeltanoError:
            # uv does not use pip's mirrors and certificates. pip has built this environment, so it
            # works with this network.
            self.environment["MELTANO_VENV_BACKEND"] = "virtualenv"
            self._call("install", "--clean", *missing)
        for plugin in missing:
            _stamp(plugin).write_text(_fingerprint(plugin))

    def run(self, *steps: str) -> None:
        """Run the pipeline, even if Meltano lists a killed run as still running."""
        self._call("run", "--force", *(steps or PLUGINS))

    def _missing(self) -> list[str]:
        return [
            plugin
            for plugin in self.plugins
            if not _stamp(plugin).is_file() or _stamp(plugin).read_text() != _fingerprint(plugin)
        ]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Meltano in its own process group; its output is written to the log."""
        executable = Path(sys.executable).with_name("meltano")
        command = [str(executable), "--env-file", os.devnull, *arguments]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _call(self, *arguments: str) -> None:
        process = self.start(*arguments)
        try:
            failed = process.wait() != 0
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        if failed:
            lines = self.log.read_text(errors="replace").splitlines()
            end = [line for line in lines if not line.startswith(TRACEBACK)][-25:]
            msg = f"meltano {' '.join(arguments)} failed. The end of {self.log}:"
            raise MeltanoError("\n".join([msg, *end]))


def _stamp(plugin: str) -> Path:
    return ROOT / ".meltano" / f"installed-{plugin}"


def _fingerprint(plugin: str) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in INSTALLED_FROM[plugin]:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()
