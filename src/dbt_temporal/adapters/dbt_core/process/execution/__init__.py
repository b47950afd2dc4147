"""Executing hooks and nodes by dbt's runners."""
