"""What stands in for functions of dbt does what they do."""
