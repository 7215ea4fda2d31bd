"""Client side: a canonical request as the body of `POST /v1/messages`. Only what was given is sent, but for
`max_tokens`, which the API demands."""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import UnsupportedFeatureError, ValidationError
from ...types import ChatRequest, NamedTool, Tool, WireRequest
from ..base import NO_QUIRKS, PLAIN, Profile, Quirks
from ..shape import encode
from .turns import encode_turns
from .words import BUDGETS, CHOICES, EFFORTS, MIN_BUDGET, PATH

DEFAULT_MAX_TOKENS = 4096
"""Where neither the caller nor the model's profile has one."""

_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "stop": "stop_sequences"}
_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


def encode_request(request: ChatRequest, profile: Profile = PLAIN, quirks: Quirks = NO_QUIRKS) -> WireRequest:
    """What the caller said beats `quirks.always`. Raises `UnsupportedFeatureError` for `seed` and for reasoning where
    the model has none, `ValidationError` for what cannot be said."""
    if request.seed is not None:
        raise UnsupportedFeatureError(
            "Anthropic has no seed: pass drop_unsupported=True or leave it out.", code="seed", rejected_by="client"
        )
    body: dict[str, Any] = {"model": request.model, "max_tokens": _limit(request, profile)}
    system, body["messages"] = encode_turns(request.messages)
    if system:
        body["system"] = system
    if not body["messages"]:
        raise ValidationError("messages has nothing for the model to answer: add a user message.", rejected_by="client")
    if request.tools is not None:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if choice := _tool_choice(request):
        body["tool_choice"] = choice
    for name, word in _SAMPLING.items():
        if (value := getattr(request, name)) is not None:
            body[word] = value
    _reasoning(request, profile, body)
    if request.response_format is not None:
        wanted = {"type": "json_schema", "schema": request.response_format.schema}
        body["output_config"] = {**body.get("output_config", {}), "format": wanted}
    if request.stream:
        body["stream"] = True
    return WireRequest(PATH, _json({**quirks.always, **body}))


def _limit(request: ChatRequest, profile: Profile) -> int:
    if request.max_tokens is not None:
        return request.max_tokens
    return profile.max_output_tokens or DEFAULT_MAX_TOKENS


def _tool(tool: Tool) -> dict[str, Any]:
    function = tool.function
    wire: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        wire["description"] = function.description
    wire["input_schema"] = _ANY_OBJECT if function.parameters is None else function.parameters
    if function.strict is not None:
        wire["strict"] = function.strict
    return wire


def _tool_choice(request: ChatRequest) -> dict[str, Any] | None:
    """One call at a time is a property of the choice here, and of none where no tool may be called."""
    choice = request.tool_choice
    one_by_one = request.parallel_tool_calls is False
    if choice is None:
        if not (one_by_one and request.tools):
            return None
        choice = "auto"
    wire: dict[str, Any]
    if isinstance(choice, NamedTool):
        wire = {"type": "tool", "name": choice.function.name}
    else:
        wire = {"type": CHOICES[choice]}
    if one_by_one and choice != "none":
        wire["disable_parallel_tool_use"] = True
    return wire


# --- reasoning --------------------------------------------------------------------------------------------------


def _reasoning(request: ChatRequest, profile: Profile, body: dict[str, Any]) -> None:
    """By effort for the models that decide themselves how much to think (4.6 and newer), by a budget of tokens for
    those before them. `none` is said aloud, since the newest models think when they are told nothing."""
    effort = request.reasoning_effort
    if effort is None or (effort == "none" and profile.reasoning == "none"):
        return
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif profile.reasoning == "none":
        raise UnsupportedFeatureError(
            f"{request.model} has no reasoning: pass drop_unsupported=True or leave reasoning_effort out.",
            code="reasoning_effort",
            rejected_by="client",
        )
    elif profile.reasoning == "budget":
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(effort, request, body)}
    else:
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {"effort": EFFORTS.get(effort, effort)}


def _budget(effort: str, request: ChatRequest, body: dict[str, Any]) -> int:
    """Thinking counts into `max_tokens`: a limit of ours makes room for it, in the caller's it takes half at most
    where it does not fit."""
    budget = BUDGETS.get(effort)
    if budget is None:
        raise ValidationError(
            f"reasoning_effort is {effort!r}, but must be none or one of {', '.join(BUDGETS)}.", rejected_by="client"
        )
    limit: int = body["max_tokens"]
    if request.max_tokens is None:
        body["max_tokens"] = budget + limit
        return budget
    if limit <= MIN_BUDGET:
        raise ValidationError(
            f"max_tokens is {limit}, but must be more than {MIN_BUDGET} where reasoning_effort is given: the model's "
            "thinking counts into it. Raise it, or leave reasoning_effort out.",
            rejected_by="client",
        )
    return budget if budget < limit else max(limit // 2, MIN_BUDGET)


def _json(body: dict[str, Any]) -> bytes:
    try:
        return encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise ValidationError(
            f"The request cannot be written as JSON: {error}. Use plain JSON values in tools, schemas and messages.",
            rejected_by="client",
        ) from None
