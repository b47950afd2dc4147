"""Pure values and rules of a dbt run: no I/O, no clock, no randomness, no temporalio, no dbt."""
