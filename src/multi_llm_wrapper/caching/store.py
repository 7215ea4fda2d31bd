"""What a store is, and which one a URL means.

    memory                              this process, 64 MiB
    memory://?max_bytes=1000000
    sqlite:///llm.db                    a file, here or (sqlite:////var/cache/llm.db) anywhere; several processes
    redis://:password@host:6379/0       a Redis or Valkey server; rediss:// with TLS

Behind a question mark: `max_bytes` bounds the first two, `timeout` (seconds, 0.05) says how long a lookup in the last
two may take, `ca_file` names the certificate authorities to trust instead of the system's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .. import checks
from ..checks import refuse
from .memory import MAX_BYTES, MemoryStore

FIELD = "WrapperConfig.cache"
TIMEOUT = 0.05
"""Seconds that a lookup may take, unless the URL says otherwise."""


class Store(Protocol):
    """Entries by key, kept outside of this process's memory until `expires`; times are unix seconds.

    Method and future may raise any `Exception`, and take any time: see `guard`. Cancelling the future is to give up on
    one entry, and must not disturb what others ask for.
    """

    name: str
    """For logs: without credentials."""
    timeout: float
    """Seconds that a lookup may take."""

    def get(self, key: str, now: float) -> asyncio.Future[bytes | None]: ...

    def put(self, key: str, value: bytes, now: float, expires: float) -> asyncio.Future[bool]:
        """Whether it was kept; a value can be too large."""

    async def aclose(self) -> None:
        """Lets go of files and connections; used again, it opens them anew."""

    @property
    def evicted(self) -> int:
        """Entries that had to go for others."""

    @property
    def size(self) -> int | None:
        """Bytes in use when last looked; None = not known."""


def open_store(url: str) -> MemoryStore | Store:
    """Connects to nothing yet. Raises `ValueError` when `url` means no store; the message does not repeat it."""
    if url == "memory":
        return MemoryStore()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refuse(FIELD, "is no URL", _REMEDY) from None
    opener = _OPENERS.get(parts.scheme)
    if opener is None:
        raise refuse(FIELD, f"begins with {parts.scheme!r}, which is no kind of store", _REMEDY)
    return opener(parts, port)


def _memory(parts: SplitResult, port: int | None) -> MemoryStore:
    options = _options(parts, "max_bytes")
    if parts.netloc or parts.path or parts.fragment:
        raise refuse(FIELD, "names a place for what is kept in memory", 'use "memory" or "memory://?max_bytes=..."')
    return MemoryStore(int(options.get("max_bytes", MAX_BYTES)))


def _sqlite(parts: SplitResult, port: int | None) -> Store:
    options = _options(parts, "max_bytes", "timeout")
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or parts.fragment or not path or "\0" in path or path == ":memory:":
        raise refuse(
            FIELD,
            "names no file",
            'use "sqlite:///llm.db" for a file in the current folder, "sqlite:////var/cache/llm.db" for one anywhere',
        )
    from .sqlite import SQLiteStore

    return SQLiteStore(
        path, max_bytes=int(options.get("max_bytes", MAX_BYTES)), timeout=options.get("timeout", TIMEOUT)
    )


def _redis(parts: SplitResult, port: int | None) -> Store:
    options = _options(parts, "timeout", "ca_file")
    database = parts.path.removeprefix("/") or "0"
    if not parts.hostname or parts.fragment or not (database.isascii() and database.isdecimal()):
        raise refuse(FIELD, "names no Redis database", 'use one such as "redis://:password@localhost:6379/0"')
    try:
        from .redis import RedisStore
    except ImportError:
        raise refuse(
            FIELD, "needs the package redis, which is not there", 'install "multi-llm-wrapper[redis]"'
        ) from None
    return RedisStore(
        parts.hostname,
        port or 6379,
        database=int(database),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
        ca_file=options.get("ca_file"),
        timeout=options.get("timeout", TIMEOUT),
    )


_OPENERS: dict[str, Callable[[SplitResult, int | None], MemoryStore | Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
}
_REMEDY = 'use "memory", "sqlite:///llm.db" or "redis://localhost:6379/0"'


def _options(parts: SplitResult, *known: str) -> dict[str, Any]:
    """What stands behind the question mark."""
    found: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise refuse(FIELD, f"has the option {name!r}", f"known are {', '.join(known)}")
        found[name] = checks.file(f"{FIELD}, ca_file,", text) if name == "ca_file" else _number(name, text)
    return found


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e15:
        raise refuse(FIELD, f"has {name}={text!r}", "give a number greater than 0")
    return number


__all__ = ["FIELD", "TIMEOUT", "Store", "open_store"]
