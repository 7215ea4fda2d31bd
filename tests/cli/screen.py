"""As much of a terminal as our output needs: text, line ends, cursor up and down, and clearing."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\x1b\[(?P<arguments>[?0-9;]*)(?P<command>[A-Za-z])|(?P<other>\x1b.?)|(?P<character>.)", re.DOTALL)


class Screen:
    """`lines` are the rows of the screen, `history` what has scrolled out of it. A sequence it does not know is an
    error, so that nothing gets into the output unnoticed."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns = columns
        self.rows = rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.history: list[str] = []
        self.row = self.column = 0
        self.cursor_shown = True
        self._rest = ""

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]

    @property
    def text(self) -> str:
        """Everything that was ever shown and not overwritten."""
        return "\n".join([*self.history, *self.lines]).rstrip()

    def feed(self, text: str) -> None:
        text = self._rest + text
        cut = text.rfind("\x1b")
        whole = cut < 0 or re.match(r"\x1b\[[?0-9;]*[A-Za-z]", text[cut:])
        self._rest = "" if whole else text[cut:]
        for token in _TOKEN.finditer(text if whole else text[:cut]):
            if token["command"]:
                self._obey(token["command"], token["arguments"])
            elif token["other"]:
                raise AssertionError(f"an unknown escape: {token[0]!r}")
            else:
                self._put(token["character"])

    def _obey(self, command: str, arguments: str) -> None:
        count = int(arguments) if arguments.isdigit() else 1
        if command == "A":
            self.row = max(0, self.row - count)
        elif command == "B":
            self.row = min(self.rows - 1, self.row + count)
        elif command in "KJ" and not arguments:
            self.cells[self.row][min(self.column, self.columns - 1) :] = [" "] * (
                self.columns - min(self.column, self.columns - 1)
            )
            if command == "J":
                for row in range(self.row + 1, self.rows):
                    self.cells[row] = [" "] * self.columns
        elif command in "hl" and arguments == "?25":
            self.cursor_shown = command == "h"
        elif command in "hl" and arguments == "?2004":
            pass  # bracketed paste, which readline switches on
        elif command != "m":
            raise AssertionError(f"an unknown sequence: {arguments}{command}")

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._line_feed()
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\x07":
            pass
        elif character < " ":
            raise AssertionError(f"an unknown control character: {character!r}")
        else:
            if self.column == self.columns:  # the cursor waits at the right edge until something follows
                self.column = 0
                self._line_feed()
            self.cells[self.row][self.column] = character
            self.column += 1

    def _line_feed(self) -> None:
        if self.row + 1 < self.rows:
            self.row += 1
            return
        self.history.append("".join(self.cells.pop(0)).rstrip())
        self.cells.append([" "] * self.columns)
