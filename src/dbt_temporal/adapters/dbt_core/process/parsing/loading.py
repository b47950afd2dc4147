"""A project parent's work: parse into a private folder, and keep the partial-parse file for the next parent.

Checked on dbt-core 1.11.16 and 1.12.0: `Manifest.writable_manifest` makes the maps that `group_lookup` and the compiler
read.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
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
from dbt_temporal.adapters.dbt_core.process.events import is_message
from dbt_temporal.adapters.dbt_core.process.parsing.flag_reads import watched_flags
from dbt_temporal.adapters.dbt_core.process.parsing.graph import ProjectGraphs, build_graphs
from dbt_temporal.adapters.dbt_core.process.parsing.kept_parse import KeptParse
from dbt_temporal.adapters.dbt_core.process.parsing.observation import Observation
from dbt_temporal.adapters.dbt_core.process.parsing.packages import provide_packages
from dbt_temporal.adapters.dbt_core.process.parsing.shared_parse import Ask, SharedParse
from dbt_temporal.adapters.project_files import PROFILES_FILE, PROJECT_FILE
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

_OF_THE_RUN = re.compile(rb"\b(run_started_at|invocation_id|modules\W+datetime)\b")
"""By these names Jinja comes to what is another in each run."""
_FROM_NOTHING = frozenset({"UnableToPartialParse", "ParsedFileLoadFailed", "PartialParsingNotEnabled"})
"""Events of dbt's that say that it begins with nothing."""
MAX_MESSAGES = 200
"""Of a parse so many are kept; a run's log has room for fewer."""
OFFERED = "offered_parse"
"""The file beside dbt's own that is for other workers."""


@dataclass(frozen=True)
class LoadedParent:
    project: bootstrap.ParsedProject
    graphs: ProjectGraphs
    watched: dict[str, str]
    asked_others: bool
    flags: set[str]
    parsed: str
    shared: dict[str, Any] | None
    said: list[EventMsg]
    """What dbt warns of in the files, of which each run is to hear."""

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
            "parsed": self.parsed,
            "shared": self._offered(),
            "partial_parse": OFFERED,
        }

    def _offered(self) -> dict[str, Any] | None:
        """What says for whom else this parse is good; None where it is good for nobody."""
        return None if self.asked_others or _is_for_one_run(self.project) else self.shared


def load_project(message: wire.Message, ask_for_parse: Ask | None = None) -> LoadedParent:
    """Carries out the order of the worker; `ask_for_parse` asks it for the parse of another worker."""
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
    observation, parsing = Observation(), _Parsing()
    shared = SharedParse(message, ask_for_parse)

    def find_parse(target: Mapping[str, Any]) -> None:
        with observation.switched(False):  # dbt itself looks at all of it afterwards
            kept.fetch(target, shared.fetch)
        noting.enter_context(shared.watched())

    def with_packages(loaded: Project) -> None:
        with observation.switched(False):  # they follow from packages.yml
            provide_packages(loaded, settings, how)

    with contextlib.ExitStack() as noting, observation.switched(True), watched_flags() as flags:
        project = bootstrap.load(settings, parsing.hear, with_packages, find_parse, run)
    observation.add_records(project.manifest)
    # The command line does this by writing the manifest after each parse; a partial parse brings the maps as they were.
    project.manifest.build_parent_and_child_maps()
    project.manifest.build_group_map()
    use_fast = bool(getattr(project.config.args, "USE_FAST_TEST_EDGES", False))
    graphs = build_graphs(project.manifest, use_fast_test_edges=use_fast)
    header = shared.header(flags) if parsing.whole else None
    if header is not None:
        shutil.copyfile(used, used.with_name(OFFERED))
    kept.keep({*flags, *shared.flags})
    watched = observation.beyond_revision(settings.project_dir, message["covered"], message["cache_dir"])
    return LoadedParent(
        project,
        graphs,
        watched,
        observation.asked_others,
        kept.flags,
        parsing.in_words(shared.taken),
        header,
        parsing.messages,
    )


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


class _Parsing:
    """How much was parsed, by what dbt says of it. What else matters of its events comes as an exception."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self.messages: list[EventMsg] = []

    def hear(self, event: EventMsg) -> None:
        self._said.add(event.info.name)
        # What Jinja logs as a file is parsed, dbt does not say again where that file is not parsed again.
        repeated = event.info.level == "warn" and not event.info.name.startswith("Jinja")
        if len(self.messages) < MAX_MESSAGES and repeated and is_message(event):
            self.messages.append(event)

    @property
    def whole(self) -> bool:
        return not _FROM_NOTHING.isdisjoint(self._said)

    def in_words(self, taken: bool) -> str:
        if self.whole:
            return "parsed as a whole"
        since = "the parse of another worker" if taken else "the last parse"
        unchanged = "PartialParsingSkipParsing" in self._said
        return f"not parsed, as nothing changed since {since}" if unchanged else f"parsed what changed since {since}"
