"""The command line: `dbt-temporal`. Commands only gather their values; the work is elsewhere, imported when needed."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any, NoReturn

import click

from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.entrypoints.cli.commands import DBT_COMMANDS, CliCommand
from dbt_temporal.entrypoints.cli.comparison.command import compare_engines
from dbt_temporal.entrypoints.cli.flags import run_input_of, with_flags
from dbt_temporal.entrypoints.cli.input_flags import Decorator
from dbt_temporal.entrypoints.cli.operators.commands import OPERATOR_COMMANDS, docs_serve
from dbt_temporal.entrypoints.cli.reading.completion import completion
from dbt_temporal.entrypoints.cli.reading.shells import COMPLETE_VARIABLE, answer_shells
from dbt_temporal.entrypoints.cli.reading.words import DbtCommand, DbtGroup
from dbt_temporal.entrypoints.cli.running import consoles, run_program
from dbt_temporal.entrypoints.cli.schedules.commands import schedule
from dbt_temporal.entrypoints.cli.versions import version_text
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN


def _show_version(ctx: click.Context, _parameter: click.Parameter, flag: bool) -> None:
    if flag and not ctx.resilient_parsing:
        click.echo(version_text())
        ctx.exit()


@click.group(cls=DbtGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "-v", "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show our version, and those of dbt-core, its adapters and Temporal's SDK.",
)  # fmt: skip
def cli() -> None:
    """Run dbt projects as durable Temporal workflows.

    `dev` starts all that is needed on this machine; `worker` serves projects to a Temporal server; the commands named
    as dbt's own submit a run to such workers, show its progress and end with dbt's exit codes.
    """


@cli.command()
def worker() -> None:
    """Serve projects: run the dbt_run workflows of a task queue. Configured by environment variables."""
    from dbt_temporal.entrypoints.worker.head_start import taken

    with taken() as start:
        from dbt_temporal.entrypoints.worker.main import main as run_worker

        exit_code = run_program(lambda: run_worker(template=start.template), start.runner.run)
    sys.exit(exit_code)


@cli.command()
def healthcheck() -> None:
    """Exit with 0 if the worker's health file was touched lately, with 1 if not."""
    from dbt_temporal.entrypoints.worker.main import healthcheck as check

    sys.exit(check(os.environ))


_DEPS_FLAGS: list[Decorator] = [
    click.option("--project", metavar="NAME", help="The project; by default all that a worker would serve."),
    click.option("--upgrade", is_flag=True, help="Take the newest versions that packages.yml allows."),
    click.option("--lock", is_flag=True, help="Write the lock file, and install nothing."),
    click.option("--add-package", metavar="PACKAGE", help="Add one to packages.yml: dbt-labs/dbt_utils@1.3.0."),
    click.option("--source", type=click.Choice(["hub", "git", "local"]), help="Where --add-package finds it."),
    click.option("--vars", "vars_", metavar="YAML", help="Project variables, as a YAML mapping."),
    click.option("-t", "--target", metavar="NAME", help="The target of the profile."),
]


@cli.command()
@with_flags(_DEPS_FLAGS)
def deps(project: str | None, vars_: str | None, **flags: Any) -> None:
    """Run `dbt deps` in the projects of this machine that a worker with this environment would serve.

    Workers install missing packages by themselves (DBT_DEPS); this is for images and for lock files.
    """
    from dbt_temporal.entrypoints.deps import install_packages

    words = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is True]
    for name, value in {**flags, "vars": vars_}.items():
        words += [f"--{name.replace('_', '-')}", value] if isinstance(value, str) else []
    one_alone = flags["add_package"] is not None
    sys.exit(run_program(lambda: install_packages(os.environ, project, words, one_alone=one_alone)))


_DEV_FLAGS: list[Decorator] = [
    click.option(
        "--project-dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The project; else what DBT_PROJECT_DIRS and its like say, else the current folder.",
    ),
    click.option(
        "--profiles-dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The folder of profiles.yml; else DBT_PROFILES_DIR, else the project.",
    ),
    click.option(
        "--port", type=click.IntRange(1, 65535), help="The server's port [default: 7233, or a free one if taken]."
    ),
    click.option(
        "--ui-port", type=click.IntRange(1, 65535), help="The UI's port [default: 8233, or a free one if taken]."
    ),
    click.option(
        "--db-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Keep the server's state in this file; else it ends with the server.",
    ),
    click.option("--run", "command", metavar="COMMAND", help='Do this and end, e.g. --run "build --select orders".'),
    click.option("--keep", is_flag=True, help="After --run, stay until Ctrl-C, so that the UI can be looked at."),
]


@cli.command()
@with_flags(_DEV_FLAGS)
def dev(**flags: Any) -> None:
    """Start a Temporal server with its UI and a worker; every run uses the project's files as they are then.

    Uses the server that TEMPORAL_ADDRESS names instead of starting one, if it is set. Ctrl-C ends everything.
    """
    from dbt_temporal.entrypoints.dev.environment import DevOptions
    from dbt_temporal.entrypoints.dev.session import run_dev

    if flags["command"] is not None:
        _check_command_to_run(flags["command"])
    elif flags["keep"]:
        raise click.UsageError("--keep has no effect without --run.")
    sys.exit(run_program(lambda: run_dev(DevOptions(**flags), os.environ)))


def _check_command_to_run(command: str) -> None:
    allowed = sorted(
        set(cli.commands)
        - {"deps", "dev", "worker", "healthcheck", compare_engines.name, completion.name, schedule.name}
        - {each.name for each in OPERATOR_COMMANDS}
    )
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.BadParameter(f"{command!r}: {error}", param_hint="'--run'") from error
    if not words or words[0] not in allowed:
        message = f"{command!r} does not begin with a command; allowed are {', '.join(allowed)}"
        raise click.BadParameter(message, param_hint="'--run'")


@cli.command("codec-key")
@click.option("--id", "key_id", metavar="ID", help="The key's id [default: key- and the date].")
def codec_key(key_id: str | None) -> None:
    """Make a key that encrypts payloads, and print it as an entry of TEMPORAL_CODEC_KEYS."""
    from dbt_temporal.entrypoints.codec import print_new_key

    sys.exit(run_program(lambda: print_new_key(key_id)))


_CODEC_SERVER_FLAGS: list[Decorator] = [
    click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
    click.option(
        "--port", type=click.IntRange(0, 65535), default=8081, show_default=True, help="The port; 0 takes a free one."
    ),
    click.option(
        "--cors-origin", multiple=True, metavar="ORIGIN",
        help="Where Temporal's UI is served, e.g. http://localhost:8233. Repeatable.",
    ),
    click.option("--allow-anonymous", is_flag=True, help="Let others than this machine call without a token."),
]  # fmt: skip


@cli.command("codec-server")
@with_flags(_CODEC_SERVER_FLAGS)
def codec_server(**flags: Any) -> None:
    """Make payloads readable for Temporal's UI and CLI: decrypt them, with the keys of TEMPORAL_CODEC_KEYS, and
    decompress them.

    Callers must show the token of DBT_TEMPORAL_CODEC_SERVER_TOKEN, if it is set. Ctrl-C ends the server.
    """
    from dbt_temporal.entrypoints.codec import run_codec_server

    sys.exit(run_program(lambda: run_codec_server(os.environ, **flags)))


def _submit(command: str, flags: dict[str, Any]) -> None:
    """Submits one run, by the flags of its command, and exits with its code."""
    run_input = run_input_of(command, flags)
    from dbt_temporal.adapters.temporal.workflow_ids import new_workflow_id
    from dbt_temporal.entrypoints.cli.events.event import Showing
    from dbt_temporal.entrypoints.cli.submit import Submission, find_target, server_variables, submit

    async def run() -> int:
        target = find_target(os.environ, server_variables(flags))
        workflow_id = flags["workflow_id"] or new_workflow_id(run_input, target.project)
        retried = None if run_input.retry_from else flags.get("earlier_run")
        wait, patience = not flags["no_wait"], flags["wait_for_worker"]
        submission = Submission(run_input, workflow_id, wait, patience, retried, Showing.of(flags))
        out, err = consoles(flags)
        if run_input.command == "retry":
            from dbt_temporal.entrypoints.cli.operators.retried import takes_latest, with_latest

            if takes_latest(submission):
                submission = await with_latest(submission, target, err)
        return await submit(submission, target, out, err)

    sys.exit(run_program(run, flags=flags))


def _dbt_command(command: CliCommand) -> click.Command:
    def callback(**flags: Any) -> None:
        _submit(command.name, flags)

    callback.__doc__ = command.help
    return click.command(command.name, cls=DbtCommand)(with_flags(command.flags)(callback))


def _add_dbt_commands() -> None:
    """Adds each command by its name, and by dbt's: `source freshness` in the group `source`, `ls` beside `list`."""
    for entry in DBT_COMMANDS:
        command = _dbt_command(entry)
        cli.add_command(command)
        group_name, _, name = COMMANDS[entry.name].words.rpartition(" ")
        if group_name:
            group = cli.commands.setdefault(group_name, DbtGroup(group_name, help=f"dbt's `{group_name} ...`."))
            assert isinstance(group, click.Group)
            group.add_command(command, name)
    docs = cli.commands["docs"]
    assert isinstance(docs, click.Group)
    docs.add_command(docs_serve)
    source = cli.commands["source"]
    assert isinstance(source, click.Group)
    for owner, name, alias in ((cli, "list", "ls"), (source, "freshness", "snapshot-freshness")):
        hidden = copy(owner.commands[name])
        hidden.hidden = True
        owner.add_command(hidden, alias)


_add_dbt_commands()
for _command in (*OPERATOR_COMMANDS, schedule, compare_engines, completion):
    cli.add_command(_command)


def main() -> NoReturn:
    """The program: runs the command line and ends the process with its exit code."""
    exit_code = COULD_NOT_RUN
    if COMPLETE_VARIABLE in os.environ:
        answer_shells()
    try:
        cli(prog_name="dbt-temporal")
    except SystemExit as ending:
        exit_code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    # Not by the interpreter's own end: threads of Temporal's SDK that hand over a last answer would meet it half taken
    # down and abort the process ("PyGILState_Release: thread state must be current", temporalio 1.35, Python 3.11).
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)
