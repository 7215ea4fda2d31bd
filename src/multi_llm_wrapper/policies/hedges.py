"""How many second requests may be sent because the first is late: a bucket that calls fill and hedges empty."""

from __future__ import annotations

CAPACITY = 10.0
REFILL = 0.1
"""What each call puts back, so that in the long run at most one call in ten is asked twice."""


class Bucket:
    __slots__ = ("level", "sent", "won")

    def __init__(self) -> None:
        self.level = CAPACITY
        self.sent = 0
        self.won = 0

    def refill(self) -> None:
        """A call begins."""
        self.level = min(CAPACITY, self.level + REFILL)

    def take(self) -> bool:
        """Whether a hedge may be sent now; counts it when it may."""
        if self.level < 1.0:
            return False
        self.level -= 1.0
        self.sent += 1
        return True
