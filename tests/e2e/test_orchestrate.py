"""The commands of docs/many-organizations.md in a project of their own, and the DAG in Airflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from filelock import FileLock

from demo.meltano import AIRFLOW, ROOT, Meltano
from simulator.server import ADMIN_KEY, ANALYTICS_KEY
from tests.conftest import days_ago, environment
from tests.workload import Workload

if TYPE_CHECKING:
    from demo.postgres import Server
    from simulator.server import Simulator

pytestmark = pytest.mark.long

PAGE = (ROOT / "docs" / "many-organizations.md").read_text()
COMMANDS = re.compile(r"^```sh\n(.+?)^```\n", re.DOTALL | re.MULTILINE)
SQL = re.compile(r"^```sql\n(.+?)^```\n", re.DOTALL | re.MULTILINE)


# -- the page


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project, with links to its plugins; run files are its own."""
    folder = tmp_path / "project"
    (folder / ".meltano").mkdir(parents=True)
    shutil.copy(ROOT / "meltano.yml", folder)
    shutil.copytree(ROOT / "orchestrate", folder / "orchestrate")
    for kind in ("extractors", "loaders"):
        (folder / ".meltano" / kind).symlink_to(ROOT / ".meltano" / kind)
    return folder


def section(title: str) -> str:
    found = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert found, title
    return found


@pytest.mark.usefixtures("plugins")
def test_the_commands_of_the_page_work(
    simulate: Any, server: Server, project: Path, tmp_path: Path
) -> None:
    simulator: Simulator = simulate(days=4)
    # The example is for a project whose plugins are installed.
    environ = environment(
        ACME_ADMIN_API_KEY=ADMIN_KEY,
        GLOBEX_ANALYTICS_API_KEY=ANALYTICS_KEY,
        STATES=str(tmp_path / "states"),
        TAP_CLAUDE_BASE_URL=simulator.url,
        TAP_CLAUDE_REQUESTS_PER_MINUTE="0",
        TAP_CLAUDE_START_DATE=days_ago(3),
        TAP_CLAUDE__SELECT='["users.*", "analytics_cost.*"]',
        TARGET_POSTGRES_SQLALCHEMY_URL=server.dsn,
        MELTANO_CLI_DISABLE_VERSION_CHECK="true",
        MELTANO_SEND_ANONYMOUS_USAGE_STATS="false",
        MELTANO_AUTO_INSTALL="false",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    done: set[str] = set()

    def run(title: str) -> str:
        commands = COMMANDS.findall(section(title))
        done.update(commands)
        finished = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "".join(commands)],
            cwd=project,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr[-4000:]
        return finished.stdout

    def requests() -> int:
        count = len(simulator.seen)
        simulator.seen.clear()
        return count

    with psycopg.connect(server.dsn, autocommit=True) as database:

        def organizations(schema: str) -> dict[str, int]:
            query = f"select organization_label, count(*) from {schema}.users"
            live = f"{query} where _sdc_deleted_at is null group by 1"
            return dict(database.execute(live.encode()).fetchall())

        people = {
            "Acme Corporation": len(simulator.directories["A"].users),
            "Globex": len(simulator.directories["E"].users),
        }

        printed = run("One organization after the other")
        assert organizations("claude_acme").keys() == {"Acme Corporation"}
        assert organizations("claude_globex").keys() == {"Globex"}
        for name in ("acme", "globex"):
            assert f"dev:tap-claude-to-target-postgres:{name}" in printed
        state = json.loads(printed.splitlines()[-1])
        assert "analytics_cost" in str(state)
        requests()

        run("State in a database or in a bucket")
        assert len(list((tmp_path / "states").rglob("state.json"))) == 2

        # Both continue from the states that have been moved.
        run("Side by side")
        starts = [
            seen.values("starting_at")[0]
            for seen in simulator.seen
            if seen.path.endswith("analytics/cost")
        ]
        assert len(starts) == 2
        assert not (project / ".meltano" / "run" / "tap-claude" / "tap.config.json").exists()

        run("One schema each, or one for all")
        assert organizations("claude") == people

        run("Add and remove an organization")
        for statement in SQL.findall(section("Add and remove an organization")):
            database.execute(statement.encode())
        assert organizations("claude") == {
            "Acme Corporation": people["Acme Corporation"],
        }
        assert database.execute("select to_regclass('claude_globex.users')").fetchone() == (None,)

    run("Airflow")
    if shutil.which("kubectl"):
        run("Kubernetes")
        assert done == set(COMMANDS.findall(PAGE))


def test_each_statement_of_the_page_runs() -> None:
    assert SQL.findall(PAGE) == SQL.findall(section("Add and remove an organization")) != []


# -- the DAG

DESCRIBE = """
import json, pathlib, sys
from airflow.dag_processing.dagbag import BundleDagBag
folder = pathlib.Path(sys.argv[1])
bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
tasks = bag.dags["claude"].task_dict if bag.dags else {}
print(json.dumps({"errors": bag.import_errors, "tasks": {
    name: {
        "pool": task.pool,
        "retries": task.retries,
        "rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "after": sorted(task.upstream_task_ids),
        "mapped": bool(getattr(task, "is_mapped", False)),
    }
    for name, task in tasks.items()
}}))
"""


def test_airflow_reads_the_dag(shared: Path, tmp_path: Path) -> None:
    """`make orchestrate` runs it."""
    with FileLock(shared / "meltano.lock"):
        meltano = Meltano(shared, {}, (AIRFLOW,))
        if not meltano.is_installed():
            meltano.install()
    python = ROOT / ".meltano" / "utilities" / "airflow" / "venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-c", DESCRIBE, ROOT / "orchestrate" / "dags"],
        env=environment(AIRFLOW_HOME=str(tmp_path), AIRFLOW__CORE__LOAD_EXAMPLES="False"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    tasks = found["tasks"]
    assert tasks.keys() == {"list_organizations", "load", "after_loads", "fail_if_a_load_failed"}
    assert tasks["load"]["mapped"]
    assert tasks["load"]["pool"] == "claude"
    assert tasks["load"]["retries"] == 2
    assert tasks["after_loads"]["rule"] == "all_done_min_one_success"
    assert tasks["fail_if_a_load_failed"]["rule"] == "one_failed"
    for last in ("after_loads", "fail_if_a_load_failed"):
        assert tasks[last]["after"] == ["load"]


# -- the pod

UNSHARE = shutil.which("unshare")
READ_ONLY = """
mount --bind "$1" "$2"
mount -o remount,bind,ro "$2"
mount -t tmpfs tmpfs "$2/.meltano/run"
cd "$2"
if touch .meltano/meltano.db; then echo "it is not read-only"; exit 9; fi
shift 2
exec "$@"
"""


@pytest.mark.skipif(UNSHARE is None or os.geteuid() != 0, reason="only root can mount")
@pytest.mark.usefixtures("plugins")
def test_a_load_needs_the_writable_folders_of_the_pod_only(
    simulate: Any, server: Server, tmp_path: Path
) -> None:
    """The arguments and variables of the CronJob, in a project that is mounted read-only.

    The credential is an identity token in a file, as for the organization ``initech``.
    """
    manifest = yaml.safe_load((ROOT / "orchestrate/kubernetes/base/cronjob.yaml").read_text())
    pod = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "/project/.meltano/run" in [mount["mountPath"] for mount in container["volumeMounts"]]
    simulator: Simulator = simulate(days=3)
    for folder in ("project", "scratch"):
        (tmp_path / folder).mkdir()
    workload = Workload(simulator, tmp_path).settings()
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables.keys() >= {"TAP_CLAUDE_IDENTITY_TOKEN_FILE"}
    variables |= {
        f"TAP_CLAUDE_{name.upper()}": value
        for name, value in workload.items()
        if isinstance(value, str)
    }
    done = subprocess.run(
        [
            *("unshare", "--mount", "bash", "-euc", READ_ONLY, "bash", ROOT, tmp_path / "project"),
            *(Path(sys.executable).with_name("meltano"), *container["args"]),
        ],
        env=environment(
            **variables,
            HOME=str(tmp_path / "scratch"),
            TMPDIR=str(tmp_path / "scratch"),
            MELTANO_DATABASE_URI=f"sqlite:///{tmp_path}/scratch/meltano.db",
            MELTANO_SEND_ANONYMOUS_USAGE_STATS="false",
            MELTANO_STATE_BACKEND_URI=f"file://{tmp_path}/states",
            MELTANO_RUN_STATE_ID_SUFFIX="acme",
            TAP_CLAUDE__SELECT='["users.*", "cost_report.*"]',
            TARGET_POSTGRES_SQLALCHEMY_URL=server.dsn,
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA="pod",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with psycopg.connect(server.dsn) as database:
        found = database.execute("select count(*) from pod.users").fetchone()
    assert found == (len(simulator.directories["A"].users),)
    (state,) = (tmp_path / "states").rglob("state.json")
    assert state.parent.name.endswith("acme")
