"""Inputs of runs and answers of hooks that nobody should send."""
