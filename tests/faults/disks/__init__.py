"""Files and disks that go wrong: full, locked, corrupt."""
