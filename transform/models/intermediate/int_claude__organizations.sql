{# Every table that a mart starts from. #}
{% set tables = [
    'report_buckets', 'analytics_cost', 'analytics_usage', 'cost_report', 'claude_code_usage',
    'analytics_users', 'users', 'api_keys', 'workspaces', 'rbac_groups', 'cost_by_team',
    'effective_spend_limits', 'spend_limits', 'organization',
] %}
with labels as (
    {% for table in tables %}
    select organization_type, organization_id, max(organization_label) as organization_label
    from {{ ref('stg_claude__' ~ table) }}
    group by organization_type, organization_id
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

organizations as (
    select organization_type, organization_id, max(organization_label) as organization_label
    from labels
    group by organization_type, organization_id
),

names as (
    select organization_type, organization_id, max(name) as name
    from {{ ref('stg_claude__organization') }}
    group by organization_type, organization_id
)

select
    organizations.organization_type,
    organizations.organization_id,
    coalesce(organizations.organization_label, names.name, organizations.organization_id)
        as organization_name
from organizations
left join names
    on organizations.organization_type = names.organization_type
    and organizations.organization_id = names.organization_id
