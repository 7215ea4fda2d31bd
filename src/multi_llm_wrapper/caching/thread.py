"""The thread in which a file is read and written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_Queue = deque[tuple[Callable[[], Any], Future[Any]]]

WAITING = 10_000
"""How much may wait for the thread, given up or not: a disk that hangs must not fill the memory."""


class Thread(ThreadPoolExecutor):
    """One thread, and what waits for it. Lookups come first: somebody waits for them, and not for long."""

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="multi-llm-cache")
        self._lookups: _Queue = deque()
        self._writes: _Queue = deque()

    def add(self, work: Callable[[], T], *, first: bool) -> Future[T]:
        queue = self._lookups if first else self._writes
        if len(queue) >= WAITING:
            raise TimeoutError(f"{WAITING} others wait already")
        future: Future[T] = Future()
        queue.append((work, future))
        self.submit(self._do_one)
        return future

    def _do_one(self) -> None:
        """Runs in the thread, once for each that was added."""
        work, future = (self._lookups or self._writes).popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
            del future, work  # the traceback of the error holds this frame


__all__ = ["WAITING", "Thread"]
