"""Leases of runs, kept by a workflow of their own."""
