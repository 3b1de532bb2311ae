{# The exact sum of a column, in the type that it has in the raw tables. #}
{% macro claude_sum(expression, type) -%}
cast(sum({{ expression }}) as {{ claude.claude_type(type) }})
{%- endmacro %}


{# Whether a boolean column is true in all rows. #}
{% macro claude_all(column) -%}
min(case when {{ column }} then 1 else 0 end) = 1
{%- endmacro %}


{# A quotient with 6 decimals, null if the denominator is 0. Adapters divide in different types, so
   all divide doubles and round alike. The half is a little more: a double can be a little less. #}
{% macro claude_ratio(numerator, denominator, factor=1) -%}
{{ claude.claude_rounded(
    'cast(' ~ numerator ~ ' as ' ~ claude.claude_type('double') ~ ') * ' ~ factor
    ~ ' / nullif(cast(' ~ denominator ~ ' as ' ~ claude.claude_type('double') ~ '), 0)', 6, 'ratio'
) }}
{%- endmacro %}


{# A double as a decimal with so many decimals. #}
{% macro claude_rounded(expression, decimals, type) -%}
cast(
    cast(floor(({{ expression }}) * {{ 10 ** decimals }} + 0.500001) as {{ claude.claude_type('bigint') }})
    * cast('{{ '0.' ~ '0' * (decimals - 1) ~ '1' }}' as {{ claude.claude_type('ratio') }})
    as {{ claude.claude_type(type) }}
)
{%- endmacro %}


{% macro claude_text(value) -%}
'{{ value | string | replace("'", "''") }}'
{%- endmacro %}


{# The id of an actor, whatever its type. A federated identity has no id of its own. #}
{% macro claude_actor_id() -%}
case
    when actor_type = 'federated_actor' then
        coalesce(actor_provider_type, '') || ':'
        || coalesce(
            actor_provider_account_id, actor_provider_subscription_id,
            actor_provider_project_number, actor_provider_issuer, ''
        ) || ':' || coalesce(actor_provider_signed_principal, actor_subject, '')
    else coalesce(actor_user_id, actor_service_account_id, actor_api_key_id)
end
{%- endmacro %}


{# The counters of analytics_usage: tokens by kind, their total, and requests. #}
{% macro claude_counters() %}
{% do return([
    'uncached_input_tokens', 'cache_read_input_tokens', 'cache_creation_ephemeral_5m_input_tokens',
    'cache_creation_ephemeral_1h_input_tokens', 'output_tokens', 'total_tokens',
    'web_search_requests', 'requests',
]) %}
{% endmacro %}


{# The values of a column as one text, in their order. #}
{% macro claude_list(column) -%}
{{ adapter.dispatch('claude_list', 'claude')(column) }}
{%- endmacro %}

{% macro default__claude_list(column) -%}
string_agg({{ column }}, ', ' order by {{ column }})
{%- endmacro %}

{% macro postgres__claude_list(column) -%}
string_agg({{ column }}, ', ' order by {{ column }} collate "C")
{%- endmacro %}

{% macro snowflake__claude_list(column) -%}
listagg({{ column }}, ', ') within group (order by {{ column }})
{%- endmacro %}

{% macro databricks__claude_list(column) -%}
array_join(array_sort(collect_list({{ column }})), ', ')
{%- endmacro %}


{# The exact median of a column per group, and the number of rows of the group: `weeks`. Databases
   have it as a double, or not as an aggregate. #}
{% macro claude_medians(relation, groups, column, name) %}
select
    {{ groups | join(', ') }}, weeks,
    cast(sum({{ column }} * times) * 0.5 as {{ claude.claude_type('money') }}) as {{ name }}
from (
    select
        middle.*,
        case when 2 * place = weeks + 1 then 2 else 1 end as times
    from (
        select
            {{ groups | join(', ') }}, {{ column }},
            row_number() over (partition by {{ groups | join(', ') }} order by {{ column }})
                as place,
            count(*) over (partition by {{ groups | join(', ') }}) as weeks
        from {{ relation }}
    ) as middle
    where 2 * place between weeks and weeks + 2
) as halves
group by {{ groups | join(', ') }}, weeks
{% endmacro %}
