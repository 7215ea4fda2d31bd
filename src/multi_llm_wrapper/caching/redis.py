"""The cache on a Redis or Valkey server, for several machines. The server forgets by itself: each key has its time.

What is asked while an answer is under way goes together in the next command: a thousand lookups at once are some ten
commands on one connection. Who gives up leaves the command alone, so that no answer is taken for that of another.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

from .key import VERSION

A = TypeVar("A")
T = TypeVar("T")

PREFIX = f"multi-llm:{VERSION}:"
BATCH = 100
"""How many go into one command."""
LONGEST = 2**62
"""Milliseconds that an entry may be kept. The server adds the time of day and takes no sum above 2**63 - 1."""
PATIENCE = 2.0
"""Seconds for connecting and for one command. Nobody waits that long; but what comes later than a lookup may take still
serves those that follow."""


class RedisStore:
    """One connection to read and one to write for each event loop; `ca_file` is for `tls`."""

    evicted = 0
    size = None

    def __init__(
        self,
        host: str,
        port: int = 6379,
        *,
        database: int = 0,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        ca_file: str | None = None,
        timeout: float = 0.05,
    ) -> None:
        self.name = f"{'rediss' if tls else 'redis'}://{host}:{port}/{database}"
        self.timeout = timeout
        self._arguments: dict[str, Any] = {
            "host": host,
            "port": port,
            "db": database,
            "username": username,
            "password": password,
            "socket_timeout": PATIENCE,
            "socket_connect_timeout": PATIENCE,
            "retry": Retry(NoBackoff(), 1),  # an idle connection may have died since
            "retry_on_error": [ConnectionError],
            "connection_class": SSLConnection if tls else Connection,
        }
        if tls:
            self._arguments |= {"ssl_ca_certs": ca_file, "ssl_check_hostname": True}
        self._links: dict[int, _Link] = {}

    def __repr__(self) -> str:
        return f"RedisStore({self.name})"

    def get(self, key: str, now: float) -> asyncio.Future[bytes | None]:
        return self._link().reads.add(PREFIX + key)

    def put(self, key: str, value: bytes, now: float, expires: float) -> asyncio.Future[bool]:
        milliseconds = max(1, int(min((expires - now) * 1000, LONGEST)))
        return self._link().writes.add((PREFIX + key, value, milliseconds))

    async def aclose(self) -> None:
        links, self._links = self._links, {}
        here = asyncio.get_running_loop()
        for link in links.values():
            if link.loop is here and link.process == os.getpid():
                await link.hook.aclose()

    def _link(self) -> _Link:
        loop = asyncio.get_running_loop()
        link = self._links.get(id(loop))
        if link is None or link.loop is not loop or link.process != os.getpid():
            self._links = {number: one for number, one in self._links.items() if not one.loop.is_closed()}
            link = self._links[id(loop)] = _Link(loop, self._arguments)
        return link


class _Link:
    """The connections of one loop, closed with whatever ends first: the store, the loop, or the garbage collector."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arguments: dict[str, Any]) -> None:
        self.loop = loop
        self.process = os.getpid()
        pool = ConnectionPool(**arguments)
        client = Redis(connection_pool=pool)
        self.reads: _Batches[str, bytes | None] = _Batches(loop, lambda keys: _read(client, keys))
        self.writes: _Batches[tuple[str, bytes, int], bool] = _Batches(loop, lambda items: _write(client, items))
        self.hook = _close_at_loop_end(client, pool)
        # One step parks the generator at its `yield` and registers it with the running loop, without suspending us.
        with suppress(StopIteration):
            self.hook.__anext__().send(None)


async def _close_at_loop_end(client: Any, pool: Any) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()
        await pool.disconnect()


async def _read(client: Any, keys: list[str]) -> list[bytes | None]:
    """What is there under a key but is no string is as good as nothing; a write replaces it."""
    return [value if type(value) is bytes else None for value in await client.mget(keys)]


async def _write(client: Any, items: list[tuple[str, bytes, int]]) -> list[bool | Exception]:
    pipeline = client.pipeline(transaction=False)
    for key, value, milliseconds in items:
        pipeline.set(key, value, px=milliseconds)
    return [
        result if isinstance(result, Exception) else True for result in await pipeline.execute(raise_on_error=False)
    ]


class _Batches(Generic[A, T]):
    """Runs one command at a time, for all that have gathered while the one before was under way."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, run: Callable[[list[A]], Awaitable[Sequence[T | Exception]]]
    ) -> None:
        self._loop = loop
        self._run = run
        self._waiting: deque[tuple[A, asyncio.Future[T]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def add(self, item: A) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._work())
        return future

    async def _work(self) -> None:
        while batch := self._next():
            futures = [future for _, future in batch]
            results: Sequence[T | Exception]
            try:
                results = await self._run([item for item, _ in batch])
            except Exception as error:
                results = [error for _ in batch]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
            for future, result in zip(futures, results, strict=True):
                _settle(future, result)

    def _next(self) -> list[tuple[A, asyncio.Future[T]]]:
        batch: list[tuple[A, asyncio.Future[T]]] = []
        while self._waiting and len(batch) < BATCH:
            item, future = self._waiting.popleft()
            if not future.done():  # else whoever asked has given up
                batch.append((item, future))
        return batch


def _settle(future: asyncio.Future[T], result: T | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


__all__ = ["PREFIX", "RedisStore"]
