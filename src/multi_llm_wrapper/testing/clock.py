"""A clock that jumps: minutes of waiting run in milliseconds, in the order in which they would have happened.

The event loop is an ordinary one; only its time is not. When nothing is left to do but to wait for a timer, the time
jumps to that timer. Everything that waits on the loop is faster by this, with no change to it: back-off, deadlines,
idle limits, the simulator's pace, `asyncio.sleep` in your own code.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualClock:
    """A `Clock` with an event loop of its own.

        clock = VirtualClock()
        async def scenario() -> None:
            async with LLMWrapper(config, transport=transport, clock=clock) as llm: ...
        clock.run(scenario())

    Both ends of a connection have to be on this loop (an in-memory transport, or a server started on it): bytes from
    another thread or process would seem to take for ever, so timers would fire first.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._start = start
        self._now = 0.0

    def time(self) -> float:
        return self._start + self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Moves the time on; timers that are due fire when the loop turns next."""
        if seconds < 0:
            raise ValueError(f"seconds is {seconds}; time does not go back")
        self._now += seconds

    def loop_factory(self) -> asyncio.AbstractEventLoop:
        """An event loop that lives in this time, for `asyncio.Runner(loop_factory=...)`."""
        return _Loop(self)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs `main` to its end, as `asyncio.run` does."""
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(main)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._virtual = clock
        super().__init__(_Selector(clock))

    def time(self) -> float:
        return self._virtual.monotonic()


class _Selector(selectors.BaseSelector):
    """Instead of waiting for `timeout` seconds it lets them have passed."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._real.select(None)  # no timer at all: only the world outside can go on
        ready = self._real.select(0)
        if not ready and timeout > 0:
            self._clock.advance(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


__all__ = ["VirtualClock"]
