"""One run in its host: how it is set up, what it selects, its plan."""
