"""Leases: what a run claims for itself alone, and who has it."""
