{% macro cents_to_amount(column, digits=2) -%}
    cast({{ column }} / 100.0 as decimal(12, {{ digits }}))
{%- endmacro %}

{# A quotient that is null, and not an error, where the divisor is zero. #}
{% macro share(part, whole, digits=4) -%}
    round(cast({{ part }} as double) / nullif({{ whole }}, 0), {{ digits }})
{%- endmacro %}
