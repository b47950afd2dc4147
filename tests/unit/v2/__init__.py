"""Tests of the engine on dbt v2."""
