{# Per organization and day: BilledCost is analytics_cost and the credits of cost_report, or all of
   cost_report where analytics_cost does not reach. Tokens are those of the usage reports. #}
{%- set q = adapter.quote -%}
{%- set by_tier = var('claude_focus_by_tier') -%}
{%- set cost = ref('stg_claude__cost_by_tier') if by_tier else ref('stg_claude__analytics_cost') -%}
{%- set used = ref('stg_claude__usage_by_tier') if by_tier else ref('stg_claude__analytics_usage') -%}
with spans as (
    select
        organization_type, organization_id,
        cast(min(starting_at) as date) as first_day, cast(max(starting_at) as date) as last_day
    from {{ cost }}
    group by organization_type, organization_id
),

expected as (
    select
        organization_type, organization_id, cast(starting_at as date) as day,
        amount_usd, cast(0 as {{ claude.claude_type('bigint') }}) as tokens
    from {{ cost }}
    union all
    select
        bill.organization_type, bill.organization_id, cast(starting_at as date), amount_usd, 0
    from {{ ref('stg_claude__cost_report') }} as bill
    left join spans
        on bill.organization_type = spans.organization_type
        and bill.organization_id = spans.organization_id
    where cost_type is null
        or not coalesce(cast(starting_at as date) between first_day and last_day, false)
    union all
    select
        used.organization_type, used.organization_id, cast(starting_at as date), 0, total_tokens
    from {{ used }} as used
    inner join spans
        on used.organization_type = spans.organization_type
        and used.organization_id = spans.organization_id
        and cast(starting_at as date) between first_day and last_day
),

sums as (
    select organization_id, day, sum(amount_usd) as amount_usd, sum(tokens) as tokens
    from expected
    group by organization_id, day
),

built as (
    select
        {{ q('BillingAccountId') }} as organization_id,
        cast({{ q('ChargePeriodStart') }} as date) as day,
        sum({{ q('BilledCost') }}) as amount_usd,
        sum(case when {{ q('ConsumedUnit') }} = 'Tokens' then {{ q('ConsumedQuantity') }} else 0 end) as tokens
    from {{ ref('claude_focus') }}
    group by {{ q('BillingAccountId') }}, cast({{ q('ChargePeriodStart') }} as date)
),

analytics_days as (
    select distinct organization_id, cast(starting_at as date) as day from {{ cost }}
)

select
    coalesce(sums.organization_id, built.organization_id) as organization_id,
    coalesce(sums.day, built.day) as day,
    sums.amount_usd as expected_amount_usd,
    built.amount_usd,
    sums.tokens as expected_tokens,
    built.tokens
from sums
full outer join built
    on sums.organization_id = built.organization_id
    and sums.day = built.day
left join analytics_days
    on sums.organization_id = analytics_days.organization_id
    and sums.day = analytics_days.day
where coalesce(sums.amount_usd, 0) <> coalesce(built.amount_usd, 0)
    or sums.day is null
    or built.day is null
    or (analytics_days.day is not null and sums.tokens <> built.tokens)
