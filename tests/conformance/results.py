"""What dbt's runner gives back, made of a run's artifacts.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: the classes of artifacts and results,
`Manifest.from_writable_manifest`.
"""

from __future__ import annotations

import shutil
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbt.artifacts.schemas.catalog import CatalogArtifact
from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.artifacts.schemas.run import RunExecutionResult, RunResult, RunResultsArtifact
from dbt.contracts.graph.manifest import Manifest
from dbt.exceptions import ParsingError
from dbt_common.exceptions import CompilationError, DbtDatabaseError, DbtRuntimeError

from tests.conformance.worker.service import Answer

_EXCEPTIONS: dict[str, type[DbtRuntimeError]] = {"Compilation": CompilationError, "Adapter": DbtDatabaseError}
_OURS_ALONE = ("log.txt", "logs", "records", "report.html", "run.json", "sql.zip")


def exception_of(answer: Answer) -> DbtRuntimeError | None:
    """What dbt's command line raises where a run does not get to its nodes; None where it does."""
    if answer.success is not None:
        return None
    raised = _EXCEPTIONS.get(answer.error_type or "", DbtRuntimeError)
    if "Parsing Error" in str(answer.message):  # one error type of ours for two classes of dbt's
        raised = ParsingError
    return raised(f"{answer.message}")


def take_over(answer: Answer, target_path: Path) -> Manifest | None:
    """Leaves a run's files where dbt's command line leaves them. Returns the manifest, where there is one."""
    folder = Path(answer.folder)
    target_path.mkdir(parents=True, exist_ok=True)
    if folder.exists():  # a run whose project does not parse may leave nothing
        shutil.copytree(folder, target_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_OURS_ALONE))
    if not (folder / "manifest.json").exists():
        return None
    written = WritableManifest.read_and_check_versions(str(folder / "manifest.json"))
    manifest = Manifest.from_writable_manifest(written)
    # Scenarios read the manifest from there.
    (target_path / "partial_parse.msgpack").write_bytes(manifest.to_msgpack())
    return manifest


def result_of(
    command: str, answer: Answer, manifest: Manifest | None
) -> RunExecutionResult | CatalogArtifact | Manifest | None:
    """What dbt's runner gives back after our command; None where the run wrote none of it."""
    if command == "parse":
        return manifest
    catalog = Path(answer.folder) / "catalog.json"
    if command == "docs-generate":
        return CatalogArtifact.read_and_check_versions(str(catalog)) if catalog.exists() else None
    path = Path(answer.folder) / "run_results.json"
    if manifest is None or not path.exists():
        return None
    read = RunResultsArtifact.read_and_check_versions(str(path))
    results = [_run_result(each, manifest) for each in read.results]
    now = datetime.now(UTC).replace(tzinfo=None)
    return RunExecutionResult(results=results, elapsed_time=read.elapsed_time, generated_at=now)


def _run_result(read: Any, manifest: Manifest) -> RunResult:
    names = {each.name for each in fields(RunResult) if each.init and hasattr(read, each.name)}
    # `run-operation` has results of macros.
    node: Any = manifest.macros.get(read.unique_id) or manifest.expect(read.unique_id)
    return RunResult(node=node, **{name: getattr(read, name) for name in names})
