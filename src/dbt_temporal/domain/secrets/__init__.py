"""References to secrets, and how known values are hidden."""
