"""Tools that read the artifacts which a run has stored: `make setup-consumers`."""
