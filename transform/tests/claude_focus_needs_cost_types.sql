{# Without a type of cost, a charge has no SKU: see var claude_focus_by_tier. #}
{{ config(enabled=var('claude_focus_by_tier')) }}
select *
from {{ ref('stg_claude__cost_by_tier') }}
where cost_type is null
