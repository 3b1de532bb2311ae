{# Each organization's sum of a column equals that of another model's column, to the last digit. #}
{% test claude_same_total(model, column_name, of, of_column=none, where_rows=none, of_where=none) %}
select organization_type, organization_id, sum(value) as difference
from (
    select organization_type, organization_id, {{ column_name }} as value
    from {{ model }}
    where {{ where_rows or '1 = 1' }}
    union all
    select organization_type, organization_id, -{{ of_column or column_name }}
    from {{ of }}
    where {{ of_where or '1 = 1' }}
) as both_totals
group by organization_type, organization_id
having sum(value) <> 0
{% endtest %}
