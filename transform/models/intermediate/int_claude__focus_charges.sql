{#- One row per charge. Cost and quantities come from different reports. A sum over all columns that
    distinguish charges brings them together, so that nothing is lost or counted twice. -#}
{%- set by_tier = var('claude_focus_by_tier') -%}
{%- set cost = ref('stg_claude__cost_by_tier') if by_tier else ref('stg_claude__analytics_cost') -%}
{%- set used = ref('stg_claude__usage_by_tier') if by_tier else ref('stg_claude__analytics_usage') -%}
{%- set grain = claude.claude_focus_grain() | list | join(', ') -%}
{%- set own = {} -%}
{%- for column in [
    'starting_at', 'ending_at', 'actor_type', 'api_key_id', 'workspace_id', 'product', 'model',
    'service_tier', 'context_window', 'inference_geo', 'speed', 'is_complete',
] -%}
    {%- do own.update({column: column}) -%}
{%- endfor -%}
{%- do own.update({
    'organization_type': 'facts.organization_type',
    'organization_id': 'facts.organization_id',
    'actor_id': claude.claude_actor_id(),
}) -%}
{%- set metered = {'cost_type': 'meters.cost_type', 'token_type': 'meters.token_type'} -%}
{%- set midnight = dbt.date_trunc('day', 'starting_at') -%}
{%- set of_report = {
    'organization_type': own.organization_type,
    'organization_id': own.organization_id,
    'workspace_id': 'workspace_id',
    'is_complete': 'is_complete',
} -%}
with meters as (
    {{ claude.claude_focus_meter_rows() | indent(4) }}
),

{# On these days the usage is that of analytics_cost, on all others that of cost_report. -#}
analytics_days as (
    select
        organization_type,
        organization_id,
        cast(min(starting_at) as date) as first_day,
        cast(max(starting_at) as date) as last_day
    from {{ cost }}
    group by organization_type, organization_id
),

report_days as (
    select
        organization_type,
        organization_id,
        cast(min(starting_at) as date) as first_day,
        cast(max(starting_at) as date) as last_day
    from {{ ref('stg_claude__cost_report') }}
    group by organization_type, organization_id
),

analytics_charges as (
    select
        {{ claude.claude_focus_columns(dict(
            own, cost_type='cost_type', token_type='token_type',
            amount_usd='amount_usd', list_amount_usd='list_amount_usd'
        )) | indent(8) }}
    from {{ cost }} as facts
),

analytics_quantities as (
    select
        {# The API counts runs as requests without a product, a model and tokens. -#}
        {{ claude.claude_focus_columns(dict(
            own, quantity=claude.claude_focus_quantity(
                'case when product is null and model is null and total_tokens = 0 then requests end'
            ), **metered
        )) | indent(8) }}
    from {{ used }} as facts
    inner join analytics_days
        on facts.organization_type = analytics_days.organization_type
        and facts.organization_id = analytics_days.organization_id
        and cast(starting_at as date) between first_day and last_day
    cross join meters
),

report_charges as (
    select
        {{ claude.claude_focus_columns(dict(
            of_report, starting_at='starting_at', ending_at='ending_at', model='model',
            service_tier='service_tier', context_window='context_window',
            cost_type='cost_type', token_type='token_type',
            line="case when cost_type is null then coalesce(description, 'Credit') end",
            amount_usd='amount_usd', list_amount_usd='amount_usd'
        )) | indent(8) }}
    from {{ ref('stg_claude__cost_report') }} as facts
    left join analytics_days
        on facts.organization_type = analytics_days.organization_type
        and facts.organization_id = analytics_days.organization_id
    where cost_type is null
        or first_day is null
        or cast(starting_at as date) not between first_day and last_day
),

report_quantities as (
    select
        {# Buckets of cost_report are days, and only its lines about tokens name a model. -#}
        {{ claude.claude_focus_columns(dict(
            of_report,
            starting_at='cast(' ~ midnight ~ ' as ' ~ claude.claude_type('timestamp') ~ ')',
            ending_at='cast(' ~ dbt.dateadd('day', 1, midnight) ~ ' as ' ~ claude.claude_type('timestamp') ~ ')',
            model="case when meters.cost_type = 'tokens' then model end",
            service_tier="case when meters.cost_type = 'tokens' then service_tier end",
            context_window="case when meters.cost_type = 'tokens' then context_window end",
            quantity=claude.claude_focus_quantity(), **metered
        )) | indent(8) }}
    from {{ ref('stg_claude__messages_usage') }} as facts
    inner join report_days
        on facts.organization_type = report_days.organization_type
        and facts.organization_id = report_days.organization_id
        and cast(starting_at as date) between report_days.first_day and report_days.last_day
    left join analytics_days
        on facts.organization_type = analytics_days.organization_type
        and facts.organization_id = analytics_days.organization_id
    cross join meters
    where analytics_days.first_day is null
        or cast(starting_at as date) not between analytics_days.first_day and analytics_days.last_day
),

parts as (
    select parts.*, case when amount_usd is null or list_amount_usd is null then 1 else 0 end as without_usd
    from (
        select * from analytics_charges
        union all
        select * from report_charges
    ) as parts
    union all
    select parts.*, 0 as without_usd
    from (
        select * from analytics_quantities
        union all
        select * from report_quantities
    ) as parts
    where quantity > 0
)

select
    {{ claude.claude_focus_key() }} as charge_id,
    {{ grain }},
    {# Null if the cost is not in USD. A test reports it. -#}
    case when sum(without_usd) = 0 then {{ claude.claude_sum('coalesce(amount_usd, 0)', 'money') }} end as amount_usd,
    case when sum(without_usd) = 0 then {{ claude.claude_sum('coalesce(list_amount_usd, 0)', 'money') }} end as list_amount_usd,
    {{ claude.claude_sum('quantity', 'bigint') }} as quantity,
    {{ claude.claude_all('is_complete') }} as is_complete
from parts
group by {{ grain }}
