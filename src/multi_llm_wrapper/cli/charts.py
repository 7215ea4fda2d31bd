"""Numbers as pictures of text: columns over time, bars beside names. Every line has the width that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from .wrap import one_line

HEIGHT = 6
"""Lines of a column, at most."""
WIDEST = 4
"""Cells of a column, the gap beside it included."""
UNKNOWN = "unknown"
"""In place of the bar's value; a column has no room for more than a question mark."""
_UP, _RIGHT, _ASCII = " ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉█", " #"


class Series(NamedTuple):
    title: str
    labels: Sequence[str]
    values: Sequence[float | None]
    """None is what is not known; at least one is more than 0."""
    show: Callable[[float], str]
    """A value as a text."""
    style: str


def columns(all_series: Sequence[Series], width: int, *, ascii_only: bool = False) -> list[list[Text]]:
    """A plot of each over the same time, from left to right, the largest value beside its top. What has no room of its
    own is added up with what comes next."""
    margin = max((len(series.show(_sum(series.values) or 0.0)) + 2 for series in all_series), default=0)
    return [_columns(series, width, max(1, width - margin), ascii_only) for series in all_series]


def _columns(series: Series, width: int, room: int, ascii_only: bool) -> list[Text]:
    step = -(-len(series.values) // room)
    values = [_sum(series.values[i : i + step]) for i in range(0, len(series.values), step)]
    cell = max(1, min(WIDEST, room // len(values)))
    largest = max(filter(None, values))
    top = series.show(largest)
    blocks, axis, corner, rule = (_ASCII, "||", "+", "-") if ascii_only else (_UP, "┤│", "└", "─")
    lines = [Text(series.title if step == 1 else f"{series.title}, {step} together", "bold")]
    for line in reversed(range(HEIGHT)):
        left = f"{top} {axis[0]}" if line == HEIGHT - 1 else f"{axis[1]:>{len(top) + 2}}"
        drawn = "".join(_column(value, largest, line, cell, blocks) for value in values)
        lines.append(Text.assemble(left, (drawn, series.style)))
    lines.append(Text(f"{'0':>{len(top)}} {corner}{rule * cell * len(values)}"))
    lines.append(Text(" " * (len(top) + 2) + _ends(series.labels, cell * len(values))))
    return [_fit(line, width) for line in lines]


def _sum(values: Sequence[float | None]) -> float | None:
    """Of what is known, unless that is nothing."""
    known = [value for value in values if value]
    return None if None in values and not known else sum(known)


def _column(value: float | None, largest: float, line: int, cell: int, blocks: str) -> str:
    """One line of one column."""
    if value is None:
        return ("" if line else "?").center(max(1, cell - 1)).ljust(cell)
    fill = value / largest * HEIGHT - line
    block = blocks[round(min(1.0, max(0.0, fill)) * (len(blocks) - 1))]
    return block * cell if cell < 2 else block * (cell - 1) + " "


def _ends(labels: Sequence[str], room: int) -> str:
    first, last = labels[0], labels[-1]
    if len(labels) == 1 or room < len(first) + len(last) + 2:
        return first
    return f"{first}{last:>{room - len(first)}}"


def bars(all_series: Sequence[Series], width: int, *, ascii_only: bool = False) -> list[list[Text]]:
    """A plot of each, from top to bottom, with its name before each bar and its value behind."""
    return [_bars(series, width, ascii_only) for series in all_series]


def _bars(series: Series, width: int, ascii_only: bool) -> list[Text]:
    shown = [UNKNOWN if value is None else series.show(value) for value in series.values]
    names = [one_line(label) for label in series.labels]
    left = min(max(map(cell_len, names)), width // 3)
    right = max(map(len, shown))
    room = max(1, width - left - right - 2)
    largest = max(filter(None, series.values))
    blocks = _ASCII if ascii_only else _RIGHT
    lines = [Text(series.title, "bold")]
    for name, value, text in zip(names, series.values, shown, strict=True):
        bar = _bar((value or 0.0) / largest * room, room, blocks)
        lines.append(Text.assemble(_cut(name, left, ascii_only), " ", (bar, series.style), f" {text:>{right}}"))
    return [_fit(line, width) for line in lines]


def _bar(length: float, room: int, blocks: str) -> str:
    parts = len(blocks) - 1
    eighths = round(length * parts)
    if length > 0 and not eighths:
        eighths = 1  # little is more than nothing
    whole, rest = divmod(eighths, parts)
    return (blocks[-1] * whole + (blocks[rest] if rest else "")).ljust(room)


def _cut(name: str, width: int, ascii_only: bool) -> str:
    if cell_len(name) <= width:
        return set_cell_size(name, width)
    mark = "~" if ascii_only else "…"
    return set_cell_size(name, width - 1) + mark


def _fit(line: Text, width: int) -> Text:
    line.truncate(width, pad=True)
    return line


__all__ = ["UNKNOWN", "Series", "bars", "columns"]
