"""Faults of the databases that runs write to."""
