"""dbt-temporal: dbt projects as durable Temporal workflows."""
