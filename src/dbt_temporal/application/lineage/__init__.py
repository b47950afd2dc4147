"""Tells of runs, and of the attempts at their nodes, as they begin and end."""
