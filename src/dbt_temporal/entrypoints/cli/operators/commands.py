"""The commands for operators: what `--help` says of each, and its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dbt_temporal.application.ports.runs import RUN_STATUSES
from dbt_temporal.entrypoints.cli.flags import CONNECTION_FLAGS, SHOWING_FLAGS, with_flags
from dbt_temporal.entrypoints.cli.input_flags import Decorator, of_variable
from dbt_temporal.entrypoints.cli.known.names import complete_node, complete_project, complete_target
from dbt_temporal.entrypoints.cli.reading.words import DbtGroup
from dbt_temporal.entrypoints.cli.running import consoles, run_at_server

_TIDY_FLAGS: list[Decorator] = [
    click.argument("workflow_ids", metavar="[WORKFLOW_ID]...", nargs=-1),
    click.option(
        "--since", default="7d", show_default=True, metavar="TIME",
        help="How far back to look where no WORKFLOW_ID is given: a number with m, h or d.",
    ),
    *CONNECTION_FLAGS,
]  # fmt: skip


@click.command()
@with_flags(_TIDY_FLAGS)
def tidy(workflow_ids: tuple[str, ...], since: str, **flags: Any) -> None:
    """Store the artifacts of runs that were terminated, or ran into a timeout of their workflow.

    Workers that write artifacts do so by themselves, some minutes later (DBT_TEMPORAL_TIDY_SECS).
    """
    from dbt_temporal.entrypoints.cli.operators.tidy import tidy_up

    age = _age(since)
    run_at_server(flags, lambda target, console: tidy_up(target, workflow_ids, age, console))


_NODE_FLAGS: list[Decorator] = [
    click.argument("workflow_id", metavar="ID"),
    click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_node),
    click.argument("action", type=click.Choice(["retry", "skip", "accept", "hold", "reset"])),
    click.option(
        "--new-revision", is_flag=True,
        help="With `retry`, of a run that is kept open: first take the project as it is now.",
    ),
    *CONNECTION_FLAGS,
]  # fmt: skip


@click.command()
@with_flags(_NODE_FLAGS)
def node(workflow_id: str, names: tuple[str, ...], action: str, new_revision: bool, **flags: Any) -> None:
    """Do something about nodes of the run with the workflow id ID, which goes on meanwhile.

    A NAME is a node's name, its unique_id, or its label such as model:orders.

    \b
    retry   make the next attempt now, or run again after the end; takes a hold back. Without NAME: all that wait
    skip    end it as skipped, and all below it
    accept  count it as done, whatever it came to: what is below it runs
    hold    keep it from its next attempt, or its first, until it is retried, skipped or accepted
    reset   end the statement that it runs now, and begin again at once; costs none of its attempts
    """
    if not names and action != "retry":
        raise click.UsageError(f"{action} needs the NAME of a node.")
    if new_revision and (action != "retry" or not names):
        raise click.UsageError("--new-revision is for `NAME retry`.")
    from dbt_temporal.entrypoints.cli.operators.nodes import operate

    run_at_server(flags, lambda target, console: operate(target, workflow_id, names, action, new_revision, console))


@click.command()
@with_flags([click.argument("workflow_id", metavar="ID"), *CONNECTION_FLAGS])
def finish(workflow_id: str, **flags: Any) -> None:
    """End a run that is kept open after a failure (--on-failure hold), with what it has."""
    from dbt_temporal.entrypoints.cli.operators.nodes import finish as finish_run

    run_at_server(flags, lambda target, console: finish_run(target, workflow_id, console))


_PROJECT: Decorator = click.option(
    "--project", metavar="NAME", help="Runs of this project.", shell_complete=complete_project
)
_SINCE: Decorator = click.option(
    "--since", default="7d", show_default=True, metavar="TIME",
    help="How far back to look: a number with m, h or d.",
)  # fmt: skip
_ID: Decorator = click.argument("workflow_id", metavar="[ID]", required=False)


@click.command()
@with_flags(
    [
        _PROJECT,
        click.option("--status", type=click.Choice(RUN_STATUSES), help="Those that stand so."),
        _SINCE,
        click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most."),
        click.option("--output", type=click.Choice(["text", "json"]), default="text", help="One JSON object a line."),
        *CONNECTION_FLAGS,
    ]
)
def runs(project: str | None, status: str | None, since: str, limit: int, output: str, **flags: Any) -> None:
    """List the runs of a task queue, newest first."""
    from dbt_temporal.entrypoints.cli.operators.runs import print_runs

    age = _age(since)
    run_at_server(flags, lambda target, out: print_runs(target, age, project, status, limit, output == "json", out))


@click.command()
@with_flags([_ID, _PROJECT, *CONNECTION_FLAGS])
def status(workflow_id: str | None, project: str | None, **flags: Any) -> None:
    """Say where the run with the workflow id ID stands, else the newest one, with the last lines of its log."""
    from dbt_temporal.entrypoints.cli.operators.runs import print_status

    run_at_server(flags, lambda target, out: print_status(target, workflow_id, project, out))


_COLORS: Decorator = click.option(
    "--use-colors/--no-use-colors", default=None, help="Colors on this terminal.", **of_variable("use_colors")
)
_DEBUG: Decorator = click.option(
    "-d/ ", "--debug/--no-debug", default=None, help="As --log-level debug.", **of_variable("debug")
)


@click.command()
@with_flags([_ID, _PROJECT, *SHOWING_FLAGS, _DEBUG, _COLORS, *CONNECTION_FLAGS])
def attach(workflow_id: str | None, project: str | None, **flags: Any) -> None:
    """Follow the run with the workflow id ID, else the newest one, to its end; exit with dbt's code for it.

    Ctrl-C leaves the run, which goes on.
    """
    from dbt_temporal.entrypoints.cli.events.event import Showing
    from dbt_temporal.entrypoints.cli.operators.runs import attach as attach_to

    showing, (out, err) = Showing.of(flags), consoles(flags)
    run_at_server(flags, lambda target, _: attach_to(target, workflow_id, project, out, err, showing))


@click.command()
@with_flags([click.argument("workflow_ids", metavar="[ID]...", nargs=-1), _PROJECT, *CONNECTION_FLAGS])
def cancel(workflow_ids: tuple[str, ...], project: str | None, **flags: Any) -> None:
    """Ask the runs with these workflow ids to stop: statements end in the database, and artifacts are stored.

    Without ID, the one run that goes on (of --project); where several do, they are listed, and none is asked.
    """
    from dbt_temporal.entrypoints.cli.operators.runs import cancel as cancel_runs

    if workflow_ids and project is not None:
        raise click.UsageError("--project is for a run without ID: give one of them.")
    run_at_server(flags, lambda target, out: cancel_runs(target, workflow_ids, project, out))


@click.command()
@with_flags(
    [
        _ID,
        _PROJECT,
        click.option("--open", "opens", is_flag=True, help="Open it in the browser."),
        click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Copy it to this file."),
        *CONNECTION_FLAGS,
    ]
)
def report(workflow_id: str | None, project: str | None, opens: bool, output: Path | None, **flags: Any) -> None:
    """Say where the report of the run with the workflow id ID lies, else of the newest one: a page of its timeline.

    It is stored beside the artifacts of each run (WRITE_ARTIFACTS, WRITE_REPORT), and opens without a network.
    """
    from dbt_temporal.entrypoints.cli.operators.stored import show_report

    run_at_server(flags, lambda target, out: show_report(target, workflow_id, project, opens, output, out))


_ID_OR_NODE: Decorator = click.argument("workflow_id", metavar="[ID]", required=False, shell_complete=complete_node)
_NODE: Decorator = click.argument("name", metavar="[NODE]", required=False, shell_complete=complete_node)


@click.command()
@with_flags([_ID_OR_NODE, _NODE, _PROJECT, *CONNECTION_FLAGS])
def logs(workflow_id: str | None, name: str | None, project: str | None, **flags: Any) -> None:
    """Print the log of the run with the workflow id ID, else of the newest one; or what dbt logged for a NODE of it.

    A NODE is a node's name, its unique_id, or its label such as model:orders. Alone, it is one of the newest run.
    """
    from dbt_temporal.entrypoints.cli.operators.told import print_logs

    run_at_server(flags, lambda target, out: print_logs(target, workflow_id, name, project, out))


@click.command()
@with_flags(
    [
        _ID,
        _PROJECT,
        click.option("--output", type=click.Choice(["text", "json"]), default="text", help="One JSON object a line."),
        *CONNECTION_FLAGS,
    ]
)
def results(workflow_id: str | None, project: str | None, output: str, **flags: Any) -> None:
    """Print what the nodes of the run with the workflow id ID came to, else of the newest one that has begun."""
    from dbt_temporal.entrypoints.cli.operators.told import print_results

    run_at_server(flags, lambda target, out: print_results(target, workflow_id, project, output == "json", out))


@click.command("serve")
@with_flags(
    [
        _ID,
        _PROJECT,
        click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0: a free one."
        ),
        click.option("--browser/--no-browser", "opens", default=True, show_default=True, help="Open the browser."),
        *CONNECTION_FLAGS,
    ]
)
def docs_serve(workflow_id: str | None, project: str | None, host: str, port: int, opens: bool, **flags: Any) -> None:
    """Serve dbt's documentation site with the manifest and catalog of the run with the workflow id ID.

    Without ID, of the newest run of `docs generate`, else of the newest run. Ctrl-C ends the server.
    """
    from dbt_temporal.entrypoints.cli.operators.docs import serve_docs

    run_at_server(
        flags, lambda target, out: serve_docs(target, workflow_id, project, out, host=host, port=port, opens=opens)
    )


@click.group(cls=DbtGroup)
def artifacts() -> None:
    """What runs have left in the artifact store."""


@artifacts.command()
@with_flags(
    [
        click.option(
            "--keep", type=click.IntRange(min=1), metavar="N", help="Leave the newest N of each project and target."
        ),
        click.option("--older-than", metavar="TIME", help="Leave what ended within it: a number with m, h or d."),
        click.option("--dry-run", is_flag=True, help="Delete nothing: print what would go."),
        _PROJECT,
        click.option(
            "-t",
            "--target",
            metavar="NAME",
            shell_complete=complete_target,
            help="Runs for this target of the profile.",
        ),
        click.option("--store", metavar="PLACE", help="The store, a folder or URL [default: ARTIFACT_STORE]."),
        *CONNECTION_FLAGS,
    ]
)
def prune(
    keep: int | None,
    older_than: str | None,
    dry_run: bool,
    project: str | None,
    target: str | None,
    store: str | None,
    **flags: Any,
) -> None:
    """Delete what runs have stored, of those that neither --keep nor --older-than leaves.

    Runs that go on stay, and those that `latest` names. What is cut short goes on when it is called again.
    """
    if keep is None and older_than is None:
        raise click.UsageError("give --keep, --older-than or both: which runs are to stay?")
    from dbt_temporal.application.stored.retention import Rule
    from dbt_temporal.entrypoints.cli.operators.pruning import prune_store

    rule = Rule(keep, None if older_than is None else _age(older_than, "--older-than"), project, target)
    run_at_server(flags, lambda server, out: prune_store(server, store, rule, dry_run, out))


@artifacts.command("sql")
@with_flags(
    [
        _ID,
        _PROJECT,
        click.option(
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            help="Put the files below this folder.",
        ),
        *CONNECTION_FLAGS,
    ]
)
def artifacts_sql(workflow_id: str | None, project: str | None, output: Path | None, **flags: Any) -> None:
    """Say where the SQL of the run with the workflow id ID lies, else of the newest one: an archive of what dbt has
    compiled, and sent to the database, with the paths of its target folder."""
    from dbt_temporal.entrypoints.cli.operators.stored import show_sql

    run_at_server(flags, lambda server, out: show_sql(server, workflow_id, project, output, out))


OPERATOR_COMMANDS = (runs, status, attach, cancel, logs, results, report, artifacts, node, finish, tidy)


def _age(since: str, flag: str = "--since") -> Any:
    from dbt_temporal.entrypoints.cli.operators.tidy import read_age

    age = read_age(since)
    if age is None:
        raise click.BadParameter(
            f"{since!r} is no number with m, h or d, such as 90m, 24h or 7d", param_hint=f"'{flag}'"
        )
    return age
