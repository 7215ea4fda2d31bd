"""Recorded exchanges, served again byte for byte: by the request's body where it fits, else in the recorded order.

A file has one JSON object a line: `{"dialect", "stream", "request": {"method", "url", "body"}, "response": {"status",
"headers", "body" (JSON) or "text"}}`.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from .plan import SimRequest
from .scenario_file import ScenarioError

VOLATILE = frozenset(
    {"metadata", "prompt_cache_key", "request_id", "safety_identifier", "service_tier", "session_id", "store"}
    | {"stream_options", "user"}
)
"""Top-level fields of a request that do not change what is answered."""

HOP_BY_HOP = frozenset({"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"})


class _Request(Struct):
    url: str = ""
    method: str = "POST"
    body: Any = None


class _Response(Struct):
    status: int = 200
    headers: dict[str, str] = {}
    text: str | None = None
    body: msgspec.Raw = msgspec.Raw()


class _Line(Struct):
    request: _Request
    response: _Response


class Exchange(Struct):
    """One recorded reply, and what it was a reply to."""

    where: str
    operation: str
    """The end of the path, which tells the endpoint."""
    body: Any
    status: int
    headers: dict[str, str]
    data: bytes
    stream: bool
    used: int = 0

    @property
    def chunks(self) -> list[bytes] | None:
        """A stream event by event; None for a body in one piece. (Recordings do not know the network's boundaries.)"""
        if not self.stream:
            return None
        for end in (b"\r\n\r\n", b"\n\n"):
            if end in self.data:
                parts = self.data.split(end)
                return [part + end for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
        return [self.data]


class Recordings:
    """The exchanges of some files. Equal requests get their replies in order, the last one again and again; a request
    that was never recorded gets the next reply not yet served of its endpoint."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._all = exchanges
        self._by_body: dict[bytes, deque[Exchange]] = {}
        for exchange in exchanges:
            self._by_body.setdefault(_key(exchange.operation, exchange.body), deque()).append(exchange)

    def __len__(self) -> int:
        return len(self._all)

    def find(self, request: SimRequest) -> Exchange | None:
        """The reply to a request, counted as used; None when nothing is left for it."""
        operation = _operation(request.path)
        found = self._by_body.get(_key(operation, _json(request.body)))
        exchange = self._next(found) if found else self._in_order(operation)
        if exchange is not None:
            exchange.used += 1
        return exchange

    def reset(self) -> None:
        for exchange in self._all:
            exchange.used = 0

    @staticmethod
    def _next(found: deque[Exchange]) -> Exchange:
        return next((exchange for exchange in found if not exchange.used), found[-1])

    def _in_order(self, operation: str) -> Exchange | None:
        return next((e for e in self._all if not e.used and e.operation == operation), None)


def load(path: Path | str) -> Recordings:
    """Reads a file of recordings. Raises `ScenarioError` that names the line."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    exchanges = [_exchange(line, f"{path}: line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not exchanges:
        raise ScenarioError(f"{path}: no exchange in it; a line is one JSON object with request and response")
    return Recordings(exchanges)


def _exchange(line: bytes, where: str) -> Exchange:
    try:
        read = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{where}: no recorded exchange: {error}; mend or remove the line") from None
    response = read.response
    headers = {name.lower(): value for name, value in response.headers.items() if name.lower() not in HOP_BY_HOP}
    data = bytes(response.body) if response.text is None else response.text.encode()
    stream = headers.get("content-type", "").startswith("text/event-stream") or (
        response.text is not None and data.lstrip()[:6] in (b"data: ", b"event:")
    )
    headers.setdefault("content-type", "text/event-stream" if stream else "application/json")
    path = urlsplit(read.request.url).path
    return Exchange(where, _operation(path), read.request.body, response.status, headers, data, stream)


def _operation(path: str) -> str:
    """`chat/completions`, `v1/messages`, `models/x:generateContent`: whatever prefix a base URL adds."""
    parts = [part for part in path.replace("%3A", ":").split("/") if part]
    return "/".join(parts[-2:])


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _key(operation: str, body: Any) -> bytes:
    kept = {name: v for name, v in body.items() if name not in VOLATILE} if type(body) is dict else body
    return sha256(operation.encode("utf-8", "replace") + msgspec.json.encode(kept, order="deterministic")).digest()
