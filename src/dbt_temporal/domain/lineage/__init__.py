"""Lineage: what OpenLineage is told of runs, and of the data that their nodes read and write."""
