"""What other programs import: a client of runs, runs as child workflows, runs in their own process.

The package `dbt_temporal` has these names; docs/embedding.md says which of them are public.
"""
