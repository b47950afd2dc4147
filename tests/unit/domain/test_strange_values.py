"""Whatever is sent as an input or answered by a hook is read, or refused in words; 1,000 examples of each."""

from __future__ import annotations

import os
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.hooks import PreRunAnswer, read_pre_run_answer
from dbt_temporal.domain.json_values import cut
from dbt_temporal.domain.run.input import DbtRunInput, mask_env, parse_run_input
from tests.strange_values import FIELDS, SECRET, SURROGATES, anything, hook_answer, nearly_valid, valid_inputs

HOOK = {"workflow_type": "keep", "task_queue": "hooks", "timeout_secs": 5}
LONGEST_MESSAGE = 50_000

thousand = settings(
    max_examples=1000, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
texts = st.text(st.characters(exclude_categories=()), max_size=30)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.sampled_from(FIELDS), inner),
    max_leaves=15,
)
randoms = st.integers(0, 2**32).map(Random)


def read(raw: Any) -> DbtRunInput | None:
    """The input, if it is one. A refusal says where and why, and has no secret in it."""
    try:
        return parse_run_input(raw)
    except DbtTemporalError as caught:
        error = caught
    assert error.error_type is ErrorType.CONFIGURATION
    if isinstance(raw, dict):
        names = [cut(name, 100).removesuffix("...") for name in [*FIELDS, *raw]]
        assert any(f"`{name}" in error.message or f"{name}: " in error.message for name in names), error.message
    else:
        assert "the workflow input must be a JSON object" in error.message
    assert SECRET not in error.message
    assert SECRET not in str(error.__cause__)
    assert len(error.message.encode()) < LONGEST_MESSAGE
    return None


def is_sent_on(found: DbtRunInput) -> None:
    """An input that is taken arrives where it is sent, and as it was. No payload brings lone surrogates."""
    if any(text in repr(found) for text in map(repr, SURROGATES)):
        return
    assert DbtRunInput.model_validate_json(found.model_dump_json()) == found
    assert SECRET not in mask_env(found).model_dump_json()


@thousand
@given(json_values)
def test_any_json_is_an_input_or_is_refused_by_the_name_of_its_field(raw: Any) -> None:
    found = read(raw)
    if found is not None:
        is_sent_on(found)


@thousand
@given(randoms)
def test_an_input_with_mistakes_is_refused_by_the_name_of_its_field_or_does_no_harm(random: Random) -> None:
    found = read(nearly_valid(random, HOOK))
    if found is not None:
        is_sent_on(found)


def test_the_inputs_that_mistakes_are_made_in_are_right() -> None:
    assert all(read(raw) is not None for raw in valid_inputs(HOOK))


@thousand
@given(json_values | randoms.map(anything) | randoms.map(hook_answer))
def test_whatever_a_pre_run_hook_answers_the_run_continues_unless_it_says_skip(answer: Any) -> None:
    read = read_pre_run_answer(answer)
    fields = answer if isinstance(answer, dict) else {}
    assert read.skip == (answer is False or fields.get("skip") is True)
    extra = fields.get("extra_env")
    given_env = extra if isinstance(extra, dict) else {}
    assert read.extra_env.items() <= given_env.items()
    assert len(read.extra_env) + len(read.ignored_env_keys) == len(given_env)
    with patch.dict(os.environ, read.extra_env):  # it takes them all
        pass
    if not fields and answer is not False:
        assert read == PreRunAnswer()
