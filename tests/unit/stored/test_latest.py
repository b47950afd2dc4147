"""Artifacts at an address that does not move."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from dbt_temporal.application.stored.earlier_runs import EarlierRuns
from dbt_temporal.application.stored.latest import FILES, LatestArtifacts, LatestRule, becomes_latest
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing import InMemoryArtifactStore

FIRST, SECOND = "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a11", "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a12"
FOLDER = "latest/shop/prod"


class SlowStore(InMemoryArtifactStore):
    """Copies to the folder wait for their turn, where the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[str, asyncio.Event] = {}
        self.waiting = asyncio.Event()

    async def copy(self, source: str, path: str) -> bool:
        if source in self.turns:
            self.waiting.set()
            await self.turns[source].wait()
        return await super().copy(source, path)


class DyingStore(InMemoryArtifactStore):
    """Whoever changes something in the folder does `steps` of it, and then no more: as a worker that is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: int | None = None

    async def write(self, path: str, content: bytes) -> str:
        self._step(path)
        return await super().write(path, content)

    async def delete_file(self, path: str) -> None:
        self._step(path)
        await super().delete_file(path)

    def _step(self, path: str) -> None:
        if self.steps is not None and path.startswith(FOLDER):
            if self.steps == 0:
                raise KilledError
            self.steps -= 1


class KilledError(Exception):
    pass


def run(invocation_id: str, minute: int = 0, *, success: bool = True) -> LatestRun:
    return LatestRun(
        invocation_id=invocation_id,
        project="shop",
        target="prod",
        command="build",
        success=success,
        ended_at=f"2026-03-01T06:{minute:02}:00+00:00",
        engine="dbt-core",
        dbt_version="1.11.0",
    )


async def stored(store: InMemoryArtifactStore, invocation_id: str, names: tuple[str, ...] = FILES) -> None:
    """The files of a run, in its own folder."""
    for name in names:
        await store.write(f"{invocation_id}/{name}", f"{name} of {invocation_id}".encode())


def of_folder(store: InMemoryArtifactStore) -> dict[str, str]:
    """Whose each file is, by its name."""
    return {
        path.removeprefix(f"{FOLDER}/"): orjson.loads(content)["invocation_id"]
        if path.endswith("run.json")
        else content.decode().rpartition(" ")[2]
        for path, content in store.files.items()
        if path.startswith(FOLDER)
    }


async def test_the_folder_has_the_files_of_the_newest_run_and_no_others() -> None:
    store = InMemoryArtifactStore()
    latest = LatestArtifacts(store)
    await stored(store, FIRST)
    await latest.publish(run(FIRST))
    assert of_folder(store) == dict.fromkeys((*FILES, "run.json"), FIRST)
    await stored(store, SECOND, FILES[:2])
    await latest.publish(run(SECOND, 1))
    assert of_folder(store) == dict.fromkeys((*FILES[:2], "run.json"), SECOND)
    assert await latest.run_of("shop", "prod") == run(SECOND, 1)
    assert await latest.run_of("shop", "dev") is None


@pytest.mark.parametrize("slow", FILES)
@pytest.mark.parametrize("minute", [0, 1])
async def test_runs_that_end_at_the_same_time_do_not_mix_their_files(slow: str, minute: int) -> None:
    store = SlowStore()
    latest = LatestArtifacts(store)
    await stored(store, FIRST)
    await stored(store, SECOND, FILES[:2])
    store.turns[f"{FIRST}/{slow}"] = turn = asyncio.Event()
    early = asyncio.create_task(latest.publish(run(FIRST)))
    await store.waiting.wait()
    await latest.publish(run(SECOND, minute))
    turn.set()
    await early
    assert of_folder(store) == dict.fromkeys((*FILES[:2], "run.json"), SECOND)


async def test_a_step_that_is_tried_again_does_not_take_the_place_of_a_run_that_ended_later() -> None:
    store = InMemoryArtifactStore()
    latest = LatestArtifacts(store)
    await stored(store, FIRST)
    await stored(store, SECOND)
    await latest.publish(run(FIRST, 1))
    await latest.publish(run(SECOND, 2))
    await latest.publish(run(FIRST, 1))
    assert of_folder(store) == dict.fromkeys((*FILES, "run.json"), SECOND)


@pytest.mark.parametrize("steps", range(len(FILES) + 1))
async def test_a_worker_that_dies_amid_the_copy_leaves_a_latest_run_that_is_whole(steps: int) -> None:
    store = DyingStore()
    latest = LatestArtifacts(store)
    await stored(store, FIRST)
    await latest.publish(run(FIRST))
    await stored(store, SECOND, FILES[:2])
    store.steps = steps
    with pytest.raises(KilledError):
        await latest.publish(run(SECOND, 1))
    store.steps = None
    known = await latest.run_of("shop", "prod")
    assert known is not None
    assert known.invocation_id == (SECOND if steps else FIRST)
    resolved = await EarlierRuns(store).resolved("shop", DbtRunInput(state_manifest_ref="latest:prod"))
    assert resolved.state_manifest_ref == f"memory://{known.invocation_id}", "its own folder, not the copies"
    # A run that ended before has nothing to say there, but leaves the files of one run; so does the next attempt.
    await latest.publish(run(FIRST))
    assert set(of_folder(store).values()) == {known.invocation_id}
    await latest.publish(run(SECOND, 1))
    assert of_folder(store) == dict.fromkeys((*FILES[:2], "run.json"), SECOND)


async def test_what_nobody_can_read_is_replaced() -> None:
    store = InMemoryArtifactStore()
    latest = LatestArtifacts(store)
    await store.write(f"{FOLDER}/run.json", b'{"invocation')
    assert await latest.run_of("shop", "prod") is None
    await stored(store, FIRST)
    await latest.publish(run(FIRST))
    assert await latest.run_of("shop", "prod") == run(FIRST)


async def test_the_file_of_an_earlier_release_gives_way_and_is_still_known() -> None:
    store = InMemoryArtifactStore()
    await store.write("latest/shop", FIRST.encode())
    runs = EarlierRuns(store)
    retry = DbtRunInput(command="retry")
    assert (await runs.resolved("shop", retry)).retry_from == f"memory://{FIRST}"
    await runs.note("shop", DbtRunInput(), SECOND)
    await stored(store, SECOND)
    await LatestArtifacts(store).publish(run(SECOND))
    assert "latest/shop" not in store.files
    assert (await runs.resolved("shop", retry)).retry_from == f"memory://{SECOND}"
    # A worker of that release writes it again, where the store has room for both; folders stay.
    await store.write("latest/shop", FIRST.encode())
    await LatestArtifacts(store).publish(run(SECOND))
    assert of_folder(store) == dict.fromkeys((*FILES, "run.json"), SECOND)


async def test_the_latest_run_of_a_target_has_a_name() -> None:
    store = InMemoryArtifactStore()
    await stored(store, FIRST)
    await LatestArtifacts(store).publish(run(FIRST))
    runs = EarlierRuns(store)
    run_input = DbtRunInput(state_manifest_ref="latest:prod", defer_manifest_ref="latest:prod")
    resolved = await runs.resolved("shop", run_input)
    assert (resolved.state_manifest_ref, resolved.defer_manifest_ref) == (f"memory://{FIRST}", f"memory://{FIRST}")
    with pytest.raises(
        DbtTemporalError, match="state_manifest_ref: no build or run of 'shop' for the target 'dev'"
    ) as told:
        await runs.resolved("shop", DbtRunInput(state_manifest_ref="latest:dev"))
    assert told.value.error_type is ErrorType.CONFIGURATION


async def published(store: InMemoryArtifactStore, *runs: LatestRun) -> None:
    for each in runs:
        await LatestArtifacts(store).publish(each)


DEFERS = DbtRunInput(defer_manifest_ref="latest", state_manifest_ref="latest")


@pytest.mark.parametrize("targets", [["prod"], ["ci", "prod"]])
async def test_a_run_that_defers_to_the_latest_takes_that_of_the_other_target(targets: list[str]) -> None:
    store = InMemoryArtifactStore()
    of = {target: run(FIRST if target == "prod" else SECOND) for target in targets}
    await published(store, *(each.model_copy(update={"target": target}) for target, each in of.items()))
    runs = EarlierRuns(store)
    await runs.note("shop", DbtRunInput(), "a failed one")
    resolved = await runs.resolved("shop", DEFERS, "ci")
    assert (resolved.state_manifest_ref, resolved.defer_manifest_ref) == (f"memory://{FIRST}", f"memory://{FIRST}")
    assert resolved.retry_from is None
    # What names of `latest` were before they still are, where a run does not defer, or looks for results.
    newest = "memory://a failed one"
    compared = await runs.resolved("shop", DbtRunInput(state_manifest_ref="latest", retry_from="latest"), "ci")
    assert (compared.state_manifest_ref, compared.retry_from) == (newest, newest)
    by_result = await runs.resolved("shop", DEFERS.model_copy(update={"select": "result:error+"}), "ci")
    assert (by_result.state_manifest_ref, by_result.defer_manifest_ref) == (newest, f"memory://{FIRST}")


async def test_a_run_defers_to_the_latest_of_its_own_target_where_no_other_has_one() -> None:
    store = InMemoryArtifactStore()
    await published(store, run(FIRST))
    assert (await EarlierRuns(store).resolved("shop", DEFERS, "prod")).defer_manifest_ref == f"memory://{FIRST}"


async def test_a_run_that_could_defer_to_several_targets_is_refused_with_their_names() -> None:
    store = InMemoryArtifactStore()
    await published(store, run(FIRST), run(SECOND).model_copy(update={"target": "staging"}))
    with pytest.raises(DbtTemporalError, match="for 'prod' or 'staging': say which, as in latest:prod") as told:
        await EarlierRuns(store).resolved("shop", DEFERS, "ci")
    assert told.value.error_type is ErrorType.CONFIGURATION
    assert (await EarlierRuns(store).resolved("shop", DEFERS, "prod")).defer_manifest_ref == f"memory://{SECOND}"


@pytest.mark.parametrize(
    ("run_input", "does"),
    [
        (DbtRunInput(), True),
        (DbtRunInput(command="run", select="a"), True),
        (DbtRunInput(command="test"), False),
        (DbtRunInput(command="compile"), False),
        (DbtRunInput(empty=True), False),
        (DbtRunInput(sample="3 days"), False),
    ],
)
def test_a_run_counts_where_it_leaves_relations_as_its_manifest_has_them(run_input: DbtRunInput, does: bool) -> None:
    assert becomes_latest(run(FIRST), run_input, "success") is does


@pytest.mark.parametrize(
    ("rule", "after_success", "after_failure"),
    [("success", True, False), ("always", True, True), ("never", False, False)],
)
def test_a_setting_says_whether_failed_runs_count(rule: LatestRule, after_success: bool, after_failure: bool) -> None:
    assert becomes_latest(run(FIRST), DbtRunInput(), rule) is after_success
    assert becomes_latest(run(FIRST, success=False), DbtRunInput(), rule) is after_failure
