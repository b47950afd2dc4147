"""What is told while something is measured, which takes long."""

from __future__ import annotations

import sys


def tell(what: str) -> None:
    """One line, on standard error: standard output has the tables."""
    print(f"  {what}", file=sys.stderr, flush=True)
