"""Run the Airflow that Meltano has installed, and talk to its REST API."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from demo.meltano import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AIRFLOW = ROOT / ".meltano" / "utilities" / "airflow" / "venv" / "bin" / "airflow"
MELTANO = (str(Path(sys.executable).with_name("meltano")), "--env-file", os.devnull)
COMPONENTS = ("api-server", "scheduler", "dag-processor")
START_SECONDS = 180
DAG_SECONDS = 1800


class AirflowError(Exception):
    """Airflow does not run as it should. The message says where to look."""


class Airflow:
    """The REST API of a running Airflow."""

    def __init__(self, url: str, logs: Path) -> None:
        """Wait for the API, and get a token."""
        self.url = f"{url}/api/v2"
        self.logs = logs
        self.session = requests.Session()
        self.session.trust_env = False  # it is on this machine
        token = self._eventually(lambda: self.session.get(f"{url}/auth/token", timeout=10))
        self.session.headers["authorization"] = f"Bearer {token['access_token']}"

    def create_pool(self, name: str, slots: int) -> None:
        """Create a pool."""
        self._call("post", "pools", {"name": name, "slots": slots})

    def set_variable(self, key: str, value: str) -> None:
        """Create a variable, or change its value."""
        body = {"key": key, "value": value}
        if self.session.get(f"{self.url}/variables/{key}", timeout=30).ok:
            self._call("patch", f"variables/{key}", body)
        else:
            self._call("post", "variables", body)

    def wait_for_dag(self, dag: str) -> None:
        """Wait until the DAG processor has read the DAG; unpause it."""
        self._eventually(lambda: self.session.get(f"{self.url}/dags/{dag}", timeout=10))
        if errors := self._call("get", "importErrors")["import_errors"]:
            raise AirflowError(errors[0]["stack_trace"])
        self._call("patch", f"dags/{dag}", {"is_paused": False})

    def run(self, dag: str) -> tuple[str, list[dict[str, Any]]]:
        """Run the DAG; return the state of the run, and its task instances."""
        run = self._call("post", f"dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
        give_up = time.monotonic() + DAG_SECONDS
        path = f"dags/{dag}/dagRuns/{run}"
        while (state := self._call("get", path)["state"]) not in {"success", "failed"}:
            if time.monotonic() > give_up:
                msg = f"The run is still {state} after {DAG_SECONDS} seconds; see {self.logs}"
                raise AirflowError(msg)
            time.sleep(1)
        tasks = self._call("get", f"{path}/taskInstances?limit=100")["task_instances"]
        return state, tasks

    def log(self, task: Mapping[str, Any]) -> str:
        """Return the log of the last try of a task instance."""
        path = (
            f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
            f"/logs/{task['try_number']}?map_index={task['map_index']}&full_content=true"
        )
        lines = self._call("get", path)["content"]
        return "\n".join(line["event"] if isinstance(line, dict) else line for line in lines)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        response = self.session.request(method, f"{self.url}/{path}", json=body, timeout=60)
        if not response.ok:
            msg = f"{method} {path}: {response.status_code} {response.text}"
            raise AirflowError(msg)
        return response.json()

    def _eventually(self, call: Any) -> Any:
        give_up = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                response = call()
                if response.ok:
                    return response.json()
            if time.monotonic() > give_up:
                msg = f"Airflow did not start in {START_SECONDS} seconds; see {self.logs}"
                raise AirflowError(msg)
            time.sleep(0.5)


@contextlib.contextmanager
def airflow(home: Path, database: str, environ: Mapping[str, str]) -> Iterator[Airflow]:
    """Run Airflow with a new, empty metadata database; stop it at the end.

    ``environ`` is passed to the tasks.
    """
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {
        **environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "orchestrate" / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__MAX_TASK_RETRY_DELAY": "1",  # of the minutes that the DAG waits
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # only the trial starts runs
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    with contextlib.ExitStack() as stack:
        out = stack.enter_context((home / "airflow.log").open("wb"))
        command: dict[str, Any] = {"env": environ, "stdout": out, "stderr": out, "cwd": home}
        # As users call it: the environment has what Meltano would set, too.
        migrate = [*MELTANO, "--cwd", str(ROOT), "invoke", "airflow", "db", "migrate"]
        if subprocess.run(migrate, check=False, **command).returncode:
            msg = f"airflow db migrate failed; see {home}/airflow.log"
            raise AirflowError(msg)
        for component in COMPONENTS:
            process = stack.enter_context(
                subprocess.Popen([AIRFLOW, component], start_new_session=True, **command)
            )
            stack.callback(_stop, process)
        yield Airflow(url, home / "airflow.log")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a component and its workers: they are in one process group."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
