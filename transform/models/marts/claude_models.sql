{# The kinds of tokens, as the cost's token_type and the usage's columns name them. #}
{% set kinds = {
    'uncached_input_tokens': 'uncached_input_tokens',
    'cache_read_input_tokens': 'cache_read_input_tokens',
    'cache_creation.ephemeral_5m_input_tokens': 'cache_creation_ephemeral_5m_input_tokens',
    'cache_creation.ephemeral_1h_input_tokens': 'cache_creation_ephemeral_1h_input_tokens',
    'output_tokens': 'output_tokens',
} %}
{% set cached = [
    'cache_read_input_tokens', 'cache_creation_ephemeral_5m_input_tokens',
    'cache_creation_ephemeral_1h_input_tokens',
] %}
{% set shares = ['batch', 'long_context', 'fast', 'us'] %}
{% set bigint = claude.claude_type('bigint') %}
{% set money = claude.claude_type('money') %}
with facts as (
    select
        organization_type, organization_id, {{ claude.claude_month('day') }} as month, model,
        amount_usd, list_amount_usd,
        {%- for token_type, column in kinds.items() %}
        case when token_type = '{{ token_type }}' then amount_usd else 0 end as {{ column }}_amount_usd,
        cast(0 as {{ bigint }}) as {{ column }},
        {%- endfor %}
        cast(0 as {{ bigint }}) as total_tokens,
        cast(0 as {{ bigint }}) as requests
    from {{ ref('claude_cost') }}
    union all
    select
        organization_type, organization_id, {{ claude.claude_month('day') }}, model,
        cast(0 as {{ money }}), cast(0 as {{ money }}),
        {%- for column in kinds.values() %}
        cast(0 as {{ money }}), {{ column }},
        {%- endfor %}
        total_tokens, requests
    from {{ ref('claude_usage') }}
),

months as (
    select
        organization_type, organization_id, month, model,
        {{ claude.claude_sum('amount_usd', 'money') }} as amount_usd,
        {{ claude.claude_sum('list_amount_usd', 'money') }} as list_amount_usd,
        {%- for column in kinds.values() %}
        {{ claude.claude_sum(column ~ '_amount_usd', 'money') }} as {{ column }}_amount_usd,
        cast(sum(coalesce({{ column }}, 0)) as {{ bigint }}) as {{ column }},
        {%- endfor %}
        cast(sum(coalesce(total_tokens, 0)) as {{ bigint }}) as total_tokens,
        cast(sum(coalesce(requests, 0)) as {{ bigint }}) as requests
    from facts
    group by organization_type, organization_id, month, model
),

{# usage_by_tier has all shares. messages_usage has tier and context of a Console organization. #}
tiers as (
    {% for table in ['usage_by_tier', 'messages_usage'] -%}
    select
        organization_type, organization_id,
        {{ claude.claude_month('cast(starting_at as date)') }} as month, model,
        {{ loop.index }} as preference,
        service_tier, context_window, speed, inference_geo,
        coalesce(uncached_input_tokens, 0) + coalesce(cache_read_input_tokens, 0)
            + coalesce(cache_creation_ephemeral_5m_input_tokens, 0)
            + coalesce(cache_creation_ephemeral_1h_input_tokens, 0)
            + coalesce(output_tokens, 0) as tokens
    from {{ ref('stg_claude__' ~ table) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

by_tier as (
    select
        organization_type, organization_id, month, model, preference,
        sum(tokens) as tokens,
        {# Null in all rows means that the report is not grouped by it. #}
        sum(case when service_tier = 'batch' then tokens when service_tier is not null then 0 end)
            as batch_tokens,
        sum(case when context_window = '200k-1M' then tokens when context_window is not null then 0 end)
            as long_context_tokens,
        sum(case when speed = 'fast' then tokens when speed is not null then 0 end)
            as fast_tokens,
        sum(case when inference_geo = 'us' then tokens when inference_geo is not null then 0 end)
            as us_tokens
    from tiers
    group by organization_type, organization_id, month, model, preference
),

preferred as (
    select
        by_tier.*,
        row_number() over (
            partition by organization_type, organization_id, month, model order by preference
        ) as choice
    from by_tier
),

names as (
    select
        months.*,
        uncached_input_tokens + cache_read_input_tokens
            + cache_creation_ephemeral_5m_input_tokens + cache_creation_ephemeral_1h_input_tokens
            as input_tokens,
        {%- for column in cached %}
        {{ column }}{{ ' +' if not loop.last }}
        {%- endfor %} as cached_tokens,
        {%- for column in cached %}
        {{ column }}_amount_usd{{ ' +' if not loop.last }}
        {%- endfor %} as cached_amount_usd
    from months
)

select
    names.organization_type,
    names.organization_id,
    coalesce(organizations.organization_name, names.organization_id) as organization_name,
    names.month,
    names.model,
    names.amount_usd,
    names.list_amount_usd,
    {{ claude.claude_ratio(
        'names.amount_usd',
        'sum(names.amount_usd) over (partition by names.organization_type, names.organization_id, names.month)'
    ) }} as cost_share,
    {%- for column in kinds.values() %}
    names.{{ column }},
    {%- endfor %}
    names.total_tokens,
    names.requests,
    {%- for column in kinds.values() %}
    names.{{ column }}_amount_usd,
    {%- endfor %}
    {%- for column in kinds.values() %}
    {{ claude.claude_ratio('names.' ~ column ~ '_amount_usd', 'names.' ~ column, 1000000) }}
        as {{ column }}_usd_per_million,
    {%- endfor %}
    {{ claude.claude_ratio('names.cache_read_input_tokens', 'names.input_tokens') }}
        as cache_hit_ratio,
    {# What the tokens would have cost without a cache, less what they did cost. #}
    {{ claude.claude_rounded(
        'cast(names.cached_tokens as ' ~ claude.claude_type('double') ~ ')'
        ~ ' * cast(names.uncached_input_tokens_amount_usd as ' ~ claude.claude_type('double') ~ ')'
        ~ ' / nullif(cast(names.uncached_input_tokens as ' ~ claude.claude_type('double') ~ '), 0)'
        ~ ' - cast(names.cached_amount_usd as ' ~ claude.claude_type('double') ~ ')', 6, 'money'
    ) }} as cache_savings_usd,
    {%- for share in shares %}
    {{ claude.claude_ratio('preferred.' ~ share ~ '_tokens', 'preferred.tokens') }}
        as {{ share }}_token_share{{ ',' if not loop.last }}
    {%- endfor %}
from names
left join preferred
    on names.organization_type = preferred.organization_type
    and names.organization_id = preferred.organization_id
    and names.month = preferred.month
    and names.model = preferred.model
    and preferred.choice = 1
left join {{ ref('int_claude__organizations') }} as organizations
    on names.organization_type = organizations.organization_type
    and names.organization_id = organizations.organization_id
