"""The one owner of retries: how often a call may ask, and how long it waits in between.

At most `1 + max_retries` attempts for the whole call, whatever the layers; the wait is what the *latest* failure asked
for, or a back-off with full jitter; a wait that does not fit what is left of the call's time ends the call at once.
"""

from __future__ import annotations

import random

from ..errors import LLMError

MAX_WAIT = 60.0
"""A Retry-After beyond this many seconds is not waited for; the caller gets it in the error."""
FIRST_BACKOFF = 0.5
MAX_BACKOFF = 8.0
STALE = "stale_connection"
"""Error code of a pooled connection that had died while idle: nothing was asked, so it costs no retry."""


class Budget:
    """Attempts and time of one call. `deadline` is in seconds of the call's monotonic clock."""

    __slots__ = ("_random", "_stale", "attempts", "deadline", "max_attempts")

    def __init__(self, max_retries: int, deadline: float, rng: random.Random | None = None) -> None:
        self.max_attempts = 1 + max_retries
        self.deadline = deadline
        self.attempts = 0
        self._stale = False
        self._random = rng or random

    def wait_after(self, error: LLMError, now: float) -> float | None:
        """Seconds to wait before the next attempt; None when there is none."""
        if error.code == STALE and not self._stale and now < self.deadline:
            self._stale = True
            self.max_attempts += 1
            return 0.0
        if not error.retryable or self.attempts >= self.max_attempts:
            return None
        wait = self._backoff() if error.retry_after is None else max(0.0, error.retry_after)  # NaN becomes 0 too
        if wait > MAX_WAIT or now + wait >= self.deadline:
            return None
        return wait

    def _backoff(self) -> float:
        ceiling = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self.attempts - 1, 10))
        return self._random.uniform(0, ceiling)
