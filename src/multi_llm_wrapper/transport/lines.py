"""Connections: aiohttp's, with what goes over them written here, in one piece, and closed at once.

Pool, DNS, TLS, proxies and the parser stay aiohttp's. `aiohttp.ClientSession` spends more on a request (a task, a
writer, a cookie jar, two header maps) than all of our call.

Connections are never closed politely (flushing what is unsent, waiting for the other side's TLS goodbye): a server that
does not read or does not answer must not keep a socket of ours. One that is dropped open is closed without a word.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage

SOON = 5.0
"""Seconds within which a dead connection shows itself: a round trip, and a packet or two sent again."""
_PIECE = 256 * 1024
"""A larger body is handed over in pieces of this size, each when the one before has gone out."""


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A connection from the pool turned out to be dead: the server had closed it while it lay idle."""


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which closes connections at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(Line, loop=self._loop)  # type: ignore[assignment]  # aiohttp names its own class

    def abort(self) -> None:
        """Closes all connections, in use or not, and itself."""
        if not self._loop.is_closed():
            ends: Any = self._close()
            for end in ends or ():  # nothing in aiohttp 3.11
                end.add_done_callback(_hear)
            return
        idle = [protocol for pool in self._conns.values() for protocol, _ in pool]
        for protocol in (*idle, *self._acquired):
            protocol.close()
        aiohttp.BaseConnector._close(self)  # without waking, as the TCP connector would, those who wait for a name

    def forget(self, key: Any) -> None:
        """Closes what lies idle: after one of them turned out dead, as when a server was replaced, the next are too."""
        for line, _ in self._conns.pop(key, ()):
            line.close()

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        if self._loop.is_closed():
            protocol.close()
        else:
            super()._release(key, protocol, should_close=should_close or protocol.unsent)

    def __del__(self, *_: Any) -> None:
        if not self._closed:  # `_release` was put on a loop that was closed before it ran again
            self.abort()


class Lease(Connection):
    """A line in use. aiohttp's own class warns when it is dropped open."""

    def __del__(self, *_: Any) -> None:
        if self._protocol is not None:
            self.close()


class Line(ResponseHandler):
    """A connection, to be asked one question after the other."""

    served = False
    _begun = False
    """The connection broke in the middle of a reply's head."""
    _rest: memoryview | None = None

    async def ask(self, head: bytes, body: bytes) -> tuple[Any, aiohttp.StreamReader]:
        """Sends a request, and gives the reply's message and its body. What breaks here was no whole reply's head."""
        reused, self.served = self.served, True
        asked = self._loop.time()
        self.set_response_params(read_until_eof=True)
        self._send(b"%b%d\r\n\r\n" % (head, len(body)), body)
        try:
            message, payload = await self.read()
            while 100 <= message.code < 200 and message.code != 101:  # "continue" and the like: the reply is to come
                reused = False
                message, payload = await self.read()
        except (aiohttp.ServerDisconnectedError, OSError) as error:
            if reused and not self._begun and self._loop.time() - asked < SOON:
                raise StaleConnectionError from error
            raise
        return message, payload

    def is_connected(self) -> bool:
        """Fit for a question: not when the server said something, or left, while nobody asked."""
        return super().is_connected() and not self.should_close

    def close(self) -> None:
        """At once; whoever waits for a reply, or for the rest of one, hears of it."""
        _abort(self._loop, self)
        if not self._loop.is_closed():
            if self.transport is not None:
                self.set_exception(aiohttp.ClientConnectionError())
            super().close()

    abort = close

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
        transport = self.transport
        if transport is not None and not transport.is_closing():  # else `read` says what happened to it
            transport.write(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._rest = None
        parser, body = self._parser, self._payload
        if parser is not None and (body is None or body.is_eof()):
            with suppress(Exception):  # what is wrong with it, aiohttp finds out and tells
                self._begun = isinstance(parser.feed_eof(), RawResponseMessage)
        super().connection_lost(exc)

    def set_exception(self, *error: BaseException) -> None:
        """aiohttp leaves whoever reads a body in the dark when the bytes stop being HTTP."""
        body = self._payload
        super().set_exception(*error)
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError())


def _hear(end: asyncio.Future[Any]) -> None:
    """A connection that broke before we closed it says so, and asyncio logs what nobody hears."""
    if not end.cancelled():
        end.exception()


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


__all__ = ["Connector", "Lease", "Line", "StaleConnectionError"]
