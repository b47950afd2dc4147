"""Faults: what a run survives, and what it says where it does not."""
