"""The nodes of a run: when each starts, its attempts, and what operators ask of it."""
