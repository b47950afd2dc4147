"""The two sides of a comparison, what runs them, and what their runs cost."""
