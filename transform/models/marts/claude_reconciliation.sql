with analytics as (
    select
        organization_type, organization_id, day, sum(amount_usd) as amount_usd,
        {{ claude.claude_all('is_complete') }} as is_complete
    from {{ ref('claude_cost') }}
    group by organization_type, organization_id, day
),

{# A credit is a line without a type of cost. Only cost_report has credits. #}
bill as (
    select
        organization_type, organization_id, cast(starting_at as date) as day,
        sum(amount_usd) as cost_report_amount_usd,
        sum(case when cost_type is null then amount_usd else 0 end) as credits_amount_usd,
        {{ claude.claude_all('is_complete') }} as is_complete
    from {{ ref('stg_claude__cost_report') }}
    group by organization_type, organization_id, cast(starting_at as date)
),

days as (
    select distinct organization_type, organization_id, day
    from (
        select organization_type, organization_id, day from analytics
        union all
        select organization_type, organization_id, day from bill
    ) as either
)

select
    days.organization_type,
    days.organization_id,
    coalesce(organizations.organization_name, days.organization_id) as organization_name,
    days.day,
    cast(coalesce(analytics.amount_usd, 0) as {{ claude.claude_type('money') }}) as amount_usd,
    cast(coalesce(bill.credits_amount_usd, 0) as {{ claude.claude_type('money') }})
        as credits_amount_usd,
    cast(coalesce(bill.cost_report_amount_usd, 0) as {{ claude.claude_type('money') }})
        as cost_report_amount_usd,
    cast(
        coalesce(bill.cost_report_amount_usd, 0) - coalesce(bill.credits_amount_usd, 0)
        - coalesce(analytics.amount_usd, 0)
        as {{ claude.claude_type('money') }}
    ) as difference_amount_usd,
    coalesce(analytics.is_complete, true) and coalesce(bill.is_complete, true) as is_complete
from days
left join analytics
    on days.organization_type = analytics.organization_type
    and days.organization_id = analytics.organization_id
    and days.day = analytics.day
left join bill
    on days.organization_type = bill.organization_type
    and days.organization_id = bill.organization_id
    and days.day = bill.day
left join {{ ref('int_claude__organizations') }} as organizations
    on days.organization_type = organizations.organization_type
    and days.organization_id = organizations.organization_id
{# Claude Enterprise has no cost_report to compare with. #}
where days.organization_type = 'console'
