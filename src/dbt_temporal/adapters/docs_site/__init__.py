"""dbt's documentation site of a run, served on this machine."""
