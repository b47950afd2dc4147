"""What of an invocation travels with each step, where its input is long."""

from __future__ import annotations

import json

from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation

LIMIT = 8_000


def invocation(**run_input: object) -> DbtInvocation:
    return DbtInvocation(
        invocation_id="i", project="shop", started_at="2026-01-01T00:00:00Z", input=parse_run_input(run_input)
    )


def test_a_short_input_travels_whole() -> None:
    whole = invocation(select="a b", vars={"day": 1})
    assert whole.shortened(LIMIT) is whole


def test_what_makes_an_input_long_is_left_out_and_put_back_from_a_plan() -> None:
    values = {"select": "x " * 10_000, "vars": {str(number): [number] for number in range(3_000)}, "exclude": "y"}
    whole = invocation(**values, target="prod")
    short = whole.shortened(LIMIT)
    assert len(short.model_dump_json()) < 600
    assert (short.input.exclude, short.input.target) == ("y", "prod")
    travelled = DbtInvocation.model_validate_json(short.model_dump_json())
    assert travelled.left_out is not None
    planned = json.loads(whole.input.model_dump_json())
    found = travelled.left_out.of(planned)
    assert found is not None
    assert travelled.completed(found).input.model_dump() == whole.input.model_dump()


def test_another_plans_input_is_not_taken_for_it() -> None:
    short = invocation(select="x " * 10_000).shortened(LIMIT)
    assert short.left_out is not None
    assert short.left_out.of(invocation(select="y " * 10_000).input.model_dump(mode="json")) is None


def test_an_input_that_is_long_by_what_each_step_needs_stays_whole() -> None:
    whole = invocation(env={f"K{number}": "v" * 100 for number in range(200)})
    assert whole.shortened(LIMIT) is whole
