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
"""Failures one after the other until the store is left alone, by lookups and by writes each on their own account ..."""
REST = 5.0
"""... for so many seconds; then one tries whether it is back."""
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
        self._tally = tally
        self._lookups = _Breaker(f"lookups in the cache {store.name}", clock)
        self._writes = _Breaker(f"writes to the cache {store.name}", clock)

    async def get(self, key: str, now: float) -> bytes | None:
        return await self._ask(self._lookups, lambda: self.store.get(key, now), self.store.timeout)

    async def put(self, key: str, value: bytes, now: float, expires: float) -> None:
        kept = await self._ask(self._writes, lambda: self.store.put(key, value, now, expires), WRITE_TIMEOUT)
        if kept:
            self._tally.stores += 1
        elif kept is False:
            self._tally.skipped += 1

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self.store.aclose()
        except Exception:
            self._tally.errors += 1

    async def _ask(self, breaker: _Breaker, ask: Callable[[], asyncio.Future[T]], timeout: float) -> T | None:
        """None when there is no answer in time. Not `asyncio.timeout`: when it was the loop that was late, the answer
        is there and counts."""
        begun = breaker.begin()
        if begun is None:
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
            self._tally.errors += 1
            breaker.failed(begun, error)
            return None
        if result is not False:  # what is too large for the store says nothing of it
            breaker.worked()
        return result


class _Breaker:
    """Lets a kind of operation rest when one after the other fails.

    Those that overlap may all fail for one and the same reason, be it only that they were many. So a failure counts
    only when its operation began after the last that counted was noticed.
    """

    def __init__(self, what: str, clock: Clock) -> None:
        self._what = what
        self._clock = clock
        self._counted = 0
        self._forgiven = 0  # of those counted, by the last success
        self._rests_until = 0.0

    def begin(self) -> int | None:
        """What `failed` wants to know later; None while the operations rest."""
        if self._is_open():
            now = self._clock.monotonic()
            if now < self._rests_until:
                return None
            self._rests_until = now + REST  # the others rest on while this one tries
        return self._counted

    def failed(self, begun: int, error: Exception) -> None:
        if begun != self._counted:
            return
        self._counted += 1
        if self._is_open():
            self._rests_until = self._clock.monotonic() + REST
        if self._counted - self._forgiven == TOLERATED:
            text = f"{type(error).__name__}: {error}"[:200]
            _log.warning("multi_llm_wrapper: %s fail (%s); calls go on without", self._what, text)

    def worked(self) -> None:
        if self._is_open():
            _log.warning("multi_llm_wrapper: %s work again", self._what)
        self._forgiven = self._counted

    def _is_open(self) -> bool:
        return self._counted - self._forgiven >= TOLERATED


__all__ = ["REST", "TOLERATED", "WRITE_TIMEOUT", "Guard", "Tally"]
