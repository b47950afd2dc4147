{% macro fee_share() %}{{ env_var('FEE_SHARE', '0.05') | as_number }}{% endmacro %}
