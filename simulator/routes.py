"""Endpoints and credentials: which kind of key may read what."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from simulator import (
    admin_lists,
    agents,
    analytics,
    claude_code,
    compliance,
    console_reports,
    engagement,
    enterprise_lists,
    enterprise_reports,
    governance,
    workspace_lists,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "/v1/organizations/"
ADMIN_KEY = "sk-ant-admin01-simulator"
ANALYTICS_KEY = "sk-ant-api01-simulator"
ACCESS_TOKEN = "sk-ant-oat01-simulator"  # noqa: S105
WORKSPACE_KEY = "sk-ant-api03-workspace"
PERSONAL_KEY = "sk-ant-api03-personal"
COMPLIANCE_KEY = "sk-ant-api01-compliance"
WORKSPACE_HEADER = "anthropic-workspace-id"
# Kinds of credentials: A Admin key, O OAuth token, E scoped key of Claude Enterprise, W key of the
# default workspace, P personal key that may act on several workspaces, C Compliance access key, T
# OAuth token without the scope org:admin, from a federation rule for workspaces.
CREDENTIALS = {
    ADMIN_KEY: "A",
    ACCESS_TOKEN: "O",
    ANALYTICS_KEY: "E",
    WORKSPACE_KEY: "W",
    PERSONAL_KEY: "P",
    COMPLIANCE_KEY: "C",
}
SCOPES = {
    "A": [],
    "O": ["org:admin"],
    "T": ["workspace:developer", "workspace:inference"],
    "E": [
        "read:analytics",
        "read:members",
        "read:rbac_groups",
        "read:spend_limits",
        "read:plugins",
    ],
    "W": [],
    "P": [],
    "C": ["read:compliance_activities", "read:compliance_org_data"],
}
ENTERPRISE = "EC"
"""Kinds of credentials that belong to the Claude Enterprise organization."""
USER_MANAGEMENT = {"read:members", "read:rbac_groups", "read:plugins"}
"""Scopes whose endpoints ``read:org_audit`` may read, too."""
Response = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Route:
    """An endpoint and the credentials that may read it."""

    respond: Callable[[admin_lists.ListCall], Response]
    credentials: str
    scopes: tuple[str, ...] = ()


ROUTES = {
    "usage_report/messages": Route(console_reports.usage, "AO"),
    "cost_report": Route(console_reports.cost, "AO"),
    "analytics/usage": Route(analytics.usage, "AOE", ("read:analytics",)),
    "analytics/cost": Route(analytics.cost, "AOE", ("read:analytics",)),
    "analytics/usage_report": Route(enterprise_reports.usage_report, "E", ("read:analytics",)),
    "analytics/cost_report": Route(enterprise_reports.cost_report, "E", ("read:analytics",)),
    "analytics/user_usage_report": Route(
        enterprise_reports.user_usage_report, "E", ("read:analytics",)
    ),
    "analytics/user_cost_report": Route(
        enterprise_reports.user_cost_report, "E", ("read:analytics",)
    ),
    "analytics/users": Route(engagement.users, "E", ("read:analytics",)),
    "analytics/summaries": Route(engagement.summaries, "E", ("read:analytics",)),
    "analytics/apps/chat/projects": Route(engagement.projects, "E", ("read:analytics",)),
    "analytics/skills": Route(engagement.skills, "E", ("read:analytics",)),
    "analytics/connectors": Route(engagement.connectors, "E", ("read:analytics",)),
    "analytics/plugins": Route(engagement.plugins, "E", ("read:analytics",)),
    "analytics/artifacts": Route(engagement.artifacts, "E", ("read:analytics",)),
    "usage_report/claude_code": Route(claude_code.report, "AO"),
    "rbac_groups": Route(enterprise_lists.rbac_groups, "E", ("read:rbac_groups",)),
    "rbac_groups/{id}/members": Route(
        enterprise_lists.rbac_group_members, "E", ("read:rbac_groups",)
    ),
    "rbac_roles": Route(enterprise_lists.rbac_roles, "E", ("read:members",)),
    "rbac_roles/{id}/permissions": Route(
        enterprise_lists.rbac_role_permissions, "E", ("read:members",)
    ),
    "spend_limits": Route(enterprise_lists.spend_limits, "E", ("read:spend_limits",)),
    "spend_limits/effective": Route(
        enterprise_lists.effective_spend_limits, "E", ("read:spend_limits",)
    ),
    "spend_limit_increase_requests": Route(
        enterprise_lists.increase_requests, "E", ("read:spend_limits",)
    ),
    "me": Route(admin_lists.me, "AO"),
    "workspaces": Route(admin_lists.workspaces, "AO"),
    "workspaces/{id}/members": Route(admin_lists.workspace_members, "AO"),
    "workspaces/{id}/rate_limits": Route(admin_lists.workspace_rate_limits, "AO"),
    "users": Route(admin_lists.users, "AOE", ("read:members",)),
    "invites": Route(admin_lists.invites, "AOE", ("read:members",)),
    "api_keys": Route(admin_lists.api_keys, "AO"),
    "rate_limits": Route(admin_lists.organization_rate_limits, "AO"),
    "external_keys": Route(admin_lists.external_keys, "AO"),
    "service_accounts": Route(admin_lists.service_accounts, "O"),
    "service_accounts/{id}/workspaces": Route(admin_lists.service_account_workspaces, "O"),
    "federation_issuers": Route(admin_lists.federation_issuers, "O"),
    "federation_rules": Route(admin_lists.federation_rules, "O"),
    "plugins": Route(governance.plugins, "E", ("read:plugins",)),
    "webhooks": Route(governance.webhooks, "AO"),
    "telemetry_destinations": Route(governance.telemetry_destinations, "AO"),
    "/v1/agents": Route(agents.agents, "WP"),
    "/v1/deployments": Route(agents.deployments, "WP"),
    "/v1/environments": Route(agents.environments, "WP"),
    "/v1/sessions": Route(agents.sessions, "WP"),
    "/v1/user_profiles": Route(workspace_lists.user_profiles, "WP"),
    "/v1/models": Route(workspace_lists.models, "WP"),
    "/v1/messages/batches": Route(workspace_lists.message_batches, "WP"),
    "/v1/files": Route(workspace_lists.files, "WP"),
    "/v1/skills": Route(workspace_lists.skills, "WP"),
    "/v1/compliance/activities": Route(
        compliance.activities, "AC", ("read:compliance_activities",)
    ),
    "/v1/compliance/organizations": Route(
        compliance.organizations, "C", ("read:compliance_org_data",)
    ),
}
"""By path below `PREFIX`, or by the complete path."""
