"""The time limits of one attempt, with one timer.

`asyncio.timeout` around each wait would cost more than the wait: a stream waits thousands of times. The watch keeps
the moment until which the present wait may last, and one timer that looks at it when it fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .base import HTTPResponse


class Watch:
    """Ends waits that last too long with the exception that `error()` makes.

    `with watch:` bounds the block by `until(...)`, by cancelling the task as `asyncio.timeout` does; it is for the time
    before there is a response. Once `response` is set, a late wait ends by `response.abort(error())`.
    """

    __slots__ = ("_cancelling", "_due", "_error", "_expired", "_handle", "_loop", "_task", "response")

    def __init__(self, loop: asyncio.AbstractEventLoop, error: Callable[[], Exception]) -> None:
        self.response: HTTPResponse | None = None
        self._loop = loop
        self._error = error
        self._due: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = False

    def until(self, when: float) -> None:
        """A wait begins (or goes on) that may last until loop time `when`."""
        self._due = when
        handle = self._handle
        if handle is None:
            self._handle = self._loop.call_at(when, self._fire)
        elif handle.when() > when:
            handle.cancel()
            self._handle = self._loop.call_at(when, self._fire)

    def rest(self) -> None:
        """The wait is over; what the caller does now is not the network's fault."""
        self._due = None

    def stop(self) -> None:
        self._due = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        """Stops for good, and lets go of what it was given, which may hold the watch itself."""
        self.stop()
        self.response = None
        self._error = RuntimeError

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task(self._loop)
        self._cancelling = task.cancelling() if task is not None else 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()
        task, self._task = self._task, None
        if self._expired and task is not None:
            self._expired = False
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise self._error() from None

    def _fire(self) -> None:
        self._handle = None
        due = self._due
        if due is None:
            return
        if self._loop.time() < due:
            self._handle = self._loop.call_at(due, self._fire)
        elif self.response is not None:
            self.response.abort(self._error())
        elif self._task is not None:
            self._expired = True
            self._task.cancel()


MAX_IDLE = 256


class WatchPool:
    """The watches of one loop, kept with their timers for the next attempt.

    A timer that fires too early looks at what is due and sets itself anew, so an attempt that takes a watch from here
    neither sets a timer nor cancels one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._idle: list[Watch] = []

    def take(self, error: Callable[[], Exception]) -> Watch:
        if not self._idle:
            return Watch(self.loop, error)
        watch = self._idle.pop()
        watch._error = error
        return watch

    def give(self, watch: Watch) -> None:
        if len(self._idle) >= MAX_IDLE:
            watch.close()
            return
        watch.rest()
        watch.response = None
        watch._error = RuntimeError
        self._idle.append(watch)

    def clear(self) -> None:
        """Cancels all timers, on the pool's own loop."""
        idle, self._idle = self._idle, []
        for watch in idle:
            watch.close()
