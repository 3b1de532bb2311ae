{# The present members of the groups that count as teams. #}
select distinct
    members.organization_type,
    members.organization_id,
    members.rbac_group_id as team_id,
    teams.name as team_name,
    members.user_id as person_id
from {{ ref('stg_claude__rbac_group_members') }} as members
join {{ ref('int_claude__teams') }} as teams
    on members.organization_type = teams.organization_type
    and members.organization_id = teams.organization_id
    and members.rbac_group_id = teams.team_id
where members.user_id is not null
