"""What moves bytes: one request out, one reply in. It never retries and knows no protocol above HTTP.

Failures are `LLMError` values of the classes `connection_error`, `timeout` and `limit_exceeded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

MAX_REPLY_BYTES = 64 * 1024 * 1024


class HTTPRequest(Struct, frozen=True):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    proxy: str | None = None
    """Overrides what the environment says; "" means none."""
    ca_file: str | None = None
    """PEM file of the certificate authorities to trust instead of the system's."""

    def __repr__(self) -> str:
        """Without headers and proxy, which hold keys, and without what was asked."""
        return f"HTTPRequest({self.method} {self.url}, {len(self.body)} bytes)"


class HTTPResponse(Protocol):
    status: int
    headers: Mapping[str, str]
    """Looked up with lower-case names."""

    @property
    def arrived(self) -> bool:
        """The whole body is here: reading it will not wait."""

    async def next_chunk(self) -> bytes:
        """The next bytes, whatever came; b"" at the end. A broken connection is a `ConnectionError`."""

    def abort(self, error: Exception | None = None) -> None:
        """Closes the connection at once unless the body was read to its end; a read in progress raises `error`.
        Harmless when repeated."""

    def finish(self) -> None:
        """The answer is complete although the body may not have ended: keeps the connection if the end comes at once,
        closes it otherwise. Does not wait."""


class Transport(Protocol):
    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> HTTPResponse:
        """Sends, and returns when the reply's headers are there. Cancelling closes the socket."""

    async def aclose(self) -> None: ...
