"""Random projects, each run by the dbt command line and by our workers on equal databases: docs/differential.md."""
