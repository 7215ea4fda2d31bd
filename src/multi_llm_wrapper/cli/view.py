"""Answers as they come: side by side in a terminal, else one after the other as plain text."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console

from . import terminal
from .lanes import Lane
from .paint import Line, Painter
from .panels import Panels
from .wrap import clean, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = 0.06
"""Seconds between two looks at what has changed: fluent to the eye, and cheap over a slow line."""


class View(Protocol):
    """Entered before the lanes start and left when they have ended or were cancelled."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view_of(lanes: Sequence[Lane], out: Console) -> View:
    """What suits the number of lanes and the terminal."""
    if len(lanes) == 1:
        return Answer(lanes[0])
    panels = Panels(lanes)
    return SideBySide(lanes, panels, out) if terminal.can_paint(out) and panels.fit(out.size) else Blocks(lanes)


class Quiet:
    """Shows nothing; for output that is made from the finished responses."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Answer(Quiet):
    """The text of one answer and nothing else, so that it can be piped."""

    def __init__(self, lane: Lane) -> None:
        self._write = _writer()
        self._seen = 0
        self._last = "\n"
        lane.on_change = self._show
        self._lane = lane

    def _show(self, lane: Lane) -> None:
        if self._seen > len(lane.pieces):  # it began anew
            self._end_line()
            self._seen = 0
        text = "".join(lane.pieces[self._seen :])
        self._seen = len(lane.pieces)
        if text:
            self._write(text)
            self._last = text[-1]

    def _end_line(self) -> None:
        if self._last != "\n":
            self._write("\n")
            self._last = "\n"

    async def __aexit__(self, *_: object) -> None:
        self._lane.on_change = lambda lane: None
        self._end_line()


class Blocks(Quiet):
    """Several answers, one block after the other; the first that is not complete is shown as it comes."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._waiting = list(lanes)
        self._answer: Answer | None = None
        for lane in lanes:
            lane.on_change = self._show

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._waiting:
            self._close()

    def _show(self, lane: Lane) -> None:
        while self._waiting and self._answer is not None:
            first = self._waiting[0]
            self._answer._show(first)
            if not first.ended:
                break
            self._close()

    def _open(self) -> None:
        if self._waiting:
            lane = self._waiting[0]
            terminal.write(f"== {lane.label} ==\n")
            self._answer = Answer(lane)
            lane.on_change = self._show

    def _close(self) -> None:
        lane = self._waiting.pop(0)
        if self._answer is not None:
            self._answer._show(lane)
            self._answer._end_line()
        if lane.state == "interrupted":
            terminal.write("(interrupted)\n")
        elif lane.response is not None and not lane.response.ok:
            terminal.write(f"Error: {one_line(lane.response.error)}\n")
        terminal.write("\n")
        self._open()


class SideBySide:
    """A panel for each lane, drawn again when something has changed; at the end the whole answers stay."""

    def __init__(self, lanes: Sequence[Lane], panels: Panels, out: Console) -> None:
        self._panels = panels
        self._out = out
        self._painter = Painter(terminal.write)
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._painter.__enter__()
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        try:
            size = self._out.size
            self._painter.finish(self._frame(None), size.width)
        finally:
            self._painter.__exit__()

    async def _tick(self) -> None:
        while True:
            size = self._out.size
            self._painter.paint(self._frame(size.height - 1), size.width)
            await asyncio.sleep(FRAME)

    def _frame(self, height: int | None) -> list[Line]:
        return self._panels.lines(self._out, height)


def _writer() -> Callable[[str], None]:
    """A terminal gets nothing that could steer it; a pipe gets the answer as it is."""
    if terminal.is_terminal(sys.stdout):
        return lambda text: terminal.write(clean(text))
    return terminal.write
