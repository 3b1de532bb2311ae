with totals as (
    {{ claude.claude_totals_by('actor_id', 'user_actor') | indent(4) }}
),

{# Engagement counts use that has no cost, too. #}
engaged as (
    select
        engagement.organization_type, engagement.organization_id, engagement.user_id as person_id,
        min(engagement.date) as first_day,
        max(engagement.date) as last_day
    from {{ ref('stg_claude__analytics_users') }} as engagement
    group by engagement.organization_type, engagement.organization_id, engagement.user_id
),

coded as (
    select
        organization_type, organization_id, actor_email_address as email_address,
        min(date) as first_day, max(date) as last_day
    from {{ ref('stg_claude__claude_code_usage') }}
    where actor_email_address is not null
    group by organization_type, organization_id, actor_email_address
),

teams as (
    select
        organization_type, organization_id, person_id,
        {{ claude.claude_list('team_name') }} as teams,
        count(*) as team_count
    from {{ ref('int_claude__team_members') }}
    group by organization_type, organization_id, person_id
),

{# The limit that is used up most. #}
limits as (
    select
        organization_type, organization_id, actor_user_id as person_id,
        amount_usd, period_to_date_spend_usd, period,
        row_number() over (
            partition by organization_type, organization_id, actor_user_id
            order by
                case when amount_usd > 0 then
                    cast(period_to_date_spend_usd as {{ claude.claude_type('double') }})
                    / cast(amount_usd as {{ claude.claude_type('double') }})
                end desc nulls last,
                row_id
        ) as used_rank
    from {{ ref('stg_claude__effective_spend_limits') }}
    where actor_user_id is not null and amount_usd is not null
),

people as (
    select
        people.*,
        newest.newest_day,
        totals.id as spender_id,
        case
            when totals.first_day <= coalesce(engaged.first_day, coded.first_day, totals.first_day)
                then totals.first_day
            else coalesce(engaged.first_day, coded.first_day)
        end as first_use,
        case
            when totals.last_day >= coalesce(engaged.last_day, coded.last_day, totals.last_day)
                then totals.last_day
            else coalesce(engaged.last_day, coded.last_day)
        end as last_use
    from {{ ref('int_claude__people') }} as people
    left join {{ ref('int_claude__newest_days') }} as newest
        on people.organization_type = newest.organization_type
        and people.organization_id = newest.organization_id
    left join totals
        on people.organization_type = totals.organization_type
        and people.organization_id = totals.organization_id
        and people.person_id = totals.id
    left join engaged
        on people.organization_type = engaged.organization_type
        and people.organization_id = engaged.organization_id
        and people.person_id = engaged.person_id
    left join coded
        on people.organization_type = coded.organization_type
        and people.organization_id = coded.organization_id
        and people.email_address = coded.email_address
),

used as (
    select
        people.*,
        people.last_use is not null
            and people.last_use > {{ claude.claude_add_days('people.newest_day', -30) }} as is_active
    from people
)

select
    used.organization_type,
    used.organization_id,
    coalesce(organizations.organization_name, used.organization_id) as organization_name,
    used.person_id,
    used.person_name,
    used.email_address,
    used.role,
    teams.teams,
    cast(coalesce(teams.team_count, 0) as {{ claude.claude_type('bigint') }}) as team_count,
    used.is_member,
    used.is_deleted,
    used.added_at,
    used.first_use as first_day,
    used.last_use as last_day,
    cast(coalesce(totals.active_days_30_days, 0) as {{ claude.claude_type('bigint') }})
        as active_days_30_days,
    {%- for column in ['amount_usd', 'list_amount_usd', 'amount_usd_30_days'] %}
    cast(coalesce(totals.{{ column }}, 0) as {{ claude.claude_type('money') }}) as {{ column }},
    {%- endfor %}
    {%- for column in ['total_tokens', 'total_tokens_30_days', 'requests_30_days'] %}
    cast(coalesce(totals.{{ column }}, 0) as {{ claude.claude_type('bigint') }}) as {{ column }},
    {%- endfor %}
    used.organization_type = 'enterprise' and used.is_member and not coalesce(used.is_active, false)
        as is_member_without_use,
    case
        when used.organization_type = 'enterprise' and used.is_member
            then {{ claude.claude_seat_price('used.role') }}
    end as seat_price_usd,
    limits.amount_usd as limit_usd,
    limits.period_to_date_spend_usd as limit_spent_usd,
    limits.period as limit_period,
    {{ claude.claude_ratio('limits.period_to_date_spend_usd', 'limits.amount_usd') }}
        as limit_spent_share,
    coalesce(
        limits.period_to_date_spend_usd >= limits.amount_usd * {{ var('claude_near_limit') }}, false
    ) as is_near_limit
from used
left join totals
    on used.organization_type = totals.organization_type
    and used.organization_id = totals.organization_id
    and used.person_id = totals.id
left join teams
    on used.organization_type = teams.organization_type
    and used.organization_id = teams.organization_id
    and used.person_id = teams.person_id
left join limits
    on used.organization_type = limits.organization_type
    and used.organization_id = limits.organization_id
    and used.person_id = limits.person_id
    and limits.used_rank = 1
left join {{ ref('int_claude__organizations') }} as organizations
    on used.organization_type = organizations.organization_type
    and used.organization_id = organizations.organization_id
