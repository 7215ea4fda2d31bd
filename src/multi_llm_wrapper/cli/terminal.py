"""Where output goes: standard output for what was asked for, standard error for everything about it."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO

from rich.console import Console, ConsoleDimensions

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDE = 10_000
"""The width of what is no terminal: nothing is folded there."""


class _Console(Console):
    @property  # type: ignore[misc]  # it has a setter in rich, which nobody calls here
    def size(self) -> ConsoleDimensions:
        """As it is now. Rich believes `COLUMNS` more than the terminal, and a stale one would tear the picture."""
        real = real_size(self.file)
        return ConsoleDimensions(*real) if real is not None else super().size

    def on_broken_pipe(self) -> None:
        """Left to the command group, which ends the program; rich would end it with status 1."""
        raise  # called while a BrokenPipeError is handled


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


def real_size(stream: IO[str]) -> tuple[int, int] | None:
    """Columns and rows of a terminal, None when it is none or does not know."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return (size.columns, size.lines) if size.columns and size.lines else None


def columns() -> int:
    """Of the terminal behind standard output."""
    real = real_size(sys.stdout)
    return real[0] if real is not None else 80


def can_paint(out: Console) -> bool:
    """Whether the cursor can be moved."""
    return is_terminal(sys.stdout) and not out.is_dumb_terminal and not out.legacy_windows


def show(out: Console, renderable: RenderableType, *, apart: bool = False) -> None:
    """Prints without blanks at the ends of lines; `apart` leaves an empty line before."""
    with out.capture() as captured:
        out.print(renderable)
    lines = ["", *captured.get().splitlines()] if apart else captured.get().splitlines()
    out.file.write("".join(f"{line.rstrip()}\n" for line in lines))
    out.file.flush()


def as_json(value: Any) -> str:
    """For people and programs alike."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write(text: str) -> None:
    """To standard output, at once, so that a pipe gets an answer as it comes."""
    sys.stdout.write(text)
    sys.stdout.flush()


def tell(line: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def held_logs(*, tell_them: bool) -> Iterator[None]:
    """Keeps what is logged meanwhile from getting into a picture; it is told afterwards, or not at all."""
    handler, root = _Keep(logging.WARNING), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for line in handler.lines if tell_them else ():
            tell(line)


class _Keep(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
