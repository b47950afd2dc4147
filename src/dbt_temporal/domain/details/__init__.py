"""What people read of a run in Temporal's UI: its summary and its details, in Markdown."""
