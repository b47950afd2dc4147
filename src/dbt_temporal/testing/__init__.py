"""Fakes of ports, tests that their adapters pass, and builders of values, for tests of contributors and of embedders.

- `builders`: plans, nodes and results with little typing: `plan(node("a"), node("b", "a"))`.
- `FakeRuntime`: carries a `DbtRun` with scripted steps and hooks; records what was asked of it.
- `HandedOver`: what ends an execution of that runtime, where the run goes on in another one.
- `FakeEngine`: a dbt engine with scripted nodes, for use cases, in-process runs and workers.
- `FakeRunGateway`, `FakeRun`: a place for runs, and a run with scripted snapshots, for whatever submits and follows.
- `FakeTelemetry`: keeps the facts that metrics are made of.
- `FakeLineageSender`: keeps the events that are sent to whoever gathers lineage.
- `InMemoryArtifactStore`: a store in a dictionary, which can be told to fail.
- `ArtifactStoreContract`: the tests that every artifact store passes, for one of your own (docs/extending.md).

None of them sleeps: a node can be held by a gate (`runtime.gates["model.shop.a"] = asyncio.Event()`), and
`until` waits for a condition.
"""

from dbt_temporal.testing.builders import model_id, node, plan, planned, result
from dbt_temporal.testing.fake_engine import FakeEngine, FakeEngineRun, ready_project
from dbt_temporal.testing.fake_gateway import FakeRun, FakeRunGateway
from dbt_temporal.testing.fake_lineage import FakeLineageSender
from dbt_temporal.testing.fake_runtime import FakeRuntime, HandedOver
from dbt_temporal.testing.fake_telemetry import FakeTelemetry
from dbt_temporal.testing.in_memory_store import InMemoryArtifactStore
from dbt_temporal.testing.store_contract import ArtifactStoreContract
from dbt_temporal.testing.waiting import until

__all__ = [
    "ArtifactStoreContract",
    "FakeEngine",
    "FakeEngineRun",
    "FakeLineageSender",
    "FakeRun",
    "FakeRunGateway",
    "FakeRuntime",
    "FakeTelemetry",
    "HandedOver",
    "InMemoryArtifactStore",
    "model_id",
    "node",
    "plan",
    "planned",
    "ready_project",
    "result",
    "until",
]
