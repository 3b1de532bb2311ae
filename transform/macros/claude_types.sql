{# Types of the adapters. dbt.type_numeric() is not used: numeric(28, 6) would round money. `ratio` is
   for quotients, `cents` for squares of dollars. #}
{% macro claude_type(name) -%}
{{ adapter.dispatch('claude_type', 'claude')(name) }}
{%- endmacro %}

{% macro default__claude_type(name) -%}
{{ {
    'text': 'varchar', 'json': 'varchar', 'bigint': 'bigint', 'boolean': 'boolean',
    'double': 'double precision', 'timestamp': 'timestamp', 'date': 'date',
    'money': 'decimal(38, 18)', 'ratio': 'decimal(28, 6)', 'cents': 'decimal(18, 2)',
}[name] }}
{%- endmacro %}

{% macro snowflake__claude_type(name) -%}
{{ 'timestamp_ntz' if name == 'timestamp' else claude.default__claude_type(name) }}
{%- endmacro %}

{# bignumeric has 38 digits before the point, and 38 after it. #}
{% macro bigquery__claude_type(name) -%}
{{ {
    'text': 'string', 'json': 'string', 'bigint': 'int64', 'boolean': 'bool',
    'double': 'float64', 'timestamp': 'datetime', 'date': 'date',
    'money': 'bignumeric', 'ratio': 'numeric', 'cents': 'numeric',
}[name] }}
{%- endmacro %}

{% macro databricks__claude_type(name) -%}
{{ {'text': 'string', 'json': 'string', 'double': 'double', 'timestamp': 'timestamp_ntz'}.get(
    name, claude.default__claude_type(name)
) }}
{%- endmacro %}


{% macro claude_null(type) -%}
cast(null as {{ claude.claude_type(type) }})
{%- endmacro %}


{# A column of a raw table with its exact type. Targets load money and times as text, too. Times lose
   their zone, which is UTC. `loaded` is the type that the column has, or empty if unknown. #}
{% macro claude_cast(column, type, loaded) -%}
{{ adapter.dispatch('claude_cast', 'claude')(column, type, loaded) }}
{%- endmacro %}

{% macro default__claude_cast(column, type, loaded) -%}
{%- set has_zone = 'with time zone' in loaded or loaded in ('timestamptz', 'timestamp_tz', 'timestamp_ltz') -%}
{%- if type in ('timestamp', 'date') and has_zone -%}
cast({{ claude.claude_in_utc(column) }} as {{ claude.claude_type(type) }})
{%- else -%}
cast({{ column }} as {{ claude.claude_type(type) }})
{%- endif -%}
{%- endmacro %}

{% macro duckdb__claude_cast(column, type, loaded) -%}
{%- if type == 'json' and loaded not in ('', 'json') and 'char' not in loaded -%}
cast(to_json({{ column }}) as varchar)
{%- else -%}
{{ claude.default__claude_cast(column, type, loaded) }}
{%- endif -%}
{%- endmacro %}

{% macro bigquery__claude_cast(column, type, loaded) -%}
{%- if type == 'timestamp' -%}
cast(cast({{ column }} as timestamp) as datetime)
{%- elif type == 'json' and loaded != 'string' -%}
to_json_string({{ column }})
{%- else -%}
cast({{ column }} as {{ claude.claude_type(type) }})
{%- endif -%}
{%- endmacro %}


{% macro claude_in_utc(column) -%}
{{ adapter.dispatch('claude_in_utc', 'claude')(column) }}
{%- endmacro %}

{% macro default__claude_in_utc(column) -%}
{{ column }} at time zone 'UTC'
{%- endmacro %}

{% macro snowflake__claude_in_utc(column) -%}
convert_timezone('UTC', {{ column }})
{%- endmacro %}
