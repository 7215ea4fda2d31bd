"""Single-flight: one piece of work for all who want the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared:
    """Work in a task of its own, which more than one waits for. `settled` once it has its outcome.

    The first to wait is the one whose work it is; `deadline` (loop time) is when that one's time is up.
    """

    def __init__(self, deadline: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadline = deadline
        self.settled = False
        self.task: asyncio.Task[None]
        self._closed: Callable[[], None] = _nothing
        self._running: set[Shared] | None = None

    def start(
        self, work: Coroutine[Any, Any, None], closed: Callable[[], None], running: set[Shared] | None = None
    ) -> None:
        """`closed` is called when nobody can join any more, perhaps again; this is in `running` until all has ended."""
        self._closed = closed
        self._running = running
        if running is not None:
            running.add(self)
        self.task = self.loop.create_task(work)
        self.task.add_done_callback(self._ended)

    def then(self, callback: Callable[[], None]) -> None:
        """Calls it when all has ended, at once where it has."""
        if self.task.done():
            callback()
        else:
            self.task.add_done_callback(lambda _: callback())

    def _abandon(self) -> None:
        """Nobody wants it any more."""
        self._closed()
        self.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._closed()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._fail(error) and not task.cancelled():
            self.loop.call_exception_handler({"message": "a shared call failed", "exception": error, "task": task})
        self._closed = _nothing  # leaves no cycle for the garbage collector
        if self._running is not None:
            self._running.discard(self)

    def _fail(self, error: BaseException) -> bool:
        """Tells those who wait, if anybody does."""
        raise NotImplementedError


class Flight(Shared, Generic[T]):
    """Goes on as long as anybody waits: one who leaves does not disturb the others, the last one ends it."""

    def __init__(self, deadline: float) -> None:
        super().__init__(deadline)
        self.late: T | None = None
        self._waiting: list[asyncio.Future[T]] = []

    def settle(self, own: T, other: Callable[[], T], late: T | None = None) -> None:
        """Hands out the outcome: `own` to the first, `other()` to each of those who joined, `late` to those who come
        while the work is still busy with what nobody waits for (None: nobody can join any more)."""
        self.settled = True
        self.late = late
        for number, waiter in enumerate(self._waiting):
            if not waiter.done():
                waiter.set_result(other() if number else own)
        if late is None:
            self._closed()

    async def wait(self) -> T:
        if self.late is not None:
            await asyncio.sleep(0)  # else one who asks again and again would keep the work from its end
            return self.late
        waiter: asyncio.Future[T] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not self.settled and all(one.done() for one in self._waiting):
                self._abandon()
                await asyncio.wait((self.task,))  # what it holds, a connection, is free when the caller goes on
            raise

    def _fail(self, error: BaseException) -> bool:
        waiting = [waiter for waiter in self._waiting if not waiter.done()]
        for waiter in waiting:
            if isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(error)
        return bool(waiting)


def _nothing() -> None:
    pass


__all__ = ["Flight", "Shared"]
