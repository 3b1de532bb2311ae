{% set double = claude.claude_type('double') %}
{% set money = claude.claude_type('money') %}
{% set dimensions = {'product': 'product', 'workspace': 'workspace_id'} %}
{% set drivers = {'model': 'model', 'actor': 'actor_id'} %}
with series as (
    {% for dimension, column in dimensions.items() -%}
    select
        organization_type, organization_id, '{{ dimension }}' as dimension, {{ column }} as value_id,
        day, sum(amount_usd) as amount_usd
    from {{ ref('claude_cost') }}
    where {{ column }} is not null
    group by organization_type, organization_id, {{ column }}, day
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

spans as (
    select
        organization_type, organization_id, dimension, value_id, min(day) as first_day
    from series
    group by organization_type, organization_id, dimension, value_id
),

{# Days without cost count as 0, from the first day with cost on. #}
days as (
    select
        spans.organization_type, spans.organization_id, spans.dimension, spans.value_id, daily.day,
        cast(coalesce(series.amount_usd, 0) as {{ money }}) as amount_usd
    from spans
    join {{ ref('claude_daily') }} as daily
        on spans.organization_type = daily.organization_type
        and spans.organization_id = daily.organization_id
        and spans.first_day <= daily.day
    left join series
        on spans.organization_type = series.organization_type
        and spans.organization_id = series.organization_id
        and spans.dimension = series.dimension
        and spans.value_id = series.value_id
        and daily.day = series.day
    where daily.is_complete
),

{# Each day beside the same weekday of the 8 weeks before it. #}
pairs as (
    select
        days.organization_type, days.organization_id, days.dimension, days.value_id, days.day,
        days.amount_usd, earlier.amount_usd as earlier_amount_usd, earlier.day as earlier_day
    from days
    join days as earlier
        on days.organization_type = earlier.organization_type
        and days.organization_id = earlier.organization_id
        and days.dimension = earlier.dimension
        and days.value_id = earlier.value_id
        and earlier.day in (
            {%- for week in range(1, 9) %}
            {{ claude.claude_add_days('days.day', -7 * week) }}{{ ',' if not loop.last }}
            {%- endfor %}
        )
),

medians as (
    {{ claude.claude_medians(
        'pairs',
        ['organization_type', 'organization_id', 'dimension', 'value_id', 'day', 'amount_usd'],
        'earlier_amount_usd', 'median_amount_usd'
    ) | indent(4) }}
),

distances as (
    select
        medians.organization_type, medians.organization_id, medians.dimension, medians.value_id,
        medians.day, medians.amount_usd, medians.median_amount_usd, medians.weeks,
        abs(pairs.earlier_amount_usd - medians.median_amount_usd) as distance
    from medians
    join pairs
        on medians.organization_type = pairs.organization_type
        and medians.organization_id = pairs.organization_id
        and medians.dimension = pairs.dimension
        and medians.value_id = pairs.value_id
        and medians.day = pairs.day
    where medians.weeks >= 4
),

spreads as (
    {{ claude.claude_medians(
        'distances',
        ['organization_type', 'organization_id', 'dimension', 'value_id', 'day', 'amount_usd',
            'median_amount_usd'],
        'distance', 'spread_usd'
    ) | indent(4) }}
),

{# The median distance from the median, as usual, but never less than a tenth of the median. #}
anomalies as (
    select
        spreads.*,
        amount_usd - median_amount_usd as deviation_usd
    from spreads
    where abs(amount_usd - median_amount_usd) >= {{ var('claude_anomaly_usd') }}
        and abs(amount_usd - median_amount_usd) >= {{ var('claude_anomaly_factor') }} * spread_usd
        and abs(amount_usd - median_amount_usd)
            >= {{ var('claude_anomaly_factor') }} * 0.1 * median_amount_usd
),

{# What differs most from the mean of the same weekdays. #}
{% for driver, driver_column in drivers.items() -%}
{{ driver }}_changes as (
    {% for dimension, column in dimensions.items() -%}
    select
        anomalies.organization_type, anomalies.organization_id, anomalies.dimension,
        anomalies.value_id, anomalies.day, anomalies.deviation_usd,
        cost.{{ driver_column }} as driver_id,
        {{ 'max(cost.actor_name)' if driver == 'actor' else 'max(cost.model)' }} as driver_name,
        sum(case when cost.day = anomalies.day then cost.amount_usd else 0 end) as amount_usd,
        sum(case when cost.day < anomalies.day then cost.amount_usd else 0 end) as earlier_usd,
        max(anomalies.weeks) as weeks
    from anomalies
    join {{ ref('claude_cost') }} as cost
        on anomalies.organization_type = cost.organization_type
        and anomalies.organization_id = cost.organization_id
        and anomalies.value_id = cost.{{ column }}
        and cost.day in (
            anomalies.day,
            {%- for week in range(1, 9) %}
            {{ claude.claude_add_days('anomalies.day', -7 * week) }}{{ ',' if not loop.last }}
            {%- endfor %}
        )
    where anomalies.dimension = '{{ dimension }}'
    group by
        anomalies.organization_type, anomalies.organization_id, anomalies.dimension,
        anomalies.value_id, anomalies.day, anomalies.deviation_usd, cost.{{ driver_column }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

{{ driver }}_drivers as (
    select
        {{ driver }}_changes.*,
        amount_usd * weeks - earlier_usd as change_of_weeks,
        row_number() over (
            partition by organization_type, organization_id, dimension, value_id, day
            order by
                case when deviation_usd > 0 then amount_usd * weeks - earlier_usd
                    else earlier_usd - amount_usd * weeks end desc,
                driver_id
        ) as driver_rank
    from {{ driver }}_changes
),

{% endfor -%}
names as (
    select organization_type, organization_id, id, name from {{ ref('stg_claude__workspaces') }}
)

select
    anomalies.organization_type,
    anomalies.organization_id,
    coalesce(organizations.organization_name, anomalies.organization_id) as organization_name,
    anomalies.day,
    anomalies.dimension,
    anomalies.value_id,
    coalesce(names.name, anomalies.value_id) as value_name,
    cast(anomalies.amount_usd as {{ money }}) as amount_usd,
    cast(anomalies.median_amount_usd as {{ money }}) as median_amount_usd,
    cast(anomalies.deviation_usd as {{ money }}) as deviation_usd,
    {{ claude.claude_ratio('anomalies.amount_usd', 'anomalies.median_amount_usd') }}
        as times_median,
    case when anomalies.deviation_usd > 0 then 'high' else 'low' end as direction,
    {%- for driver in drivers %}
    {{ driver }}_drivers.driver_id as driver_{{ driver }}_id,
    {{ driver }}_drivers.driver_name as driver_{{ driver }}_name,
    {{ claude.claude_ratio(driver ~ '_drivers.change_of_weeks', driver ~ '_drivers.weeks') }}
        as driver_{{ driver }}_change_usd{{ ',' if not loop.last }}
    {%- endfor %}
from anomalies
{%- for driver in drivers %}
left join {{ driver }}_drivers
    on anomalies.organization_type = {{ driver }}_drivers.organization_type
    and anomalies.organization_id = {{ driver }}_drivers.organization_id
    and anomalies.dimension = {{ driver }}_drivers.dimension
    and anomalies.value_id = {{ driver }}_drivers.value_id
    and anomalies.day = {{ driver }}_drivers.day
    and {{ driver }}_drivers.driver_rank = 1
{%- endfor %}
left join names
    on anomalies.organization_type = names.organization_type
    and anomalies.organization_id = names.organization_id
    and anomalies.dimension = 'workspace'
    and anomalies.value_id = names.id
left join {{ ref('int_claude__organizations') }} as organizations
    on anomalies.organization_type = organizations.organization_type
    and anomalies.organization_id = organizations.organization_id
