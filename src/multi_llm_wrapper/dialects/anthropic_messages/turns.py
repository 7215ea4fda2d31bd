"""Client side: canonical messages as `system` and as turns of content blocks.

The protocol knows two speakers. Consecutive messages of one of them become one turn; tool results are the user's, and
stand first in it. `system` is one text for the whole conversation: system and developer messages that come later are
moved there too, since only the newest models take the role `system` among the messages. A participant's `name` and an
image's `detail` have no words here and are left out; so is an assistant turn that says nothing, and blank text in
one, which the API refuses.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any

from ...errors import ValidationError
from ...types import (
    AssistantMessage,
    DeveloperMessage,
    ImagePart,
    Message,
    MessageToolCall,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from .blocks import parse_object
from .words import NAME

Block = dict[str, Any]
Content = str | list[Block]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+=-]+)*;base64,", re.ASCII)


def encode_turns(messages: list[Message]) -> tuple[Content | None, list[Block]]:
    """`system` (None: there is none) and `messages`."""
    system: list[Content] = []
    turns: list[tuple[str, list[Content]]] = []
    for i, message in enumerate(messages):
        if isinstance(message, SystemMessage | DeveloperMessage):
            system.append(_texts(message.content))
            continue
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        content = _WRITERS[type(message)](message, f"messages[{i}]")
        if role == "assistant" and not content:
            continue
        if turns and turns[-1][0] == role:
            turns[-1][1].append(content)
        else:
            turns.append((role, [content]))
    wire = [{"role": role, "content": _results_first(_join(parts))} for role, parts in turns]
    return _join(system) if system else None, wire


def _results_first(content: Content) -> Content:
    if isinstance(content, str):
        return content
    return sorted(content, key=lambda block: block.get("type") != "tool_result")


def _join(parts: list[Content]) -> Content:
    """A single text stays one, anything else is a list of blocks."""
    if len(parts) == 1:
        return parts[0]
    blocks: list[Block] = []
    for part in parts:
        blocks += ([_text(part)] if part else []) if isinstance(part, str) else part
    return blocks


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _texts(content: str | list[TextPart]) -> Content:
    return content if isinstance(content, str) else [_text(part.text) for part in content]


# --- one message ------------------------------------------------------------------------------------------------


def _user(message: UserMessage, where: str) -> Content:
    if isinstance(message.content, str):
        return message.content
    return [
        _image(part, f"{where}.content[{j}].image_url.url") if isinstance(part, ImagePart) else _text(part.text)
        for j, part in enumerate(message.content)
    ]


def _image(part: ImagePart, where: str) -> Block:
    url = part.image_url.url
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    head = _DATA_URL.match(url)
    if head is None:
        raise _invalid(f"{where} is neither an https URL nor 'data:<media type>;base64,<content>'")
    data = url[head.end() :]
    if not data:
        raise _invalid(f"{where} has no content")
    try:
        binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except ValueError as error:  # also UnicodeEncodeError and binascii.Error
        raise _invalid(f"{where} has content that is not base64 ({error})") from None
    return {"type": "image", "source": {"type": "base64", "media_type": head[1], "data": data}}


def _tool(message: ToolMessage, where: str) -> Content:
    return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": _texts(message.content)}]


def _assistant(message: AssistantMessage, where: str) -> Content:
    verbatim = _verbatim(message)
    if verbatim is not None:
        return verbatim
    content = message.content or ""
    if not message.tool_calls and isinstance(content, str):
        return content if content.strip() else ""
    texts = [content] if isinstance(content, str) else [part.text for part in content]
    calls = enumerate(message.tool_calls or ())
    return [_text(text) for text in texts if text.strip()] + [
        _call(call, f"{where}.tool_calls[{j}].function.arguments") for j, call in calls
    ]


def _call(call: MessageToolCall, where: str) -> Block:
    arguments = parse_object(call.function.arguments)
    if arguments is None:
        raise _invalid(f"{where} is not the JSON text of an object; Anthropic takes nothing else")
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": arguments}


def _verbatim(message: AssistantMessage) -> list[Block] | None:
    """The native blocks, as long as they say what the message says: whoever edits the message means the edit."""
    native = message.provider_data
    blocks = native.fields.get("content") if native is not None and native.dialect == NAME else None
    if type(blocks) is not list or not blocks or not all(type(block) is dict for block in blocks):
        return None
    content = message.content or ""
    said = content if isinstance(content, str) else "".join(part.text for part in content)
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts) or "".join(texts) != said:
        return None
    asked = [(call.id, call.function.name, parse_object(call.function.arguments)) for call in message.tool_calls or ()]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    return blocks if asked == [(call.get("id"), call.get("name"), call.get("input")) for call in calls] else None


def _invalid(what: str) -> ValidationError:
    return ValidationError(f"{what}.", rejected_by="client")


_WRITERS: dict[type, Callable[[Any, str], Content]] = {
    UserMessage: _user,
    AssistantMessage: _assistant,
    ToolMessage: _tool,
}
