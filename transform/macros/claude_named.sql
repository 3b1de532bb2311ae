{# The rows of a report by day and dimensions, with the names that their ids have now. `dimensions`
   and `measures` are columns of the relation that the select reads as `facts`. #}
{% macro claude_named(facts, dimensions, measures) %}
select
    facts.organization_type,
    facts.organization_id,
    coalesce(organizations.organization_name, facts.organization_id) as organization_name,
    facts.day,
    facts.actor_type,
    facts.actor_id,
    coalesce(actors.actor_name, facts.actor_id) as actor_name,
    actors.actor_email_address,
    actors.actor_deleted,
    facts.api_key_id,
    coalesce(api_keys.name, facts.api_key_id) as api_key_name,
    facts.workspace_id,
    coalesce(workspaces.name, facts.workspace_id) as workspace_name,
    {%- for column in dimensions + measures %}
    facts.{{ column }},
    {%- endfor %}
    facts.is_complete,
    facts.data_refreshed_at,
    facts.extracted_at
from {{ facts }} as facts
{{ claude.claude_name_joins('facts') }}
{% endmacro %}


{# Joins to what has the names of a relation's ids: `organizations`, `actors`, `api_keys` and
   `workspaces`. #}
{% macro claude_name_joins(facts) -%}
left join {{ ref('int_claude__organizations') }} as organizations
    on {{ facts }}.organization_type = organizations.organization_type
    and {{ facts }}.organization_id = organizations.organization_id
left join {{ ref('int_claude__actors') }} as actors
    on {{ facts }}.organization_type = actors.organization_type
    and {{ facts }}.organization_id = actors.organization_id
    and {{ facts }}.actor_type = actors.actor_type
    and {{ facts }}.actor_id = actors.actor_id
left join {{ ref('stg_claude__api_keys') }} as api_keys
    on {{ facts }}.organization_type = api_keys.organization_type
    and {{ facts }}.organization_id = api_keys.organization_id
    and {{ facts }}.api_key_id = api_keys.id
left join {{ ref('stg_claude__workspaces') }} as workspaces
    on {{ facts }}.organization_type = workspaces.organization_type
    and {{ facts }}.organization_id = workspaces.organization_id
    and {{ facts }}.workspace_id = workspaces.id
{%- endmacro %}


{# A report summed by day and dimensions: sums is a map from the column to its type. #}
{% macro claude_by_day(table, dimensions, sums) %}
select
    organization_type,
    organization_id,
    cast(starting_at as date) as day,
    actor_type,
    {{ claude.claude_actor_id() }} as actor_id,
    api_key_id,
    workspace_id,
    {%- for column in dimensions %}
    {{ column }},
    {%- endfor %}
    {%- for column, type in sums.items() %}
    {{ claude.claude_sum(column, type) }} as {{ column }},
    {%- endfor %}
    {{ claude.claude_all('is_complete') }} as is_complete,
    max(data_refreshed_at) as data_refreshed_at,
    max(extracted_at) as extracted_at
from {{ ref('stg_claude__' ~ table) }}
group by
    organization_type, organization_id, cast(starting_at as date), actor_type,
    {{ claude.claude_actor_id() }}, api_key_id, workspace_id, {{ dimensions | join(', ') }}
{% endmacro %}
