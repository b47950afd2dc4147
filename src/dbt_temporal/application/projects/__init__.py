"""The projects of a worker: loaded at its start, looked up by name and revision."""
