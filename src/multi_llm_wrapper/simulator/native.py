"""The model's turn in its provider's own words, where the canonical fields cannot hold it: signed reasoning.

The signatures mean nothing, but they are there, they are opaque and they differ, so a client that loses or mixes them
up shows it.
"""

from __future__ import annotations

import base64
from hashlib import blake2b
from typing import Any

import msgspec

from ..types import NativeMessage, ToolCall


def signed_turn(
    dialect: str, reasoning: str, content: str, calls: list[ToolCall], shown: bool = True
) -> NativeMessage | None:
    """The turn with the reasoning's signature; None for a dialect that signs nothing. Gemini signs what it does not
    show, too."""
    if dialect == "anthropic_messages" and shown:
        return NativeMessage(dialect, {"content": _blocks(reasoning, content, calls)})
    if dialect == "gemini":
        return NativeMessage(
            dialect, {"parts": _parts(reasoning if shown else "", content, calls, signature(reasoning))}
        )
    return None


def signature(text: str) -> str:
    """Base64, as both providers have it; the same for the same text."""
    return base64.b64encode(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=48).digest()).decode()


def _blocks(reasoning: str, content: str, calls: list[ToolCall]) -> list[dict[str, Any]]:
    """https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking: the thinking block is signed."""
    blocks: list[dict[str, Any]] = [{"type": "thinking", "thinking": reasoning, "signature": signature(reasoning)}]
    if content:
        blocks.append({"type": "text", "text": content})
    for call in calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": _object(call.arguments)})
    return blocks


def _parts(thought: str, content: str, calls: list[ToolCall], signed: str) -> list[dict[str, Any]]:
    """https://ai.google.dev/gemini-api/docs/thought-signatures: on the first call, else on the last part of text."""
    parts: list[dict[str, Any]] = [{"text": content}] if content else []
    parts += [{"functionCall": {"name": call.name, "args": _object(call.arguments)}} for call in calls]
    if parts:
        parts[-len(calls) if calls else -1]["thoughtSignature"] = signed
    return [{"text": thought, "thought": True}, *parts] if thought else parts


def _object(arguments: str) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.json.decode(arguments)
    return value
