{% set counters = claude.claude_counters() %}
with days as (
    select
        organization_type, organization_id, cast(starting_at as date) as day,
        {{ claude.claude_all('is_complete') }} as is_complete,
        max(data_refreshed_at) as data_refreshed_at,
        max(extracted_at) as extracted_at
    from {{ ref('stg_claude__report_buckets') }}
    where stream in ('analytics_cost', 'analytics_usage')
    group by organization_type, organization_id, cast(starting_at as date)
    {% for model in ['claude_cost', 'claude_usage'] %}
    union all
    select
        organization_type, organization_id, day, {{ claude.claude_all('is_complete') }},
        max(data_refreshed_at), max(extracted_at)
    from {{ ref(model) }}
    group by organization_type, organization_id, day
    {% endfor %}
),

{# Also the days without use, where report_buckets is loaded. #}
every_day as (
    select
        organization_type, organization_id, day,
        {{ claude.claude_all('is_complete') }} as is_complete,
        max(data_refreshed_at) as data_refreshed_at,
        max(extracted_at) as extracted_at
    from days
    group by organization_type, organization_id, day
),

cost as (
    select
        organization_type, organization_id, day,
        sum(amount_usd) as amount_usd, sum(list_amount_usd) as list_amount_usd
    from {{ ref('claude_cost') }}
    group by organization_type, organization_id, day
),

used as (
    select
        organization_type, organization_id, day,
        {%- for column in counters %}
        sum({{ column }}) as {{ column }},
        {%- endfor %}
        count(distinct case when actor_type = 'user_actor' then actor_id end) as active_people
    from {{ ref('claude_usage') }}
    group by organization_type, organization_id, day
),

by_day as (
    select
        every_day.organization_type,
        every_day.organization_id,
        every_day.day,
        {{ claude.claude_month('every_day.day') }} as month,
        cast(coalesce(cost.amount_usd, 0) as {{ claude.claude_type('money') }}) as amount_usd,
        cast(coalesce(cost.list_amount_usd, 0) as {{ claude.claude_type('money') }})
            as list_amount_usd,
        {%- for column in counters %}
        cast(coalesce(used.{{ column }}, 0) as {{ claude.claude_type('bigint') }}) as {{ column }},
        {%- endfor %}
        cast(coalesce(used.active_people, 0) as {{ claude.claude_type('bigint') }}) as active_people,
        every_day.is_complete,
        every_day.data_refreshed_at,
        every_day.extracted_at
    from every_day
    left join cost
        on every_day.organization_type = cost.organization_type
        and every_day.organization_id = cost.organization_id
        and every_day.day = cost.day
    left join used
        on every_day.organization_type = used.organization_type
        and every_day.organization_id = used.organization_id
        and every_day.day = used.day
),

last_month as (
    select
        by_day.organization_type, by_day.organization_id, by_day.day,
        sum(earlier.amount_usd) as amount_usd
    from by_day
    join by_day as earlier
        on by_day.organization_type = earlier.organization_type
        and by_day.organization_id = earlier.organization_id
        and earlier.month = {{ claude.claude_add_months('by_day.month', -1) }}
        and earlier.day <= {{ claude.claude_add_months('by_day.day', -1) }}
    group by by_day.organization_type, by_day.organization_id, by_day.day
)

select
    by_day.organization_type,
    by_day.organization_id,
    coalesce(organizations.organization_name, by_day.organization_id) as organization_name,
    by_day.day,
    by_day.month,
    by_day.amount_usd,
    by_day.list_amount_usd,
    cast(sum(by_day.amount_usd) over (
        partition by by_day.organization_type, by_day.organization_id, by_day.month
        order by by_day.day
    ) as {{ claude.claude_type('money') }}) as month_to_date_amount_usd,
    cast(last_month.amount_usd as {{ claude.claude_type('money') }})
        as last_month_to_date_amount_usd,
    {%- for column in counters %}
    by_day.{{ column }},
    {%- endfor %}
    by_day.active_people,
    case
        when not by_day.is_complete then 'growing'
        {# The API restates 30 days. #}
        when {{ claude.claude_add_days('by_day.day', 31) }}
            <= cast(coalesce(by_day.data_refreshed_at, by_day.extracted_at) as date) then 'settled'
        else 'may_be_restated'
    end as state,
    by_day.is_complete,
    by_day.data_refreshed_at,
    by_day.extracted_at
from by_day
left join last_month
    on by_day.organization_type = last_month.organization_type
    and by_day.organization_id = last_month.organization_id
    and by_day.day = last_month.day
left join {{ ref('int_claude__organizations') }} as organizations
    on by_day.organization_type = organizations.organization_type
    and by_day.organization_id = organizations.organization_id
