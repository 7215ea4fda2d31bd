"""Answers as they come: side by side in a terminal, else one after the other as plain text."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.console import Console

from . import terminal
from .lanes import Lane, follow_all
from .paint import Painter
from .panels import Panels
from .report import error_line
from .wrap import Flow, one_line

if TYPE_CHECKING:
    from ..response import Response
    from ..stream import ResponseStream
    from ..wrapper import LLMWrapper

FRAME = 0.06
"""Seconds between two looks at what has changed: fluent to the eye, and cheap over a slow line."""


async def watch(
    wrapper: LLMWrapper, streams: Sequence[ResponseStream], labels: Sequence[str], *, quiet: bool = False
) -> list[Response]:
    """Follows the streams to their ends and shows them meanwhile; closes the wrapper."""
    lanes = [Lane(label) for label in labels]
    async with wrapper, Quiet() if quiet else view_of(lanes, terminal.console()):
        return await follow_all(streams, lanes)


def view_of(lanes: Sequence[Lane], out: Console) -> Quiet:
    """What suits the number of lanes and the terminal."""
    if len(lanes) == 1:
        return Answer(lanes[0])
    panels = Panels(lanes)
    return SideBySide(panels, out) if terminal.can_paint(out) and panels.fit(out.size) else Blocks(lanes)


class Quiet:
    """Shows nothing, for output that is made from the finished responses. Every view is entered before its lanes start
    and left when they have ended or were cancelled."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Answer(Quiet):
    """The text of one answer and nothing else, so that it can be piped."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._text = _text()
        self._seen = (0, 0)  # restarts, pieces

    async def __aenter__(self) -> Self:
        self._lane.on_change = self.show
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lane.on_change = lambda lane: None
        self.end()

    def show(self, lane: Lane) -> None:
        """Writes what is new."""
        restarts, pieces = self._seen
        if restarts != lane.restarts:
            self.end()
            terminal.tell("(that was cut off; the answer begins anew)")
            pieces = 0
        self._seen = (lane.restarts, len(lane.pieces))
        if text := self._text.add("".join(lane.pieces[pieces:])):
            terminal.write(text)

    def end(self) -> None:
        if text := self._text.end():
            terminal.write(text)
        self._text = _text()


def _text() -> Flow | Raw:
    """A terminal gets lines that end between words, and nothing that could steer it; a pipe, the answer as it is."""
    return Flow(terminal.columns) if terminal.is_terminal(sys.stdout) else Raw()


class Raw:
    """The same as `Flow` for what is no terminal."""

    def __init__(self) -> None:
        self._last = "\n"

    def add(self, text: str) -> str:
        self._last = text[-1:] or self._last
        return text

    def end(self) -> str:
        return "" if self._last == "\n" else "\n"


class Blocks(Quiet):
    """Several answers, one block after the other; the first that is not complete is shown as it comes."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._waiting = list(lanes)
        self._answer: Answer | None = None  # of the first that waits, once its heading is written

    async def __aenter__(self) -> Self:
        for lane in self._waiting:
            lane.on_change = self._show
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._waiting:
            self._show_first()
            self._end_first()

    def _show(self, _: Lane) -> None:
        while self._waiting:
            self._show_first()
            if not self._waiting[0].ended:
                break
            self._end_first()

    def _show_first(self) -> None:
        lane = self._waiting[0]
        if self._answer is None:
            self._answer = Answer(lane)
            terminal.write(f"== {one_line(lane.label)} ==\n")
        self._answer.show(lane)

    def _end_first(self) -> None:
        lane, answer = self._waiting.pop(0), self._answer
        self._answer = None
        if answer is not None:
            answer.end()
        if lane.state == "interrupted":
            terminal.write("(interrupted)\n")
        elif lane.response is not None and not lane.response.ok:
            terminal.write(f"{error_line(lane.response)}\n")
        terminal.write("\n")


class SideBySide(Quiet):
    """A panel for each lane, drawn again when something has changed; at the end the whole answers stay."""

    def __init__(self, panels: Panels, out: Console) -> None:
        self._panels = panels
        self._out = out
        self._painter = Painter(terminal.write)
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._painter.__enter__()
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._ticker is not None:
                self._ticker.cancel()
                with suppress(asyncio.CancelledError):
                    await self._ticker
            self._painter.finish(self._panels.lines(self._out, None), self._out.width)
        finally:
            self._painter.__exit__()

    async def _tick(self) -> None:
        while True:
            size = self._out.size
            self._painter.paint(self._panels.lines(self._out, size.height - 1), size.width)
            await asyncio.sleep(FRAME)
