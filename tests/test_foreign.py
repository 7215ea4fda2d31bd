"""Clients that give objects instead of bytes: their answers as plain JSON, their exceptions as classes of ours."""

from __future__ import annotations

import asyncio
import json
from collections import UserDict
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from multi_llm_wrapper import LLMWrapper, OpenAIConfig
from multi_llm_wrapper.call import Call
from multi_llm_wrapper.errors import LLMError, MalformedResponseError, RateLimitError
from multi_llm_wrapper.foreign import classify, plain
from multi_llm_wrapper.secret import Secret
from tests.strategies import json_values

ANSWER = {
    "id": "r1",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "hi",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
}


class Thing:
    """An object with attributes, as SDKs make them."""


def thing(value: Any, kind: Any) -> Any:
    """The same as objects, all the way down."""
    if isinstance(value, dict):
        made = kind()
        for name, inner in value.items():
            setattr(made, name, thing(inner, kind))  # by keyword, `name` would be that of a mock
        return made
    return [thing(inner, kind) for inner in value] if isinstance(value, list) else value


class Function(BaseModel):
    name: str = "f"
    arguments: str = "{}"


class ToolCall(BaseModel):
    id: str = "c1"
    type: str = "function"
    function: Function = Function()


class Message(BaseModel):
    role: str = "assistant"
    content: str = "hi"
    tool_calls: list[ToolCall] = [ToolCall()]


class Choice(BaseModel):
    index: int = 0
    finish_reason: str = "tool_calls"
    message: Message = Message()


class Details(BaseModel):
    cached_tokens: int = 1


class Usage(BaseModel):
    prompt_tokens: int = 3
    completion_tokens: int = 2
    total_tokens: int = 5
    prompt_tokens_details: Details = Details()


class Completion(BaseModel):
    id: str = "r1"
    model: str = "m"
    choices: list[Choice] = [Choice()]
    usage: Usage = Usage()


# --- objects to JSON --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [
        ANSWER,
        UserDict(ANSWER),
        Completion(),
        thing(ANSWER, SimpleNamespace),
        thing(ANSWER, Thing),
        thing(ANSWER, MagicMock),
        {**ANSWER, "choices": thing(ANSWER["choices"], SimpleNamespace)},
        {**ANSWER, "choices": tuple(thing(ANSWER["choices"], MagicMock)), "usage": Usage()},
        {**ANSWER, "choices": [UserDict(cast("list[dict[str, Any]]", ANSWER["choices"])[0])]},
    ],
    ids=[
        "dict",
        "mapping",
        "pydantic",
        "namespace",
        "object",
        "mock",
        "objects in dict",
        "mocks in tuple",
        "mapping in list",
    ],
)
def test_every_form_is_the_same_json(result: Any) -> None:
    """Dicts, models, plain objects and mocks, alone or inside each other, are read alike."""
    assert ANSWER == plain(result)


def test_a_mock_has_only_what_it_was_given() -> None:
    """A mock has every attribute; what is no plain value is left out."""
    assert {"choices": []} == plain(MagicMock(choices=[]))
    assert {"choices": [], "usage": {"total_tokens": 0}} == plain(
        MagicMock(choices=[], usage=MagicMock(total_tokens=0))
    )


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_json_stays_as_it_is(value: dict[str, Any]) -> None:
    """A dict of JSON values is given back unchanged, as a copy."""
    found = plain(value)

    assert value == found
    assert value is not found


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", lambda: 5, 1j], ids=lambda value: type(value).__name__)
def test_what_json_cannot_hold_is_none(value: Any) -> None:
    """An unknown object under an unknown name is dropped, and the rest stays."""
    assert {"a": None, "b": [None, 1], "1": {"c": None}} == plain({"a": value, "b": [value, 1], 1: {"c": value}})


@pytest.mark.parametrize(
    "result", [None, 5, "text", object(), [], MagicMock(), SimpleNamespace(choices="x"), AsyncMock]
)
def test_what_is_no_completion_is_malformed(result: Any) -> None:
    """The message says what came and what to return."""
    with pytest.raises(
        MalformedResponseError, match=r"^The completion is a \w+ without a list of choices; return an"
    ) as e:
        plain(result)

    assert "no_choices" == e.value.code


# --- through the wrapper ----------------------------------------------------------------------------------------


async def asked(mock_completion: Any, **options: Any) -> Any:
    async with LLMWrapper(OpenAIConfig("sk-canary", max_retries=0)) as llm:
        return await llm.query("hi", "gpt-4o", **options)


@pytest.mark.asyncio
@pytest.mark.parametrize("result", [ANSWER, Completion(), thing(ANSWER, MagicMock)], ids=["dict", "pydantic", "mock"])
async def test_an_object_is_an_answer(mock_completion: Any, result: Any) -> None:
    """It is read as the same reply from the wire would be."""
    mock_completion.return_value = result
    response = await asked(mock_completion)

    assert ("success", "hi", "tool_calls", "r1") == (
        response.status,
        response.content,
        response.finish_reason,
        response.metadata["response_id"],
    )
    assert {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "cache_read_tokens": 1} == {
        name: count for name, count in response.usage.items() if count is not None
    }
    assert [("c1", "f", {})] == [(call["id"], call["name"], call["arguments"]) for call in response.tool_calls]


def _circular() -> dict[str, Any]:
    answer: dict[str, Any] = {"choices": []}
    answer["choices"].append(answer)
    return answer


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        {"invalid": "response"},
        _circular(),
        {"choices": [{"message": {"content": "\ud800"}}]},
        {"choices": 5},
    ],
)
async def test_what_is_no_answer_is_malformed(mock_completion: Any, result: Any) -> None:
    """Whatever a client returns, the response is an error of that class, and no exception escapes."""
    mock_completion.return_value = result
    mock_completion.side_effect = None
    response = await asked(mock_completion)

    assert ("error", "malformed_response") == (response.status, response.error_type)


@pytest.mark.asyncio
async def test_what_a_completion_is_asked(mock_completion: Any) -> None:
    """Provider, model, messages, key, time, headers without the key, and the options of the answer."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    await asked(
        mock_completion,
        system="be brief",
        stop=None,
        temperature=0,
        tools=tools,
        tags={"a": "b"},
        timeout=5,
        max_retries=0,
    )
    request = mock_completion.call_args.kwargs

    assert ("openai", "gpt-4o") == (request["provider"], request["model"])
    assert [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}] == request["messages"]
    assert isinstance(request["api_key"], Secret)
    assert "sk-canary" == request["api_key"]
    assert 0 < request["timeout"] <= 5
    assert "authorization" not in request["headers"]
    assert {"temperature": 0, "tools": tools, "tags": {"a": "b"}} == {
        name: value
        for name, value in request.items()
        if name not in ("provider", "model", "messages", "api_key", "timeout", "headers")
    }
    assert "canary" not in repr(mock_completion.call_args)


@pytest.mark.asyncio
async def test_a_completion_that_takes_too_long_is_a_timeout(mock_completion: Any) -> None:
    """The time of the call ends it."""
    mock_completion.delay = 30
    response = await asked(mock_completion, timeout=0.01)

    assert ("timeout", True) == (response.error_type, response.metadata["retryable"])


@pytest.mark.asyncio
async def test_cancellation_is_not_swallowed(mock_completion: Any) -> None:
    """Cancelling the task cancels the call."""
    begun = asyncio.Event()

    async def hang(**_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    mock_completion.side_effect = hang
    task = asyncio.create_task(asked(mock_completion))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


# --- exceptions to classes --------------------------------------------------------------------------------------

CALL = cast("Call", SimpleNamespace(provider="openai", clock=SimpleNamespace(time=lambda: 0.0)))


def named(name: str, *parents: type[Exception], **fields: Any) -> Exception:
    """An exception of this name, as another package would define it."""
    error: Exception = type(name, parents or (Exception,), {})("429 said the echoed prompt")
    vars(error).update(fields)
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "timeout"),
        (named("Timeout", status_code=408), "timeout"),
        (named("APITimeoutError"), "timeout"),
        (named("APITimeoutError", type("APIConnectionError", (Exception,), {})), "timeout"),
        (ConnectionError("x"), "connection_error"),
        (ConnectionResetError("x"), "connection_error"),
        (named("APIConnectionError", status_code=500), "connection_error"),
        (named("AuthenticationError"), "auth_error"),
        (named("AuthenticationError", status_code=401), "auth_error"),
        (named("PermissionDeniedError"), "permission_error"),
        (named("RateLimitError"), "rate_limit"),
        (named("MyOwnError", type("RateLimitError", (Exception,), {})), "rate_limit"),
        (named("BadRequestError"), "validation_error"),
        (named("InvalidRequestError"), "validation_error"),
        (named("UnprocessableEntityError"), "validation_error"),
        (named("InternalServerError"), "server_error"),
        (named("BadGatewayError"), "server_error"),
        (named("ServiceUnavailableError"), "overloaded"),
        (named("ContextWindowExceededError", status_code=400), "context_length_exceeded"),
        (named("ContentPolicyViolationError", status_code=400), "content_filter"),
        (named("ContentPolicyViolationError", type("BadRequestError", (Exception,), {})), "content_filter"),
        (named("BudgetExceededError"), "quota_exceeded"),
        # no name that is known, so the status it carries
        (named("APIStatusError", status_code=429), "rate_limit"),
        (named("APIStatusError", status_code=HTTPStatus.SERVICE_UNAVAILABLE), "overloaded"),
        (named("APIStatusError", status_code=529), "overloaded"),
        (named("APIStatusError", status_code=413), "request_too_large"),
        (named("APIStatusError", status_code=429, code="insufficient_quota"), "quota_exceeded"),
        # nothing to go by
        (named("APIStatusError", status_code=True), "general_error"),
        (named("APIStatusError", status_code="429"), "general_error"),
        (named("APIStatusError", status_code=0), "general_error"),
        (named("APIStatusError", status_code=200), "general_error"),
        (named("APIStatusError", status_code=299), "general_error"),
        (named("APIStatusError", status_code=300), "validation_error"),
        (named("APIStatusError", status_code=599), "server_error"),
        (named("APIStatusError", status_code=600), "general_error"),
        (ValueError("429 rate limit"), "general_error"),
        (KeyError("choices"), "general_error"),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else f"{type(value).__name__}-{getattr(value, 'status_code', '')}"
    ),
)
def test_the_class_of_an_exception(error: Exception, expected: str) -> None:
    """By its own class or the nearest above it, then by the status it carries, never by the digits in its text."""
    found = classify(error, CALL)

    assert expected == found.error_type
    assert found.message


def test_a_wait_is_read_from_the_response() -> None:
    """As SDKs keep it: the HTTP response with its headers on the exception."""
    error = named("RateLimitError", status_code=429, response=SimpleNamespace(headers={"Retry-After": "7"}))
    found = classify(error, CALL)

    assert (7.0, 429) == (found.retry_after, found.status_code)
    assert classify(named("RateLimitError", response=MagicMock()), CALL).retry_after is None


@pytest.mark.asyncio
async def test_errors_of_ours_pass_as_they_are(mock_completion: Any) -> None:
    """An `LLMError` raised by the client keeps its class, message and fields."""
    mock_completion.side_effect = RateLimitError("slow down", retry_after=99, code="own")
    response = await asked(mock_completion)

    assert ("rate_limit", "slow down") == (response.error_type, response.error)
    assert (99, "own", 1) == tuple(response.metadata[name] for name in ("retry_after", "code", "attempts"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (TimeoutError("x"), "timeout"),
        (ConnectionError("x"), "connection_error"),
        (RuntimeError("x"), "general_error"),
        (named("RateLimitError"), "rate_limit"),
    ],
)
async def test_any_exception_is_an_error_response(mock_completion: Any, error: Exception, error_type: str) -> None:
    """It is counted as one attempt and serialises."""
    mock_completion.side_effect = error
    response = await asked(mock_completion)

    assert ("error", error_type) == (response.status, response.error_type)
    assert 1 == mock_completion.call_count == response.metadata["attempts"]
    assert error_type == json.loads(json.dumps(response))["error_type"]


@given(
    st.sampled_from([TimeoutError, OSError, ValueError, KeyError, Exception]),
    st.text(max_size=20),
    st.integers() | st.none(),
)
def test_classify_always_gives_one_of_ours(kind: type[Exception], text: str, status: int | None) -> None:
    """Whatever is raised, with whatever status."""
    error = kind(text)
    vars(error)["status_code"] = status

    assert isinstance(classify(error, CALL), LLMError)
