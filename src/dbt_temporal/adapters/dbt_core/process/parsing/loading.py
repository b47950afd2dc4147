"""A project parent's work: parse into a private folder, and keep the partial-parse file for the next parent.

Checked on dbt-core 1.11.16 and 1.12.0: `Manifest.writable_manifest` makes the maps that `group_lookup` and the compiler
read.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbt.compilation import _generate_stats
from dbt.config import Project
from dbt.constants import PARTIAL_PARSE_FILE_NAME
from dbt_common.clients.jinja import template_cache
from dbt_common.events.base_types import EventMsg

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.parsing.flag_reads import watched_flags
from dbt_temporal.adapters.dbt_core.process.parsing.graph import ProjectGraphs, build_graphs
from dbt_temporal.adapters.dbt_core.process.parsing.kept_parse import KeptParse
from dbt_temporal.adapters.dbt_core.process.parsing.observation import Observation
from dbt_temporal.adapters.dbt_core.process.parsing.packages import provide_packages
from dbt_temporal.adapters.project_files import PROFILES_FILE, PROJECT_FILE
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

_OF_THE_RUN = re.compile(rb"\b(run_started_at|invocation_id|modules\W+datetime)\b")
"""By these names Jinja comes to what is another in each run."""


@dataclass(frozen=True)
class LoadedParent:
    project: bootstrap.ParsedProject
    graphs: ProjectGraphs
    watched: dict[str, str]
    asked_others: bool
    flags: set[str]

    def facts(self) -> dict[str, Any]:
        config = self.project.config
        return {
            "name": self.project.name,
            "adapter_type": config.credentials.type,
            "target": config.target_name,
            "threads": config.threads,
            "dbt_version": version("dbt-core"),
            "counts": counts(self.project.manifest),
            "load_seconds": self.project.load_seconds,
            "watched": self.watched,
            "asked_others": self.asked_others,
            "flags": sorted(self.flags),
            "for_one_run": _is_for_one_run(self.project),
        }


def load_project(message: wire.Message) -> LoadedParent:
    bootstrap.set_environment(message["environ"])
    settings = bootstrap.Settings(
        project_dir=message["project_dir"],
        profiles_dir=message["profiles_dir"],
        target=message["target"],
        vars=message["vars"],
        target_path=message["target_path"],
    )
    # Relative paths in profiles.yml (a DuckDB file) mean the project's folder, where people run dbt.
    os.chdir(settings.project_dir)
    used = Path(settings.target_path) / PARTIAL_PARSE_FILE_NAME
    run = DbtInvocation.model_validate(message["run"]) if message["run"] else None
    kept = KeptParse(Path(message["partial_parse"]), used, run.input if run else DbtRunInput())
    how = message["packages"]
    observation = Observation()

    def with_packages(loaded: Project) -> None:
        with observation.switched(False):  # they follow from packages.yml
            provide_packages(loaded, settings, how)

    with observation.switched(True), watched_flags() as flags:
        project = bootstrap.load(settings, _ignore_event, with_packages, kept.fetch, run)
    observation.add_records(project.manifest)
    # The command line does this by writing the manifest after each parse; a partial parse brings the maps as they were.
    project.manifest.build_parent_and_child_maps()
    project.manifest.build_group_map()
    use_fast = bool(getattr(project.config.args, "USE_FAST_TEST_EDGES", False))
    graphs = build_graphs(project.manifest, use_fast_test_edges=use_fast)
    kept.keep(flags)
    watched = observation.beyond_revision(settings.project_dir, message["covered"], message["cache_dir"])
    return LoadedParent(project, graphs, watched, observation.asked_others, kept.flags)


def _is_for_one_run(project: bootstrap.ParsedProject) -> bool:
    """Whether the command line would not find the same again: partial parsing is off, or settings are the run's."""
    if not getattr(project.config.args, "PARTIAL_PARSE", True):
        return True
    roots = [used.project_root for used in project.config.load_dependencies().values()]
    files = [Path(project.settings.profiles_dir) / PROFILES_FILE, *(Path(root) / PROJECT_FILE for root in roots)]
    return any(_OF_THE_RUN.search(file.read_bytes()) for file in files if file.is_file())


def compile_macros(loaded: LoadedParent) -> Iterator[None]:
    """Compiles the project's macros, one a step, into dbt's own cache of templates.

    dbt compiles a macro when it is first used; a host that inherits them spares that in every run (jaffle-shop uses a
    third of its 520, at 2 ms each). Checked on dbt-common 1.39: `dbt_common.clients.jinja.template_cache`.
    """
    for macro in list(loaded.project.manifest.macros.values()):
        # A macro that does not compile is its user's error, told when it is used.
        with contextlib.suppress(Exception):
            template_cache.get_node_template(macro)
        yield


def counts(manifest: Any) -> dict[str, int]:
    """How many of each resource type there are, in the order and by the rule of dbt's "Found ..." line."""
    return {str(kind): number for kind, number in _generate_stats(manifest).items() if number}


def _ignore_event(_: EventMsg) -> None:
    """dbt's events of parsing; what matters of them comes as an exception."""
