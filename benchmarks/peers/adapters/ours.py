"""multi_llm_wrapper with its defaults, except caching, which would answer from memory."""

from __future__ import annotations

import time
from typing import Any

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, Timeouts, WrapperConfig

from . import KEY, PROMPT, Reading, usage

PROVIDERS = {
    "openai_chat": ("openai", "/v1"),
    "azure_openai_chat": ("azure", "/openai/v1"),
    "anthropic_messages": ("anthropic", ""),
    "gemini": ("gemini", ""),
}
"""Dialect -> provider, and what its base URL has behind the host; the compatible hosts go by their names."""


class Client:
    def __init__(self, base_url: str) -> None:
        config = WrapperConfig(openai=OpenAIConfig(api_key=KEY, base_url=f"{base_url}/v1"), enable_caching=False)
        self._llm = LLMWrapper(config)

    async def call(self) -> str:
        response = await self._llm.query(PROMPT, model="openai/plain")
        text: str = response["content"]
        return text

    async def consume(self, model: str) -> tuple[int, float]:
        count, first = 0, 0.0
        async with self._llm.stream(PROMPT, model=f"openai/{model}") as stream:
            async for chunk in stream:
                if chunk.content:
                    count += 1
                    if count == 1:
                        first = time.perf_counter()
        stream.response.raise_for_status()
        return count, first


class Caller:
    def __init__(self, base_url: str, seconds: float) -> None:
        self._llm = LLMWrapper(
            WrapperConfig(
                openai=OpenAIConfig(api_key=KEY, base_url=f"{base_url}/v1"),
                enable_caching=False,
                timeouts=Timeouts(connect=seconds, first_token=seconds, idle=seconds, attempt=seconds),
            )
        )

    async def ask(self, model: str, prompt: str, stream: bool) -> Reading:
        return await _asked(self._llm, f"openai/{model}", prompt, stream)

    async def aclose(self) -> None:
        await self._llm.aclose()


class Reader:
    def __init__(self, root: str) -> None:
        self._root = root
        self._clients: dict[str, tuple[str, LLMWrapper]] = {}

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        provider, llm = self._clients.get(dialect) or self._open(dialect)
        return await _asked(llm, f"{provider}/{model}", prompt, stream)

    def _open(self, dialect: str) -> tuple[str, LLMWrapper]:
        from multi_llm_wrapper.config import PROVIDER_CONFIGS

        provider, path = PROVIDERS.get(dialect) or (dialect.removeprefix("compat_"), "/v1")
        given = PROVIDER_CONFIGS[provider](api_key=KEY, base_url=self._root + path)
        fields: dict[str, Any] = {provider: given}
        llm = LLMWrapper(WrapperConfig(enable_caching=False, max_retries=0, **fields))
        self._clients[dialect] = provider, llm
        return provider, llm


async def _asked(llm: LLMWrapper, model: str, prompt: str, stream: bool) -> Reading:
    if stream:
        async with llm.stream(prompt, model=model) as chunks:
            async for _ in chunks:
                pass
        response = chunks.response
    else:
        response = await llm.query(prompt, model=model)
    if not response.ok:
        return {"error": response["error_type"], "says": response["error"]}
    return {
        "text": response["content"],
        "calls": [[call["name"], call["arguments"]] for call in response["tool_calls"]],
        "usage": _usage(response.usage),
        "finish": response["metadata"]["finish_reason"],
    }


def _usage(given: dict[str, int | None] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    names = ("input", "output", "total", "cache_read", "cache_write", "reasoning")
    return usage(*(given[f"{name}_tokens"] for name in names))
