"""Load all organizations of a list, side by side, then run what follows the loads.

Airflow 3. Environment variables:

* ``MELTANO_PROJECT_ROOT``: the Meltano project. Default: the folder two levels up.
* ``CLAUDE_ORGANIZATIONS``: the list. Default: ``orchestrate/organizations.yaml`` in the project.

Secrets are Airflow variables, from any secrets backend. The pool ``claude`` limits how many loads
run at the same time: ``airflow pools set claude 4 "Loads of tap-claude"``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from pathlib import Path
from typing import Any

import claude_load
from airflow.sdk import TriggerRule, Variable, dag, get_current_context, task
from airflow.sdk.log import mask_secret

PROJECT = Path(os.environ.get("MELTANO_PROJECT_ROOT") or Path(__file__).parents[2])
LIST = Path(os.environ.get("CLAUDE_ORGANIZATIONS") or PROJECT / "orchestrate/organizations.yaml")


def read_secret(name: str) -> str:
    """Return a secret, and mask it in the logs."""
    value: str = Variable.get(name)
    mask_secret(value)
    return value


@dag(
    dag_id="claude",
    # The API provides a day of Claude Enterprise from about 10:00 UTC on the following day.
    schedule="0 11 * * *",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    tags=["meltano", "tap-claude"],
    doc_md=__doc__,
)
def claude() -> None:
    """Declare the tasks."""

    @task
    def list_organizations() -> list[dict[str, Any]]:
        """Read the list. Create the tables of Meltano's system database, which no load may do."""
        found = claude_load.read_list(LIST)
        claude_load.run(
            "system database",
            [claude_load.meltano(PROJECT), "state", "list"],
            cwd=PROJECT,
            environ=os.environ,
        )
        return [dataclasses.asdict(organization) for organization in found.organizations]

    @task(
        pool="claude",
        retries=2,
        retry_delay=dt.timedelta(minutes=5),
        retry_exponential_backoff=2.0,
        map_index_template="{{ organization_name }}",
    )
    def load(organization: dict[str, Any]) -> None:
        """Load one organization."""
        one = claude_load.Organization(**organization)
        get_current_context()["organization_name"] = one.name
        claude_load.load(
            one,
            claude_load.read_list(LIST).target,
            read_secret,
            PROJECT,
            os.environ,
        )

    @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    def after_loads() -> None:
        """Run what follows, for example the marts, also if some organizations failed."""
        claude_load.run("after", claude_load.read_list(LIST).after, PROJECT, os.environ)

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def fail_if_a_load_failed() -> None:
        """Make the run fail: otherwise its state would be that of the last task."""
        msg = "Not all organizations were loaded. The logs of the failed tasks say why"
        raise RuntimeError(msg)

    loads = load.expand(organization=list_organizations())
    loads >> [after_loads(), fail_if_a_load_failed()]


claude()
