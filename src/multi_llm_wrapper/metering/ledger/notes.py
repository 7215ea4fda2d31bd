"""What the log is told of a ledger, and how much it lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

_log = logging.getLogger("multi_llm_wrapper")


class Notes:
    """A trouble is told when it begins, changes and ends; losses once a minute."""

    def __init__(self, name: str, quiet: float, monotonic: Callable[[], float]) -> None:
        self.lost = 0
        self._name, self._quiet, self._monotonic = name, quiet, monotonic
        self._lock = Lock()  # callers lose records, and so does the thread
        self._untold = 0
        self._told = -quiet
        self._trouble = ""

    @property
    def in_trouble(self) -> bool:
        """The last write failed."""
        return bool(self._trouble)

    def lose(self, count: int, why: str) -> None:
        with self._lock:
            self.lost += count
            self._untold += count
            now = self._monotonic()
            if now - self._told < self._quiet:
                return
            self._told = now
            self._tell(why)

    def end(self) -> None:
        with self._lock:
            if self._untold:
                self._tell("the ledger is closed")

    def _tell(self, why: str) -> None:
        _say(logging.ERROR, "the ledger %s lost %d records (%s); %d so far", self._name, self._untold, why, self.lost)
        self._untold = 0

    def left(self, waiting: int) -> None:
        _say(logging.ERROR, "the ledger %s hangs in a write; %d records may be lost", self._name, waiting)

    def failed(self, error: Exception) -> None:
        what = f"{type(error).__name__}: {error}"[:300]
        if what != self._trouble:
            self._trouble = what
            _say(
                logging.WARNING,
                "the ledger %s cannot be written (%s); calls go on, their records wait and it is tried again",
                self._name,
                what,
            )

    def works(self) -> None:
        if self._trouble:
            self._trouble = ""
            _say(logging.WARNING, "the ledger %s is written again", self._name)


def _say(level: int, message: str, *values: object) -> None:
    """A handler of the program's that raises must not end the thread that writes."""
    with suppress(Exception):
        _log.log(level, f"multi_llm_wrapper: {message}", *values)


__all__ = ["Notes"]
