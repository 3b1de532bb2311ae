select organization_type, organization_id, id as team_id, coalesce(name, id) as name
from {{ ref('stg_claude__rbac_groups') }}
{% if var('claude_teams') -%}
where {{ claude.claude_is_team('id', 'name') }}
{%- endif %}
