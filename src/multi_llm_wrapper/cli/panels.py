"""The frame of the side-by-side view: a panel for each lane, as many in a row as fit."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .lanes import Lane
from .paint import Line
from .report import explain, seconds
from .wrap import Wrapped, one_line

NARROWEST = 26
"""Cells for a panel, so that three fit into a terminal of 80."""
LOWEST = 5
"""Lines for a panel that is worth looking at."""
FRAME_CELLS = 4
"""Border and padding, left and right."""
COLORS = ("cyan", "magenta", "yellow", "green", "blue")


class Panels:
    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._panels = [LanePanel(lane, COLORS[i % len(COLORS)]) for i, lane in enumerate(lanes)]

    def fit(self, size: ConsoleDimensions) -> bool:
        """Whether there is room for two beside each other, and for all of them at once."""
        in_row = _in_row(size.width)
        return in_row > 1 and (size.height - 1) // self._rows(in_row) >= LOWEST

    def lines(self, out: Console, height: int | None) -> list[Line]:
        """The frame, at most `height` lines of it: the newest of each answer. None = all of every answer."""
        in_row = min(max(1, _in_row(out.width)), len(self._panels))
        width = (out.width - 1) // in_row
        share = None if height is None else max(LOWEST, height // self._rows(in_row))
        found: list[Line] = []
        for i in range(0, len(self._panels), in_row):
            panels = self._panels[i : i + in_row]
            found += _render(out, _row(panels, width, share), width * len(panels))
        return found if height is None else found[-max(1, height) :]

    def _rows(self, in_row: int) -> int:
        return -(-len(self._panels) // in_row)


class LanePanel:
    """The panel of one lane; keeps the lines that are folded already."""

    def __init__(self, lane: Lane, color: str) -> None:
        self._lane = lane
        self._color = color
        self._wrapped = Wrapped(1)
        self._seen = (0, 0)  # restarts, pieces

    def fold(self, width: int) -> int:
        """Folds what is new; how many lines there are."""
        lane = self._lane
        restarts, pieces = self._seen
        if width != self._wrapped.width or restarts != lane.restarts:
            self._wrapped, pieces = Wrapped(width), 0
        for piece in lane.pieces[pieces:]:
            self._wrapped.add(piece)
        self._seen = (lane.restarts, len(lane.pieces))
        return max(1, len(self._wrapped) + len(self._error()))

    def render(self, width: int, height: int) -> RenderableType:
        error = self._error()
        text = Text("\n".join(self._wrapped.last(max(0, height - 2 - len(error)))), no_wrap=True, overflow="crop")
        if error:
            text.append(("\n" if text else "") + "\n".join(error), "red")
        color = "red" if self._lane.state == "failed" else self._color
        title = Text(one_line(self._lane.label), f"bold {color}", overflow="ellipsis", no_wrap=True)
        below = Text(self._status(), color, overflow="ellipsis", no_wrap=True)
        return Panel(
            text, title=title, subtitle=below, subtitle_align="right", width=width, height=height, border_style=color
        )

    def _status(self) -> str:
        """Short, so that it fits under the narrowest panel."""
        lane = self._lane
        state = {"writing": None, "done": None, "interrupted": "stopped"}.get(lane.state, lane.state)
        time = None if lane.state in ("failed", "interrupted") else seconds(lane.seconds, running=not lane.ended)
        return ", ".join(word for word in (lane.provider, state, time) if word)

    def _error(self) -> list[str]:
        """The error's lines, under what came of the answer."""
        response = self._lane.response
        if response is None or response.ok or self._lane.state == "interrupted":
            return []
        folded = Wrapped(self._wrapped.width)
        folded.add(f"{response.error_type}: {explain(response)}")
        return folded.last()


def _in_row(width: int) -> int:
    return (width - 1) // NARROWEST


def _row(panels: Sequence[LanePanel], width: int, share: int | None) -> RenderableType:
    height = 2 + max(panel.fold(width - FRAME_CELLS) for panel in panels)
    height = height if share is None else min(height, share)
    row = Table.grid()
    for _ in panels:
        row.add_column(width=width)
    row.add_row(*(panel.render(width, height) for panel in panels))
    return row


def _render(out: Console, row: RenderableType, cells: int) -> list[Line]:
    with out.capture() as captured:
        out.print(row)
    return [Line(text, cells) for text in captured.get().splitlines()]
