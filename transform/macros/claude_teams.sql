{# Whether var claude_teams names a group, by its id or its name. #}
{% macro claude_is_team(id, name) -%}
{%- set chosen = [] -%}
{%- for team in var('claude_teams') -%}
    {%- do chosen.append(claude.claude_text(team)) -%}
{%- endfor -%}
({{ id }} in ({{ chosen | join(', ') }}) or {{ name }} in ({{ chosen | join(', ') }}))
{%- endmacro %}


{# The price of a member's seat a month in dollars, from var claude_seat_price_usd. #}
{% macro claude_seat_price(role) -%}
{%- set price = var('claude_seat_price_usd') -%}
{%- set prices = price if price is mapping else {'default': price} -%}
{%- set money = claude.claude_type('money') -%}
{%- set default = prices.get('default') -%}
{%- set other = claude.claude_null('money') if default is none
    else 'cast(' ~ claude.claude_text(default) ~ ' as ' ~ money ~ ')' -%}
{%- if prices | length > ('default' in prices) | int -%}
case {{ role }}
    {%- for name, dollars in prices.items() if name != 'default' %}
    when {{ claude.claude_text(name) }} then cast({{ claude.claude_text(dollars) }} as {{ money }})
    {%- endfor %}
    else {{ other }}
end
{%- else -%}
{{ other }}
{%- endif -%}
{%- endmacro %}
