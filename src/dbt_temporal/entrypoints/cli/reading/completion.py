"""The command `completion`."""

from __future__ import annotations

import click

from dbt_temporal.entrypoints.cli.reading.shells import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the script that completes our commands in a shell.

    It completes commands, flags and their choices, names of projects, and names of nodes behind --select and the like:
    those of the newest manifest.json of the project, in its target folder or among the artifacts of its latest run.

    \b
    bash  source <(dbt-temporal completion bash), in ~/.bashrc
    zsh   source <(dbt-temporal completion zsh), in ~/.zshrc behind `compinit`
    fish  dbt-temporal completion fish > ~/.config/fish/completions/dbt-temporal.fish
    """
    click.echo(script(shell), nl=False)
