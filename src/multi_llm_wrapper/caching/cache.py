"""The cache in front of a call: looks first, asks otherwise, keeps what is a whole and successful answer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

import msgspec

from ..clock import Clock
from ..config import WrapperConfig
from ..options import Options
from ..parsed import parse
from ..response import Response
from ..transport.base import HTTPRequest
from .key import cache_key
from .memory import MemoryStore


class Cacheable(Protocol):
    """What the cache needs of a call."""

    provider: str | None
    model: str | None
    wire: HTTPRequest
    options: Options
    dropped: list[str]
    started: float

    def answer(self) -> Awaitable[Response]: ...


class Cache:
    """In-memory for now. Every hit is a copy of its own, decoded from the stored bytes."""

    def __init__(self, config: WrapperConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._store = MemoryStore()

    async def answer(self, call: Cacheable) -> Response:
        wanted = call.options.get("cache")
        if wanted is None:
            wanted = self._config.enable_caching
        if wanted is False:
            return await call.answer()
        key = self._key(call)
        if wanted != "refresh":
            stored = self._store.get(key, self._clock.time())
            if stored is not None:
                return self._hit(stored, call)
        response = await call.answer()
        if response["status"] == "success":
            self._keep(key, response, call.options)
        return response

    def _key(self, call: Cacheable) -> str:
        """The answer with its raw bytes and the one without are two."""
        wire = call.wire
        namespace = "raw" if call.options.get("keep_raw") else ""
        return cache_key(call.provider or "", call.model or "", wire.url, wire.headers, wire.body, namespace)

    def _keep(self, key: str, response: Response, options: Options) -> None:
        ttl = options.get("cache_ttl") or self._config.cache_ttl or 3600.0
        try:
            encoded = msgspec.msgpack.encode(response)
        except (OverflowError, TypeError, ValueError, RecursionError):
            return  # a provider's own field with a number of more than 64 bits
        self._store.put(key, encoded, self._clock.time() + ttl)

    def _hit(self, stored: bytes, call: Cacheable) -> Response:
        """The answer is that of then; the times and what was dropped are those of this call."""
        response = Response(msgspec.msgpack.decode(stored))
        response["timestamp"] = self._clock.time()
        metadata: dict[str, Any] = response["metadata"]
        metadata.update(
            cached=True,
            attempts=0,
            attempts_detail=[],
            dropped_params=call.dropped,
            rate_limit=None,
            response_time=self._clock.monotonic() - call.started,
        )
        wanted = call.options.get("response_format")
        if wanted is not None:
            response._parsed = parse(wanted, response["content"])
        return response
