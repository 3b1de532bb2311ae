{# Usage has a SKU, quantities and prices, and their product is the cost. focus-validator has these
   rules, too, but applies them only to rows with a ChargeClass, which is null here. #}
{%- set q = adapter.quote -%}
select *
from {{ ref('claude_focus') }}
where {{ q('ChargeCategory') }} = 'Usage'
    and (
        {%- for column in [
            'SkuId', 'SkuPriceId', 'SkuMeter', 'PricingCategory', 'ConsumedQuantity', 'ConsumedUnit',
            'PricingQuantity', 'PricingUnit', 'ContractedUnitPrice', 'ListUnitPrice',
        ] %}
        {{ q(column) }} is null or
        {%- endfor %}
        {# Prices are rounded to 15 decimals. -#}
        abs({{ q('PricingQuantity') }} * {{ q('ContractedUnitPrice') }} - {{ q('ContractedCost') }}) > 0.000000001
        or abs({{ q('PricingQuantity') }} * {{ q('ListUnitPrice') }} - {{ q('ListCost') }}) > 0.000000001
    )
