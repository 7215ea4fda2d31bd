"""A canonical request in Gemini's words (https://ai.google.dev/api/generate-content).

What has no place there is left out when it is only a hint (`strict`, the name and description of a schema, image
detail, names of participants) and refused when the answer would be another one (`parallel_tool_calls=False`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from ...errors import UnsupportedFeatureError, ValidationError
from ...types import ChatRequest, Function, NamedTool, ToolChoice, WireRequest
from .. import shape
from ..base import NO_QUIRKS, PLAIN, Profile, Quirks
from .turns import Turns

METHODS = {False: "generateContent", True: "streamGenerateContent"}

CONFIG = (
    ("maxOutputTokens", "max_tokens"),
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("stopSequences", "stop"),
    ("seed", "seed"),
)
"""Fields of `generationConfig` that are canonical fields by another name."""

MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}

# https://ai.google.dev/gemini-api/docs/thinking: Gemini 2.5 counts tokens, Gemini 3 has levels and cannot switch it off
BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
LEVELS = ("minimal", "low", "medium", "high", "xhigh")


def encode_request(request: ChatRequest, profile: Profile = PLAIN, quirks: Quirks = NO_QUIRKS) -> WireRequest:
    """System and developer messages, wherever they stand, become `systemInstruction`. Raises `ValidationError` for
    what cannot be sent, `UnsupportedFeatureError` for what the protocol or the model has no words for."""
    if request.parallel_tool_calls is False:
        raise _unsupported(request, "parallel_tool_calls=False", "Gemini has no such setting; leave it out")
    turns = Turns()
    turns.add(request.messages)
    body: dict[str, Any] = {"contents": turns.contents}
    if turns.system:
        body["systemInstruction"] = {"parts": turns.system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool.function) for tool in request.tools]}]
    if request.tool_choice is not None:
        body["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    if config := _generation_config(request, profile):
        body["generationConfig"] = config
    return WireRequest(path_of(request.model, request.stream), _json(_with(quirks.always, body)))


def path_of(model: str, stream: bool) -> str:
    kind, _, name = model.partition("/")
    if kind not in ("models", "tunedModels") or not name:
        kind, name = "models", model
    return f"/v1beta/{kind}/{quote(name, safe='')}:{METHODS[stream]}{'?alt=sse' if stream else ''}"


def _declaration(function: Function) -> dict[str, Any]:
    fields = {
        "name": function.name,
        "description": function.description,
        "parametersJsonSchema": function.parameters,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _calling(choice: ToolChoice) -> dict[str, Any]:
    if isinstance(choice, NamedTool):
        return {"mode": "ANY", "allowedFunctionNames": [choice.function.name]}
    return {"mode": MODES[choice]}


def _generation_config(request: ChatRequest, profile: Profile) -> dict[str, Any]:
    config = {name: value for name, field in CONFIG if (value := getattr(request, field)) is not None}
    if request.response_format is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = request.response_format.schema
    if request.reasoning_effort is not None:
        config["thinkingConfig"] = _thinking(request, request.reasoning_effort, profile.reasoning)
    return config


def _thinking(request: ChatRequest, effort: str, how: str) -> dict[str, Any]:
    if how == "none":
        raise _unsupported(request, "reasoning_effort", "this model does not think; leave it out")
    known = tuple(BUDGETS) if how == "budget" else LEVELS
    if effort not in known:
        raise _unsupported(request, f"reasoning_effort={effort!r}", f"use one of {', '.join(known)}")
    if how != "budget":
        return {"includeThoughts": True, "thinkingLevel": effort}
    # Thoughts may be asked for only where there are any.
    return {"includeThoughts": True, "thinkingBudget": BUDGETS[effort]} if BUDGETS[effort] else {"thinkingBudget": 0}


def _with(always: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What the host wants in every request; what the caller said beats it, also inside an object that both have."""
    for name, value in always.items():
        own = body.get(name)
        body[name] = {**value, **own} if type(value) is dict and type(own) is dict else body.get(name, value)
    return body


def _json(body: dict[str, Any]) -> bytes:
    try:
        return shape.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise ValidationError(
            f"The request cannot be written as JSON: {error}. Use plain JSON values in tools, schemas and messages.",
            rejected_by="client",
        ) from None


def _unsupported(request: ChatRequest, what: str, remedy: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"{what} cannot be sent to {request.model!r}: {remedy}.",
        code=what.partition("=")[0],
        model=request.model,
        rejected_by="client",
    )
