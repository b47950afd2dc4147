"""Metrics and traces by Temporal's SDK."""
