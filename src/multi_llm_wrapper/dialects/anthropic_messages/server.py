"""Server side: a request in Anthropic's words as a canonical one, refused with the real API's messages when wrong.

What the API knows and the canonical request has no place for (metadata, cache marks, `is_error`, server-side tools,
top_k) is accepted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...types import ChatRequest, Function, JSONSchema, NamedFunction, NamedTool, SystemMessage, Tool, ToolChoice
from .checks import invalid, objects, one_of, optional, required, typed
from .conversation import decode_turns, text_parts
from .errors import NoThreadError
from .words import BUDGETS, CHOICES, MIN_BUDGET

_CHOICES: dict[str, Any] = {word: name for name, word in CHOICES.items()}
_CHOICE_TYPES = {**_CHOICES, "tool": None}
_DEFAULT_EFFORT = "high"
"""What the API does when thinking is adaptive and no effort is given."""


def decode_request(path: str, headers: Mapping[str, str], body: bytes) -> ChatRequest:
    """Keys are not looked at, nor is the path: there is one for all models."""
    if not any(name.lower() == "anthropic-version" and value for name, value in headers.items()):
        invalid("anthropic-version: header is required")
    fields = _read(body)
    if fields.get("thread") is not None:
        raise NoThreadError
    model = required(fields, "model", str)
    max_tokens = required(fields, "max_tokens", int)
    turns = decode_turns(required(fields, "messages", list))
    if max_tokens < 1:
        invalid("max_tokens: Input should be greater than or equal to 1")
    tools = _tools(optional(fields, "tools", list) or [])
    choice, parallel = _tool_choice(optional(fields, "tool_choice", dict))
    output = optional(fields, "output_config", dict) or {}
    return ChatRequest(
        model=model,
        messages=[*_system(fields.get("system")), *turns],
        tools=tools or None,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        response_format=_format(optional(output, "format", dict, "output_config."), "output_config.format.")
        or _format(optional(fields, "output_format", dict), "output_format."),  # its name while it was in beta
        reasoning_effort=_effort(optional(fields, "thinking", dict), output, max_tokens),
        max_tokens=max_tokens,
        temperature=_share(fields, "temperature"),
        top_p=_share(fields, "top_p"),
        stop=_stop(optional(fields, "stop_sequences", list)),
        stream=optional(fields, "stream", bool) or False,
    )


def _read(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        invalid(f"The request body is not valid JSON: {error}")
    if type(fields) is not dict:
        invalid("Input should be a valid dictionary or object to extract fields from")
    return fields


def _system(value: Any) -> list[SystemMessage]:
    if value is None or value == "":
        return []
    if type(value) is str:
        return [SystemMessage(value)]
    return [SystemMessage(parts)] if (parts := text_parts(typed(value, list, "system"), "system")) else []


def _share(fields: dict[str, Any], name: str) -> float | None:
    value = optional(fields, name, float)
    if value is not None and not 0 <= value <= 1:
        invalid(f"{name}: range: 0..1")
    return value


def _stop(value: list[Any] | None) -> list[str] | None:
    return None if value is None else [typed(item, str, f"stop_sequences.{i}") for i, item in enumerate(value)]


def _tools(items: list[Any]) -> list[Tool]:
    """Functions; the provider's own tools have a type of their own."""
    tools = []
    for place, fields in objects(items, "tools"):
        if fields.get("type") not in (None, "custom"):
            continue
        prefix = f"{place}.custom."
        function = Function(
            name=required(fields, "name", str, prefix),
            description=optional(fields, "description", str, prefix),
            parameters=required(fields, "input_schema", dict, prefix),
            strict=optional(fields, "strict", bool, prefix),
        )
        tools.append(Tool(function))
    return tools


def _tool_choice(fields: dict[str, Any] | None) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may be parallel (None: not said)."""
    if fields is None:
        return None, None
    kind = required(fields, "type", str, "tool_choice.")
    one_of(kind, _CHOICE_TYPES, "tool_choice.type")
    disabled = optional(fields, "disable_parallel_tool_use", bool, f"tool_choice.{kind}.")
    parallel = None if disabled is None else not disabled
    if kind == "tool":
        return NamedTool(NamedFunction(required(fields, "name", str, "tool_choice.tool."))), parallel
    return _CHOICES[kind], parallel


def _format(fields: dict[str, Any] | None, prefix: str) -> JSONSchema | None:
    if fields is None:
        return None
    one_of(required(fields, "type", str, prefix), {"json_schema": None}, f"{prefix}type")
    return JSONSchema(required(fields, "schema", dict, prefix))


def _effort(thinking: dict[str, Any] | None, output: dict[str, Any], max_tokens: int) -> str | None:
    effort = optional(output, "effort", str, "output_config.")
    if thinking is None:
        return effort
    kind = required(thinking, "type", str, "thinking.")
    if kind == "disabled":
        return "none"
    if kind != "enabled":
        return effort or (_DEFAULT_EFFORT if kind == "adaptive" else None)
    budget = required(thinking, "budget_tokens", int, "thinking.enabled.")
    if budget < MIN_BUDGET:
        invalid(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}")
    if budget >= max_tokens:
        invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return min(BUDGETS, key=lambda name: abs(BUDGETS[name] - budget))
