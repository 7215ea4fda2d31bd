"""A fast local upstream in its own process, so that its CPU time is not ours.

Speaks just enough HTTP/1.1 and OpenAI chat to be asked by any client. The model name says what comes back:
`plain`, `bulk-N` (N chunks at once), `paced-N` (N chunks at 50 a second), `parked-N` (N chunks at once, then nothing
more), `answer-BYTES`, `event-BYTES` (one SSE event), `bytes-N` (a stream of N chunks written byte by byte). Of these
the first four are also said in the words of Anthropic's Messages, to whoever asks at a path that ends so. Started as
`python -m benchmarks.upstream`; prints its port.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

TOKENS_PER_SECOND = 50
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nx-request-id: req_bench\r\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _usage(output: int) -> dict[str, Any]:
    return {
        "prompt_tokens": 14,
        "completion_tokens": output,
        "total_tokens": 14 + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def completion(text: str) -> bytes:
    return _json(
        {
            "id": "chatcmpl-BENCH",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _usage(35),
            "service_tier": "default",
            "system_fingerprint": "fp_bench",
        }
    )


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    return (
        b"data: "
        + _json(
            {
                "id": "chatcmpl-BENCH",
                "object": "chat.completion.chunk",
                "created": 1_790_000_000,
                "model": "gpt-4o-2024-08-06",
                "service_tier": "default",
                "system_fingerprint": "fp_bench",
                "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
                "usage": None,
                "obfuscation": "Bench0",
            }
        )
        + b"\n\n"
    )


FIRST = chunk({"role": "assistant", "content": "", "refusal": None})
TOKEN = chunk({"content": " token"})
LAST = chunk({}, "stop") + b"data: [DONE]\n\n"


def _whole(kind: bytes, body: bytes) -> bytes:
    return _HEAD % kind + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


TEXT = "The capital of France is Paris. " * 5
PLAIN = _whole(b"application/json", completion(TEXT))
_STREAM_HEAD = _HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


class Words(NamedTuple):
    """How one protocol says the same answer: whole, and as the pieces of a stream."""

    plain: bytes
    first: bytes
    tokens: tuple[bytes, bytes]
    """Said in turn: some clients take a model that repeats itself for a broken one."""
    last: bytes

    def some(self, number: int) -> bytes:
        return b"".join(self.tokens) * (number // 2) + self.tokens[0] * (number % 2)


OPENAI = Words(PLAIN, FIRST, (TOKEN, chunk({"content": " other"})), LAST)


def message(content: list[dict[str, Any]], reason: str | None, output: int) -> dict[str, Any]:
    return {
        "id": "msg_BENCH",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 14,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
            "service_tier": "standard",
        },
    }


def named(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json({"type": kind, **fields}))


def _anthropic() -> Words:
    def token(text: str) -> bytes:
        return named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    return Words(
        plain=_whole(b"application/json", _json(message([{"type": "text", "text": TEXT}], "end_turn", 35))),
        first=named("message_start", message=message([], None, 1))
        + named("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + named("ping"),
        tokens=(token(" token"), token(" other")),
        last=named("content_block_stop", index=0)
        + named("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 35})
        + named("message_stop"),
    )


ANTHROPIC = _anthropic()


class Pacer:
    """Writes one chunk to each paced stream every 20 ms, from one timer, so that many streams cost little."""

    def __init__(self) -> None:
        self._streams: dict[asyncio.Transport, tuple[int, Words]] = {}
        self._due = 0.0

    def add(self, transport: asyncio.Transport, chunks: int, words: Words) -> None:
        transport.write(_STREAM_HEAD + _chunked(words.first))
        if not self._streams:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + 1 / TOKENS_PER_SECOND
            loop.call_at(self._due, self._tick)
        self._streams[transport] = (chunks, words)

    def _tick(self) -> None:
        for transport, (left, words) in list(self._streams.items()):
            if transport.is_closing():
                del self._streams[transport]
            elif left:
                transport.write(_chunked(words.tokens[left % 2]))
                self._streams[transport] = (left - 1, words)
            else:
                transport.write(_chunked(words.last) + _END)
                del self._streams[transport]
        if self._streams:
            self._due += 1 / TOKENS_PER_SECOND
            asyncio.get_running_loop().call_at(self._due, self._tick)


class Upstream(asyncio.Protocol):
    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._buffer = bytearray()
        self._need: int | None = None
        self._words = OPENAI

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (body := self._request()) is not None:
            self._answer(body)

    def _request(self) -> bytes | None:
        if self._need is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(self._buffer[:end]).lower()
            mark = head.find(b"content-length:")
            length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            del self._buffer[: end + 4]
            self._need = length
            self._words = ANTHROPIC if b"/messages" in head.partition(b"\r\n")[0] else OPENAI
        if len(self._buffer) < self._need:
            return None
        body = bytes(self._buffer[: self._need])
        del self._buffer[: self._need]
        self._need = None
        return body

    def _answer(self, body: bytes) -> None:
        start = body.find(b'"model"')
        name = body[start + 8 : start + 80].split(b'"')[1].decode() if start >= 0 else "plain"
        kind, _, size = name.rpartition("/")[2].partition("-")
        write, words = self._transport.write, self._words
        if kind == "bulk":
            write(_whole(b"text/event-stream", words.first + words.some(int(size)) + words.last))
        elif kind == "paced":
            self._pacer.add(self._transport, int(size), words)
        elif kind == "parked":
            write(_STREAM_HEAD + _chunked(words.first + words.some(int(size))))
        elif kind == "answer":
            write(_whole(b"application/json", completion("x" * int(size))))
        elif kind == "event":
            write(_whole(b"text/event-stream", FIRST + chunk({"content": "x" * int(size)}) + LAST))
        elif kind == "bytes":
            data = FIRST + TOKEN * int(size) + LAST
            write(_STREAM_HEAD + b"".join(_chunked(data[i : i + 1]) for i in range(len(data))) + _END)
        else:
            write(words.plain)


async def _serve() -> None:
    pacer = Pacer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(pacer), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us goes away


@contextmanager
def running(core: int | None = None) -> Iterator[str]:
    """The base URL (with `/v1`) of an upstream in a process of its own, on `core` if given."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.upstream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
