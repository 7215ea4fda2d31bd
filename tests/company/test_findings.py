"""What the official clients found out about the simulator, without them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multi_llm_wrapper import dialects
from multi_llm_wrapper.simulator import Brain, SimRequest
from multi_llm_wrapper.types import Extra, NamedTool, TextDelta
from tests.simulator.support import ask, body_of

THINKING: dict[str, Any] = {"thinkingBudget": 2000}


def gemini(**fields: Any) -> Any:
    """The canonical request of a body in Gemini's words."""
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **fields}
    return dialects.get("gemini").decode_request("/v1beta/models/m:generateContent", {}, json.dumps(body).encode())


def declared(*names: str) -> list[dict[str, Any]]:
    return [{"functionDeclarations": [{"name": name} for name in names]}]


def calling(mode: str, *names: str) -> dict[str, Any]:
    return {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": list(names)}}


@pytest.mark.parametrize(
    ("config", "tools", "choice"),
    [
        (calling("ANY"), ["f", "g", "h"], "required"),
        (calling("ANY", "g", "h"), ["g", "h"], "required"),
        (calling("VALIDATED", "g"), ["g"], "auto"),
        (calling("AUTO", "g"), ["f", "g", "h"], "auto"),
    ],
)
def test_gemini_functions_that_may_be_called(config: dict[str, Any], tools: list[str], choice: str) -> None:
    """Those that are named, in the modes in which names count."""
    request = gemini(tools=declared("f", "g", "h"), toolConfig=config)

    assert tools == [tool.function.name for tool in request.tools]
    assert choice == request.tool_choice


def test_gemini_the_one_function_that_must_be_called() -> None:
    """Is a named tool; the others are still offered."""
    request = gemini(tools=declared("f", "g"), toolConfig=calling("ANY", "g"))

    assert isinstance(request.tool_choice, NamedTool)
    assert "g" == request.tool_choice.function.name
    assert 2 == len(request.tools)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shown", [False, True, None])
def test_gemini_thoughts_are_shown_when_asked_for(shown: bool | None, stream: bool) -> None:
    """Their signature comes anyway."""
    thinking = THINKING if shown is None else {**THINKING, "includeThoughts": shown}
    body = body_of(Brain(), ask("gemini", stream=stream, generationConfig={"thinkingConfig": thinking}))

    assert bool(shown) == (b'"thought":true' in body)
    assert b"thoughtSignature" in body
    assert b"thoughtsTokenCount" in body


def test_gemini_thoughts_asked_for_in_another_type() -> None:
    """Are refused like any other field of the wrong type."""
    asked = ask("gemini", generationConfig={"thinkingConfig": {**THINKING, "includeThoughts": "yes"}})

    assert 400 == Brain().handle(asked.sim()).status


def test_anthropic_models_have_a_lifecycle() -> None:
    """Which the client's model requires."""
    request = SimRequest("GET", "/v1/models/claude-sonnet-5", "", {"x-api-key": "k", "anthropic-version": "2026-10-21"})
    plan = Brain().handle(request)

    assert "active" == json.loads(b"".join(step.data for step in plan.steps))["lifecycle"]


def test_anthropic_streams_name_the_stop_sequence() -> None:
    """As whole answers do; other extras have no place in the last delta."""
    encoder = dialects.get("anthropic_messages").encoder(response_id="m", model="c", created=0)
    events = [encoder.event(event) for event in (TextDelta("a"), Extra("stop_sequence", "b"), Extra("other", 1))]
    end = encoder.end("stop", None, "stop_sequence")

    assert [b"", b""] == events[1:]
    assert b'"delta":{"stop_reason":"stop_sequence","stop_sequence":"b"}' in end


def test_anthropic_threads_are_refused() -> None:
    """With the details by which the client knows that it has to send everything itself."""
    plan = Brain().handle(ask("anthropic_messages", thread={"type": "create"}).sim())
    body = json.loads(b"".join(step.data for step in plan.steps))

    assert 400 == plan.status
    assert {"error_code": "thread_unsupported_request", "unsupported": ["thread"]} == body["error"]["details"]
