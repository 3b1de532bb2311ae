{% set dimensions = ['product', 'model', 'cost_type', 'token_type', 'currency'] %}
{% set sums = {'amount_usd': 'money', 'list_amount_usd': 'money'} %}
with cost as (
    {{ claude.claude_by_day('analytics_cost', dimensions, sums) | indent(4) }}
)

{{ claude.claude_named('cost', dimensions, sums.keys() | list) }}
