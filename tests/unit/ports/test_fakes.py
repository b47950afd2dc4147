"""Fakes keep what their ports promise, so that what is tested with one holds for the adapters too."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.domain.leases.messages import Lease, pack_keys
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.secrets.references import EnvReference, SecretReference
from dbt_temporal.testing import (
    ArtifactReferencesContract,
    DbtEngineContract,
    FakeEngine,
    FakeLeases,
    FakeLineageSender,
    FakeProjectSource,
    FakeReferences,
    FakeRun,
    FakeRunGateway,
    FakeSchedules,
    FakeSecretResolver,
    LeasesContract,
    LineageSenderContract,
    ProjectSourceContract,
    RunGatewayContract,
    SchedulesContract,
    SecretResolverContract,
    SeveralProjectsContract,
    node,
    plan,
)
from dbt_temporal.testing.contracts.engine import BROKEN
from dbt_temporal.testing.contracts.leases import OwnerOf
from dbt_temporal.testing.contracts.lineage import Received
from dbt_temporal.testing.contracts.runs import LetEnd
from dbt_temporal.testing.contracts.schedules import MakeDaily


class FakePlace:
    """Files in a dictionary."""

    name = "fake://shops"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, str] = {}

    async def put(self, files: Mapping[str, str]) -> None:
        self._files = dict(files)

    async def remove(self) -> None:
        self._files = {}

    def source(self) -> FakeProjectSource:
        return FakeProjectSource(files=self._files, folder=self._folder, name=self.name)


class TestFakeProjectSource(ProjectSourceContract, SeveralProjectsContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> FakePlace:
        return FakePlace(tmp_path)


class FakeEarlierRun:
    """A folder in a dictionary."""

    url = "fake://runs/earlier"

    def __init__(self, references: FakeReferences) -> None:
        self._references = references

    async def put(self, name: str, content: bytes) -> None:
        self._references.files[f"{self.url}/{name}"] = content


class TestFakeReferences(ArtifactReferencesContract):
    @pytest.fixture
    def references(self) -> FakeReferences:
        return FakeReferences()

    @pytest.fixture
    def earlier(self, references: FakeReferences) -> FakeEarlierRun:
        return FakeEarlierRun(references)


class FakeSecretPlace:
    """Values in the fake itself."""

    def __init__(self) -> None:
        self.resolver = FakeSecretResolver()

    def keep(self, name: str, value: str) -> SecretReference:
        reference = EnvReference(from_env=name)
        self.resolver.values[reference] = value
        return reference

    def forget(self, name: str) -> None:
        del self.resolver.values[EnvReference(from_env=name)]


class TestFakeSecretResolver(SecretResolverContract):
    @pytest.fixture
    def secrets(self) -> FakeSecretPlace:
        return FakeSecretPlace()


class TestFakeLeases(LeasesContract):
    @pytest.fixture
    def leases(self) -> FakeLeases:
        return FakeLeases()

    @pytest.fixture
    def begin(self) -> OwnerOf:
        async def begin(name: str) -> str:
            return name

        return begin


class TestFakeSchedules(SchedulesContract):
    @pytest.fixture
    def schedules(self) -> FakeSchedules:
        return FakeSchedules()

    @pytest.fixture
    def make_daily(self, schedules: FakeSchedules) -> MakeDaily:
        async def make_daily(begins: datetime) -> str:
            first = datetime(begins.year, begins.month, begins.day, 6, tzinfo=UTC)
            schedules.times["daily"] = [first + number * timedelta(days=1) for number in range(10)]
            schedules.begins["daily"] = begins
            return "daily"

        return make_daily


class TestFakeLineageSender(LineageSenderContract):
    @pytest.fixture
    def sender(self) -> FakeLineageSender:
        return FakeLineageSender()

    @pytest.fixture
    def received(self, sender: FakeLineageSender) -> Received:
        return sender.told


class TestFakeEngine(DbtEngineContract):
    @pytest.fixture
    def engine(self) -> FakeEngine:
        engine = FakeEngine(plan(node("orders"), node("customers", "orders"), node("broken")))
        engine.script[BROKEN] = [engine.fails(BROKEN, retryable=False)]
        return engine

    @pytest.fixture
    def shop(self) -> ProjectLocation:
        return ProjectLocation(Path("/projects/shop"), Path("/projects/shop"), source="/projects/shop")

    @pytest.fixture
    def unparsable(self, engine: FakeEngine) -> ProjectLocation:
        engine.unparsable["/projects/bad"] = DbtTemporalError(ErrorType.COMPILATION, "no such macro")
        return ProjectLocation(Path("/projects/bad"), Path("/projects/bad"), source="/projects/bad")


class TestFakeRunGateway(RunGatewayContract):
    @pytest.fixture
    def gateway(self) -> FakeRunGateway:
        return FakeRunGateway(FakeRun([Snapshot(new_log_lines=["a line"])]))

    @pytest.fixture
    def let_end(self, gateway: FakeRunGateway) -> LetEnd:
        async def let_end() -> None:
            gateway.run.end(Outcome(Ending.COMPLETED))

        return let_end


async def test_fakes_fail_where_they_are_told_to(tmp_path: Path) -> None:
    source, references, gateway = FakeProjectSource("/x/shop"), FakeReferences(), FakeRunGateway(FakeRun())
    leases, schedules = FakeLeases(), FakeSchedules()
    source.problem = configuration_error("no such place")
    references.broken = ["fake://"]
    leases.away = schedules.away = gateway.away = True
    calls: dict[ErrorType, list[Awaitable[object]]] = {
        ErrorType.CONFIGURATION: [source.locate(), gateway.submit(DbtRunInput(), "a"), gateway.invocation_id("a")],
        ErrorType.ARTIFACT_STORE: [references.fetch("retry_from", "fake://runs/1", tmp_path)],
        ErrorType.ADAPTER: [
            leases.take("a", Lease(scope="s", keys=pack_keys(["k"]), what="k"), waits=True),
            leases.give_back("s", "a"),
        ],
        ErrorType.ENGINE_CRASHED: [schedules.time_before("daily", datetime(2026, 1, 1, tzinfo=UTC))],
    }
    for error_type, failing in calls.items():
        for call in failing:
            with pytest.raises(DbtTemporalError) as caught:
                await call
            assert caught.value.error_type is error_type
    assert not await gateway.answers()
