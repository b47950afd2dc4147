"""Random projects, each run by the dbt command line and by workers of ours on equal databases: see docs/differential.md."""
