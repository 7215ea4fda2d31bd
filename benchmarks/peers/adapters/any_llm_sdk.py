"""any-llm: one provider object from `AnyLLM.create`, kept, as its documentation advises; `acompletion`.

The recordings are read with `unified_exceptions`, without which errors are those of the SDK underneath.
"""

from __future__ import annotations

import time
from typing import Any

from any_llm import AnyLLM

from . import KEY, PROMPT, Reading, openai_shape

BASE_URL_OF_CLIENT = frozenset({"cerebras", "groq"})
"""These providers take no `api_base`, but hand other arguments on to their client."""
NO_RETRIES = frozenset({"anthropic", "cerebras", "deepseek", "groq", "openai", "openrouter", "together", "zai"})
"""Those whose client can be told not to try again; the others do not by themselves."""
PROVIDERS = {
    "openai_chat": ("openai", "/v1"),
    "azure_openai_chat": ("openai", "/v1"),
    "anthropic_messages": ("anthropic", ""),
    "gemini": ("gemini", ""),
    "compat_mistral": ("mistral", ""),
}
"""Dialect -> provider, and what its base URL has behind the host; the compatible hosts go by their names."""


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
        self._clients: dict[str, tuple[str, Any]] = {}

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        provider, llm = self._clients.get(dialect) or self._open(dialect)
        messages = [{"role": "user", "content": prompt}]
        if not stream:
            return openai_shape.whole(await llm.acompletion(model, messages))
        openai = provider in ("openai", "deepseek", "openrouter", "zai")
        options = {"stream_options": {"include_usage": True}} if openai else {}
        return await openai_shape.gathered(await llm.acompletion(model, messages, stream=True, **options))

    def _open(self, dialect: str) -> tuple[str, Any]:
        provider, path = PROVIDERS.get(dialect) or (dialect.removeprefix("compat_"), "/v1")
        options: dict[str, Any] = {"max_retries": 0} if provider in NO_RETRIES else {}
        options["base_url" if provider in BASE_URL_OF_CLIENT else "api_base"] = self._root + path
        llm: Any = AnyLLM.create(provider, api_key=KEY, unified_exceptions=True, **options)
        self._clients[dialect] = provider, llm
        return provider, llm
