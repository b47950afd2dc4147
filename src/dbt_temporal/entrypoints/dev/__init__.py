"""`dbt-temporal dev`: a server and a worker while one develops."""
