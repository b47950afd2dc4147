"""Tools that know dbt's artifacts read those of a run that we have stored, and find what the run has done; and the
events that we have sent meanwhile tell the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal import DbtRunOutput, run_dbt
from tests.integration.consumers.collector import collecting
from tests.integration.programs import EXAMPLE, ROOT

READERS = Path(__file__).parent / "readers"
CONSUMERS, DATAHUB = ROOT / ".venv-consumers", ROOT / ".venv-datahub"
BROKEN = {
    "broken.sql": "select no_such_column from {{ ref('stg_orders') }}",
    "behind_broken.sql": "select * from {{ ref('broken') }}",
}
"""What is added to the example, so that a node fails, and another is skipped for it."""
_NAMED = re.compile(r"(?:ref\('|source\('\w+', ')(\w+)'\)")
_RELATIONS = ("model", "seed", "snapshot")


@dataclass(frozen=True)
class StoredRun:
    """A build of the example.

    Attributes:
        output: what it came to.
        project: the project's folder.
        folder: where its artifacts lie.
        environ: with the variables of its profile.
        events: those of OpenLineage, as a server was sent them.
    """

    output: DbtRunOutput
    project: Path
    folder: Path
    environ: Mapping[str, str]
    events: Sequence[Mapping[str, Any]]

    def statuses(self, *resource_types: str) -> dict[str, str | None]:
        """dbt's words, by unique_id, of the nodes of these types, or of all."""
        words = {each.unique_id: each.dbt_status for each in self.output.node_results}
        return {uid: word for uid, word in words.items() if not resource_types or _type(uid) in resource_types}

    def parents(self) -> dict[str, set[str]]:
        """By the names of models, those of what they name in their own SQL."""
        return {path.stem: set(_NAMED.findall(path.read_text())) for path in self.project.glob("models/**/*.sql")}

    def read_by(self, reader: str, *more: str, venv: Path = CONSUMERS) -> Any:
        """What a program of `readers` prints of it."""
        python = venv / "bin" / "python"
        assert python.exists(), f"{venv.name} is missing: make setup-{venv.name.removeprefix('.venv-')}"
        command = [str(python), str(READERS / f"{reader}.py"), str(self.folder), *more]
        env = {**self.environ, "DATAHUB_TELEMETRY_ENABLED": "false", "RECCE_DISABLE_TELEMETRY": "1"}
        done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
async def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run that all of them read."""
    folder = tmp_path_factory.mktemp("stored")
    project = Path(shutil.copytree(EXAMPLE, folder / "jaffle-shop", ignore=shutil.ignore_patterns("target", "logs")))
    for name, sql in BROKEN.items():
        (project / "models" / "marts" / name).write_text(sql)
    given = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "TEMPORAL_"))}
    environ = {
        **given,
        "JAFFLE_SHOP_DB": str(folder / "jaffle_shop.duckdb"),
        "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "WRITE_ARTIFACTS": "true",
        "WRITE_CATALOG": "true",
        "ARTIFACT_STORE": str(folder / "artifacts"),
    }
    with collecting() as collector:
        output = await run_dbt(project, "build", environ={**environ, "OPENLINEAGE_URL": collector.url})
    return StoredRun(output, project, folder / "artifacts" / output.invocation_id, environ, collector.events)


def _type(unique_id: str) -> str:
    return unique_id.partition(".")[0]


def _name(unique_id: str) -> str:
    return unique_id.split(".")[-1]


def _names(parents: Mapping[str, list[str]]) -> dict[str, set[str]]:
    """The same by names, models alone."""
    return {_name(uid): {_name(parent) for parent in above} for uid, above in parents.items() if _type(uid) == "model"}


def test_the_run_has_nodes_of_each_outcome(stored: StoredRun) -> None:
    assert set(stored.statuses("model").values()) == {"success", "error", "skipped"}
    assert set(stored.statuses("test", "unit_test").values()) == {"pass"}
    assert len(stored.parents()) == 14


def test_dbt_artifacts_parser_finds_each_result_and_what_each_model_is_made_of(stored: StoredRun) -> None:
    found = stored.read_by("artifacts_parser")
    assert found["invocation_id"] == stored.output.invocation_id
    # Hooks are results too, and no nodes of the plan.
    assert {uid: word for uid, word in found["statuses"].items() if _type(uid) != "operation"} == stored.statuses()
    assert _names(found["parents"]) == stored.parents()
    assert "segment" in found["columns"]["model.jaffle_shop.dim_customers"]


def test_openlineage_makes_an_event_of_each_model_with_what_it_reads_and_writes(stored: StoredRun) -> None:
    events = stored.read_by("openlineage_dbt", str(stored.project))
    assert {event["invocation_id"] for event in events} == {stored.output.invocation_id}
    built = {uid: word for uid, word in stored.statuses("model", "snapshot").items() if word != "skipped"}
    jobs = {event["unique_id"]: event for event in events if event["job"].endswith((".build.run", ".build.snapshot"))}
    assert {event["unique_id"]: event["type"] for event in jobs.values()} == {
        uid: "COMPLETE" if word == "success" else "FAIL" for uid, word in built.items()
    }
    parents = stored.parents()
    for unique_id, event in jobs.items():
        namespaces = {namespace for namespace, _ in event["inputs"] + event["outputs"]}
        assert namespaces == {f"duckdb://{stored.environ['JAFFLE_SHOP_DB']}"}
        if _type(unique_id) == "model":
            assert {_name(name) for _, name in event["inputs"]} == parents[_name(unique_id)]
        written = [_name(name) for _, name in event["outputs"]]
        assert written == ([_name(unique_id)] if event["type"] == "COMPLETE" else [])
    # It tells of tests by what they test.
    tested = {event["unique_id"]: event["type"] for event in events if event["job"].endswith(".build.test")}
    assert set(tested.values()) == {"COMPLETE"}
    assert "model.jaffle_shop.dim_customers" in tested


def _job(event: Mapping[str, Any]) -> str:
    return str(event["job"]["name"])


def _datasets(event: Mapping[str, Any], which: str) -> set[tuple[str, str]]:
    return {(each["namespace"], each["name"]) for each in event[which]}


def test_each_node_was_told_of_once_with_the_run_as_its_parent(stored: StoredRun) -> None:
    run_id = stored.output.invocation_id
    assert (_job(stored.events[0]), stored.events[0]["eventType"]) == ("dbt-run-jaffle_shop", "START")
    assert (_job(stored.events[-1]), stored.events[-1]["eventType"]) == ("dbt-run-jaffle_shop", "FAIL")
    assert {stored.events[0]["run"]["runId"], stored.events[-1]["run"]["runId"]} == {run_id}
    of_nodes = stored.events[1:-1]
    assert {event["run"]["facets"]["parent"]["run"]["runId"] for event in of_nodes} == {run_id}
    told: dict[str, list[str]] = {}
    for event in of_nodes:
        told.setdefault(event["run"]["runId"], []).append(event["eventType"])
    words = stored.statuses("model", "seed", "snapshot", "test", "unit_test").values()
    ended = Counter("FAIL" if word == "error" else "COMPLETE" for word in words if word != "skipped")
    assert Counter(types[-1] for types in told.values()) == ended
    assert {(len(types), types[0]) for types in told.values()} == {(2, "START")}


def test_our_events_have_the_jobs_and_datasets_of_openlineages_own(stored: StoredRun) -> None:
    theirs = {event["job"]: event for event in stored.read_by("openlineage_dbt", str(stored.project))}
    built = {job: event for job, event in theirs.items() if job.endswith((".build.run", ".build.snapshot"))}
    ours = {_job(event): event for event in stored.events if event["eventType"] != "START"}
    assert set(built) <= set(ours)
    ephemeral = ("int_order_lines", "int_order_payments")
    for job, event in built.items():
        assert (ours[job]["job"]["namespace"], ours[job]["eventType"]) == (event["namespace"], event["type"])
        assert _datasets(ours[job], "outputs") == {(namespace, name) for namespace, name in event["outputs"]}
        # An ephemeral model is nothing in the database: what it reads is read by those that use it.
        read = {(namespace, name) for namespace, name in event["inputs"] if _name(name) not in ephemeral}
        assert read <= _datasets(ours[job], "inputs")
        assert not any(_name(name) in ephemeral for _, name in _datasets(ours[job], "inputs"))
    facts = ours["jaffle_shop.dev_marts.jaffle_shop.fct_orders.build.run"]
    assert {_name(name) for _, name in _datasets(facts, "inputs")} == {
        "stg_orders", "stg_order_items", "stg_products", "stg_payments"
    }  # fmt: skip


def test_our_events_say_what_a_test_has_found_and_why_a_model_failed(stored: StoredRun) -> None:
    (broken,) = (event for event in stored.events if "broken" in _job(event) and event["eventType"] == "FAIL")
    assert "no_such_column" in broken["run"]["facets"]["errorMessage"]["message"]
    found = [
        (each["name"], assertion["column"], assertion["success"])
        for event in stored.events
        if _job(event).startswith("test.jaffle_shop.unique_dim_customers") and event["eventType"] == "COMPLETE"
        for each in event["inputs"]
        for assertion in each["inputFacets"]["dataQualityAssertions"]["assertions"]
    ]
    assert found == [("jaffle_shop.dev_marts.dim_customers", "customer_id", True)]


def test_recce_draws_the_lineage_of_all_that_the_run_has_built(stored: StoredRun) -> None:
    found = stored.read_by("recce_lineage")
    ours = {uid for uid, kind in found["nodes"].items() if kind in _RELATIONS}
    ephemeral = {f"model.jaffle_shop.{name}" for name in ("int_order_lines", "int_order_payments")}
    assert ours - ephemeral == set(stored.statuses(*_RELATIONS))
    assert _names(found["parents"]) == stored.parents()
    assert "segment" in found["columns"]["model.jaffle_shop.dim_customers"]
    assert "model.jaffle_shop.broken" not in found["columns"]


@pytest.mark.skipif(not DATAHUB.exists(), reason="DataHub is large, and not among what CI installs: make test-datahub")
def test_datahub_takes_the_datasets_with_their_lineage_and_the_outcomes_of_tests(
    stored: StoredRun, tmp_path: Path
) -> None:
    found = stored.read_by("datahub_source", str(tmp_path / "datahub.json"), venv=DATAHUB)
    assert _names(found["parents"]) == stored.parents()
    words = {"success": "SUCCESS", "pass": "SUCCESS", "error": "FAILURE"}
    built = {uid: word for uid, word in found["models"].items() if _type(uid) in _RELATIONS}  # hooks are told, too
    assert built == {uid: words[str(word)] for uid, word in stored.statuses(*_RELATIONS).items() if word in words}
    assert found["tests"] == {uid: words[str(word)] for uid, word in stored.statuses("test").items()}
