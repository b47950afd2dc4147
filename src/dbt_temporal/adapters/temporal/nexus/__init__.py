"""Runs for callers in other namespaces: the Nexus service, and what carries it out."""
