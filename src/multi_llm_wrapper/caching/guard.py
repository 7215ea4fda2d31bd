"""What stands between a call and a store that may be slow, down or wrong: it never raises and never waits for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from ..clock import Clock
from .store import Store

T = TypeVar("T")

TOLERATED = 3
"""Failures one after the other until the store is left alone ..."""
REST = 5.0
"""... for so many seconds; then one lookup tries whether it is back."""
WRITE_TIMEOUT = 2.0
"""Seconds for a write. The caller has the answer already; only `aclose()` may wait for it."""

_log = logging.getLogger("multi_llm_wrapper")


class Tally(Struct):
    """What `Cache.stats()` tells. `shared` counts answers to somebody else's request of the same moment, `skipped` what
    was not tried (the store rests) or not kept (too large, not whole)."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    stores: int = 0
    errors: int = 0
    skipped: int = 0


class Guard:
    """`get` gives None and `put` False for whatever goes wrong; the tally says how often."""

    def __init__(self, store: Store, clock: Clock, tally: Tally) -> None:
        self.store = store
        self._clock = clock
        self._tally = tally
        self._failures = 0
        self._rests_until = 0.0

    async def get(self, key: str, now: float) -> bytes | None:
        return await self._ask(lambda: self.store.get(key, now), self.store.timeout)

    async def put(self, key: str, value: bytes, now: float, expires: float) -> None:
        kept = await self._ask(lambda: self.store.put(key, value, now, expires), WRITE_TIMEOUT)
        if kept:
            self._tally.stores += 1
        elif kept is False:
            self._tally.skipped += 1

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self.store.aclose()
        except Exception as error:
            self._failed(error)

    async def _ask(self, ask: Callable[[], asyncio.Future[T]], timeout: float) -> T | None:
        """None when there is no answer in time. Not `asyncio.timeout`: when it was the loop that was late, the answer
        is there and counts."""
        if self._rests():
            self._tally.skipped += 1
            return None
        try:
            answer = ask()
            try:
                await asyncio.wait((answer,), timeout=timeout)
                if not answer.done():
                    raise TimeoutError(f"no answer within {timeout:g} s")
            finally:
                answer.cancel()
            result = answer.result()
        except Exception as error:
            self._failed(error)
            return None
        if self._failures >= TOLERATED:
            _log.warning("multi_llm_wrapper: the cache %s is back", self.store.name)
        self._failures, self._rests_until = 0, 0.0
        return result

    def _rests(self) -> bool:
        now = self._clock.monotonic()
        if now < self._rests_until:
            return True
        if self._failures >= TOLERATED:
            self._rests_until = now + REST  # the others rest on while this one tries
        return False

    def _failed(self, error: Exception) -> None:
        self._tally.errors += 1
        self._failures += 1
        if self._failures >= TOLERATED:
            self._rests_until = self._clock.monotonic() + REST
        if self._failures == TOLERATED:
            what = f"{type(error).__name__}: {error}"[:200]
            _log.warning("multi_llm_wrapper: the cache %s fails (%s); calls go on without it", self.store.name, what)


__all__ = ["REST", "TOLERATED", "WRITE_TIMEOUT", "Guard", "Tally"]
