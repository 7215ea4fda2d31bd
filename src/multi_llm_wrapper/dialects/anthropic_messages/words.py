"""The words of the Messages API for what both directions speak of: stop reasons, efforts, usage."""

from __future__ import annotations

from typing import Any

from ...types import FinishReason, Usage
from ..shape import count, total

NAME = "anthropic_messages"
PATH = "/v1/messages"

STOP_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "other",  # a turn of server-side tools, to be sent back as it is and continued
}
"""https://docs.anthropic.com/en/api/handling-stop-reasons; any other word is `other`."""

_WORDS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "other": "pause_turn",
}

BUDGETS: dict[str, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
"""Thinking tokens by effort, for the models that take a budget instead of an effort. 1024 is the API's minimum."""
MIN_BUDGET = 1024

EFFORTS: dict[str, str] = {"minimal": "low"}
"""Efforts whose name the API does not know, and the nearest one it does; it knows low, medium, high, xhigh, max."""

CHOICES: dict[str, str] = {"auto": "auto", "none": "none", "required": "any"}
"""`tool_choice` by name: ours -> Anthropic's."""


def write_stop(reason: FinishReason | None, provider_reason: str | None) -> str | None:
    """Anthropic's word: the provider's own one where that is a word of Anthropic's, or where there is no other."""
    if reason is None:
        return None
    word = provider_reason or ""
    if STOP_REASONS.get(word) == reason or (reason == "other" and word and word not in STOP_REASONS):
        return word
    return _WORDS[reason]


def read_usage(raw: dict[str, Any]) -> Usage:
    """Inclusive counts: the API's `input_tokens` is only what was neither read from a cache nor written to one."""
    fresh, output = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    read, written = count(raw.get("cache_read_input_tokens")), count(raw.get("cache_creation_input_tokens"))
    details = raw.get("output_tokens_details")
    given = None if fresh is None else total(fresh, read, written)
    return Usage(
        input_tokens=given,
        output_tokens=output,
        total_tokens=None if given is None or output is None else given + output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(details.get("thinking_tokens")) if type(details) is dict else None,
    )


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """The two totals are always there, as the API has no way to leave them out; a cache count that is not known is
    null."""
    usage = usage or Usage()
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    wire: dict[str, Any] = {
        "input_tokens": max((usage.input_tokens or 0) - (read or 0) - (written or 0), 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.reasoning_tokens is not None:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return wire
