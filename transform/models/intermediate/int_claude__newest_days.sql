{# The newest day of each organization. "The last 30 days" end with it. #}
select organization_type, organization_id, max(day) as newest_day
from {{ ref('claude_daily') }}
group by organization_type, organization_id
