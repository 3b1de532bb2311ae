{%- set q = adapter.quote -%}
with meters as (
    {{ claude.claude_focus_meter_rows() | indent(4) }}
),

charges as (
    select
        charges.*,
        case
            when line is null then 'Usage'
            when amount_usd <= 0 then 'Credit'
            else 'Adjustment'
        end as category,
        meters.direction,
        meters.cache,
        coalesce(meters.meter, charges.token_type, charges.cost_type) as meter,
        {# Without a quantity from the API, a charge counts as one. -#}
        case
            when line is not null then null
            when quantity > 0 and meters.unit is not null then quantity
            else 1
        end as units,
        case when quantity > 0 and meters.unit is not null then meters.unit else 'Charges' end as unit,
        case when quantity > 0 and meters.unit is not null then meters.pricing_unit else 'Charges' end as pricing_unit,
        case when quantity > 0 and meters.unit is not null then meters.size else 1 end as size
    from {{ ref('int_claude__focus_charges') }} as charges
    left join meters
        on charges.cost_type = meters.cost_type
        and coalesce(charges.token_type, '') = coalesce(meters.token_type, '')
),

named as (
    select
        charges.*,
        coalesce(organizations.organization_name, charges.organization_id) as organization_name,
        coalesce(workspaces.name, charges.workspace_id) as workspace_name,
        workspaces.tags as workspace_tags,
        api_keys.name as api_key_name,
        actors.actor_name,
        actors.actor_email_address,
        coalesce(model, cost_type) || '/' || coalesce(token_type, cost_type) as sku_id,
        cast({{ claude.claude_unit_price('amount_usd', 'size', 'units') }} as {{ claude.claude_type('money') }}) as unit_price,
        cast({{ claude.claude_unit_price('list_amount_usd', 'size', 'units') }} as {{ claude.claude_type('money') }}) as list_unit_price,
        cast(units as {{ claude.claude_type('ratio') }}) as consumed_quantity,
        cast(
            cast(units as {{ claude.claude_type('ratio') }})
            * case
                when size = 1000000 then cast(0.000001 as {{ claude.claude_type('ratio') }})
                when size = 1000 then cast(0.001 as {{ claude.claude_type('ratio') }})
                else cast(1 as {{ claude.claude_type('ratio') }})
            end
            as {{ claude.claude_type('ratio') }}
        ) as pricing_quantity
    from charges
    {{ claude.claude_name_joins('charges') | indent(4) }}
)

select
    amount_usd as {{ q('BilledCost') }},
    amount_usd as {{ q('EffectiveCost') }},
    amount_usd as {{ q('ContractedCost') }},
    list_amount_usd as {{ q('ListCost') }},
    organization_id as {{ q('BillingAccountId') }},
    organization_name as {{ q('BillingAccountName') }},
    case organization_type
        when 'console' then 'Console organization'
        when 'enterprise' then 'Enterprise organization'
        else organization_type
    end as {{ q('BillingAccountType') }},
    'USD' as {{ q('BillingCurrency') }},
    cast({{ dbt.date_trunc('month', 'starting_at') }} as {{ claude.claude_type('timestamp') }}) as {{ q('BillingPeriodStart') }},
    cast({{ dbt.dateadd('month', 1, dbt.date_trunc('month', 'starting_at')) }} as {{ claude.claude_type('timestamp') }}) as {{ q('BillingPeriodEnd') }},
    starting_at as {{ q('ChargePeriodStart') }},
    ending_at as {{ q('ChargePeriodEnd') }},
    category as {{ q('ChargeCategory') }},
    {{ claude.claude_null('text') }} as {{ q('ChargeClass') }},
    case when category = 'Usage' then coalesce(model || ' ', '') || meter else line end as {{ q('ChargeDescription') }},
    case when category = 'Usage' then 'Usage-Based' else 'One-Time' end as {{ q('ChargeFrequency') }},
    consumed_quantity as {{ q('ConsumedQuantity') }},
    case when category = 'Usage' then unit end as {{ q('ConsumedUnit') }},
    pricing_quantity as {{ q('PricingQuantity') }},
    case when category = 'Usage' then pricing_unit end as {{ q('PricingUnit') }},
    unit_price as {{ q('ContractedUnitPrice') }},
    list_unit_price as {{ q('ListUnitPrice') }},
    case when category = 'Usage' then 'Standard' end as {{ q('PricingCategory') }},
    'USD' as {{ q('PricingCurrency') }},
    unit_price as {{ q('PricingCurrencyContractedUnitPrice') }},
    amount_usd as {{ q('PricingCurrencyEffectiveCost') }},
    list_unit_price as {{ q('PricingCurrencyListUnitPrice') }},
    case organization_type when 'enterprise' then 'Claude Enterprise' else 'Claude API' end as {{ q('ServiceName') }},
    'AI and Machine Learning' as {{ q('ServiceCategory') }},
    'Generative AI' as {{ q('ServiceSubcategory') }},
    'Anthropic' as {{ q('ProviderName') }},
    'Anthropic' as {{ q('PublisherName') }},
    'Anthropic' as {{ q('InvoiceIssuerName') }},
    'Anthropic' as {{ q('ServiceProviderName') }},
    'Anthropic' as {{ q('HostProviderName') }},
    workspace_id as {{ q('SubAccountId') }},
    workspace_name as {{ q('SubAccountName') }},
    case when workspace_id is not null then 'Workspace' end as {{ q('SubAccountType') }},
    case when category = 'Usage' then sku_id end as {{ q('SkuId') }},
    case when category = 'Usage' then
        sku_id || coalesce('/' || service_tier, '') || coalesce('/' || context_window, '')
        || coalesce('/' || inference_geo, '') || coalesce('/' || speed, '')
    end as {{ q('SkuPriceId') }},
    case when category = 'Usage' then meter end as {{ q('SkuMeter') }},
    case when category = 'Usage' then
        '{"x_CostType": ' || {{ claude.claude_json_string('cost_type') }}
        || coalesce(', "x_ModelId": ' || {{ claude.claude_json_string('model') }}, '')
        || coalesce(', "x_TokenDirection": ' || {{ claude.claude_json_string('direction') }}, '')
        || coalesce(', "x_TokenCacheAction": ' || {{ claude.claude_json_string('cache') }}, '')
        || '}'
    end as {{ q('SkuPriceDetails') }},
    workspace_tags as {{ q('Tags') }},
    inference_geo as {{ q('RegionId') }},
    case inference_geo when 'us' then 'United States' when 'global' then 'Global' else inference_geo end as {{ q('RegionName') }},
    {%- for column in [
        'AvailabilityZone', 'ResourceId', 'ResourceName', 'ResourceType', 'InvoiceId',
        'CapacityReservationId', 'CapacityReservationStatus',
        'CommitmentDiscountCategory', 'CommitmentDiscountId', 'CommitmentDiscountName',
        'CommitmentDiscountStatus', 'CommitmentDiscountType', 'CommitmentDiscountUnit',
    ] %}
    {{ claude.claude_null('text') }} as {{ q(column) }},
    {%- endfor %}
    {{ claude.claude_null('money') }} as {{ q('CommitmentDiscountQuantity') }},
    charge_id as {{ q('x_ChargeId') }},
    is_complete as {{ q('x_IsComplete') }},
    cost_type as {{ q('x_CostType') }},
    token_type as {{ q('x_TokenType') }},
    product as {{ q('x_Product') }},
    model as {{ q('x_ModelId') }},
    direction as {{ q('x_TokenDirection') }},
    cache as {{ q('x_TokenCacheAction') }},
    service_tier as {{ q('x_ServiceTier') }},
    context_window as {{ q('x_ContextWindow') }},
    speed as {{ q('x_Speed') }},
    actor_type as {{ q('x_ActorType') }},
    actor_id as {{ q('x_ActorId') }},
    actor_name as {{ q('x_ActorName') }},
    actor_email_address as {{ q('x_ActorEmail') }},
    api_key_id as {{ q('x_ApiKeyId') }},
    api_key_name as {{ q('x_ApiKeyName') }}
from named
