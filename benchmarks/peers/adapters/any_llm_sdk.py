"""any-llm: one provider object from `AnyLLM.create`, kept, as its documentation advises; `acompletion`."""

from __future__ import annotations

import time
from typing import Any

from any_llm import AnyLLM

from . import KEY, PROMPT, Reading, openai_shape

PROVIDERS = {
    "anthropic_messages": ("anthropic", ""),
    "gemini": ("gemini", ""),
    "compat_deepseek": ("deepseek", "/v1"),
    "compat_openrouter": ("openrouter", "/v1"),
    "compat_zai": ("zai", "/v1"),
}
"""Dialect -> provider, and what its base URL has behind the host. The rest go through its `openai`: its providers of
those names need the host's own SDK."""


class Client:
    def __init__(self, base_url: str) -> None:
        self._llm = AnyLLM.create("openai", api_key=KEY, api_base=f"{base_url}/v1")

    async def call(self) -> str:
        answer: Any = await self._llm.acompletion("plain", [{"role": "user", "content": PROMPT}])
        text: str = answer.choices[0].message.content
        return text

    async def consume(self, model: str) -> tuple[int, float]:
        count, first = 0, 0.0
        async for chunk in await self._llm.acompletion(model, [{"role": "user", "content": PROMPT}], stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                count += 1
                if count == 1:
                    first = time.perf_counter()
        return count, first


class Reader:
    def __init__(self, root: str) -> None:
        self._root = root
        self._clients: dict[str, AnyLLM] = {}

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        llm: Any = self._clients.get(dialect) or self._open(dialect)
        messages = [{"role": "user", "content": prompt}]
        if not stream:
            return openai_shape.whole(await llm.acompletion(model, messages))
        options = {} if dialect in ("anthropic_messages", "gemini") else {"stream_options": {"include_usage": True}}
        return await openai_shape.gathered(await llm.acompletion(model, messages, stream=True, **options))

    def _open(self, dialect: str) -> AnyLLM:
        provider, path = PROVIDERS.get(dialect, ("openai", "/v1"))
        retries: dict[str, Any] = {} if provider == "gemini" else {"max_retries": 0}
        llm = self._clients[dialect] = AnyLLM.create(
            provider, api_key=KEY, api_base=self._root + path, unified_exceptions=True, **retries
        )
        return llm
