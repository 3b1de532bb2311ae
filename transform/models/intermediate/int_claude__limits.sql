{# Monthly limits of the API that cost can be compared with. Limits of workspaces are left out: the
   reports of Claude Enterprise, whose limits these are, have no workspaces. #}
select
    organization_type,
    organization_id,
    id as limit_id,
    scope_type,
    scope_service,
    amount_usd as budget_usd
from {{ ref('stg_claude__spend_limits') }}
where coalesce(is_enabled, true)
    and amount_usd is not null
    and period = 'monthly'
    and scope_type in ('organization', 'organization_service')
