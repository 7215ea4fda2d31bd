"""Text that grows, folded into lines of a terminal."""

from __future__ import annotations

import re

from rich.cells import cell_len

_WORD = re.compile(r"(\s*)(\S*)(\s*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tab and newline. An answer must not move the cursor, set a title or answer for the user."""

TAB = "    "


def clean(text: str) -> str:
    """Text from outside, harmless to a terminal."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


class Wrapped:
    """Folds at `width` cells, between words where it can. However a text is cut into pieces, its lines are the same;
    and a line that is followed by another never changes, so that a long answer costs no more than a short one."""

    def __init__(self, width: int) -> None:
        self.width = max(1, width)
        self._done: list[str] = []
        self._open = ""

    def add(self, text: str) -> None:
        first, *others = clean(text).replace("\t", TAB).split("\n")
        self._extend(first)
        for paragraph in others:
            self._done.append(self._open.rstrip())
            self._open = ""
            self._extend(paragraph)

    def _extend(self, text: str) -> None:
        self._open += text
        starts = breaks(self._open, self.width)
        for start, end in zip(starts, starts[1:], strict=False):
            self._done.append(self._open[start:end].rstrip())
        self._open = self._open[starts[-1] :]

    def last(self, count: int | None = None) -> list[str]:
        """The last lines, all by default; an empty line at the very end is left out."""
        lines = self._done if count is None else self._done[-count:]
        lines = [*lines, self._open.rstrip()] if self._open.strip() else [*lines]
        return lines if count is None else lines[-count:]

    def __len__(self) -> int:
        return len(self._done) + bool(self._open.strip())


def breaks(text: str, width: int) -> list[int]:
    """Where the lines of a paragraph begin; the first at 0. Blanks at the end of a line take no room."""
    starts, used, words = [0], 0, 0
    for match in _WORD.finditer(text):
        indent, word, blanks = match.groups()
        used += len(indent)
        if word:
            at, size = match.start(2), cell_len(word)
            if words and used + size > width:
                starts.append(at)
                used = words = 0
            while used + size > width:
                fits = _fitting(word, width - used)
                if not (fits or used):
                    fits = 1  # one wide character in a column of one cell
                at, word = at + fits, word[fits:]
                if not word:
                    break
                starts.append(at)
                used, size = 0, cell_len(word)
            used += cell_len(word)
            words += 1
        used += len(blanks)
    return starts


def _fitting(word: str, width: int) -> int:
    """How many characters of a word fit."""
    used = 0
    for i, character in enumerate(word):
        used += cell_len(character)
        if used > width:
            return i
    return len(word)
