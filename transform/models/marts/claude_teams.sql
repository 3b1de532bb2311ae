{# Where cost_by_team is loaded, the API says whose cost it was on the day of use. Elsewhere, a person's
   cost is that of the present teams. #}
with reported_cost as (
    select
        organization_type, organization_id,
        {{ claude.claude_month('cast(starting_at as date)') }} as month,
        rbac_group_id as team_id,
        sum(amount_usd) as amount_usd, sum(list_amount_usd) as list_amount_usd
    from {{ ref('stg_claude__cost_by_team') }}
    group by
        organization_type, organization_id,
        {{ claude.claude_month('cast(starting_at as date)') }}, rbac_group_id
),

reported_use as (
    select
        organization_type, organization_id,
        {{ claude.claude_month('cast(starting_at as date)') }} as month,
        rbac_group_id as team_id,
        sum(total_tokens) as total_tokens
    from {{ ref('stg_claude__usage_by_team') }}
    group by
        organization_type, organization_id,
        {{ claude.claude_month('cast(starting_at as date)') }}, rbac_group_id
),

reported as (
    select
        organization_type, organization_id, month, team_id, amount_usd, list_amount_usd,
        cast(null as {{ claude.claude_type('bigint') }}) as total_tokens
    from reported_cost
    union all
    select
        used.organization_type, used.organization_id, used.month, used.team_id,
        cast(null as {{ claude.claude_type('money') }}),
        cast(null as {{ claude.claude_type('money') }}), used.total_tokens
    from reported_use as used
    join (select distinct organization_type, organization_id, month from reported_cost) as months
        on used.organization_type = months.organization_type
        and used.organization_id = months.organization_id
        and used.month = months.month
),

facts as (
    select
        organization_type, organization_id, {{ claude.claude_month('day') }} as month,
        case when actor_type = 'user_actor' then actor_id end as person_id,
        amount_usd, list_amount_usd, cast(0 as {{ claude.claude_type('bigint') }}) as total_tokens
    from {{ ref('claude_cost') }}
    union all
    select
        organization_type, organization_id, {{ claude.claude_month('day') }},
        case when actor_type = 'user_actor' then actor_id end,
        cast(0 as {{ claude.claude_type('money') }}), cast(0 as {{ claude.claude_type('money') }}),
        total_tokens
    from {{ ref('claude_usage') }}
),

spenders as (
    select
        organization_type, organization_id, month, person_id,
        sum(amount_usd) as amount_usd, sum(list_amount_usd) as list_amount_usd,
        sum(total_tokens) as total_tokens
    from facts
    group by organization_type, organization_id, month, person_id
),

attributed as (
    select
        spenders.organization_type, spenders.organization_id, spenders.month, members.team_id,
        sum(spenders.amount_usd) as amount_usd, sum(spenders.list_amount_usd) as list_amount_usd,
        sum(spenders.total_tokens) as total_tokens
    from spenders
    join (
        select distinct organization_type, organization_id
        from {{ ref('int_claude__teams') }}
    ) as with_teams
        on spenders.organization_type = with_teams.organization_type
        and spenders.organization_id = with_teams.organization_id
    left join {{ ref('int_claude__team_members') }} as members
        on spenders.organization_type = members.organization_type
        and spenders.organization_id = members.organization_id
        and spenders.person_id = members.person_id
    left join (select distinct organization_type, organization_id, month from reported_cost) as months
        on spenders.organization_type = months.organization_type
        and spenders.organization_id = months.organization_id
        and spenders.month = months.month
    where months.month is null
    group by spenders.organization_type, spenders.organization_id, spenders.month, members.team_id
),

both_kinds as (
    select
        organization_type, organization_id, month, team_id, 'day_of_use' as membership,
        sum(amount_usd) as amount_usd, sum(list_amount_usd) as list_amount_usd,
        sum(total_tokens) as total_tokens
    from reported
    group by organization_type, organization_id, month, team_id
    union all
    select
        organization_type, organization_id, month, team_id, 'present',
        amount_usd, list_amount_usd, total_tokens
    from attributed
),

members as (
    select
        organization_type, organization_id, team_id, count(distinct person_id) as members
    from {{ ref('int_claude__team_members') }}
    group by organization_type, organization_id, team_id
),

active as (
    select
        members.organization_type, members.organization_id, members.team_id, spenders.month,
        count(distinct members.person_id) as active_members
    from {{ ref('int_claude__team_members') }} as members
    join spenders
        on members.organization_type = spenders.organization_type
        and members.organization_id = spenders.organization_id
        and members.person_id = spenders.person_id
    group by
        members.organization_type, members.organization_id, members.team_id, spenders.month
),

totals as (
    select organization_type, organization_id, month, sum(amount_usd) as amount_usd
    from spenders
    group by organization_type, organization_id, month
)

select
    both_kinds.organization_type,
    both_kinds.organization_id,
    coalesce(organizations.organization_name, both_kinds.organization_id) as organization_name,
    both_kinds.month,
    both_kinds.team_id,
    coalesce(teams.name, both_kinds.team_id, 'in no team') as team_name,
    both_kinds.membership,
    cast(coalesce(members.members, 0) as {{ claude.claude_type('bigint') }}) as members,
    cast(coalesce(active.active_members, 0) as {{ claude.claude_type('bigint') }})
        as active_members,
    cast(coalesce(both_kinds.amount_usd, 0) as {{ claude.claude_type('money') }}) as amount_usd,
    cast(coalesce(both_kinds.list_amount_usd, 0) as {{ claude.claude_type('money') }})
        as list_amount_usd,
    cast(both_kinds.total_tokens as {{ claude.claude_type('bigint') }}) as total_tokens,
    cast(coalesce(totals.amount_usd, 0) as {{ claude.claude_type('money') }})
        as organization_amount_usd
from both_kinds
left join {{ ref('int_claude__teams') }} as teams
    on both_kinds.organization_type = teams.organization_type
    and both_kinds.organization_id = teams.organization_id
    and both_kinds.team_id = teams.team_id
left join members
    on both_kinds.organization_type = members.organization_type
    and both_kinds.organization_id = members.organization_id
    and both_kinds.team_id = members.team_id
left join active
    on both_kinds.organization_type = active.organization_type
    and both_kinds.organization_id = active.organization_id
    and both_kinds.team_id = active.team_id
    and both_kinds.month = active.month
left join totals
    on both_kinds.organization_type = totals.organization_type
    and both_kinds.organization_id = totals.organization_id
    and both_kinds.month = totals.month
left join {{ ref('int_claude__organizations') }} as organizations
    on both_kinds.organization_type = organizations.organization_type
    and both_kinds.organization_id = organizations.organization_id
{%- if var('claude_teams') %}
where both_kinds.team_id is null or teams.team_id is not null
{%- endif %}
