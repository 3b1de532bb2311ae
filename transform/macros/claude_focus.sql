{# What FOCUS meters: the cost type and token type of a charge, and how its quantity is counted.
   `counter` is the usage column with the quantity; without one, the API reports no quantity. #}
{% macro claude_focus_meters() %}
{% set tokens = {'cost_type': 'tokens', 'unit': 'Tokens', 'pricing_unit': '1000000 Tokens', 'size': 1000000} %}
{% do return([
    dict(tokens, token_type='uncached_input_tokens', counter='uncached_input_tokens',
        meter='Input Tokens', direction='Input'),
    dict(tokens, token_type='cache_read_input_tokens', counter='cache_read_input_tokens',
        meter='Cache Read Input Tokens', direction='Input', cache='Read'),
    dict(tokens, token_type='cache_creation.ephemeral_5m_input_tokens',
        counter='cache_creation_ephemeral_5m_input_tokens',
        meter='Cache Write 5m Input Tokens', direction='Input', cache='Write 5m'),
    dict(tokens, token_type='cache_creation.ephemeral_1h_input_tokens',
        counter='cache_creation_ephemeral_1h_input_tokens',
        meter='Cache Write 1h Input Tokens', direction='Input', cache='Write 1h'),
    dict(tokens, token_type='output_tokens', counter='output_tokens',
        meter='Output Tokens', direction='Output'),
    {'cost_type': 'web_search', 'counter': 'web_search_requests', 'meter': 'Web Searches',
        'unit': 'Requests', 'pricing_unit': '1000 Requests', 'size': 1000},
    {'cost_type': 'code_execution', 'counter': 'code_execution_runs', 'meter': 'Code Executions',
        'unit': 'Runs', 'pricing_unit': 'Runs', 'size': 1},
    {'cost_type': 'session_usage', 'meter': 'Agent Sessions'},
]) %}
{% endmacro %}


{# The meters as a relation, for a join. #}
{% macro claude_focus_meter_rows() -%}
{%- for meter in claude.claude_focus_meters() %}
select
    {%- for name in ('cost_type', 'token_type', 'counter', 'meter', 'unit', 'pricing_unit', 'direction', 'cache') %}
    cast({{ "'" ~ meter[name] ~ "'" if name in meter else 'null' }} as {{ claude.claude_type('text') }}) as {{ name }},
    {%- endfor %}
    cast({{ meter.size or 'null' }} as {{ claude.claude_type('bigint') }}) as size
{{ 'union all' if not loop.last }}
{%- endfor %}
{%- endmacro %}


{# amount * size / units with 15 decimals. Adapters divide in different types, so all divide doubles,
   and divide what is left of the exact amount once more. Their last digits, of 18, can differ. #}
{% macro claude_unit_price(amount, size, units) -%}
{%- set near = claude.claude_double_ratio(amount ~ ' * ' ~ size, units, 'ratio') -%}
round({{ near }} + {{ claude.claude_double_ratio(amount ~ ' * ' ~ size ~ ' - ' ~ near ~ ' * ' ~ units, units, 'money') }}, 15)
{%- endmacro %}

{% macro claude_double_ratio(numerator, denominator, type) -%}
{%- set double = claude.claude_type('double') -%}
cast(cast({{ numerator }} as {{ double }}) / cast({{ denominator }} as {{ double }}) as {{ claude.claude_type(type) }})
{%- endmacro %}


{# A text as a JSON string. chr(92) is the backslash, which adapters quote in different ways. #}
{% macro claude_json_string(text) -%}
'"' || replace(replace({{ text }}, chr(92), chr(92) || chr(92)), '"', chr(92) || '"') || '"'
{%- endmacro %}


{# What distinguishes a charge, with types. `line` is the text of a line without a type of cost. #}
{% macro claude_focus_grain() %}
{% set grain = {} %}
{% for column in [
    'organization_type', 'organization_id', 'starting_at', 'ending_at', 'actor_type', 'actor_id',
    'api_key_id', 'workspace_id', 'product', 'model', 'service_tier', 'context_window',
    'inference_geo', 'speed', 'cost_type', 'token_type', 'line',
] %}
{% do grain.update({column: 'timestamp' if column in ('starting_at', 'ending_at') else 'text'}) %}
{% endfor %}
{% do return(grain) %}
{% endmacro %}


{# The columns of a part of the charges: those that are given, as a map from name to expression, and
   nulls for the others. #}
{% macro claude_focus_columns(given) -%}
{%- set measures = {
    'amount_usd': 'money', 'list_amount_usd': 'money', 'quantity': 'bigint', 'is_complete': 'boolean',
} -%}
{%- for column, type in dict(claude.claude_focus_grain(), **measures).items() %}
{{ given[column] if column in given else claude.claude_null(type) }} as {{ column }}{{ '' if loop.last else ',' }}
{%- endfor %}
{%- endmacro %}


{# How much a row of a usage report has of a meter. #}
{% macro claude_focus_quantity(code_execution_runs=none) -%}
case meters.counter
    {%- for meter in claude.claude_focus_meters() if meter.cost_type in ('tokens', 'web_search') %}
    when '{{ meter.counter }}' then {{ meter.counter }}
    {%- endfor %}
    {%- if code_execution_runs %}
    when 'code_execution_runs' then {{ code_execution_runs }}
    {%- endif %}
end
{%- endmacro %}


{# A hash of the columns of the grain; null is not the empty text. #}
{% macro claude_focus_key() -%}
{%- set parts = [] -%}
{%- for column in claude.claude_focus_grain() -%}
    {%- do parts.append("coalesce(cast(" ~ column ~ " as " ~ claude.claude_type('text') ~ "), '(null)')") -%}
{%- endfor -%}
{{ dbt.hash(parts | join(" || '|' || ")) }}
{%- endmacro %}
