"""Published packages, run by the dbt command line and by workers, and compared."""
