"""Strategies for scenarios, a module for each part of a project."""

from tests.differential.grammar.scenarios import scenarios

__all__ = ["scenarios"]
