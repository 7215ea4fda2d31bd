"""The HTTP transport: aiohttp's connections, one pool per event loop, no retries, no redirects, no cookies.

Importing this module imports aiohttp (0.1 s), so the wrapper imports it when the first request is about to be sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from asyncio import _get_running_loop
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from ..errors import ConnectionError
from .base import HTTPRequest
from .failures import broken, failed_to_send, reason
from .lines import Lease, StaleConnectionError
from .pools import Pools
from .proxies import proxy_for
from .route import Route

LINGER = 0.1
"""Seconds that the end of a body may take after the answer in it was complete."""
_SCHEMES = ("http", "https")
_QUOTED = re.compile("[!-~]+")
"""A URL that goes out as it is; in another, spaces and what is not ASCII are quoted."""


class HTTPTransport:
    """Sends over aiohttp. Opens nothing before the first `send`; `aclose` closes the pools of all loops.

    Without `aclose`, the end of the loop or garbage collection closes connections quietly (see `pools`).
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._pools = Pools()
        self._timeouts: dict[float | None, aiohttp.ClientTimeout] = {}
        self._ssl: dict[str, ssl.SSLContext] = {}

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> HTTPReply:
        pool = self._pools.current()
        key = (request.url, request.proxy, request.ca_file)
        route = pool.routes.get(key) or pool.keep(key, self._route(request, pool.loop))
        try:
            connection = await pool.connector.connect(
                route.request, [], self._timeouts.get(connect_timeout) or self._timeout(connect_timeout)
            )
            connection.__class__ = Lease  # the same but for its end
            try:
                line: Any = connection.protocol
                message, body = await line.ask(route.head(request.method, request.headers), request.body)
            except BaseException:
                connection.close()
                raise
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            if isinstance(error, StaleConnectionError):
                pool.connector.forget(route.request.connection_key)
            raise failed_to_send(error, route.request.url, connect_timeout) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if pool.connector.closed and task is not None and not task.cancelling():  # by aiohttp, looking up a name
                raise failed_to_send(aiohttp.ClientConnectionError(), route.request.url, None) from None
            raise
        return HTTPReply(connection, message, body)

    async def aclose(self) -> None:
        await self._pools.aclose()

    def _route(self, request: HTTPRequest, loop: asyncio.AbstractEventLoop) -> Route:
        """Parsing a URL and asking the environment for its proxy costs more than the rest of our call: done once."""
        try:
            url = URL(request.url, encoded=_QUOTED.fullmatch(request.url) is not None)
            port = url.port
        except ValueError:
            raise ConnectionError("base_url and the model name make no URL; check both.", code="bad_url") from None
        if url.scheme not in _SCHEMES or not url.raw_host or "@" in url.raw_authority:
            raise ConnectionError(
                "base_url and the model name make no http:// or https:// URL without credentials; check both.",
                code="bad_url",
            )
        trust = True if request.ca_file is None else self._ssl.get(request.ca_file) or self._context(request.ca_file)
        proxy = request.proxy
        if proxy is None:
            proxy = proxy_for(url.scheme, url.host or "", port, self._environ)
        try:
            through = URL(proxy) if proxy else None
            if through is not None and (through.scheme not in _SCHEMES or not through.raw_host):
                raise ConnectionError(
                    f"The proxy for {url.host} is no http:// or https:// URL; change proxy, or the environment's.",
                    code="proxy_failed",
                )
            return Route(url, through, trust, loop)
        except (aiohttp.ClientError, ValueError) as error:
            raise failed_to_send(error, url, None) from None

    def _timeout(self, connect: float | None) -> aiohttp.ClientTimeout:
        if len(self._timeouts) > 1000:
            self._timeouts.clear()
        timeout = self._timeouts[connect] = aiohttp.ClientTimeout(total=None, connect=connect)
        return timeout

    def _context(self, ca_file: str) -> ssl.SSLContext:
        try:
            context = self._ssl[ca_file] = ssl.create_default_context(cafile=ca_file)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"ca_file cannot be used ({reason(error)}); give a PEM file of certificates.", code="bad_ca_file"
            ) from None
        return context


class HTTPReply:
    """A message on one of aiohttp's connections behind our protocol."""

    __slots__ = ("__weakref__", "_body", "_connection", "headers", "status")

    def __init__(self, connection: Connection, message: RawResponseMessage, body: aiohttp.StreamReader) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self._body = body
        self._connection = connection
        body.on_eof(connection.release)  # not a method of ours, so that a reply which is dropped is collected at once

    @property
    def arrived(self) -> bool:
        return self._body.is_eof()

    async def next_chunk(self) -> bytes:
        try:
            return await self._body.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: the pool was closed meanwhile
            self.abort()
            raise broken(error) from None

    def abort(self, error: Exception | None = None) -> None:
        _abort(self._connection, self._body, error)

    def finish(self) -> None:
        # aiohttp gives the connection back to the pool when the end of the body arrives; the timer closes
        # it when the end does not come (and keeps the response alive until then).
        if self._connection.protocol is not None:
            asyncio.get_running_loop().call_later(LINGER, self.abort)

    def __del__(self) -> None:
        connection = self._connection
        if connection.protocol is None:
            return
        with suppress(Exception):  # interpreter shutdown: nothing left to close with
            loop = connection.protocol._loop
            if loop.is_running() and _get_running_loop() is not loop:  # dropped in another thread
                loop.call_soon_threadsafe(_abort, connection, self._body)
            else:
                self.abort()


def _abort(connection: Connection, body: aiohttp.StreamReader, error: Exception | None = None) -> None:
    if connection.protocol is None:  # the body came to its end, or this was done before
        return
    try:
        if error is not None or body.exception() is None:
            body.set_exception(error or aiohttp.ClientConnectionError())
    finally:
        connection.close()


__all__ = ["HTTPReply", "HTTPTransport"]
