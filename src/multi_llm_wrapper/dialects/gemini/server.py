"""Server side: a request in Gemini's words as a canonical one, refused with the real API's messages when it is wrong.

Fields that the API knows and the canonical request has no place for (safety settings, cached content, the provider's
own tools, `topK`) are accepted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ...errors import UnsupportedFeatureError
from ...types import ChatRequest, Function, JSONSchema, NamedFunction, NamedTool, SystemMessage, Tool, ToolChoice
from . import wire
from .conversation import Conversation, text_parts
from .request import BUDGETS, CONFIG, METHODS

_PATH = re.compile(r"/v\w+/(?:.+/)?(models|tunedModels)/([^/:]+):(\w+)")
_STREAMS = {method: stream for stream, method in METHODS.items()}
_TYPES = {"max_tokens": "TYPE_INT32", "temperature": "TYPE_FLOAT", "top_p": "TYPE_FLOAT", "seed": "TYPE_INT32"}
_CHOICES: dict[str, ToolChoice | None] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "NONE": "none",
    "ANY": "required",
    "MODE_UNSPECIFIED": None,
}


def decode_request(path: str, headers: Mapping[str, str], body: bytes) -> ChatRequest:
    """The path carries the model and whether to stream. Keys are not looked at."""
    model, stream = _target(path)
    try:
        return _request(model, stream, body)
    except RecursionError:
        wire.invalid("Invalid JSON payload received. Message too deep. Max recursion depth reached.")


def wants_thoughts(body: bytes) -> bool:
    """Whether the answer to this request shows what the model thought (`thinkingConfig.includeThoughts`), which the
    canonical request cannot say."""
    fields = wire.message(wire.read_body(body), "request", "")
    config = wire.message(fields.get("generationConfig"), "generationConfig", "generation_config")
    where = "generation_config.thinking_config"
    thinking = wire.message(config.get("thinkingConfig"), "thinkingConfig", where)
    return wire.scalar(thinking.get("includeThoughts"), "TYPE_BOOL", f"{where}.include_thoughts") or False


def _request(model: str, stream: bool, body: bytes) -> ChatRequest:
    fields = wire.message(wire.read_body(body), "request", "")
    talk = Conversation()
    talk.add(wire.items(fields.get("contents"), "contents"))
    system = text_parts(fields.get("systemInstruction"), "system_instruction")
    tools = _tools(fields.get("tools"))
    choice, allowed = _tool_choice(fields.get("toolConfig"))
    if allowed and not isinstance(choice, NamedTool):  # there are no other words for a choice among some
        tools = [tool for tool in tools if tool.function.name in allowed]
    request = ChatRequest(
        model=model,
        messages=[SystemMessage(system), *talk.messages] if system else talk.messages,
        tools=tools or None,
        tool_choice=choice,
        stream=stream,
    )
    _settings(request, wire.message(fields.get("generationConfig"), "generationConfig", "generation_config"))
    return request


def _target(path: str) -> tuple[str, bool]:
    route, _, query = path.partition("?")
    match = _PATH.fullmatch(route)
    if match is None or match[3] not in _STREAMS:
        wire.invalid(f"The requested URL {route} was not found on this server.", status=404)
    stream = _STREAMS[match[3]]
    if stream and "alt=sse" not in query.split("&"):
        wire.invalid("streamGenerateContent gives server-sent events only: add ?alt=sse.", UnsupportedFeatureError)
    name = unquote(match[2])
    return (name if match[1] == "models" else f"{match[1]}/{name}"), stream


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(value: Any) -> list[Tool]:
    tools: list[Tool] = []
    for i, item in enumerate(wire.items(value, "tools")):
        fields = wire.message(item, "tool", f"tools[{i}]")
        for j, declaration in enumerate(wire.items(fields.get("functionDeclarations"), "function_declarations")):
            tools.append(Tool(_function(declaration, f"tools[{i}].function_declarations[{j}]")))
    return tools


def _function(value: Any, where: str) -> Function:
    fields = wire.message(value, "declaration", where)
    name = wire.string(fields.get("name"), f"{where}.name")
    if not name:
        wire.invalid(f"* GenerateContentRequest.{where}.name: Invalid function name. Must not be empty.")
    description = wire.scalar(fields.get("description"), "TYPE_STRING", f"{where}.description")
    return Function(name, description, _schema(fields, "parametersJsonSchema", "parameters", where))


def _schema(fields: dict[str, Any], json_name: str, openapi_name: str, where: str) -> dict[str, Any] | None:
    """JSON schema, or the OpenAPI subset, whose types are written in capitals."""
    if json_name in fields:
        return wire.struct(fields[json_name], f"{where}.{json_name}")
    if openapi_name in fields:
        lowered: dict[str, Any] = _lower_types(wire.struct(fields[openapi_name], f"{where}.{openapi_name}"))
        return lowered
    return None


def _lower_types(value: Any) -> Any:
    if isinstance(value, list):
        return [_lower_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: item.lower() if name == "type" and isinstance(item, str) else _lower_types(item)
        for name, item in value.items()
    }


def _tool_choice(value: Any) -> tuple[ToolChoice | None, list[str]]:
    """The choice, and the functions that may be called (none: all)."""
    config = wire.message(value, "toolConfig", "tool_config").get("functionCallingConfig")
    where = "tool_config.function_calling_config"
    fields = wire.message(config, "functionCallingConfig", where)
    mode = wire.string(fields.get("mode"), f"{where}.mode").upper() or "MODE_UNSPECIFIED"
    if mode not in _CHOICES:
        wire.wrong_type(f"{where}.mode", "type.googleapis.com/google.ai.generativelanguage.v1beta.Mode", mode)
    names = wire.items(fields.get("allowedFunctionNames"), where)
    allowed = [wire.string(name, f"{where}.allowed_function_names[{i}]") for i, name in enumerate(names)]
    if mode == "ANY" and len(allowed) == 1:
        return NamedTool(NamedFunction(allowed[0])), allowed
    return _CHOICES[mode], allowed if mode in ("ANY", "VALIDATED") else []


# --- settings ---------------------------------------------------------------------------------------------------


def _settings(request: ChatRequest, fields: dict[str, Any]) -> None:
    for name, field in CONFIG:
        where = f"generation_config.{name}"
        if field == "stop":
            request.stop = [wire.string(item, where) for item in wire.items(fields.get(name), where)] or None
        else:
            setattr(request, field, wire.scalar(fields.get(name), _TYPES[field], where))
    _check_ranges(request)
    request.reasoning_effort = _effort(fields.get("thinkingConfig"))
    if fields.get("responseMimeType") == "application/json":
        schema = _schema(fields, "responseJsonSchema", "responseSchema", "generation_config")
        request.response_format = JSONSchema(schema or {})


def _check_ranges(request: ChatRequest) -> None:
    where = "* GenerateContentRequest.generation_config"
    if request.max_tokens is not None and request.max_tokens < 1:
        wire.invalid(f"{where}.max_output_tokens: max_output_tokens must be positive.")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        wire.invalid(f"{where}.temperature: temperature must be in the range [0.0, 2.0].")
    if request.top_p is not None and not 0 <= request.top_p <= 1:
        wire.invalid(f"{where}.top_p: top_p must be in the range [0.0, 1.0].")


def _effort(value: Any) -> str | None:
    """The level, or the smallest effort whose budget is not below the one asked for; -1 lets the model decide."""
    where = "generation_config.thinking_config"
    fields = wire.message(value, "thinkingConfig", where)
    if level := wire.string(fields.get("thinkingLevel"), f"{where}.thinking_level"):
        return level.lower()
    budget = wire.scalar(fields.get("thinkingBudget"), "TYPE_INT32", f"{where}.thinking_budget")
    if budget is None or budget < 0:
        return None
    return next((effort for effort, tokens in BUDGETS.items() if budget <= tokens), "high")
