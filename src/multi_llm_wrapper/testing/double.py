"""A stand-in for one attempt: answers what a test tells it to, and remembers how it was asked."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from unittest.mock import AsyncMock

_FORWARDED = frozenset(("return_value", "side_effect"))
_UNSET = object()


class CompletionDouble:
    """Awaited in place of an attempt with `provider, model, messages, api_key, timeout, headers` and the options.

    `return_value`, `side_effect`, `call_count`, `call_args`, `await_args_list`, `assert_*` are those of an
    `AsyncMock`; `call_count` counts attempts. An answer is an OpenAI-shaped dict or object; until a test says
    otherwise it is a short text with usage, in the name of whoever is asked. `delay` is in seconds.
    """

    instant = True
    """Back-off between attempts does not sleep under the double."""

    def __init__(self) -> None:
        self.delay = 0.0
        self._ids = itertools.count(1)
        self._mock = AsyncMock(name="mock_completion")
        self._mock.return_value = _UNSET

    async def __call__(self, *args: Any, **request: Any) -> Any:
        try:
            result = await self._mock(*args, **request)
        finally:
            if self.delay:
                await asyncio.sleep(self.delay)
        return self.default(**request) if result is _UNSET else result

    def default(self, model: str = "model", provider: str = "", **_: Any) -> dict[str, Any]:
        """The answer when a test set none."""
        return {
            "id": f"mock-{next(self._ids)}",
            "object": "chat.completion",
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": f"This is a test response from {provider or model}."},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
        }

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_mock"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FORWARDED:
            setattr(self._mock, name, value)
        else:
            object.__setattr__(self, name, value)
