"""Server side: an answer in Gemini's words, whole. `stream` writes the same in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UnsupportedFeatureError
from ...types import FinishReason, Reply, Usage
from .. import shape
from ..base import WireReply
from .parts import parts_saying, read_arguments
from .reply import FINISH

JSON_HEADERS = {"content-type": "application/json; charset=UTF-8"}

CANDIDATE_EXTRAS = frozenset(
    {
        "avgLogprobs",
        "citationMetadata",
        "finishMessage",
        "groundingMetadata",
        "logprobsResult",
        "safetyRatings",
        "tokenCount",
        "urlContextMetadata",
    }
)
"""Extras that are fields of a candidate. Those of another dialect have no place here and are left out."""

_WORDS: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "other": "OTHER",
}


def encode_reply(reply: Reply, *, created: int) -> WireReply:
    """The provider's own parts, usage and reasons are written back as they came. `created` has no place in it.
    Raises `UnsupportedFeatureError` for tool arguments that are not the JSON text of an object."""
    extras = reply.extras
    candidate: dict[str, Any] = {"content": {"parts": _parts(reply), "role": "model"}}
    if reply.finish_reason is not None:
        candidate["finishReason"] = finish_word(reply.finish_reason, reply.provider_finish_reason)
    candidate["index"] = 0
    candidate |= {name: value for name, value in extras.items() if name in CANDIDATE_EXTRAS}
    usage = usage_metadata(reply.usage, reply.raw_usage)
    body = envelope([candidate, *_others(extras)], usage, reply.response_model, reply.response_id)
    if "promptFeedback" in extras:
        body["promptFeedback"] = extras["promptFeedback"]
    return WireReply(200, dict(JSON_HEADERS), shape.encode(body))


def envelope(
    candidates: list[Any], usage: Mapping[str, Any] | None, model: str | None, response_id: str | None
) -> dict[str, Any]:
    """A reply, or one chunk of a stream; fields that are None are left out."""
    fields = {"candidates": candidates, "usageMetadata": usage, "modelVersion": model, "responseId": response_id}
    return {name: value for name, value in fields.items() if value is not None}


def call_part(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    args = read_arguments(arguments)
    if args is None:
        raise UnsupportedFeatureError(
            f"Gemini has no words for the arguments of {name!r}: they are not the JSON text of an object.",
            code="arguments",
        )
    return {"functionCall": ({"id": call_id} if call_id else {}) | {"name": name, "args": args}}


def finish_word(reason: FinishReason, provider_reason: str | None) -> str:
    """The provider's own word where it is Gemini's and means this."""
    meaning = FINISH.get(provider_reason or "")
    same = meaning == reason or (meaning == "stop" and reason == "tool_calls")
    return provider_reason if same and provider_reason else _WORDS[reason]


def usage_metadata(usage: Usage | None, raw: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The inverse of `read_usage`. Zero counts are left out, as Gemini does, but for prompt and total."""
    if raw is not None and "promptTokenCount" in raw:
        return dict(raw)
    if usage is None:
        return None
    thoughts, output = usage.reasoning_tokens, usage.output_tokens
    counts = {
        "cachedContentTokenCount": usage.cache_read_tokens,
        "candidatesTokenCount": None if output is None else max(output - (thoughts or 0), 0),
        "thoughtsTokenCount": thoughts,
    }
    metadata = {name: count for name, count in counts.items() if count}
    whole = usage.total_tokens if usage.total_tokens is not None else shape.total(usage.input_tokens, output)
    always = {"promptTokenCount": usage.input_tokens, "totalTokenCount": whole}
    return {name: count for name, count in always.items() if count is not None} | metadata


def _parts(reply: Reply) -> list[Any]:
    own = parts_saying(reply.native, reply.content, [(call.name, call.arguments) for call in reply.tool_calls])
    if own is not None:
        return own
    parts: list[Any] = [{"text": reply.reasoning, "thought": True}] if reply.reasoning else []
    if reply.content:
        parts.append({"text": reply.content})
    return parts + [call_part(call.id, call.name, call.arguments) for call in reply.tool_calls]


def _others(extras: Mapping[str, Any]) -> list[Any]:
    others = extras.get("candidates")
    return others if isinstance(others, list) else []
