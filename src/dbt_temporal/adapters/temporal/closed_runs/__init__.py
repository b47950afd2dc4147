"""Runs whose workflow was closed from outside: what they had done becomes artifacts, by whoever notices (ADR 26)."""
