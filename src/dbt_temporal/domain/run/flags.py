"""dbt's flags that a run's input has under their own names, each declared once: type, commands, and how dbt spells it.

Checked against dbt's own command line by tests/integration/flags/test_input_flags.py. Fields with a meaning beyond a
flag's (selection, vars, references) stand in `input.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Count = Annotated[int, Field(ge=1)]
FileLogLevel = Literal["debug", "info", "warn", "error", "none"]
FileLogFormat = Literal["text", "debug", "json", "default"]


@dataclass(frozen=True)
class Flag:
    """What is to be said of a flag beside its type.

    Attributes:
        commands: which have it, by the contract's names; none means all.
        has_no: whether dbt has `--no-<flag>` too.
        hidden: whether dbt's own `--help` does not show it.
        parsed: whether dbt parses by it: runs with other values need a parse of their own.
        default: dbt's own, of a switch.
    """

    commands: frozenset[str] = frozenset()
    has_no: bool = True
    hidden: bool = False
    parsed: bool = False
    default: bool = False


def _of(*commands: str, **facts: Any) -> Flag:
    return Flag(frozenset(commands), **facts)


_TYPED = _of("build", "list", "clone", "test")
_COMPILING = ("build", "docs-generate", "compile", "show", "run", "seed", "snapshot", "source-freshness", "test")


class DbtFlags(BaseModel):
    """A field for each flag; one that is None is dbt's to resolve: environment, `flags:` of the project, default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_serializer(mode="wrap")
    def _as_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the many that are None: others read inputs, too, and the first contract has none of them."""
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if value is not None or name not in FLAGS}

    # Which nodes, and how much of them.
    resource_types: Annotated[list[str] | None, _TYPED] = None
    exclude_resource_types: Annotated[list[str] | None, _TYPED] = None
    empty: Annotated[bool | None, _of("build", "compile", "run", "seed", "snapshot")] = None
    sample: Annotated[str | dict[str, str] | None, _of("build", "run")] = None
    store_failures: Annotated[bool | None, _of("build", "test", has_no=False, parsed=True)] = None
    favor_state: Annotated[bool | None, Flag()] = None
    export_saved_queries: Annotated[bool | None, _of("build", hidden=True)] = None
    include_saved_query: Annotated[bool | None, _of("build", hidden=True)] = None
    # How they are run.
    threads: Annotated[Count | None, _of(*_COMPILING, "clone", "parse", "run-operation", "retry")] = None
    single_threaded: Annotated[bool | None, Flag(hidden=True)] = None
    cache_selected_only: Annotated[bool | None, Flag()] = None
    populate_cache: Annotated[bool | None, Flag(default=True)] = None
    introspect: Annotated[bool | None, _of("compile", "show", default=True)] = None
    inject_ephemeral_ctes: Annotated[bool | None, _of("compile", hidden=True, default=True)] = None
    sqlparse: Annotated[dict[str, int | None] | None, _of(*_COMPILING, hidden=True)] = None
    warn_error: Annotated[bool | None, Flag(has_no=False, parsed=True)] = None
    warn_error_options: Annotated[dict[str, str | list[str]] | None, Flag(parsed=True)] = None
    # How the project is parsed.
    partial_parse: Annotated[bool | None, Flag(parsed=True, default=True)] = None
    partial_parse_file_diff: Annotated[bool | None, Flag(hidden=True, parsed=True, default=True)] = None
    static_parser: Annotated[bool | None, Flag(parsed=True, default=True)] = None
    use_experimental_parser: Annotated[bool | None, Flag(parsed=True)] = None
    use_fast_test_edges: Annotated[bool | None, Flag(hidden=True, parsed=True)] = None
    version_check: Annotated[bool | None, Flag(parsed=True, default=True)] = None
    maximum_seed_size_mib: Annotated[Count | None, Flag(parsed=True)] = None
    # What is written.
    write_json: Annotated[bool | None, Flag(default=True)] = None
    debug: Annotated[bool | None, Flag()] = None
    log_level_file: Annotated[FileLogLevel | None, Flag()] = None
    log_format_file: Annotated[FileLogFormat | None, Flag()] = None
    print: Annotated[bool | None, Flag(default=True)] = None
    printer_width: Annotated[Count | None, Flag()] = None
    use_colors: Annotated[bool | None, Flag(default=True)] = None


FLAGS: Mapping[str, Flag] = {
    name: next(each for each in field.metadata if isinstance(each, Flag))
    for name, field in DbtFlags.model_fields.items()
}
"""By the name of the field, which is dbt's."""

_TERMINAL = "it is about what dbt prints in its own terminal or dbt.log"
_WORKERS_PLACE = "the worker has it"

REFUSED: Mapping[str, str] = {
    "project_dir": "the worker knows its projects (DBT_PROJECT_DIRS); choose one of them with `project`",
    "profiles_dir": f"{_WORKERS_PLACE} (DBT_PROFILES_DIR)",
    "profile": f"{_WORKERS_PLACE} in DBT_PROFILES_DIR; DBT_PROFILE in `env` chooses another profile",
    "target_path": "artifacts go to the worker's ARTIFACT_STORE; DBT_TARGET_PATH in `env` changes the paths in them",
    "log_path": "the log goes to the worker's ARTIFACT_STORE",
    "partial_parse_file_path": "the worker keeps these files; DBT_PARTIAL_PARSE_FILE_PATH in `env` names one",
    "use_v2_parser": "dbt's v2 parser leaves hooks out, and does not tell what it reads (docs/engines.md)",
    "v2_parser": "it names the program of `use_v2_parser`",
    "quiet": f"{_TERMINAL}; DBT_TEMPORAL_LOG_LEVEL of the worker is about ours",
    "log_level": f"{_TERMINAL}; `log_level_file` is about the logs of nodes",
    "log_format": f"{_TERMINAL}; `log_format_file` is about the logs of nodes",
    "use_colors_file": "the logs of nodes have no colors",
    "log_cache_events": _TERMINAL,
    "log_file_max_bytes": _TERMINAL,
    "hints_enabled": _TERMINAL,
    "macro_debugging": "`debug()` stops in a terminal, and a worker has none",
    "show_all_deprecations": _TERMINAL,
    "show": "it prints rows of seeds in a terminal; the command `show` has those of any node in its output",
    "config_dir": "it opens a folder on a desktop",
    "inline_direct": "a run has parsed the project already; use `inline`",
    "record_timing_info": "it profiles dbt's own process; the run's timing is in its results and traces",
    "send_anonymous_usage_stats": "nothing is ever sent",
    "upload_to_artifacts_ingest_api": "dbt's command line uploads to dbt Cloud as it ends; artifacts go to the store",
}
"""dbt's flags that no field stands for: why, and where their effect is to be had if anywhere."""
