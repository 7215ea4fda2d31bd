"""The in-memory shell: a transport for the client that asks a brain directly, with no socket in between.

All waiting is done on the running loop's clock, so under a virtual clock a minute takes no time.
"""

from __future__ import annotations

import asyncio
import zlib
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
        self._doomed: dict[str, int] = {}  # host -> connections in the pool that would turn out to be dead

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> MemoryReply:
        """Returns when the head of the reply is due. `connect_timeout` has nothing to limit here."""
        url = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = SimRequest(request.method, url.path or "/", url.query, headers, request.body)
        if self._doomed.get(url.netloc):
            self._doomed[url.netloc] -= 1
            self.brain.lost(asked)
            raise ConnectionError(f"{url.netloc} had closed the idle connection.", code="stale_connection")
        plan = self.brain.handle(asked)
        if plan.doomed:
            self._doomed[url.netloc] = self._doomed.get(url.netloc, 0) + 1
        reply = MemoryReply(plan, self.brain.journal, head_only=request.method == "HEAD")
        try:
            await reply.wait_for_head()
            if plan.cut is not None:
                reply.drop()
                raise ConnectionError(f"{url.netloc} closed the connection before it answered.", code="disconnected")
        except BaseException:
            reply.abort()
            raise
        return reply

    async def aclose(self) -> None:
        """Nothing is open."""


class MemoryReply:
    """A plan read piece by piece, each when it is due; an `HTTPResponse`."""

    __slots__ = (
        "_cut", "_due", "_entry", "_failure", "_inflate", "_journal", "_left", "_loop", "_meter", "_ready",
        "_ready_size", "_start", "_step", "_steps", "_waited", "_waiter", "headers", "status",
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
        self._meter = plan.meter
        self._start = self._loop.time()
        self._due = self._start + plan.delay
        self._waited = -1.0  # the due time that a timer was set for
        self._ready: list[bytes] = []  # sent and not yet read
        self._ready_size = 0
        self._cut = False
        self._failure: Exception | None = None
        packed = plan.headers.get("content-encoding") == "gzip"
        self._inflate = zlib.decompressobj(31) if packed else None
        self._waiter: asyncio.Future[None] | None = None

    async def wait_for_head(self) -> None:
        await self._until_due()
        self._advance()

    @property
    def arrived(self) -> bool:
        self._take_due()
        return self._step is None

    async def next_chunk(self) -> bytes:
        while self._step is not None or self._ready:
            while self._step is not None and not self._ready:
                await self._until_due()
                self._take_due()
            if self._ready:
                data = b"".join(self._ready)
                self._ready, self._ready_size = [], 0
                await asyncio.sleep(0)  # lets others run, as waiting for a socket would
                if data := self._inflated(data):
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
            self._entry.ended = self._loop.time() - self._start
        self._journal.changed()

    def drop(self) -> None:
        """The connection was cut before the head: as planned, so nobody hung up."""
        self._cut, self._step = True, None
        self._write_down([], 0)

    def finish(self) -> None:
        self._take_due()
        self.abort()

    def __del__(self) -> None:
        self.abort()

    def _inflated(self, data: bytes) -> bytes:
        if self._inflate is None:
            return data
        try:
            return self._inflate.decompress(data)
        except zlib.error:
            error = ConnectionError("The reply could not be decompressed (ContentEncodingError).", code="bad_encoding")
            self.abort(error)
            raise error from None

    async def _until_due(self) -> None:
        if self._due <= self._loop.time() + _CLOCK_STEP:
            return
        self._waited = self._due
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
        dues: list[float] = []
        size = 0
        now = self._loop.time() + _CLOCK_STEP
        while (step := self._step) is not None and self._due <= now and self._ready_size + size < READ_AT_ONCE:
            if step.data:
                self._ready.append(step.data)
                size += len(step.data)
                dues.append(self._due)
            self._advance()
            if step.cut is not None:
                self._cut, self._step = True, None
        self._ready_size += size
        self._write_down(dues, size)

    def _advance(self) -> None:
        self._step = next(self._steps, None)
        if self._step is not None:
            self._due += self._step.delay

    def _write_down(self, dues: list[float], size: int) -> None:
        if self._left is not None:
            self._left -= size
        now = self._loop.time()
        if self._meter is not None and dues and dues[0] == self._waited:  # what nobody waited for was not late
            self._meter.sent(dues[0], now)
        if self._entry is not None:
            self._entry.sent_chunks += len(dues)
            self._entry.sent_bytes += size
            if dues:
                self._entry.sent(dues, now, self._start)
            if self._step is None and not self._entry.done:
                self._entry.done, self._entry.ended = True, now - self._start
        if self._step is None:
            self._journal.changed()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
