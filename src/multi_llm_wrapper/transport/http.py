"""The HTTP transport: aiohttp, one session per event loop, no retries, no redirects, no cookies.

Importing this module imports aiohttp (0.1 s), so the wrapper imports it when the first request is about to be sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp
from yarl import URL

from ..errors import ConnectionError, TimeoutError
from .base import HTTPRequest
from .proxies import proxy_for
from .sessions import Sessions


LINGER = 0.1
"""Seconds that the end of a body may take after the answer in it was complete."""


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
        proxy = environment_proxy if request.proxy is None else request.proxy or None
        timeout = self._timeouts.get(connect_timeout) or self._timeout(connect_timeout)
        try:
            response = await session.request(
                request.method,
                url,
                data=request.body or None,
                headers=request.headers,
                allow_redirects=False,
                timeout=timeout,
                proxy=proxy,
                ssl=True if request.ca_file is None else self._context(request.ca_file),
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
        url = URL(text, encoded=True)
        if len(self._urls) > 1000:
            self._urls.clear()
        entry = self._urls[text] = (url, proxy_for(url.scheme, url.host or "", url.port, self._environ))
        return entry

    def _timeout(self, connect: float | None) -> aiohttp.ClientTimeout:
        if len(self._timeouts) > 1000:
            self._timeouts.clear()
        timeout = self._timeouts[connect] = aiohttp.ClientTimeout(total=None, connect=connect)
        return timeout

    def _context(self, ca_file: str) -> ssl.SSLContext:
        context = self._ssl.get(ca_file)
        if context is None:
            context = self._ssl[ca_file] = ssl.create_default_context(cafile=ca_file)
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
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from None
        if not chunk:
            response.release()
        return chunk

    def abort(self, error: Exception | None = None) -> None:
        response = self._response
        if response.closed:
            return
        if response.content.is_eof():
            response.release()
            return
        if error is not None:
            response.content.set_exception(error)
        response.close()

    def finish(self) -> None:
        # aiohttp gives the connection back to the pool by itself when the end of the body arrives; the timer closes
        # it when the end does not come (and keeps the response alive until then).
        if not self._response.closed:
            asyncio.get_running_loop().call_later(LINGER, self.abort)

    def __del__(self) -> None:
        try:
            self.abort()
        except Exception:  # noqa: S110  # interpreter shutdown: nothing left to close with
            pass


def _connection_error(error: Exception, url: URL) -> ConnectionError:
    host = f"{url.host}:{url.port}"
    code, what = "connect_failed", f"Could not connect to {host}"
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        code, what = "tls_failed", f"No trusted TLS connection to {host}; set ca_file if your network has its own CA"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        code, what = "dns_failed", f"The host name {url.host} was not found; check base_url"
    elif isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        code, what = "proxy_failed", f"The proxy did not connect us to {host}; check its address and credentials"
    elif isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError) or not isinstance(
        error, aiohttp.ClientConnectorError
    ):
        code, what = "disconnected", f"{host} closed the connection before it answered"
    return ConnectionError(f"{what} ({_reason(error)}).", code=code)


def _broken(error: Exception) -> ConnectionError:
    if isinstance(error, aiohttp.ClientPayloadError) and "encoding" in str(error).lower() and "content" in str(error).lower():
        return ConnectionError(f"The reply could not be decompressed ({_reason(error)}).", code="bad_encoding")
    return ConnectionError(f"The connection broke while the reply was read ({_reason(error)}).", code="broken")


def _reason(error: BaseException) -> str:
    """The exception in a few words; aiohttp's own texts may hold the proxy's URL with its password, so not those."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    cause = error.__cause__
    return f"{type(error).__name__}: {type(cause).__name__}" if cause is not None else type(error).__name__


__all__ = ["HTTPReply", "HTTPTransport"]
