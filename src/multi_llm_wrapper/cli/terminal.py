"""Where output goes: standard output for what was asked for, standard error for everything about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

WIDE = 10_000
"""The width of what is no terminal: nothing is folded there."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Left to the command group, which ends the program; rich would end it with status 1."""
        raise  # noqa: PLE0704  # called while a BrokenPipeError is handled


def console(*, err: bool = False) -> Console:
    """Colours, width and encoding of the stream as it is now; `NO_COLOR` and `TERM` count."""
    stream: TextIO = sys.stderr if err else sys.stdout
    width = None if is_terminal(stream) else WIDE
    return _Console(stderr=err, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at it. `FORCE_COLOR` asks for colours, which does not make it one."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # None under pythonw, or closed
        return False


def can_paint(out: Console) -> bool:
    """Whether the cursor can be moved."""
    return is_terminal(sys.stdout) and not out.is_dumb_terminal and not out.legacy_windows


def show(out: Console, renderables: Iterable[RenderableType]) -> None:
    """Prints without blanks at the ends of lines, which only a terminal's background could need."""
    with out.capture() as captured:
        for renderable in renderables:
            out.print(renderable)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def write(text: str) -> None:
    """To standard output, at once, so that a pipe gets an answer as it comes."""
    sys.stdout.write(text)
    sys.stdout.flush()
