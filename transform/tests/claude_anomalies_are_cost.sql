{# An anomaly's amount is what its product or workspace cost on that day. #}
select anomalies.organization_type, anomalies.organization_id, anomalies.day, anomalies.value_id
from {{ ref('claude_anomalies') }} as anomalies
left join {{ ref('claude_cost') }} as cost
    on anomalies.organization_type = cost.organization_type
    and anomalies.organization_id = cost.organization_id
    and anomalies.day = cost.day
    and anomalies.value_id = case when anomalies.dimension = 'product' then cost.product else cost.workspace_id end
group by
    anomalies.organization_type, anomalies.organization_id, anomalies.day, anomalies.dimension,
    anomalies.value_id
having max(anomalies.amount_usd) <> coalesce(sum(cost.amount_usd), 0)
