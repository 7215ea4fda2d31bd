"""`multi-llm completion`: what a shell has to read to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM = "multi-llm"
VARIABLE = "_MULTI_LLM_COMPLETE"
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    "completion",
    short_help="Print a shell's completion script.",
    epilog="zsh: add it after compinit. fish: it belongs into ~/.config/fish/completions/.",
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, /, shell: str) -> None:
    """Print the completion script of a SHELL, as in: eval "$(multi-llm completion bash)"."""
    click.echo(SHELLS[shell](ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
