"""Faults of the store that runs keep their artifacts in, and of the files that they begin with."""
