"""The report of a run: when its nodes ran, and what they waited for."""
