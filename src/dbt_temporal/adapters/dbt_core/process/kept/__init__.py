"""What hooks and nodes leave in Jinja's `graph`, kept for other hosts of the run."""
