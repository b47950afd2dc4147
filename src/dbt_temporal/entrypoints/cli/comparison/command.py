"""The command `compare-engines`: its flags, and what it exits with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from dbt_temporal.entrypoints.cli.flags import with_flags
from dbt_temporal.entrypoints.cli.input_flags import Decorator
from dbt_temporal.entrypoints.cli.reading.words import DbtCommand
from dbt_temporal.entrypoints.cli.running import run_program
from dbt_temporal.entrypoints.cli.values import joined, read_vars
from dbt_temporal.entrypoints.exit_codes import NODE_FAILED, SUCCESS

_FLAGS: list[Decorator] = [
    click.option(
        "--project-dir", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(),
        help="The project [default: the current folder].",
    ),
    click.option(
        "--profiles-dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The folder of profiles.yml; else DBT_PROFILES_DIR, else the project.",
    ),
    click.option("-s", "--select", multiple=True, metavar="SELECTION", help="What to build, in dbt's grammar."),
    click.option("--exclude", multiple=True, metavar="SELECTION", help="What to leave out of the selection."),
    click.option("--selector", metavar="NAME", help="A named selector of the project's selectors.yml."),
    click.option("--vars", "vars_", metavar="YAML", default="{}", callback=read_vars, help="Project variables."),
    click.option("--full-refresh", is_flag=True, default=None, help="Build incremental models and seeds anew."),
    click.option("--threads", type=click.IntRange(min=1), help="How many nodes run at once."),
    click.option(
        "-t", "--target", metavar="NAME",
        help="The target of which each engine gets a copy, whose schema ends with _dbt_core and _v2.",
    ),
    click.option(
        "--targets", nargs=2, metavar="DBT_CORE V2", help="Two targets instead, each as the profile has it."
    ),
    click.option(
        "--examples", type=click.IntRange(0, 100), default=0, show_default=True,
        help="How many differing rows of each side are shown.",
    ),
    click.option(
        "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write all of it to a file, .md or .json."
    ),
]  # fmt: skip


@click.command("compare-engines", cls=DbtCommand)
@with_flags(_FLAGS)
def compare_engines(**flags: Any) -> None:
    """Build a project by dbt-core and by dbt v2, and compare: statuses, failing rows, columns, rows of each node.

    Both build in this process, one after the other, into schemas of their own, which stay for you to look at. Ends with
    0 where all nodes are equal, with 1 where some are not.
    """
    from rich.console import Console

    from dbt_temporal.entrypoints.cli.comparison.report import REPORTS, print_comparison, write_report
    from dbt_temporal.entrypoints.cli.comparison.session import ComparisonOptions
    from dbt_temporal.entrypoints.cli.comparison.session import compare_engines as compare
    from dbt_temporal.entrypoints.settings import read_settings

    if flags["target"] and flags["targets"]:
        raise click.UsageError("--target and --targets exclude each other.")
    report = flags["report"]
    if report is not None and report.suffix.lower() not in REPORTS:
        raise click.BadParameter(f"{report.name!r} must end with {' or '.join(REPORTS)}", param_hint="'--report'")
    given = {
        "select": joined(flags["select"]),
        "exclude": joined(flags["exclude"]),
        "selector": flags["selector"],
        "vars": flags["vars_"] or None,
        "full_refresh": flags["full_refresh"],
        "threads": flags["threads"],
    }
    options = ComparisonOptions(
        flags["project_dir"],
        flags["profiles_dir"],
        flags["target"],
        flags["targets"] or None,
        {name: value for name, value in given.items() if value is not None},
        flags["examples"],
    )

    async def run() -> int:
        settings = read_settings(os.environ)
        console = Console(stderr=True, highlight=False)
        comparison = await compare(options, settings, os.environ, console)
        print_comparison(Console(highlight=False), comparison)
        if report is not None:
            write_report(report, comparison)
        return SUCCESS if comparison.equal else NODE_FAILED

    sys.exit(run_program(run))
