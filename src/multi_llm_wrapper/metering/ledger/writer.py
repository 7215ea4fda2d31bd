"""A ledger in front of something that blocks: records are put into a bounded queue, which one thread empties.

`add` only appends to the queue; when that is full, new records are lost, which is counted and logged.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Callable
from threading import Lock
from typing import NoReturn

from ..record import Record
from .notes import Notes
from .run import Run
from .sink import Bounds, RefusedError, Sink

CROWDED = 1000
YIELD = 0.0005
"""From so many waiting records on, one call in 50 (and each, before a record would be lost) lets the thread in for so
many seconds: beside a loop that never waits for anything, as with an in-memory double, Python would give it next to no
time. Not while the file cannot be written, for then no waiting helps."""


class Writer:
    """A `Ledger`. `sink` opens what records are written to: in the thread, at the first record and after failures."""

    def __init__(
        self,
        name: str,
        sink: Callable[[], Sink],
        bounds: Bounds = Bounds(),  # noqa: B008  # frozen
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._sink = sink
        self._bounds = bounds
        self._monotonic = monotonic
        self._notes = Notes(name, bounds.quiet, monotonic)
        self._lock = Lock()
        self._run: Run | None = None
        self._closer: weakref.finalize[..., Writer] | None = None
        self._parents: list[Run] = []

    @property
    def lost(self) -> int:
        return self._notes.lost

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return self._run.waiting if self._run is not None else 0

    def add(self, record: Record) -> None:
        run = self._run
        if run is None or run.process != os.getpid():
            run = self._begin()
        waiting = len(run.queue)
        if waiting >= CROWDED and waiting % 50 == 0 and not self._notes.in_trouble:
            time.sleep(YIELD)
        if len(run.queue) >= self._bounds.queue:
            self._notes.lose(1, "too many wait to be written")
            return
        run.queue.append(record)
        if not run.awake.is_set():
            run.wake()

    async def aclose(self) -> None:
        run, self._run = self._run, None
        if run is not None and self._closer is not None and run.process == os.getpid():
            self._closer.detach()
            run.close()
            await asyncio.to_thread(run.join)

    def _begin(self) -> Run:
        with self._lock:
            run = self._run
            if run is not None and run.process != os.getpid():
                self._leave(run)
                run = None
            if run is None:
                run = self._run = Run(self._sink, self._bounds, self._notes)
                self._closer = weakref.finalize(self, run.close)  # nobody is left who could add
                self._closer.atexit = False
            return run

    def _leave(self, run: Run) -> None:
        """After a fork: records and thread are the parent's, and the thread may have held the lock of the notes."""
        self._parents.append(run)  # not even dropped, for that would close what is open
        self._notes = Notes(self.name, self._bounds.quiet, self._monotonic)
        if not run.parted:
            self._sink = _refuse


def _refuse() -> NoReturn:
    raise RefusedError("the process was forked in the middle of a write; fork before the first call")


__all__ = ["YIELD", "Writer"]
