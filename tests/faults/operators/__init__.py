"""Operators, and other runs, at work on a run."""
