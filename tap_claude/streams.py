"""Every stream, declared: path, schema, keys, what differs and nothing else.

To add a report: one class here, and a schema file of its name in ``schemas/``.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import SchemaDirectory, StreamSchema
from typing_extensions import override

from tap_claude import schemas
from tap_claude.client import CONSOLE, ENTERPRISE
from tap_claude.directory import DirectoryStream
from tap_claude.pagination import (
    IdPaginator,
    OnePagePaginator,
    PagePaginator,
    TokenPaginator,
)
from tap_claude.records import (
    per_limiter,
    per_model,
    with_address,
    with_geo_list,
    with_group_roles,
    with_key_owner,
    with_role_name,
    with_tools,
)
from tap_claude.report_kinds import (
    BucketReport,
    DayReport,
    RankedReport,
    RowReport,
    SeriesReport,
)
from tap_claude.reports import BucketLogStream, GroupedReport, ReportStream

if TYPE_CHECKING:
    from collections.abc import Iterable


Row = dict[str, Any]

SCHEMAS = SchemaDirectory(schemas)

FAST_MODE = "fast-mode-2026-02-01"


class MessagesUsage(BucketReport):
    """Tokens and server tools of the Messages API (docs: usage_report/retrieve_messages)."""

    name = "messages_usage"
    path = "usage_report/messages"
    schema = StreamSchema(SCHEMAS, key=name)
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
    gated = {"speed": FAST_MODE, "speeds": FAST_MODE}


class CostReport(BucketReport):
    """Billed cost by workspace and line of the bill (docs: cost_report/retrieve)."""

    name = "cost_report"
    path = "cost_report"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = ("description", "workspace_id")
    default_group_by = ("workspace_id", "description")
    page_buckets = {"1d": 31}
    lookback_days = 7
    # The API parses these from the description, which alone is not unique.
    key_columns = {
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
    """Base of the two reports that all organizations have."""

    credentials = (*CONSOLE, *ENTERPRISE)
    needs = "an Admin API key, or an Enterprise key with the scope read:analytics"
    beta = "analytics-usage-cost-2026-08-24"
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
    page_buckets = {"1d": 31, "1h": 31 * 24, "1m": 24 * 60}  # a window's most, not a page's
    lookback_days = 30
    earliest = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    max_age = dt.timedelta(days=365)
    # Several people whom the API cannot name may each have a row without an actor.
    anonymous_columns = ("actor_user_id", "actor_service_account_id", "actor_api_key_id")
    # By type and ids: who is renamed or deleted keeps the key.
    key_columns = {
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
    exclusive = (("claude_tag_user_id", "rbac_group_id"), ("claude_tag_user_id", "rbac_group_ids"))


class AnalyticsUsage(AnalyticsReport):
    """Tokens and requests by person, key, product and model."""

    name = "analytics_usage"
    path = "analytics/usage"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = ANALYTICS_DIMENSIONS


class AnalyticsCost(AnalyticsReport):
    """Cost by person, key, product, model and kind of cost."""

    name = "analytics_cost"
    path = "analytics/cost"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = (*ANALYTICS_DIMENSIONS, "cost_type", "token_type")
    default_group_by = (*AnalyticsReport.default_group_by, "cost_type", "token_type")
    uncounted = ("cost_type", "token_type")


# -- Claude Code (docs: claude-code-analytics-api): one pass over the days gives both streams

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


class ClaudeCodeUsage(ClaudeCodeReport):
    """What a person or key did with Claude Code on a day."""

    name = "claude_code_usage"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = CLAUDE_CODE_IDENTITY
    ignored = ("model_breakdown",)

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        tools = ("edit_tool", "multi_edit_tool", "write_tool", "notebook_edit_tool")
        return (with_tools(row, tools),)


class ClaudeCodeModelUsage(ClaudeCodeReport):
    """Tokens and estimated cost of Claude Code by model."""

    name = "claude_code_model_usage"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = (*CLAUDE_CODE_IDENTITY, "model", "estimated_cost_currency")

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        shared = ("organization_id", "actor", "customer_type", "subscription_type")
        return per_model(row, (*shared, "terminal_type", "is_remote"))


# -- Claude Enterprise: who uses what (docs: claude-enterprise-analytics-api)

ANALYTICS_NEEDS = "an Enterprise key (analytics_api_key) with the scope read:analytics"
ANALYTICS_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
GROUPING_FIELDS = ("product", "rbac_group_id", "user_id")
"""Fields of rows that are grouped; they count for the key, so that it stays unique."""


class EngagementReport(DayReport):
    """Base of the reports that have rows of one day, without the day."""

    credentials = ENTERPRISE
    needs = ANALYTICS_NEEDS
    day_parameter = "date"
    paginator = PagePaginator
    lookback_days = 3
    earliest = ANALYTICS_START
    names_newest_day = True


class AnalyticsUsers(EngagementReport):
    """What each active user did on a day."""

    name = "analytics_users"
    path = "analytics/users"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = ("user_id", "rbac_group_id")


class AnalyticsProjects(EngagementReport):
    """Use of chat projects on a day."""

    name = "analytics_projects"
    path = "analytics/apps/chat/projects"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = ("project_id", "rbac_group_id", "user_id")


class AnalyticsSkills(EngagementReport):
    """Use of skills on a day."""

    name = "analytics_skills"
    path = "analytics/skills"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = ("skill_name", "share_status", *GROUPING_FIELDS)


class AnalyticsConnectors(EngagementReport):
    """Use of connectors on a day."""

    name = "analytics_connectors"
    path = "analytics/connectors"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = ("connector_name", *GROUPING_FIELDS)


class AnalyticsPlugins(EngagementReport):
    """Use of plugins on a day."""

    name = "analytics_plugins"
    path = "analytics/plugins"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = ("plugin_name", "plugin_id", *GROUPING_FIELDS)


class AnalyticsArtifacts(EngagementReport):
    """Artifacts made on a day, by type and whether they are shared."""

    name = "analytics_artifacts"
    path = "analytics/artifacts"
    schema = StreamSchema(SCHEMAS, key=name)
    identity = ("artifact_type", "is_shared", *GROUPING_FIELDS)
    # Only grouped rows come in pages.
    paginator = OnePagePaginator
    page_size = None


class AnalyticsSummaries(SeriesReport):
    """Active users, seats and adoption by day."""

    name = "analytics_summaries"
    path = "analytics/summaries"
    schema = StreamSchema(SCHEMAS, key=name)
    credentials = ENTERPRISE
    needs = ANALYTICS_NEEDS
    paginator = OnePagePaginator
    longest = 366
    lookback_days = 3
    earliest = ANALYTICS_START
    names_newest_day = True


# -- Claude Enterprise: the reports before analytics_usage and analytics_cost

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


class LegacyReport:
    """Marks the reports that are offered only with the setting ``legacy_reports``."""


class LegacyBucketReport(LegacyReport, BucketReport):
    """Base of the legacy reports by day."""

    credentials = ENTERPRISE
    needs = ANALYTICS_NEEDS
    page_buckets = {"1d": 31, "1h": 168, "1m": 256}
    lookback_days = 30
    earliest = ANALYTICS_START
    max_age = dt.timedelta(days=365)
    most_groups = 100


class AnalyticsUsageReport(LegacyBucketReport):
    """Tokens by product and model; superseded by analytics_usage."""

    name = "analytics_usage_report"
    path = "analytics/usage_report"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = LEGACY_DIMENSIONS
    default_group_by = ("product", "model")
    instead = "analytics_usage"


class AnalyticsCostReport(LegacyBucketReport):
    """Cost by product, model and kind of cost; superseded by analytics_cost."""

    name = "analytics_cost_report"
    path = "analytics/cost_report"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = LEGACY_COST_DIMENSIONS
    default_group_by = COST_GROUPS
    instead = "analytics_cost"


class LegacyUserReport(LegacyReport, RankedReport):
    """Base of the legacy reports by user and day."""

    credentials = ENTERPRISE
    needs = ANALYTICS_NEEDS
    page_buckets = {"1d": 31}
    lookback_days = 30
    earliest = ANALYTICS_START
    max_age = dt.timedelta(days=365)
    always = ("actor_type", "actor_user_id")

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return (with_address(row),)


class AnalyticsUserUsageReport(LegacyUserReport):
    """Tokens by user, product and model; superseded by analytics_usage."""

    name = "analytics_user_usage_report"
    path = "analytics/user_usage_report"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = LEGACY_DIMENSIONS
    default_group_by = ("product", "model")


class AnalyticsUserCostReport(LegacyUserReport):
    """Cost by user, product, model and kind of cost; superseded by analytics_cost."""

    name = "analytics_user_cost_report"
    path = "analytics/user_cost_report"
    schema = StreamSchema(SCHEMAS, key=name)
    dimensions = LEGACY_COST_DIMENSIONS
    default_group_by = COST_GROUPS


# -- The directory (docs: api/admin)

OAUTH = ("access_token",)
OAUTH_NEEDS = "an OAuth token with the scope org:admin (access_token); Admin keys will not do"


class Organization(DirectoryStream):
    """The organization that the credential belongs to (docs: api/admin/organizations)."""

    name = "organization"
    path = "me"
    schema = StreamSchema(SCHEMAS, key=name)
    single = True
    page_size = None


class Workspaces(DirectoryStream):
    """Workspaces, archived ones and the default one included (docs: workspaces)."""

    name = "workspaces"
    path = "workspaces"
    schema = StreamSchema(SCHEMAS, key=name)
    paginator = IdPaginator
    params = {"include_archived": "true", "include_default": "true"}

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return (with_geo_list(row),)


class WorkspaceMembers(DirectoryStream):
    """Who is in which workspace (docs: api/admin/workspaces/members)."""

    name = "workspace_members"
    path = "workspaces/{parent_id}/members"
    schema = StreamSchema(SCHEMAS, key=name)
    primary_keys = ("organization_id", "workspace_id", "user_id")
    paginator = IdPaginator
    parent = Workspaces
    parent_column = "workspace_id"


class WorkspaceRateLimits(DirectoryStream):
    """Limits that a workspace sets for itself; what is missing is inherited."""

    name = "workspace_rate_limits"
    path = "workspaces/{parent_id}/rate_limits"
    schema = StreamSchema(SCHEMAS, key=name)
    primary_keys = ("row_id",)
    row_key = ("workspace_id", "rate_limit_id", "group_type", "group_id", "limit_type")
    paginator = PagePaginator
    parent = Workspaces
    parent_column = "workspace_id"

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return per_limiter(row)


class RateLimits(DirectoryStream):
    """Limits of the organization, one row per group and limiter (docs: rate-limits-api)."""

    name = "rate_limits"
    path = "rate_limits"
    schema = StreamSchema(SCHEMAS, key=name)
    primary_keys = ("row_id",)
    row_key = ("id", "group_type", "group_id", "limit_type")
    paginator = PagePaginator

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return per_limiter(row)


class Users(DirectoryStream):
    """Members of the organization (docs: user-management)."""

    name = "users"
    path = "users"
    schema = StreamSchema(SCHEMAS, key=name)
    credentials = (*CONSOLE, *ENTERPRISE)
    needs = "an Admin API key, or an Enterprise key with the scope read:members"
    paginator = IdPaginator


class Invites(DirectoryStream):
    """Invitations of all statuses (docs: user-management)."""

    name = "invites"
    path = "invites"
    schema = StreamSchema(SCHEMAS, key=name)
    credentials = (*CONSOLE, *ENTERPRISE)
    needs = "an Admin API key, or an Enterprise key with the scope read:members"
    paginator = IdPaginator


class ApiKeys(DirectoryStream):
    """API keys of all statuses; never the keys themselves (docs: api/admin/api_keys)."""

    name = "api_keys"
    path = "api_keys"
    schema = StreamSchema(SCHEMAS, key=name)
    paginator = IdPaginator

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return (with_key_owner(row),)


class ExternalKeys(DirectoryStream):
    """Customer-managed encryption keys (docs: api/admin/external_keys)."""

    name = "external_keys"
    path = "external_keys"
    schema = StreamSchema(SCHEMAS, key=name)
    paginator = PagePaginator
    page_size = 100


class OAuthStream(DirectoryStream):
    """Base of the streams that only an OAuth token may read, a hundred rows a page."""

    credentials = OAUTH
    needs = OAUTH_NEEDS
    paginator = PagePaginator
    page_size = 100


class ServiceAccounts(OAuthStream):
    """Service accounts, archived ones included (docs: wif-admin-api)."""

    name = "service_accounts"
    path = "service_accounts"
    schema = StreamSchema(SCHEMAS, key=name)
    params = {"include_archived": "true"}


class ServiceAccountWorkspaces(OAuthStream):
    """Which service account is in which workspace (docs: wif-admin-api)."""

    name = "service_account_workspaces"
    path = "service_accounts/{parent_id}/workspaces"
    schema = StreamSchema(SCHEMAS, key=name)
    primary_keys = ("organization_id", "service_account_id", "workspace_id")
    parent = ServiceAccounts
    parent_column = "service_account_id"


class FederationIssuers(OAuthStream):
    """Identity providers that may issue tokens (docs: wif-admin-api)."""

    name = "federation_issuers"
    path = "federation_issuers"
    schema = StreamSchema(SCHEMAS, key=name)
    params = {"include_archived": "true"}


class FederationRules(OAuthStream):
    """Which token of which issuer becomes which service account (docs: wif-admin-api)."""

    name = "federation_rules"
    path = "federation_rules"
    schema = StreamSchema(SCHEMAS, key=name)
    params = {"include_archived": "true"}


# -- Claude Enterprise: groups, roles and spend limits (docs: api/admin/rbac, spend-limits-api)


class EnterpriseStream(DirectoryStream):
    """Base of the lists that only organizations on Claude Enterprise have."""

    credentials = ENTERPRISE
    paginator = PagePaginator


class RbacGroups(EnterpriseStream):
    """Groups of users, for example one per team."""

    name = "rbac_groups"
    path = "rbac_groups"
    schema = StreamSchema(SCHEMAS, key=name)
    needs = "an Enterprise key (analytics_api_key) with the scope read:rbac_groups"

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return (with_group_roles(row),)


class RbacGroupMembers(EnterpriseStream):
    """Who is in which group."""

    name = "rbac_group_members"
    path = "rbac_groups/{parent_id}/members"
    schema = StreamSchema(SCHEMAS, key=name)
    primary_keys = ("row_id",)
    row_key = ("rbac_group_id", "user_id")
    needs = RbacGroups.needs
    parent = RbacGroups
    parent_column = "rbac_group_id"


class RbacRoles(EnterpriseStream):
    """Roles: named sets of permissions."""

    name = "rbac_roles"
    path = "rbac_roles"
    schema = StreamSchema(SCHEMAS, key=name)
    needs = "an Enterprise key (analytics_api_key) with the scope read:members"

    @override
    def expand(self, row: Row) -> Iterable[Row]:
        return (with_role_name(row),)


class RbacRolePermissions(EnterpriseStream):
    """What each role permits."""

    name = "rbac_role_permissions"
    path = "rbac_roles/{parent_id}/permissions"
    schema = StreamSchema(SCHEMAS, key=name)
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
    needs = RbacRoles.needs
    parent = RbacRoles
    parent_column = "rbac_role_id"


class SpendLimitStream(EnterpriseStream):
    """Base of the streams about spend limits."""

    needs = "an Enterprise key (analytics_api_key) with the scope read:spend_limits"


class SpendLimits(SpendLimitStream):
    """Limits that have been set, by scope."""

    name = "spend_limits"
    path = "spend_limits"
    schema = StreamSchema(SCHEMAS, key=name)
    beta = "spend-limit-reads-2026-09-26"


class EffectiveSpendLimits(SpendLimitStream):
    """The limit that holds for each member and period, and the spend so far."""

    name = "effective_spend_limits"
    path = "spend_limits/effective"
    schema = StreamSchema(SCHEMAS, key=name)
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
    """Requests for a higher limit, and what became of them."""

    name = "spend_limit_increase_requests"
    path = "spend_limit_increase_requests"
    schema = StreamSchema(SCHEMAS, key=name)


class ReportBuckets(BucketLogStream):
    """One row per bucket that a report stream has read in this run, empty ones too."""

    name = "report_buckets"
    path = ""
    schema = StreamSchema(SCHEMAS, key=name)
    credentials = (*CONSOLE, *ENTERPRISE)


REPORTS: dict[str, type[GroupedReport]] = {
    stream.name: stream for stream in (MessagesUsage, CostReport, AnalyticsUsage, AnalyticsCost)
}
"""Reports that the setting ``reports`` can vary."""

STREAMS: dict[str, type[ReportStream | DirectoryStream | BucketLogStream]] = {
    stream.name: stream
    for stream in (
        ClaudeCodeUsage,
        ClaudeCodeModelUsage,
        AnalyticsUsers,
        AnalyticsProjects,
        AnalyticsSkills,
        AnalyticsConnectors,
        AnalyticsPlugins,
        AnalyticsArtifacts,
        AnalyticsSummaries,
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
        ReportBuckets,
    )
}
"""All others."""
