"""The dbt internals that the engine touches are where it expects them, and its replacements decide as dbt does.

These run in a process of their own, since importing the engine's side changes dbt's locks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.engine_driver import REPOSITORY, copy_project

pytestmark = pytest.mark.every_dbt_version

NAMES = {
    "dbt.mp_context": ["_MP_CONTEXT", "get_mp_context"],
    "dbt.cli.requires": ["setup_manifest", "_cross_propagate_engine_env_vars"],
    "dbt.cli.flags": ["Flags.from_dict"],
    "dbt.compilation": ["_generate_stats", "Linker.link_graph", "Linker.find_cycles", "Linker.add_test_edges_2"],
    "dbt.graph": ["Graph.get_subset_graph", "GraphQueue"],
    "dbt.task.runnable": [
        "GraphRunnableTask._runtime_initialize",
        "GraphRunnableTask._handle_thread_exception",
        "GraphRunnableTask.MARK_DEPENDENT_ERRORS_STATUSES",
        "GraphRunnableTask.call_runner",
        "GraphRunnableTask._handle_result",
        "GraphRunnableTask.raise_on_first_error",
        "GraphRunnableTask.get_runner",
        "GraphRunnableTask.before_run",
        "GraphRunnableTask.after_run",
    ],
    "dbt.task.run": [
        "RunTask.safe_run_hooks",
        "RunTask.get_hooks_by_type",
        "RunTask._submit_batch",
        "MicrobatchModelRunner.get_batches",
    ],
    "dbt.task.build": ["BuildTask.get_graph_queue", "BuildTask.build_model_to_unit_test_map"],
    "dbt.task.list": ["ListTask._iterate_selected_nodes", "ListTask.generate_selectors"],
    "dbt.task.retry": ["RETRYABLE_STATUSES"],
    "dbt.task.compile": ["CompileRunner.get_node_representation"],
    "dbt.task.test": ["TestRunner.describe_node_name"],
    "dbt.artifacts.schemas.run.v5.run": ["process_run_result"],
    "dbt.artifacts.schemas.freshness.v3.freshness": ["process_freshness_result"],
    "dbt.adapters.factory": ["FACTORY"],
    "dbt.adapters.reference_keys": ["_make_ref_key"],
    "dbt.adapters.duckdb.connections": ["DuckDBConnectionManager._ENV", "DuckDBConnectionManager._LOCK"],
    "dbt_common.clients.jinja": ["template_cache.get_node_template"],
    "dbt_common.invocation": ["_INVOCATION_ID", "_INVOCATION_STARTED_AT"],
    "dbt_common.context": [
        "_INVOCATION_CONTEXT_VAR",
        "try_get_invocation_context",
        "InvocationContext.uses_adapter",
    ],
    "dbt_common.dataclass_schema": ["dbtClassMixin.json_schema", "build_json_schema"],
    "dbt.contracts.graph.manifest": ["Manifest.build_group_map", "Manifest.build_parent_and_child_maps"],
    "dbt.events.types": ["NothingToDo"],
    "dbt_common.utils.executor": ["_thread_initializer"],
    "dbt.adapters.base.connections": ["BaseConnectionManager.open", "BaseConnectionManager.cancel_open"],
    "dbt.adapters.sql.connections": ["SQLConnectionManager.cancel"],
    "dbt_common.events.logger": ["_TextLogger.create_line"],
}

CHECK_NAMES = """
import importlib, sys
for module, names in {names!r}.items():
    for name in names:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
"""

COMPARE_GRAPHS = """
import networkx as nx, tempfile, itertools
from dbt_temporal.adapters.dbt_core.process.parsing import graph
from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt.compilation import Linker
from dbt.graph import Graph

folder = {folder!r}
settings = bootstrap.Settings(folder, folder, None, {{}}, tempfile.mkdtemp())
project = bootstrap.load(settings, lambda _: None, lambda _: None)
ours = graph.build_graphs(project.manifest, use_fast_test_edges=False)

theirs = Linker()
theirs.link_graph(project.manifest)
assert set(theirs.graph.edges) == set(ours.plain.graph.edges)
theirs.add_test_edges_1(project.manifest)
closure = nx.transitive_closure_dag
assert set(closure(theirs.graph).edges) == set(closure(ours.with_test_edges.graph).edges)

nodes = sorted(ours.with_test_edges.graph)
for step, offset in itertools.product((2, 3, 5), range(3)):
    wanted = set(nodes[offset::step])
    slow = Graph.get_subset_graph(ours.with_test_edges, wanted).graph
    fast = ours.with_test_edges.get_subset_graph(wanted).graph
    assert set(slow.nodes) == set(fast.nodes)
    assert set(slow.edges) == set(fast.edges), (step, offset)
"""


LATER_SCHEMAS = """
import tempfile
import dbt_common.dataclass_schema as dbts
from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.parsing.schemas import make_schemas

for _ in make_schemas():
    pass
make, later = dbts.build_json_schema, []
dbts.build_json_schema = lambda each: later.append(each.__name__) or make(each)
settings = bootstrap.Settings({folder!r}, {folder!r}, None, {{}}, tempfile.mkdtemp())
bootstrap.load(settings, lambda _: None, lambda _: None)
assert later == ["DuckDBCredentials"], later
"""

OTHER_ADAPTERS = """
import copy, threading
from contextlib import nullcontext
from types import SimpleNamespace
from dbt_temporal.adapters.dbt_core.process.database.connections import cancel_statement

class SqlManager:
    def __init__(self):
        self.thread_connections = {1: "mine", 2: "another's"}
        self.cancelled = []

    def cancel(self, connection):
        self.cancelled.append(connection)

class BigQueryLikeManager(SqlManager):
    cancel = property()

    def cancel_open(self):
        self.cancelled += self.thread_connections.values()

for manager in (SqlManager(), BigQueryLikeManager()):
    adapter = SimpleNamespace(type=lambda: "other", connections=manager, connection_named=lambda _: nullcontext())
    cancel_statement(adapter, "mine", None)
    assert manager.cancelled == ["mine"], manager.cancelled
    assert len(manager.thread_connections) == 2
"""


def run_python(script: str, **env: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **env},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


def test_every_internal_name_is_where_the_engine_expects_it() -> None:
    run_python(CHECK_NAMES.format(names=NAMES))


@pytest.mark.parametrize("source", ["examples/jaffle-shop", "tests/projects/with_failures"])
def test_the_graph_and_its_subsets_are_those_of_dbt(source: str, tmp_path: Path) -> None:
    location = copy_project(source, tmp_path / "project")
    run_python(COMPARE_GRAPHS.format(folder=str(location.project_dir)))


def test_a_parse_finds_all_schemas_made_but_those_of_its_adapter(tmp_path: Path) -> None:
    location = copy_project("examples/jaffle-shop", tmp_path / "project")
    run_python(LATER_SCHEMAS.format(folder=str(location.project_dir)))


def test_one_connection_alone_is_cancelled_by_what_its_adapter_has_for_that() -> None:
    run_python(OTHER_ADAPTERS)


def test_the_workers_side_does_not_import_dbt() -> None:
    run_python(
        "import sys, dbt_temporal.adapters.dbt_core.engine\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('dbt', 'dbt_common', 'networkx')]"
    )
