"""The two ends of a run: what comes before its nodes, what comes after them, and what it has come to."""
