with totals as (
    {{ claude.claude_totals_by('api_key_id') | indent(4) }}
),

ids as (
    select distinct organization_type, organization_id, id
    from (
        select organization_type, organization_id, id from totals
        union all
        select organization_type, organization_id, id from {{ ref('stg_claude__api_keys') }}
    ) as used_or_listed
),

keys as (
    select
        ids.organization_type,
        ids.organization_id,
        ids.id as api_key_id,
        coalesce(api_keys.name, ids.id) as api_key_name,
        api_keys.status,
        coalesce(
            api_keys.principal_user_id, api_keys.principal_service_account_id,
            api_keys.created_by_id
        ) as owner_id,
        coalesce(api_keys.scope_workspace_id, api_keys.workspace_id) as workspace_id,
        api_keys.partial_key_hint,
        api_keys.created_at,
        api_keys.expires_at
    from ids
    left join {{ ref('stg_claude__api_keys') }} as api_keys
        on ids.organization_type = api_keys.organization_type
        and ids.organization_id = api_keys.organization_id
        and ids.id = api_keys.id
)

select
    keys.organization_type,
    keys.organization_id,
    coalesce(organizations.organization_name, keys.organization_id) as organization_name,
    keys.api_key_id,
    keys.api_key_name,
    coalesce(keys.status, 'deleted') as status,
    keys.owner_id,
    coalesce(owners.actor_name, keys.owner_id) as owner_name,
    keys.workspace_id,
    coalesce(workspaces.name, keys.workspace_id) as workspace_name,
    keys.partial_key_hint,
    keys.created_at,
    keys.expires_at,
    {{ claude.claude_total_columns('totals') }},
    coalesce(keys.status, 'deleted') = 'active' and coalesce(totals.active_days_30_days, 0) = 0
        as is_active_without_use
from keys
left join totals
    on keys.organization_type = totals.organization_type
    and keys.organization_id = totals.organization_id
    and keys.api_key_id = totals.id
left join {{ ref('int_claude__actors') }} as owners
    on keys.organization_type = owners.organization_type
    and keys.organization_id = owners.organization_id
    and keys.owner_id = owners.actor_id
left join {{ ref('stg_claude__workspaces') }} as workspaces
    on keys.organization_type = workspaces.organization_type
    and keys.organization_id = workspaces.organization_id
    and keys.workspace_id = workspaces.id
left join {{ ref('int_claude__organizations') }} as organizations
    on keys.organization_type = organizations.organization_type
    and keys.organization_id = organizations.organization_id
