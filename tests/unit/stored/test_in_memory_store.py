"""The fake store keeps what stores promise, so that what is tested with it holds for them."""

from __future__ import annotations

import pytest

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing import ArtifactStoreContract, InMemoryArtifactStore


@pytest.fixture
def store() -> InMemoryArtifactStore:
    return InMemoryArtifactStore()


class TestInMemoryStore(ArtifactStoreContract):
    """In a dictionary."""


async def test_it_fails_where_it_is_told_to(store: InMemoryArtifactStore) -> None:
    store.broken.append("run/")
    with pytest.raises(DbtTemporalError, match="memory://run/log") as caught:
        await store.write("run/log.txt", b"x")
    assert caught.value.error_type is ErrorType.ARTIFACT_STORE
    await store.write("latest/run.json", b"x")
