{# Cost and use by organization and one column of the two marts: of all loaded days, and of the last
   30. The ids of `column` are those of `actor_type`, if it is given. #}
{% macro claude_totals_by(column, actor_type=none) %}
with facts as (
    select
        organization_type, organization_id, day, {{ column }} as id,
        amount_usd, list_amount_usd,
        cast(0 as {{ claude.claude_type('bigint') }}) as total_tokens,
        cast(0 as {{ claude.claude_type('bigint') }}) as requests
    from {{ ref('claude_cost') }}
    where {{ column }} is not null
    {%- if actor_type %} and actor_type = '{{ actor_type }}'{% endif %}
    union all
    select
        organization_type, organization_id, day, {{ column }},
        cast(0 as {{ claude.claude_type('money') }}), cast(0 as {{ claude.claude_type('money') }}),
        total_tokens, requests
    from {{ ref('claude_usage') }}
    where {{ column }} is not null
    {%- if actor_type %} and actor_type = '{{ actor_type }}'{% endif %}
),

dated as (
    select
        facts.*,
        facts.day > {{ claude.claude_add_days('newest.newest_day', -30) }} as is_recent
    from facts
    join {{ ref('int_claude__newest_days') }} as newest
        on facts.organization_type = newest.organization_type
        and facts.organization_id = newest.organization_id
)

select
    organization_type,
    organization_id,
    id,
    min(day) as first_day,
    max(day) as last_day,
    count(distinct case when is_recent then day end) as active_days_30_days,
    {{ claude.claude_sum('amount_usd', 'money') }} as amount_usd,
    {{ claude.claude_sum('list_amount_usd', 'money') }} as list_amount_usd,
    {{ claude.claude_sum('case when is_recent then amount_usd else 0 end', 'money') }}
        as amount_usd_30_days,
    {{ claude.claude_sum('total_tokens', 'bigint') }} as total_tokens,
    {{ claude.claude_sum('case when is_recent then total_tokens else 0 end', 'bigint') }}
        as total_tokens_30_days,
    {{ claude.claude_sum('case when is_recent then requests else 0 end', 'bigint') }}
        as requests_30_days
from dated
group by organization_type, organization_id, id
{% endmacro %}


{# The columns of the same, for an id that may have neither cost nor use. #}
{% macro claude_total_columns(alias) %}
    {{ alias }}.first_day,
    {{ alias }}.last_day,
    cast(coalesce({{ alias }}.active_days_30_days, 0) as {{ claude.claude_type('bigint') }})
        as active_days_30_days,
    {%- for column in ['amount_usd', 'list_amount_usd', 'amount_usd_30_days'] %}
    cast(coalesce({{ alias }}.{{ column }}, 0) as {{ claude.claude_type('money') }}) as {{ column }},
    {%- endfor %}
    {%- for column in ['total_tokens', 'total_tokens_30_days', 'requests_30_days'] %}
    cast(coalesce({{ alias }}.{{ column }}, 0) as {{ claude.claude_type('bigint') }}) as {{ column }}
    {{- '' if loop.last else ',' }}
    {%- endfor %}
{% endmacro %}
