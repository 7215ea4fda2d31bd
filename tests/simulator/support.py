"""What the tests of the simulator share: requests in each dialect, both shells, and a reader of replies."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from multi_llm_wrapper import dialects
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.simulator import Brain, MemoryTransport, SimRequest, SimulatorServer
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.transport.base import HTTPRequest, HTTPResponse, Transport
from multi_llm_wrapper.transport.http import HTTPTransport
from multi_llm_wrapper.types import Reply

T = TypeVar("T")

DIALECTS = ("anthropic_messages", "gemini", "openai_chat")
MODELS = {"anthropic_messages": "claude-sonnet-5", "gemini": "gemini-2.5-pro", "openai_chat": "gpt-4o"}
KEYS = {
    "anthropic_messages": {"x-api-key": "secret-key", "anthropic-version": "2023-06-01"},
    "gemini": {"x-goog-api-key": "secret-key"},
    "openai_chat": {"authorization": "Bearer secret-key"},
}
QUESTION = "What is the capital of France?"


class Ask(NamedTuple):
    """A request of one dialect: `path` as the client would write it behind the origin."""

    path: str
    headers: dict[str, str]
    body: bytes

    def sim(self) -> SimRequest:
        path, _, query = self.path.partition("?")
        return SimRequest("POST", path, query, dict(self.headers), self.body)

    def http(self, url: str) -> HTTPRequest:
        return HTTPRequest("POST", url + self.path, {**self.headers, "content-type": "application/json"}, self.body)

    def raw(self, *extra: str) -> bytes:
        """The request on the wire."""
        lines = [f"POST {self.path} HTTP/1.1", "host: test", f"content-length: {len(self.body)}", *extra]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


def ask(
    dialect: str, question: str = QUESTION, *, stream: bool = False, model: str | None = None, **fields: Any
) -> Ask:
    """A question in the words of a dialect; `fields` are added to its body."""
    model = model or MODELS[dialect]
    path = "/v1/chat/completions"
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}], **fields}
    if dialect == "gemini":
        path = f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")
        body = {"contents": [{"role": "user", "parts": [{"text": question}]}], **fields}
    elif dialect == "anthropic_messages":
        path = "/v1/messages"
        body = {"max_tokens": 4096, **body}
    if stream and dialect != "gemini":
        body["stream"] = True
    if stream and dialect == "openai_chat":
        body.setdefault("stream_options", {"include_usage": True})
    return Ask(path, dict(KEYS[dialect]), json.dumps(body).encode())


def body_of(brain: Brain, request: Ask | SimRequest) -> bytes:
    """What the brain answers, its steps joined."""
    plan = brain.handle(request.sim() if isinstance(request, Ask) else request)
    return b"".join(step.data for step in plan.steps)


def decode(dialect: str, body: bytes, *, stream: bool) -> Reply:
    """The reply in a body, read by the client side of the dialect; a stream must have ended properly."""
    module = dialects.get(dialect)
    decoder, fold = module.decoder(), Fold(module.read_usage)
    if stream:
        parser = SSEParser()
        for event in [*parser.feed(body), *parser.close()]:
            fold.add_all(decoder.feed(event))
        fold.add_all(decoder.close())
        assert fold.finished
    else:
        fold.add_all(decoder.reply(body))
        fold.add_all(decoder.close())
    return fold.reply()


def answer(brain: Brain, dialect: str, question: str = QUESTION, *, stream: bool = False, **fields: Any) -> Reply:
    """Asks the brain and reads the answer."""
    return decode(dialect, body_of(brain, ask(dialect, question, stream=stream, **fields)), stream=stream)


class Shell:
    """A brain behind one of its shells, asked through the client's transport protocol."""

    def __init__(self, kind: str, brain: Brain | None = None) -> None:
        self.kind = kind
        self.brain = brain or Brain()
        self.url = "http://memory"
        self._server = SimulatorServer(self.brain)
        self.transport: Transport = MemoryTransport(self.brain)

    async def __aenter__(self) -> Shell:
        if self.kind == "http":
            await self._server.start()
            self.url = self._server.url
            self.transport = HTTPTransport({})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.aclose()
        await self._server.aclose()

    async def send(self, request: Ask) -> HTTPResponse:
        return await self.transport.send(request.http(self.url))

    async def get(self, path: str, headers: dict[str, str]) -> HTTPResponse:
        return await self.transport.send(HTTPRequest("GET", self.url + path, headers, b""))


async def read(reply: HTTPResponse) -> bytes:
    """The whole body."""
    chunks = []
    while chunk := await reply.next_chunk():
        chunks.append(chunk)
    return b"".join(chunks)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs async test code; whatever is stuck for ten seconds fails."""

    async def limited() -> T:
        async with asyncio.timeout(10):
            return await main

    return asyncio.run(limited())


class RawClient:
    """A client that says exactly the bytes it is told to."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """What came up to `mark`, and all that came with it; b"" at the end counts as a failure."""
        data = b""
        while mark not in data:
            piece = self.sock.recv(65536)
            assert piece, f"the connection ended before {mark!r} came, after {data[-200:]!r}"
            data += piece
        return data

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one reply that announces its length."""
        data = self.until(b"\r\n\r\n")
        status, headers, body = split_head(data)
        while len(body) < int(headers.get("content-length", 0)):
            body += self.sock.recv(65536)
        return status, headers, body

    def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        data = b""
        while piece := self.sock.recv(65536):
            data += piece
        return data


def split_head(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body, which must be complete."""
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert body == b"\r\n"
            return out
        out += body[:length]
        assert body[length : length + 2] == b"\r\n"
        body = body[length + 2 :]
