"""One aiohttp session per event loop, closed with whatever ends first: the owner, the loop, or the garbage collector.

aiohttp warns when a session is dropped open. Users of a client in a script do not want that noise, so:

- the end of the loop (`asyncio.run`, `Runner.close`) closes asynchronous generators: one is parked on each loop whose
  last act is to close the session;
- a finalizer holds the session until its owner is collected, so it is never collected open, and then closes it.

Connections are never closed politely (flushing what is unsent, waiting for the other side's TLS goodbye) but at once:
a server that does not read or does not answer must not keep a socket of ours.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A connection from the pool turned out to be dead: the server had closed it while it lay idle."""


class Sessions:
    """Gives the running loop's session, opening it when there is none."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}

    def current(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        entry = self._entries.get(id(loop))
        if entry is None or entry.loop is not loop or entry.session.closed:
            entry = self._open(loop)
        return entry.session

    def _open(self, loop: asyncio.AbstractEventLoop) -> _Entry:
        for key in [key for key, entry in self._entries.items() if entry.loop.is_closed()]:
            self._entries.pop(key).release()
        entry = self._entries[id(loop)] = _Entry(loop)
        return entry

    async def aclose(self) -> None:
        here = asyncio.get_running_loop()
        entries, self._entries = list(self._entries.values()), {}
        for entry in entries:
            if entry.loop is here:
                entry.release.detach()
                await entry.hook.aclose()
            else:
                entry.release()


class _Entry:
    """A session with what keeps it: `hook` closes it at the end of its loop."""

    __slots__ = ("__weakref__", "hook", "loop", "release", "session")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        connector = _Connector(limit=0, keepalive_timeout=30)
        self.loop = loop
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "gzip, deflate"},
            response_class=_Response,
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )
        self.hook = _close_at_loop_end(self.session, connector)
        self.release = weakref.finalize(self, _release, loop, self.session, connector)
        # One step parks the generator at its `yield` and registers it with the running loop, without suspending us.
        with suppress(StopIteration):
            self.hook.__anext__().send(None)


async def _close_at_loop_end(session: aiohttp.ClientSession, connector: _Connector) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        connector.abort()
        await session.close()


def _release(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession, connector: _Connector) -> None:
    """Closes a session from outside its loop: from a finalizer, another loop, or after its loop has ended."""
    if session.closed:
        return
    session.detach()
    if not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(connector.abort)
            return
    connector.abort()


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which closes connections at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]  # aiohttp names its own class

    def abort(self) -> None:
        """Closes all connections, in use or not, and itself."""
        idle = [protocol for pool in self._conns.values() for protocol, _ in pool]
        for protocol in (*idle, *self._acquired):
            _abort(self._loop, protocol)
        self._close()

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        if should_close or protocol.should_close:
            _abort(self._loop, protocol)
        if not self._loop.is_closed():
            super()._release(key, protocol, should_close=should_close)


class _Protocol(ResponseHandler):
    """A connection that remembers whether it was used before."""

    served = False

    def set_exception(self, *error: BaseException) -> None:
        """aiohttp leaves whoever reads a body in the dark when the bytes stop being HTTP."""
        body = self._payload
        super().set_exception(*error)
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError())


class _Response(aiohttp.ClientResponse):
    """Tells a connection that had died idle in the pool from one that broke in use."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        protocol: _Protocol = connection.protocol
        reused, protocol.served = protocol.served, True
        try:
            return await super().start(connection)
        except (aiohttp.ServerDisconnectedError, OSError) as error:
            if reused:
                raise StaleConnectionError from error
            raise


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


__all__ = ["Sessions", "StaleConnectionError"]
