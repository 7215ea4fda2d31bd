"""One pool of connections per event loop, closed with whatever ends first: the owner, the loop, or the garbage
collector.

aiohttp warns when connections are dropped open. Users of a client in a script do not want that noise, so:

- the end of the loop (`asyncio.run`, `Runner.close`) closes asynchronous generators: one is parked on each loop whose
  last act is to close the pool;
- a finalizer holds the connector until the pool is collected, so it is never collected open, and then closes it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Hashable
from contextlib import suppress

from .lines import Connector
from .route import Route

MAX_KEPT = 1000
"""How many ways to URLs are kept for the next call."""


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
        self.release = weakref.finalize(self, _release, loop, self.connector, self.hook)
        self.routes: dict[Hashable, Route] = {}
        # One step parks the generator at its `yield` and registers it with the running loop, without suspending us.
        with suppress(StopIteration):
            self.hook.__anext__().send(None)

    def keep(self, key: Hashable, route: Route) -> Route:
        if len(self.routes) >= MAX_KEPT:
            self.routes.clear()
        self.routes[key] = route
        return route


async def _close_at_loop_end(connector: Connector) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        connector.abort()
        await connector.close()


def _release(loop: asyncio.AbstractEventLoop, connector: Connector, hook: AsyncGenerator[None, None]) -> None:
    """Closes a pool from outside its loop: from a finalizer, another loop, or after its loop has ended.

    The hook goes with it: collected earlier, it would leave asyncio with a coroutine for a loop that may never run
    again.
    """
    if connector.closed:
        return
    if not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_end, connector, hook)
            return
    connector.abort()


def _end(connector: Connector, _: AsyncGenerator[None, None]) -> None:
    connector.abort()


__all__ = ["Pool", "Pools"]
