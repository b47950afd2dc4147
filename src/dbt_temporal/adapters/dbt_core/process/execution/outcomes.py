"""How an attempt at a node ended, written to disk before the worker is told, which may be gone by then."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core import wire


def keep_outcome(place: Path, answer: Mapping[str, Any]) -> None:
    """Writes an outcome, whole or not at all. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(wire.dumps(answer))
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
