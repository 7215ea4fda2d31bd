"""`multi-llm completion`: what a shell has to read to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "multi-llm"
VARIABLE = "_MULTI_LLM_COMPLETE"


@click.command(
    "completion",
    short_help="Print a shell's completion script.",
    epilog="zsh: add it after compinit. fish: it belongs into ~/.config/fish/completions/.",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, /, shell: str) -> None:
    """Print the completion script of a SHELL, as in: eval "$(multi-llm completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this click has no completion for {shell}; update click", ctx)
    click.echo(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
