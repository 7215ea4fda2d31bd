"""What a careful person would write by hand: aiohttp and msgspec, no checks, no errors, no limits."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import msgspec

from . import KEY, PROMPT

_loads = msgspec.json.Decoder().decode


class Client:
    def __init__(self, base_url: str) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._url = f"{base_url}/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    async def call(self) -> str:
        async with self._post({"model": "plain"}) as response:
            answer = _loads(await response.read())
        text: str = answer["choices"][0]["message"]["content"]
        return text

    async def consume(self, model: str) -> tuple[int, float]:
        count, first, rest = 0, 0.0, b""
        async with self._post({"model": model, "stream": True}) as response:
            async for data in response.content.iter_any():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event == b"data: [DONE]":
                        continue
                    choices = _loads(event[6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        count += 1
                        if count == 1:
                            first = time.perf_counter()
        return count, first

    def _post(self, fields: dict[str, Any]) -> Any:
        body = msgspec.json.encode({**fields, "messages": [{"role": "user", "content": PROMPT}]})
        return self._session.post(self._url, data=body, headers=self._headers)
