"""How punctual the simulator is: the intended and the actual time of every paced piece, as a bounded histogram.

A test of latencies is worth as much as the clock that makes them. `report()` says by how much pieces were late, and
from which rate on.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

LATE = 0.010
"""Seconds: a piece later than this counts as late."""
WINDOWS = 900
"""Seconds of history for the rates."""
ENOUGH = 100
"""Pieces in a second below which its rate says nothing."""

_SUB = 16  # buckets for each doubling: a quantile is told to about 6 %
_SIZE = _SUB * 36


class TimingReport(Struct, frozen=True):
    """What the meter found; times in seconds, rates in pieces a second."""

    sends: int
    """Paced pieces measured. What is due at once (flat out) has no time to miss and is not among them."""
    error_p50: float | None
    error_p99: float | None
    error_max: float | None
    """Actual minus intended time. Never negative: no piece is sent early."""
    late_share: float | None
    """Share of pieces that were more than `late_after` behind."""
    late_after: float
    highest_rate_on_time: int | None
    """The most in a second of which at least 99 % were not late. Idle seconds and slow ones say little: load it."""
    saturation_rate: int | None
    """The least in a second of which more than 1 % were late, and that is above the rate before: the simulator's limit
    on this machine. None: never reached. Do not believe latencies measured near it."""


class Meter:
    """Written by the loop that serves, read from any thread."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._counts = [0] * _SIZE
        self._sends = 0
        self._late = 0
        self._max = 0.0
        self._second = -1
        self._now_sends = 0
        self._now_late = 0
        self._windows: deque[tuple[int, int]] = deque(maxlen=WINDOWS)  # (sends, late of them) of each busy second

    def sent(self, due: float, actual: float) -> None:
        """A piece that was due at one time of the loop's clock and written at another."""
        error = actual - due
        if error < 0.0:
            error = 0.0
        second = int(actual)
        if second != self._second:
            self._close()
            self._second = second
        self._counts[_bucket(int(error * 1e6))] += 1
        self._sends += 1
        self._now_sends += 1
        if error > LATE:
            self._late += 1
            self._now_late += 1
        if error > self._max:
            self._max = error

    def report(self) -> TimingReport:
        on_time, saturated = self._rates()
        some = self._sends > 0
        return TimingReport(
            sends=self._sends,
            error_p50=self._quantile(0.50),
            error_p99=self._quantile(0.99),
            error_max=self._max if some else None,
            late_share=self._late / self._sends if some else None,
            late_after=LATE,
            highest_rate_on_time=on_time,
            saturation_rate=saturated,
        )

    def _close(self) -> None:
        if self._now_sends >= ENOUGH:
            self._windows.append((self._now_sends, self._now_late))
        self._now_sends = self._now_late = 0

    def _rates(self) -> tuple[int | None, int | None]:
        windows = [*self._windows, (self._now_sends, self._now_late)] if self._now_sends >= ENOUGH else self._windows
        good = max((sends for sends, late in windows if late * 100 <= sends), default=None)
        bad = [sends for sends, late in windows if late * 100 > sends and sends > (good or 0)]
        return good, min(bad, default=None)

    def _quantile(self, share: float) -> float | None:
        """The upper end of the bucket that holds it, but no more than the longest seen."""
        wanted, seen = share * self._sends, 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_upper(index) / 1e6, self._max)
        return None


def _bucket(micros: int) -> int:
    """Exact below 16 us, above that 16 buckets for each doubling."""
    shift = micros.bit_length() - 5
    return min(micros if shift < 0 else (shift + 1) * _SUB + (micros >> shift) - _SUB, _SIZE - 1)


def _upper(index: int) -> int:
    if index < _SUB:
        return index + 1
    shift, rest = divmod(index - _SUB, _SUB)
    return (rest + _SUB + 1) << shift
