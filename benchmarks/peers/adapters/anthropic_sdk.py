"""The anthropic SDK: `AsyncAnthropic` on its default transport (httpx2), `messages.create`; streams are read with
`messages.stream`, the helper that puts the message together."""

from __future__ import annotations

import time
from typing import Any

from anthropic import AsyncAnthropic

from . import KEY, PROMPT, Reading, usage


class Client:
    def __init__(self, base_url: str) -> None:
        self._messages = AsyncAnthropic(api_key=KEY, base_url=base_url).messages

    async def call(self) -> str:
        answer = await self._messages.create(**_asked("plain", PROMPT))
        return "".join(block.text for block in answer.content if block.type == "text")

    async def consume(self, model: str) -> tuple[int, float]:
        count, first = 0, 0.0
        async for event in await self._messages.create(**_asked(model, PROMPT), stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta" and event.delta.text:
                count += 1
                if count == 1:
                    first = time.perf_counter()
        return count, first


class Reader:
    def __init__(self, root: str) -> None:
        self._messages = AsyncAnthropic(api_key=KEY, base_url=root, max_retries=0).messages

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        if stream:
            async with self._messages.stream(**_asked(model, prompt)) as events:
                answer: Any = await events.get_final_message()
        else:
            answer = await self._messages.create(**_asked(model, prompt))
        return {
            "text": "".join(block.text for block in answer.content if block.type == "text"),
            "calls": [[block.name, block.input] for block in answer.content if block.type == "tool_use"],
            "usage": _usage(answer.usage),
        }


def _asked(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": prompt}]}


def _usage(given: Any) -> dict[str, Any]:
    """Its own counts: `input_tokens` leaves out what was read from a cache or written to one; there is no total."""
    details = getattr(given, "output_tokens_details", None)
    return usage(
        given.input_tokens,
        given.output_tokens,
        None,
        given.cache_read_input_tokens,
        given.cache_creation_input_tokens,
        getattr(details, "thinking_tokens", None),
    )
