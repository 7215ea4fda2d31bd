"""Server side: reads the body of `POST /chat/completions` as the API does, and refuses what it refuses.

https://platform.openai.com/docs/api-reference/chat/create. Fields that the canonical request has no place for are
ignored; the API key is somebody else's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ...types import AssistantMessage, ChatRequest, JSONSchema, Message, Tool, ToolChoice, ToolMessage
from .rejection import InvalidRequestError, empty_array, null_content, translated
from .request import PATH

_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)


class _TextFormat(Struct, tag_field="type", tag="text"):
    pass


class _ObjectFormat(Struct, tag_field="type", tag="json_object"):
    pass


class _Schema(Struct):
    name: str
    schema: dict[str, Any] = {}
    strict: bool | None = None
    description: str | None = None


class _SchemaFormat(Struct, tag_field="type", tag="json_schema"):
    json_schema: _Schema


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct, kw_only=True):
    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    tools: Annotated[list[Tool], Meta(min_length=1)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _TextFormat | _ObjectFormat | _SchemaFormat | None = None
    reasoning_effort: str | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


def decode_request(path: str, headers: Mapping[str, str], body: bytes) -> ChatRequest:
    """The canonical request, or `InvalidRequestError` (a `ValidationError`) with what the API answers."""
    if not path.partition("?")[0].rstrip("/").endswith(PATH):
        raise InvalidRequestError(f"Invalid URL (POST {path})", status_code=404)
    asked = _read(body)
    _check_options(asked)
    _check_messages(asked.messages)
    return ChatRequest(
        model=asked.model,
        messages=asked.messages,
        tools=asked.tools,
        tool_choice=asked.tool_choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        response_format=_schema(asked.response_format),
        reasoning_effort=asked.reasoning_effort,
        max_tokens=asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=[asked.stop] if isinstance(asked.stop, str) else asked.stop,
        seed=asked.seed,
        stream=bool(asked.stream),
    )


def wants_usage(body: bytes) -> bool:
    """Whether a streamed answer to this request ends with its usage (`stream_options.include_usage`)."""
    options = _read(body).stream_options
    return bool(options and options.include_usage)


def _read(body: bytes) -> _Body:
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    if type(raw) is not dict:
        raise InvalidRequestError(_NOT_JSON)
    try:
        return msgspec.convert(raw, _Body)
    except msgspec.ValidationError as error:
        raise translated(str(error), raw) from None


def _schema(wanted: _TextFormat | _ObjectFormat | _SchemaFormat | None) -> JSONSchema | None:
    if isinstance(wanted, _SchemaFormat):
        schema = wanted.json_schema
        return JSONSchema(schema.schema, schema.name, schema.strict, schema.description)
    if isinstance(wanted, _ObjectFormat):
        return JSONSchema({"type": "object"}, name="json_object")
    return None


def _check_options(asked: _Body) -> None:
    for name in ("tool_choice", "parallel_tool_calls"):
        if getattr(asked, name) is not None and asked.tools is None:
            raise InvalidRequestError(
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", param=name
            )
    if asked.stream_options is not None and not asked.stream:
        raise InvalidRequestError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if isinstance(asked.response_format, _ObjectFormat) and not _mentions_json(asked.messages):
        raise InvalidRequestError(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            param="messages",
        )


def _mentions_json(messages: list[Message]) -> bool:
    return b"json" in msgspec.json.encode(messages).lower()


def _check_messages(messages: list[Message]) -> None:
    """Every tool call gets its result right behind it, and there are no other results."""
    open_calls: set[str] = set()
    answered: set[str] = set()
    asking = 0
    for position, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls | answered:
                raise InvalidRequestError(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{position}].role",
                )
            open_calls.discard(message.tool_call_id)
            answered.add(message.tool_call_id)
            continue
        _check_answered(open_calls, asking)
        answered = set()
        if isinstance(message, AssistantMessage):
            _check_assistant(message, position)
            open_calls = {call.id for call in message.tool_calls or ()}
            asking = position
    _check_answered(open_calls, asking)


def _check_answered(open_calls: set[str], position: int) -> None:
    if open_calls:
        raise InvalidRequestError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(sorted(open_calls)),
            param=f"messages.[{position + 1}].role",
        )


def _check_assistant(message: AssistantMessage, position: int) -> None:
    if message.tool_calls is not None and not message.tool_calls:
        raise empty_array(f"messages[{position}].tool_calls")
    if message.content is None and not message.tool_calls:
        raise null_content(position)
