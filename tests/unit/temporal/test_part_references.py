"""What does not fit into arguments is referred to, if the history has it."""

from __future__ import annotations

import pytest

from dbt_temporal.adapters.temporal.executions.references import (
    digest_of_part,
    referred_to,
    resolved,
    with_references,
)
from dbt_temporal.application.run.executions.parts import join_parts, joined_length, split_parts

PLAN, OLD, STANDS, NEW = b"x" * 5_000, b"y" * 3_000, b"z" * 1_000, b"n" * 500
PARTS = [PLAN, STANDS, OLD, NEW]
KNOWN = {digest_of_part(part): part for part in (PLAN, OLD)}


def test_what_fits_stays_as_it_is() -> None:
    assert with_references(PARTS, KNOWN, joined_length(PARTS)) == PARTS


def test_the_largest_ones_that_are_known_become_references_until_the_rest_fits() -> None:
    told = with_references(PARTS, KNOWN, joined_length(PARTS) - 1)
    assert told is not None
    assert [part in told for part in PARTS] == [False, True, True, True]
    assert referred_to(told) == [digest_of_part(PLAN)]

    told = with_references(PARTS, KNOWN, 2_000)
    assert told is not None
    assert [part in told for part in PARTS] == [False, True, False, True]
    assert joined_length(told) <= 2_000
    assert resolved(split_parts(join_parts(told)), KNOWN) == PARTS


def test_what_is_not_known_has_to_fit() -> None:
    assert with_references(PARTS, KNOWN, 1_500) is None
    assert with_references(PARTS, {}, joined_length(PARTS) - 1) is None


def test_a_part_that_is_not_longer_than_its_reference_stays() -> None:
    short = b"short"
    assert with_references([short], {digest_of_part(short): short}, 0) is None


def test_a_part_that_was_not_found_is_no_part() -> None:
    told = with_references(PARTS, KNOWN, 2_000)
    assert told is not None
    with pytest.raises(KeyError):
        resolved(told, {digest_of_part(PLAN): PLAN})
