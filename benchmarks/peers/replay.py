"""A server that answers with recorded exchanges, byte for byte, whatever the path: the prompt says which one.

Started as `python -m benchmarks.peers.replay FOLDER`; prints its port. A recorded body that was JSON is written anew,
without spaces; a recorded text, as of a stream, is sent as it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from .expected import groups

_MARK = re.compile(rb"recorded exchange ([a-z_]+):(\d+)")
_NOT_OURS = {"content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "date"}


def prompt(dialect: str, line: int) -> str:
    return f"This is recorded exchange {dialect}:{line}."


def reply(response: dict[str, Any]) -> bytes:
    text = response.get("text")
    body = (
        text if text is not None else json.dumps(response["body"], ensure_ascii=False, separators=(",", ":"))
    ).encode()
    headers = {name: value for name, value in response["headers"].items() if name not in _NOT_OURS}
    headers.setdefault("content-type", "application/json" if text is None else "text/event-stream")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {response['status']} Recorded\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1", "replace") + body


class Replay(asyncio.Protocol):
    def __init__(self, replies: dict[tuple[str, int], bytes]) -> None:
        self._replies = replies
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (body := self._request()) is not None:
            found = _MARK.search(body)
            known = self._replies.get((found[1].decode(), int(found[2]))) if found else None
            self._transport.write(known or b"HTTP/1.1 501 Not Recorded\r\nContent-Length: 0\r\n\r\n")

    def _request(self) -> bytes | None:
        """The body of the next request, if it is there as a whole."""
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        if b"transfer-encoding: chunked" in head.lower():
            return self._chunks(rest)
        length = re.search(rb"content-length: *(\d+)", head.lower())
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return None
        self._buffer = rest[size:]
        return rest[:size]

    def _chunks(self, rest: bytes) -> bytes | None:
        body = b""
        while True:
            size, found, rest = rest.partition(b"\r\n")
            if not found or len(rest) < int(size, 16) + 2:
                return None
            piece, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            if not piece:
                self._buffer = rest
                return body
            body += piece


async def _serve(folder: Path) -> None:
    replies = {
        (dialect, line): reply(exchange["response"])
        for dialect, exchanges in groups(folder).items()
        for line, exchange in enumerate(exchanges)
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Replay(replies), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us goes away


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
