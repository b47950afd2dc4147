"""Fakes of ports, tests that their adapters pass, and builders of values, for tests of contributors and of embedders.

- `builders`: plans, nodes and results with little typing: `plan(node("a"), node("b", "a"))`.
- `fakes`: one for each port, named like it; each remembers what it was asked, and can be told what to answer.
  `FakeRuntime` carries a `DbtRun` with scripted steps and hooks (`HandedOver` is what ends an execution of it, where
  the run goes on in another one), `FakeEngine` is a dbt engine with scripted nodes, `InMemoryArtifactStore` a store in
  a dictionary.
- `contracts`: for each port that others bring adapters of, the tests that every one of them passes, and the fake too.
  docs/extending.md has a table of all, and shows how they are used.

None of them sleeps: a node can be held by a gate (`runtime.gates["model.shop.a"] = asyncio.Event()`), and
`until` waits for a condition.
"""

from dbt_temporal.testing.builders import model_id, node, plan, planned, result
from dbt_temporal.testing.contracts.artifact_store import ArtifactStoreContract
from dbt_temporal.testing.contracts.engine import DbtEngineContract
from dbt_temporal.testing.contracts.leases import LeasesContract
from dbt_temporal.testing.contracts.lineage import LineageSenderContract
from dbt_temporal.testing.contracts.project_source import ProjectSourceContract, SeveralProjectsContract
from dbt_temporal.testing.contracts.references import ArtifactReferencesContract
from dbt_temporal.testing.contracts.runs import RunGatewayContract
from dbt_temporal.testing.contracts.runtime import RunRuntimeContract
from dbt_temporal.testing.contracts.schedules import SchedulesContract
from dbt_temporal.testing.contracts.secrets import SecretResolverContract
from dbt_temporal.testing.fakes.artifact_store import InMemoryArtifactStore
from dbt_temporal.testing.fakes.engine import FakeEngine, FakeEngineRun, ready_project
from dbt_temporal.testing.fakes.gateway import FakeRun, FakeRunGateway
from dbt_temporal.testing.fakes.leases import FakeLeases
from dbt_temporal.testing.fakes.lineage import FakeLineageSender
from dbt_temporal.testing.fakes.lookups import FakeLeftOutInputs, FakeSecretResolver
from dbt_temporal.testing.fakes.project_source import FakeProjectSource
from dbt_temporal.testing.fakes.references import FakeReferences
from dbt_temporal.testing.fakes.report_page import FakeReportPage
from dbt_temporal.testing.fakes.runtime import FakeRuntime, HandedOver
from dbt_temporal.testing.fakes.schedules import FakeSchedules
from dbt_temporal.testing.fakes.telemetry import FakeTelemetry
from dbt_temporal.testing.waiting import until

__all__ = [
    "ArtifactReferencesContract",
    "ArtifactStoreContract",
    "DbtEngineContract",
    "FakeEngine",
    "FakeEngineRun",
    "FakeLeases",
    "FakeLeftOutInputs",
    "FakeLineageSender",
    "FakeProjectSource",
    "FakeReferences",
    "FakeReportPage",
    "FakeRun",
    "FakeRunGateway",
    "FakeRuntime",
    "FakeSchedules",
    "FakeSecretResolver",
    "FakeTelemetry",
    "HandedOver",
    "InMemoryArtifactStore",
    "LeasesContract",
    "LineageSenderContract",
    "ProjectSourceContract",
    "RunGatewayContract",
    "RunRuntimeContract",
    "SchedulesContract",
    "SecretResolverContract",
    "SeveralProjectsContract",
    "model_id",
    "node",
    "plan",
    "planned",
    "ready_project",
    "result",
    "until",
]
