{# Dates of the adapters. All of them are days in UTC. #}

{% macro claude_add_days(day, number) -%}
{{ adapter.dispatch('claude_add_days', 'claude')(day, number) }}
{%- endmacro %}

{% macro default__claude_add_days(day, number) -%}
({{ day }} + ({{ number }}))
{%- endmacro %}

{% macro snowflake__claude_add_days(day, number) -%}
dateadd(day, {{ number }}, {{ day }})
{%- endmacro %}

{% macro bigquery__claude_add_days(day, number) -%}
date_add({{ day }}, interval {{ number }} day)
{%- endmacro %}

{% macro databricks__claude_add_days(day, number) -%}
date_add({{ day }}, {{ number }})
{%- endmacro %}


{# The last day of a shorter month stands for the days that it does not have. #}
{% macro claude_add_months(day, number) -%}
{{ adapter.dispatch('claude_add_months', 'claude')(day, number) }}
{%- endmacro %}

{% macro default__claude_add_months(day, number) -%}
cast({{ day }} + interval '{{ number }} month' as date)
{%- endmacro %}

{% macro snowflake__claude_add_months(day, number) -%}
dateadd(month, {{ number }}, {{ day }})
{%- endmacro %}

{% macro bigquery__claude_add_months(day, number) -%}
date_add({{ day }}, interval {{ number }} month)
{%- endmacro %}

{% macro databricks__claude_add_months(day, number) -%}
add_months({{ day }}, {{ number }})
{%- endmacro %}


{# The first day of the month. #}
{% macro claude_month(day) -%}
{{ adapter.dispatch('claude_month', 'claude')(day) }}
{%- endmacro %}

{% macro default__claude_month(day) -%}
cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}

{% macro bigquery__claude_month(day) -%}
cast(date_trunc({{ day }}, month) as date)
{%- endmacro %}


{# 1 is Monday, 7 is Sunday. #}
{% macro claude_weekday(day) -%}
{{ adapter.dispatch('claude_weekday', 'claude')(day) }}
{%- endmacro %}

{% macro default__claude_weekday(day) -%}
cast(extract(isodow from {{ day }}) as integer)
{%- endmacro %}

{% macro snowflake__claude_weekday(day) -%}
dayofweekiso({{ day }})
{%- endmacro %}

{# BigQuery's own weeks start on Sunday. 1 January 2001 was a Monday. #}
{% macro bigquery__claude_weekday(day) -%}
(mod(date_diff({{ day }}, date '2001-01-01', day), 7) + 1)
{%- endmacro %}

{% macro databricks__claude_weekday(day) -%}
extract(dayofweek_iso from {{ day }})
{%- endmacro %}


{% macro claude_days_between(first, last) -%}
{{ adapter.dispatch('claude_days_between', 'claude')(first, last) }}
{%- endmacro %}

{% macro default__claude_days_between(first, last) -%}
({{ last }} - {{ first }})
{%- endmacro %}

{% macro duckdb__claude_days_between(first, last) -%}
date_diff('day', {{ first }}, {{ last }})
{%- endmacro %}

{% macro snowflake__claude_days_between(first, last) -%}
datediff(day, {{ first }}, {{ last }})
{%- endmacro %}

{% macro bigquery__claude_days_between(first, last) -%}
date_diff({{ last }}, {{ first }}, day)
{%- endmacro %}

{% macro databricks__claude_days_between(first, last) -%}
datediff({{ last }}, {{ first }})
{%- endmacro %}
