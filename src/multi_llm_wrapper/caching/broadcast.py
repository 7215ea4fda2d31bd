"""One stream from the provider, read by all who ask the same at the same time, each from its first chunk on.

What lags behind is bounded: the provider is not read further than `AHEAD` chunks before the fastest reader, a slower
one finds what it missed in larger pieces, and once an answer is longer than `MAX_TAPE` nobody new can join.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

from ..fold import Fold
from ..response import Chunk, Response
from ..types import ReasoningDelta, Reply, TextDelta, ToolCallDelta, Usage
from .flight import Shared

T = TypeVar("T")

AHEAD = 64
PIECES = 1000
"""How many chunks are kept as they came; beyond that, neighbours are joined."""
MAX_TAPE = 8 * 1024 * 1024
"""Characters of an answer that are kept for those who join late."""
LAST = frozenset(("end", "error"))


class Upstream(Protocol):
    """The stream that is read for all."""

    @property
    def response(self) -> Response: ...

    async def batch(self) -> list[Chunk]:
        """The next chunks, at least one; the last of all is an `end` or an `error`."""

    async def aclose(self) -> None: ...


class Tape:
    """Chunks in their order, few of them however many there were."""

    def __init__(self, chunks: list[Chunk] | None = None) -> None:
        self.chunks = chunks or []
        self._room = PIECES

    def add(self, chunks: list[Chunk]) -> None:
        self.chunks += chunks
        if len(self.chunks) > self._room:
            self.chunks = _joined(self.chunks)
            self._room = 2 * len(self.chunks) + PIECES

    def reply(self) -> Reply:
        """What they add up to."""
        fold = Fold(_no_usage)
        for chunk in self.chunks:
            if chunk.type == "text":
                fold.add(TextDelta(chunk.content))
            elif chunk.type == "reasoning":
                fold.add(ReasoningDelta(chunk.reasoning))
            elif chunk.type == "tool_call":
                fold.add(ToolCallDelta(chunk.index or 0, chunk.id, chunk.name, chunk.arguments_delta))
            elif chunk.type == "restart":
                fold = Fold(_no_usage)
        return fold.reply()


class Reader(Generic[T]):
    """One who reads along. `outcome` is there when nothing else will come; with no chunk before it, it is the whole
    answer. `leads`: the stream was opened for this one."""

    def __init__(self, outcome: T | None = None, *, leads: bool = True, cast: Broadcast[T] | None = None) -> None:
        self.outcome = outcome
        self.leads = leads
        self.backlog = Tape()
        self._seen = Tape()
        self._cast = cast
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Chunk]:
        """The next chunks, this reader's own; the last one of all comes alone, when the others have been read."""
        while not self.backlog.chunks and self.outcome is None:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunks = self._take()
        self._seen.add(chunks)
        if self._cast is not None:
            self._cast.go_on()
        return [_copy(chunk) for chunk in chunks]

    @property
    def finished(self) -> bool:
        """Nothing else will come, and all of it has been read."""
        return self.outcome is not None and not self.backlog.chunks

    def _take(self) -> list[Chunk]:
        chunks = self.backlog.chunks
        last = len(chunks) - 1 if len(chunks) > 1 and chunks[-1].type in LAST else len(chunks)
        self.backlog = Tape(chunks[last:])
        return chunks[:last]

    def partial(self) -> Reply:
        """What the chunks so far add up to."""
        return self._seen.reply()

    @property
    def work(self) -> Shared | None:
        """What is being done for this one, who was the first to ask."""
        return self._cast if self.leads else None

    @property
    def joined(self) -> Shared | None:
        """What was being done for another one when this one came."""
        return None if self.leads else self._cast

    def leave(self) -> None:
        if self._cast is not None:
            self._cast.leave(self)

    def wake(self, failure: BaseException | None = None) -> None:
        """There is something new, or `failure` to raise."""
        self._failure = failure
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Broadcast(Shared, Generic[T]):
    """The stream and its readers."""

    def __init__(self, deadline: float) -> None:
        super().__init__(deadline)
        self.readers: list[Reader[T]] = []
        self.late: T | None = None
        self._tape: Tape | None = Tape()
        self._taped = 0
        self._pause: asyncio.Future[None] | None = None

    def join(self) -> Reader[T]:
        if self.late is not None:
            return Reader(self.late, leads=False)
        reader = Reader(leads=not self.readers, cast=self)
        if self._tape is not None:
            reader.backlog = Tape(list(self._tape.chunks))
        self.readers.append(reader)
        return reader

    def leave(self, reader: Reader[T]) -> None:
        if reader not in self.readers:
            return
        self.readers.remove(reader)
        if not self.readers and not self.settled:
            self._abandon()

    # --- for the work -------------------------------------------------------------------------------------------

    def send(self, chunks: list[Chunk]) -> None:
        self._record(chunks)
        for reader in self.readers:
            reader.backlog.add(chunks)
            reader.wake()

    async def room(self) -> None:
        """Waits while even the fastest reader is behind."""
        while self._full():
            self._pause = self.loop.create_future()
            try:
                await self._pause
            finally:
                self._pause = None

    def settle(self, own: T, other: Callable[[], T], late: T | None = None) -> None:
        """Nothing else will come; `own`, `other` and `late` as in `Flight.settle`."""
        self.settled = True
        self.late = late
        for reader in self.readers:
            reader.outcome = own if reader.leads else other()
            reader.wake()
        if late is None:
            self._closed()

    # --- pieces -------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        if self._pause is not None and not self._pause.done() and not self._full():
            self._pause.set_result(None)

    def _full(self) -> bool:
        return bool(self.readers) and min(len(reader.backlog.chunks) for reader in self.readers) >= AHEAD

    def _record(self, chunks: list[Chunk]) -> None:
        if self._tape is None:
            return
        self._tape.add(chunks)
        self._taped += sum([len(chunk.content) + len(chunk.reasoning) + len(chunk.arguments_delta) for chunk in chunks])
        if self._taped > MAX_TAPE:
            self._tape = None
            self._closed()

    def _fail(self, error: BaseException) -> bool:
        for reader in self.readers:
            reader.wake(error)
        return bool(self.readers)

    def _ended(self, task: asyncio.Task[None]) -> None:
        super()._ended(task)
        self.readers.clear()  # which know this one


def _joined(chunks: list[Chunk]) -> list[Chunk]:
    """Neighbours of one kind as one chunk."""
    found: list[Chunk] = []
    for _, run in groupby(chunks, key=lambda chunk: (chunk.type, chunk.index)):
        group = list(run)
        first = _copy(group[0])
        first.content = "".join([chunk.content for chunk in group])
        first.reasoning = "".join([chunk.reasoning for chunk in group])
        first.arguments_delta = "".join([chunk.arguments_delta for chunk in group])
        first.id = next((chunk.id for chunk in group if chunk.id), None)
        first.name = next((chunk.name for chunk in group if chunk.name), None)
        found.append(first)
    return found


def _copy(chunk: Chunk) -> Chunk:
    own = copy.copy(chunk)
    if own.usage is not None:
        own.usage = dict(own.usage)
    return own


def _no_usage(raw: dict[str, Any]) -> Usage:
    return Usage()


__all__ = ["LAST", "Broadcast", "Reader", "Upstream"]
