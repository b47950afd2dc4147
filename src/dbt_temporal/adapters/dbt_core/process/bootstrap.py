"""Setting dbt up as its command line does: environment, flags, invocation, profile, project, manifest, adapter.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0:
- `dbt.cli.requires.setup_manifest` (parses, or wires an adapter to a manifest that is there already),
  `_cross_propagate_engine_env_vars`, `validate_engine_env_vars`;
- `dbt_common.invocation._INVOCATION_ID` and `_INVOCATION_STARTED_AT`, which have no setter;
- `dbt.adapters.factory.FACTORY.adapters`; `dbt_common.context._INVOCATION_CONTEXT_VAR`;
- `RuntimeConfig.target_path`, by which compiled files stay out of the project.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import click
import dbt.flags
import dbt.tracking
import dbt_common.context
import dbt_common.invocation
import yaml
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.factory import FACTORY, get_adapter
from dbt.cli import requires
from dbt.cli.exceptions import DbtUsageException
from dbt.cli.flags import FLAGS_DEFAULTS, Flags, command_args
from dbt.cli.types import Command
from dbt.config.catalogs import load_catalogs
from dbt.config.runtime import RuntimeConfig, load_profile, load_project
from dbt.contracts.graph.manifest import Manifest
from dbt.plugins import set_up_plugin_manager
from dbt_common.context import get_invocation_context
from dbt_common.dataclass_schema import ValidationError
from dbt_common.events.base_types import EventMsg
from dbt_common.events.event_manager_client import cleanup_event_logger, get_event_manager
from dbt_common.events.functions import reset_metadata_vars

from dbt_temporal.adapters.dbt_core.process.command_line import command_line, flag_params
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

EventCallback = Callable[[EventMsg], None]


@dataclass(frozen=True)
class Settings:
    """What a project parent parses: see `parse_key.ParseSettings`; `target_path` takes what dbt writes."""

    project_dir: str
    profiles_dir: str
    target: str | None
    vars: Mapping[str, Any]
    target_path: str


@dataclass(frozen=True)
class ParsedProject:
    """A parsed project, as hosts inherit it. `own_target_path` is what its own configuration names."""

    settings: Settings
    config: RuntimeConfig
    manifest: Manifest
    catalogs: list[Any]
    own_target_path: str
    load_seconds: float

    @property
    def name(self) -> str:
        return str(self.config.project_name)


def set_environment(environ: Mapping[str, str]) -> None:
    """Makes `environ` this process's whole environment."""
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()


def make_flags(
    command: str, settings: Settings, given: Mapping[str, Any], taken_over: Mapping[str, Any] | None = None
) -> Flags:
    """The flags that the command line makes of the same options; DBT_* variables count as there.

    Args:
        command: as the run's input names it.
        settings: what is parsed.
        given: further options by their names with underscores; those that are None are left out.
        taken_over: those of a retried run, as dbt's retry takes them: where they are dbt's default, others may win.

    Raises:
        DbtTemporalError: of type Configuration, in dbt's words, where it does not take an option; and where it would
            have another program parse.
    """
    given = {name: value for name, value in given.items() if value is not None}
    options: dict[str, Any] = {
        "project_dir": settings.project_dir,
        "profiles_dir": settings.profiles_dir,
        "target": settings.target,
        # dbt reads them as YAML, to which JSON's 1e16 is a text.
        "vars": yaml.safe_dump(dict(settings.vars), allow_unicode=True) if settings.vars else None,
        **(taken_over or {}),
        **given,
    }
    options = {key: value for key, value in options.items() if value is not None}
    dbt_command = Command(COMMANDS[command].which)
    for name in (COMMANDS[command].fields | FLAGS.keys()) & given.keys() - set(command_args(dbt_command)):
        words = COMMANDS[command].words  # dbt would drop it
        raise configuration_error(f"{name}: `dbt {words}` has no such option in dbt-core {version('dbt-core')}")
    unsaid = {name for name, flag in FLAGS.items() if not flag.has_no and given.get(name) is False}
    try:
        flags = Flags.from_dict(dbt_command, {key: value for key, value in options.items() if key not in unsaid})
    except (click.UsageError, ValidationError, DbtUsageException) as error:
        said = error.format_message() if isinstance(error, click.UsageError) else str(error)
        raise configuration_error(f"`dbt {COMMANDS[command].words}`: {said}") from error
    for name, value in given.items():
        # dbt drops options that have its default (`dbt.cli.flags.command_params`): `flags:` would win over the run.
        if name in unsaid or (name.upper() in FLAGS_DEFAULTS and FLAGS_DEFAULTS[name.upper()] == value):
            set_flag(flags, name, value)
    if getattr(flags, "USE_V2_PARSER", False):
        # dbt-core 1.12.0 with 2.0.0a4 of the parser: a green run without on-run-start.
        raise configuration_error(
            "use_v2_parser (`flags` of dbt_project.yml, or DBT_ENGINE_USE_V2_PARSER) is not supported: with it dbt "
            "leaves out on-run-start and on-run-end, and does not tell which variables parsing reads, so that runs "
            "could not share a parse. Take it out, or run the project on dbt v2: `engine: v2` in dbt_temporal.yml"
        )
    return flags


def set_flag(flags: Flags, name: str, value: Any) -> None:
    """Gives a flag that the command has another value, under both of the names that dbt reads it by."""
    for attribute in (name, name.upper()):
        if hasattr(flags, attribute):
            object.__setattr__(flags, attribute, value)


def begin_invocation(flags: Flags, invocation_id: str, started_at: datetime, callback: EventCallback) -> None:
    """Sets dbt's process-wide state for one invocation, as `dbt.cli.requires.preflight` does."""
    set_invocation_context()
    reset_metadata_vars()  # DBT_ENV_CUSTOM_ENV_..., which dbt reads once in a process
    dbt.flags.set_flags(flags)
    manager = get_event_manager()
    cleanup_event_logger()
    manager.callbacks = [callback]
    manager.require_warn_or_error_handling = flags.require_all_warnings_handled_by_warn_error
    manager.allow_deferral = getattr(flags, "enable_grouped_warn_error_parser_logs", False)
    dbt_common.invocation._INVOCATION_ID = invocation_id
    dbt_common.invocation._INVOCATION_STARTED_AT = started_at.astimezone(UTC).replace(tzinfo=None)
    # Without a user every model ends in "cannot track model run"; this one is never sent anywhere.
    dbt.tracking.do_not_track()
    user = dbt.tracking.active_user
    assert user is not None
    user.run_started_at = started_at
    requires.validate_engine_env_vars()


def set_invocation_context() -> None:
    """Gives the calling thread dbt's view of the environment. Every thread needs it."""
    env = dict(os.environ)
    requires._cross_propagate_engine_env_vars(env)
    dbt_common.context.set_invocation_context(env)


def share_invocation_context(context: Any) -> None:
    dbt_common.context._INVOCATION_CONTEXT_VAR.set(context)


def load(
    settings: Settings,
    callback: EventCallback,
    provide_packages: Callable[[Any], None],
    provide_parse: Callable[[Mapping[str, Any]], None] = lambda _: None,
    run: DbtInvocation | None = None,
) -> ParsedProject:
    """Loads profile and project and parses, reusing the partial-parse file below `settings.target_path`.

    `provide_packages` takes the loaded project, and sees to it that its packages are installed. `provide_parse` takes
    what Jinja sees as `target`, with the database and the schema of the profile, and may put a partial-parse file below
    the target path. `run` is the run that this is done for, if there is one: what is parsed sees its flags.
    """
    started = time.perf_counter()
    run = run or DbtInvocation(
        invocation_id=dbt_common.invocation.get_invocation_id(),
        project="",
        started_at=datetime.now(UTC).isoformat(),
        input=DbtRunInput(),
    )
    sys.argv = command_line(run)
    flags = make_flags(run.input.command, settings, flag_params(run.input))
    begin_invocation(flags, run.invocation_id, datetime.fromisoformat(run.started_at), callback)
    profile = load_profile(settings.project_dir, flags.VARS, flags.PROFILE, flags.TARGET)
    get_invocation_context().uses_adapter(profile.credentials.type)  # dbt checks the files' schemas for some alone
    # By no method of its own, which may take note. An adapter need not name the two among what Jinja sees.
    target = dict(dict.items(profile.to_target_dict()))
    places = {"of_credentials": [profile.credentials.database, profile.credentials.schema]}
    provide_parse({**target, **places})
    profile.threads = getattr(flags, "THREADS", None) or profile.threads
    project = load_project(settings.project_dir, flags.VERSION_CHECK, profile, flags.VARS, validate=True)
    provide_packages(project)
    set_up_plugin_manager(project_name=project.project_name)
    config = RuntimeConfig.from_parts(project, profile, flags)
    own_target_path = config.target_path
    config.target_path = settings.target_path
    parsed = _wire(flags, profile, project, config, None)
    return ParsedProject(
        settings=settings,
        config=config,
        manifest=parsed["manifest"],
        catalogs=parsed.get("catalogs") or [],
        own_target_path=own_target_path,
        load_seconds=time.perf_counter() - started,
    )


def for_run(project: ParsedProject, flags: Flags, target_path: str) -> tuple[ParsedProject, BaseAdapter]:
    """The project with the flags and threads of one run, and a fresh adapter for it."""
    config = copy.copy(project.config)
    config.args = flags
    config.threads = getattr(flags, "THREADS", None) or config.threads
    config.target_path = target_path
    get_invocation_context().uses_adapter(config.credentials.type)
    FACTORY.adapters.clear()
    _wire(flags, config, config, config, project.manifest)
    return replace(project, config=config), get_adapter(config)


def _wire(flags: Flags, profile: Any, project: Any, config: RuntimeConfig, manifest: Manifest | None) -> dict[str, Any]:
    # setup_manifest reads nothing of click's context but `obj`.
    parts: dict[str, Any] = {"flags": flags, "profile": profile, "project": project, "runtime_config": config}
    if not getattr(flags, "USE_CATALOGS_V2", False):
        parts["catalogs"] = load_catalogs(flags.PROJECT_DIR, config.project_name, flags.VARS)
    if manifest is not None:
        parts["manifest"] = manifest
    requires.setup_manifest(SimpleNamespace(obj=parts), write=False, write_perf_info=False)
    return parts
