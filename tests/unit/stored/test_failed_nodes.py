"""What a run's artifacts tell of its failed nodes: their compiled SQL as files, and where to look next."""

import asyncio
from collections.abc import Collection
from typing import Any

from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.application.steps.messages import StoreArtifactsInput, StoreArtifactsOutput
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.failed_nodes import MAX_TOLD
from dbt_temporal.domain.report.model import NodeFacts, RunGraph
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import (
    FakeEngine,
    FakeEngineRun,
    FakeSecretResolver,
    InMemoryArtifactStore,
    model_id,
    node,
    plan,
    ready_project,
    result,
)
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.steps.test_use_cases import invocation

TEST = "test.shop.t"


class Project(FakeEngineRun):
    """Models, and a test that stores the rows that it finds."""

    async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
        """The models have a line of code; the test's is indented."""
        graph = await super().graph(with_code)
        if TEST not in graph.nodes:
            return graph
        facts = NodeFacts("t", "test", path="tests/t.sql")
        code = {**graph.code, TEST: "\n  select 1\n"}
        return RunGraph({**graph.nodes, TEST: facts}, code, {TEST: '"db"."audit"."t"'})


def failed(unique_id: str, message: str | None = None, dbt_status: str = "error") -> NodeExecutionResult:
    return result(unique_id, "error").model_copy(update={"message": message, "dbt_status": dbt_status})


async def stored(*results: NodeExecutionResult, store: InMemoryArtifactStore, **asked: Any) -> StoreArtifactsOutput:
    engine = FakeEngine(plan(node("a"), node("b", "a"), node(TEST), *(node(f"m{n}") for n in range(20))))
    engine.run_class = Project
    use_cases = UseCases.build(engine, ProjectRegistry([ready_project()]), store)
    request = StoreArtifactsInput(**{"invocation": invocation(), "results": list(results), "unrecorded": [], **asked})
    request.unrecorded = [each.unique_id for each in results]
    return await use_cases.store_artifacts(request)


async def test_the_compiled_sql_of_a_failed_model_lies_beside_the_artifacts() -> None:
    store = InMemoryArtifactStore()
    output = await stored(failed("a", "no\nLINE 7: select 1 as a"), result("b", "skipped", attempts=0), store=store)
    (told,) = output.failed_nodes
    path = f"{INVOCATION_ID}/compiled/model.shop.a.sql"
    assert (told.unique_id, told.name, told.path) == (model_id("a"), "a", "models/a.sql")
    assert told.code_path == f"memory://{path}"
    assert store.files[path] == b"select 1 as a\n"
    assert [(line.number, line.is_named) for line in told.lines] == [(1, True)]
    assert (told.found_rows, told.query, told.stored_failures) == (False, None, None)


async def test_of_a_failed_test_the_query_is_told_and_where_its_rows_are() -> None:
    output = await stored(failed(TEST, "Got 1 result", "fail"), store=InMemoryArtifactStore())
    (told,) = output.failed_nodes
    assert (told.found_rows, told.query, told.stored_failures) == (True, "select 1", '"db"."audit"."t"')


async def test_a_test_that_did_not_run_has_found_no_rows() -> None:
    (told,) = (await stored(failed(TEST, "no such table"), store=InMemoryArtifactStore())).failed_nodes
    assert (told.found_rows, told.query) == (False, None)


async def test_the_first_failures_are_told_of_and_hooks_are_not() -> None:
    store = InMemoryArtifactStore()
    output = await stored(failed("operation.shop.start"), *(failed(f"m{n}") for n in range(20)), store=store)
    assert [each.name for each in output.failed_nodes] == [f"m{n}" for n in range(MAX_TOLD - 1)]


async def test_a_run_that_went_well_tells_of_none() -> None:
    store = InMemoryArtifactStore()
    assert (await stored(result("a"), store=store)).failed_nodes == []
    assert not [path for path in store.files if "compiled" in path]


async def test_a_command_that_executes_nothing_tells_of_none() -> None:
    listing = invocation().model_copy(update={"input": parse_run_input({"command": "list"})})
    output = await stored(failed("a"), store=InMemoryArtifactStore(), invocation=listing)
    assert output.failed_nodes == []


async def test_what_cannot_be_told_costs_the_run_nothing_else() -> None:
    store = InMemoryArtifactStore()
    store.broken = [f"{INVOCATION_ID}/compiled"]
    output = await stored(failed("a"), store=store)
    assert output.failed_nodes == []
    assert output.artifacts.run_results_path is not None


async def test_secrets_stand_in_nothing_that_is_told() -> None:
    secret = "hunter2-is-secret"

    class Telling(FakeEngineRun):
        async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
            nodes = {uid: NodeFacts("a", "model") for uid in with_code}
            return RunGraph(nodes, dict.fromkeys(with_code, f"select\n  '{secret}' as password"))

    engine = FakeEngine(plan(node("a")))
    engine.run_class = Telling
    message = f"Database Error\nLINE 3:   '{secret}' as password"
    engine.script[model_id("a")] = [engine.fails(model_id("a"), message, retryable=False)]
    keeping = SecretKeepingEngine(engine, FakeSecretResolver(), {})
    store = InMemoryArtifactStore()
    use_cases = UseCases.build(keeping, ProjectRegistry([ready_project()]), store, write_artifacts=True)
    run_input = {"env": {"DB_PASSWORD": secret}, "command": "build"}
    output = await asyncio.wait_for(run_in_process(run_input, use_cases), 60)
    assert output.failed_nodes is not None
    assert [line.text for line in output.failed_nodes[0].lines] == ["select", "  '***' as password"]
    assert "hunter2" not in output.model_dump_json()
    (code,) = [content for path, content in store.files.items() if path.endswith("a.sql")]
    assert code == b"select\n  '***' as password\n"
