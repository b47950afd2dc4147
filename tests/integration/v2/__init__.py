"""Tests of the engine on dbt v2 with the real program: `make setup-dbt-v2`."""
