"""`dbt-temporal schedule`: runs that Temporal starts by itself."""
