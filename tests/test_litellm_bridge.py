"""The bridge with a module of the same name in place of litellm; `tests/company/test_litellm.py` has the real one."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import (
    AnthropicConfig,
    GeminiConfig,
    GroqConfig,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    ProviderConfig,
    Response,
    Timeouts,
    WrapperConfig,
    foreign,
)
from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.errors import CLASSES, LLMError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.litellm_bridge import package, reply
from multi_llm_wrapper.sse import ServerEvent
from tests.strategies import json_values, well_typed

KEY = "sk-secret-key"
QUESTION = "What is the capital of France?"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def completion(finish: str = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "Paris.", **message}
    return {
        "id": "r1",
        "object": "chat.completion",
        "model": "m-1",
        "choices": [{"index": 0, "finish_reason": finish, "message": said}],
        "usage": USAGE,
    }


def chunk(finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    body = {"id": "r1", "object": "chat.completion.chunk", "model": "m-1", "usage": usage}
    return {**body, "choices": [{"index": 0, "finish_reason": finish, "delta": {"content": None, **delta}}]}


CHUNKS = [chunk(role="assistant", content="Pa"), chunk(content="ris."), chunk("stop"), chunk(usage=USAGE)]


class Chunks:
    """What litellm gives for a stream: an iterator that can be closed, and knows whether the provider has finished."""

    def __init__(self, *chunks: Any, finished: str | None = "stop", headers: dict[str, str] | None = None) -> None:
        self._chunks = list(chunks)
        self._hidden_params = {"additional_headers": headers or {}}
        self.received_finish_reason = finished
        self.intermittent_finish_reason = None
        self.closed = 0

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Any:
        if not self._chunks:
            raise StopAsyncIteration
        following = self._chunks.pop(0)
        if isinstance(following, BaseException):
            raise following
        if isinstance(following, float):
            await asyncio.sleep(following)
            return await self.__anext__()
        return following

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def acompletion(monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """`litellm.acompletion`, which gives a short answer."""
    module: Any = ModuleType("litellm")
    module.__spec__ = ModuleSpec("litellm", None)
    module.acompletion = AsyncMock(return_value=completion())
    monkeypatch.setitem(sys.modules, "litellm", module)
    found: AsyncMock = module.acompletion
    return found


def config(**settings: Any) -> WrapperConfig:
    """All that the tests ask, by way of litellm, without a cache."""
    return WrapperConfig(
        **{
            "backend": "litellm",
            "enable_caching": False,
            "openai": OpenAIConfig(api_key=KEY),
            "anthropic": AnthropicConfig(api_key=KEY),
            "gemini": GeminiConfig(api_key=KEY),
            "groq": GroqConfig(api_key=KEY),
            **settings,
        }
    )


def query(
    prompt: Any = QUESTION, model: str = "gpt-4o", settings: dict[str, Any] | None = None, **options: Any
) -> Response:
    async def main() -> Response:
        async with LLMWrapper(config(**(settings or {}))) as llm:
            response: Response = await llm.query(prompt, model, **options)
            return response

    return asyncio.run(main())


def streamed(model: str = "gpt-4o", **options: Any) -> tuple[list[Any], Response]:
    async def main() -> tuple[list[Any], Response]:
        async with LLMWrapper(config()) as llm, llm.stream(QUESTION, model, **options) as stream:
            chunks = [chunk async for chunk in stream]
            return chunks, stream.response

    return asyncio.run(main())


def asked(acompletion: AsyncMock, model: str = "gpt-4o", prompt: Any = QUESTION, **rest: Any) -> dict[str, Any]:
    """The keyword arguments of the one call."""
    assert "success" == query(prompt, model, **rest)["status"]
    acompletion.assert_awaited_once()
    return last(acompletion)


def last(acompletion: AsyncMock) -> dict[str, Any]:
    """The keyword arguments of the last call."""
    assert acompletion.await_args is not None
    return dict(acompletion.await_args.kwargs)


# --- the request ------------------------------------------------------------------------------------------------------

AZURE = {"azure": ProviderConfig(api_key=KEY, base_url="https://n.openai.azure.com", api_version="2024-10-21")}
AZURE_V1 = {"azure": ProviderConfig(api_key=KEY, base_url="https://n.openai.azure.com/openai/v1")}
OWN = {"providers": {"own": OpenAICompatibleConfig(base_url="http://localhost:8000/v1/")}}
GATEWAY = {
    "anthropic": AnthropicConfig(api_key=KEY, base_url="https://g.example/anthropic/v1"),
    "gemini": GeminiConfig(api_key=KEY, base_url="https://g.example/google/v1alpha"),
}


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("gpt-4o", {}, ("openai/gpt-4o", "https://api.openai.com/v1", KEY)),
        ("claude-sonnet-5", {}, ("anthropic/claude-sonnet-5", "https://api.anthropic.com/v1/messages", KEY)),
        (
            "gemini-2.5-pro",
            {},
            ("gemini/gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta", KEY),
        ),
        ("groq/openai/gpt-oss-120b", {}, ("groq/openai/gpt-oss-120b", "https://api.groq.com/openai/v1", KEY)),
        ("claude-sonnet-5", GATEWAY, ("anthropic/claude-sonnet-5", "https://g.example/anthropic/v1/messages", KEY)),
        ("gemini-2.5-pro", GATEWAY, ("gemini/gemini-2.5-pro", "https://g.example/google/v1alpha", KEY)),
        (
            "deepseek/deepseek-chat",
            {"deepseek": ProviderConfig(api_key=KEY)},
            ("openai/deepseek-chat", "https://api.deepseek.com", KEY),
        ),
        ("own/qwen/qwen3", OWN, ("openai/qwen/qwen3", "http://localhost:8000/v1", "none")),
        ("azure/my-gpt", AZURE, ("azure/my-gpt", "https://n.openai.azure.com", KEY)),
        ("azure/my-gpt", AZURE_V1, ("openai/my-gpt", "https://n.openai.azure.com/openai/v1", KEY)),
    ],
)
def test_where_it_goes(
    acompletion: AsyncMock, model: str, settings: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """Model, base URL and key as litellm takes them; a host without a key never gets that of another."""
    found = asked(acompletion, model, settings=settings)

    assert expected == (found["model"], found["api_base"], found["api_key"])
    assert ("2024-10-21" if settings is AZURE else None) == found.get("api_version")


def test_it_never_retries(acompletion: AsyncMock) -> None:
    """Retries are ours, and the time left is litellm's limit."""
    found = asked(acompletion, timeout=7.0)

    assert (0, 0) == (found["num_retries"], found["max_retries"])
    assert 0 < found["timeout"] <= 7.0


def test_options_in_openais_words(acompletion: AsyncMock) -> None:
    """Everything that was asked for, and nothing else."""
    schema = {"type": "object", "properties": {}}
    found = asked(
        acompletion,
        prompt=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        system="Be brief.",
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        response_format=schema,
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stop=["x"],
        seed=7,
        extra_body={"user": "u"},
        extra_headers={"X-Team": "a"},
    )
    transport = ("model", "api_base", "api_key", "timeout", "num_retries", "max_retries", "allowed_openai_params")

    assert {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        ],
        "tools": [TOOL],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}},
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["x"],
        "seed": 7,
        "extra_body": {"user": "u"},
        "extra_headers": {"x-team": "a"},
        "_skip_mcp_handler": True,
    } == {name: value for name, value in found.items() if name not in transport}
    assert {"tools", "seed"} <= set(found["allowed_openai_params"])


def test_the_organization_goes_along(acompletion: AsyncMock) -> None:
    """Headers of the configuration, but not the key, which has its own place."""
    settings = {"openai": OpenAIConfig(api_key=KEY, organization_id="org-1", headers={"X-Team": "a"})}

    assert {"openai-organization": "org-1", "x-team": "a"} == asked(acompletion, settings=settings)["extra_headers"]


def test_a_key_in_the_callers_headers(acompletion: AsyncMock) -> None:
    """Is passed on as it is."""
    found = asked(acompletion, settings={"openai": None}, extra_headers={"Authorization": "Bearer other"})

    assert ("none", {"authorization": "Bearer other"}) == (found["api_key"], found["extra_headers"])


def test_anthropics_limit_is_ours(acompletion: AsyncMock) -> None:
    """Where a limit must be sent, it is the one that we would have sent ourselves."""
    assert 16_384 == asked(acompletion, "claude-sonnet-5")["max_tokens"]


def test_anthropics_extra_body_is_spread(acompletion: AsyncMock) -> None:
    """As litellm would send it as a field of that name."""
    found = asked(acompletion, "claude-sonnet-5", extra_body={"top_k": 5})

    assert (5, False) == (found["top_k"], "extra_body" in found)


def test_what_the_model_refuses_is_dropped(acompletion: AsyncMock) -> None:
    """As without litellm, and the response says so."""
    response = query(model="o3", temperature=0.5, drop_unsupported=True)

    assert ["temperature"] == response["metadata"]["dropped_params"]
    assert "temperature" not in last(acompletion)


def test_groq_without_stream_options_for_json(acompletion: AsyncMock) -> None:
    """litellm asks for a whole answer then, with which they are refused."""
    acompletion.return_value = Chunks(*CHUNKS)
    streamed("groq/llama-3.3-70b-versatile", response_format={"type": "object"})

    assert "stream_options" not in last(acompletion)


@pytest.mark.parametrize(
    ("wrapper", "provider", "expected"),
    [("litellm", None, 1), ("native", "litellm", 1), ("litellm", "native", 0), ("native", None, 0)],
)
def test_the_provider_beats_the_wrapper(
    acompletion: AsyncMock, mock_transport: Any, wrapper: Any, provider: Any, expected: int
) -> None:
    """`backend` of the provider's configuration, else of the wrapper's."""
    settings = config(backend=wrapper, openai=OpenAIConfig(api_key=KEY, backend=provider))

    async def main() -> Response:
        async with LLMWrapper(settings, transport=mock_transport) as llm:
            return await llm.query(QUESTION, "gpt-4o")

    assert "success" == asyncio.run(main())["status"]
    assert expected == acompletion.await_count


@pytest.fixture
def mock_transport() -> Any:
    from multi_llm_wrapper.simulator import MemoryTransport

    return MemoryTransport()


def test_another_route_may_be_native(acompletion: AsyncMock, mock_transport: Any) -> None:
    """Fallbacks go from one backend to the other."""
    acompletion.side_effect = named("AuthenticationError", status_code=401)
    settings = config(
        anthropic=AnthropicConfig(api_key=KEY, backend="native"), fallbacks={"gpt-4o": ["claude-sonnet-5"]}
    )

    async def main() -> Response:
        async with LLMWrapper(settings, transport=mock_transport) as llm:
            return await llm.query(QUESTION, "gpt-4o")

    response = asyncio.run(main())

    assert ("success", "anthropic") == (response["status"], response["provider"])


# --- whole answers ----------------------------------------------------------------------------------------------------


def test_an_answer(acompletion: AsyncMock) -> None:
    """Has every fact of a response of ours."""
    response = query()
    metadata = response["metadata"]

    assert ("success", "Paris.", "openai", "gpt-4o") == tuple(
        response[name] for name in ("status", "content", "provider", "model")
    )
    assert (3, 2, 5) == tuple(metadata["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens"))
    assert ("stop", "r1", "m-1", 1) == tuple(
        metadata[name] for name in ("finish_reason", "response_id", "response_model", "attempts")
    )


def test_headers_that_litellm_kept(acompletion: AsyncMock) -> None:
    """The request's id and the rate limits come from them."""
    kept = {"llm_provider-x-request-id": "req-1", "llm_provider-x-ratelimit-remaining-requests": "9"}
    acompletion.return_value = SimpleNamespace(
        **completion(), model_dump=completion, _hidden_params={"additional_headers": kept}
    )
    metadata = query()["metadata"]

    assert ("req-1", 9) == (metadata["request_id"], metadata["rate_limit"]["remaining_requests"])


@pytest.mark.parametrize("hidden", [None, 5, {"additional_headers": 5}, MagicMock()])
def test_headers_of_another_shape(acompletion: AsyncMock, hidden: Any) -> None:
    """Are none."""
    acompletion.return_value = SimpleNamespace(model_dump=completion, choices=[], _hidden_params=hidden)

    assert query()["metadata"]["request_id"] is None


def test_litellms_own_fields(acompletion: AsyncMock) -> None:
    """Are read where they say something, and nothing is kept of those that do not."""
    acompletion.return_value = completion(
        content=None, provider_specific_fields={"refusal": "I cannot.", "citations": None}, annotations=[], images=[]
    )
    response = query()

    assert ("content_filter", "") == (response["metadata"]["finish_reason"], response["content"])
    assert {"refusal": "I cannot."} == response["metadata"]["provider_data"]


def test_tool_calls(acompletion: AsyncMock) -> None:
    """Are parsed like any other."""
    acompletion.return_value = completion("tool_calls", content=None, tool_calls=[CALL])
    response = query(tools=[TOOL])

    assert [{"id": "c1", "name": "f", "arguments": {"a": 1}, "arguments_raw": '{"a": 1}'}] == response["tool_calls"]
    assert "tool_calls" == response["metadata"]["finish_reason"]


def test_json_by_a_tool_of_litellms_own(acompletion: AsyncMock) -> None:
    """Is text with a normal end."""
    acompletion.return_value = completion("tool_calls", content='{"a":1}')
    response = query(response_format={"type": "object"})

    assert ("stop", {"a": 1}) == (response["metadata"]["finish_reason"], response.parsed)


def test_signed_thinking_goes_back(acompletion: AsyncMock) -> None:
    """Under the name that litellm has for it, to providers that it translates for."""
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    acompletion.return_value = completion(reasoning_content="Hm.", thinking_blocks=blocks)
    turn = query(model="claude-sonnet-5").to_message()
    acompletion.reset_mock()
    messages = asked(
        acompletion, "claude-sonnet-5", [{"role": "user", "content": "a"}, turn, {"role": "user", "content": "b"}]
    )

    assert {
        "role": "assistant",
        "content": "Paris.",
        "reasoning_content": "Hm.",
        "thinking_blocks": blocks,
    } == messages["messages"][1]


def test_raw_bytes(acompletion: AsyncMock) -> None:
    """`keep_raw` keeps what came through litellm, as JSON."""
    acompletion.return_value = Chunks(*CHUNKS)
    _, response = streamed(keep_raw=True)

    assert 4 == len(response["metadata"]["raw"].splitlines())


# --- streams ----------------------------------------------------------------------------------------------------------


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110  # a few rounds of the loop
        await asyncio.sleep(0)


def kinds(chunks: list[Any]) -> list[str]:
    return [chunk.type for chunk in chunks]


def same(a: Response, b: Response) -> bool:
    names = ("usage", "finish_reason", "provider_finish_reason", "response_id", "response_model")
    return [a[n] for n in ("status", "content", "tool_calls", "reasoning", "provider", "model")] == [
        b[n] for n in ("status", "content", "tool_calls", "reasoning", "provider", "model")
    ] and [a["metadata"][n] for n in names] == [b["metadata"][n] for n in names]


def test_a_stream(acompletion: AsyncMock) -> None:
    """Chunks of ours, and the response that a whole answer gives."""
    whole = query()
    acompletion.return_value = Chunks(*CHUNKS, headers={"llm_provider-request-id": "req-1"})
    chunks, response = streamed()

    assert ["text", "text", "end"] == kinds(chunks)
    assert same(whole, response)
    assert "req-1" == response["metadata"]["request_id"]
    assert (True, {"include_usage": True}) == (last(acompletion)["stream"], last(acompletion)["stream_options"])


def test_a_stream_of_objects(acompletion: AsyncMock) -> None:
    """Chunks may be objects with attributes, all the way down."""

    def thing(value: Any) -> Any:
        if isinstance(value, dict):
            return SimpleNamespace(**{name: thing(inner) for name, inner in value.items()})
        return [thing(inner) for inner in value] if isinstance(value, list) else value

    acompletion.return_value = Chunks(*map(thing, CHUNKS))
    chunks, response = streamed()

    assert (["text", "text", "end"], "Paris.") == (kinds(chunks), response["content"])


def test_a_streamed_tool_call(acompletion: AsyncMock) -> None:
    """Its pieces add up."""
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": text}} for text in ('{"a"', ": 1}")]
    acompletion.return_value = Chunks(*(chunk(tool_calls=[one]) for one in (head, *pieces)), chunk("tool_calls"))
    chunks, response = streamed(tools=[TOOL])

    assert {"a": 1} == response["tool_calls"][0]["arguments"]
    assert "tool_calls" == chunks[-1].finish_reason


def test_json_streamed_by_a_tool_of_litellms_own(acompletion: AsyncMock) -> None:
    """Is text with a normal end."""
    acompletion.return_value = Chunks(chunk(content="{}"), chunk("tool_calls"))

    assert "stop" == streamed()[0][-1].finish_reason


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-5", "gemini-2.5-pro"])
def test_a_whole_answer_to_a_stream(acompletion: AsyncMock, model: str) -> None:
    """As a test that patches `acompletion` may give it: it is streamed in one piece, with its usage."""
    chunks, response = streamed(model)

    assert ["text", "end"] == kinds(chunks)
    assert same(query(model=model), response)
    assert 5 == response["metadata"]["usage"]["total_tokens"]


def test_an_async_generator(acompletion: AsyncMock) -> None:
    """Will do for a stream, too."""

    async def generate() -> AsyncIterator[Any]:
        for one in CHUNKS:
            yield one

    acompletion.return_value = generate()

    assert "Paris." == streamed()[1]["content"]


def test_leaving_closes_the_stream(acompletion: AsyncMock) -> None:
    """Also while a chunk is waited for in another task."""
    source = acompletion.return_value = Chunks(chunk(content="Pa"), 60.0)

    async def main() -> Response:
        async with LLMWrapper(config()) as llm:
            stream = llm.stream(QUESTION, "gpt-4o")
            assert "Pa" == (await anext(stream)).content
            waiting = asyncio.create_task(anext(stream, None))
            await until(lambda: not source._chunks)
            await stream.aclose()
            assert await waiting is None
            await asyncio.sleep(0)
            return stream.response

    response = asyncio.run(main())

    assert ("incomplete_stream", "Pa", 1) == (response["error_type"], response["content"], source.closed)


def test_cancellation_is_the_callers(acompletion: AsyncMock) -> None:
    """It propagates, and closes the stream."""
    source = acompletion.return_value = Chunks(60.0)

    async def main() -> None:
        async with LLMWrapper(config()) as llm:
            task = asyncio.create_task(anext(llm.stream(QUESTION, "gpt-4o")))
            await until(lambda: not source._chunks)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)

    asyncio.run(main())

    assert 1 == source.closed


@pytest.mark.parametrize(
    ("source", "kind", "code"),
    [
        (Chunks(chunk(content="Pa")), "incomplete_stream", "cut"),
        (Chunks(chunk(content="Pa"), chunk("stop"), finished=None), "incomplete_stream", "cut"),
        (Chunks(chunk(content="Pa"), {"error": {"message": "x", "code": 503}}), "overloaded", None),
        (Chunks(chunk(content="Pa"), {"choices": 5}), "malformed_response", "unexpected_shape"),
    ],
    ids=["no end", "an invented end", "an error in band", "another shape"],
)
def test_broken_streams(acompletion: AsyncMock, source: Chunks, kind: str, code: str | None) -> None:
    """What came is kept, and the error says what is wrong."""
    acompletion.return_value = source
    chunks, response = streamed()

    assert ["text", "error"] == kinds(chunks)
    assert (kind, "Pa") == (response["error_type"], response["content"])
    assert code in (None, response["metadata"]["code"])
    assert 1 == source.closed


def test_a_failure_before_the_first_token_is_repeated(acompletion: AsyncMock) -> None:
    """Unseen, as without litellm."""
    acompletion.side_effect = [Chunks(named("RateLimitError", status_code=429)), Chunks(*CHUNKS)]
    chunks, response = streamed(max_retries=1, timeouts=Timeouts(total=30))

    assert (["text", "text", "end"], 2) == (kinds(chunks), response["metadata"]["attempts"])


@pytest.mark.parametrize(
    ("source", "limits", "code"),
    [
        ((60.0,), Timeouts(first_token=0.02), "first_token_timeout"),
        ((chunk(content="Pa"), 60.0), Timeouts(idle=0.02), "idle_timeout"),
        ((chunk(content="Pa"), 60.0), Timeouts(total=0.05), "attempt_timeout"),
    ],
)
def test_silence(acompletion: AsyncMock, source: tuple[Any, ...], limits: Timeouts, code: str) -> None:
    """The time limits are those of our own streams."""
    acompletion.side_effect = lambda **_: Chunks(*source)
    _, response = streamed(timeouts=limits, max_retries=0)

    assert ("timeout", code) == (response["error_type"], response["metadata"]["code"])


@pytest.mark.parametrize("rest", [(60.0,), (RuntimeError("x"),)], ids=["silence", "a failure"])
def test_after_the_finish_reason(
    acompletion: AsyncMock, rest: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that follows can spoil the answer."""
    monkeypatch.setattr("multi_llm_wrapper.litellm_bridge.chunks.GRACE", 0.02)
    source = acompletion.return_value = Chunks(*CHUNKS[:3], *rest)
    _, response = streamed()

    assert ("success", "Paris.", None) == (response["status"], response["content"], response["metadata"]["usage"])
    assert 1 == source.closed


# --- exceptions -------------------------------------------------------------------------------------------------------


def named(name: str, *above: str, message: str = "No.", **fields: Any) -> Exception:
    """An exception of a class with this name, below classes with those names."""
    base: type[Exception] = Exception
    for one in (*reversed(above), name):
        base = type(one, (base,), {})
    error = base(message)
    for field, value in fields.items():
        setattr(error, field, value)
    return error


EXCEPTIONS: list[tuple[Exception, str]] = [
    (named("AuthenticationError", status_code=401), "auth_error"),
    (named("PermissionDeniedError", status_code=403), "permission_error"),
    (named("NotFoundError", status_code=404), "validation_error"),
    (named("BadRequestError", status_code=400), "validation_error"),
    (named("BadRequestError", status_code=401), "auth_error"),
    (named("UnsupportedParamsError", "BadRequestError", status_code=400), "unsupported_feature"),
    (named("ContextWindowExceededError", "BadRequestError", status_code=400), "context_length_exceeded"),
    (named("ContentPolicyViolationError", "BadRequestError", status_code=400), "content_filter"),
    (named("RejectedRequestError", "BadRequestError", status_code=400), "validation_error"),
    (named("PaymentRequiredError", "BadRequestError", status_code=402), "quota_exceeded"),
    (named("ImageFetchError", "BadRequestError", status_code=400), "validation_error"),
    (named("LiteLLMUnknownProvider", "BadRequestError", status_code=400), "validation_error"),
    (named("UnprocessableEntityError", status_code=422), "validation_error"),
    (named("RateLimitError", status_code=429), "rate_limit"),
    (named("InternalServerError", status_code=500), "server_error"),
    (named("BadGatewayError", status_code=502), "server_error"),
    (named("ServiceUnavailableError", status_code=503), "overloaded"),
    (named("MidStreamFallbackError", "ServiceUnavailableError", status_code=529), "overloaded"),
    (named("Timeout", "APITimeoutError", "APIConnectionError", status_code=408), "timeout"),
    (named("APIConnectionError", status_code=500), "connection_error"),
    (named("APIError", status_code=500), "server_error"),
    (named("APIError", status_code=499), "cancelled"),
    (named("APIResponseValidationError", status_code=500), "malformed_response"),
    (named("JSONSchemaValidationError", "APIResponseValidationError", status_code=500), "malformed_response"),
    (named("BudgetExceededError"), "quota_exceeded"),
    (named("OpenAIError"), "general_error"),
    (named("ModelNotMappedError"), "general_error"),
    (TimeoutError(), "timeout"),
    (ConnectionResetError("reset"), "connection_error"),
    (RuntimeError("x"), "general_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "kind"), EXCEPTIONS, ids=lambda value: getattr(type(value), "__name__", None))
def test_exceptions_by_class_and_status(acompletion: AsyncMock, error: Exception, kind: str, stream: bool) -> None:
    """Where nothing else is known, the class says what it is, and the status beats a class that is too wide."""
    acompletion.side_effect = error
    response = streamed(max_retries=0)[1] if stream else query(max_retries=0)

    assert kind == response["error_type"]
    assert CLASSES[kind].retryable == response["metadata"]["retryable"]


def caused(error: Exception, *origins: BaseException) -> Exception:
    """`error`, which came from the first of the others, which came from the next."""
    before: BaseException = error
    for origin in origins:
        before.__context__ = origin
        before = origin
    return error


def carried(status: int, body: bytes, **headers: str) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, content=body, headers=headers)


class Unread:
    """A reply of a stream whose body was not read."""

    status_code = 500

    @property
    def content(self) -> bytes:
        raise RuntimeError("not read")


QUOTA = b'{"error":{"message":"Spent.","type":"insufficient_quota","code":"insufficient_quota"}}'
SLOWER = b'{"error":{"message":"Slower.","type":"requests","code":"rate_limit_exceeded"}}'


def wrapped(*origins: BaseException, name: str = "InternalServerError", status: int = 500) -> Exception:
    """What litellm makes of these, with a reply of its own that has no body."""
    return caused(named(name, status_code=status, response=carried(status, b"")), *origins)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (wrapped(named("OpenAIError"), named("X", response=carried(429, QUOTA)), status=429), "quota_exceeded"),
        (wrapped(named("HTTPStatusError", response=carried(529, b"{}")), status=400), "overloaded"),
        (wrapped(named("APIError", body={"code": "server_is_overloaded"})), "overloaded"),
        (caused(ValueError("int"), named("X", body={"message": "x", "code": "rate_limit_exceeded"})), "rate_limit"),
        (wrapped(named("ReadError", "NetworkError", "TransportError")), "connection_error"),
        (wrapped(named("ServerDisconnectedError", "ClientError")), "connection_error"),
        (wrapped(ConnectionResetError()), "connection_error"),
        (wrapped(KeyError("usageMetadata"), name="APIConnectionError"), "malformed_response"),
        (wrapped(named("OpenAIError"), ValueError("no JSON"), StopIteration(0)), "malformed_response"),
        (wrapped(ValueError("no block"), name="BadRequestError", status=422), "malformed_response"),
        (wrapped(ValueError("bad tool"), name="BadRequestError", status=400), "validation_error"),
        (wrapped(ModuleNotFoundError("mcp"), name="APIConnectionError"), "general_error"),
        (wrapped(named("HTTPStatusError", response=Unread())), "server_error"),
        (wrapped(named("ReadTimeout", "TransportError"), name="Timeout", status=408), "timeout"),
        (
            wrapped(named("X", response=carried(400, b"{}")), name="ContextWindowExceededError", status=400),
            "context_length_exceeded",
        ),
    ],
)
def test_exceptions_by_their_origin(acompletion: AsyncMock, error: Exception, kind: str) -> None:
    """The provider's own reply decides where the exception still has it, then what Python and HTTP libraries raised."""
    acompletion.side_effect = error

    assert kind == query(max_retries=0)["error_type"]


def test_the_wait_of_the_provider(acompletion: AsyncMock) -> None:
    """Comes from the headers of its reply."""
    origin = named("RateLimitError", response=carried(429, SLOWER, **{"Retry-After": "7"}))
    acompletion.side_effect = caused(named("RateLimitError", status_code=429), origin)
    metadata = query(max_retries=0)["metadata"]

    assert (7.0, "rate_limit_exceeded", 429) == (metadata["retry_after"], metadata["code"], metadata["status_code"])


def test_a_circle_of_causes(acompletion: AsyncMock) -> None:
    """Is gone round once."""
    error, other = named("InternalServerError", status_code=500), named("OpenAIError")
    error.__cause__, other.__cause__ = other, error
    acompletion.side_effect = error

    assert "server_error" == query(max_retries=0)["error_type"]


def test_what_the_caller_is_handling_is_no_cause(acompletion: AsyncMock) -> None:
    """An exception of the caller's own, which Python would put into the context, has no say."""

    async def fail(**_: Any) -> None:
        raise named("InternalServerError", status_code=500)

    acompletion.side_effect = fail

    async def main() -> Response:
        async with LLMWrapper(config()) as llm:
            try:
                raise named("HTTPStatusError", response=carried(404, b"{}"))
            except Exception:
                return await llm.query(QUESTION, "gpt-4o", max_retries=0)

    assert "server_error" == asyncio.run(main())["error_type"]


def test_our_own_errors_pass(acompletion: AsyncMock) -> None:
    """A class of ours raised by a patched `acompletion` is that class."""
    for kind, cls in CLASSES.items():
        acompletion.side_effect = cls("x")
        assert kind == query(max_retries=0)["error_type"]


def test_retries_are_counted(acompletion: AsyncMock, mock_sleep: Callable[[], None]) -> None:
    """By the one owner of retries."""
    acompletion.side_effect = [named("InternalServerError", status_code=500), completion()]

    assert ("success", 2) == (query(max_retries=1)["status"], acompletion.await_count)


@pytest.fixture
def mock_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.Random.uniform", lambda *_: 0.0)


def test_a_key_in_a_message(acompletion: AsyncMock) -> None:
    """Does not come back through us."""
    acompletion.side_effect = named("AuthenticationError", status_code=401, message=f"Incorrect key {KEY}.")

    assert KEY not in query()["error"]


@pytest.mark.parametrize("result", [None, 5, "text", object(), {"choices": [{"message": {"content": object()}}]}])
def test_hostile_results(acompletion: AsyncMock, result: Any) -> None:
    """Whatever comes is an answer or an error of a known class."""
    acompletion.return_value = result
    for response in (query(max_retries=0), streamed(max_retries=0)[1]):
        assert response["error_type"] in (None, "malformed_response")


FIELDS = ("content", "tool_calls", "refusal", "reasoning_content", "thinking_blocks", "provider_specific_fields")
MESSAGES = st.dictionaries(st.sampled_from(FIELDS), json_values)


@given(st.sampled_from(("message", "delta")), MESSAGES | json_values, json_values, json_values)
def test_any_shape_is_an_answer_or_an_error(field: str, message: Any, finish: Any, rest: Any) -> None:
    """Whole or in chunks, at every place of a completion: read well typed, or an `LLMError`; nothing else is raised."""
    asked: Any = SimpleNamespace(target=SimpleNamespace(provider="openai"), clock=SimpleNamespace(time=lambda: 0.0))
    choice = {"index": 0, "finish_reason": finish, field: message, "provider_specific_fields": rest}
    for result in ({"choices": [choice], "usage": rest}, {"choices": rest}, {"choices": [rest], "error": message}):
        with suppress(LLMError):
            assert well_typed(reply.whole(result, asked).reply)
        with suppress(LLMError):
            event = ServerEvent("", foreign.to_json(result, reply.tidy))
            assert well_typed(Fold(openai_chat.read_usage).add_all(openai_chat.decoder().feed(event)).reply())


# --- the package ------------------------------------------------------------------------------------------------------


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra, and nothing was sent."""
    monkeypatch.setitem(sys.modules, "litellm", None)  # so Python marks it
    for response in (query(), streamed()[1]):
        assert "unsupported_feature" == response["error_type"]
        assert "pip install 'multi-llm-wrapper[litellm]'" in response["error"]
        assert (0, "client") == (response["metadata"]["attempts"], response["metadata"]["rejected_by"])


@pytest.mark.parametrize("field", ["proxy", "ca_file"])
def test_what_cannot_be_done_is_refused(acompletion: AsyncMock, field: str, tmp_path: Path) -> None:
    """Rather than sent another way than the configuration has it."""
    file = tmp_path / "ca.pem"
    file.write_text("x")
    value: Any = {field: str(file) if field == "ca_file" else "http://127.0.0.1:9"}
    response = query(settings={"openai": OpenAIConfig(api_key=KEY, **value)})

    assert ("unsupported_feature", field) == (response["error_type"], response["metadata"]["code"])
    acompletion.assert_not_awaited()


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Imports a package `litellm` with this code in it, as the bridge does it."""

    def load(code: str) -> Any:
        (tmp_path / "litellm.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "litellm", raising=False)
        importlib.invalidate_caches()
        return asyncio.run(package.load())

    before = sys.modules.get("litellm")
    yield load
    sys.modules.pop("litellm", None)
    if before is not None:
        sys.modules["litellm"] = before


SEES = "import os\nseen = {n: v for n, v in os.environ.items() if n.startswith('LITELLM_')}\n"


def test_the_import_is_offline_and_reads_no_dotenv(imported: Any) -> None:
    """By variables that are there for its time only."""
    module = imported(SEES)

    assert {
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
    } == module.seen
    assert not [name for name in os.environ if name.startswith("LITELLM_")]
    assert (True, True) == (module.suppress_debug_info, module.disable_hf_tokenizer_download)


def test_the_users_variables_stay(imported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set already is not changed."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "False")
    monkeypatch.setenv("LITELLM_MODE", "DEV")

    seen = imported(SEES).seen

    assert ("False", "DEV") == (seen["LITELLM_LOCAL_MODEL_COST_MAP"], seen["LITELLM_MODE"])


LOGS = "import logging\nlogging.getLogger('LiteLLM').addHandler(logging.StreamHandler())\n"


@pytest.mark.parametrize(("variable", "level"), [(None, logging.CRITICAL), ("INFO", logging.NOTSET)])
def test_it_does_not_print(imported: Any, monkeypatch: pytest.MonkeyPatch, variable: str | None, level: int) -> None:
    """Its handlers are quiet unless LITELLM_LOG asks for them; its loggers are left as they are."""
    logger = logging.getLogger("LiteLLM")
    monkeypatch.setattr(logger, "handlers", [])
    if variable:
        monkeypatch.setenv("LITELLM_LOG", variable)
    imported(LOGS)

    assert ([level], logging.NOTSET) == ([handler.level for handler in logger.handlers], logger.level)


def test_a_package_that_cannot_be_imported(imported: Any) -> None:
    """Is said to be so, and its variables are gone."""
    with pytest.raises(LLMError, match=r"cannot be imported \(No module named 'nonesuch_at_all'\)"):
        imported("import nonesuch_at_all")

    assert not [name for name in os.environ if name.startswith("LITELLM_")]


def test_an_import_takes_no_longer_than_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first import of litellm takes seconds; a call that has less ends in time."""
    monkeypatch.setattr(package, "check", lambda target: None)
    monkeypatch.setattr("multi_llm_wrapper.litellm_bridge.check", lambda target: None)

    async def slowly() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("multi_llm_wrapper.litellm_bridge.reply.load", slowly)

    assert "timeout" == query(timeout=0.02, max_retries=0)["error_type"]
