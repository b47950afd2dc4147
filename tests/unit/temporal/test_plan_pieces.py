"""A large plan is cut into pieces and put together again, or is said to be incomplete."""

from __future__ import annotations

import pytest

from dbt_temporal.adapters.temporal.payloads import plan_pieces
from dbt_temporal.adapters.temporal.payloads.plan_pieces import (
    MIN_NODES,
    PlanInPieces,
    SentPieces,
    in_pieces,
    is_large,
    whole,
)
from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import node, planned


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_pieces, "NODES_OF_A_PIECE", 5)


def sent(pieces: list[bytes], digest: str) -> SentPieces:
    found = SentPieces()
    for number, piece in reversed(list(enumerate(pieces))):
        found.take(digest, number, piece)
    return found


def put_together(answer: PlanInPieces, pieces: list[bytes]) -> PlanProjectOutput:
    *_, planned = whole(answer, sent(pieces, answer.digest).all_of(answer))
    assert planned is not None
    return planned


def large() -> PlanProjectOutput:
    plan = planned(*(node(f"n{i}", *([f"n{i - 1}"] if i else []), rank=i) for i in range(40)), threads=3)
    given = parse_run_input({"vars": {"day": 1}, "select": "n1+"})
    return plan.model_copy(update={"invocation": plan.invocation.model_copy(update={"input": given})})


def test_pieces_make_the_plan_again_in_whatever_order_they_come() -> None:
    answer, pieces = in_pieces(large())
    assert len(pieces) == answer.pieces > 2
    assert put_together(answer, pieces) == large()


def test_what_the_caller_gave_stays_told_apart_from_defaults() -> None:
    answer, pieces = in_pieces(large())
    again = put_together(answer, pieces)
    assert again.invocation.input.model_fields_set == large().invocation.input.model_fields_set


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_plan_of_which_pieces_are_not_here_is_none(damage: str) -> None:
    answer, pieces = in_pieces(large())
    pieces[1:2] = [] if damage == "missing" else [b"x" * 100]
    with pytest.raises(ValueError, match=f"of the {answer.pieces} pieces"):
        sent(pieces, answer.digest).all_of(answer)


def test_only_plans_of_many_nodes_come_in_pieces() -> None:
    assert not is_large(large())
    assert is_large(planned(*(node(f"n{i}") for i in range(MIN_NODES))))
