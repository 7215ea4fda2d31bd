"""What a caller may say about one call, and how it becomes a `ChatRequest`.

Unknown keywords are a `TypeError` (a programming mistake); bad values are a `ValidationError` that names the field
and the remedy, and nothing is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from . import checks
from .checks import MAX_RETRIES, shown
from .config import Timeouts
from .errors import CLASSES, ValidationError
from .secret import Secret
from .types import (
    AssistantMessage,
    ChatRequest,
    JSONSchema,
    Message,
    NamedTool,
    Part,
    SystemMessage,
    TextPart,
    Tool,
    ToolChoice,
    ToolMessage,
    UserMessage,
)

Prompt: TypeAlias = str | list[Any]


class Options(TypedDict, total=False):
    """The keywords of `query()` and `stream()`, beside `prompt` and `model`."""

    system: str | None
    tools: list[dict[str, Any]] | None
    tool_choice: str | dict[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: dict[str, Any] | type[Any] | None
    reasoning_effort: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | list[str] | None
    seed: int | None
    timeout: float | None
    timeouts: Timeouts | None
    max_retries: int | None
    fallbacks: list[str] | None
    fallback_on: list[str] | None
    on_interrupt: Literal["error", "restart"] | None
    hedge_after: float | Literal["auto"] | None
    cache: bool | Literal["refresh"] | None
    cache_ttl: float | None
    cache_namespace: str | None
    tags: dict[str, str] | None
    api_key: str | Secret | None
    extra_body: dict[str, Any] | None
    extra_headers: dict[str, str] | None
    drop_unsupported: bool | None
    raise_on_error: bool | None
    keep_raw: bool | None


KNOWN = frozenset(Options.__annotations__)

_MESSAGES = list[Message]
_TOOLS = list[Tool]
_PATH = re.compile(r" - at (?:`key` in )?`\$(.*)`$")
_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def check_names(options: Mapping[str, Any]) -> None:
    unknown = options.keys() - KNOWN
    if unknown:
        names = ", ".join(repr(name) for name in sorted(unknown))
        raise TypeError(f"unknown option {names}; known are {', '.join(sorted(KNOWN))}")


def build_request(prompt: Prompt, model: str, options: Options, *, stream: bool) -> ChatRequest:
    """The canonical request. Raises `ValidationError`."""
    request = ChatRequest(model=model, messages=_messages(prompt), stream=stream)
    if not options:
        return request
    for name, check in _REQUEST_OPTIONS.items():
        value = options.get(name)
        if value is not None:
            setattr(request, name, check(name, value))
    system = options.get("system")
    if system is not None:
        if not isinstance(system, str):
            raise _bad("system", f"is a {type(system).__name__}", "give a text")
        request.messages = [SystemMessage(str.__str__(system)), *request.messages]
    if request.tool_choice is not None:
        _check_choice(request.tool_choice, request.tools or [])
    return request


def _check_choice(choice: ToolChoice, tools: list[Tool]) -> None:
    if choice != "none" and not tools:
        raise _bad("tool_choice", "is given without tools", "give tools, or leave tool_choice out")
    names = [tool.function.name for tool in tools]
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise _bad(
            "tool_choice", f"names {shown(choice.function.name)}, which is not in tools", f"name one of {shown(names)}"
        )


def check_call(options: Options) -> None:
    """The options that steer the call rather than the answer."""
    for name, check in _CALL_OPTIONS.items():
        value = options.get(name)
        if value is not None:
            check(name, value)


# --- messages ---------------------------------------------------------------------------------------------------


def _messages(prompt: Prompt) -> list[Message]:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise _bad("prompt", "is empty", "give a text or a list of messages")
        return [UserMessage(str.__str__(prompt))]  # of an enum or a markup class the text alone, as JSON has it
    if not isinstance(prompt, list):
        raise _bad("prompt", f"is a {type(prompt).__name__}", "give a text or a list of messages")
    if not prompt:
        raise _bad("prompt", "is an empty list", "give at least one message")
    messages = _convert_messages(prompt)
    _check_conversation(messages)
    return messages


def _convert_messages(prompt: list[Any]) -> list[Message]:
    try:
        return msgspec.convert(prompt, _MESSAGES)
    except (msgspec.ValidationError, TypeError, RecursionError) as error:
        raise _bad_place("messages", error) from None


def _check_conversation(messages: list[Message]) -> None:
    """Tool results answer a call made before them, and somebody says something."""
    calls: set[str] = set()
    said = False
    for i, message in enumerate(messages):
        said = said or _says(message.content)
        if isinstance(message, AssistantMessage):
            if message.tool_calls:
                calls.update(call.id for call in message.tool_calls)
                said = True
            elif message.content is None:
                raise _bad(f"messages[{i}].content", "is missing", "give a text, or tool_calls")
        elif isinstance(message, ToolMessage) and message.tool_call_id not in calls:
            raise _bad(
                f"messages[{i}].tool_call_id",
                f"is {shown(message.tool_call_id)}, which no assistant message before it called",
                "put the assistant message with that tool call before its result (response.to_message() gives it)",
            )
    if not said:
        raise _bad("messages", "have no content", "give at least one message with a text")


def _says(content: str | Sequence[Part] | None) -> bool:
    """Whether there is an image, or text that is not blank."""
    if content is None or isinstance(content, str):
        return bool(content and content.strip())
    return any(not isinstance(part, TextPart) or part.text.strip() for part in content)


# --- values -----------------------------------------------------------------------------------------------------


def _bad(field: str, problem: str, remedy: str) -> ValidationError:
    return ValidationError(f"{field} {problem}; {remedy}.", code="invalid_input", rejected_by="client")


def _bad_place(name: str, error: Exception) -> ValidationError:
    """msgspec says `... - at `$[0].role``; we say `messages[0].role ...`."""
    text = str(error)
    match = _PATH.search(text)
    place = name + match[1] if match else name
    problem = (text[: match.start()] if match else text).rstrip(".")
    remedy = _SHAPES[name.partition(".")[0]]
    return _bad(place, f"is wrong: {problem[:1].lower()}{problem[1:]}", remedy)


_SHAPES = {
    "messages": "messages have OpenAI's chat shape: role system, developer, user, assistant or tool, content a text or "
    "a list of text and image_url parts",
    "tools": 'tools have OpenAI\'s shape: {"type": "function", "function": {"name", "description", "parameters"}}',
    "tool_choice": 'use "auto", "none", "required" or {"type": "function", "function": {"name": ...}}',
    "response_format": "give a JSON schema, its json_schema wrapper, or a class with model_json_schema",
}


def _tools(name: str, value: Any) -> list[Tool] | None:
    if not isinstance(value, list):
        raise _bad(name, f"is a {type(value).__name__}", _SHAPES[name])
    try:
        tools = msgspec.convert(value, _TOOLS)
    except (msgspec.ValidationError, TypeError, RecursionError) as error:
        raise _bad_place(name, error) from None
    names = [tool.function.name for tool in tools]
    for i, function in enumerate(names):
        if not function:
            raise _bad(f"tools[{i}].function.name", "is empty", "name the function")
        if function in names[:i]:
            raise _bad(
                f"tools[{i}].function.name", f"is {shown(function)} a second time", "give each function its own name"
            )
    return tools or None


def _tool_choice(name: str, value: Any) -> Any:
    if isinstance(value, str) and value in ("auto", "none", "required"):
        return value
    try:
        return msgspec.convert(value, NamedTool)
    except (msgspec.ValidationError, TypeError, RecursionError):
        raise _bad(name, f"is {shown(value)}", _SHAPES[name]) from None


def response_schema(value: Any) -> JSONSchema | None:
    """`response_format` in any of its forms as a schema; None when it asks for plain text."""
    if hasattr(value, "model_json_schema"):
        return _schema_of(value)
    if not isinstance(value, dict):
        raise _bad("response_format", f"is a {type(value).__name__}", _SHAPES["response_format"])
    kind = value.get("type")
    if kind == "text":
        return None
    if kind == "json_object" and len(value) == 1:
        return JSONSchema(schema={"type": "object"})
    if kind == "json_schema":
        try:
            return msgspec.convert(value.get("json_schema"), JSONSchema)
        except (msgspec.ValidationError, TypeError, RecursionError) as error:
            raise _bad_place("response_format.json_schema", error) from None
    return JSONSchema(schema=value)


def _schema_of(kind: Any) -> JSONSchema:
    try:
        schema = kind.model_json_schema()
    except Exception as error:
        raise _bad("response_format", f"has no JSON schema ({error})", "use types that JSON can hold") from None
    if not isinstance(schema, dict):
        raise _bad("response_format", "has no dict from model_json_schema()", _SHAPES["response_format"])
    name = _NOT_IN_NAME.sub("_", getattr(kind, "__name__", "response"))  # `Box[int]` is a name in Python alone
    return JSONSchema(schema=schema, name=name[:64])


def _number(low: float, high: float) -> Any:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _bad(name, f"is {shown(value)}", f"give a number from {low:g} to {high:g}")
        return value

    return check


def _whole(low: int, high: int) -> Any:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _bad(name, f"is {shown(value)}", f"give a whole number from {low} to {high}")
        return value

    return check


def _seconds(name: str, value: Any) -> float:
    number = checks.seconds(value)
    if number is None:
        raise _bad(name, f"is {shown(value)}", "give seconds as a number greater than 0")
    return number


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(name, f"is {shown(value)}", "give a text")
    return value


def _stop(name: str, value: Any) -> list[str] | None:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        raise _bad(name, f"is {shown(value)}", "give a text or a list of texts, none empty")
    return values or None


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _bad(name, f"is {shown(value)}", "give True or False")
    return value


def _tags(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise _bad(name, "is no dict of texts", "give a dict of texts by text")
    if any("=" in key for key in value):  # they are counted as "name=value"
        raise _bad(name, "has a name with '=' in it", "leave it out of the name; a value may have one")
    return value


def _configured(check: checks.Check) -> Any:
    """The check of a configuration, as a check of an option."""

    def checked(name: str, value: Any) -> Any:
        try:
            return check(name, value)
        except ValueError as error:
            raise ValidationError(str(error), code="invalid_input", rejected_by="client") from None

    return checked


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise _bad(name, f"is a {type(value).__name__}", "give a dict with text keys")
    return value


def _timeouts(name: str, value: Any) -> Timeouts:
    if not isinstance(value, Timeouts):
        raise _bad(name, f"is a {type(value).__name__}", "give a Timeouts")
    return value


def _cache(name: str, value: Any) -> Any:
    if not isinstance(value, bool) and not (isinstance(value, str) and value == "refresh"):
        raise _bad(name, f"is {shown(value)}", 'give True, False or "refresh"')
    return value


def _fallbacks(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
        raise _bad(name, f"is {shown(value)}", "give a list of model names")
    return value


def _on_interrupt(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in ("error", "restart"):
        raise _bad(name, f"is {shown(value)}", 'give "error" or "restart"')
    return str(value)


_REQUEST_OPTIONS: dict[str, Any] = {
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _flag,
    "response_format": lambda name, value: response_schema(value),
    "reasoning_effort": _word,
    "max_tokens": _whole(1, 2**31 - 1),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "stop": _stop,
    "seed": _whole(-(2**63), 2**63 - 1),
}

_CALL_OPTIONS: dict[str, Any] = {
    "timeout": _seconds,
    "timeouts": _timeouts,
    "max_retries": _whole(0, MAX_RETRIES),
    "fallbacks": _fallbacks,
    "fallback_on": _configured(checks.some_of(CLASSES)),
    "on_interrupt": _on_interrupt,
    "hedge_after": _configured(checks.positive_or("auto")),
    "cache": _cache,
    "cache_ttl": _seconds,
    "cache_namespace": _configured(checks.token),
    "tags": _tags,
    "api_key": _configured(checks.key),
    "extra_body": _object,
    "extra_headers": _configured(checks.headers),
    "drop_unsupported": _flag,
    "raise_on_error": _flag,
    "keep_raw": _flag,
}
