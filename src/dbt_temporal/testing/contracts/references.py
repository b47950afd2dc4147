"""What every reader of earlier runs promises, as tests that each of them passes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing.contracts.errors import error_of


class EarlierRun(Protocol):
    """A folder for the artifacts of a run, as the test of an adapter makes it: empty at first."""

    @property
    def url(self) -> str:
        """Its own, without a slash at its end."""

    async def put(self, name: str, content: bytes) -> None:
        """Puts an artifact there, in place of one of that name."""


class ArtifactReferencesContract:
    """Tests of `ArtifactReferences`, for a subclass called `Test...` and fixtures `references` and `earlier`, which
    give the adapter and an `EarlierRun` that it reads.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_a_path_is_left_to_the_engine(self, references: ArtifactReferences, tmp_path: Path) -> None:
        """`fetch`, of what is on this machine: nothing is looked at or copied."""
        for reference in ("target/manifest.json", "/none/at/all/run_results.json"):
            assert await references.fetch("retry_from", reference, tmp_path / "copies") == reference
        assert not (tmp_path / "copies").exists()

    async def test_an_artifact_is_copied_with_those_beside_it(
        self, references: ArtifactReferences, earlier: EarlierRun, tmp_path: Path
    ) -> None:
        """`fetch`, of a file: `state:` and `result:` want the others too."""
        await earlier.put("manifest.json", b"{}")
        await earlier.put("run_results.json", b"[]")
        found = await references.fetch("retry_from", f"{earlier.url}/run_results.json", tmp_path / "new" / "copies")
        assert found == str(tmp_path / "new" / "copies" / "run_results.json")
        assert _contents(tmp_path / "new" / "copies") == {"manifest.json": b"{}", "run_results.json": b"[]"}

    async def test_the_folder_of_a_run_is_copied(
        self, references: ArtifactReferences, earlier: EarlierRun, tmp_path: Path
    ) -> None:
        """`fetch`, of a folder, however it is written."""
        await earlier.put("manifest.json", b"{}")
        await earlier.put("sources.json", b"[]")
        for name, reference in (("one", earlier.url), ("two", f"{earlier.url}/")):
            found = await references.fetch("state_manifest_ref", reference, tmp_path / name)
            assert found == str(tmp_path / name)
            assert _contents(tmp_path / name) == {"manifest.json": b"{}", "sources.json": b"[]"}

    async def test_a_reference_that_leads_nowhere_is_told_with_its_field(
        self, references: ArtifactReferences, earlier: EarlierRun, tmp_path: Path
    ) -> None:
        """`fetch`, of an empty folder, and of a file beside one that there is: a Configuration error."""
        error = await error_of(references.fetch("defer_manifest_ref", earlier.url, tmp_path / "copies"))
        assert error.error_type is ErrorType.CONFIGURATION
        await earlier.put("manifest.json", b"{}")
        reference = f"{earlier.url}/run_results.json"
        error = await error_of(references.fetch("retry_from", reference, tmp_path / "copies"))
        assert error.error_type is ErrorType.CONFIGURATION
        assert "retry_from" in error.message
        assert reference in error.message

    async def test_what_was_stored_since_is_read(
        self, references: ArtifactReferences, earlier: EarlierRun, tmp_path: Path
    ) -> None:
        """`fetch`, a second time, into the same folder: `latest` is another run each day."""
        for content in (b"old", b"newer"):
            await earlier.put("manifest.json", content)
            await references.fetch("state_manifest_ref", f"{earlier.url}/manifest.json", tmp_path / "copies")
            assert _contents(tmp_path / "copies") == {"manifest.json": content}

    async def test_several_are_fetched_at_once(
        self, references: ArtifactReferences, earlier: EarlierRun, tmp_path: Path
    ) -> None:
        """`fetch`, by many runs."""
        await earlier.put("manifest.json", b"{}")
        names = [str(number) for number in range(4)]
        await asyncio.gather(*(references.fetch("state_manifest_ref", earlier.url, tmp_path / name) for name in names))
        for name in names:
            assert _contents(tmp_path / name) == {"manifest.json": b"{}"}


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
