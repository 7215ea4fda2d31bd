"""Client side: a canonical request as the body of `POST /chat/completions`.

https://platform.openai.com/docs/api-reference/chat/create. The canonical message shape is OpenAI's own, so most of it
is encoded as it stands.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import ValidationError
from ...types import (
    AssistantMessage,
    ChatRequest,
    DeveloperMessage,
    JSONSchema,
    Message,
    NativeMessage,
    SystemMessage,
    WireRequest,
)
from ..base import NO_QUIRKS, PLAIN, Profile, Quirks
from ..shape import encode

PATH = "/chat/completions"
DIALECT = "openai_chat"

_BEFORE_LIMIT = ("tools", "tool_choice", "parallel_tool_calls")
_SAMPLING = ("temperature", "top_p", "stop", "seed")


def encode_request(request: ChatRequest, profile: Profile = PLAIN, quirks: Quirks = NO_QUIRKS) -> WireRequest:
    """Only what was given is sent, always in the same order. What the caller said beats `quirks.always`."""
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request.messages, quirks)}
    for name in _BEFORE_LIMIT:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.response_format is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": _schema(request.response_format)}
    if request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    if request.max_tokens is not None:
        body[quirks.max_tokens_field or profile.max_tokens_field] = request.max_tokens
    for name in _SAMPLING:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stream:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    for name, value in quirks.always.items():
        body.setdefault(name, value)
    return WireRequest(PATH, _json(body))


def _messages(messages: list[Message], quirks: Quirks) -> list[Any]:
    wire: list[Any] = []
    for message in messages:
        if type(message) is AssistantMessage:
            wire.append(_assistant(message, quirks.echo))
        elif type(message) is DeveloperMessage and not quirks.developer_role:
            wire.append(SystemMessage(message.content, message.name))
        else:
            wire.append(message)
    return wire


def _assistant(message: AssistantMessage, echo: tuple[str, ...]) -> dict[str, Any]:
    """Beside tool calls `content` is written even when it is null: some hosts insist on the key."""
    wire: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.name is not None:
        wire["name"] = message.name
    if message.tool_calls is not None:
        wire["tool_calls"] = message.tool_calls
    if echo and message.provider_data is not None:
        wire.update(_echoed(message.provider_data, echo))
    return wire


def _echoed(native: NativeMessage, echo: tuple[str, ...]) -> dict[str, Any]:
    """What this host wants back, verbatim. The words of another dialect mean nothing here."""
    if native.dialect != DIALECT:
        return {}
    return {name: native.fields[name] for name in echo if name in native.fields}


def _schema(wanted: JSONSchema) -> dict[str, Any]:
    schema: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description is not None:
        schema["description"] = wanted.description
    return schema


def _json(body: dict[str, Any]) -> bytes:
    try:
        return encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise ValidationError(
            f"The request cannot be written as JSON: {error}. Use plain JSON values in tools, schemas and messages.",
            rejected_by="client",
        ) from None
