"""dbt's own scenarios for adapters, run by its command line and by us; the verdicts are compared."""
