"""Chance that repeats: every choice the simulator makes hangs on its seed and on the request, on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


class Dice:
    """Throws that are a pure function of `parts`: the same parts, the same throws, on every machine.

    (Seeding `random.Random` costs more than a whole short answer.)
    """

    __slots__ = ("_state", "digest")

    def __init__(self, *parts: str | int) -> None:
        text = "\x1f".join(map(str, parts))
        self.digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=14).hexdigest()
        """28 hexadecimal digits that stand for the parts."""
        self._state = int(self.digest[:16], 16)

    def below(self, limit: int) -> int:
        """A whole number from 0 up to, not including, `limit` (at least 1)."""
        # Knuth's MMIX generator; its low bits are weak, so the high ones are used
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return (self._state >> 31) % limit

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def order(self, choices: Sequence[T]) -> list[T]:
        """All choices in a random order."""
        left = list(choices)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]

    def token(
        self, length: int, alphabet: str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ) -> str:
        """Random characters, as ids are made of."""
        size = len(alphabet)
        return "".join([alphabet[self.below(size)] for _ in range(length)])
