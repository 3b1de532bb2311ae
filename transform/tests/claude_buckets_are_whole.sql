{# Each bucket has the sum that the tap read. A bucket with newer rows is left out: a run that was
   killed has not reported it yet. #}
{% for stream, total in {'analytics_cost': 'amount_usd', 'cost_report': 'amount_usd', 'analytics_usage': 'total_tokens'}.items() %}
select *
from (
    select
        buckets.stream, buckets.organization_type, buckets.organization_id, buckets.starting_at,
        cast(max(buckets.{{ total }}) as {{ claude.claude_type('money') }}) as reported,
        cast(coalesce(sum(found.{{ total }}), 0) as {{ claude.claude_type('money') }}) as loaded,
        max(buckets.row_count) as reported_rows,
        count(found.row_id) as loaded_rows
    from {{ ref('stg_claude__report_buckets') }} as buckets
    left join {{ ref('stg_claude__' ~ stream) }} as found
        on buckets.organization_type = found.organization_type
        and buckets.organization_id = found.organization_id
        and buckets.bucket_width = found.bucket_width
        and buckets.starting_at = found.starting_at
    where buckets.stream = '{{ stream }}'
    group by
        buckets.stream, buckets.organization_type, buckets.organization_id, buckets.bucket_width,
        buckets.starting_at
    having count(found.row_id) = 0 or max(found.extracted_at) <= max(buckets.extracted_at)
) as buckets
where reported <> loaded or reported_rows <> loaded_rows
{{ 'union all' if not loop.last }}
{% endfor %}
