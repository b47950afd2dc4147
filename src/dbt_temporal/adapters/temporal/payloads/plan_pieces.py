"""A large plan in pieces: signals that the worker which has planned sends to the run before it answers.

So pieces are in the run's history when the answer is, whichever worker goes on with the run, and no store is needed.
Imported by workflow code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from dbt_temporal.application.run.executions.carried import PLAN_PART_NODES, pack_plan_in_parts, unpack_plan_in_parts
from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.domain.run.invocation import DbtInvocation

PIECE_SIGNAL = "plan_piece"
NODES_OF_A_PIECE = PLAN_PART_NODES
"""Some 70 KB, and a twentieth of a second to read. As many as are carried in a part, which so is in the history."""
MIN_NODES = 2_000
"""A plan of fewer is one payload, of at most some 200 KiB."""


class Pieces(BaseModel):
    """What makes an answer one of pieces: where a plan has come whole, nothing else of it is read to know that."""

    pieces: int


class PlanInPieces(Pieces):
    """The answer of the step `plan_project` in place of the plan. Releases that know no pieces find no plan in it."""

    digest: str
    invocation: DbtInvocation
    """Here and whole: what later steps leave out of their inputs is found in it."""
    breathes: bool = False
    """Whether the run ends its turns by `breathe`, as it does by now, while it puts the plan together."""


class SentPieces:
    """Pieces that have come, of any number of plans: an attempt that was lost may have sent some as well."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, int], bytes] = {}

    def take(self, digest: str, number: int, data: bytes) -> None:
        """Keeps one until its plan is asked for."""
        self._pieces[digest, number] = data

    def all_of(self, answer: PlanInPieces) -> list[bytes]:
        """All pieces of a plan, which are not kept any longer.

        Raises:
            ValueError: some are missing, or are not those that were sent.
        """
        found = [self._pieces.pop((answer.digest, number), b"") for number in range(answer.pieces)]
        if digest_of(found) != answer.digest:
            here = sum(map(bool, found))
            raise ValueError(f"of the {answer.pieces} pieces of the plan {here} are here, or they are not its own")
        return found


def is_large(planned: PlanProjectOutput) -> bool:
    """Whether a plan is told in pieces."""
    return len(planned.plan.nodes) + len(planned.ephemerals) >= MIN_NODES


def in_pieces(planned: PlanProjectOutput) -> tuple[PlanInPieces, list[bytes]]:
    """The answer, and what is to be sent before it. Takes a second of CPU for 50,000 nodes."""
    pieces = pack_plan_in_parts(planned, NODES_OF_A_PIECE)
    return PlanInPieces(
        pieces=len(pieces), digest=digest_of(pieces), invocation=planned.invocation, breathes=True
    ), pieces


def whole(answer: PlanInPieces, pieces: Sequence[bytes]) -> Iterator[PlanProjectOutput | None]:
    """Puts the plan together, some after each turn: yields None, and the plan in the end.

    Raises:
        ValueError: this release cannot read it.
    """
    for planned in unpack_plan_in_parts(pieces, at_once=not answer.breathes):
        yield None if planned is None else planned.model_copy(update={"invocation": answer.invocation})


def digest_of(pieces: Sequence[bytes]) -> str:
    """What tells one plan from another."""
    return hashlib.sha256(b"".join(pieces)).hexdigest()
