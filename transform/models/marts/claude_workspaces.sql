with totals as (
    {{ claude.claude_totals_by('workspace_id') | indent(4) }}
),

ids as (
    select distinct organization_type, organization_id, id
    from (
        select organization_type, organization_id, id from totals
        union all
        select organization_type, organization_id, id from {{ ref('stg_claude__workspaces') }}
    ) as used_or_listed
),

keys as (
    select
        organization_type, organization_id,
        coalesce(scope_workspace_id, workspace_id) as workspace_id,
        count(*) as api_keys,
        sum(case when status = 'active' then 1 else 0 end) as active_api_keys
    from {{ ref('stg_claude__api_keys') }}
    group by
        organization_type, organization_id, coalesce(scope_workspace_id, workspace_id)
),

members as (
    select organization_type, organization_id, workspace_id, count(*) as members
    from {{ ref('stg_claude__workspace_members') }}
    group by organization_type, organization_id, workspace_id
)

select
    ids.organization_type,
    ids.organization_id,
    coalesce(organizations.organization_name, ids.organization_id) as organization_name,
    ids.id as workspace_id,
    coalesce(workspaces.name, ids.id) as workspace_name,
    case
        when workspaces.id is null then 'deleted'
        when workspaces.archived_at is not null then 'archived'
        else 'active'
    end as status,
    workspaces.created_at,
    workspaces.archived_at,
    cast(coalesce(members.members, 0) as {{ claude.claude_type('bigint') }}) as members,
    cast(coalesce(keys.api_keys, 0) as {{ claude.claude_type('bigint') }}) as api_keys,
    cast(coalesce(keys.active_api_keys, 0) as {{ claude.claude_type('bigint') }})
        as active_api_keys,
    {{ claude.claude_total_columns('totals') }}
from ids
left join totals
    on ids.organization_type = totals.organization_type
    and ids.organization_id = totals.organization_id
    and ids.id = totals.id
left join {{ ref('stg_claude__workspaces') }} as workspaces
    on ids.organization_type = workspaces.organization_type
    and ids.organization_id = workspaces.organization_id
    and ids.id = workspaces.id
left join keys
    on ids.organization_type = keys.organization_type
    and ids.organization_id = keys.organization_id
    and ids.id = keys.workspace_id
left join members
    on ids.organization_type = members.organization_type
    and ids.organization_id = members.organization_id
    and ids.id = members.workspace_id
left join {{ ref('int_claude__organizations') }} as organizations
    on ids.organization_type = organizations.organization_type
    and ids.organization_id = organizations.organization_id
