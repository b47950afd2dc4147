"""Bounds that several settings share."""

from __future__ import annotations

MAX_SECS = 31_536_000.0
"""The longest time that a setting takes: a year. Infinity would be accepted by YAML and refused by Temporal."""

MAX_PLAN_SECS = 3600.0
"""The longest time that planning may take."""
