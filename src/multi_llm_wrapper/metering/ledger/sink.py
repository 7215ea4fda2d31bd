"""What the writer of a ledger writes to, and within which bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from ..record import Record


class Sink(Protocol):
    """Where records end up, as long as it is open; used in the thread of the writer alone. It may block and raise."""

    def write(self, records: Sequence[Record]) -> int:
        """All of them or, when it raises, none. How many it had to leave out, because no row can be made of them."""

    def close(self) -> None: ...


class RefusedError(Exception):
    """What is there is not for us; to wait for it is no use."""


class Bounds(Struct, frozen=True):
    queue: int = 10_000
    """Records that may wait: a few MB."""
    batch: int = 500
    """Records in one transaction."""
    gather: float = 0.2
    """Seconds that a record waits for company; with the time of one write, what a `kill -9` can cost."""
    retry: float = 0.5
    """Seconds after the first failure; each further one doubles it, up to ..."""
    slowest: float = 30.0
    flush: float = 5.0
    """Seconds for what waits when the ledger is closed, or the program ends."""
    quiet: float = 60.0
    """Seconds from one word about lost records to the next."""


__all__ = ["Bounds", "RefusedError", "Sink"]
