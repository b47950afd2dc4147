"""Which runs go from the store, and that those which are still needed stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dbt_temporal.application.stored.latest import LatestArtifacts
from dbt_temporal.application.stored.retention import OpenRuns, Retention, Rule, StoredRun, chosen
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.testing import InMemoryArtifactStore

NOW = datetime(2026, 3, 31, 6, tzinfo=UTC)


def id_of(number: int) -> str:
    return f"0198c1d2-7a2e-7c7e-9d55-2b7f0c1f{number:04}"


def about(number: int, days: float, target: str = "prod", **more: object) -> LatestRun:
    """A run that ended so many days ago."""
    return LatestRun.model_validate(
        {
            "invocation_id": id_of(number),
            "project": "shop",
            "target": target,
            "command": "build",
            "success": True,
            "ended_at": (NOW - timedelta(days=days)).isoformat(),
            **more,
        }
    )


def stored(number: int, days: float, target: str = "prod", **more: object) -> StoredRun:
    return StoredRun(id_of(number), about(number, days, target, **more), NOW - timedelta(days=days))


def unknown(number: int, days: float) -> StoredRun:
    return StoredRun(id_of(number), None, NOW - timedelta(days=days))


RUNS = [stored(1, 40), stored(2, 20), stored(3, 10), stored(4, 50, "ci"), stored(5, 45, "ci"), unknown(6, 60)]


@pytest.mark.parametrize(
    ("rule", "going"),
    [
        (Rule(keep=1), [4, 1, 2]),
        (Rule(keep=2), [1]),
        (Rule(older_than=timedelta(days=30)), [6, 4, 5, 1]),
        (Rule(keep=1, older_than=timedelta(days=30)), [4, 1]),
        (Rule(keep=2, older_than=timedelta(days=90)), []),
        (Rule(keep=1, target="ci"), [4]),
        (Rule(older_than=timedelta(days=30), target="prod"), [1]),
        (Rule(older_than=timedelta(days=30), project="another"), []),
    ],
)
def test_a_run_goes_that_neither_number_nor_age_leaves_the_oldest_first(rule: Rule, going: list[int]) -> None:
    found = chosen(reversed(RUNS), rule, NOW, set(), OpenRuns())
    assert [run.invocation_id for run in found] == [id_of(number) for number in going]


def test_runs_that_addresses_name_or_that_go_on_stay() -> None:
    open_runs = OpenRuns(frozenset({id_of(2)}), since=NOW)
    found = chosen(RUNS, Rule(keep=1), NOW, {id_of(1)}, open_runs)
    assert [run.invocation_id for run in found] == [id_of(4)]


def test_runs_stay_that_one_which_goes_on_may_have_begun_with() -> None:
    runs = [stored(0, 10, success=False), stored(1, 9), stored(2, 8), stored(3, 7, success=False)]
    runs += [stored(8, 6.5, command="seed"), stored(4, 6, command="test")]
    runs += [stored(5, 3), stored(6, 2), stored(7, 1)]
    found = chosen(runs, Rule(keep=1), NOW, set(), OpenRuns(frozenset({id_of(9)}), since=NOW - timedelta(days=4)))
    # Before it began, the latest was the second one, or with ARTIFACT_LATEST=always the third, and the newest, which a
    # retry is of, was the fourth. Those that ended since, were it later.
    assert [run.invocation_id for run in found] == [id_of(number) for number in (0, 1, 8)]


def test_a_run_of_which_nothing_is_known_stays_a_day_whatever_the_rule_says() -> None:
    rule = Rule(older_than=timedelta(minutes=5))
    found = chosen([unknown(1, 0.9), unknown(2, 1.1), stored(3, 0.1)], rule, NOW, set(), OpenRuns())
    assert [run.invocation_id for run in found] == [id_of(2), id_of(3)]


class CutShortStore(InMemoryArtifactStore):
    """Dies at the deletion of one of the files of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_at: str | None = None

    async def delete(self, path: str) -> None:
        if self.dies_at is not None and path.endswith(self.dies_at):
            raise KilledError
        await super().delete(path)


class KilledError(Exception):
    pass


async def filled(store: InMemoryArtifactStore, *runs: LatestRun) -> Retention:
    for run in runs:
        for name in ("manifest.json", "logs/a.log", "logs/b.log"):
            await store.write(f"{run.invocation_id}/{name}", b"1234")
        await store.write(f"{run.invocation_id}/run.json", run.model_dump_json().encode())
    return Retention(store)


@pytest.mark.parametrize("dies_at", ["logs", "manifest.json", id_of(1)])
async def test_a_run_whose_deletion_was_cut_short_is_found_again(dies_at: str) -> None:
    store = CutShortStore()
    retention = await filled(store, about(1, 2), about(2, 1))
    store.dies_at = dies_at
    (run,) = chosen(await retention.runs(with_unknown=True), Rule(keep=1), NOW, set(), OpenRuns())
    with pytest.raises(KilledError):
        await retention.delete(run)
    store.dies_at = None
    assert chosen(await retention.runs(with_unknown=True), Rule(keep=1), NOW, set(), OpenRuns()) == [run]
    await retention.delete(run)
    assert {path.partition("/")[0] for path in store.files} == {id_of(2)}
    gone = await retention.delete(run)
    assert (gone.files, gone.size) == (0, 0)


async def test_what_goes_is_measured_and_told() -> None:
    store = InMemoryArtifactStore()
    retention = await filled(store, about(1, 2), about(2, 1))
    runs = await retention.runs(with_unknown=False)
    assert [run.group for run in runs] == [("shop", "prod")] * 2
    (first, _) = measured = await retention.measured(runs)
    assert first.files == 4
    assert first.size == 12 + len(store.files[f"{id_of(1)}/run.json"])
    assert [await retention.delete(each.run) for each in measured] == measured
    assert store.files == {}


async def test_runs_without_a_run_json_are_found_where_they_are_asked_for() -> None:
    store = InMemoryArtifactStore()
    retention = await filled(store, about(1, 2))
    await store.write(f"{id_of(2)}/manifest.json", b"{}")
    await store.write(f"{id_of(3)}/run.json", b"{")
    bad = (await store.read(f"{id_of(1)}/run.json") or b"").replace(b'"ended_at":"', b'"ended_at":"not ')
    await store.write(f"{id_of(4)}/run.json", bad)
    await store.write("parses/a.parse", b"x")
    assert [run.invocation_id for run in await retention.runs(with_unknown=False)] == [id_of(1)]
    assert {run.invocation_id: run.about is None for run in await retention.runs(with_unknown=True)} == {
        id_of(1): False,
        id_of(2): True,
        id_of(3): True,
        id_of(4): True,  # nobody can tell when it ended
    }
    # A file that is there and cannot be read says nothing of whose the run is.
    store.broken = [f"{id_of(1)}/run.json"]
    assert id_of(1) not in {run.invocation_id for run in await retention.runs(with_unknown=True)}


@pytest.mark.parametrize(
    ("files", "is_run"),
    [
        (["manifest.json", "log.txt"], True),
        (["records/model.shop.a.1.json", "logs/model.shop.a.log", ".manifest.json.0a1b"], True),
        (["photo.jpg"], False),
        (["manifest.json", "photo.jpg"], False),
        (["photos/1.jpg", "logs/a.log"], False),
        (["manifest.json/1"], False),
    ],
)
async def test_a_folder_of_somebody_else_is_no_run_whatever_it_is_called(files: list[str], is_run: bool) -> None:
    store = InMemoryArtifactStore()
    for name in files:
        await store.write(f"{id_of(1)}/{name}", b"x")
    found = await Retention(store).runs(with_unknown=True)
    assert [run.invocation_id for run in found] == ([id_of(1)] if is_run else [])


async def test_the_addresses_name_the_runs_that_must_stay() -> None:
    store = InMemoryArtifactStore()
    retention = await filled(store, about(1, 3), about(2, 2, "ci"))
    assert await retention.named() == set()
    for run in (about(1, 3), about(2, 2, "ci")):
        await LatestArtifacts(store).publish(run)
    await store.write("newest/shop", id_of(3).encode())
    await store.write("latest/of-a-release-before", id_of(4).encode())
    assert await retention.named() == {id_of(number) for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("content", [None, b"{"])
async def test_an_address_that_does_not_say_whose_it_is_keeps_all(content: bytes | None) -> None:
    store = InMemoryArtifactStore()
    await store.write("latest/shop/prod/manifest.json", b"{}")
    if content is not None:
        await store.write("latest/shop/prod/run.json", content)
    with pytest.raises(DbtTemporalError, match=r"latest/shop/prod does not say in run\.json which run") as told:
        await Retention(store).named()
    assert told.value.error_type is ErrorType.CONFIGURATION


async def test_an_address_that_cannot_be_read_keeps_all() -> None:
    store = InMemoryArtifactStore()
    await LatestArtifacts(store).publish(about(1, 3))
    store.broken = ["latest/shop/prod/run.json"]
    with pytest.raises(DbtTemporalError, match="the store is told to fail"):
        await Retention(store).named()
