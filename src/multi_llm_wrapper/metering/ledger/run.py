"""A ledger between the first record and the close: the queue, and the thread that empties it.

The thread is woken by a record, lets others gather for a moment, and writes them together. What cannot be written stays
and is tried again, ever more slowly.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread

from ..record import Record
from .notes import Notes
from .sink import Bounds, RefusedError, Sink


class Run:
    """It does not know its `Writer`, which may go."""

    def __init__(self, sink: Callable[[], Sink], bounds: Bounds, notes: Notes) -> None:
        self.process = os.getpid()
        self.queue: deque[Record] = deque()
        self.awake, self._closing = Event(), Event()
        self._batch: list[Record] = []  # taken from the queue, not written yet
        self._open = sink
        self._sink: Sink | None = None
        self._bounds, self._notes = bounds, notes
        self._ends = 0.0
        # A daemon, because Python joins all others before it runs exit handlers: one that waits for work would keep
        # the program alive for ever. The exit handler joins this one, for a limited time.
        self._thread = Thread(target=self._work, name="multi-llm-ledger", daemon=True)
        self._starting = Lock()
        self._using = Lock()  # the sink
        self.parted = True
        atexit.register(self._finish)
        _runs.add(self)

    @property
    def waiting(self) -> int:
        return len(self.queue) + len(self._batch)

    def wake(self) -> None:
        self.awake.set()
        if self._thread.ident is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread.ident is None:
                try:
                    self._thread.start()
                except RuntimeError as error:  # no more threads; the next record tries again
                    self.awake.clear()
                    self._notes.failed(error)

    def close(self) -> None:
        """Tells the thread to write what waits, and to end."""
        self._ends = time.monotonic() + self._bounds.flush
        self._closing.set()
        self.awake.set()

    def join(self) -> None:
        if self._thread.ident is None:
            self._work()  # it could not be started
            return
        self._thread.join(self._bounds.flush + 0.5)
        if self._thread.is_alive():
            self._notes.left(self.waiting)

    def _finish(self) -> None:
        """The program ends."""
        if self.process == os.getpid():
            self.close()
            self.join()

    # --- in the thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while self.waiting or not self._closing.is_set():
            self.awake.wait()
            self._closing.wait(self._bounds.gather)
            self.awake.clear()  # before the look into the queue: what is added now wakes anew
            if not self._write_all():
                break
        self._close_sink()
        if self.waiting:
            self._notes.lose(self.waiting, "the ledger was closed, and they could not be written")
        self._notes.end()
        atexit.unregister(self._finish)

    def _write_all(self) -> bool:
        """Until nothing waits. False when it is closed and no more can be done."""
        failures = 0
        while self._take():
            try:
                self._write()
            except Exception as error:
                failures += 1
                self._close_sink()
                self._notes.failed(error)
                if not self._pause(failures, error):
                    return False
            else:
                failures = 0
        return True

    def _take(self) -> list[Record]:
        if not self._batch:
            self._batch = [self.queue.popleft() for _ in range(min(len(self.queue), self._bounds.batch))]
        return self._batch

    def _write(self) -> None:
        with self._using:
            if self._sink is None:
                self._sink = self._open()
            unfit = self._sink.write(self._batch)
            self._batch = []
        self._notes.works()
        if unfit:
            self._notes.lose(unfit, "no row can be made of them")

    def _pause(self, failures: int, error: Exception) -> bool:
        """Waits until it is worth another attempt; False when there is none."""
        wait = min(self._bounds.retry * 2.0 ** min(failures - 1, 60), self._bounds.slowest)
        if not self._closing.is_set():
            self._closing.wait(wait)
            return True
        left = self._ends - time.monotonic()
        if left <= 0 or isinstance(error, RefusedError):
            return False
        time.sleep(min(left, self._bounds.retry))
        return True

    def _close_sink(self) -> None:
        with self._using:
            self._drop_sink()

    def _drop_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            try:
                sink.close()
            except Exception as error:
                self._notes.failed(error)

    # --- around a fork ------------------------------------------------------------------------------------------

    def part(self) -> None:
        """Closes the sink, until `resume`: a connection that a child inherits spoils the file for both of them (SQLite
        takes locks for its own that only the parent has), even when the child opens another."""
        self.parted = self._using.acquire(timeout=self._bounds.flush)
        if self.parted:
            self._drop_sink()

    def resume(self) -> None:
        if self.parted:
            self._using.release()
        self.parted = True


_runs: weakref.WeakSet[Run] = weakref.WeakSet()
"""For the hooks around a fork, which cannot be withdrawn and so are there once."""


def _part() -> None:
    for run in list(_runs):
        run.part()


def _resume() -> None:
    for run in list(_runs):
        run.resume()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_part, after_in_parent=_resume, after_in_child=_runs.clear)


__all__ = ["Run"]
