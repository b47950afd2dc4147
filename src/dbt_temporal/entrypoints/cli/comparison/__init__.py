"""`dbt-temporal compare-engines`."""
