"""What dbt-temporal costs beside the dbt CLI: figures that are measured here, the table, the page and its plots."""
