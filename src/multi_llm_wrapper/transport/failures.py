"""What aiohttp raises, in our classes and words."""

from __future__ import annotations

import builtins
import ssl

import aiohttp
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from ..errors import ConnectionError, TimeoutError
from .lines import StaleConnectionError


def failed_to_send(error: Exception, url: URL, connect_timeout: float | None) -> ConnectionError | TimeoutError:
    """What kept a request from its reply."""
    if isinstance(error, builtins.TimeoutError) and error.errno is None and connect_timeout is not None:
        # the connector's own limit, not the socket's
        return TimeoutError(
            f"Could not connect to {url.host} within {connect_timeout:g} s. Check the network, the base_url "
            "and the proxy, or raise timeouts.connect.",
            code="connect_timeout",
        )
    if isinstance(error.__cause__, ContentEncodingError):
        return _not_decompressed(error)
    host = f"{url.host}:{url.port}"
    for kinds, code, what in _FAILURES:
        if isinstance(error, kinds):
            return ConnectionError(f"{what.format(host=host, name=url.host)} ({reason(error)}).", code=code)
    return ConnectionError(f"The request to {host} could not be sent ({reason(error)}).", code="not_sent")


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
    (
        (aiohttp.ClientResponseError, HttpProcessingError),
        "no_http",
        "{host} answered with something that is not HTTP; check base_url",
    ),
    (
        (aiohttp.InvalidURL, UnicodeError),
        "bad_url",
        "The URL for {host} cannot be used; check base_url and the model name",
    ),
    ((StaleConnectionError,), "stale_connection", "{host} had closed the idle connection that was used"),
    ((aiohttp.ClientConnectionError, OSError), "disconnected", "{host} closed the connection before it answered"),
)
"""What aiohttp raises before there is a reply -> our code for it, and its words; the first that fits counts."""


def broken(error: Exception) -> ConnectionError:
    if isinstance(error, aiohttp.ClientPayloadError) and "content-encoding" in str(error).lower():
        return _not_decompressed(error)
    return ConnectionError(f"The connection broke while the reply was read ({reason(error)}).", code="broken")


def _not_decompressed(error: Exception) -> ConnectionError:
    return ConnectionError(f"The reply could not be decompressed ({reason(error)}).", code="bad_encoding")


def reason(error: BaseException) -> str:
    """The exception in a few words; aiohttp's own texts may hold the proxy's URL with its password, so not those."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    cause = error.__cause__
    return f"{type(error).__name__}: {type(cause).__name__}" if cause is not None else type(error).__name__


__all__ = ["broken", "failed_to_send", "reason"]
