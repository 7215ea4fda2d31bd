"""Why the model stopped: the words of OpenAI and of the hosts that speak its protocol, in both directions."""

from __future__ import annotations

from ...errors import LLMError, OverloadedError, ServerError
from ...types import FinishReason

REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "end_turn": "stop",  # what other providers' words become on some gateways
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral: the context window is full
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",  # the form before tools
    "content_filter": "content_filter",
}

FAILURES: dict[str, tuple[type[LLMError], str]] = {
    "error": (ServerError, "it failed while it wrote"),  # OpenRouter, Mistral
    "insufficient_system_resource": (OverloadedError, "it ran out of capacity while it wrote"),  # DeepSeek
}
"""Finish reasons that say that the answer is not one."""

_OWN = frozenset({"stop", "length", "tool_calls", "function_call", "content_filter"})


def read_reason(word: str) -> FinishReason:
    """The canonical reason, `other` for a word nobody knows. Raises for the words that report a failure."""
    failure = FAILURES.get(word)
    if failure is not None:
        kind, what = failure
        raise kind(f"The provider broke off its answer: {what} (finish reason {word!r}). Try again.", code=word)
    return REASONS.get(word, "other")


def write_reason(reason: FinishReason | None, provider_reason: str | None) -> str | None:
    """OpenAI's word for it: the provider's own one where that is a word of OpenAI's, or where there is no other."""
    word = provider_reason or ""
    if word in _OWN and REASONS[word] == reason:
        return word
    if reason == "other" and word and word not in REASONS and word not in FAILURES:
        return word
    return reason
