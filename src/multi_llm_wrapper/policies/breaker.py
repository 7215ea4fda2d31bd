"""A circuit breaker: stops asking what keeps failing, and tries it now and then.

Closed until at least `MIN_ATTEMPTS` of the last `WINDOW` seconds are there and half of them failed; then open, with
one probe every `PROBE_EVERY` seconds; the first probe that succeeds closes it with a clean slate.
"""

from __future__ import annotations

WINDOW = 30.0
MIN_ATTEMPTS = 5
FAILURE_SHARE = 0.5
PROBE_EVERY = 5.0
_SLOTS = 10
_SLOT_SECONDS = WINDOW / _SLOTS


class Breaker:
    """Of one deployment. Times are of one monotonic clock; memory is fixed however many attempts are recorded."""

    __slots__ = ("_failed", "_next_probe", "_slot", "_total", "opened")

    def __init__(self) -> None:
        self.opened: float | None = None
        """Since when it is open, or None."""
        self._next_probe = 0.0
        self._slot = 0
        self._total = [0] * _SLOTS
        self._failed = [0] * _SLOTS

    def allows(self, now: float) -> bool:
        """Whether an attempt may be made now: always when closed, a due probe when open."""
        return self.opened is None or now >= self._next_probe

    def begin(self, now: float) -> None:
        """An attempt is made; when open it is the probe, and the next one is due later."""
        if self.opened is not None:
            self._next_probe = now + PROBE_EVERY

    def record(self, ok: bool, now: float) -> None:
        """How an attempt ended."""
        if self.opened is not None:
            if ok:
                self._close()
            return
        slot = self._turn(now)
        self._total[slot] += 1
        if ok:
            return
        self._failed[slot] += 1
        total, failed = sum(self._total), sum(self._failed)
        if total >= MIN_ATTEMPTS and failed >= total * FAILURE_SHARE:
            self.opened = now
            self._next_probe = now + PROBE_EVERY

    def _turn(self, now: float) -> int:
        """The slot of `now`; those in between are emptied."""
        current = int(now / _SLOT_SECONDS)
        for passed in range(min(current - self._slot, _SLOTS)):
            index = (self._slot + passed + 1) % _SLOTS
            self._total[index] = self._failed[index] = 0
        self._slot = max(self._slot, current)
        return current % _SLOTS

    def _close(self) -> None:
        self.opened = None
        self._total = [0] * _SLOTS
        self._failed = [0] * _SLOTS
