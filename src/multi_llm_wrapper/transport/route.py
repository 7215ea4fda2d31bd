"""The way to one URL: what the connector goes by, and how requests there begin."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping

from aiohttp.client_reqrep import ClientRequest
from yarl import URL

MAX_HEADS = 100
"""How many beginnings of requests are kept on each."""
_ACCEPTED = {"accept": "*/*", "accept-encoding": "gzip, deflate"}
_OURS = frozenset(("content-length", "transfer-encoding"))
"""Headers that say where a body ends, which is not the caller's to say."""
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
"""A token of RFC 9110, section 5.6.2: in anything else a server may see another header."""
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


class Route:
    """The way to one URL: what the connector goes by, and how requests there begin."""

    __slots__ = ("_heads", "request")

    def __init__(
        self, url: URL, proxy: URL | None, trust: ssl.SSLContext | bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Raises `ValueError` for an URL or a proxy that leads nowhere."""
        self.request = ClientRequest("GET", url, loop=loop, proxy=proxy, ssl=trust)
        self._heads: dict[tuple[str, tuple[tuple[str, str], ...]], bytes] = {}

    def head(self, method: str, headers: Mapping[str, str]) -> bytes:
        """Request line and headers up to the length of the body. To be asked for when the connection is there: with
        it a proxy's credentials have come."""
        key = (method, tuple(headers.items()))
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = self._heads[key] = self._written(method, headers)
        return head

    def _written(self, method: str, headers: Mapping[str, str]) -> bytes:
        request = self.request
        named = {"host": request.headers["host"], **_ACCEPTED}
        if "proxy-authorization" in request.headers:
            named["proxy-authorization"] = request.headers["proxy-authorization"]
        named.update((name.lower(), value) for name, value in headers.items() if name.lower() not in _OURS)
        if not _NAME.fullmatch(method) or any(not _NAME.fullmatch(name) for name in named):
            raise ValueError("a header has a name that is none")
        if any(_NOT_IN_VALUE.search(value) for value in named.values()):
            raise ValueError("a header has a line end or another control character in it")
        url = request.url
        target = str(url) if request.proxy and not request.is_ssl() else url.raw_path_qs
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        return "\r\n".join([*lines, "content-length: "]).encode()


__all__ = ["Route"]
