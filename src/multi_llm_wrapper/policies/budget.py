"""The one owner of retries: how often a call may ask, and how long it waits in between.

At most `1 + max_retries` attempts for the whole call, whatever the layers; the wait is what the *latest* failure asked
for, or a back-off with full jitter; a wait that does not fit what is left of the call's time ends the call at once.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from ..errors import LLMError

MAX_WAIT = 60.0
"""A Retry-After beyond this many seconds is not waited for; the caller gets it in the error."""
FIRST_BACKOFF = 0.5
MAX_BACKOFF = 8.0
STALE = "stale_connection"
"""Error code of a pooled connection that had died while idle: nothing was asked, so it costs no retry."""


class Step(NamedTuple):
    """What follows a failure: after `wait` seconds another attempt, on the next route when `move`."""

    wait: float
    move: bool = False


class Budget:
    """Attempts and time of one call. `deadline` is in seconds of the call's monotonic clock. Of the attempts one is
    kept for each route that was not tried yet."""

    __slots__ = ("_random", "_refused", "_stale", "attempts", "deadline", "max_attempts", "untried")

    def __init__(self, max_retries: int, deadline: float, rng: random.Random | None = None, *, routes: int = 1) -> None:
        self.max_attempts = max_retries + routes
        self.deadline = deadline
        self.attempts = 0
        self.untried = routes - 1
        self._refused = 0
        self._stale = False
        self._random = rng or random

    def after(self, error: LLMError, now: float, *, another: bool = False, stay: bool = True) -> Step | None:
        """What follows `error`; None when nothing does. `another`: there is a route that may mend it; `stay`: its own
        route can be asked again. A silent provider is not asked twice when another route exists."""
        if error.code == STALE and not self._stale and now < self.deadline:
            self._stale = True
            self.max_attempts += 1
            return Step(0.0)
        if stay and error.retryable and not (another and error.error_type == "timeout"):
            wait = self._wait(error, now)
            if wait is not None:
                return Step(wait)
        if another and self.attempts < self.max_attempts and now < self.deadline:
            return Step(0.0, move=True)
        return None

    @property
    def spare(self) -> bool:
        """Whether there is an attempt beside those that are kept for untried routes."""
        return self.attempts + self.untried < self.max_attempts

    def routes(self, untried: int, refused: int) -> None:
        """So many have not had their turn, and so many cannot be asked: their attempts are nobody's."""
        self.untried = untried
        self.max_attempts -= refused - self._refused
        self._refused = refused

    def _wait(self, error: LLMError, now: float) -> float | None:
        if not self.spare:
            return None
        wait = self.backoff() if error.retry_after is None else max(0.0, error.retry_after)  # NaN becomes 0 too
        return None if wait > MAX_WAIT or now + wait >= self.deadline else wait

    def backoff(self) -> float:
        """Seconds until the next attempt, where nobody said how many."""
        ceiling = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self.attempts - 1, 10))
        return self._random.uniform(0, ceiling)
