"""Every flag of dbt: its effect in our runs, or why it has none. test_flags.py compares this with dbt itself.

A flag comes by its variable (DBT_FAIL_FAST, or DBT_ENGINE_FAIL_FAST) from the environment of the run or of the worker,
and by its name from `flags:` of dbt_project.yml or `config:` of profiles.yml, if dbt reads it there; those of `INPUT`
come by the run's input and our command line, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dbt_temporal.domain.run.flags import FLAGS as INPUT_FLAGS

Group = Literal["effect", "parse", "behavior", "console", "worker", "unset", "none"]

MEANING: dict[Group, str] = {
    "effect": "as in dbt",
    "parse": "as in dbt, which parses by it; what is parsed is the same, or another part of the tests shows it",
    "behavior": "a behavior flag of `flags:`, as in dbt",
    "console": "none: it is about what dbt prints in a terminal or writes into dbt.log, and nobody sees these here",
    "worker": "none in a run: the worker has it",
    "unset": "none: a run's input has no such field, for the reason in [run-input.md](run-input.md#dbts-flags)",
    "none": "none",
}


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        group: of `MEANING`.
        value: one other than the default, as its variable is written; None where there is none to try.
        note: what is to be said beside.
        since: the first dbt-core that has it.
    """

    group: Group
    value: str | None = None
    note: str = ""
    since: str = "1.11"


INPUT = {
    **{name: name for name in INPUT_FLAGS},
    **{name: name for name in ("args", "compile", "connection", "empty_catalog", "inline", "limit", "macro")},
    **{name: name for name in ("output", "output_keys", "sql", "static")},
    "defer": "defer_manifest_ref",
    "defer_state": "defer_manifest_ref",
    "event_time_end": "event_time_end",
    "event_time_start": "event_time_start",
    "exclude": "exclude",
    "fail_fast": "fail_fast",
    "full_refresh": "full_refresh",
    "indirect_selection": "indirect_selection",
    "select": "select",
    "selector": "selector",
    "state": "state_manifest_ref",
    "target": "target",
    "vars": "vars",
}
"""Flags that a run's input has, by the field."""

FLAGS: dict[str, Flag] = {
    # What a run does.
    "args": Flag("effect", note="of `run-operation`"),
    "compile": Flag("effect", note="of `docs generate`"),
    "connection": Flag("effect", note="of `debug`"),
    "empty_catalog": Flag("effect", note="of `docs generate`"),
    "inline": Flag("effect", note="of `compile` and `show`"),
    "limit": Flag("effect", note="of `show`"),
    "macro": Flag("effect", note="of `run-operation`"),
    "output": Flag("effect", note="of `compile`, `show` and `list`"),
    "output_keys": Flag("effect", note="of `list`"),
    "sql": Flag("effect", note="of `run-operation`", since="1.12"),
    "static": Flag("effect", note="of `docs generate`"),
    "cache_selected_only": Flag("effect", "true"),
    "debug": Flag("effect", "true", "logs of nodes have all events"),
    "defer": Flag("effect", "true"),
    "defer_state": Flag("effect", "state"),
    "empty": Flag("effect", "true"),
    "event_time_end": Flag("effect", "2026-01-04"),
    "event_time_start": Flag("effect", "2026-01-02"),
    "exclude": Flag("effect"),
    "exclude_resource_types": Flag("effect", "snapshot"),
    "fail_fast": Flag("effect", "true"),
    "favor_state": Flag("effect", "true"),
    "full_refresh": Flag("effect", "true"),
    "indirect_selection": Flag("effect", "cautious"),
    "inject_ephemeral_ctes": Flag("effect", "false", "of `compile`"),
    "introspect": Flag("effect", "false"),
    "log_format_file": Flag("effect", "json", "of the logs of nodes"),
    "log_level_file": Flag("effect", "info", "of the logs of nodes; `none` leaves them empty"),
    "populate_cache": Flag("effect", "false"),
    "print": Flag("effect", "false", "`print()` goes into the run's log and into those of nodes"),
    "printer_width": Flag("effect", "110", "of lines in the logs of nodes"),
    "profile": Flag("effect"),
    "resource_types": Flag("effect", "model"),
    "sample": Flag("effect", '{"start": "2026-01-02", "end": "2026-01-03"}'),
    "select": Flag("effect"),
    "selector": Flag("effect"),
    "single_threaded": Flag(
        "effect", "true", "one node at once; dbt-core itself fails with it where it creates schemas"
    ),
    "sqlparse": Flag("effect", '{"MAX_GROUPING_TOKENS": 3}'),
    "state": Flag("effect", "state"),
    "store_failures": Flag("effect", "true"),
    "target": Flag("effect"),
    "target_path": Flag(
        "effect", "elsewhere", "in the paths that artifacts and messages name; nothing is written there"
    ),
    "threads": Flag("effect", "3"),
    "use_colors": Flag(
        "effect",
        "false",
        "in the messages of unit tests that fail; the run's log has none, and our command line shows none with "
        "`--no-use-colors`",
    ),
    "vars": Flag("effect"),
    "version_check": Flag("effect", "false"),
    "warn_error": Flag("effect", "true"),
    "warn_error_options": Flag("effect", '{"error": ["JinjaLogWarning"]}'),
    "write_json": Flag("effect", "false", "without it a run stores its log alone"),
    # How a project is parsed.
    "maximum_seed_size_mib": Flag("parse", "2", since="1.12"),
    "partial_parse": Flag("parse", "false", "each run parses anew"),
    "partial_parse_file_diff": Flag("parse", "false"),
    "partial_parse_file_path": Flag("parse", note="a file of an earlier parse, which must exist"),
    "static_parser": Flag("parse", "false"),
    "use_experimental_parser": Flag("parse", "true"),
    "use_fast_test_edges": Flag("parse", "true", "which nodes of `build` wait for which tests"),
    "use_v2_parser": Flag("parse", note="refused: [engines](engines.md) say why", since="1.12"),
    "v2_parser": Flag("parse", note="names the program of `use_v2_parser`", since="1.12"),
    # Behavior flags.
    "allow_jinja_file_extensions": Flag("behavior", "true", since="1.12"),
    "enable_grouped_warn_error_parser_logs": Flag("behavior", "true", since="1.12"),
    "latest_version_pointer_enabled_by_default": Flag("behavior", "true", since="1.12"),
    "require_all_warnings_handled_by_warn_error": Flag("behavior", "true"),
    "require_batched_execution_for_custom_microbatch_strategy": Flag("behavior", "true"),
    "require_corrected_analysis_fqns": Flag("behavior", "true", since="1.12"),
    "require_event_names_in_deprecations": Flag(
        "behavior", note="of the text of warnings; dbt itself never applies it"
    ),
    "require_explicit_package_overrides_for_builtin_materializations": Flag("behavior", "false"),
    "require_generic_test_arguments_property": Flag("behavior", "false"),
    "require_nested_cumulative_type_params": Flag("behavior", "true"),
    "require_ref_searches_node_package_before_root": Flag("behavior", "true"),
    "require_resource_names_without_spaces": Flag("behavior", "false"),
    "require_source_and_semantic_model_names_without_spaces": Flag("behavior", "true", since="1.12"),
    "require_sql_header_in_test_configs": Flag("behavior", "true", since="1.12"),
    "require_unique_project_resource_names": Flag("behavior", "true"),
    "require_valid_schema_from_generate_schema_name": Flag("behavior", "true", since="1.12"),
    "require_yaml_configuration_for_mf_time_spines": Flag("behavior", "true"),
    "skip_nodes_if_on_run_start_fails": Flag("behavior", "true"),
    "source_freshness_run_project_hooks": Flag("behavior", "false"),
    "state_modified_compare_more_unrendered_values": Flag("behavior", "true"),
    "state_modified_compare_vars": Flag("behavior", "true"),
    "support_custom_ref_kwargs": Flag("behavior", "true", since="1.12"),
    "use_catalogs_v2": Flag("behavior", "true", since="1.12"),
    "validate_macro_args": Flag("behavior", "true"),
    # Without effect, each for its reason.
    "hints_enabled": Flag("console", "false", since="1.12"),
    "log_cache_events": Flag("console", "true"),
    "log_file_max_bytes": Flag("console", "1000"),
    "log_format": Flag("console", "json", "`--log-format` of our command line"),
    "log_level": Flag("console", "warn", "`--log-level` of our command line"),
    "log_path": Flag("console", "logs-elsewhere", "logs go to the artifact store"),
    "macro_debugging": Flag("console", "true", "`debug()` stops in a terminal"),
    "quiet": Flag("console", "true", "`--quiet` of our command line prints failures, and what macros `print()`"),
    "show": Flag("unset", note="rows of seeds in a terminal"),
    "show_all_deprecations": Flag("unset"),
    "show_resource_report": Flag("console", "true"),
    "use_colors_file": Flag("console", "false", "logs of nodes have no colors"),
    "version": Flag("console"),
    "project_dir": Flag("worker", note="DBT_PROJECT_DIR of the worker, and `project` of a run"),
    "profiles_dir": Flag("worker", note="DBT_PROFILES_DIR of the worker"),
    "export_saved_queries": Flag("none", "true", "dbt-core itself does not read it"),
    "include_saved_query": Flag("none", "true", "dbt-core itself does not read it"),
    "send_anonymous_usage_stats": Flag("none", "false", "nothing is ever sent; the manifest says what was set"),
    "upload_to_artifacts_ingest_api": Flag(
        "none", "true", "dbt's command line uploads to dbt Cloud as it ends; here artifacts go to the artifact store"
    ),
    "config_dir": Flag("unset", note="`debug` opens a folder on a desktop"),
    "inline_direct": Flag("unset", note="spares `show` the parse, which a run has behind it; `inline`"),
    "models": Flag("unset", note="`select`"),
    "record_timing_info": Flag("unset", note="a profile of dbt's own process"),
}
