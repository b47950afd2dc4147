"""Large messages of steps are compressed; everything that others read or write stays plain JSON."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.adapters.temporal.payloads.compression import MIN_BYTES
from dbt_temporal.application.fitting import fit_log, fit_step_results
from dbt_temporal.application.steps.messages import ExecuteNodeInput, PlanProjectOutput, StoreArtifactsInput
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import node, planned, result

UNENCRYPTED = ConnectionSettings().data_converter
ENCRYPTED = ConnectionSettings(codec_keys=SecretStr(f"k1:{'A' * 43}=")).data_converter
NODES = [node(f"int_orders__aggregated_by_customer_{number}") for number in range(10_000)]


@pytest.mark.parametrize("converter", [UNENCRYPTED, ENCRYPTED], ids=["unencrypted", "encrypted"])
async def test_the_plan_of_ten_thousand_nodes_fits_into_a_payload_and_comes_back_whole(
    converter: DataConverter,
) -> None:
    large = planned(*NODES)
    [payload] = await converter.encode([large])
    assert payload.ByteSize() < 1024 * 1024
    assert len(large.model_dump_json()) > 3 * 1024 * 1024
    assert await converter.decode([payload], [PlanProjectOutput]) == [large]


async def test_the_format_is_that_of_the_go_sdks_zlib_codec() -> None:
    [payload] = await UNENCRYPTED.encode([planned(*NODES[:1000])])
    assert dict(payload.metadata) == {"encoding": b"binary/zlib"}
    inner = Payload.FromString(zlib.decompress(payload.data))
    assert inner.metadata["encoding"] == b"json/plain"
    assert len(json.loads(inner.data)["plan"]["nodes"]) == 1000


@pytest.mark.parametrize("converter", [UNENCRYPTED, ENCRYPTED], ids=["unencrypted", "encrypted"])
async def test_integers_of_any_length_go_through_history_whole(converter: DataConverter) -> None:
    raw = {"vars": {"account": 123456789012345678901234, "nested": [-(2**70)]}}
    [argument] = await converter.decode(await converter.encode([raw]), [dict])
    invocation = planned().invocation.model_copy(update={"input": parse_run_input(argument)})
    step = ExecuteNodeInput(invocation=invocation, unique_id="model.shop.a")
    [received] = await converter.decode(await converter.encode([step]), [ExecuteNodeInput])
    assert received.invocation.input.vars == raw["vars"]


@pytest.mark.parametrize(
    "value",
    [
        planned(node("a")),
        ExecuteNodeInput(invocation=planned().invocation, unique_id="model.shop.a"),
        DbtRunOutput(invocation_id="x", success=True, node_results=[result(f"m{n}") for n in range(1000)]),
        {"event": "pre_run", "plan": {"nodes": {f"m{n}": "x" * 100 for n in range(1000)}}},
        "x" * MIN_BYTES,
        None,
    ],
    ids=["small plan", "node", "output", "hook", "text", "nothing"],
)
async def test_small_messages_and_whatever_is_not_a_steps_stay_as_the_sdk_makes_them(value: Any) -> None:
    [payload] = await UNENCRYPTED.encode([value])
    assert payload.metadata["encoding"] in (b"json/plain", b"binary/null")


async def test_results_and_log_of_as_many_errors_as_a_history_holds_fit_into_a_payload() -> None:
    chance = random.Random(1)
    messages = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz (),._\n", k=400)) for _ in range(13_000)]
    errors = [result(f"m{number}", "error", message=message) for number, message in enumerate(messages)]
    asked = StoreArtifactsInput(
        invocation=planned().invocation,
        results=fit_step_results(errors, TEMPORAL_BUDGET.step_results_bytes),
        run_log=fit_log("\n".join(messages), TEMPORAL_BUDGET.log_bytes),
    )
    [payload] = await UNENCRYPTED.encode([asked])
    assert len(asked.results) == len(errors)
    assert payload.ByteSize() < 2 * 1024 * 1024
