"""The official anthropic client, sync and async, asks the simulator and reads every answer with strict validation."""

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

anthropic = pytest.importorskip("anthropic", reason="the client is not installed (dependency group `sdks`)")
pytestmark = pytest.mark.asyncio

MODEL = "claude-sonnet-5"
USER = [{"role": "user", "content": QUESTION}]
BOTH = [{"role": "user", "content": "Use get_weather and get_time."}]
WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": CITY}
CLOCK = {"name": "get_time", "input_schema": ZONE}


class Capital(BaseModel):
    city: str
    inhabitants: int


@pytest_asyncio.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Any]:
    """Without retries; what does not fit its types is an error."""
    kind = anthropic.Anthropic if request.param == "sync" else anthropic.AsyncAnthropic
    made = kind(
        api_key="sk-test", base_url=simulator.base_url("anthropic"), max_retries=0, _strict_response_validation=True
    )
    yield made
    await settled(made.close())


def asked(options: dict[str, Any]) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 4000, "messages": USER, **options}


async def ask(client: Any, **options: Any) -> Any:
    return await settled(client.messages.create(**asked(options)))


@asynccontextmanager
async def streaming(client: Any, **options: Any) -> AsyncIterator[Any]:
    """The client's helper, which gathers the message from the events."""
    async with entered(client.messages.stream(**asked(options))) as stream:
        yield stream


async def streamed(client: Any, **options: Any) -> Any:
    async with streaming(client, **options) as stream:
        return await settled(stream.get_final_message())


def blocks(message: Any) -> list[dict[str, Any]]:
    """The content as it was sent, without what the client adds to it."""
    return [block.to_dict(exclude_none=True) for block in message.content]


# --- answers --------------------------------------------------------------------------------------------------------


async def test_an_answer(client: Any, simulator: Simulator) -> None:
    """Text, ids, stop reason and usage, whole as the types want it."""
    message = await ask(client)

    assert ["text"] == [block.type for block in message.content]
    assert ("assistant", "end_turn", None) == (message.role, message.stop_reason, message.stop_sequence)
    assert (MODEL, simulator.journal[0].request_id) == (message.model, message._request_id)
    assert (0, 0) == (message.usage.cache_read_input_tokens, message.usage.cache_creation_input_tokens)
    assert message.usage.input_tokens > 0 < message.usage.output_tokens
    type(message).model_validate(message.to_dict())


async def test_a_stream_says_the_same(client: Any) -> None:
    """The events add up to the message that is not streamed, in the order of the protocol."""
    whole = await ask(client)
    async with streaming(client) as stream:
        kinds = [event.type for event in await listed(stream)]
        final = await settled(stream.get_final_message())

    assert (whole.id, blocks(whole), whole.stop_reason) == (final.id, blocks(final), final.stop_reason)
    assert whole.usage == final.usage
    assert ["message_start", "content_block_start"] == kinds[:2]
    assert ["content_block_stop", "message_delta", "message_stop"] == kinds[-3:]


async def test_raw_events(client: Any) -> None:
    """`stream=True` gives the events alone; each fits one of the client's types."""
    async with entered(await ask(client, stream=True)) as stream:
        events = await listed(stream)

    assert "message_start" == events[0].type
    assert events[0].message.usage.input_tokens == events[-2].usage.input_tokens
    assert all(type(event).model_validate(event.to_dict()) == event for event in events)


async def test_images_documents_and_settings(client: Any, simulator: Simulator) -> None:
    """Blocks of every kind a user may send, system blocks with cache marks, and other settings are taken."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    by_url = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Facts."}}
    text = {"type": "text", "text": "What is this?"}
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    settings: Any = {"system": system, "metadata": {"user_id": "u"}, "service_tier": "auto"}
    content = [image, by_url, document, text]
    seen = await ask(client, messages=[{"role": "user", "content": content}], **settings)
    blind = await ask(client, messages=[{"role": "user", "content": [text]}], **settings)

    assert seen.usage.input_tokens > blind.usage.input_tokens
    assert content == simulator.journal[0].json["messages"][0]["content"]


async def test_stop_and_length(client: Any) -> None:
    """A stop sequence is named in the answer; a limit ends it with `max_tokens`."""
    text = (await ask(client)).content[0].text
    word = text.split()[3]
    stopped, cut = await ask(client, stop_sequences=["nowhere", word]), await ask(client, max_tokens=3)
    final = await streamed(client, stop_sequences=["nowhere", word])

    assert (text[: text.index(word)], "stop_sequence", word) == (
        stopped.content[0].text,
        stopped.stop_reason,
        stopped.stop_sequence,
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == (final.stop_reason, final.stop_sequence)
    assert ("max_tokens", 3) == (cut.stop_reason, cut.usage.output_tokens)


@pytest.mark.parametrize(
    "thinking",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ],
)
async def test_thinking(client: Any, thinking: dict[str, Any]) -> None:
    """A signed block before the text, the same when streamed, counted, and taken back in the next turn."""
    whole, final = await ask(client, **thinking), await streamed(client, **thinking)

    assert ["thinking", "text"] == [block.type for block in whole.content]
    assert whole.content[0].thinking
    assert whole.content[0].signature
    assert blocks(whole) == blocks(final)
    assert whole.usage.output_tokens > whole.usage.output_tokens_details.thinking_tokens > 0

    history = [*USER, {"role": "assistant", "content": whole.content}, {"role": "user", "content": "And then?"}]
    assert "end_turn" == (await ask(client, messages=history, **thinking)).stop_reason


# --- tools ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        (None, []),
        ({"type": "auto"}, []),
        ({"type": "none"}, []),
        ({"type": "any"}, ["get_weather"]),
        ({"type": "tool", "name": "get_time"}, ["get_time"]),
    ],
)
async def test_offered_and_forced_tools(client: Any, choice: Any, called: list[str]) -> None:
    """A tool that the question does not mention is called only when one must be."""
    options: Any = {"tool_choice": choice} if choice else {}
    message = await ask(client, tools=[WEATHER, CLOCK], **options)

    assert called == [block.name for block in message.content if block.type == "tool_use"]
    assert ("tool_use" if called else "end_turn") == message.stop_reason


async def test_parallel_tools_and_their_results(client: Any) -> None:
    """Two calls in one turn, the same when streamed; the answer uses the results that are sent back."""
    turn = await ask(client, messages=BOTH, tools=[WEATHER, CLOCK])
    final = await streamed(client, messages=BOTH, tools=[WEATHER, CLOCK])
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"result of {block.name}"} for block in turn.content
    ]
    history = [*BOTH, {"role": "assistant", "content": turn.content}, {"role": "user", "content": results}]
    answered = await ask(client, messages=history, tools=[WEATHER, CLOCK])
    one = {"type": "auto", "disable_parallel_tool_use": True}

    assert ["get_weather", "get_time"] == [block.name for block in turn.content]
    assert {"city"} == turn.content[0].input.keys()
    assert blocks(turn) == blocks(final)
    assert all(f"result of {name}" in answered.content[0].text for name in ("get_weather", "get_time"))
    assert 1 == len((await ask(client, messages=BOTH, tools=[WEATHER, CLOCK], tool_choice=one)).content)


async def test_the_tool_runner(client: Any, simulator: Simulator) -> None:
    """The client's loop calls the function and comes back with its result; as the simulator keeps no threads, it sends
    the whole conversation each time."""

    def get_weather(city: str) -> str:
        """The weather.

        Args:
            city: Where.
        """
        return f"sunny in {city}"

    async def get_weather_async(city: str) -> str:
        return get_weather(city)

    get_weather_async.__name__, get_weather_async.__doc__ = get_weather.__name__, get_weather.__doc__
    sync = isinstance(client, anthropic.Anthropic)
    tool = anthropic.beta_tool(get_weather) if sync else anthropic.beta_async_tool(get_weather_async)
    question: Any = [{"role": "user", "content": "Use get_weather."}]
    messages = await listed(
        client.beta.messages.tool_runner(model=MODEL, max_tokens=900, tools=[tool], messages=question)
    )

    assert ["tool_use", "end_turn"] == [message.stop_reason for message in messages]
    assert f"sunny in {messages[0].content[0].input['city']}" in messages[1].content[0].text
    assert [400, 200, 200] == [entry.status for entry in simulator.journal]


# --- structured output ----------------------------------------------------------------------------------------------


async def test_parsed_answers(client: Any) -> None:
    """The parse helper makes an instance of the answer, streamed or not."""
    parsed = await settled(client.messages.parse(**asked({"output_format": Capital})))
    final = await streamed(client, output_format=Capital)

    assert isinstance(parsed.parsed_output, Capital)
    assert parsed.parsed_output == final.parsed_output


async def test_a_schema_by_hand(client: Any) -> None:
    """`output_config.format` binds the text to it."""
    message = await ask(client, output_config={"format": {"type": "json_schema", "schema": CITY}})

    assert {"city"} == json.loads(message.content[0].text).keys()


async def test_a_refusal(client: Any, simulator: Simulator) -> None:
    """Is a stop reason of its own."""
    answer(
        simulator,
        "anthropic_messages",
        Reply(finish_reason="content_filter", provider_finish_reason="refusal", response_model=MODEL),
    )

    assert "refusal" == (await ask(client)).stop_reason


# --- models ---------------------------------------------------------------------------------------------------------


async def test_models(client: Any) -> None:
    """The list, and one of it."""
    models = await listed(client.models.list())
    one = await settled(client.models.retrieve(MODEL))

    assert one in models
    assert ("active", MODEL, 2026) == (one.lifecycle, one.id, one.created_at.year)


# --- errors ---------------------------------------------------------------------------------------------------------


async def test_no_key(client: Any) -> None:
    """A request without a key is an AuthenticationError."""
    keyless: Any = {"extra_headers": {"Authorization": anthropic.omit, "X-Api-Key": anthropic.omit}}
    with pytest.raises(anthropic.AuthenticationError, match="x-api-key header is required"):
        await ask(client, **keyless)
    with pytest.raises(anthropic.AuthenticationError, match="x-api-key header is required"):
        await listed(client.models.list(**keyless))


async def test_a_bearer_token(simulator: Simulator) -> None:
    """Is as good as a key."""
    with anthropic.Anthropic(auth_token="t", base_url=simulator.base_url("anthropic"), max_retries=0) as client:
        assert "end_turn" == client.messages.create(model=MODEL, max_tokens=900, messages=USER).stop_reason


async def test_what_the_simulator_refuses(client: Any, simulator: Simulator) -> None:
    """Unknown models and paths are NotFoundErrors, bad requests BadRequestErrors, with type and request id."""
    with pytest.raises(anthropic.NotFoundError, match="model: nonesuch"):
        await ask(client, model="nonesuch")
    with pytest.raises(anthropic.NotFoundError):
        await settled(client.models.retrieve("nonesuch"))
    with pytest.raises(anthropic.NotFoundError):
        await settled(client.messages.batches.retrieve("msgbatch_1"))
    with pytest.raises(anthropic.BadRequestError, match="at least one message") as bad:
        await ask(client, messages=[])

    assert "invalid_request_error" == bad.value.body["error"]["type"]
    assert simulator.journal[-1].request_id == bad.value.request_id


FAILURES: list[tuple[errors.LLMError, str, int, str]] = [
    (errors.ValidationError("x"), "BadRequestError", 400, "invalid_request_error"),
    (errors.ContextLengthError("x"), "BadRequestError", 400, "invalid_request_error"),
    (errors.ContentFilterError("x"), "BadRequestError", 400, "invalid_request_error"),
    (errors.AuthError("x"), "AuthenticationError", 401, "authentication_error"),
    (errors.QuotaExceededError("x"), "PaymentRequiredError", 402, "billing_error"),
    (errors.PermissionDeniedError("x"), "PermissionDeniedError", 403, "permission_error"),
    (errors.ModelNotFoundError("x"), "NotFoundError", 404, "not_found_error"),
    (errors.GeneralError("x", status_code=408), "RequestTimeoutError", 408, "invalid_request_error"),
    (errors.GeneralError("x", status_code=409), "ConflictError", 409, "invalid_request_error"),
    (errors.GeneralError("x", status_code=412), "PreconditionFailedError", 412, "invalid_request_error"),
    (errors.RequestTooLargeError("x"), "ContentTooLargeError", 413, "request_too_large"),
    (errors.ValidationError("x", status_code=422), "UnprocessableEntityError", 422, "invalid_request_error"),
    (errors.RateLimitError("x", retry_after=2), "RateLimitError", 429, "rate_limit_error"),
    (errors.GeneralError("x", status_code=431), "RequestHeaderFieldsTooLargeError", 431, "invalid_request_error"),
    (errors.CancelledError("x", status_code=499), "ClientClosedRequestError", 499, "invalid_request_error"),
    (errors.ServerError("x"), "InternalServerError", 500, "api_error"),
    (errors.ServerError("x", status_code=501), "HTTPNotImplementedError", 501, "api_error"),
    (errors.ServerError("x", status_code=503), "ServiceUnavailableError", 503, "api_error"),
    (errors.TimeoutError("x"), "GatewayTimeoutError", 504, "timeout_error"),
    (errors.OverloadedError("x"), "OverloadedError", 529, "overloaded_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "kind", "status", "word"), FAILURES)
async def test_failures(
    client: Any, simulator: Simulator, error: errors.LLMError, kind: str, status: int, word: str, stream: bool
) -> None:
    """Each class of ours is the client's exception for that status, with type, message and wait."""
    refuse(simulator, "anthropic_messages", error)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(client, stream=stream)

    assert (kind, status) == (type(caught.value).__name__, caught.value.status_code)
    assert {"type": word, "message": "x"} == caught.value.body["error"]
    assert ("2" if error.retry_after else None) == caught.value.response.headers.get("retry-after")


async def test_an_error_in_a_stream(client: Any, simulator: Simulator) -> None:
    """Is raised out of the iteration, behind what came before it."""
    broken_stream(simulator, "anthropic_messages", [TextDelta("Hel")], errors.OverloadedError("Overloaded"))
    events: list[Any] = []
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught:
        async with streaming(client) as stream:
            await listed(stream, events)

    assert "overloaded_error" == caught.value.body["error"]["type"]
    assert "Hel" == "".join(event.text for event in events if event.type == "text")


async def test_a_broken_connection_and_a_late_answer(client: Any, simulator: Simulator) -> None:
    """APIConnectionError and APITimeoutError."""
    reset(simulator)
    with pytest.raises(anthropic.APIConnectionError):
        await ask(client)

    simulator.first_token = 30.0
    with pytest.raises(anthropic.APITimeoutError):
        await ask(client, timeout=0.05)


async def test_strict_validation_is_on(client: Any, simulator: Simulator) -> None:
    """A reply of the wrong shape raises, so the tests above would have noticed one."""
    simulator.replay(200, {"content-type": "application/json"}, b'{"id":"m","type":"message"}')
    with pytest.raises(anthropic.APIResponseValidationError):
        await ask(client)
