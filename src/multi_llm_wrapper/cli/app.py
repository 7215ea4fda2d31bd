"""The command group: which commands there are, and how each of them may end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from ..version import __version__
from .exits import INTERRUPTED, READER_LEFT, Problem

COMMANDS = ("demo", "ask", "chat", "models", "usage", "sim", "faults", "completion")
"""Each is a module of this package whose `command` is loaded when it is asked for."""


class App(click.Group):
    """Loads commands when they are needed, tells every error in one line, and ends quietly when it is cut off."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _one_line(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(READER_LEFT)


@contextmanager
def _one_line(ctx: click.Context) -> Iterator[None]:
    """Click shows wrong usage in three lines; one is enough if it says where to read on."""
    try:
        yield
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # not an error line but the help; click 8.2 and newer
            raise
        where = (error.ctx or ctx).command_path
        raise Problem(f"{error.format_message().rstrip('.')} (see: {where} --help)", error.exit_code) from None


def _forget_stdout() -> None:
    """Whoever read our output has left. Python would complain when it flushes the rest at the end."""
    with suppress(OSError):  # no file descriptor behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=App, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="multi-llm %(version)s")
def app() -> None:
    """One client for every LLM provider, and a simulator of them to test against."""
