"""Where projects come from: one module per kind of source."""
