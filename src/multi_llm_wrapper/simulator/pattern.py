"""Strings that match a regular expression, for JSON schemas with `pattern`.

Covers what such schemas use: literals, classes, groups, alternatives, quantifiers, anchors at the ends. What it does
not cover (look-around, back references, Unicode classes) it says with `UnsupportedPatternError`; it never guesses.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

from .dice import Dice

_WORD = string.ascii_lowercase + string.digits
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_CLASSES = {
    "d": string.digits,
    "w": _WORD,
    "s": " ",
    "D": string.ascii_lowercase,
    "W": "-.,:",
    "S": _WORD,
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_BRACES = re.compile(r"\{(\d{1,6})(,(\d{1,6})?)?\}")
_ANY = 1_000_000
_MAX_DEPTH = 50
_MAX_REPEAT = 10_000
_MAX_LENGTH = 20_000


class UnsupportedPatternError(Exception):
    """The expression has something in it that no string is made for."""


Piece = Callable[[Dice, int], str]
"""Makes a string; the number says how many repetitions to add to the fewest allowed."""


def compile_pattern(pattern: str) -> Piece:
    """What makes strings for `pattern`. Raises `UnsupportedPatternError`."""
    reader = _Reader(pattern)
    piece = reader.alternatives(0)
    if reader.more():
        raise UnsupportedPatternError(f"unbalanced ) in {pattern!r}")
    return piece


class _Reader:
    """Recursive descent over the expression."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._pattern)

    def peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise UnsupportedPatternError(f"{self._pattern!r} ends too early")
        self._at += 1
        return char

    def skip(self, text: str) -> bool:
        if self._pattern.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def alternatives(self, depth: int) -> Piece:
        if depth > _MAX_DEPTH:
            raise UnsupportedPatternError("groups are nested too deep")
        branches = [self._sequence(depth)]
        while self.skip("|"):
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else lambda dice, extra: dice.pick(branches)(dice, extra)

    def _sequence(self, depth: int) -> Piece:
        pieces: list[Piece] = []
        while self.more() and self.peek() not in "|)":
            atom = self._atom(depth)
            if atom is not None:
                pieces.append(self._repeated(atom))
        return lambda dice, extra: "".join([piece(dice, extra) for piece in pieces])

    def _atom(self, depth: int) -> Piece | None:
        char = self.take()
        if char in "^$":
            return None  # right only at the ends; whoever asked checks the string
        if char == "(":
            return self._group(depth)
        if char == "[":
            return _one_of(self._class())
        if char == ".":
            return _one_of(_WORD)
        if char == "\\":
            chars = self._escape()
            return _one_of(chars) if chars else None
        if char in "*+?":
            raise UnsupportedPatternError(f"nothing to repeat in {self._pattern!r}")
        return _one_of(char)

    def _group(self, depth: int) -> Piece:
        if self.skip("?"):
            if self.skip("<") or self.skip("P<"):
                if self.peek() in "=!":
                    raise UnsupportedPatternError("look-behind")
                while self.take() != ">":
                    pass
            elif not self.skip(":"):
                raise UnsupportedPatternError("look-ahead or flags")
        piece = self.alternatives(depth + 1)
        if not self.skip(")"):
            raise UnsupportedPatternError(f"unbalanced ( in {self._pattern!r}")
        return piece

    def _escape(self) -> str:
        """The characters that an escape stands for; none for a word boundary."""
        char = self.take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in "bB":
            return ""
        if char in "ux":
            digits = "".join(self.take() for _ in range(4 if char == "u" else 2))
            try:
                return chr(int(digits, 16))
            except ValueError:
                raise UnsupportedPatternError(f"the escape \\{char}{digits}") from None
        if char.isalnum():
            raise UnsupportedPatternError(f"the escape \\{char}")
        return char

    def _class(self) -> str:
        """The characters of `[...]`, after its opening bracket."""
        negated = self.skip("^")
        if self.peek() == "]":
            raise UnsupportedPatternError("an empty class")
        chars = ""
        while not self.skip("]"):
            chars += self._class_item()
        if negated:
            chars = "".join(c for c in _WORD + _PRINTABLE if c not in chars)
        if not chars:
            raise UnsupportedPatternError("a class with no printable character")
        return chars

    def _class_item(self) -> str:
        """One character, an escape, or a range."""
        first = self._class_char()
        rest = self._pattern[self._at : self._at + 2]
        if len(first) != 1 or rest[:1] != "-" or rest in ("-]", "-"):
            return first
        self.take()
        last = self._class_char()
        if len(last) != 1 or ord(last) < ord(first):
            raise UnsupportedPatternError(f"a range from {first!r} to {last!r}")
        return "".join(map(chr, range(ord(first), min(ord(last), ord(first) + 127) + 1)))

    def _class_char(self) -> str:
        if self.skip("\\b"):
            return "\b"
        return self._escape() if self.skip("\\") else self.take()

    def _repeated(self, atom: Piece) -> Piece:
        least, most = 0, _ANY
        if self.skip("+"):
            least = 1
        elif self.skip("?"):
            most = 1
        elif braces := _BRACES.match(self._pattern, self._at):
            self._at = braces.end()
            least = int(braces[1])
            most = least if braces[2] is None else int(braces[3] or _ANY)
        elif not self.skip("*"):
            return atom
        self.skip("?")  # lazy or not, the same strings match
        if least > _MAX_REPEAT or most < least:
            raise UnsupportedPatternError(f"a repetition from {least} to {most}")
        return _repeat(atom, least, most)


def _one_of(chars: str) -> Piece:
    return lambda dice, extra: dice.pick(chars)


def _repeat(atom: Piece, least: int, most: int) -> Piece:
    def make(dice: Dice, extra: int) -> str:
        out, size = [], 0
        for _ in range(min(least + extra, most)):
            out.append(atom(dice, extra))
            size += len(out[-1])
            if size > _MAX_LENGTH:
                raise UnsupportedPatternError("its strings are too long")
        return "".join(out)

    return make
