"""A frame at the bottom of the terminal that is drawn over and over, with no flicker: only what changed is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

UP, DOWN, CLEAR_LINE, CLEAR_BELOW = "\x1b[{}A", "\x1b[{}B", "\x1b[K", "\x1b[J"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Line(NamedTuple):
    """A line of a frame: what to write, colours and all, and how many cells it takes: fewer than the terminal has."""

    text: str
    cells: int


class Painter:
    """Between two calls the cursor is at the start of the line under the frame.

    A frame must be lower than the terminal; `finish` may write one that is higher, and leaves it there for good.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines: list[Line] = []
        self._columns = 0

    def __enter__(self) -> Self:
        self._write(HIDE_CURSOR)
        return self

    def __exit__(self, *_: object) -> None:
        self._write(SHOW_CURSOR)

    def paint(self, lines: Sequence[Line], columns: int) -> None:
        """Shows a frame in place of the one before, in a terminal that is now so many cells wide."""
        if columns != self._columns:
            self._redraw(lines, columns)
        else:
            self._change(lines)
        self._lines, self._columns = list(lines), columns

    def finish(self, lines: Sequence[Line], columns: int) -> None:
        """The last frame, of any height."""
        self._redraw(lines, columns)
        self._lines = []

    def _redraw(self, lines: Sequence[Line], columns: int) -> None:
        """From the top. A terminal that was made narrower has folded the lines of the old frame. It is written over
        and not cleared first: that would flicker, and tmux keeps a screen that is cleared in its history."""
        height = sum(max(1, -(-line.cells // max(1, columns))) for line in self._lines)
        self._write(_up(height) + "\r" + "".join(f"{line.text}{CLEAR_LINE}\r\n" for line in lines) + CLEAR_BELOW)

    def _change(self, lines: Sequence[Line]) -> None:
        old, out = self._lines, []
        row = len(old)  # where the cursor is, counted from the top of the frame
        for i, line in enumerate(lines):
            if i < len(old) and line == old[i]:
                continue
            out.append(_move(i - row) + line.text + (CLEAR_LINE if i < len(old) else "") + "\r\n")
            row = i + 1
        out.append(_move(len(lines) - row) + (CLEAR_BELOW if len(lines) < len(old) else ""))
        if text := "".join(out):
            self._write(text)


def _up(rows: int) -> str:
    return UP.format(rows) if rows else ""


def _move(rows: int) -> str:
    return _up(-rows) if rows < 0 else DOWN.format(rows) if rows else ""
