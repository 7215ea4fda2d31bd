"""The in-memory shell: a transport for the client that asks a brain directly, with no socket in between.

All waiting is done on the running loop's clock, so under a virtual clock a minute takes no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ..errors import ConnectionError
from ..transport.base import HTTPRequest
from .brain import Brain
from .journal import Journal
from .plan import Plan, SimRequest, Step

READ_AT_ONCE = 64 * 1024
"""Bytes of a stream given to its reader in one piece, when so many are due."""

_CLOCK_STEP = 1e-6  # a timer may ring this much early (seconds)


class MemoryTransport:
    """Gives the client what `HTTPTransport` would give it from the same brain over HTTP."""

    def __init__(self, brain: Brain | None = None) -> None:
        self.brain = brain if brain is not None else Brain()

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> MemoryReply:
        """Returns when the head of the reply is due. `connect_timeout` has nothing to limit here."""
        url = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        plan = self.brain.handle(SimRequest(request.method, url.path or "/", url.query, headers, request.body))
        reply = MemoryReply(plan, self.brain.journal, head_only=request.method == "HEAD")
        try:
            await reply.wait_for_head()
        except BaseException:
            reply.abort()
            raise
        return reply

    async def aclose(self) -> None:
        """Nothing is open."""


class MemoryReply:
    """A plan read piece by piece, each when it is due; an `HTTPResponse`."""

    __slots__ = (
        "_cut", "_due", "_entry", "_failure", "_journal", "_left", "_loop", "_ready", "_ready_size", "_step", "_steps",
        "_waiter", "headers", "status",
    )  # fmt: skip

    def __init__(self, plan: Plan, journal: Journal, *, head_only: bool = False) -> None:
        self.status = plan.status
        self.headers: Mapping[str, str] = plan.headers
        self._loop = asyncio.get_running_loop()
        self._journal = journal
        self._entry = plan.entry
        self._steps: Iterator[Step] = iter(() if head_only else plan.steps)
        self._left = 0 if head_only else plan.length  # bytes announced and not yet given; None: a stream
        self._step: Step | None = Step(0.0, b"")  # the head
        self._due = self._loop.time() + plan.delay
        self._ready: list[bytes] = []  # sent and not yet read
        self._ready_size = 0
        self._cut = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def wait_for_head(self) -> None:
        await self._until_due()
        self._advance()

    @property
    def arrived(self) -> bool:
        self._take_due()
        return self._step is None

    async def next_chunk(self) -> bytes:
        while self._step is not None and not self._ready:
            await self._until_due()
            self._take_due()
        if self._ready:
            data = b"".join(self._ready)
            self._ready, self._ready_size = [], 0
            await asyncio.sleep(0)  # lets others run, as waiting for a socket would
            return data
        if self._failure is None and (self._cut or self._left):
            self._failure = ConnectionError("The connection broke while the reply was read.", code="broken")
        if self._failure is not None:
            raise self._failure
        return b""

    def abort(self, error: Exception | None = None) -> None:
        if self._step is None:
            return
        self._step = None
        self._ready = []
        self._failure = error or ConnectionError("The reply was closed before its end.", code="broken")
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._failure)
        if self._entry is not None:
            self._entry.hung_up = True
        self._journal.changed()

    def finish(self) -> None:
        self._take_due()
        self.abort()

    def __del__(self) -> None:
        self.abort()

    async def _until_due(self) -> None:
        if self._due <= self._loop.time() + _CLOCK_STEP:
            return
        self._waiter = waiter = self._loop.create_future()
        timer = None if self._due == float("inf") else self._loop.call_at(self._due, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _take_due(self) -> None:
        """What has been sent by now, as much of it as a socket would hold."""
        before, size = len(self._ready), 0
        now = self._loop.time() + _CLOCK_STEP
        while (step := self._step) is not None and self._due <= now and self._ready_size + size < READ_AT_ONCE:
            if step.data:
                self._ready.append(step.data)
                size += len(step.data)
            self._advance()
            if step.cut is not None:
                self._cut, self._step = True, None
        self._ready_size += size
        self._write_down(len(self._ready) - before, size)

    def _advance(self) -> None:
        self._step = next(self._steps, None)
        if self._step is not None:
            self._due += self._step.delay

    def _write_down(self, chunks: int, size: int) -> None:
        if self._left is not None:
            self._left -= size
        if self._entry is not None:
            self._entry.sent_chunks += chunks
            self._entry.sent_bytes += size
            self._entry.done = self._step is None
        if self._step is None:
            self._journal.changed()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
