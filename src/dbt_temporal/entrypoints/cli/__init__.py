"""The command `dbt-temporal`."""
