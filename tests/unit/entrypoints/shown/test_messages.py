"""What messages of commands name."""

from __future__ import annotations

import pytest

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.cli.running import Failure, run_program


def refuse() -> None:
    raise configuration_error("Check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE; MY_TEMPORAL_ADDRESS is another")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"address": "a:1", "namespace": None}, "Check --address and TEMPORAL_NAMESPACE; MY_TEMPORAL_ADDRESS"),
        ({"namespace": "n"}, "Check TEMPORAL_ADDRESS and --namespace; MY_TEMPORAL_ADDRESS"),
        (None, "Check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE; MY_TEMPORAL_ADDRESS"),
    ],
)
def test_a_message_names_the_flag_that_was_given_and_not_the_variable_in_its_place(
    flags: dict[str, str | None] | None, told: str
) -> None:
    with pytest.raises(Failure) as failed:
        run_program(refuse, flags=flags)
    assert failed.value.message == f"{told} is another"
