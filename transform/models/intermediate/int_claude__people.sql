with seen as (
    {% for table in ['analytics_cost', 'analytics_usage'] %}
    select
        organization_type, organization_id, actor_user_id as person_id,
        actor_name as name, actor_email_address as email_address,
        coalesce(actor_deleted, false) as is_deleted,
        max(cast(starting_at as date)) as last_day
    from {{ ref('stg_claude__' ~ table) }}
    where actor_user_id is not null
    group by
        organization_type, organization_id, actor_user_id, actor_name, actor_email_address,
        coalesce(actor_deleted, false)
    union all
    {% endfor %}
    select
        organization_type, organization_id, user_id, cast(null as {{ claude.claude_type('text') }}),
        user_email_address, false, max(date)
    from {{ ref('stg_claude__analytics_users') }}
    where user_id is not null
    group by organization_type, organization_id, user_id, user_email_address
    union all
    select
        organization_type, organization_id, user_id, cast(null as {{ claude.claude_type('text') }}),
        max(email), false, cast(null as date)
    from {{ ref('stg_claude__rbac_group_members') }}
    where user_id is not null
    group by organization_type, organization_id, user_id
    union all
    select
        organization_type, organization_id, actor_user_id, actor_name, actor_email_address,
        coalesce(actor_deleted, false), cast(null as date)
    from {{ ref('stg_claude__effective_spend_limits') }}
    where actor_user_id is not null
),

{# The API reports the present name in every row, but a row is as old as its last reading. #}
ranked as (
    select
        seen.*,
        row_number() over (
            partition by organization_type, organization_id, person_id
            order by
                case when name is null then 1 else 0 end,
                coalesce(last_day, cast('1970-01-01' as date)) desc,
                case when is_deleted then 0 else 1 end,
                name,
                email_address
        ) as name_rank,
        row_number() over (
            partition by organization_type, organization_id, person_id
            order by
                case when email_address is null then 1 else 0 end,
                coalesce(last_day, cast('1970-01-01' as date)) desc,
                email_address
        ) as email_rank
    from seen
),

known as (
    select
        organization_type, organization_id, person_id,
        max(case when name_rank = 1 then name end) as name,
        max(case when email_rank = 1 then email_address end) as email_address,
        max(case when name_rank = 1 and is_deleted then 1 else 0 end) = 1 as is_deleted
    from ranked
    group by organization_type, organization_id, person_id
),

ids as (
    select distinct organization_type, organization_id, person_id
    from (
        select organization_type, organization_id, person_id from known
        union all
        select organization_type, organization_id, id from {{ ref('stg_claude__users') }}
    ) as known_or_member
)

select
    ids.organization_type,
    ids.organization_id,
    ids.person_id,
    coalesce(users.name, known.name, users.email, known.email_address, ids.person_id) as person_name,
    coalesce(users.email, known.email_address) as email_address,
    users.role,
    users.added_at,
    users.id is not null as is_member,
    case when users.id is not null then false else coalesce(known.is_deleted, false) end as is_deleted
from ids
left join known
    on ids.organization_type = known.organization_type
    and ids.organization_id = known.organization_id
    and ids.person_id = known.person_id
left join {{ ref('stg_claude__users') }} as users
    on ids.organization_type = users.organization_type
    and ids.organization_id = users.organization_id
    and ids.person_id = users.id
