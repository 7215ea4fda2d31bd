"""The official openai client, sync and async, asks the simulator and reads every answer with strict validation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from multi_llm_wrapper import errors
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.types import Reply, TextDelta
from tests.company.support import (
    CITY,
    PIXEL,
    QUESTION,
    ZONE,
    answer,
    broken_stream,
    entered,
    listed,
    refuse,
    reset,
    settled,
)

openai = pytest.importorskip("openai", reason="the client is not installed (dependency group `sdks`)")
pytestmark = pytest.mark.asyncio

MODEL = "gpt-4o"
USER = [{"role": "user", "content": QUESTION}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITY, "strict": True}}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": ZONE, "strict": True}}


class Capital(BaseModel):
    city: str
    inhabitants: int


@pytest_asyncio.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Any]:
    """Without retries; what does not fit its types is an error."""
    kind = openai.OpenAI if request.param == "sync" else openai.AsyncOpenAI
    made = kind(
        api_key="sk-test", base_url=simulator.base_url("openai"), max_retries=0, _strict_response_validation=True
    )
    yield made
    await settled(made.close())


async def ask(client: Any, messages: Any = USER, model: str = MODEL, **options: Any) -> Any:
    return await settled(client.chat.completions.create(model=model, messages=messages, **options))


@asynccontextmanager
async def streaming(client: Any, **options: Any) -> AsyncIterator[Any]:
    options = {"model": MODEL, "messages": USER, **options}
    async with entered(await settled(client.chat.completions.create(stream=True, **options))) as chunks:
        yield chunks


async def streamed(client: Any, **options: Any) -> list[Any]:
    """All chunks, with usage in the last one."""
    async with streaming(client, stream_options={"include_usage": True}, **options) as chunks:
        return await listed(chunks)


def said(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# --- answers --------------------------------------------------------------------------------------------------------


async def test_an_answer(client: Any, simulator: Simulator) -> None:
    """Text, ids, finish reason and usage, whole as the types want it."""
    answered = await ask(client)
    choice, usage = answered.choices[0], answered.usage

    assert ("stop", "assistant", None) == (choice.finish_reason, choice.message.role, choice.message.tool_calls)
    assert choice.message.content
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    assert 0 == usage.completion_tokens_details.reasoning_tokens
    assert ("gpt-4o", simulator.journal[0].request_id) == (answered.model, answered._request_id)
    type(answered).model_validate(answered.to_dict())


async def test_a_stream_says_the_same(client: Any) -> None:
    """Chunks add up to the answer that is not streamed; the last has the usage and no choice."""
    whole, chunks = await ask(client), await streamed(client)

    assert whole.choices[0].message.content == said(chunks)
    assert [whole.id] * len(chunks) == [chunk.id for chunk in chunks]
    assert ("stop", "assistant") == (chunks[-2].choices[0].finish_reason, chunks[0].choices[0].delta.role)
    assert (whole.usage, []) == (chunks[-1].usage, chunks[-1].choices)


async def test_a_stream_without_usage(client: Any) -> None:
    """Usage comes only when asked for."""
    async with streaming(client) as stream:
        chunks = await listed(stream)

    assert {None} == {chunk.usage for chunk in chunks}
    assert all(chunk.choices for chunk in chunks)


async def test_the_stream_helper(client: Any) -> None:
    """The client's own accumulation ends with the whole answer."""
    whole = await ask(client)
    async with entered(client.chat.completions.stream(model=MODEL, messages=USER)) as stream:
        kinds = {event.type for event in await listed(stream)}
        final = await settled(stream.get_final_completion())

    assert {"chunk", "content.delta", "content.done"} == kinds
    assert whole.choices[0].message.content == final.choices[0].message.content


async def test_images_and_settings(client: Any, simulator: Simulator) -> None:
    """Parts, images and every sampling setting are taken."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}}
    parts = [{"type": "text", "text": "What is this?"}, image]
    settings: Any = {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "user": "u",
        "presence_penalty": 0.1,
        "metadata": {"a": "b"},
    }
    seen = await ask(
        client, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}], **settings
    )
    blind = await ask(client, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts[:1]}])

    assert seen.usage.prompt_tokens > blind.usage.prompt_tokens
    assert parts == simulator.journal[0].json["messages"][1]["content"]


async def test_stop_and_length(client: Any) -> None:
    """A stop sequence ends the text with `stop`, a limit with `length`."""
    text = (await ask(client)).choices[0].message.content
    word = text.split()[3]
    stopped = await ask(client, stop=[word])
    cut = await ask(client, max_completion_tokens=3)

    assert (text[: text.index(word)], "stop") == (stopped.choices[0].message.content, stopped.choices[0].finish_reason)
    assert ("length", 3) == (cut.choices[0].finish_reason, cut.usage.completion_tokens)


async def test_reasoning(client: Any) -> None:
    """A reasoning model counts its thoughts in the usage, streamed or not."""
    messages = [{"role": "developer", "content": "Think."}, *USER]
    options: Any = {"model": "o4-mini", "messages": messages, "reasoning_effort": "high"}
    whole, chunks = await ask(client, **options), await streamed(client, **options)

    assert whole.usage.completion_tokens > whole.usage.completion_tokens_details.reasoning_tokens > 0
    assert whole.usage == chunks[-1].usage


# --- tools ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "called"),
    [
        ({}, []),
        ({"tool_choice": "auto"}, []),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required"}, ["get_weather"]),
        ({"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ["get_time"]),
    ],
)
async def test_offered_and_forced_tools(client: Any, options: Any, called: list[str]) -> None:
    """A tool that the question does not mention is called only when one must be."""
    choice = (await ask(client, tools=[WEATHER, CLOCK], **options)).choices[0]

    assert called == [call.function.name for call in choice.message.tool_calls or []]
    assert ("tool_calls" if called else "stop") == choice.finish_reason


async def test_parallel_tools_and_their_results(client: Any) -> None:
    """Two calls in one turn; the client's own message goes back with the results, and the answer uses them."""
    question = [{"role": "user", "content": "Use get_weather and get_time."}]
    turn = (await ask(client, question, tools=[WEATHER, CLOCK])).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"}
        for call in turn.tool_calls
    ]
    answered = await ask(client, [*question, turn, *results], tools=[WEATHER, CLOCK])
    single = await ask(client, question, tools=[WEATHER, CLOCK], parallel_tool_calls=False)

    assert ["get_weather", "get_time"] == [call.function.name for call in turn.tool_calls]
    assert {"city"} == json.loads(turn.tool_calls[0].function.arguments).keys()
    assert all(f"result of {name}" in answered.choices[0].message.content for name in ("get_weather", "get_time"))
    assert 1 == len(single.choices[0].message.tool_calls)


async def test_streamed_tools(client: Any) -> None:
    """The client's accumulation gives the calls that a whole answer has."""
    question = [{"role": "user", "content": "Use get_weather and get_time."}]
    whole = (await ask(client, question, tools=[WEATHER, CLOCK])).choices[0].message
    async with entered(
        client.chat.completions.stream(model=MODEL, messages=question, tools=[WEATHER, CLOCK])
    ) as stream:
        final = (await settled(stream.get_final_completion())).choices[0].message

    assert [(call.id, call.function.name, call.function.arguments) for call in whole.tool_calls] == [
        (call.id, call.function.name, call.function.arguments) for call in final.tool_calls
    ]
    assert [json.loads(call.function.arguments) for call in whole.tool_calls] == [
        call.function.parsed_arguments for call in final.tool_calls
    ]


# --- structured output ----------------------------------------------------------------------------------------------


async def test_parsed_answers(client: Any) -> None:
    """The parse helper makes an instance of the answer, streamed or not."""
    parsed = await settled(client.chat.completions.parse(model=MODEL, messages=USER, response_format=Capital))
    async with entered(client.chat.completions.stream(model=MODEL, messages=USER, response_format=Capital)) as stream:
        final = await settled(stream.get_final_completion())

    assert isinstance(parsed.choices[0].message.parsed, Capital)
    assert parsed.choices[0].message.parsed == final.choices[0].message.parsed


async def test_response_formats(client: Any) -> None:
    """A schema by hand, and JSON of no particular shape."""
    wanted = {"type": "json_schema", "json_schema": {"name": "capital", "schema": CITY, "strict": True}}
    shaped = await ask(client, response_format=wanted)
    free = await ask(client, [{"role": "user", "content": "In JSON, please."}], response_format={"type": "json_object"})

    assert {"city"} == json.loads(shaped.choices[0].message.content).keys()
    assert isinstance(json.loads(free.choices[0].message.content), dict)


async def test_a_refusal(client: Any, simulator: Simulator) -> None:
    """Stands in its own field, and the parse helper leaves it alone."""
    answer(
        simulator,
        "openai_chat",
        Reply(finish_reason="content_filter", extras={"refusal": "I cannot."}, response_id="c", response_model=MODEL),
    )
    parsed = await settled(client.chat.completions.parse(model=MODEL, messages=USER, response_format=Capital))

    assert ("I cannot.", None) == (parsed.choices[0].message.refusal, parsed.choices[0].message.parsed)


# --- models ---------------------------------------------------------------------------------------------------------


async def test_models(client: Any) -> None:
    """The list, one of it, and an open model's name with its owner."""
    models = await listed(client.models.list())
    one = await settled(client.models.retrieve("gpt-4o"))
    open_model = await settled(client.models.retrieve("meta-llama/llama-3.3-70b"))

    assert one in models
    assert ("meta-llama/llama-3.3-70b", "meta-llama") == (open_model.id, open_model.owned_by)


# --- errors ---------------------------------------------------------------------------------------------------------


async def test_no_key(client: Any) -> None:
    """A request without a key is an AuthenticationError."""
    keyless: Any = {"extra_headers": {"Authorization": openai.Omit()}}
    with pytest.raises(openai.AuthenticationError, match="didn't provide an API key"):
        await ask(client, **keyless)
    with pytest.raises(openai.AuthenticationError, match="didn't provide an API key"):
        await listed(client.models.list(**keyless))


async def test_what_the_simulator_refuses(client: Any) -> None:
    """Unknown models and paths are NotFoundErrors, bad requests BadRequestErrors, with code and parameter."""
    with pytest.raises(openai.NotFoundError) as unknown:
        await ask(client, model="nonesuch")
    with pytest.raises(openai.NotFoundError):
        await settled(client.models.retrieve("nonesuch"))
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        await settled(client.embeddings.create(model="e", input="x"))
    with pytest.raises(openai.BadRequestError) as bad:
        await ask(client, temperature=5)

    assert "model_not_found" == unknown.value.code
    assert ("temperature", "decimal_above_max_value") == (bad.value.param, bad.value.code)
    assert bad.value.request_id


FAILURES: list[tuple[errors.LLMError, str, int, str | None]] = [
    (errors.ValidationError("x"), "BadRequestError", 400, None),
    (errors.ContextLengthError("x"), "BadRequestError", 400, "context_length_exceeded"),
    (errors.ContentFilterError("x"), "BadRequestError", 400, "content_filter"),
    (errors.UnsupportedFeatureError("x"), "BadRequestError", 400, "unsupported_parameter"),
    (errors.AuthError("x"), "AuthenticationError", 401, "invalid_api_key"),
    (errors.PermissionDeniedError("x"), "PermissionDeniedError", 403, None),
    (errors.ModelNotFoundError("x"), "NotFoundError", 404, "model_not_found"),
    (errors.GeneralError("x", status_code=409), "ConflictError", 409, None),
    (errors.RequestTooLargeError("x"), "APIStatusError", 413, None),
    (errors.ValidationError("x", status_code=422), "UnprocessableEntityError", 422, None),
    (errors.RateLimitError("x", retry_after=2), "RateLimitError", 429, "rate_limit_exceeded"),
    (errors.QuotaExceededError("x"), "RateLimitError", 429, "insufficient_quota"),
    (errors.ServerError("x"), "InternalServerError", 500, None),
    (errors.OverloadedError("x"), "InternalServerError", 503, None),
    (errors.TimeoutError("x"), "InternalServerError", 504, None),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "kind", "status", "code"), FAILURES)
async def test_failures(
    client: Any, simulator: Simulator, error: errors.LLMError, kind: str, status: int, code: str | None, stream: bool
) -> None:
    """Each class of ours is the client's exception for that status, with message, code and wait."""
    refuse(simulator, "openai_chat", error)
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(client, stream=stream)

    assert (kind, status) == (type(caught.value).__name__, caught.value.status_code)
    assert caught.value.body["message"] == "x"
    assert code in (None, caught.value.code)
    assert ("2" if error.retry_after else None) == caught.value.response.headers.get("retry-after")


async def test_an_error_in_a_stream(client: Any, simulator: Simulator) -> None:
    """Is raised out of the iteration, behind what came before it."""
    broken_stream(simulator, "openai_chat", [TextDelta("Hel")], errors.ServerError("The server failed."))
    chunks: list[Any] = []
    with pytest.raises(openai.APIError, match="The server failed"):
        async with streaming(client) as stream:
            await listed(stream, chunks)

    assert "Hel" == said(chunks)


async def test_a_broken_connection_and_a_late_answer(client: Any, simulator: Simulator) -> None:
    """APIConnectionError and APITimeoutError."""
    reset(simulator)
    with pytest.raises(openai.APIConnectionError):
        await ask(client)

    simulator.first_token = 30.0
    with pytest.raises(openai.APITimeoutError):
        await ask(client, timeout=0.05)


async def test_unfinished_answers_are_not_parsed(client: Any, simulator: Simulator) -> None:
    """The parse helper has exceptions for an answer cut by its limit and for one cut by a filter."""
    with pytest.raises(openai.LengthFinishReasonError):
        await settled(client.chat.completions.parse(model=MODEL, messages=USER, response_format=Capital, max_tokens=2))
    answer(simulator, "openai_chat", Reply(content="{", finish_reason="content_filter", response_model=MODEL))
    with pytest.raises(openai.ContentFilterFinishReasonError):
        await settled(client.chat.completions.parse(model=MODEL, messages=USER, response_format=Capital))


async def test_strict_validation_is_on(client: Any, simulator: Simulator) -> None:
    """A reply of the wrong shape raises, so the tests above would have noticed one."""
    simulator.replay(200, {"content-type": "application/json"}, b'{"id":"c","object":"chat.completion"}')
    with pytest.raises(openai.APIResponseValidationError):
        await ask(client)
