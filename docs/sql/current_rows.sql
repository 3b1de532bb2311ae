-- Current rows of every table: a view current_NAME for each table NAME.
-- For databases with QUALIFY: DuckDB, Snowflake, BigQuery, Redshift.
-- Run it in the tables' schema. Where times have a zone, the session's must be UTC. docs/targets.md says more.
--
-- Generated from the catalogue. To generate it again:
--   tap-claude --discover | python -m tap_claude.views warehouse > current_rows.sql
-- With custom reports:
--   tap-claude --config config.json --discover | ...
-- For the streams that a Meltano project selects:
--   meltano invoke --dump=catalog tap-claude | ...

drop view if exists current_agent_sessions;
create view current_agent_sessions as
select kept.*
from agent_sessions as kept
where true
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_agents;
create view current_agents as
select kept.*
from agents as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'agents'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_artifacts;
create view current_analytics_artifacts as
select kept.*
from analytics_artifacts as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_artifacts'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_connectors;
create view current_analytics_connectors as
select kept.*
from analytics_connectors as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_connectors'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_cost;
create view current_analytics_cost as
select kept.*
from analytics_cost as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_cost'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_cost_report;
create view current_analytics_cost_report as
select kept.*
from analytics_cost_report as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_cost_report'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_plugins;
create view current_analytics_plugins as
select kept.*
from analytics_plugins as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_plugins'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_projects;
create view current_analytics_projects as
select kept.*
from analytics_projects as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_projects'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_skills;
create view current_analytics_skills as
select kept.*
from analytics_skills as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_skills'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_summaries;
create view current_analytics_summaries as
select kept.*
from analytics_summaries as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_summaries'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_usage;
create view current_analytics_usage as
select kept.*
from analytics_usage as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_usage'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_usage_report;
create view current_analytics_usage_report as
select kept.*
from analytics_usage_report as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_usage_report'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_user_cost_report;
create view current_analytics_user_cost_report as
select kept.*
from analytics_user_cost_report as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_user_cost_report'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_user_usage_report;
create view current_analytics_user_usage_report as
select kept.*
from analytics_user_usage_report as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_user_usage_report'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_analytics_users;
create view current_analytics_users as
select kept.*
from analytics_users as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'analytics_users'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_api_keys;
create view current_api_keys as
select kept.*
from api_keys as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'api_keys'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_claude_code_model_usage;
create view current_claude_code_model_usage as
select kept.*
from claude_code_model_usage as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'claude_code_model_usage'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_claude_code_usage;
create view current_claude_code_usage as
select kept.*
from claude_code_usage as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'claude_code_usage'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.date = kept.date
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_compliance_activities;
create view current_compliance_activities as
select kept.*
from compliance_activities as kept
where true
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_compliance_organizations;
create view current_compliance_organizations as
select kept.*
from compliance_organizations as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'compliance_organizations'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.uuid order by kept.extracted_at desc) = 1;

drop view if exists current_cost_report;
create view current_cost_report as
select kept.*
from cost_report as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'cost_report'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_deployments;
create view current_deployments as
select kept.*
from deployments as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'deployments'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_effective_spend_limits;
create view current_effective_spend_limits as
select kept.*
from effective_spend_limits as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'effective_spend_limits'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_environments;
create view current_environments as
select kept.*
from environments as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'environments'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_external_keys;
create view current_external_keys as
select kept.*
from external_keys as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'external_keys'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_federation_issuers;
create view current_federation_issuers as
select kept.*
from federation_issuers as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'federation_issuers'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_federation_rules;
create view current_federation_rules as
select kept.*
from federation_rules as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'federation_rules'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_files;
create view current_files as
select kept.*
from files as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'files'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_invites;
create view current_invites as
select kept.*
from invites as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'invites'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_message_batches;
create view current_message_batches as
select kept.*
from message_batches as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'message_batches'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_messages_usage;
create view current_messages_usage as
select kept.*
from messages_usage as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'messages_usage'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = kept.bucket_width
        and bucket.starting_at = kept.starting_at
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_models;
create view current_models as
select kept.*
from models as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'models'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_organization;
create view current_organization as
select kept.*
from organization as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'organization'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_plugins;
create view current_plugins as
select kept.*
from plugins as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'plugins'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_rate_limits;
create view current_rate_limits as
select kept.*
from rate_limits as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'rate_limits'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_rbac_group_members;
create view current_rbac_group_members as
select kept.*
from rbac_group_members as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'rbac_group_members'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_rbac_groups;
create view current_rbac_groups as
select kept.*
from rbac_groups as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'rbac_groups'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_rbac_role_permissions;
create view current_rbac_role_permissions as
select kept.*
from rbac_role_permissions as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'rbac_role_permissions'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_rbac_roles;
create view current_rbac_roles as
select kept.*
from rbac_roles as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'rbac_roles'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_report_buckets;
create view current_report_buckets as
select kept.*
from report_buckets as kept
where true
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_service_account_workspaces;
create view current_service_account_workspaces as
select kept.*
from service_account_workspaces as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'service_account_workspaces'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.service_account_id, kept.workspace_id order by kept.extracted_at desc) = 1;

drop view if exists current_service_accounts;
create view current_service_accounts as
select kept.*
from service_accounts as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'service_accounts'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_skills;
create view current_skills as
select kept.*
from skills as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'skills'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_spend_limit_increase_requests;
create view current_spend_limit_increase_requests as
select kept.*
from spend_limit_increase_requests as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'spend_limit_increase_requests'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_spend_limits;
create view current_spend_limits as
select kept.*
from spend_limits as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'spend_limits'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_telemetry_destinations;
create view current_telemetry_destinations as
select kept.*
from telemetry_destinations as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'telemetry_destinations'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_user_profiles;
create view current_user_profiles as
select kept.*
from user_profiles as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'user_profiles'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_users;
create view current_users as
select kept.*
from users as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'users'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_webhooks;
create view current_webhooks as
select kept.*
from webhooks as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'webhooks'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;

drop view if exists current_workspace_members;
create view current_workspace_members as
select kept.*
from workspace_members as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'workspace_members'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.workspace_id, kept.user_id order by kept.extracted_at desc) = 1;

drop view if exists current_workspace_rate_limits;
create view current_workspace_rate_limits as
select kept.*
from workspace_rate_limits as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'workspace_rate_limits'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.row_id order by kept.extracted_at desc) = 1;

drop view if exists current_workspaces;
create view current_workspaces as
select kept.*
from workspaces as kept
where not exists (
    select 1
    from report_buckets as bucket
    where bucket.stream = 'workspaces'
        and bucket.organization_id = kept.organization_id
        and bucket.organization_type = kept.organization_type
        and bucket.bucket_width = 'full'
        and bucket.extracted_at > kept.extracted_at
)
qualify row_number() over (partition by kept.organization_id, kept.id order by kept.extracted_at desc) = 1;
