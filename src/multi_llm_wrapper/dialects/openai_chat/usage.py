"""OpenAI's usage object, in both directions. Its counts are inclusive already; hosts differ in where details stand.

OpenAI: `prompt_tokens_details.cached_tokens`, OpenRouter also `cache_write_tokens` there; DeepSeek:
`prompt_cache_hit_tokens`; Together and Moonshot: `cached_tokens`; Mistral: `num_cached_tokens`.
"""

from __future__ import annotations

from typing import Any

from ...types import Usage
from ..shape import count


def read_usage(raw: dict[str, Any]) -> Usage:
    """Inclusive counts; None for what was not reported, also where it stands there in a shape that is no count."""
    inside, outside = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    total = count(raw.get("total_tokens"))
    of_prompt, of_answer = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    reasoning = count(of_answer.get("reasoning_tokens"))
    if reasoning is None:
        reasoning = count(raw.get("reasoning_tokens"))
    read = count(of_prompt.get("cached_tokens"))
    if read is None:
        read = next((found for name in _CACHED if (found := count(raw.get(name))) is not None), None)
    if inside is not None and outside is not None:
        if total is None:
            total = inside + outside
        elif reasoning and total == inside + outside + reasoning:
            outside += reasoning  # xAI counts reasoning beside the answer; the total tells
    return Usage(inside, outside, total, read, count(of_prompt.get("cache_write_tokens")), reasoning)


_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")


def write_usage(usage: Usage) -> dict[str, Any]:
    """The object as OpenAI sends it; a count that is not known is left out."""
    return _known(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=_known(
            cached_tokens=usage.cache_read_tokens, cache_write_tokens=usage.cache_write_tokens, audio_tokens=0
        ),
        completion_tokens_details=_known(
            reasoning_tokens=usage.reasoning_tokens,
            audio_tokens=0,
            accepted_prediction_tokens=0,
            rejected_prediction_tokens=0,
        ),
    )


def _details(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if type(value) is dict else _NONE


_NONE: dict[str, Any] = {}


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
