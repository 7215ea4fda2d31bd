"""Time, as everything in the package that waits or stamps sees it.

A `Clock` is passed in, never looked up, so that a test can hand in one that runs faster. Deadlines and timers are
set on the event loop; `monotonic()` of the default clock is therefore the loop's own time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def time(self) -> float:
        """Unix seconds, for time stamps and ages."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and deadlines; the running event loop's `time()`."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real thing."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        """The running loop's time; without one, the clock that loops go by."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
