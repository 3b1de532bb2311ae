{# PostgreSQL plans joins with a new table badly until it knows how many rows it has. #}
{% macro claude_analyze() -%}
{%- if target.type == 'postgres' and model.config.materialized == 'table' -%}
analyze {{ this }}
{%- endif -%}
{%- endmacro %}
