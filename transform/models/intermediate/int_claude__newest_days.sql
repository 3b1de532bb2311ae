{# The newest day of each organization. "The last 30 days" end with it. #}
with days as (
    select organization_type, organization_id, max(day) as day
    from {{ ref('claude_daily') }}
    group by organization_type, organization_id
    {% for table in ['analytics_users', 'claude_code_usage'] %}
    union all
    select organization_type, organization_id, max(date)
    from {{ ref('stg_claude__' ~ table) }}
    group by organization_type, organization_id
    {% endfor %}
)

select organization_type, organization_id, max(day) as newest_day
from days
group by organization_type, organization_id
