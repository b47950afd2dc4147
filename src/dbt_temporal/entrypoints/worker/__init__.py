"""`dbt-temporal worker`."""
