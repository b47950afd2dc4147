"""Earlier runs by name, in the store."""

from __future__ import annotations

import pytest

from dbt_temporal.application.stored.earlier_runs import EarlierRuns
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing import InMemoryArtifactStore

OLD = "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a11"
NEW = "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a12"


async def test_the_latest_run_is_the_newest_one_of_the_project_that_dbt_can_retry() -> None:
    runs = EarlierRuns(InMemoryArtifactStore())
    await runs.note("shop", DbtRunInput(command="build"), OLD)
    await runs.note("shop", DbtRunInput(command="run"), NEW)
    await runs.note("shop", DbtRunInput(command="source-freshness"), "a run of freshness")
    await runs.note("another", DbtRunInput(), "a run of another project")
    assert (await runs.resolved("shop", DbtRunInput(command="retry"))).retry_from == f"memory://{NEW}"
    deferred = await runs.resolved("shop", DbtRunInput(defer_manifest_ref="latest"))
    assert (deferred.defer_manifest_ref, deferred.retry_from) == (f"memory://{NEW}", None)


async def test_an_invocation_id_is_a_place_in_the_store_and_a_path_stays_a_path() -> None:
    runs = EarlierRuns(InMemoryArtifactStore())
    by_id = await runs.resolved("shop", DbtRunInput(command="retry", retry_from=OLD, state_manifest_ref="prod/latest"))
    assert (by_id.retry_from, by_id.state_manifest_ref) == (f"memory://{OLD}", "prod/latest")
    assert by_id.model_fields_set == {"command", "retry_from", "state_manifest_ref"}


async def test_a_project_without_results_is_told() -> None:
    with pytest.raises(DbtTemporalError, match="retry_from: no run of 'shop' has stored results yet") as caught:
        await EarlierRuns(InMemoryArtifactStore()).resolved("shop", DbtRunInput(command="retry"))
    assert caught.value.error_type is ErrorType.CONFIGURATION
