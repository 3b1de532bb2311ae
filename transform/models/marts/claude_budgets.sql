with series as (
    select
        organization_type, organization_id, series_id, kind, name, product, workspace_id,
        budget_usd, month,
        sum(amount_usd) as amount_usd
    from {{ ref('int_claude__series') }}
    where kind <> 'organization'
    group by
        organization_type, organization_id, series_id, kind, name, product, workspace_id,
        budget_usd, month
),

{# A limit of the API is the one of today, so only the newest month is held against it. #}
own as (
    select
        series.organization_type, series.organization_id,
        series.series_id as budget_id,
        case when series.kind = 'budget' then 'variable' else 'spend_limit' end as source,
        coalesce(
            series.name, workspaces.name, series.workspace_id, series.product, 'organization'
        ) as budget_name,
        case
            when series.workspace_id is not null then 'workspace'
            when series.product is not null then 'product'
            else 'organization'
        end as scope_type,
        coalesce(series.workspace_id, series.product) as scope_id,
        'monthly' as period,
        series.month,
        series.budget_usd,
        series.amount_usd,
        case when forecasts.month is null then series.amount_usd
            else forecasts.forecast_amount_usd end as forecast_amount_usd,
        case when forecasts.month is null then series.amount_usd
            else forecasts.forecast_low_amount_usd end as forecast_low_amount_usd,
        case when forecasts.month is null then series.amount_usd
            else forecasts.forecast_high_amount_usd end as forecast_high_amount_usd
    from series
    left join {{ ref('int_claude__forecasts') }} as forecasts
        on series.organization_type = forecasts.organization_type
        and series.organization_id = forecasts.organization_id
        and series.series_id = forecasts.series_id
        and series.month = forecasts.month
    left join {{ ref('stg_claude__workspaces') }} as workspaces
        on series.organization_type = workspaces.organization_type
        and series.organization_id = workspaces.organization_id
        and series.workspace_id = workspaces.id
    where series.kind = 'budget' or forecasts.month is not null
),

{# The API reports what a person or key has spent in the period that is running. #}
personal as (
    select
        limits.organization_type, limits.organization_id,
        'effective:' || limits.row_id as budget_id,
        'effective_spend_limit' as source,
        coalesce(
            people.person_name, limits.actor_name, limits.actor_email_address,
            limits.actor_user_id, limits.actor_scoped_api_key_id
        ) as budget_name,
        case when limits.actor_user_id is not null then 'person' else 'scoped_api_key' end
            as scope_type,
        coalesce(limits.actor_user_id, limits.actor_scoped_api_key_id) as scope_id,
        limits.period,
        {{ claude.claude_month('cast(limits.extracted_at as date)') }} as month,
        limits.amount_usd as budget_usd,
        limits.period_to_date_spend_usd as amount_usd,
        {{ claude.claude_null('money') }} as forecast_amount_usd,
        {{ claude.claude_null('money') }} as forecast_low_amount_usd,
        {{ claude.claude_null('money') }} as forecast_high_amount_usd
    from {{ ref('stg_claude__effective_spend_limits') }} as limits
    left join {{ ref('int_claude__people') }} as people
        on limits.organization_type = people.organization_type
        and limits.organization_id = people.organization_id
        and limits.actor_user_id = people.person_id
    where limits.amount_usd is not null
),

budgets as (
    select * from own
    union all
    select * from personal
)

select
    budgets.organization_type,
    budgets.organization_id,
    coalesce(organizations.organization_name, budgets.organization_id) as organization_name,
    budgets.budget_id,
    budgets.source,
    budgets.budget_name,
    budgets.scope_type,
    budgets.scope_id,
    budgets.period,
    budgets.month,
    budgets.budget_usd,
    cast(budgets.amount_usd as {{ claude.claude_type('money') }}) as amount_usd,
    {{ claude.claude_ratio('budgets.amount_usd', 'budgets.budget_usd') }} as spent_share,
    cast(budgets.forecast_amount_usd as {{ claude.claude_type('money') }}) as forecast_amount_usd,
    cast(budgets.forecast_low_amount_usd as {{ claude.claude_type('money') }})
        as forecast_low_amount_usd,
    cast(budgets.forecast_high_amount_usd as {{ claude.claude_type('money') }})
        as forecast_high_amount_usd,
    {{ claude.claude_budget_state(
        'budgets.amount_usd', 'budgets.budget_usd', 'budgets.forecast_amount_usd',
        'budgets.forecast_high_amount_usd'
    ) }} as state
from budgets
left join {{ ref('int_claude__organizations') }} as organizations
    on budgets.organization_type = organizations.organization_type
    and budgets.organization_id = organizations.organization_id
