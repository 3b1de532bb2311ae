{% set dimensions = ['product', 'model'] %}
{% set sums = {} %}
{% for column in claude.claude_counters() %}{% do sums.update({column: 'bigint'}) %}{% endfor %}
with used as (
    {{ claude.claude_by_day('analytics_usage', dimensions, sums) | indent(4) }}
)

{{ claude.claude_named('used', dimensions, sums.keys() | list) }}
