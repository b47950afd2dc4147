"""Temporal's schedules: what their runs ask of them, and what people do about them."""
