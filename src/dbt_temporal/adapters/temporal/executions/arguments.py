"""The arguments of the workflow `dbt_run`: its input, and what an execution before it has carried into it."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_temporal.domain.errors import configuration_error


def read_arguments(arguments: Sequence[object], *, goes_on: bool) -> tuple[object, bytes | None]:
    """The input, and how far the run has come where it goes on.

    Args:
        arguments: as they came.
        goes_on: whether this execution continues another one.

    Raises:
        DbtTemporalError: of type Configuration, where there are more of them than the input, and nobody has carried
            them.
    """
    given, *carried = arguments or (None,)
    pieces = [each for each in carried if isinstance(each, bytes)]
    if carried and not (goes_on and len(pieces) == len(carried)):
        raise configuration_error(f"dbt_run takes one argument, a JSON object; got {len(arguments)}")
    return given, b"".join(pieces) or None
