"""lm15: its asynchronous adapters over its own asyncio transport, whose limit of 100 connections is raised."""

from __future__ import annotations

import time
from typing import Any

from lm15 import (
    AsyncAnthropicLM,
    AsyncGeminiLM,
    AsyncOpenAIChatLM,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamErrorEvent,
    TextDelta,
    TextPart,
    amaterialize_response,
)
from lm15.transports import StdlibAsyncTransport

from . import KEY, PLENTY, PROMPT, Reading, usage

PRESETS = frozenset({"deepseek", "groq", "openrouter", "together", "zai"})
"""Of the recorded hosts those whose dialect it knows by name; the others are OpenAI to it."""


class Client:
    def __init__(self, base_url: str) -> None:
        transport = StdlibAsyncTransport(max_connections=PLENTY)
        self._lm = AsyncOpenAIChatLM(api_key=KEY, base_url=f"{base_url}/v1", transport=transport)

    async def call(self) -> str:
        return (await self._lm.complete(_asked("plain", PROMPT))).text or ""

    async def consume(self, model: str) -> tuple[int, float]:
        count, first = 0, 0.0
        async for event in self._lm.stream(_asked(model, PROMPT)):
            if isinstance(event, StreamDeltaEvent):
                if isinstance(event.delta, TextDelta) and event.delta.text:
                    count += 1
                    if count == 1:
                        first = time.perf_counter()
            elif isinstance(event, StreamErrorEvent):
                raise RuntimeError(event.error.message)
        return count, first


class Caller:
    """It is documented to retry nothing by itself."""

    def __init__(self, base_url: str, seconds: float) -> None:
        transport = StdlibAsyncTransport(connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds)
        self._lm = AsyncOpenAIChatLM(api_key=KEY, base_url=f"{base_url}/v1", transport=transport)

    async def ask(self, model: str, prompt: str, stream: bool) -> Reading:
        return await _answer(self._lm, model, prompt, stream)

    async def aclose(self) -> None:
        await self._lm.aclose()


class Reader:
    def __init__(self, root: str) -> None:
        self._root = root
        self._clients: dict[str, Any] = {}

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        return await _answer(self._clients.get(dialect) or self._open(dialect), model, prompt, stream)

    def _open(self, dialect: str) -> Any:
        if dialect == "anthropic_messages":
            lm: Any = AsyncAnthropicLM(api_key=KEY, base_url=f"{self._root}/v1")
        elif dialect == "gemini":
            lm = AsyncGeminiLM(api_key=KEY, base_url=f"{self._root}/v1beta")
        else:
            host = dialect.removeprefix("compat_")
            compat = host if host in PRESETS else None
            lm = AsyncOpenAIChatLM(api_key=KEY, base_url=f"{self._root}/v1", compat=compat)
        self._clients[dialect] = lm
        return lm


async def _answer(lm: Any, model: str, prompt: str, stream: bool) -> Reading:
    request = _asked(model, prompt)
    answer: Response = await (amaterialize_response(lm.stream(request), request) if stream else lm.complete(request))
    given = answer.usage
    return {
        "text": "".join(part.text for part in answer.message.parts_of(TextPart)),
        "calls": [[call.name, dict(call.input)] for call in answer.tool_calls],
        "usage": usage(
            given.input_tokens,
            given.output_tokens,
            given.total_tokens,
            given.cache_read_tokens,
            given.cache_write_tokens,
            given.reasoning_tokens,
        ),
        "finish": answer.finish_reason,
    }


def _asked(model: str, prompt: str) -> Request:
    return Request(model=model, messages=(Message.user(prompt),))
