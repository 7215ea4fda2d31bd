"""A raw TCP server that sends any bytes in any rhythm, for what a well-behaved HTTP server would never do.

A reply is a list of steps: bytes are sent, a number is a wait in seconds, and the words below do something to the
connection. The n-th request gets the n-th reply, the last one serves for all that follow.

    async with serve([head(200), chunk(b"data: "), 0.01, RESET]) as server:
        ...
        assert server.requests[0].path == "/v1/chat/completions"
"""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import socket
import ssl
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import pytest

from multi_llm_wrapper import OpenAIConfig, WrapperConfig

Act: TypeAlias = Literal["reset", "close", "half-close", "hang", "deaf"]
RESET: Act = "reset"
"""A TCP reset: the client's next read fails."""
CLOSE: Act = "close"
"""The connection is closed in an orderly way."""
HALF_CLOSE: Act = "half-close"
"""No more comes from here, but the client is still listened to."""
HANG: Act = "hang"
"""Nothing more happens until the client leaves."""
DEAF: Act = "deaf"
"""Nothing more happens, and nothing more is read: not even that the client leaves is noticed."""

Step: TypeAlias = bytes | float | Act
Reply: TypeAlias = Iterable[Step] | Callable[["Request"], Iterable[Step]]

PATIENCE = 5.0
"""Seconds after which a test that waits for something has failed."""
PROMPTLY = 0.25
"""Seconds within which a connection that nobody needs any more is closed: a tenth, and what a busy machine adds."""


@dataclass
class Request:
    method: str
    target: str
    """As it stood in the request line: a path, or a whole URL when the client takes this server for a proxy."""
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    connection: int
    """Counts the connections from 0."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RawServer:
    """What was asked of it and what became of its connections."""

    replies: Sequence[Reply]
    ssl_context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: list[_Connection] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.ssl_context else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """For a configuration of OpenAI's kind."""
        return f"{self.url}/v1"

    @property
    def open_connections(self) -> int:
        return sum(not connection.lost.is_set() for connection in self.connections)

    async def asked(self, number: int = 1) -> Request:
        """Waits for the `number`-th request."""
        async with asyncio.timeout(PATIENCE):
            while len(self.requests) < number:
                self.arrived.clear()
                await self.arrived.wait()
        return self.requests[number - 1]

    async def left(self, connection: int = 0) -> float:
        """Waits until the client has left this connection; the loop time when it did."""
        async with asyncio.timeout(PATIENCE):
            await self.connections[connection].lost.wait()
        return self.connections[connection].lost_at

    def steps(self, request: Request) -> Iterable[Step]:
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        return reply(request) if callable(reply) else reply


class _Connection(asyncio.Protocol):
    def __init__(self, server: RawServer) -> None:
        self.server = server
        self.sent = 0
        """Bytes handed to the network."""
        self.lost = asyncio.Event()
        self.lost_at = 0.0
        self.blocked = asyncio.Event()
        """Set while the client does not read fast enough."""
        self._number = 0
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._number = len(self.server.connections)
        self.server.connections.append(self)
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(64 * 1024)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._task is None and (request := self._take()) is not None:
            self.server.requests.append(request)
            self.server.arrived.set()
            self._task = self._loop.create_task(self._answer(self.server.steps(request)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_at = self._loop.time()
        self.lost.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._flowing.clear()
        self.blocked.set()

    def resume_writing(self) -> None:
        self._flowing.set()
        self.blocked.clear()

    def _take(self) -> Request | None:
        """The next request, if it is there as a whole."""
        top, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        method, target, _ = first.split(" ")
        return Request(method, target, headers, rest[:length], self._number)

    async def _answer(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, bytes):
                self._transport.write(step)
                self.sent += len(step)
                await asyncio.sleep(0)  # other tasks run too, however much there is to send
                await (self.lost if self._transport.is_closing() else self._flowing).wait()
            elif isinstance(step, int | float):
                await asyncio.sleep(step)
            else:
                await self._act(step)
        self._task = None
        self.data_received(b"")

    async def _act(self, act: Act) -> None:
        if act == "reset":
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif act == "close":
            self._transport.close()
        elif act == "half-close":
            self._transport.write_eof()
        elif act == "deaf":
            self._transport.pause_reading()
        if act != "half-close":
            await self.lost.wait()

    def stop(self) -> None:
        self._transport.abort()


@asynccontextmanager
async def serve(*replies: Reply, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Listens on loopback while the block runs."""
    server = RawServer(replies, ssl_context)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: _Connection(server), "127.0.0.1", 0, ssl=ssl_context, backlog=512)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for connection in server.connections:
            connection.stop()
        async with asyncio.timeout(PATIENCE):
            for connection in server.connections:
                await connection.lost.wait()


def open_sockets() -> int:
    """How many sockets this process has open."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not tell which files are open")
    return sum(_is_socket(file) for file in folder.iterdir())


def _is_socket(file: Path) -> bool:
    try:
        return file.is_socket()
    except OSError:  # closed by now
        return False


async def sockets_fall_to(number: int) -> float:
    """Waits until so many sockets are open, or fewer; the loop time when it was so."""
    async with asyncio.timeout(PATIENCE):
        while open_sockets() > number:  # noqa: ASYNC110  # nobody tells when a socket is closed
            await asyncio.sleep(0.001)
    return asyncio.get_running_loop().time()


def unused_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def self_signed(file: Path) -> ssl.SSLContext:
    """Writes a certificate for loopback, with its key, and gives what a server needs; clients take it as `ca_file`."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(file), "-out", "-"]
    made = subprocess.run([*command.split(), *names], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + made.stdout)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


# --- bytes of HTTP ----------------------------------------------------------------------------------------------


def head(status: int = 200, headers: dict[str, str] | None = None, *, chunked: bool = True) -> bytes:
    """Status line and headers; a body in chunks unless said otherwise."""
    fields = {"content-type": "application/json", **({"transfer-encoding": "chunked"} if chunked else {})}
    fields.update(headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def whole(body: bytes | Any = b"", status: int = 200, headers: dict[str, str] | None = None) -> list[Step]:
    """A reply with its length announced; what is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [head(status, {"content-length": str(len(data)), **(headers or {})}, chunked=False) + data]


def compressed(body: bytes, encoding: str) -> list[Step]:
    data = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    return whole(data, headers={"content-encoding": encoding})


def sse(*data: Any, event: str = "", end: str = "\n") -> bytes:
    """Events of a stream; what is no text is sent as JSON."""
    name = f"event: {event}{end}" if event else ""
    texts = (item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in data)
    return "".join(f"{name}data: {text}{end}{end}" for text in texts).encode()


EVENT_STREAM = {"content-type": "text/event-stream"}


def stream(*pieces: Step, headers: dict[str, str] | None = None, status: int = 200) -> list[Step]:
    """A streamed reply that ends as it should; bytes become chunks of the body."""
    return [*begun(*pieces, headers=headers, status=status), LAST_CHUNK]


def begun(*pieces: Step, headers: dict[str, str] | None = None, status: int = 200) -> list[Step]:
    """A streamed reply without its end."""
    steps: list[Step] = [head(status, {**EVENT_STREAM, **(headers or {})})]
    return steps + [chunk(piece) if isinstance(piece, bytes) else piece for piece in pieces]


# --- what OpenAI says in it -------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def completion(content: str | None = "Hello you", finish: str | None = "stop", **fields: Any) -> dict[str, Any]:
    """A chat completion; `fields` replace or add to its own."""
    message = {"role": "assistant", "content": content, **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**answer, "choices": [choice], "usage": USAGE, **fields}


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of a streamed chat completion."""
    answer = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**answer, "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


FINISH = delta("stop")
COUNTS = {**delta(), "choices": [], "usage": USAGE}
DONE = "[DONE]"
HELLO = (delta(role="assistant", content=""), delta(content="Hello"), delta(content=" you"), FINISH, COUNTS, DONE)
"""The events that add up to `completion()`."""


def error_body(message: str = "Something broke", kind: str = "server_error", code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


KEY = "sk-test-0123456789abcdef"


def config(server: RawServer, **settings: Any) -> WrapperConfig:
    """OpenAI at this server, one attempt a call and no cache, unless said otherwise."""
    provider = {name: settings.pop(name) for name in OpenAIConfig.__dataclass_fields__ if name in settings}
    provider = {"api_key": KEY, "base_url": server.base_url, "max_retries": 0, **provider}
    return WrapperConfig(openai=OpenAIConfig(**provider), **{"enable_caching": False, **settings})
