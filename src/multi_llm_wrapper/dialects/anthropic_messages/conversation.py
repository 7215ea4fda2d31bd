"""Server side: turns of content blocks as canonical messages.

One user turn may hold tool results and what the user says: results become tool messages, which come first. A block
that the canonical message has no part for (a document, a reference to a file) becomes a text part with its JSON, so
that nothing of the prompt is lost.
"""

from __future__ import annotations

from typing import Any

from ...types import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    ImageURL,
    Message,
    MessageToolCall,
    NativeMessage,
    Part,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from ..shape import encode
from .blocks import needs_native
from .checks import invalid, objects, one_of, required, typed
from .words import NAME

Blocks = list[tuple[str, dict[str, Any]]]

_ROLES = {"user": None, "assistant": None}
_RULE = "Each `{}` block must have a corresponding `{}` block in the {} message."


def decode_turns(items: list[Any]) -> list[Message]:
    if not items:
        invalid("messages: at least one message is required")
    messages: list[Message] = []
    calls = _OpenCalls()
    for place, fields in objects(items, "messages"):
        role = required(fields, "role", str, f"{place}.")
        content = _content(fields.get("content"), place)
        if role == "system":  # the newest models take it here, too
            messages.append(SystemMessage(content if isinstance(content, str) else _text_parts(content)))
            continue
        one_of(role, _ROLES, f"{place}.role")
        if not content and not (role == "assistant" and fields is items[-1]):
            invalid(
                f"{place}: all messages must have non-empty content except for the optional final assistant message"
            )
        calls.turn(place, role, content)
        messages += _user(content) if role == "user" else [_assistant(content)]
    return messages


def text_parts(items: list[Any], where: str) -> list[TextPart]:
    return _text_parts(_blocks(items, where))


def _content(value: Any, place: str) -> str | Blocks:
    where = f"{place}.content"
    if value is None:
        invalid(f"{where}: Field required")
    if type(value) is str:
        if value and not value.strip():
            invalid("messages: text content blocks must contain non-whitespace text")
        return value
    return _blocks(typed(value, list, where), where)


def _blocks(items: list[Any], where: str) -> Blocks:
    blocks = objects(items, where)
    for place, block in blocks:
        if required(block, "type", str, f"{place}.") == "text":
            text = required(block, "text", str, f"{place}.text.")
            if not text.strip():
                kind = "contain non-whitespace text" if text else "be non-empty"
                invalid(f"{where.partition('.')[0]}: text content blocks must {kind}")
    return blocks


def _text_parts(blocks: Blocks) -> list[TextPart]:
    return [TextPart(block["text"] if block["type"] == "text" else _as_text(block)) for _, block in blocks]


def _as_text(block: dict[str, Any]) -> str:
    return encode(block).decode()


# --- the user ---------------------------------------------------------------------------------------------------


def _user(content: str | Blocks) -> list[Message]:
    if isinstance(content, str):
        return [UserMessage(content)]
    results: list[Message] = [_result(place, block) for place, block in content if block["type"] == "tool_result"]
    parts = [_part(place, block) for place, block in content if block["type"] != "tool_result"]
    if results and len(parts) == 1 and isinstance(parts[0], TextPart):
        return [*results, UserMessage(parts[0].text)]
    return [*results, UserMessage(parts)] if parts else results


def _part(place: str, block: dict[str, Any]) -> Part:
    if block["type"] == "text":
        return TextPart(block["text"])
    if block["type"] == "image":
        prefix = f"{place}.image.source."
        source = required(block, "source", dict, f"{place}.image.")
        kind = required(source, "type", str, prefix)
        if kind == "base64":
            media_type, data = required(source, "media_type", str, prefix), required(source, "data", str, prefix)
            return ImagePart(ImageURL(f"data:{media_type};base64,{data}"))
        if kind == "url":
            return ImagePart(ImageURL(required(source, "url", str, prefix)))
    return TextPart(_as_text(block))


def _result(place: str, block: dict[str, Any]) -> ToolMessage:
    where = f"{place}.tool_result.content"
    content = block.get("content")
    if content is None:
        content = ""
    if type(content) is not str:
        content = _text_parts(_blocks(typed(content, list, where), where))
    return ToolMessage(content, block["tool_use_id"])


# --- the assistant ----------------------------------------------------------------------------------------------


def _assistant(content: str | Blocks) -> AssistantMessage:
    if isinstance(content, str):
        return AssistantMessage(content)
    blocks = [block for _, block in content]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    calls = [_call(place, block) for place, block in content if block["type"] == "tool_use"] or None
    if needs_native(blocks):
        native = NativeMessage(NAME, {"content": blocks})
        return AssistantMessage("".join(texts) or None, calls, provider_data=native)
    if calls and len(texts) <= 1:
        return AssistantMessage(texts[0] if texts else None, calls)
    return AssistantMessage([TextPart(text) for text in texts], calls)


def _call(place: str, block: dict[str, Any]) -> MessageToolCall:
    prefix = f"{place}.tool_use."
    arguments = encode(required(block, "input", dict, prefix)).decode()
    return MessageToolCall(block["id"], FunctionCall(required(block, "name", str, prefix), arguments))


class _OpenCalls:
    """The tool calls of the turn before, which the next turn must answer, all of them and no others."""

    def __init__(self) -> None:
        self._role = ""
        self._place = ""
        self._asked: set[str] = set()
        self._open: dict[str, None] = {}

    def turn(self, place: str, role: str, content: str | Blocks) -> None:
        """Messages of one role in a row are one turn."""
        if role != self._role and role == "assistant":
            self._asked, self._open = set(), {}
        blocks = [] if isinstance(content, str) else content
        if role == "assistant":
            calls = [required(b, "id", str, f"{p}.tool_use.") for p, b in blocks if b["type"] == "tool_use"]
            self._asked.update(calls)
            self._open.update(dict.fromkeys(calls))
        else:
            self._answer(blocks)
            if self._open:
                invalid(
                    f"{self._place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                    f"{', '.join(self._open)}. {_RULE.format('tool_use', 'tool_result', 'next')}"
                )
        self._role, self._place = role, place

    def _answer(self, blocks: Blocks) -> None:
        for place, block in blocks:
            if block["type"] != "tool_result":
                continue
            call_id = required(block, "tool_use_id", str, f"{place}.tool_result.")
            if call_id not in self._asked:
                invalid(
                    f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. "
                    f"{_RULE.format('tool_result', 'tool_use', 'previous')}"
                )
            self._open.pop(call_id, None)
