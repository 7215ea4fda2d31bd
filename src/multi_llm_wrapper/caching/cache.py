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
        wire = call.wire
        key = cache_key(call.provider or "", call.model or "", wire.url, wire.headers, wire.body)
        if wanted != "refresh":
            stored = self._store.get(key, self._clock.time())
            if stored is not None:
                return self._hit(stored, call.options)
        response = await call.answer()
        if response["status"] == "success":
            ttl = call.options.get("cache_ttl") or self._config.cache_ttl or 3600.0
            self._store.put(key, msgspec.msgpack.encode(response), self._clock.time() + ttl)
        return response

    def _hit(self, stored: bytes, options: Options) -> Response:
        response = Response(msgspec.msgpack.decode(stored))
        metadata: dict[str, Any] = response["metadata"]
        metadata["cached"] = True
        metadata["attempts"] = 0
        metadata["attempts_detail"] = []
        wanted = options.get("response_format")
        if wanted is not None:
            response._parsed = parse(wanted, response["content"])
        return response
