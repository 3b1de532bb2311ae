{% set bigint = claude.claude_type('bigint') %}
{% set money = claude.claude_type('money') %}
{% set counters = [
    'num_sessions', 'lines_of_code_added', 'lines_of_code_removed', 'commits_by_claude_code',
    'pull_requests_by_claude_code', 'tool_actions_accepted', 'tool_actions_rejected',
    'api_commits', 'subscription_commits', 'api_pull_requests', 'subscription_pull_requests',
] %}
{% set estimates = ['api_estimated_cost_usd', 'subscription_estimated_cost_usd'] %}
{% set tools = ['edit_tool', 'multi_edit_tool', 'write_tool', 'notebook_edit_tool'] %}
{# Claude Code reports people by their e-mail address, and API keys by their name. #}
with person_of as (
    select
        organization_type, organization_id, email_address, person_id,
        row_number() over (
            partition by organization_type, organization_id, email_address
            order by case when is_member then 0 else 1 end, person_id
        ) as choice
    from {{ ref('int_claude__people') }}
    where email_address is not null
),

activity as (
    select
        organization_type, organization_id, date as day, actor_type, actor_email_address,
        actor_api_key_name,
        coalesce(num_sessions, 0) as num_sessions,
        coalesce(lines_of_code_added, 0) as lines_of_code_added,
        coalesce(lines_of_code_removed, 0) as lines_of_code_removed,
        coalesce(commits_by_claude_code, 0) as commits_by_claude_code,
        coalesce(pull_requests_by_claude_code, 0) as pull_requests_by_claude_code,
        {% for kind in ['accepted', 'rejected'] -%}
        {% for tool in tools -%}
        coalesce({{ tool }}_{{ kind }}, 0){{ ' + ' if not loop.last }}
        {%- endfor %} as tool_actions_{{ kind }},
        {% endfor -%}
        case when customer_type = 'api' then coalesce(commits_by_claude_code, 0) else 0 end
            as api_commits,
        case when customer_type = 'subscription' then coalesce(commits_by_claude_code, 0) else 0 end
            as subscription_commits,
        case when customer_type = 'api' then coalesce(pull_requests_by_claude_code, 0) else 0 end
            as api_pull_requests,
        case when customer_type = 'subscription'
            then coalesce(pull_requests_by_claude_code, 0) else 0 end as subscription_pull_requests,
        cast(0 as {{ money }}) as api_estimated_cost_usd,
        cast(0 as {{ money }}) as subscription_estimated_cost_usd
    from {{ ref('stg_claude__claude_code_usage') }}
    union all
    select
        organization_type, organization_id, date, actor_type, actor_email_address,
        actor_api_key_name,
        {% for counter in counters %}0, {% endfor %}
        case when customer_type = 'api' then estimated_cost_usd else 0 end,
        case when customer_type = 'subscription' then estimated_cost_usd else 0 end
    from {{ ref('stg_claude__claude_code_model_usage') }}
),

rows_of_people as (
    select
        activity.organization_type, activity.organization_id, activity.day,
        activity.actor_type as person_type,
        coalesce(
            person_of.person_id, activity.actor_email_address, activity.actor_api_key_name,
            'not known'
        ) as person_id,
        activity.actor_email_address as email_address,
        {%- for column in counters + estimates %}
        {{ column }},
        {%- endfor %}
        cast(0 as {{ money }}) as amount_usd
    from activity
    left join person_of
        on activity.organization_type = person_of.organization_type
        and activity.organization_id = person_of.organization_id
        and activity.actor_email_address = person_of.email_address
        and person_of.choice = 1
    union all
    select
        organization_type, organization_id, date, 'user_actor', user_id, user_email_address,
        coalesce(claude_code_distinct_session_count, 0),
        coalesce(claude_code_lines_of_code_added_count, 0),
        coalesce(claude_code_lines_of_code_removed_count, 0),
        coalesce(claude_code_commit_count, 0),
        coalesce(claude_code_pull_request_count, 0),
        {% for kind in ['accepted', 'rejected'] -%}
        {% for tool in tools -%}
        coalesce(claude_code_tool_actions_{{ tool }}_{{ kind }}_count, 0){{ ' + ' if not loop.last }}
        {%- endfor %},
        {% endfor -%}
        0, 0, 0, 0, cast(0 as {{ money }}), cast(0 as {{ money }}), cast(0 as {{ money }})
    from {{ ref('stg_claude__analytics_users') }}
    where user_id is not null
        and coalesce(claude_code_distinct_session_count, 0)
            + coalesce(claude_code_lines_of_code_added_count, 0)
            + coalesce(claude_code_lines_of_code_removed_count, 0)
            + coalesce(claude_code_commit_count, 0)
            + coalesce(claude_code_pull_request_count, 0) > 0
    union all
    {# The bill knows keys by their ids, the activity by their names. #}
    select
        organization_type, organization_id, day, coalesce(actor_type, 'not known'),
        coalesce(case when actor_type = 'api_actor' then actor_name else actor_id end, 'not known'),
        actor_email_address,
        {% for column in counters %}0, {% endfor %}
        cast(0 as {{ money }}), cast(0 as {{ money }}), amount_usd
    from {{ ref('claude_cost') }}
    where product = 'claude_code'
),

people_by_day as (
    select
        organization_type, organization_id, day, person_type, person_id,
        max(email_address) as email_address,
        {%- for column in counters %}
        {{ claude.claude_sum(column, 'bigint') }} as {{ column }},
        {%- endfor %}
        {%- for column in estimates %}
        cast(sum(coalesce({{ column }}, 0)) as {{ money }}) as {{ column }},
        {%- endfor %}
        {{ claude.claude_sum('amount_usd', 'money') }} as amount_usd
    from rows_of_people
    group by organization_type, organization_id, day, person_type, person_id
)

select
    people_by_day.organization_type,
    people_by_day.organization_id,
    coalesce(organizations.organization_name, people_by_day.organization_id) as organization_name,
    people_by_day.day,
    people_by_day.person_type,
    people_by_day.person_id,
    coalesce(people.person_name, actors.actor_name, people_by_day.person_id) as person_name,
    coalesce(people.email_address, people_by_day.email_address) as email_address,
    {%- for column in counters %}
    people_by_day.{{ column }},
    {%- endfor %}
    {{ claude.claude_ratio(
        'people_by_day.tool_actions_accepted',
        '(people_by_day.tool_actions_accepted + people_by_day.tool_actions_rejected)'
    ) }} as acceptance_rate,
    people_by_day.amount_usd,
    cast(people_by_day.api_estimated_cost_usd + people_by_day.subscription_estimated_cost_usd
        as {{ money }}) as estimated_cost_usd,
    people_by_day.api_estimated_cost_usd,
    people_by_day.subscription_estimated_cost_usd,
    {{ claude.claude_ratio('people_by_day.amount_usd', 'people_by_day.commits_by_claude_code') }}
        as amount_usd_per_commit,
    {{ claude.claude_ratio(
        'people_by_day.amount_usd', 'people_by_day.pull_requests_by_claude_code'
    ) }} as amount_usd_per_pull_request,
    {%- for payer in ['api', 'subscription'] %}
    {{ claude.claude_ratio(
        'people_by_day.' ~ payer ~ '_estimated_cost_usd', 'people_by_day.' ~ payer ~ '_commits'
    ) }} as {{ payer }}_estimated_cost_usd_per_commit,
    {{ claude.claude_ratio(
        'people_by_day.' ~ payer ~ '_estimated_cost_usd', 'people_by_day.' ~ payer ~ '_pull_requests'
    ) }} as {{ payer }}_estimated_cost_usd_per_pull_request{{ ',' if not loop.last }}
    {%- endfor %}
from people_by_day
left join {{ ref('int_claude__people') }} as people
    on people_by_day.organization_type = people.organization_type
    and people_by_day.organization_id = people.organization_id
    and people_by_day.person_id = people.person_id
left join {{ ref('int_claude__actors') }} as actors
    on people_by_day.organization_type = actors.organization_type
    and people_by_day.organization_id = actors.organization_id
    and people_by_day.person_type = actors.actor_type
    and people_by_day.person_id = actors.actor_id
left join {{ ref('int_claude__organizations') }} as organizations
    on people_by_day.organization_type = organizations.organization_type
    and people_by_day.organization_id = organizations.organization_id
