with spent as (
    select
        organization_type, organization_id, month,
        sum(amount_usd) as amount_usd,
        count(*) as days,
        {{ claude.claude_all('is_complete') }} as is_complete
    from {{ ref('claude_daily') }}
    group by organization_type, organization_id, month
),

{# A budget without a product or workspace is one of the whole organization; the lowest one counts. #}
budgets as (
    select organization_type, organization_id, min(budget_usd) as budget_usd
    from {{ ref('int_claude__series') }}
    where kind <> 'organization' and product is null and workspace_id is null
    group by organization_type, organization_id
),

months as (
    select
        spent.organization_type,
        spent.organization_id,
        coalesce(organizations.organization_name, spent.organization_id) as organization_name,
        spent.month,
        cast(spent.amount_usd as {{ claude.claude_type('money') }}) as amount_usd,
        cast(earlier.amount_usd as {{ claude.claude_type('money') }}) as last_month_amount_usd,
        spent.days as days_with_data,
        forecasts.month is null and spent.is_complete as is_final,
        forecasts.through_day,
        coalesce(forecasts.days_left, 0) as days_left,
        {# Months before the newest one are over. #}
        case when forecasts.month is null then cast(spent.amount_usd as {{ claude.claude_type('money') }})
            else forecasts.forecast_amount_usd end as forecast_amount_usd,
        case when forecasts.month is null then cast(spent.amount_usd as {{ claude.claude_type('money') }})
            else forecasts.forecast_low_amount_usd end as forecast_low_amount_usd,
        case when forecasts.month is null then cast(spent.amount_usd as {{ claude.claude_type('money') }})
            else forecasts.forecast_high_amount_usd end as forecast_high_amount_usd,
        budgets.budget_usd
    from spent
    left join spent as earlier
        on spent.organization_type = earlier.organization_type
        and spent.organization_id = earlier.organization_id
        and {{ claude.claude_add_months('spent.month', -1) }} = earlier.month
    left join {{ ref('int_claude__forecasts') }} as forecasts
        on spent.organization_type = forecasts.organization_type
        and spent.organization_id = forecasts.organization_id
        and spent.month = forecasts.month
        and forecasts.series_id = 'organization'
    left join budgets
        on spent.organization_type = budgets.organization_type
        and spent.organization_id = budgets.organization_id
    left join {{ ref('int_claude__organizations') }} as organizations
        on spent.organization_type = organizations.organization_type
        and spent.organization_id = organizations.organization_id
)

select
    months.*,
    {{ claude.claude_budget_state(
        'amount_usd', 'budget_usd', 'forecast_amount_usd', 'forecast_high_amount_usd'
    ) }} as budget_state
from months
