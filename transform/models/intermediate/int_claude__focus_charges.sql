{#- One row per charge: what the API reports of its cost and of its quantity, brought together by a
    sum over the columns that distinguish charges, so that nothing is lost or counted twice. -#}
{%- set by_tier = var('claude_focus_by_tier') -%}
{%- set cost = ref('stg_claude__cost_by_tier') if by_tier else ref('stg_claude__analytics_cost') -%}
{%- set usage = ref('stg_claude__usage_by_tier') if by_tier else ref('stg_claude__analytics_usage') -%}
{%- set report = ref('stg_claude__cost_report') -%}
{%- set messages = ref('stg_claude__messages_usage') -%}
{%- set organization = ['organization_type', 'organization_id'] -%}
{%- set dimensions = [
    'actor_type', 'actor_user_id', 'actor_service_account_id', 'actor_api_key_id', 'actor_subject',
    'product', 'model', 'workspace_id', 'api_key_id',
    'service_tier', 'context_window', 'inference_geo', 'speed',
] -%}
{%- set grain = organization + ['starting_at', 'ending_at'] + dimensions + ['cost_type', 'token_type', 'line'] -%}
{%- set names = ['organization_label', 'actor_name', 'actor_email_address'] -%}
with meters as (
    {{ claude.claude_focus_meter_rows() | indent(4) }}
),

{# For these days analytics_cost is the usage on the bill. For all others cost_report is. -#}
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
    from {{ report }}
    group by organization_type, organization_id
),

analytics_charges as (
    select
        {%- for column in organization + ['starting_at', 'ending_at'] + dimensions + names + ['cost_type', 'token_type'] %}
        {{ column }},
        {%- endfor %}
        {{ claude.claude_null('text') }} as line,
        amount_usd,
        list_amount_usd,
        {{ claude.claude_null('bigint') }} as quantity,
        case when amount_usd is null or list_amount_usd is null then 1 else 0 end as without_usd,
        is_complete
    from {{ cost }}
),

analytics_quantities as (
    select
        {%- for column in organization %}
        usage.{{ column }},
        {%- endfor %}
        {%- for column in ['starting_at', 'ending_at'] + dimensions + names %}
        {{ column }},
        {%- endfor %}
        meters.cost_type,
        meters.token_type,
        {{ claude.claude_null('text') }} as line,
        {{ claude.claude_null('money') }} as amount_usd,
        {{ claude.claude_null('money') }} as list_amount_usd,
        case meters.counter
            {%- for meter in claude.claude_focus_meters() if meter.cost_type in ('tokens', 'web_search') %}
            when '{{ meter.counter }}' then {{ meter.counter }}
            {%- endfor %}
            {# The API reports runs as requests without a product, a model and tokens. -#}
            when 'code_execution_runs' then
                case when product is null and model is null and total_tokens = 0 then requests end
        end as quantity,
        0 as without_usd,
        is_complete
    from {{ usage }} as usage
    inner join analytics_days
        on usage.organization_type = analytics_days.organization_type
        and usage.organization_id = analytics_days.organization_id
        and cast(usage.starting_at as date) between analytics_days.first_day and analytics_days.last_day
    cross join meters
),

report_charges as (
    select
        {%- for column in organization %}
        report.{{ column }},
        {%- endfor %}
        starting_at,
        ending_at,
        {%- for column in dimensions + names %}
        {{ column if column in ('model', 'workspace_id', 'service_tier', 'context_window', 'organization_label') else claude.claude_null('text') }} as {{ column }},
        {%- endfor %}
        cost_type,
        token_type,
        case when cost_type is null then description end as line,
        amount_usd,
        amount_usd as list_amount_usd,
        {{ claude.claude_null('bigint') }} as quantity,
        case when amount_usd is null then 1 else 0 end as without_usd,
        is_complete
    from {{ report }} as report
    left join analytics_days
        on report.organization_type = analytics_days.organization_type
        and report.organization_id = analytics_days.organization_id
    where cost_type is null
        or analytics_days.first_day is null
        or cast(starting_at as date) not between analytics_days.first_day and analytics_days.last_day
),

report_quantities as (
    select
        {%- for column in organization %}
        messages.{{ column }},
        {%- endfor %}
        {# Lines of cost_report are always days. -#}
        cast({{ dbt.date_trunc('day', 'starting_at') }} as {{ claude.claude_type('timestamp') }}) as starting_at,
        cast({{ dbt.dateadd('day', 1, dbt.date_trunc('day', 'starting_at')) }} as {{ claude.claude_type('timestamp') }}) as ending_at,
        {%- for column in dimensions + names %}
        {# Only lines about tokens name these. -#}
        {{
            'case when meters.cost_type = \'tokens\' then ' ~ column ~ ' end' if column in ('model', 'service_tier', 'context_window')
            else column if column in ('workspace_id', 'organization_label')
            else claude.claude_null('text')
        }} as {{ column }},
        {%- endfor %}
        meters.cost_type,
        meters.token_type,
        {{ claude.claude_null('text') }} as line,
        {{ claude.claude_null('money') }} as amount_usd,
        {{ claude.claude_null('money') }} as list_amount_usd,
        case meters.counter
            {%- for meter in claude.claude_focus_meters() if meter.cost_type in ('tokens', 'web_search') %}
            when '{{ meter.counter }}' then {{ meter.counter }}
            {%- endfor %}
        end as quantity,
        0 as without_usd,
        is_complete
    from {{ messages }} as messages
    inner join report_days
        on messages.organization_type = report_days.organization_type
        and messages.organization_id = report_days.organization_id
        and cast(messages.starting_at as date) between report_days.first_day and report_days.last_day
    left join analytics_days
        on messages.organization_type = analytics_days.organization_type
        and messages.organization_id = analytics_days.organization_id
    cross join meters
    where analytics_days.first_day is null
        or cast(starting_at as date) not between analytics_days.first_day and analytics_days.last_day
),

parts as (
    select * from analytics_charges
    union all
    select * from analytics_quantities where quantity > 0
    union all
    select * from report_charges
    union all
    select * from report_quantities where quantity > 0
)

select
    {{ claude.claude_focus_key(grain) }} as charge_id,
    {%- for column in grain %}
    {{ column }},
    {%- endfor %}
    {%- for column in names %}
    max({{ column }}) as {{ column }},
    {%- endfor %}
    {# Null, which a test reports, if a line of the bill is not in USD. -#}
    case when sum(without_usd) = 0 then cast(coalesce(sum(amount_usd), 0) as {{ claude.claude_type('money') }}) end as amount_usd,
    case when sum(without_usd) = 0 then cast(coalesce(sum(list_amount_usd), 0) as {{ claude.claude_type('money') }}) end as list_amount_usd,
    cast(sum(quantity) as {{ claude.claude_type('bigint') }}) as quantity,
    min(case when is_complete then 1 else 0 end) = 1 as is_complete
from parts
group by {{ grain | join(', ') }}
