{{ config(materialized='table') }}

{# The end of the newest month of each series. A day to come costs what its weekday has cost on
   average in the 8 weeks before. The range is as wide as these weekdays vary among themselves. #}
{% set double = claude.claude_type('double') %}
with months as (
    select
        organization_type, organization_id, series_id,
        max(month) as month,
        max(case when is_complete then day end) as last_complete_day
    from {{ ref('int_claude__series') }}
    group by organization_type, organization_id, series_id
),

spans as (
    select
        organization_type, organization_id, series_id, month,
        {{ claude.claude_add_days(claude.claude_add_months('month', 1), -1) }} as month_end,
        last_complete_day as through_day
    from months
    where last_complete_day is not null
),

{# Rounded to cents, their squares have room in every database. #}
history as (
    select
        spans.organization_type, spans.organization_id, spans.series_id,
        {{ claude.claude_weekday('series.day') }} as weekday,
        cast(round(series.amount_usd, 2) as {{ claude.claude_type('cents') }}) as dollars
    from spans
    join {{ ref('int_claude__series') }} as series
        on spans.organization_type = series.organization_type
        and spans.organization_id = series.organization_id
        and spans.series_id = series.series_id
    where series.is_complete
        and series.day <= spans.through_day
        and series.day > {{ claude.claude_add_days('spans.through_day', -56) }}
),

weekdays as (
    {% for weekday in range(1, 8) -%}
    select {{ weekday }} as weekday{{ ' union all ' if not loop.last }}
    {%- endfor %}
),

by_weekday as (
    select
        organization_type, organization_id, series_id, weekday,
        count(*) as days,
        cast(sum(dollars) as {{ double }}) as total,
        cast(sum(dollars * dollars) as {{ double }}) as squares
    from history
    group by organization_type, organization_id, series_id, weekday
),

overall as (
    select
        organization_type, organization_id, series_id,
        sum(days) as days,
        sum(total) / sum(days) as mean,
        {# With one week of history, weekdays cannot be told from chance. #}
        case
            when sum(days) - count(*) >= 7
                then sum(squares - total * total / days) / (sum(days) - count(*))
            when sum(days) > 1
                then (sum(squares) - sum(total) * sum(total) / sum(days)) / (sum(days) - 1)
        end as variance
    from by_weekday
    group by organization_type, organization_id, series_id
),

{# What a weekday is expected to cost: its own mean, or that of all days if it is not in the history. #}
means as (
    select
        overall.organization_type, overall.organization_id, overall.series_id, weekdays.weekday,
        coalesce(by_weekday.total / by_weekday.days, overall.mean) as mean,
        coalesce(by_weekday.days, overall.days) as days,
        overall.variance
    from overall
    cross join weekdays
    left join by_weekday
        on overall.organization_type = by_weekday.organization_type
        and overall.organization_id = by_weekday.organization_id
        and overall.series_id = by_weekday.series_id
        and weekdays.weekday = by_weekday.weekday
),

days_to_come as (
    select
        spans.organization_type, spans.organization_id, spans.series_id, weekdays.weekday,
        case
            when span.days > span.first_in
                then floor((span.days - 1 - span.first_in) / 7.0) + 1
            else 0
        end as days
    from spans
    cross join weekdays
    join (
        select
            spans.organization_type, spans.organization_id, spans.series_id, weekdays.weekday,
            {{ claude.claude_days_between('spans.through_day', 'spans.month_end') }} as days,
            mod(
                weekdays.weekday
                - {{ claude.claude_weekday(claude.claude_add_days('spans.through_day', 1)) }} + 7, 7
            ) as first_in
        from spans
        cross join weekdays
    ) as span
        on spans.organization_type = span.organization_type
        and spans.organization_id = span.organization_id
        and spans.series_id = span.series_id
        and weekdays.weekday = span.weekday
),

expected as (
    select
        days_to_come.organization_type, days_to_come.organization_id, days_to_come.series_id,
        sum(days_to_come.days) as days_left,
        sum(days_to_come.days * means.mean) as amount,
        {# The days vary, and so does the mean that they are expected to have. #}
        sum(
            days_to_come.days * means.variance
            + days_to_come.days * days_to_come.days * means.variance / means.days
        ) as variance
    from days_to_come
    join means
        on days_to_come.organization_type = means.organization_type
        and days_to_come.organization_id = means.organization_id
        and days_to_come.series_id = means.series_id
        and days_to_come.weekday = means.weekday
    group by
        days_to_come.organization_type, days_to_come.organization_id, days_to_come.series_id
),

{# What the days that still grow have cost already, beyond what they are expected to cost. #}
growing as (
    select
        spans.organization_type, spans.organization_id, spans.series_id,
        sum(
            case
                when cast(series.amount_usd as {{ double }}) > means.mean
                    then cast(series.amount_usd as {{ double }}) - means.mean
                else 0
            end
        ) as excess
    from spans
    join {{ ref('int_claude__series') }} as series
        on spans.organization_type = series.organization_type
        and spans.organization_id = series.organization_id
        and spans.series_id = series.series_id
        and spans.month = series.month
        and spans.through_day < series.day
    join means
        on spans.organization_type = means.organization_type
        and spans.organization_id = means.organization_id
        and spans.series_id = means.series_id
        and {{ claude.claude_weekday('series.day') }} = means.weekday
    group by spans.organization_type, spans.organization_id, spans.series_id
),

spent as (
    select
        spans.organization_type, spans.organization_id, spans.series_id,
        sum(series.amount_usd) as amount_usd,
        sum(case when series.day <= spans.through_day then series.amount_usd else 0 end)
            as complete_amount_usd
    from spans
    join {{ ref('int_claude__series') }} as series
        on spans.organization_type = series.organization_type
        and spans.organization_id = series.organization_id
        and spans.series_id = series.series_id
        and spans.month = series.month
    group by spans.organization_type, spans.organization_id, spans.series_id
),

estimates as (
    select
        spans.organization_type, spans.organization_id, spans.series_id,
        spans.month, spans.month_end, spans.through_day,
        cast(expected.days_left as {{ claude.claude_type('bigint') }}) as days_left,
        spent.amount_usd,
        spent.complete_amount_usd
            + {{ claude.claude_rounded(
                'expected.amount + coalesce(growing.excess, 0)', 2, 'money'
            ) }} as forecast,
        {{ claude.claude_rounded(
            'sqrt(case when expected.variance > 0 then expected.variance else 0 end) * ' ~ var('claude_forecast_deviations'), 2, 'money'
        ) }} as margin
    from spans
    join spent
        on spans.organization_type = spent.organization_type
        and spans.organization_id = spent.organization_id
        and spans.series_id = spent.series_id
    join expected
        on spans.organization_type = expected.organization_type
        and spans.organization_id = expected.organization_id
        and spans.series_id = expected.series_id
    left join growing
        on spans.organization_type = growing.organization_type
        and spans.organization_id = growing.organization_id
        and spans.series_id = growing.series_id
)

{# A month cannot end below what it has cost already. #}
select
    organization_type,
    organization_id,
    series_id,
    month,
    through_day,
    days_left,
    cast(amount_usd as {{ claude.claude_type('money') }}) as amount_usd,
    cast(case when forecast > amount_usd then forecast else amount_usd end
        as {{ claude.claude_type('money') }}) as forecast_amount_usd,
    cast(case
        when margin is null then null
        when forecast - margin > amount_usd then forecast - margin
        else amount_usd
    end as {{ claude.claude_type('money') }}) as forecast_low_amount_usd,
    cast(case
        when margin is null then null
        when forecast + margin > amount_usd then forecast + margin
        else amount_usd
    end as {{ claude.claude_type('money') }}) as forecast_high_amount_usd
from estimates
