"""Lineage to whatever takes OpenLineage's events, by OpenLineage's own client."""
