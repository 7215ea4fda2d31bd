"""A cheap tokenizer: text in word-shaped pieces of about four characters, the same on every machine.

No provider's own vocabulary (those are megabytes, and differ by model), but the same laws: the pieces joined are the
text, and a text has as many tokens whether it is streamed or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from ..types import AssistantMessage, ChatRequest, ImagePart, Message, TextPart, Tool, ToolMessage

PER_MESSAGE = 4
"""Tokens that the role and the frame of one message cost."""
PER_IMAGE = 85
"""Tokens of one image, whatever its size (OpenAI's figure for low detail)."""

_SHORT, _LONG = 500, 1_000_000  # characters
_TOKEN = re.compile(r" ?\w{1,6}| ?[^\w\s]{1,3}|\s{1,8}")


def split(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return _TOKEN.findall(text)


def split_sentences(sentences: Iterable[str]) -> list[str]:
    """The tokens of a text that comes in sentences, each but the first with the space before it. No token crosses
    such a border, and most sentences come again and again, so they are remembered."""
    return [token for sentence in sentences for token in _remembered(sentence)]


def count(text: str) -> int:
    """How many tokens `split` gives."""
    if len(text) <= _SHORT:
        return len(_remembered(text))
    return len(split(text)) if len(text) < _LONG else sum(1 for _ in _TOKEN.finditer(text))


@lru_cache(maxsize=4096)
def _remembered(text: str) -> tuple[str, ...]:
    return tuple(split(text))


def prompt_tokens(request: ChatRequest) -> int:
    """The input tokens of a request: all messages, the tools offered, and the schema asked for."""
    total = sum(_message_tokens(message) for message in request.messages)
    for tool in request.tools or ():
        total += _tool_tokens(tool)
    if request.response_format is not None:
        total += count(_json(request.response_format.schema))
    return total


def _message_tokens(message: Message) -> int:
    total = PER_MESSAGE + sum(_part_tokens(part) for part in parts(message))
    if isinstance(message, AssistantMessage):
        for call in message.tool_calls or ():
            total += PER_MESSAGE + count(call.function.name) + count(call.function.arguments)
    elif isinstance(message, ToolMessage):
        total += count(message.tool_call_id)
    return total


def _part_tokens(part: str | TextPart | ImagePart) -> int:
    if isinstance(part, str):
        return count(part)
    return count(part.text) if isinstance(part, TextPart) else PER_IMAGE


def _tool_tokens(tool: Tool) -> int:
    function = tool.function
    return PER_MESSAGE + count(function.name) + count(function.description or "") + count(_json(function.parameters))


def parts(message: Message) -> list[str | TextPart | ImagePart]:
    """The content of a message as a list, also when it is one string or nothing."""
    content = message.content
    if content is None:
        return []
    return [content] if isinstance(content, str) else [*content]


def text_of(message: Message) -> str:
    """The text of a message, its images left out."""
    if isinstance(message.content, str):
        return message.content
    return " ".join(part.text for part in message.content or () if isinstance(part, TextPart))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode() if value else ""
