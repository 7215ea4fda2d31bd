"""One aiohttp session per event loop, closed with whatever ends first: the owner, the loop, or the garbage collector.

aiohttp warns when a session is dropped open. Users of a client in a script do not want that noise, so:

- the end of the loop (`asyncio.run`, `Runner.close`) closes asynchronous generators: one is parked on each loop whose
  last act is to close the session;
- a finalizer holds the session until its owner is collected, so it is never collected open, and then closes it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import aiohttp


class _Entry:
    """A session with what keeps it: `hook` closes it at the end of its loop."""

    __slots__ = ("__weakref__", "hook", "loop", "release", "session")

    def __init__(self, loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
        self.loop = loop
        self.session = session
        self.hook = _close_at_loop_end(session)
        self.release = weakref.finalize(self, _release, loop, session)
        # One step parks the generator at its `yield` and registers it with the running loop, without suspending us.
        with suppress(StopIteration):
            self.hook.__anext__().send(None)


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
        entry = self._entries[id(loop)] = _Entry(loop, _new_session())
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


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "gzip, deflate"},
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    )


async def _close_at_loop_end(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await session.close()


def _release(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    """Closes a session from outside its loop: from a finalizer, another loop, or after its loop has ended."""
    if session.closed:
        return
    connector: Any = session.connector
    session.detach()
    if not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(connector._close)
            return
    # The loop is gone without having closed its generators, so the sockets can only be closed by hand.
    for pool in connector._conns.values():
        for protocol, _ in pool:
            _close_socket(protocol.transport)
    connector._conns.clear()
    connector._closed = True


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
