"""The openai SDK: `AsyncOpenAI` on its default transport (httpx2), `chat.completions.create`."""

from __future__ import annotations

import time
from typing import Any

from openai import AsyncAzureOpenAI, AsyncOpenAI

from . import KEY, PROMPT, Reading, openai_shape


class Client:
    def __init__(self, base_url: str) -> None:
        self._chat = AsyncOpenAI(api_key=KEY, base_url=f"{base_url}/v1").chat.completions

    async def call(self) -> str:
        answer = await self._chat.create(model="plain", messages=[{"role": "user", "content": PROMPT}])
        return answer.choices[0].message.content or ""

    async def consume(self, model: str) -> tuple[int, float]:
        count, first = 0, 0.0
        chunks = await self._chat.create(model=model, messages=[{"role": "user", "content": PROMPT}], stream=True)
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                count += 1
                if count == 1:
                    first = time.perf_counter()
        return count, first


class Caller:
    def __init__(self, base_url: str, seconds: float) -> None:
        self._client = AsyncOpenAI(api_key=KEY, base_url=f"{base_url}/v1", timeout=seconds)

    async def ask(self, model: str, prompt: str, stream: bool) -> Reading:
        return await _asked(self._client.chat.completions, model, prompt, stream)

    async def aclose(self) -> None:
        await self._client.close()


class Reader:
    def __init__(self, root: str) -> None:
        azure = AsyncAzureOpenAI(api_key=KEY, azure_endpoint=root, api_version="2024-12-01-preview", max_retries=0)
        self._azure = azure.chat.completions
        self._chat = AsyncOpenAI(api_key=KEY, base_url=f"{root}/v1", max_retries=0).chat.completions

    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        chat: Any = self._azure if dialect == "azure_openai_chat" else self._chat
        return await _asked(chat, model, prompt, stream)


async def _asked(chat: Any, model: str, prompt: str, stream: bool) -> Reading:
    asked = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    if stream:
        return await openai_shape.gathered(
            await chat.create(**asked, stream=True, stream_options={"include_usage": True})
        )
    return openai_shape.whole(await chat.create(**asked))
