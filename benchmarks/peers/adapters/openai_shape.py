"""Answers in the shape of the openai SDK, which several clients share: whole, and put together from chunks as its
documentation shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from . import Reading, usage


def whole(completion: Any) -> Reading:
    message = completion.choices[0].message
    calls = [[call.function.name, parsed(call.function.arguments)] for call in message.tool_calls or []]
    return {
        "text": message.content or "",
        "calls": calls,
        "usage": counts(getattr(completion, "usage", None)),
        "finish": completion.choices[0].finish_reason,
    }


async def gathered(chunks: AsyncIterator[Any]) -> Reading:
    texts: list[str] = []
    calls: dict[Any, list[str]] = {}
    seen: Any = None
    finish: Any = None
    async for chunk in chunks:
        seen = getattr(chunk, "usage", None) or seen
        if not chunk.choices:
            continue
        finish = chunk.choices[0].finish_reason or finish
        delta = chunk.choices[0].delta
        if delta.content:
            texts.append(delta.content)
        for piece in delta.tool_calls or []:
            name, arguments = calls.setdefault(piece.index, ["", ""])
            calls[piece.index] = [
                name or piece.function.name or "",
                arguments + (piece.function.arguments or ""),
            ]
    return {
        "text": "".join(texts),
        "calls": [[name, parsed(arguments)] for name, arguments in calls.values()],
        "usage": counts(seen),
        "finish": finish,
    }


def parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None


def counts(given: Any) -> dict[str, Any] | None:
    if given is None:
        return None
    prompt = getattr(given, "prompt_tokens_details", None)
    answer = getattr(given, "completion_tokens_details", None)
    return usage(
        given.prompt_tokens,
        given.completion_tokens,
        given.total_tokens,
        getattr(prompt, "cached_tokens", None),
        _first(getattr(prompt, "cache_write_tokens", None), getattr(prompt, "cache_creation_tokens", None)),
        getattr(answer, "reasoning_tokens", None),
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
