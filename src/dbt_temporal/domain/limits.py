"""Bounds that several settings share: what Temporal would refuse, which a run could only repeat for ever."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator, Field

MIN_SECS = 0.001
"""The shortest time that a setting takes. Less than a microsecond becomes zero, which is no limit to Temporal."""

MAX_SECS = 31_536_000.0
"""The longest time that a setting takes: a year. Infinity would be accepted by YAML and refused by Temporal."""

MAX_PLAN_SECS = 3600.0
"""The longest time that planning may take."""

MAX_NAME_BYTES = 900
"""Temporal takes 1,000 for the names of types and task queues, and for ids."""

MESSAGES_LIMIT_CHARS = 4_000
"""Of what one node has dbt say, or parsing, or planning, the run's log has so much; the node's own log has all."""
OUTPUT_LEFT_OUT = "What dbt shows of it is too large for the output of a run"
"""The message of a result whose rows or printed text are left out."""
MORE_MESSAGES = "... (there is more of it, which is left out here)"

RESERVED_PREFIX = "/_sys/"
"""Of Temporal's own task queues."""

Seconds = Annotated[float, Field(ge=MIN_SECS, le=MAX_SECS)]


def fit_name(name: str, limit: int = MAX_NAME_BYTES) -> str:
    """A name of at most `limit` bytes: a longer one is cut, and kept apart from others by a digest."""
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    digest = sha256(encoded).hexdigest()[:16]
    return f"{encoded[: limit - 17].decode(errors='ignore')}-{digest}"


def _check_name(name: str) -> str:
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise ValueError(f"must have 1 to {MAX_NAME_BYTES} bytes")
    return name


def _check_task_queue(name: str) -> str:
    if name.startswith(RESERVED_PREFIX):
        raise ValueError(f"must not begin with {RESERVED_PREFIX}, which is Temporal's own")
    return name


TypeName = Annotated[str, AfterValidator(_check_name)]
"""The name of a workflow type."""
TaskQueueName = Annotated[str, AfterValidator(_check_name), AfterValidator(_check_task_queue)]
