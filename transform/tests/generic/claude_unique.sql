{# No two rows are equal in these columns. Null counts as a value. #}
{% test claude_unique(model, columns) %}
select {{ columns | join(', ') }}, count(*) as times
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
