"""The HTTP transport: aiohttp, one session per event loop, no retries, no redirects, no cookies.

Importing this module imports aiohttp (0.1 s), so the wrapper imports it when the first request is about to be sent.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from yarl import URL

from ..errors import ConnectionError, TimeoutError
from .base import HTTPRequest
from .proxies import proxy_for
from .sessions import Sessions, StaleConnectionError

LINGER = 0.1
"""Seconds that the end of a body may take after the answer in it was complete."""
_LARGE = 1024 * 1024
"""From here on a request body is written in pieces; aiohttp warns when it gets more than this as bytes."""


class HTTPTransport:
    """Sends over aiohttp. Opens nothing before the first `send`; `aclose` closes the sessions of all loops.

    Without `aclose`, the end of the loop or garbage collection closes connections quietly (see `sessions`).
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._sessions = Sessions()
        self._urls: dict[str, tuple[URL, str | None]] = {}
        self._timeouts: dict[float | None, aiohttp.ClientTimeout] = {}
        self._ssl: dict[str, ssl.SSLContext] = {}

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> HTTPReply:
        session = self._sessions.current()
        url, environment_proxy = self._urls.get(request.url) or self._address(request.url)
        trust = True if request.ca_file is None else self._ssl.get(request.ca_file) or self._context(request.ca_file)
        body = request.body
        try:
            response = await session.request(
                request.method,
                url,
                data=io.BytesIO(body) if len(body) > _LARGE else body or None,
                headers=request.headers,
                allow_redirects=False,
                timeout=self._timeouts.get(connect_timeout) or self._timeout(connect_timeout),
                proxy=environment_proxy if request.proxy is None else request.proxy or None,
                ssl=trust,
            )
        except aiohttp.ConnectionTimeoutError:
            raise TimeoutError(
                f"Could not connect to {url.host} within {connect_timeout:g} s. Check the network, the base_url "
                "and the proxy, or raise timeouts.connect.",
                code="connect_timeout",
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _connection_error(error, url) from None
        return HTTPReply(response)

    async def aclose(self) -> None:
        await self._sessions.aclose()

    def _address(self, text: str) -> tuple[URL, str | None]:
        """Parsing a URL and asking the environment for its proxy costs more than the rest of our call: done once."""
        try:
            url = URL(text, encoded=True)
            port = url.port
        except ValueError:
            raise ConnectionError("base_url and the model name make no URL; check both.", code="bad_url") from None
        if len(self._urls) > 1000:
            self._urls.clear()
        entry = self._urls[text] = (url, proxy_for(url.scheme, url.host or "", port, self._environ))
        return entry

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
                f"ca_file cannot be used ({_reason(error)}); give a PEM file of certificates.", code="bad_ca_file"
            ) from None
        return context


class HTTPReply:
    """An aiohttp response behind our protocol."""

    __slots__ = ("__weakref__", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def arrived(self) -> bool:
        return self._response.content.is_eof()

    async def next_chunk(self) -> bytes:
        response = self._response
        try:
            chunk = await response.content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: the session was closed meanwhile
            self.abort()
            raise _broken(error) from None
        if not chunk:
            response.release()
        return chunk

    def abort(self, error: Exception | None = None) -> None:
        response = self._response
        if response.closed:
            return
        if error is not None:
            response.content.set_exception(error)
        connection = response.connection
        response.close()
        if connection is not None:
            connection.close()  # what aiohttp leaves out once the loop is closed

    def finish(self) -> None:
        # aiohttp gives the connection back to the pool by itself when the end of the body arrives; the timer closes
        # it when the end does not come (and keeps the response alive until then).
        if not self._response.closed:
            asyncio.get_running_loop().call_later(LINGER, self.abort)

    def __del__(self) -> None:
        with suppress(Exception):  # interpreter shutdown: nothing left to close with
            self.abort()


def _connection_error(error: Exception, url: URL) -> ConnectionError:
    host = f"{url.host}:{url.port}"
    for kinds, code, what in _FAILURES:
        if isinstance(error, kinds):
            return ConnectionError(f"{what.format(host=host, name=url.host)} ({_reason(error)}).", code=code)
    return ConnectionError(f"The request to {host} could not be sent ({_reason(error)}).", code="not_sent")


_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (ssl.SSLError, aiohttp.ClientSSLError),
        "tls_failed",
        "No trusted TLS connection to {host}; set ca_file if your network has its own CA",
    ),
    ((aiohttp.ClientConnectorDNSError,), "dns_failed", "The host name {name} was not found; check base_url"),
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        "proxy_failed",
        "The proxy did not connect us to {host}; check its address and credentials",
    ),
    ((aiohttp.ClientConnectorError,), "connect_failed", "Could not connect to {host}"),
    ((aiohttp.ClientResponseError,), "no_http", "{host} answered with something that is not HTTP; check base_url"),
    ((aiohttp.InvalidURL,), "bad_url", "The URL for {host} cannot be used; check base_url and the model name"),
    ((StaleConnectionError,), "stale_connection", "{host} had closed the idle connection that was used"),
    ((aiohttp.ClientConnectionError, OSError), "disconnected", "{host} closed the connection before it answered"),
)
"""What aiohttp raises before there is a reply -> our code for it, and its words; the first that fits counts."""


def _broken(error: Exception) -> ConnectionError:
    if isinstance(error, aiohttp.ClientPayloadError) and "content-encoding" in str(error).lower():
        return ConnectionError(f"The reply could not be decompressed ({_reason(error)}).", code="bad_encoding")
    return ConnectionError(f"The connection broke while the reply was read ({_reason(error)}).", code="broken")


def _reason(error: BaseException) -> str:
    """The exception in a few words; aiohttp's own texts may hold the proxy's URL with its password, so not those."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    cause = error.__cause__
    return f"{type(error).__name__}: {type(cause).__name__}" if cause is not None else type(error).__name__


__all__ = ["HTTPReply", "HTTPTransport"]
