"""`andon completion SHELL`: print the script that completes verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from andon.core.errors import Code, InvalidInput


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(*, shell: str) -> None:
    """Print the completion script of SHELL: eval "$(andon completion bash)"."""
    from andon.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidInput(Code.NOT_FOUND, f"no completion for {shell}")
    print(kind(cli, {}, "andon", "_ANDON_COMPLETE").source())
