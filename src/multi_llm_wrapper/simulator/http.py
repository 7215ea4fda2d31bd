"""The HTTP shell: a small HTTP/1.1 server on asyncio that writes what the brain planned, when it planned it.

An own protocol, because a web framework cannot do what a simulator must: reset a connection, leave a body unfinished,
write single bytes, and pace thousands of streams on one core.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from .brain import Brain
from .plan import Plan, SimRequest, whole
from .wire import BadRequestError, RequestParser
from .writer import PlanWriter

READ_AHEAD = 256 * 1024
"""Bytes of further requests taken in while one is being answered."""
KEEP_ALIVE = 75.0
"""Seconds that a connection may stay silent between requests, or in the middle of one."""
LINGER = 2.0
"""Seconds to wait for the client to close its side, so that it reads the last reply and not a reset."""

_log = logging.getLogger(__name__)


class SimulatorServer:
    """Serves one brain on one address, in the event loop that `start` is called in."""

    def __init__(self, brain: Brain | None = None) -> None:
        self.brain = brain if brain is not None else Brain()
        self.host = ""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._all_lost = asyncio.Event()

    @property
    def url(self) -> str:
        """`http://host:port`, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def base_url(self, dialect: str) -> str:
        """What a client of this dialect (or provider) takes as its base URL."""
        return self.brain.base_url(self.url, dialect)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, shared: bool = False) -> SimulatorServer:
        """Listens; port 0 takes a free one, `shared` lets other processes listen there, too (SO_REUSEPORT). Raises
        `OSError` when the address is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port, backlog=4096, reuse_port=shared or None)
        self.host = host
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def aclose(self) -> None:
        """Stops listening and drops every connection. Harmless when repeated."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.abort()
        await server.wait_closed()
        if self._connections:  # an aborted transport tells its protocol in the loop's next round
            await self._all_lost.wait()

    def reset(self) -> None:
        """The brain as new, and nothing of before still going on: replies under way are broken off, idle connections
        kept."""
        for connection in list(self._connections):
            if connection.busy:
                connection.abort()
        self.brain.reset()

    async def __aenter__(self) -> SimulatorServer:
        return self if self._server is not None else await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _connection(self) -> _Connection:
        self._all_lost.clear()
        return _Connection(self.brain, self._connections, self._all_lost)


class _Connection(asyncio.Protocol):
    """One client: its requests are answered one after the other, in the order they came."""

    def __init__(self, brain: Brain, connections: set[_Connection], all_lost: asyncio.Event) -> None:
        self._brain = brain
        self._connections = connections
        self._all_lost = all_lost
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(brain.max_body)
        self._writer: PlanWriter | None = None
        self._serving = False
        self._paused = False
        self._ending = False  # nothing more is read from this client
        self._doomed = False  # the next request finds the connection closed
        self._last_read = self._loop.time()
        self._timer = self._loop.call_later(KEEP_ALIVE, self._check_idle)

    # --- what asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._last_read = self._loop.time()
        self._parser.feed(data)
        if self._writer is None and not self._paused:
            self._serve()
        elif self._parser.buffered > READ_AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """A client that closes its side is taken as gone; asyncio closes ours after this."""
        self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hang_up()
        self._timer.cancel()
        self._connections.discard(self)
        if not self._connections:
            self._all_lost.set()

    def pause_writing(self) -> None:
        self._paused = True
        if self._writer is not None:
            self._writer.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._writer is not None:
            self._writer.resume()
        else:
            self._next()

    # --- requests -----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answers what has come whole; returns when a reply takes time, or more bytes are needed."""
        self._serving = True
        while self._writer is None and not (self._ending or self._paused or self._transport.is_closing()):
            try:
                request = self._parser.next()
            except BadRequestError as error:
                self._refuse(error)
                break
            if request is None:
                if self._parser.wants_continue():
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                break
            if self._doomed:
                self._brain.lost(request)
                self._ending = True
                self._transport.abort()
                break
            plan = self._plan(request)
            self._doomed = plan.doomed
            self._answer(request, plan, last=not self._parser.keep_alive)
        self._serving = False

    def _plan(self, request: SimRequest) -> Plan:
        try:
            return self._brain.handle(request)
        except Exception:
            _log.exception("The simulator failed on %s %s", request.method, request.path)
            return whole(500, {"content-type": "text/plain"}, b"The simulator failed; its log says why.\n")

    def _refuse(self, error: BadRequestError) -> None:
        """What HTTP forbids is answered in plain text; a body too long in the provider's own shape."""
        if error.status == 413 and error.head is not None:
            plan = self._brain.too_large(error.head)
        else:
            plan = whole(error.status, {"content-type": "text/plain"}, f"{error}\n".encode())
        self._answer(error.head or SimRequest("GET", "/"), plan, last=True)

    def _answer(self, request: SimRequest, plan: Plan, last: bool) -> None:
        self._writer = writer = PlanWriter(
            self._transport,
            self._loop,
            plan,
            self._reply_ended,
            http11=self._parser.chunked_ok,
            head_only=request.method == "HEAD",
            last=last,
        )
        self._ending = writer.last
        writer.pump()

    def _reply_ended(self) -> None:
        self._writer = None
        self._brain.journal.changed()
        if self._ending:
            self._linger()
        elif not self._serving:
            self._next()

    def _next(self) -> None:
        """The requests that came meanwhile."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._serve()

    # --- ends ---------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """A request is being read or answered."""
        return self._writer is not None or self._parser.buffered > 0

    def abort(self) -> None:
        self._hang_up()
        self._transport.abort()

    def _linger(self) -> None:
        """To close with unread bytes in the socket would send a reset, which may destroy the reply on its way."""
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
            self._timer.cancel()
            self._timer = self._loop.call_later(LINGER, self._transport.close)

    def _hang_up(self) -> None:
        self._ending = True
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None
            self._brain.journal.changed()

    def _check_idle(self) -> None:
        left = self._last_read + KEEP_ALIVE - self._loop.time()
        if self._writer is None and left <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(max(left, 1.0), self._check_idle)
