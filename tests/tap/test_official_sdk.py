"""The official SDK as a second reader: its types and rows are compared with the tap's."""

from __future__ import annotations

import datetime as dt
import json
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import anthropic
import pytest
from anthropic.lib.credentials import StaticToken
from anthropic.types import FileMetadata, ModelInfo, Skill, UserProfile
from anthropic.types import organization as official
from anthropic.types.beta import (
    BetaEnvironment,
    BetaManagedAgentsAgent,
    BetaManagedAgentsDeployment,
    BetaManagedAgentsSession,
)
from anthropic.types.beta import organization as beta
from anthropic.types.messages import MessageBatch
from anthropic.types.organization import (
    federation,
    rbac_groups,
    rbac_roles,
    spend_limits,
    workspaces,
)
from pydantic import BaseModel

from simulator.agents import CONTENT
from simulator.server import ACCESS_TOKEN, ADMIN_KEY, ANALYTICS_KEY, PERSONAL_KEY, WORKSPACE_KEY
from tap_claude import schemas
from tap_claude.streams import REPORTS
from tests.conftest import NOW, Run, settings
from tests.each import each

TYPES: dict[str, type[BaseModel]] = {
    "workspaces": official.Workspace,
    "workspace_members": official.WorkspaceMember,
    "workspace_rate_limits": workspaces.WorkspaceRateLimit,
    "users": official.OrganizationUser,
    "invites": official.OrganizationInvite,
    "api_keys": official.APIKey,
    "rate_limits": official.OrganizationRateLimit,
    "external_keys": official.ExternalKey,
    "service_accounts": official.ServiceAccount,
    "service_account_workspaces": official.ServiceAccountWorkspaceMember,
    "federation_issuers": federation.FederationIssuer,
    "federation_rules": federation.FederationRule,
    "analytics_users": official.AnalyticsUserActivity,
    "analytics_projects": official.AnalyticsProjectActivity,
    "analytics_skills": official.AnalyticsSkillActivity,
    "analytics_connectors": official.AnalyticsConnectorActivity,
    "analytics_plugins": official.AnalyticsPluginActivity,
    "analytics_artifacts": official.AnalyticsArtifactActivity,
    "analytics_summaries": official.AnalyticsSingleDayActivitySummary,
    "analytics_usage_report": beta.BetaAnalyticsUsageBucketedResult,
    "analytics_cost_report": beta.BetaAnalyticsCostBucketedResult,
    "analytics_user_usage_report": beta.BetaAnalyticsUsageUsersItem,
    "analytics_user_cost_report": beta.BetaAnalyticsCostUsersItem,
    "rbac_groups": official.RBACGroup,
    "rbac_group_members": rbac_groups.RBACGroupMember,
    "rbac_roles": official.RBACRole,
    "rbac_role_permissions": rbac_roles.RBACRolePermission,
    "spend_limits": beta.BetaSpendLimit,
    "effective_spend_limits": official.SpendSummary,
    "spend_limit_increase_requests": spend_limits.SpendLimitIncreaseRequest,
    "plugins": beta.BetaPlugin,
    "webhooks": beta.BetaOrganizationWebhookEndpoint,
    "telemetry_destinations": beta.BetaTelemetryDestination,
    "agents": BetaManagedAgentsAgent,
    "deployments": BetaManagedAgentsDeployment,
    "environments": BetaEnvironment,
    "agent_sessions": BetaManagedAgentsSession,
    "user_profiles": UserProfile,
    "models": ModelInfo,
    "message_batches": MessageBatch,
    "files": FileMetadata,
    "skills": Skill,
}
"""The type of a row, for each stream that the SDK covers."""

NO_COLUMN: dict[tuple[str, str], str] = {
    ("agents", "system"): "the system prompt",
    ("agents", "tools"): "definitions of tools",
    ("agents", "version"): "is agent_version; target-postgres has a parameter of the name version",
    ("agents", "mcp_servers"): "definitions of tools, and their URLs can contain tokens",
    ("deployments", "initial_events"): "the first messages of each session",
    ("deployments", "resources"): "contain instructions, which are prompts",
    ("agent_sessions", "title"): "repeats what somebody asked for",
    ("agent_sessions", "outcome_evaluations"): "what was asked for, and how it went",
    ("agent_sessions", "resources"): "contain instructions, which are prompts",
    ("agent_sessions", "agent_system"): "the system prompt",
    ("agent_sessions", "agent_tools"): "definitions of tools",
    ("agent_sessions", "agent_mcp_servers"): "definitions of tools",
    ("agent_sessions", "agent_multiagent"): "contains the prompts and tools of other agents",
    ("agent_sessions", "agent_description"): "a column of agents",
    ("agent_sessions", "agent_skills"): "a column of agents",
}
"""Fields that are not columns, with all that is in them, and why."""

WHOLE = {
    ("agents", "multiagent"): "a union of many shapes",
    ("models", "capabilities"): "new ones with each model; some names would be too long",
}
"""Objects with known fields that are one column, and why."""

PER_ROW = {"limits": "limit"}
"""Lists that become rows of their own, and the prefix of their columns."""


SCALARS = {
    str: "string",
    int: "integer",
    bool: "boolean",
    float: "number",
    dt.datetime: "date-time",
    dt.date: "date",
}

# The rules for column names, written a second time.
SHORTENED = (
    ("core_metrics_", ""),
    ("server_tool_use_", ""),
    ("_metrics_", "_"),
    ("chat_cowork_unified", "unified"),
)

Shapes = dict[str, tuple[set[str], bool]]
"""Column -> (JSON kinds, nullable)."""


def shortened(name: str) -> str:
    for long, short in SHORTENED:
        name = name.replace(long, short)
    return name.removeprefix("usage_")


def within(stream: str, column: str, names: Iterable[tuple[str, str]]) -> str | None:
    """Return the one of some fields that a column is, or is in."""
    found = (name for of, name in names if of == stream)
    return next((n for n in found if column == n or column.startswith(f"{n}_")), None)


def united(parts: Iterable[Shapes], *, nullable: bool = False) -> Shapes:
    """Join the columns of several types; variants share columns with the same name."""
    found: Shapes = {}
    for part in parts:
        for column, (kinds, null) in part.items():
            before, was = found.get(column, (set(), False))
            found[column] = (before | kinds, was or null or nullable)
    return found


def fields_of(kind: Any, name: str) -> Shapes:
    """Walk an annotation through unions and objects, down to the columns."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return fields_of(arguments[0], name)
    if origin in {typing.Union, types.UnionType}:
        options = [option for option in arguments if option is not type(None)]
        optional = len(options) < len(arguments)
        return united((fields_of(option, name) for option in options), nullable=optional)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return united(
            fields_of(info.annotation, "_".join(filter(None, (name, info.alias or field))))
            for field, info in kind.model_fields.items()
        )
    if origin is list and name in PER_ROW:
        return fields_of(arguments[0], PER_ROW[name])
    plain = {list: "array", dict: "object", typing.Literal: "string"}.get(origin)
    return {name: ({plain or SCALARS[kind]}, False)}


@each("stream", TYPES)
def test_every_field_of_the_official_type_is_a_column(stream: str) -> None:
    text = resources.files(schemas).joinpath(f"{stream}.json").read_text(encoding="utf-8")
    properties = json.loads(text)["properties"]
    for field, (theirs, nullable) in fields_of(TYPES[stream], "").items():
        column = shortened(field)
        if within(stream, column, NO_COLUMN):
            assert column not in properties
            continue
        if whole := within(stream, column, WHOLE):
            assert "object" in properties[whole]["type"]
            continue
        assert column in properties, f"{stream}: the SDK has a field that is not a column: {column}"
        spec = properties[column]
        ours = {spec.get("format") or kind for kind in spec["type"] if kind != "null"}
        if isinstance(spec["type"], str):
            ours = {spec.get("format") or spec["type"]}
            # The tap requests buckets, so their bounds are present.
            bound = column in {"starting_at", "ending_at"}
            assert bound or not nullable, f"{stream}.{column} can be null, but is a key"
        # "unrestricted" or a list of regions; the tap always writes a list
        kinds = {"array"} if theirs == {"array", "string"} else theirs
        if theirs == {"string"} and column.endswith("_at"):
            kinds = {"date-time"}  # times of environments are text to the SDK
        assert kinds == ours, f"{stream}.{column}"


def test_the_walk_sees_unions_lists_and_maps() -> None:
    found = fields_of(official.APIKey, "")
    assert found["scope_workspace_id"] == ({"string"}, False)
    assert found["principal_user_id"] == ({"string"}, True)
    assert fields_of(official.Workspace, "")["tags"] == ({"object"}, False)
    assert fields_of(official.OrganizationRateLimit, "")["limit_value"] == ({"integer"}, False)


Lists = dict[str, Callable[[anthropic.Anthropic], Iterable[Any]]]

READERS: Lists = {
    "organization": lambda c: [c.organization.retrieve()],
    "workspaces": lambda c: c.organization.workspaces.list(
        include_archived=True, include_default=True, limit=1000
    ),
    "workspace_members": lambda c: (
        member
        for workspace in READERS["workspaces"](c)
        for member in c.organization.workspaces.members.list(workspace.id, limit=1000)
    ),
    "workspace_rate_limits": lambda c: (
        limit
        for workspace in READERS["workspaces"](c)
        for limit in c.organization.workspaces.rate_limits.list(workspace.id)
    ),
    "users": lambda c: c.organization.users.list(limit=1000),
    "invites": lambda c: c.organization.invites.list(limit=1000),
    "api_keys": lambda c: c.organization.api_keys.list(limit=1000),
    "rate_limits": lambda c: c.organization.rate_limits.list(),
    "external_keys": lambda c: c.organization.external_keys.list(),
    "service_accounts": lambda c: c.organization.service_accounts.list(include_archived=True),
    "service_account_workspaces": lambda c: (
        place
        for account in READERS["service_accounts"](c)
        for place in c.organization.service_accounts.workspaces.list(account.id)
    ),
    "federation_issuers": lambda c: c.organization.federation.issuers.list(include_archived=True),
    "federation_rules": lambda c: c.organization.federation.rules.list(include_archived=True),
    "webhooks": lambda c: c.beta.organization.webhooks.list(limit=100),
    "telemetry_destinations": lambda c: c.beta.organization.telemetry_destinations.list(),
}

LIFECYCLES: Any = ["active", "deprecated", "retired"]
PerWorkspace = dict[str, Callable[[anthropic.Anthropic, Any], Iterable[Any]]]
WORKSPACE: PerWorkspace = {
    "agents": lambda c, id_: c.beta.agents.list(include_archived=True, limit=100, workspace_id=id_),
    "deployments": lambda c, id_: c.beta.deployments.list(
        include_archived=True, limit=100, workspace_id=id_
    ),
    "environments": lambda c, id_: c.beta.environments.list(
        include_archived=True, limit=100, workspace_id=id_
    ),
    "agent_sessions": lambda c, id_: c.beta.sessions.list(
        include_archived=True, limit=1000, workspace_id=id_
    ),
    "user_profiles": lambda c, id_: c.user_profiles.list(limit=100, workspace_id=id_),
    "models": lambda c, id_: c.models.list(lifecycle=LIFECYCLES, limit=1000, workspace_id=id_),
    "message_batches": lambda c, id_: c.messages.batches.list(limit=1000, workspace_id=id_),
    "files": lambda c, id_: c.files.list(limit=1000, workspace_id=id_),
    "skills": lambda c, id_: c.skills.list(limit=1000, workspace_id=id_),
}

# The days of the Enterprise organization; the last has data since 10:00 UTC.
DAYS = [dt.date(2026, 3, day) for day in range(12, 20)]


@dataclass
class Dated:
    """A row with its day."""

    row: BaseModel
    day: dt.date

    def model_dump_json(self, **options: Any) -> str:
        return json.dumps(
            {**json.loads(self.row.model_dump_json(**options)), "date": str(self.day)}
        )


def daily(
    endpoint: Callable[[anthropic.Anthropic], Any], **params: Any
) -> Callable[..., Iterable[Any]]:
    """Read an endpoint day by day."""
    return lambda c: (
        Dated(row, day) for day in DAYS for row in endpoint(c).list(date=day, **params)
    )


START, END = f"{DAYS[0]}T00:00:00Z", f"{DAYS[-1] + dt.timedelta(days=1)}T00:00:00Z"

ENDPOINTS: dict[str, Callable[[anthropic.Anthropic], Any]] = {
    "analytics_users": lambda c: c.organization.analytics.users,
    "analytics_projects": lambda c: c.organization.analytics.apps.chat.projects,
    "analytics_skills": lambda c: c.organization.analytics.skills,
    "analytics_connectors": lambda c: c.organization.analytics.connectors,
    "analytics_plugins": lambda c: c.organization.analytics.plugins,
    "analytics_artifacts": lambda c: c.organization.analytics.artifacts,
}

ENTERPRISE: Lists = {
    **{name: daily(endpoint) for name, endpoint in ENDPOINTS.items()},
    "analytics_summaries": lambda c: c.organization.analytics.summaries.list(starting_date=DAYS[0]),
    "analytics_user_usage_report": lambda c: c.beta.organization.analytics.user_usage_report.list(
        starting_at=START, ending_at=END, bucket_width="1d", group_by=["product", "model"]
    ),
    "analytics_user_cost_report": lambda c: c.beta.organization.analytics.user_cost_report.list(
        starting_at=START,
        ending_at=END,
        bucket_width="1d",
        group_by=["product", "model", "cost_type", "token_type"],
    ),
    "rbac_groups": lambda c: c.organization.rbac_groups.list(),
    "rbac_group_members": lambda c: (
        member
        for group in c.organization.rbac_groups.list()
        for member in c.organization.rbac_groups.members.list(group.id)
    ),
    "rbac_roles": lambda c: c.organization.rbac_roles.list(),
    "rbac_role_permissions": lambda c: (
        permission
        for role in c.organization.rbac_roles.list()
        for permission in c.organization.rbac_roles.permissions.list(role.id)
    ),
    "spend_limits": lambda c: c.beta.organization.spend_limits.list(
        betas=["spend-limit-reads-2026-09-26"]
    ),
    "effective_spend_limits": lambda c: c.organization.spend_limits.effective.list(),
    "spend_limit_increase_requests": lambda c: c.organization.spend_limits.increase_requests.list(),
    "users": READERS["users"],
    "invites": READERS["invites"],
    "plugins": lambda c: c.beta.organization.plugins.list(limit=100),
}


# Objects that are one column.
OBJECTS = {
    "capabilities",
    "match_claims",
    "metadata",
    "multiagent",
    "programs_cyber_tiers",
    "programs_efs_features",
    "tags",
}

PRODUCTS = ["chat", "cowork", "chat_cowork_unified"]
# Custom reports, each with what it is based on, grouped by and filtered by.
CUSTOM: dict[str, tuple[str, list[str], dict[str, list[str]]]] = {
    "users_by_team": ("analytics_users", ["rbac_group_id"], {}),
    "projects_by_person": ("analytics_projects", ["user_id", "rbac_group_id"], {}),
    "skills_by_product": ("analytics_skills", ["product"], {"share_status": ["organization"]}),
    "connectors_by_person": ("analytics_connectors", ["user_id"], {"product": PRODUCTS}),
    "plugins_by_all": ("analytics_plugins", ["product", "rbac_group_id", "user_id"], {}),
    "artifacts_by_team": ("analytics_artifacts", ["rbac_group_id"], {"is_shared": ["true"]}),
}


def custom_readers() -> Lists:
    """Return how the SDK reads each custom report."""
    return {
        name: daily(
            ENDPOINTS[report],
            group_by=group_by,
            filter=[f"{key}:{value}" for key, values in filters.items() for value in values],
        )
        for name, (report, group_by, filters) in CUSTOM.items()
    }


GROUP_BY = {
    "analytics_users": official.AnalyticsUserGroupBy,
    "analytics_projects": official.AnalyticsProjectGroupBy,
    "analytics_skills": official.AnalyticsSkillGroupBy,
    "analytics_connectors": official.AnalyticsConnectorGroupBy,
    "analytics_plugins": official.AnalyticsPluginGroupBy,
    "analytics_artifacts": official.AnalyticsArtifactGroupBy,
}


@each("name", GROUP_BY)
def test_dimensions_and_filters_are_those_of_the_official_sdk(name: str) -> None:
    assert set(REPORTS[name].dimensions) == set(typing.get_args(GROUP_BY[name]))
    with anthropic.Anthropic(api_key="none") as client:
        text = " ".join(ENDPOINTS[name](client).list.__doc__.split())
    (filters,) = re.findall(r"Supported dimensions on this endpoint: (.+?)\. ", text)
    assert set(re.findall(r"`(\w+)`", filters)) == set(REPORTS[name].filters)


def leaves(value: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Flatten a row of the SDK without the tap's own code."""
    flat: dict[str, Any] = {}
    for key, part in value.items():
        column = shortened(f"{name}_{key}" if name else key)
        if isinstance(part, dict) and column not in OBJECTS:
            flat |= leaves(part, f"{name}_{key}" if name else key)
        elif part is not None or column not in flat:
            flat[column] = part
    return flat


def expected(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the expected records for a row of the SDK."""
    limits = row.pop("limits", None)
    base = leaves(row)
    geos = base.get("data_residency_allowed_inference_geos")
    if isinstance(geos, str):
        base["data_residency_allowed_inference_geos"] = [geos]
    if limits is None:
        return [base]
    return [{**base, **leaves(limit, "limit")} for limit in limits]


def comparable(record: dict[str, Any], columns: Iterable[str]) -> str:
    """Print a record in one format, with times in one format too."""

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [plain(name, part) for part in value]
        if name.endswith("_at") and value is not None:
            return dt.datetime.fromisoformat(str(value)).timestamp()
        is_number = name.endswith(("_rate", "_seconds")) and value is not None
        return float(value) if is_number else value

    return json.dumps({name: plain(name, record.get(name)) for name in columns}, sort_keys=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_all_streams_equal_what_the_official_sdk_reads(
    simulate: Any, tap: Any, version: str
) -> None:
    simulator = simulate(days=3, now=NOW)
    config = settings(
        simulator, access_token=ACCESS_TOKEN, start_date="2026-03-20", anthropic_version=version
    )
    run = tap(config=config)
    assert run.code == 0, run.stderr
    with (
        anthropic.Anthropic(base_url=simulator.url, api_key=ADMIN_KEY) as client,
        # Unlike auth_token, credentials add the beta header that the API requires with a token.
        anthropic.Anthropic(base_url=simulator.url, credentials=StaticToken(ACCESS_TOKEN)) as token,
    ):
        for stream, read in READERS.items():
            oauth_only = stream.startswith(("service", "federation"))
            assert_equal_rows(run, stream, read(token if oauth_only else client))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_all_enterprise_streams_equal_what_the_official_sdk_reads(
    simulate: Any, tap: Any, version: str
) -> None:
    simulator = simulate(days=40, now=NOW)
    config = {
        **settings(simulator, start_date=str(DAYS[0]), end_date=END),
        "analytics_api_key": ANALYTICS_KEY,
        "anthropic_version": version,
        "legacy_reports": True,
        "reports": [
            {"name": name, "report": report, "group_by": group_by, "filters": filters}
            for name, (report, group_by, filters) in CUSTOM.items()
        ],
    }
    del config["admin_api_key"]
    run = tap(config=config)
    assert run.code == 0, run.stderr
    with anthropic.Anthropic(
        base_url=simulator.url,
        api_key=ANALYTICS_KEY,
        default_headers={"anthropic-version": "2026-10-21"},
    ) as client:
        for stream, read in {**ENTERPRISE, **custom_readers()}.items():
            assert_equal_rows(run, stream, read(client))
    assert set(ENTERPRISE) <= set(run.schemas)


@pytest.mark.slow
@pytest.mark.parametrize("key", [PERSONAL_KEY, WORKSPACE_KEY])
def test_what_workspaces_have_equals_what_the_official_sdk_reads(
    simulate: Any, tap: Any, key: str
) -> None:
    simulator = simulate(days=40, now=NOW)
    workspaces: list[Any] = simulator.facts.organization.workspaces
    several = key == PERSONAL_KEY
    config = settings(simulator, workspace_api_key=key, start_date="2026-01-01")
    del config["admin_api_key"]
    if several:
        config["agent_workspace_ids"] = workspaces
    run = tap(config=config)
    assert run.code == 0, run.stderr
    assert CONTENT not in run.stdout + run.whole_stderr
    with anthropic.Anthropic(base_url=simulator.url, api_key=key) as client:
        for stream, read in WORKSPACE.items():
            ids = workspaces if several else [anthropic.omit]
            rows = {row.id: row for id_ in ids for row in read(client, id_)}
            assert_equal_rows(run, stream, rows.values())
            if stream == "agents":
                versions = {record["id"]: record["agent_version"] for record in run.records(stream)}
                assert versions == {id_: row.version for id_, row in rows.items()}
            if stream != "models":
                names = {record["workspace_id"] for record in run.records(stream)}
                assert names <= set(workspaces)
    assert run.schemas.keys() == {*WORKSPACE, "report_buckets"}


def assert_equal_rows(run: Run, stream: str, models: Iterable[Any]) -> None:
    """Assert that the tap's records equal the rows that the official SDK reads."""
    rows = [json.loads(m.model_dump_json(by_alias=True, exclude_unset=True)) for m in models]
    ours = run.records(stream)
    theirs = [record for row in rows for record in expected(row)]
    names = {name for record in theirs for name in record}
    # An object that is null, while one of its fields is elsewhere.
    objects = {name for name in names if any(other.startswith(f"{name}_") for other in names)}
    columns = [
        name
        for name in names & set(run.schemas[stream]["schema"]["properties"]) | names - objects
        if not any(part in name for part in ("tomorrow", "holodeck"))
        and not within(stream, name, NO_COLUMN)
    ]
    assert theirs, stream
    assert sorted(comparable(r, columns) for r in ours) == sorted(
        comparable(r, columns) for r in theirs
    ), stream
    keys = run.schemas[stream]["key_properties"]
    assert len({tuple(r[k] for k in keys) for r in ours}) == len(ours)
