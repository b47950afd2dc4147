"""Parsing a project: packages, partial parse, graph."""
