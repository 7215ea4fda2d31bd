"""How long something took, over any number of times, in 10 KB.

One idea: buckets as wide as a fixed share of their value. Forty of them to a doubling make each 1.75 % wide, so its
middle is at most 0.88 % away from whatever fell in, be that microseconds or an hour. Counts of buckets add up, and so
do histograms; averages of percentiles would not.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from math import exp2, log2
from operator import add

PER_DOUBLING = 40
LOWEST, HIGHEST = 2.0**-20, 2.0**12
"""Seconds between which buckets tell values apart: a microsecond and 68 minutes."""
ERROR = exp2(0.5 / PER_DOUBLING) - 1
"""How far a quantile may be from the value it stands for, as a share of it: half a bucket."""

_FIRST = -PER_DOUBLING * log2(LOWEST)
_BUCKETS = PER_DOUBLING * 32 + 1  # the last one is of what is too long


class Histogram:
    """Seconds, counted in buckets; smallest, largest and sum are exact. Its size is the same from the start to the end.

    What is shorter than `LOWEST` or longer than `HIGHEST` counts in the outermost bucket.
    """

    __slots__ = ("_buckets", "maximum", "minimum", "sum")

    def __init__(self) -> None:
        self.sum = 0.0
        self.minimum = math.inf
        self.maximum = 0.0
        self._buckets = array("Q", [0]) * _BUCKETS

    def record(self, seconds: float) -> None:
        self.sum += seconds
        if seconds > self.maximum:
            self.maximum = seconds
        if seconds < self.minimum:
            self.minimum = seconds
        if LOWEST <= seconds < HIGHEST:
            self._buckets[int(log2(seconds) * PER_DOUBLING + _FIRST)] += 1
        else:
            self._buckets[0 if seconds < LOWEST else -1] += 1

    def merge(self, other: Histogram) -> None:
        """Take in what the other one counted, as if all of it had been recorded here."""
        self.sum += other.sum
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self._buckets = array("Q", list(map(add, self._buckets, other._buckets)))

    @classmethod
    def merged(cls, parts: Iterable[Histogram | None]) -> Histogram:
        """A new one of all that is there."""
        whole = cls()
        for part in parts:
            if part is not None:
                whole.merge(part)
        return whole

    @property
    def count(self) -> int:
        return sum(self._buckets)

    @property
    def mean(self) -> float:
        """Seconds; 0.0 when there is nothing."""
        return self.sum / (self.count or 1)

    def quantile(self, q: float) -> float:
        """The value of rank `q * count`, rounded up, among all in their order, within `ERROR`; 0.0 of nothing."""
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q must be from 0 to 1, not {q!r}; the 95th percentile is 0.95.")
        reached = list(accumulate(self._buckets))
        rank = math.ceil(q * reached[-1] - 1e-9)  # 0.07 * 100 is a little more than 7
        middle = exp2((bisect_left(reached, rank) + 0.5 - _FIRST) / PER_DOUBLING)
        return min(max(middle, self.minimum), self.maximum)

    def summary(self) -> dict[str, float]:
        """`count`, and in seconds `mean`, `p50`, `p90`, `p95`, `p99` and `max`; all 0 when there is nothing."""
        percentiles = {f"p{percent}": self.quantile(percent / 100) for percent in (50, 90, 95, 99)}
        return {"count": self.count, "mean": self.mean, **percentiles, "max": self.maximum}


__all__ = ["ERROR", "HIGHEST", "LOWEST", "Histogram"]
