"""How many requests may be under way at one deployment, and who is next: fair between tags, bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from ..errors import LimitExceededError, TimeoutError

MAX_WAITING = 1000


class Gate:
    """`await enter()`, then `leave()`. Waiters of different tags take turns, so that no tag starves another."""

    __slots__ = ("_waiting", "inside", "limit", "max_waiting", "waiting")

    def __init__(self, limit: int, max_waiting: int = MAX_WAITING) -> None:
        self.limit = limit
        self.max_waiting = max_waiting
        self.inside = 0
        self.waiting = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def enter(self, tag: str, deadline: float) -> None:
        """Waits for a place until loop time `deadline`. Raises `LimitExceededError` when the queue is full."""
        if self.inside < self.limit and not self.waiting:
            self.inside += 1
            return
        if self.waiting >= self.max_waiting:
            raise LimitExceededError(
                f"{self.limit} requests are under way and {self.waiting} wait, our limit; raise max_concurrency, or "
                "ask less at once.",
                code="queue_full",
            )
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(tag, deque()).append(place)
        self.waiting += 1
        timer = loop.call_at(deadline, _give_up, place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()  # the place was given to us in the moment in which we were cancelled
            else:
                self._forget(tag, place)
            raise
        finally:
            timer.cancel()

    def resize(self, limit: int) -> None:
        """The limit has changed: those for whom there is room now need not wait for somebody to leave."""
        self.limit = limit
        while self.waiting and self.inside < limit:
            self.inside += 1
            self.leave()

    def leave(self) -> None:
        """Gives the place to the next tag's first waiter, or back."""
        while self._waiting and self.inside <= self.limit:
            tag, places = self._waiting.popitem(last=False)
            place = places.popleft()
            self.waiting -= 1
            if places:
                self._waiting[tag] = places
            if not place.done():
                place.set_result(None)
                return
        self.inside -= 1

    def _forget(self, tag: str, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(tag)
        if places is None or place not in places:
            return
        places.remove(place)
        self.waiting -= 1
        if not places:
            del self._waiting[tag]


def _give_up(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_exception(
            TimeoutError(
                "No place for the request became free within the time of the call; raise timeout or max_concurrency.",
                code="queue_timeout",
            )
        )
