{{ config(materialized='table') }}

{# The cost per day of what is forecast: the organization, and each budget and monthly limit. #}
with budgets as (
    {{ claude.claude_budget_rows() | indent(4) }}
),

questions as (
    select
        organizations.organization_type, organizations.organization_id,
        'organization' as series_id, 'organization' as kind,
        {{ claude.claude_null('text') }} as name,
        {{ claude.claude_null('text') }} as product,
        {{ claude.claude_null('text') }} as workspace_id,
        {{ claude.claude_null('money') }} as budget_usd
    from {{ ref('int_claude__organizations') }} as organizations
    union all
    select
        organizations.organization_type, organizations.organization_id,
        'budget:' || budgets.name, 'budget',
        budgets.name, budgets.product, budgets.workspace_id, budgets.budget_usd
    from {{ ref('int_claude__organizations') }} as organizations
    join budgets
        on coalesce(budgets.organization_type, organizations.organization_type)
            = organizations.organization_type
        and coalesce(budgets.organization_id, organizations.organization_id)
            = organizations.organization_id
    union all
    select
        organization_type, organization_id, 'limit:' || limit_id, 'limit',
        {{ claude.claude_null('text') }}, scope_service,
        {{ claude.claude_null('text') }}, budget_usd
    from {{ ref('int_claude__limits') }}
),

cost as (
    select
        organization_type, organization_id, day, product, workspace_id,
        sum(amount_usd) as amount_usd
    from {{ ref('claude_cost') }}
    group by organization_type, organization_id, day, product, workspace_id
),

spent as (
    select
        questions.organization_type, questions.organization_id, questions.series_id, cost.day,
        sum(cost.amount_usd) as amount_usd
    from questions
    join cost
        on questions.organization_type = cost.organization_type
        and questions.organization_id = cost.organization_id
        and (questions.product is null or questions.product = cost.product)
        and (questions.workspace_id is null or questions.workspace_id = cost.workspace_id)
    group by
        questions.organization_type, questions.organization_id, questions.series_id, cost.day
)

select
    questions.organization_type,
    questions.organization_id,
    questions.series_id,
    questions.kind,
    questions.name,
    questions.product,
    questions.workspace_id,
    questions.budget_usd,
    daily.day,
    daily.month,
    daily.is_complete,
    cast(coalesce(spent.amount_usd, 0) as {{ claude.claude_type('money') }}) as amount_usd
from questions
join {{ ref('claude_daily') }} as daily
    on questions.organization_type = daily.organization_type
    and questions.organization_id = daily.organization_id
left join spent
    on questions.organization_type = spent.organization_type
    and questions.organization_id = spent.organization_id
    and questions.series_id = spent.series_id
    and daily.day = spent.day
