{# The budgets of var claude_budgets, one row each. Null means any. #}
{% macro claude_budget_rows() %}
{%- set columns = ['name', 'organization_type', 'organization_id', 'product', 'workspace_id'] -%}
{%- for budget in var('claude_budgets') %}
select
    {%- for column in columns %}
    {{ claude.claude_text(budget[column]) if budget.get(column) is not none
        else claude.claude_null('text') }} as {{ column }},
    {%- endfor %}
    cast({{ claude.claude_text(budget['amount_usd']) }} as {{ claude.claude_type('money') }}) as budget_usd
{{ 'union all' if not loop.last }}
{%- else %}
select
    {%- for column in columns %}
    {{ claude.claude_null('text') }} as {{ column }},
    {%- endfor %}
    {{ claude.claude_null('money') }} as budget_usd
from (select 1 as nothing) as no_budget
where nothing = 0
{%- endfor %}
{% endmacro %}


{# over: more is spent than the budget. likely_over: the forecast is above it. near: the share of
   var claude_near_limit is spent, or the range of the forecast reaches it. within: none of these. #}
{% macro claude_budget_state(spent, budget, forecast, high) -%}
case
    when {{ budget }} is null then null
    when {{ spent }} > {{ budget }} then 'over'
    when {{ forecast }} > {{ budget }} then 'likely_over'
    when {{ spent }} >= {{ budget }} * {{ var('claude_near_limit') }} then 'near'
    when {{ high }} > {{ budget }} then 'near'
    else 'within'
end
{%- endmacro %}
