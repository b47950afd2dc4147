"""Secrets of a run: references resolved at the last moment, values kept out of what leaves."""
