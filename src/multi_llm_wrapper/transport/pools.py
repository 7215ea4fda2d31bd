"""One pool of connections per event loop, closed with whatever ends first: the owner, the loop, or the garbage
collector.

Connections, DNS, TLS, proxies and the parser are aiohttp's. What goes over a connection is written here, in one piece:
`aiohttp.ClientSession` spends more on a request (a task, a writer, a cookie jar, two header maps) than all of our call.

aiohttp warns when connections are dropped open. Users of a client in a script do not want that noise, so:

- the end of the loop (`asyncio.run`, `Runner.close`) closes asynchronous generators: one is parked on each loop whose
  last act is to close the pool;
- a finalizer holds the connector until the pool is collected, so it is never collected open, and then closes it.

Connections are never closed politely (flushing what is unsent, waiting for the other side's TLS goodbye) but at once:
a server that does not read or does not answer must not keep a socket of ours.
"""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

MAX_KEPT = 1000
"""How many ways to URLs, and beginnings of requests on each, are kept for the next call."""
_PIECE = 256 * 1024
"""A larger body is handed over in pieces of this size, each when the one before has gone out."""
_ACCEPTED = {"accept": "*/*", "accept-encoding": "gzip, deflate"}
_OURS = frozenset(("content-length", "transfer-encoding"))
"""Headers that say where a body ends, which is not the caller's to say."""


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A connection from the pool turned out to be dead: the server had closed it while it lay idle."""


class Pools:
    """Gives the running loop's pool, opening it when there is none."""

    def __init__(self) -> None:
        self._pools: dict[int, Pool] = {}

    def current(self) -> Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(id(loop))
        if pool is None or pool.loop is not loop or pool.connector.closed:
            pool = self._open(loop)
        return pool

    def _open(self, loop: asyncio.AbstractEventLoop) -> Pool:
        for key in [key for key, pool in self._pools.items() if pool.loop.is_closed()]:
            self._pools.pop(key).release()
        pool = self._pools[id(loop)] = Pool(loop)
        return pool

    async def aclose(self) -> None:
        here = asyncio.get_running_loop()
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            if pool.loop is here:
                pool.release.detach()
                await pool.hook.aclose()
            else:
                pool.release()


class Pool:
    """The connections of one loop, and the ways to what was asked from it; `hook` closes it at the end of its loop."""

    __slots__ = ("__weakref__", "connector", "hook", "loop", "release", "routes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connector = Connector(limit=0, keepalive_timeout=30)
        self.hook = _close_at_loop_end(self.connector)
        self.release = weakref.finalize(self, _release, loop, self.connector)
        self.routes: dict[Hashable, Route] = {}
        # One step parks the generator at its `yield` and registers it with the running loop, without suspending us.
        with suppress(StopIteration):
            self.hook.__anext__().send(None)

    def keep(self, key: Hashable, route: Route) -> Route:
        if len(self.routes) >= MAX_KEPT:
            self.routes.clear()
        self.routes[key] = route
        return route


class Route:
    """The way to one URL: what the connector goes by, and how requests there begin."""

    __slots__ = ("_heads", "request")

    def __init__(
        self, url: URL, proxy: URL | None, trust: ssl.SSLContext | bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Raises `ValueError` for an URL or a proxy that leads nowhere."""
        self.request = ClientRequest("GET", url, loop=loop, proxy=proxy, ssl=trust)
        self._heads: dict[tuple[str, tuple[tuple[str, str], ...]], bytes] = {}

    def head(self, method: str, headers: Mapping[str, str]) -> bytes:
        """Request line and headers up to the length of the body. To be asked for when the connection is there: with
        it a proxy's credentials have come."""
        key = (method, tuple(headers.items()))
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= MAX_KEPT:
                self._heads.clear()
            head = self._heads[key] = self._written(method, headers)
        return head

    def _written(self, method: str, headers: Mapping[str, str]) -> bytes:
        request = self.request
        named = {"host": request.headers["host"], **_ACCEPTED}
        if "proxy-authorization" in request.headers:
            named["proxy-authorization"] = request.headers["proxy-authorization"]
        named.update((name.lower(), value) for name, value in headers.items() if name.lower() not in _OURS)
        url = request.url
        target = str(url) if request.proxy and not request.is_ssl() else url.raw_path_qs
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        if any(end in line for line in lines for end in "\r\n\0"):
            raise ValueError("a header has a line end in it")
        return "\r\n".join([*lines, "content-length: "]).encode()


async def _close_at_loop_end(connector: Connector) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        connector.abort()
        await connector.close()


def _release(loop: asyncio.AbstractEventLoop, connector: Connector) -> None:
    """Closes a pool from outside its loop: from a finalizer, another loop, or after its loop has ended."""
    if connector.closed:
        return
    if not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(connector.abort)
            return
    connector.abort()


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which closes connections at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(Line, loop=self._loop)  # type: ignore[assignment]  # aiohttp names its own class

    def abort(self) -> None:
        """Closes all connections, in use or not, and itself."""
        idle = [protocol for pool in self._conns.values() for protocol, _ in pool]
        for protocol in (*idle, *self._acquired):
            _abort(self._loop, protocol)
        self._close()

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        should_close = should_close or protocol.unsent or protocol.should_close
        if should_close:
            _abort(self._loop, protocol)
        if not self._loop.is_closed():
            super()._release(key, protocol, should_close=should_close)


class Line(ResponseHandler):
    """A connection, to be asked one question after the other."""

    served = False
    _rest: memoryview | None = None

    async def ask(self, head: bytes, body: bytes) -> tuple[Any, aiohttp.StreamReader]:
        """Sends a request, and gives the reply's message and its body. What breaks here was no whole reply's head."""
        reused, self.served = self.served, True
        if reused and self.should_close:  # the server said something, or left, while nobody asked
            raise StaleConnectionError
        self.set_response_params(read_until_eof=True)
        self._send(b"%b%d\r\n\r\n" % (head, len(body)), body)
        try:
            message, payload = await self.read()
            while 100 <= message.code < 200 and message.code != 101:  # "continue" and the like: the reply is to come
                message, payload = await self.read()
        except (aiohttp.ServerDisconnectedError, OSError) as error:
            if reused:
                raise StaleConnectionError from error
            raise
        return message, payload

    @property
    def unsent(self) -> bool:
        """A part of the last request has not gone out yet."""
        transport = self.transport
        return self._rest is not None or (transport is not None and transport.get_write_buffer_size() > 0)

    def _send(self, head: bytes, body: bytes) -> None:
        if len(body) <= _PIECE:
            self._write(head + body)
            return
        self._write(head)
        self._rest = memoryview(body)
        self._go_on()

    def _go_on(self) -> None:
        while (rest := self._rest) is not None and not self._paused:
            self._rest = rest[_PIECE:] if len(rest) > _PIECE else None
            self._write(rest[:_PIECE])

    def _write(self, data: bytes | memoryview) -> None:
        if self.transport is not None:  # else `read` says what happened to it
            self.transport.write(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._rest = None
        super().connection_lost(exc)

    def set_exception(self, *error: BaseException) -> None:
        """aiohttp leaves whoever reads a body in the dark when the bytes stop being HTTP."""
        body = self._payload
        super().set_exception(*error)
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError())


def _abort(loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
    transport = protocol.transport
    if transport is None:
        return
    if loop.is_closed():
        _close_socket(transport)
    else:
        transport.abort()


def _close_socket(transport: Any) -> None:
    """asyncio transports cannot be closed without their loop; taking the socket from them also takes the warning."""
    inner = getattr(transport, "_ssl_protocol", None)
    if inner is not None:
        transport._closed = True
        transport = inner._transport
    sock = getattr(transport, "_sock", None)
    if sock is not None:
        transport._sock = None
        sock.close()


__all__ = ["Pool", "Pools", "Route", "StaleConnectionError"]
