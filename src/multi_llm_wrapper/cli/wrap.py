"""Text that grows, in lines of a terminal: folded for a frame (`Wrapped`), or broken as it is written (`Flow`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from rich.cells import cell_len

_TOKEN = re.compile(r"\n|[^\S\n]+|\S+")
_WORD = re.compile(r"(\s*)(\S*)(\s*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tab and newline. An answer must not move the cursor, set a title or answer for the user."""

TAB = "    "
FENCE = "```"
HELD = 24
"""Cells of an unfinished word that are held back until it is known whether it fits."""


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
        for start, end in pairwise(starts):
            self._done.append(self._open[start:end].rstrip())
        self._open = self._open[starts[-1] :]

    def last(self, count: int | None = None) -> list[str]:
        """The last lines, all by default; an empty line at the very end is left out."""
        if count is not None and count <= 0:
            return []
        lines = [*(self._done if count is None else self._done[-count:])]
        if self._open.strip():
            lines.append(self._open.rstrip())
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


class Flow:
    """What to write for a text that comes in pieces, so that lines end between words and not within. Code between
    fences is left alone, and so are words that are longer than a line: a terminal folds them itself."""

    def __init__(self, columns: Callable[[], int]) -> None:
        self._columns = columns
        self._column = 0
        self._blanks = ""
        self._word = ""
        self._begun = False  # the beginning of the word is written already
        self._code = False
        self._head = ""  # how the line of the text begins

    def add(self, text: str) -> str:
        return "".join(map(self._token, _TOKEN.findall(clean(text).replace("\t", TAB))))

    def end(self) -> str:
        """What is still held back, and the end of the line if there is none yet."""
        written = self._flush()
        return written + "\n" if self._column else written

    def _token(self, token: str) -> str:
        if token == "\n":
            return self._end_line()
        if len(self._head) < len(FENCE):
            self._head = (self._head + token).lstrip()
        if token.isspace():
            written = self._flush()
            self._begun = False
            self._blanks += token
            return written
        self._word += token
        return self._flush() if self._begun or self._code or cell_len(self._word) > HELD else ""

    def _end_line(self) -> str:
        written = self._flush()
        if self._head.startswith(FENCE):
            self._code = not self._code
        self._blanks, self._head, self._column, self._begun = "", "", 0, False
        return written + "\n"

    def _flush(self) -> str:
        word, self._word = self._word, ""
        if not word:
            return ""
        size, columns = cell_len(word), max(1, self._columns())
        may_break = self._column and not (self._begun or self._code)
        if may_break and self._column + len(self._blanks) + size > columns:
            before, self._column = "\n", 0
        else:
            before, self._column = self._blanks, self._column + len(self._blanks)
        self._blanks, self._begun = "", True
        self._column = (self._column + size - 1) % columns + 1
        return before + word
