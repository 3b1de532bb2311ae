"""Declarations of all streams: path, keys, and differences from the base class.

To add a stream, add a class here and a schema file with its name in ``schemas/``.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_claude.credentials import (
    COMPLIANCE,
    CONSOLE,
    CREDENTIALS,
    ENTERPRISE,
    OAUTH,
    WORKSPACE,
)
from tap_claude.feeds import FeedStream
from tap_claude.lists import ListStream
from tap_claude.pagination import (
    IdPaginator,
    OnePagePaginator,
    PagePaginator,
    Paginator,
    TokenPaginator,
)
from tap_claude.report_buckets import BucketLogStream
from tap_claude.report_kinds import (
    BucketReport,
    DayReport,
    EntityReport,
    GroupedReport,
    RowReport,
    SeriesReport,
    UnorderedReport,
)
from tap_claude.reshape import (
    per_limiter,
    per_model,
    with_address,
    with_agent_version,
    with_details,
    with_geo_list,
    with_group_roles,
    with_key_owner,
    with_role_name,
    with_tools,
)

if TYPE_CHECKING:
    from singer_sdk import Tap

    from tap_claude.config import ReportSpec
    from tap_claude.report_read import ReportStream
    from tap_claude.sync_context import SyncContext

FAST_MODE = "fast-mode-2026-02-01"
MANAGED_AGENTS = "managed-agents-2026-04-01"


class MessagesUsage(BucketReport):
    """Tokens and server tools of the Messages API (docs: usage_report/retrieve_messages)."""

    name = "messages_usage"
    path = "usage_report/messages"
    dimensions = (
        "account_id",
        "api_key_id",
        "context_window",
        "inference_geo",
        "model",
        "service_account_id",
        "service_tier",
        "speed",
        "workspace_id",
    )
    default_group_by = ("model", "workspace_id", "api_key_id", "service_tier", "context_window")
    filters = (
        "account_ids",
        "api_key_ids",
        "context_window",
        "inference_geos",
        "models",
        "service_account_ids",
        "service_tiers",
        "speeds",
        "workspace_ids",
    )
    page_buckets = {"1d": 31, "1h": 168, "1m": 1440}
    lookback_days = 7
    dimension_beta_headers = {"speed": FAST_MODE, "speeds": FAST_MODE}


class CostReport(BucketReport):
    """Billed cost by workspace and invoice item (docs: cost_report/retrieve)."""

    name = "cost_report"
    path = "cost_report"
    dimensions = ("description", "workspace_id")
    default_group_by = ("workspace_id", "description")
    page_buckets = {"1d": 31}
    lookback_days = 7
    # The API derives these from the description, which is not unique by itself.
    dimension_key_columns = {
        "description": (
            "description",
            "cost_type",
            "context_window",
            "inference_geo",
            "model",
            "service_tier",
            "speed",
            "token_type",
        )
    }


# -- The Usage and Cost Analytics API (docs: usage-cost-analytics-api)

ANALYTICS_DIMENSIONS = (
    "actor",
    "actor_type",
    "agent_id",
    "api_key_id",
    "claude_tag_category",
    "claude_tag_user_id",
    "context_window",
    "deployment_id",
    "environment_id",
    "inference_geo",
    "model",
    "organization_id",
    "product",
    "rbac_group_id",
    "service_tier",
    "session_id",
    "slack_channel_id",
    "speed",
    "user_profile_id",
    "workspace_id",
)


class AnalyticsReport(RowReport):
    """Base of the two reports that are available to all organizations."""

    credentials = (*CONSOLE, *ENTERPRISE)
    required_scope = "read:analytics"
    beta_headers = ("analytics-usage-cost-2026-08-24",)
    default_group_by: ClassVar[tuple[str, ...]] = (
        "actor",
        "product",
        "model",
        "workspace_id",
        "api_key_id",
    )
    filters = (
        "actor_ids",
        "actor_types",
        "agent_ids",
        "api_key_ids",
        "claude_tag_categories",
        "claude_tag_user_ids",
        "context_windows",
        "deployment_ids",
        "environment_ids",
        "inference_geos",
        "models",
        "organization_ids",
        "products",
        "rbac_group_ids",
        "service_tiers",
        "session_ids",
        "slack_channel_ids",
        "speeds",
        "user_profile_ids",
        "workspace_ids",
    )
    page_buckets = {"1d": 31, "1h": 31 * 24, "1m": 24 * 60}  # maximum per window, not per page
    lookback_days = 30
    earliest = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    max_age = dt.timedelta(days=365)
    warns_of_merged_rows = True
    # There may be several rows without an actor: one per person whom the API cannot identify.
    anonymous_columns = ("actor_user_id", "actor_service_account_id", "actor_api_key_id")
    # Type and ids only, so that a renamed or deleted actor keeps the key.
    dimension_key_columns = {
        "actor": (
            "actor_type",
            "actor_user_id",
            "actor_service_account_id",
            "actor_api_key_id",
            "actor_subject",
            "actor_provider_type",
            "actor_provider_account_id",
            "actor_provider_signed_principal",
            "actor_provider_subscription_id",
            "actor_provider_project_number",
            "actor_provider_issuer",
        )
    }
    incompatible = (
        ("claude_tag_user_id", "rbac_group_id"),
        ("claude_tag_user_id", "rbac_group_ids"),
    )


class AnalyticsUsage(AnalyticsReport):
    """Tokens and requests by person, key, product and model."""

    name = "analytics_usage"
    path = "analytics/usage"
    dimensions = ANALYTICS_DIMENSIONS


class AnalyticsCost(AnalyticsReport):
    """Cost by person, key, product, model and kind of cost."""

    name = "analytics_cost"
    path = "analytics/cost"
    dimensions = (*ANALYTICS_DIMENSIONS, "cost_type", "token_type")
    default_group_by = (*AnalyticsReport.default_group_by, "cost_type", "token_type")
    unlimited_dimensions = ("cost_type", "token_type")


# -- Claude Code (docs: claude-code-analytics-api): both streams share the same responses

CLAUDE_CODE_IDENTITY = (
    "organization_id",
    "actor_type",
    "actor_email_address",
    "actor_api_key_name",
    "customer_type",
    "subscription_type",
    "terminal_type",
    "is_remote",
)


class ClaudeCodeReport(DayReport):
    """Base of the streams made from Claude Code's daily rows."""

    path = "usage_report/claude_code"
    day_parameter = "starting_at"
    paginator = TokenPaginator
    delay = dt.timedelta(hours=1)
    lookback_days = 3
    warns_of_merged_rows = True

    @property
    @override
    def cacheable_paths(self) -> tuple[str, ...]:
        return (self.path,)


class ClaudeCodeUsage(ClaudeCodeReport):
    """Activity of a person or key in Claude Code per day."""

    name = "claude_code_usage"
    key_columns = CLAUDE_CODE_IDENTITY
    ignored_fields = ("model_breakdown",)
    reshape = with_tools


class ClaudeCodeModelUsage(ClaudeCodeReport):
    """Tokens and estimated cost of Claude Code by model."""

    name = "claude_code_model_usage"
    key_columns = (*CLAUDE_CODE_IDENTITY, "model", "estimated_cost_currency")
    reshape = per_model


# -- Claude Enterprise: activity (docs: claude-enterprise-analytics-api)

ANALYTICS_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
GROUPING_FIELDS = ("product", "rbac_group_id", "user_id")
"""Fields of grouped rows. They are always part of the key, so that it is unique."""


class EngagementReport(DayReport, EntityReport):
    """Base of the reports for one day, whose rows do not contain the day."""

    credentials = ENTERPRISE
    required_scope = "read:analytics"
    day_parameter = "date"
    page_buckets = {"1d": 1}
    dimensions: ClassVar[tuple[str, ...]] = GROUPING_FIELDS
    paginator = PagePaginator
    lookback_days = 3
    earliest = ANALYTICS_START
    names_newest_day = True
    warns_of_merged_rows = True


class AnalyticsUsers(EngagementReport):
    """Activity of each active user per day."""

    name = "analytics_users"
    path = "analytics/users"
    dimensions = ("rbac_group_id",)
    filters = ("project_id", "rbac_group_id", "user_id")
    incompatible = (("project_id", "rbac_group_id"),)
    base_key_columns = ("user_id", "rbac_group_id")


class AnalyticsProjects(EngagementReport):
    """Usage of chat projects per day."""

    name = "analytics_projects"
    path = "analytics/apps/chat/projects"
    dimensions = ("rbac_group_id", "user_id")
    filters = ("project_id", "rbac_group_id", "user_id")
    base_key_columns = ("project_id", "rbac_group_id", "user_id")


class AnalyticsSkills(EngagementReport):
    """Usage of skills per day."""

    name = "analytics_skills"
    path = "analytics/skills"
    filters = ("product", "rbac_group_id", "share_status", "skill_name", "user_id")
    base_key_columns = ("skill_name", "share_status", *GROUPING_FIELDS)


class AnalyticsConnectors(EngagementReport):
    """Usage of connectors per day."""

    name = "analytics_connectors"
    path = "analytics/connectors"
    filters = ("connector_name", "product", "rbac_group_id", "user_id")
    base_key_columns = ("connector_name", *GROUPING_FIELDS)


class AnalyticsPlugins(EngagementReport):
    """Usage of plugins per day."""

    name = "analytics_plugins"
    path = "analytics/plugins"
    filters = ("plugin_name", "product", "rbac_group_id", "user_id")
    base_key_columns = ("plugin_name", "plugin_id", *GROUPING_FIELDS)


class AnalyticsArtifacts(EngagementReport):
    """Artifacts created per day, by type and sharing status."""

    name = "analytics_artifacts"
    path = "analytics/artifacts"
    filters = ("artifact_type", "is_shared", "product", "rbac_group_id", "user_id")
    base_key_columns = ("artifact_type", "is_shared", *GROUPING_FIELDS)

    def __init__(self, tap: Tap, *, run: SyncContext, spec: ReportSpec | None = None) -> None:
        """Set up the report. Only grouped rows have several pages."""
        super().__init__(tap, run=run, spec=spec)
        if not self.spec.group_by:
            self.paginator = OnePagePaginator


class AnalyticsSummaries(SeriesReport):
    """Active users, seats and adoption by day."""

    name = "analytics_summaries"
    path = "analytics/summaries"
    credentials = ENTERPRISE
    required_scope = "read:analytics"
    paginator = OnePagePaginator
    filters = ("rbac_group_id",)
    page_buckets = {"1d": 366}
    lookback_days = 3
    earliest = ANALYTICS_START
    names_newest_day = True


# -- Claude Enterprise: the predecessors of analytics_usage and analytics_cost

LEGACY_DIMENSIONS = (
    "claude_tag_category",
    "claude_tag_user_id",
    "context_window",
    "inference_geo",
    "model",
    "product",
    "rbac_group_id",
    "slack_channel_id",
    "speed",
)
LEGACY_COST_DIMENSIONS = (*LEGACY_DIMENSIONS, "cost_type", "token_type")
COST_GROUPS = ("product", "model", "cost_type", "token_type")


class LegacyBucketReport(BucketReport):
    """Base of the legacy reports by day."""

    is_legacy = True
    credentials = ENTERPRISE
    required_scope = "read:analytics"
    page_buckets = {"1d": 31, "1h": 168, "1m": 256}
    lookback_days = 30
    earliest = ANALYTICS_START
    max_age = dt.timedelta(days=365)
    api_group_limit = 100


class AnalyticsUsageReport(LegacyBucketReport):
    """Tokens by product and model; superseded by analytics_usage."""

    name = "analytics_usage_report"
    path = "analytics/usage_report"
    dimensions = LEGACY_DIMENSIONS
    default_group_by = ("product", "model")
    superseded_by = "analytics_usage"


class AnalyticsCostReport(LegacyBucketReport):
    """Cost by product, model and kind of cost; superseded by analytics_cost."""

    name = "analytics_cost_report"
    path = "analytics/cost_report"
    dimensions = LEGACY_COST_DIMENSIONS
    default_group_by = COST_GROUPS
    superseded_by = "analytics_cost"


class LegacyUserReport(UnorderedReport):
    """Base of the legacy reports by user and day."""

    is_legacy = True
    credentials = ENTERPRISE
    required_scope = "read:analytics"
    page_buckets = {"1d": 31}
    lookback_days = 30
    earliest = ANALYTICS_START
    max_age = dt.timedelta(days=365)
    base_key_columns = ("actor_type", "actor_user_id")
    reshape = with_address


class AnalyticsUserUsageReport(LegacyUserReport):
    """Tokens by user, product and model; superseded by analytics_usage."""

    name = "analytics_user_usage_report"
    path = "analytics/user_usage_report"
    dimensions = LEGACY_DIMENSIONS
    default_group_by = ("product", "model")


class AnalyticsUserCostReport(LegacyUserReport):
    """Cost by user, product, model and kind of cost; superseded by analytics_cost."""

    name = "analytics_user_cost_report"
    path = "analytics/user_cost_report"
    dimensions = LEGACY_COST_DIMENSIONS
    default_group_by = COST_GROUPS


# -- The directory (docs: api/admin)


class Organization(ListStream):
    """The organization that the credential belongs to (docs: api/admin/organizations)."""

    name = "organization"
    path = "me"
    returns_object = True
    page_size = None


class Workspaces(ListStream):
    """Workspaces, including archived ones and the default one (docs: workspaces)."""

    name = "workspaces"
    path = "workspaces"
    paginator = IdPaginator
    list_params = {"include_archived": "true", "include_default": "true"}
    reshape = with_geo_list


class WorkspaceMembers(ListStream):
    """Members of each workspace (docs: api/admin/workspaces/members)."""

    name = "workspace_members"
    path = "workspaces/{parent_id}/members"
    primary_keys = ("organization_id", "workspace_id", "user_id")
    paginator = IdPaginator
    parent = Workspaces
    parent_column = "workspace_id"


class WorkspaceRateLimits(ListStream):
    """Limits set on a workspace; all other limits are inherited."""

    name = "workspace_rate_limits"
    path = "workspaces/{parent_id}/rate_limits"
    primary_keys = ("row_id",)
    row_key = ("workspace_id", "rate_limit_id", "group_type", "group_id", "limit_type")
    paginator = PagePaginator
    parent = Workspaces
    parent_column = "workspace_id"
    reshape = per_limiter


class RateLimits(ListStream):
    """Limits of the organization, one row per group and limiter (docs: rate-limits-api)."""

    name = "rate_limits"
    path = "rate_limits"
    primary_keys = ("row_id",)
    row_key = ("id", "group_type", "group_id", "limit_type")
    paginator = PagePaginator
    reshape = per_limiter


class Users(ListStream):
    """Members of the organization (docs: user-management)."""

    name = "users"
    path = "users"
    credentials = (*CONSOLE, *ENTERPRISE)
    required_scope = "read:members"
    paginator = IdPaginator


class Invites(ListStream):
    """Invitations of all statuses (docs: user-management)."""

    name = "invites"
    path = "invites"
    credentials = (*CONSOLE, *ENTERPRISE)
    required_scope = "read:members"
    paginator = IdPaginator


class ApiKeys(ListStream):
    """API keys of all statuses; never the keys themselves (docs: api/admin/api_keys)."""

    name = "api_keys"
    path = "api_keys"
    paginator = IdPaginator
    reshape = with_key_owner


class ExternalKeys(ListStream):
    """Customer-managed encryption keys (docs: api/admin/external_keys)."""

    name = "external_keys"
    path = "external_keys"
    paginator = PagePaginator
    page_size = 100


class OAuthStream(ListStream):
    """Base of the streams that only an OAuth token may read, with 100 rows per page."""

    credentials = OAUTH
    paginator = PagePaginator
    page_size = 100


class ServiceAccounts(OAuthStream):
    """Service accounts, including archived ones (docs: wif-admin-api)."""

    name = "service_accounts"
    path = "service_accounts"
    list_params = {"include_archived": "true"}


class ServiceAccountWorkspaces(OAuthStream):
    """Workspaces of each service account (docs: wif-admin-api)."""

    name = "service_account_workspaces"
    path = "service_accounts/{parent_id}/workspaces"
    primary_keys = ("organization_id", "service_account_id", "workspace_id")
    parent = ServiceAccounts
    parent_column = "service_account_id"


class FederationIssuers(OAuthStream):
    """Identity providers that may issue tokens (docs: wif-admin-api)."""

    name = "federation_issuers"
    path = "federation_issuers"
    list_params = {"include_archived": "true"}


class FederationRules(OAuthStream):
    """Rules that map an issuer's tokens to service accounts (docs: wif-admin-api)."""

    name = "federation_rules"
    path = "federation_rules"
    list_params = {"include_archived": "true"}


# -- Claude Enterprise: groups, roles and spend limits (docs: api/admin/rbac, spend-limits-api)


class EnterpriseStream(ListStream):
    """Base of the lists that exist only in Claude Enterprise organizations."""

    credentials = ENTERPRISE
    paginator = PagePaginator


class RbacGroups(EnterpriseStream):
    """Groups of users, for example one per team."""

    name = "rbac_groups"
    path = "rbac_groups"
    required_scope = "read:rbac_groups"
    reshape = with_group_roles


class RbacGroupMembers(EnterpriseStream):
    """Members of each group."""

    name = "rbac_group_members"
    path = "rbac_groups/{parent_id}/members"
    primary_keys = ("row_id",)
    row_key = ("rbac_group_id", "user_id")
    required_scope = "read:rbac_groups"
    parent = RbacGroups
    parent_column = "rbac_group_id"


class RbacRoles(EnterpriseStream):
    """Roles: named sets of permissions."""

    name = "rbac_roles"
    path = "rbac_roles"
    required_scope = "read:members"
    reshape = with_role_name


class RbacRolePermissions(EnterpriseStream):
    """Permissions of each role."""

    name = "rbac_role_permissions"
    path = "rbac_roles/{parent_id}/permissions"
    primary_keys = ("row_id",)
    row_key = (
        "rbac_role_id",
        "action",
        "resource_type",
        "resource_organization_id",
        "resource_connector_id",
        "resource_tool_name",
        "resource_scope",
    )
    required_scope = "read:members"
    parent = RbacRoles
    parent_column = "rbac_role_id"


class SpendLimitStream(EnterpriseStream):
    """Base of the streams about spend limits."""

    required_scope = "read:spend_limits"


class SpendLimits(SpendLimitStream):
    """Configured limits, by scope."""

    name = "spend_limits"
    path = "spend_limits"
    beta_headers = ("spend-limit-reads-2026-09-26",)


class EffectiveSpendLimits(SpendLimitStream):
    """The limit that applies to each member and period, and the spend so far."""

    name = "effective_spend_limits"
    path = "spend_limits/effective"
    primary_keys = ("row_id",)
    row_key = (
        "spend_limit_id",
        "actor_type",
        "actor_user_id",
        "actor_scoped_api_key_id",
        "period",
        "scope_type",
        "scope_user_id",
        "scope_seat_tier",
        "scope_rbac_group_id",
        "scope_service",
        "scope_workspace_id",
    )


class SpendLimitIncreaseRequests(SpendLimitStream):
    """Requests for a higher limit, and their status."""

    name = "spend_limit_increase_requests"
    path = "spend_limit_increase_requests"


class Plugins(EnterpriseStream):
    """Plugins of the organization and of its members (docs: api/beta/organization/plugins)."""

    name = "plugins"
    path = "plugins"
    required_scope = "read:plugins"
    beta_headers = ("ce-plugins-2026-09-01",)
    page_size = 100


# -- Governance of a Console organization


class Webhooks(ListStream):
    """Webhook endpoints of the organization (docs: api/beta/organization/webhooks)."""

    name = "webhooks"
    path = "webhooks"
    beta_headers = ("webhooks-2026-10-07",)
    paginator = IdPaginator
    page_size = 100


class TelemetryDestinations(ListStream):
    """Where telemetry is exported to (docs: manage-claude/opentelemetry)."""

    name = "telemetry_destinations"
    path = "telemetry_destinations"
    beta_headers = ("telemetry-destinations-2026-08-11",)
    paginator = PagePaginator


# -- What belongs to workspaces (docs: api/beta/agents, sessions, deployments, environments)


class WorkspaceStream(ListStream):
    """Base of the lists that a workspace has, with the workspace as a column."""

    credentials = WORKSPACE
    paginator: type[Paginator] = PagePaginator
    parent_column = "workspace_id"


class AgentStream(WorkspaceStream):
    """Base of the lists of Claude Managed Agents, with 100 rows per page."""

    beta_headers = (MANAGED_AGENTS,)
    page_size = 100
    list_params = {"include_archived": "true"}


class Agents(AgentStream):
    """Agents, without system prompt and tools: the names of ``agent_id``."""

    name = "agents"
    path = "/v1/agents"
    ignored_fields = ("system", "tools", "mcp_servers")
    reshape = with_agent_version


class Deployments(AgentStream):
    """Deployments, without their first messages: the names of ``deployment_id``."""

    name = "deployments"
    path = "/v1/deployments"
    ignored_fields = ("initial_events", "resources")


SESSION_CONTENT = (
    "title",
    "outcome_evaluations",
    "resources",
    "agent_description",
    "agent_mcp_servers",
    "agent_multiagent",
    "agent_skills",
    "agent_system",
    "agent_tools",
)
"""Fields of a session that repeat what people asked for, or what `Agents` has."""


class Environments(AgentStream):
    """Environments that agents run in: the names of ``environment_id``."""

    name = "environments"
    path = "/v1/environments"


class AgentSessions(FeedStream):
    """Sessions of agents: tokens, seconds and list cost, without messages."""

    name = "agent_sessions"
    path = "/v1/sessions"
    credentials = WORKSPACE
    beta_headers = (MANAGED_AGENTS,)
    paginator = PagePaginator
    list_params = {"include_archived": "true", "order": "asc"}
    parent_column = "workspace_id"
    lookback_days = 3
    final_status = "terminated"
    ignored_fields = SESSION_CONTENT


class UserProfiles(WorkspaceStream):
    """Customers of a reseller, or users of a product: the names of ``user_profile_id``."""

    name = "user_profiles"
    path = "/v1/user_profiles"
    page_size = 100


class Models(WorkspaceStream):
    """Models of all lifecycles, with their dates (docs: api/models/list)."""

    name = "models"
    path = "/v1/models"
    paginator = IdPaginator
    list_params = {"lifecycle[]": ("active", "deprecated", "retired")}
    parent_column = ""


class MessageBatches(WorkspaceStream):
    """Message batches: number of requests and times (docs: api/messages/batches/list)."""

    name = "message_batches"
    path = "/v1/messages/batches"
    paginator = IdPaginator


class Files(WorkspaceStream):
    """Uploaded files: names, sizes and expiry, without content (docs: api/files/list)."""

    name = "files"
    path = "/v1/files"


class Skills(WorkspaceStream):
    """Skills of the workspace and of Anthropic: their names (docs: api/skills/list)."""

    name = "skills"
    path = "/v1/skills"


# -- The Compliance API (docs: manage-claude/compliance-activity-feed)


class ComplianceActivities(FeedStream):
    """Sign-ins, invitations, and changes of keys and roles, by whom."""

    name = "compliance_activities"
    path = "/v1/compliance/activities"
    credentials = ("admin_api_key", *COMPLIANCE)
    required_scope = "read:compliance_activities"
    paginator = IdPaginator
    page_size = 5000
    list_params = {"order": "asc"}
    bound = "created_at.{}"
    own_organization = "organization_uuid"
    reshape = with_details


class ComplianceOrganizations(ListStream):
    """Organizations of a parent organization: the names of ``organization_id``."""

    name = "compliance_organizations"
    path = "/v1/compliance/organizations"
    primary_keys = ("organization_id", "uuid")
    credentials = COMPLIANCE
    required_scope = "read:compliance_org_data"
    paginator = TokenPaginator


class ReportBuckets(BucketLogStream):
    """One row per bucket or full table that this run has read, including empty ones."""

    name = "report_buckets"
    path = ""
    credentials = CREDENTIALS


REPORTS: dict[str, type[GroupedReport]] = {
    stream.name: stream
    for stream in (
        MessagesUsage,
        CostReport,
        AnalyticsUsage,
        AnalyticsCost,
        AnalyticsUsers,
        AnalyticsProjects,
        AnalyticsSkills,
        AnalyticsConnectors,
        AnalyticsPlugins,
        AnalyticsArtifacts,
        AnalyticsSummaries,
    )
}
"""Reports that the setting ``reports`` can be based on."""

STREAMS: dict[str, type[ReportStream | ListStream | FeedStream | BucketLogStream]] = {
    stream.name: stream
    for stream in (
        ClaudeCodeUsage,
        ClaudeCodeModelUsage,
        AnalyticsUsageReport,
        AnalyticsCostReport,
        AnalyticsUserUsageReport,
        AnalyticsUserCostReport,
        Organization,
        Workspaces,
        WorkspaceMembers,
        WorkspaceRateLimits,
        Users,
        Invites,
        ApiKeys,
        RateLimits,
        ExternalKeys,
        ServiceAccounts,
        ServiceAccountWorkspaces,
        FederationIssuers,
        FederationRules,
        RbacGroups,
        RbacGroupMembers,
        RbacRoles,
        RbacRolePermissions,
        SpendLimits,
        EffectiveSpendLimits,
        SpendLimitIncreaseRequests,
        Plugins,
        Webhooks,
        TelemetryDestinations,
        Agents,
        Deployments,
        Environments,
        AgentSessions,
        UserProfiles,
        Models,
        MessageBatches,
        Files,
        Skills,
        ComplianceActivities,
        ComplianceOrganizations,
        ReportBuckets,
    )
}
"""All other streams."""
