"""Which process of dbt v2 answers for which node of a run."""
