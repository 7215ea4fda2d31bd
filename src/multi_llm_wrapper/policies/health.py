"""What is known of one deployment: is it up, is it busy, how fast does it answer."""

from __future__ import annotations

import math
from typing import Any

from ..errors import LLMError
from .breaker import Breaker
from .gate import Gate
from .moves import BREAKS, out_seconds

_HALF_LIFE = 30.0
"""Seconds after which an old latency counts half."""


class Health:
    """Kept by the wrapper for each deployment; times are of the wrapper's monotonic clock."""

    __slots__ = (
        "_latency",
        "_latency_at",
        "attempts",
        "breaker",
        "busy",
        "failures",
        "gate",
        "out_reason",
        "out_since",
        "out_until",
    )

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.busy = 0
        self.attempts = 0
        self.failures = 0
        self.out_until = 0.0
        self.out_since = 0.0
        self.out_reason: str | None = None
        self.gate: Gate | None = None
        self._latency: float | None = None
        self._latency_at = 0.0

    def gate_for(self, limit: int | None) -> Gate | None:
        """The gate of this deployment with the limit that is configured now; None for no limit."""
        if limit is None:
            self.gate = None
        elif self.gate is None:
            self.gate = Gate(limit)
        else:
            self.gate.resize(limit)
        return self.gate

    def available(self, now: float, wait: float = 0.0) -> bool:
        """Whether it can be asked after `wait` seconds, its circuit being as it is now."""
        return now + wait >= self.out_until and self.breaker.allows(now)

    def begin(self, now: float) -> None:
        self.busy += 1
        self.attempts += 1
        self.breaker.begin(now)

    def end(self, error: LLMError | None, seconds: float, now: float, began: float | None = None) -> None:
        """An attempt that took `seconds` to its answer (of a stream: to its first token) ended so. `began`: when it was
        sent; a good answer to what was sent before a take-out does not end it."""
        self.busy -= 1
        if error is None:
            self.breaker.record(True, now)
            if began is None or began >= self.out_since:
                self.out_until, self.out_reason = 0.0, None
            self._learn(seconds, now)
            return
        self.failures += 1
        if error.error_type in BREAKS:
            self.breaker.record(False, now)
        out = out_seconds(error)
        if out is not None:
            self.out_since = now
            self.out_until, self.out_reason = max(self.out_until, now + out), error.error_type

    def dropped(self) -> None:
        """An attempt that was given up (cancelled, or a hedge that lost) says nothing about the deployment."""
        self.busy -= 1

    @property
    def latency(self) -> float | None:
        """Seconds to an answer, lately; None before the first."""
        return self._latency

    def _learn(self, seconds: float, now: float) -> None:
        """A decaying average: the longer nothing was heard, the more the new value counts."""
        if self._latency is None:
            self._latency = seconds
        else:
            keep = min(0.8, math.exp2(-(now - self._latency_at) / _HALF_LIFE))
            self._latency = keep * self._latency + (1 - keep) * seconds
        self._latency_at = now

    def view(self, now: float) -> dict[str, Any]:
        """For people and dashboards."""
        out = max(0.0, self.out_until - now)
        return {
            "available": self.available(now),
            "circuit": "closed" if self.breaker.opened is None else "open",
            "out_seconds": out,
            "out_reason": self.out_reason if out else None,
            "busy": self.busy,
            "attempts": self.attempts,
            "failures": self.failures,
            "latency": self._latency,
        }
