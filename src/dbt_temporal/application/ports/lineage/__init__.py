"""Lineage, seen from the application: where it is known, and where it is told."""
