"""What workspaces have, the Compliance API and governance: strict, and from the same facts."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.enterprise_lists import EnterpriseDirectory
from simulator.server import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    ANALYTICS_KEY,
    COMPLIANCE_KEY,
    PERSONAL_KEY,
    WORKSPACE_KEY,
)
from tests.conftest import NOW
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENTS = "managed-agents-2026-04-01"
LISTS = {
    "agents": (AGENTS, 100),
    "deployments": (AGENTS, 100),
    "environments": (AGENTS, 100),
    "sessions": (AGENTS, 1000),
    "user_profiles": ("", 100),
    "models": ("", 1000),
    "messages/batches": ("", 1000),
    "files": ("", 1000),
    "skills": ("", 1000),
}
"""The lists of a workspace: beta header, and the largest page."""
GOVERNANCE = {
    "plugins": (ANALYTICS_KEY, "ce-plugins-2026-09-01", 404, 100),
    "webhooks": (ADMIN_KEY, "webhooks-2026-10-07", 404, 100),
    "telemetry_destinations": (ADMIN_KEY, "telemetry-destinations-2026-08-11", 400, 1000),
}
"""Key, beta header, status without the header, and the largest page."""
DAYS = 40


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    from tests.conftest import simulated  # noqa: PLC0415

    with simulated(days=DAYS, now=NOW) as simulator:
        yield simulator


def get(served: Any, path: str, key: str = WORKSPACE_KEY, beta: str = "", **more: Any) -> Any:
    headers = {"x-api-key": key, "anthropic-version": "2026-10-21", "anthropic-beta": beta}
    if workspace := more.pop("workspace", ""):
        headers["anthropic-workspace-id"] = workspace
    if key == ACCESS_TOKEN:
        headers["anthropic-beta"] += ",oauth-2025-04-20"
        headers["authorization"] = f"Bearer {headers.pop('x-api-key')}"
    url = f"{served.url}/v1/{path}"
    return requests.get(url, params=more.pop("params", more), headers=headers, timeout=30)


def rows(served: Any, path: str, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        params = {**more.get("params", {}), **cursor}
        response = get(served, path, **{**more, "params": params})
        assert response.status_code == 200, response.text
        page = response.json()
        found += page["data"]
        if page.get("has_more"):
            cursor = {"after_id": page["last_id"]} if "last_id" in page else {}
        if page.get("next_page"):
            cursor = {"page": page["next_page"]}
        elif not page.get("has_more"):
            return found


# -- who may read what


@each("path", LISTS)
def test_the_lists_of_a_workspace_are_strict(served: Any, path: str) -> None:
    beta, most = LISTS[path]
    for key in (ADMIN_KEY, ACCESS_TOKEN, ANALYTICS_KEY, COMPLIANCE_KEY):
        assert get(served, path, key, beta).status_code == 403
    assert get(served, path, beta=beta).status_code == 200
    if beta:
        assert get(served, path).status_code == 400
    assert get(served, path, beta=beta, limit=most).status_code == 200
    assert get(served, path, beta=beta, limit=most + 1).status_code == 400
    assert get(served, path, beta=beta, limit=0).status_code == 400
    assert get(served, path, beta=beta, unknown="x").status_code == 400


def test_a_key_acts_on_the_workspace_of_the_header(served: Any) -> None:
    first, second, *_ = served.facts.organization.workspaces
    own = get(served, "files")
    assert own.headers["anthropic-workspace-id"] == first
    assert get(served, "files", workspace=first).json() == own.json()
    assert get(served, "files", workspace=second).status_code == 400
    assert get(served, "files", PERSONAL_KEY).status_code == 400
    assert get(served, "files", PERSONAL_KEY, workspace="wrkspc_other").status_code == 404
    other = get(served, "files", PERSONAL_KEY, workspace=second)
    assert other.headers["anthropic-workspace-id"] == second
    assert other.json() != own.json()
    served.acts_on.discard(second)
    assert get(served, "files", PERSONAL_KEY, workspace=second).status_code == 403
    served.acts_on.add(second)
    assert "anthropic-workspace-id" not in get(served, "organizations/users", ADMIN_KEY).headers


@each("path", GOVERNANCE)
def test_governance_is_strict(served: Any, path: str) -> None:
    key, beta, status, most = GOVERNANCE[path]
    where = f"organizations/{path}"
    assert get(served, where, key).status_code == status
    assert get(served, where, key, beta, limit=most).status_code == 200
    assert get(served, where, key, beta, limit=most + 1).status_code == 400
    assert get(served, where, key, beta, unknown="x").status_code == 400
    for other in {ADMIN_KEY, ANALYTICS_KEY, COMPLIANCE_KEY, WORKSPACE_KEY} - {key}:
        assert get(served, where, other, beta).status_code == 403


def test_the_compliance_api_is_strict(served: Any) -> None:
    path, organizations = "compliance/activities", "compliance/organizations"
    for key in (ADMIN_KEY, COMPLIANCE_KEY):
        assert get(served, path, key, limit=5000).status_code == 200
        assert get(served, path, key, limit=5001).status_code == 400
    for key in (ACCESS_TOKEN, ANALYTICS_KEY, WORKSPACE_KEY):
        assert get(served, path, key).status_code == 403
    assert get(served, organizations, ADMIN_KEY).status_code == 403
    assert len(rows(served, organizations, key=COMPLIANCE_KEY)) == 4
    both = {"activity_types[]": "a", "exclude_activity_types[]": "b"}
    assert get(served, path, ADMIN_KEY, params=both).status_code == 400
    # Brackets, as in the other lists, are unknown here.
    assert get(served, path, ADMIN_KEY, params={"created_at[gte]": "2026-01-01"}).status_code == 400


def test_lists_have_what_they_are_asked_for(served: Any) -> None:
    assert len(rows(served, "agents", beta=AGENTS)) == 2
    everything = {"include_archived": "true"}
    assert len(rows(served, "agents", beta=AGENTS, params=everything)) == 3
    lifecycles = {row["lifecycle"] for row in rows(served, "models")}
    assert lifecycles == {"active", "deprecated"}
    retired = {"lifecycle[]": "retired"}
    assert {row["lifecycle"] for row in rows(served, "models", params=retired)} == {"retired"}
    sessions = rows(served, "sessions", beta=AGENTS, params=everything)
    assert sessions == sorted(sessions, key=lambda row: row["created_at"], reverse=True)
    oldest = {**everything, "order": "asc"}
    assert rows(served, "sessions", beta=AGENTS, params=oldest) == sessions[::-1]
    middle = sessions[len(sessions) // 2]["created_at"]
    late = rows(served, "sessions", beta=AGENTS, params={**everything, "created_at[gte]": middle})
    assert late == [row for row in sessions if row["created_at"] >= middle]
    running = {"statuses[]": "running"}
    assert {row["status"] for row in rows(served, "sessions", beta=AGENTS, params=running)} == {
        "running"
    }


def test_filters_that_the_tap_does_not_use(served: Any) -> None:
    everything = {"include_archived": "true"}
    sessions = rows(served, "sessions", beta=AGENTS, params=everything)
    agent = sessions[0]["agent"]
    of_agent = [row for row in sessions if row["agent"]["id"] == agent["id"]]

    def found(**params: str) -> list[dict[str, Any]]:
        return rows(served, "sessions", beta=AGENTS, params={**everything, **params})

    assert found(agent_id=agent["id"]) == of_agent
    assert found(agent_id=agent["id"], agent_version=str(agent["version"])) == of_agent
    assert found(agent_id=agent["id"], agent_version="99") == []
    assert found(agent_version="99") == sessions
    assert found(memory_store_id="memstore_01") == []
    key, beta, *_ = GOVERNANCE["webhooks"]
    hooks = get(served, "organizations/webhooks", key, beta, limit=0).json()
    assert len(hooks["data"]) == 20
    key, beta, *_ = GOVERNANCE["plugins"]
    other = get(served, "organizations/plugins", key, beta, organization_id="other")
    assert other.status_code == 404
    key, beta, *_ = GOVERNANCE["telemetry_destinations"]
    where = "organizations/telemetry_destinations"
    nobody = {"workspace_ids[]": "wrkspc_other"}
    assert get(served, where, key, beta, params=nobody).json()["data"] == []


# -- the same facts


IDS = {
    "agent_id": "agents",
    "deployment_id": "deployments",
    "environment_id": "environments",
    "session_id": "sessions",
    "user_profile_id": "user_profiles",
}


def all_rows(served: Any, path: str) -> dict[str, dict[str, Any]]:
    beta, _ = LISTS[path]
    params = {"include_archived": "true"} if beta else {}
    return {
        row["id"]: row
        for workspace in served.facts.organization.workspaces
        for row in rows(
            served, path, key=PERSONAL_KEY, workspace=workspace, beta=beta, params=params
        )
    }


def usage_by(served: Any, *dimensions: str) -> list[dict[str, Any]]:
    start = (NOW - dt.timedelta(days=DAYS)).date()
    found: list[dict[str, Any]] = []
    for first in (0, 30):
        bounds = [start + dt.timedelta(days=first), start + dt.timedelta(days=first + 30)]
        found += rows(
            served,
            "organizations/analytics/usage",
            key=ADMIN_KEY,
            beta="analytics-usage-cost-2026-08-24",
            params={
                "starting_at": f"{bounds[0]}T00:00:00Z",
                "ending_at": min(f"{bounds[1]}T00:00:00Z", f"{NOW.date()}T00:00:00Z"),
                "group_by[]": dimensions,
                "limit": "1000",
            },
        )
    return found


@each("dimension", IDS)
def test_each_id_of_the_usage_is_in_its_list(served: Any, dimension: str) -> None:
    ids = {row["group"][dimension] for row in usage_by(served, dimension)} - {None}
    assert ids
    assert ids <= all_rows(served, IDS[dimension]).keys()


def test_the_tokens_of_a_session_are_those_of_the_usage(served: Any) -> None:
    """Of all that ended before today, since today's usage is not complete."""
    totals: Counter[str] = Counter()
    for row in usage_by(served, "session_id", "workspace_id"):
        totals[row["group"]["session_id"]] += row["usage"]["total_tokens"]
    ended = [row for row in all_rows(served, "sessions").values() if row["status"] == "terminated"]
    assert len(ended) > 20
    for row in ended:
        usage = row["usage"]
        tokens = usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["output_tokens"]
        assert tokens + sum(usage["cache_creation"].values()) == totals[row["id"]]


def test_the_list_cost_of_a_session_is_that_of_the_facts(served: Any) -> None:
    start = dt.datetime.combine(served.facts.first_day, dt.time(), dt.UTC)
    listed: dict[str, Decimal] = {}
    for fact in served.facts.between(start, NOW):
        costs = sum((cost.list_amount for cost in fact.costs), Decimal(0))
        listed[fact.session_id] = listed.get(fact.session_id, Decimal(0)) + costs
    sessions = all_rows(served, "sessions").values()
    priced = [row for row in sessions if "list_cost" in row["usage"]]
    assert len(priced) > len(sessions) / 2
    for row in priced:
        cents = Decimal(row["usage"]["list_cost"]["amount"])
        assert cents == cents.to_integral_value()
        assert abs(cents - listed[row["id"]]) <= Decimal("0.5")


@pytest.mark.parametrize("key", [ADMIN_KEY, COMPLIANCE_KEY])
def test_each_key_member_and_role_has_an_activity(served: Any, key: str) -> None:
    activities = rows(served, "compliance/activities", key=key, params={"limit": "5000"})
    assert len({row["id"] for row in activities}) == len(activities)
    directory = served.directories["A" if key == ADMIN_KEY else "C"]

    def of(kind: str, *fields: str) -> Counter[tuple[str, ...]]:
        found = (row for row in activities if row["type"] == kind)
        return Counter(tuple(row[field] for field in fields) for row in found)

    assert of("api_key_created", "api_key_id", "created_at") == Counter(
        (row["id"], row["created_at"]) for row in directory.api_keys
    )
    assert of("organization_user_added", "user_id", "created_at") == Counter(
        (row["id"], row["added_at"]) for row in directory.users
    )
    members = {
        (row["workspace_id"], row["user_id"])
        for workspace in directory.workspaces
        for row in directory.members(workspace["id"])
    }
    assert set(of("workspace_member_added", "workspace_id", "user_id")) <= members
    if isinstance(directory, EnterpriseDirectory):
        assert of("rbac_role_created", "rbac_role_id", "created_at") == Counter(
            (row["id"], row["created_at"]) for row in directory.rbac_roles
        )
        assert of("rbac_group_member_added", "rbac_group_id")
    # A sign-in belongs to no organization.
    assert {row["organization_id"] for row in activities if row["type"] == "user_signed_in"} == {
        None
    }
