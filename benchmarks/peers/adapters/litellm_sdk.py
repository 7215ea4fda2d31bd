"""litellm: `litellm.acompletion` with its `openai/` provider and `api_base`, on the aiohttp transport that it ships on.

It would fetch its price table when it is imported; LITELLM_LOCAL_MODEL_COST_MAP makes it take its own copy.
"""

from __future__ import annotations

import time
from typing import Any

import litellm

from . import KEY, PROMPT, Reading, openai_shape

litellm.suppress_debug_info = True

PROVIDERS = {
    "openai_chat": ("openai", "/v1"),
    "azure_openai_chat": ("azure", ""),
    "anthropic_messages": ("anthropic", ""),
    "gemini": ("gemini", "/v1beta"),
    "compat_cerebras": ("cerebras", "/v1"),
    "compat_deepseek": ("deepseek", "/v1"),
    "compat_groq": ("groq", "/v1"),
    "compat_huggingface": ("openai", "/v1"),
    "compat_mistral": ("mistral", "/v1"),
    "compat_openrouter": ("openrouter", "/v1"),
    "compat_together": ("together_ai", "/v1"),
    "compat_zai": ("zai", "/v1"),
}
"""Dialect -> the prefix of the model name, and what `api_base` has behind the host. Its `huggingface/` asks the hub
for the model first, so that host goes through `openai/`."""


class Client:
    def __init__(self, base_url: str) -> None:
        self._asked: dict[str, Any] = {
            "api_base": f"{base_url}/v1",
            "api_key": KEY,
            "messages": [{"role": "user", "content": PROMPT}],
        }

    async def call(self) -> str:
        answer: Any = await litellm.acompletion(model="openai/plain", **self._asked)
        text: str = answer.choices[0].message.content
        return text

    async def consume(self, model: str) -> tuple[int, float]:
        count, first = 0, 0.0
        chunks: Any = await litellm.acompletion(model=f"openai/{model}", stream=True, **self._asked)
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                count += 1
                if count == 1:
                    first = time.perf_counter()
        return count, first


class Caller:
    """`Router`, which is its documented way to retry."""

    def __init__(self, base_url: str, seconds: float) -> None:
        deployment = {"model": "openai/gpt-4o", "api_base": f"{base_url}/v1", "api_key": KEY}
        self._router = litellm.Router(
            model_list=[{"model_name": "gpt-4o", "litellm_params": deployment}],
            num_retries=2,
            timeout=seconds,
            stream_timeout=seconds,
        )

    async def ask(self, model: str, prompt: str, stream: bool) -> Reading:
        asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        if stream:
            chunks: Any = await self._router.acompletion(**asked, stream=True, stream_options={"include_usage": True})
            return await openai_shape.gathered(chunks)
        return openai_shape.whole(await self._router.acompletion(**asked))

    async def aclose(self) -> None:
        self._router.discard()


class Cached:
    """Its own cache in memory."""

    def __init__(self, base_url: str, model: str, prompt: str) -> None:
        litellm.cache = litellm.Cache(type="local")
        self._asked: dict[str, Any] = {
            "model": f"openai/{model}",
            "api_base": base_url,
            "api_key": KEY,
            "messages": [{"role": "user", "content": prompt}],
            "caching": True,
        }

    async def call(self) -> bool:
        """Whether the answer came from the cache."""
        answer: Any = await litellm.acompletion(**self._asked)
        return bool(answer._hidden_params.get("cache_hit"))


class Reader:
    def __init__(self, root: str) -> None:
        self._root = root

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        prefix, path = PROVIDERS[dialect]
        asked: dict[str, Any] = {
            "model": f"{prefix}/{model}",
            "api_base": self._root + path,
            "api_key": KEY,
            "messages": [{"role": "user", "content": prompt}],
            "max_retries": 0,
            "num_retries": 0,
        }
        if dialect == "azure_openai_chat":
            asked["api_version"] = "2024-12-01-preview"
        if stream:
            chunks: Any = await litellm.acompletion(**asked, stream=True, stream_options={"include_usage": True})
            return await openai_shape.gathered(chunks)
        return openai_shape.whole(await litellm.acompletion(**asked))
