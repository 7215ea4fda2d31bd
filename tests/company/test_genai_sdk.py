"""The official google-genai client, sync and async, asks the simulator and reads every answer into its models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from multi_llm_wrapper import errors
from multi_llm_wrapper.simulator import SimRequest, Simulator
from multi_llm_wrapper.types import TextDelta
from tests.company.support import CITY, PIXEL, QUESTION, ZONE, broken_stream, listed, refuse, reset, settled

genai = pytest.importorskip("google.genai", reason="the client is not installed (dependency group `sdks`)")
types, sdk_errors = genai.types, genai.errors
pytestmark = [
    pytest.mark.asyncio,
    # the client subclasses aiohttp's session, which aiohttp does not like
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

MODEL = "gemini-2.5-flash"
BOTH = "Use get_weather and get_time."
TOOLS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather.",
            parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]),
        ),
        types.FunctionDeclaration(name="get_time", parameters_json_schema=ZONE),
        types.FunctionDeclaration(name="get_place", parameters_json_schema=CITY),
    ]
)


class Capital(BaseModel):
    city: str
    inhabitants: int


@pytest_asyncio.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Any]:
    """Without retries."""
    options = types.HttpOptions(base_url=simulator.base_url("gemini"), retry_options=types.HttpRetryOptions(attempts=1))
    made = genai.Client(api_key="test-key", http_options=options)
    yield made if request.param == "sync" else made.aio
    await made.aio.aclose()
    made.close()


async def ask(client: Any, contents: Any = QUESTION, model: str = MODEL, **config: Any) -> Any:
    return await settled(
        client.models.generate_content(
            model=model, contents=contents, config=types.GenerateContentConfig(**config) if config else None
        )
    )


async def streamed(client: Any, contents: Any = QUESTION, model: str = MODEL, **config: Any) -> list[Any]:
    """All chunks."""
    return await listed(
        await settled(
            client.models.generate_content_stream(
                model=model, contents=contents, config=types.GenerateContentConfig(**config) if config else None
            )
        )
    )


def parts(answer: Any) -> list[Any]:
    return answer.candidates[0].content.parts or []


def said(answer: Any, thought: bool = False) -> str:
    return "".join(part.text for part in parts(answer) if part.text and bool(part.thought) == thought)


# --- answers --------------------------------------------------------------------------------------------------------


async def test_an_answer(client: Any) -> None:
    """Text, finish reason, id and usage."""
    answer = await ask(client)
    usage = answer.usage_metadata

    assert answer.text == said(answer)
    assert ("STOP", "model", 0) == (
        answer.candidates[0].finish_reason,
        answer.candidates[0].content.role,
        answer.candidates[0].index,
    )
    assert usage.prompt_token_count + usage.candidates_token_count == usage.total_token_count
    assert MODEL == answer.model_version
    assert answer.response_id


async def test_a_stream_says_the_same(client: Any) -> None:
    """Chunks add up to the answer that is not streamed; the last has finish reason and usage."""
    whole, chunks = await ask(client), await streamed(client)

    assert whole.text == "".join(said(chunk) for chunk in chunks)
    assert {whole.response_id} == {chunk.response_id for chunk in chunks}
    assert ("STOP", whole.usage_metadata) == (chunks[-1].candidates[0].finish_reason, chunks[-1].usage_metadata)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tools": [TOOLS], "tool_config": {"function_calling_config": {"mode": "ANY"}}},
        {"thinking_config": {"thinking_budget": 2000, "include_thoughts": True}},
    ],
)
async def test_nothing_is_unknown_to_its_models(client: Any, simulator: Simulator, config: dict[str, Any]) -> None:
    """The client drops fields that it does not know; its models, asked directly, refuse them, and there are none."""
    await ask(client, **config)
    asked = simulator.journal[0]
    request = SimRequest(asked.method, asked.path, asked.query, {"x-goog-api-key": "k"}, asked.body)
    body = b"".join(step.data for step in simulator.brain.handle(request).steps)

    types.GenerateContentResponse.model_validate_json(body)
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        types.GenerateContentResponse.model_validate({**json.loads(body), "nonesuch": 1})


async def test_images_and_settings(client: Any, simulator: Simulator) -> None:
    """Inline and linked images, and every setting, are taken."""
    settings: Any = {
        "system_instruction": "Be brief.",
        "temperature": 0.3,
        "top_p": 0.9,
        "top_k": 4,
        "seed": 7,
        "candidate_count": 1,
        "safety_settings": [types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_ONLY_HIGH")],
    }
    inline = types.Part(inline_data=types.Blob(data=PIXEL, mime_type="image/png"))
    linked = types.Part.from_uri(file_uri="https://example.com/a.png", mime_type="image/png")
    seen = await ask(client, [inline, linked, "What is this?"], **settings)
    blind = await ask(client, "What is this?", **settings)

    assert seen.usage_metadata.prompt_token_count > blind.usage_metadata.prompt_token_count
    assert 3 == len(simulator.journal[0].json["contents"][0]["parts"])


async def test_stop_and_length(client: Any) -> None:
    """A stop sequence ends the text with STOP, a limit with MAX_TOKENS."""
    text = (await ask(client)).text
    word = text.split()[3]
    stopped, cut = await ask(client, stop_sequences=[word]), await ask(client, max_output_tokens=3)

    assert (text[: text.index(word)], "STOP") == (stopped.text, stopped.candidates[0].finish_reason)
    assert ("MAX_TOKENS", 3) == (cut.candidates[0].finish_reason, cut.usage_metadata.candidates_token_count)


@pytest.mark.parametrize(
    ("model", "thinking"),
    [(MODEL, {"thinking_budget": 2000}), ("gemini-3-pro-preview", {"thinking_level": "high"})],
)
async def test_thinking(client: Any, model: str, thinking: dict[str, Any]) -> None:
    """Thoughts are counted, signed, and shown only when asked for, streamed or not."""
    shown = await ask(client, model=model, thinking_config={**thinking, "include_thoughts": True})
    chunks = await streamed(client, model=model, thinking_config={**thinking, "include_thoughts": True})
    hidden = await ask(client, model=model, thinking_config=thinking)
    hidden_chunks = await streamed(client, model=model, thinking_config=thinking)

    assert said(shown, thought=True)
    assert said(shown, thought=True) == "".join(said(chunk, thought=True) for chunk in chunks)
    assert "" == said(hidden, thought=True) == "".join(said(chunk, thought=True) for chunk in hidden_chunks)
    assert shown.text == hidden.text == "".join(said(chunk) for chunk in hidden_chunks)
    assert shown.usage_metadata == hidden.usage_metadata
    assert shown.usage_metadata.thoughts_token_count > 0
    assert parts(hidden)[-1].thought_signature == parts(chunks[-1])[-1].thought_signature is not None


async def test_a_chat(client: Any) -> None:
    """The client's chat sends each turn back, signatures and all, streamed or not."""
    thinking = types.ThinkingConfig(thinking_level="low", include_thoughts=True)
    chat = client.chats.create(
        model="gemini-3-pro-preview", config=types.GenerateContentConfig(thinking_config=thinking)
    )
    first = await settled(chat.send_message("Hello."))
    second = "".join([said(chunk) for chunk in await listed(await settled(chat.send_message_stream("And then?")))])

    assert first.text
    assert second
    assert ["user", "model", "user"] == [turn.role for turn in chat.get_history()[:3]]


# --- tools ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calling", "called"),
    [
        (None, []),
        ({"mode": "AUTO"}, []),
        ({"mode": "NONE"}, []),
        ({"mode": "ANY"}, ["get_weather"]),
        ({"mode": "ANY", "allowed_function_names": ["get_time"]}, ["get_time"]),
        ({"mode": "ANY", "allowed_function_names": ["get_time", "get_place"]}, ["get_time"]),
    ],
)
async def test_offered_and_forced_tools(client: Any, calling: Any, called: list[str]) -> None:
    """A function that the question does not mention is called only when one must be, and only one that may be."""
    choice: Any = {"tool_config": {"function_calling_config": calling}} if calling else {}
    answer = await ask(client, tools=[TOOLS], **choice)

    assert called == [call.name for call in answer.function_calls or []]
    assert "STOP" == answer.candidates[0].finish_reason


async def test_parallel_tools_and_their_results(client: Any) -> None:
    """Two calls in one turn, the same when streamed; the answer uses the results that are sent back."""
    answer, chunks = await ask(client, BOTH, tools=[TOOLS]), await streamed(client, BOTH, tools=[TOOLS])
    calls = answer.function_calls
    results = [
        types.Part.from_function_response(name=call.name, response={"result": f"result of {call.name}"})
        for call in calls
    ]
    history = [types.UserContent(BOTH), answer.candidates[0].content, types.Content(role="user", parts=results)]
    answered = await ask(client, history, tools=[TOOLS])

    assert ["get_weather", "get_time"] == [call.name for call in calls]
    assert {"city"} == calls[0].args.keys()
    assert calls == [call for chunk in chunks for call in chunk.function_calls or []]
    assert all(f"result of {call.name}" in answered.text for call in calls)


async def test_automatic_function_calling(client: Any, simulator: Simulator) -> None:
    """The client calls the Python function by itself and asks again with its result."""

    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    chat = client.chats.create(model=MODEL, config=types.GenerateContentConfig(tools=[get_weather]))
    answer = await settled(chat.send_message("Use get_weather, please."))

    assert "sunny in" in answer.text
    assert 2 == len(simulator.journal)


# --- structured output ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [Capital, list[Capital]])
async def test_parsed_answers(client: Any, wanted: Any) -> None:
    """`parsed` has an instance of the class, or a list of them."""
    answer = await ask(client, response_mime_type="application/json", response_schema=wanted)
    found = answer.parsed if isinstance(answer.parsed, list) else [answer.parsed]

    assert found
    assert {Capital} == {type(item) for item in found}


async def test_a_schema_by_hand(client: Any) -> None:
    """A JSON schema, streamed; and JSON of no particular shape."""
    chunks = await streamed(client, response_mime_type="application/json", response_json_schema=CITY)
    free = await ask(client, response_mime_type="application/json")

    assert {"city"} == json.loads("".join(said(chunk) for chunk in chunks)).keys()
    json.loads(free.text)


# --- models ---------------------------------------------------------------------------------------------------------


async def test_models(client: Any) -> None:
    """The list, and one of it."""
    models = await listed(await settled(client.models.list()))
    one = await settled(client.models.get(model=MODEL))

    assert one in models
    assert (f"models/{MODEL}", ["generateContent"]) == (one.name, one.supported_actions)


# --- errors ---------------------------------------------------------------------------------------------------------


async def test_no_key(client: Any) -> None:
    """A request without a key is a ClientError 403."""
    keyless = types.HttpOptions(headers={"x-goog-api-key": ""})
    with pytest.raises(sdk_errors.ClientError) as caught:
        await ask(client, http_options=keyless)

    assert (403, "PERMISSION_DENIED") == (caught.value.code, caught.value.status)


async def test_what_the_simulator_refuses(client: Any) -> None:
    """Unknown models and methods are 404, bad requests 400, with status name and message."""
    with pytest.raises(sdk_errors.ClientError, match="is not found") as unknown:
        await ask(client, model="nonesuch")
    with pytest.raises(sdk_errors.ClientError) as page:
        await settled(client.models.get(model="nonesuch"))
    with pytest.raises(sdk_errors.ClientError) as method:
        await settled(client.models.count_tokens(model=MODEL, contents="Hi"))
    with pytest.raises(sdk_errors.ClientError, match=r"temperature must be in the range \[0.0, 2.0\]") as bad:
        await ask(client, temperature=5)

    assert [(404, "NOT_FOUND")] * 3 == [(e.value.code, e.value.status) for e in (unknown, page, method)]
    assert (400, "INVALID_ARGUMENT") == (bad.value.code, bad.value.status)


FAILURES: list[tuple[errors.LLMError, str, int, str]] = [
    (errors.ValidationError("x"), "ClientError", 400, "INVALID_ARGUMENT"),
    (errors.ContextLengthError("x"), "ClientError", 400, "INVALID_ARGUMENT"),
    (errors.AuthError("x"), "ClientError", 400, "INVALID_ARGUMENT"),
    (errors.AuthError("x", status_code=401), "ClientError", 401, "UNAUTHENTICATED"),
    (errors.PermissionDeniedError("x"), "ClientError", 403, "PERMISSION_DENIED"),
    (errors.ModelNotFoundError("x"), "ClientError", 404, "NOT_FOUND"),
    (errors.RequestTooLargeError("x"), "ClientError", 413, "INVALID_ARGUMENT"),
    (errors.RateLimitError("x", retry_after=2), "ClientError", 429, "RESOURCE_EXHAUSTED"),
    (errors.QuotaExceededError("x"), "ClientError", 429, "RESOURCE_EXHAUSTED"),
    (errors.CancelledError("x"), "ClientError", 499, "CANCELLED"),
    (errors.ServerError("x"), "ServerError", 500, "INTERNAL"),
    (errors.OverloadedError("x"), "ServerError", 503, "UNAVAILABLE"),
    (errors.TimeoutError("x"), "ServerError", 504, "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize("ways", [ask, streamed])
@pytest.mark.parametrize(("error", "kind", "code", "status"), FAILURES)
async def test_failures(
    client: Any, simulator: Simulator, error: errors.LLMError, kind: str, code: int, status: str, ways: Any
) -> None:
    """Each class of ours is the client's exception for that status, with status name, message and details."""
    refuse(simulator, "gemini", error)
    with pytest.raises(sdk_errors.APIError) as caught:
        await ways(client)

    assert (kind, code, status, "x") == (
        type(caught.value).__name__,
        caught.value.code,
        caught.value.status,
        caught.value.message,
    )
    delays = [detail.get("retryDelay") for detail in caught.value.details["error"].get("details", [])]
    assert ("2s" in delays) == (error.retry_after is not None)


async def test_a_blocked_prompt(client: Any, simulator: Simulator) -> None:
    """Is no exception here, but an answer without candidates that says why."""
    refuse(simulator, "gemini", errors.ContentFilterError("No.", code="SAFETY"))
    answer = await ask(client)

    assert ("SAFETY", None) == (answer.prompt_feedback.block_reason, answer.candidates)


async def test_an_error_in_a_stream(client: Any, simulator: Simulator) -> None:
    """Is raised out of the iteration, behind what came before it."""
    broken_stream(simulator, "gemini", [TextDelta("Hel")], errors.OverloadedError("Overloaded."))
    chunks: list[Any] = []
    with pytest.raises(sdk_errors.ServerError, match="Overloaded") as caught:
        await listed(await settled(client.models.generate_content_stream(model=MODEL, contents="Hi")), chunks)

    assert (503, "UNAVAILABLE") == (caught.value.code, caught.value.status)
    assert "Hel" == "".join(said(chunk) for chunk in chunks)


async def test_a_broken_connection_and_a_late_answer(client: Any, simulator: Simulator) -> None:
    """Come as the exceptions of the HTTP library underneath: the client has no classes for them."""
    reset(simulator)
    with pytest.raises(Exception, match=r"(?i)disconnect|reset|payload|closed") as broken:
        await ask(client)

    simulator.first_token = 30.0
    with pytest.raises(Exception, match=r"(?i)timed out|timeout|^$") as late:
        await ask(client, http_options=types.HttpOptions(timeout=50))

    assert not isinstance(broken.value, sdk_errors.APIError)
    assert not isinstance(late.value, sdk_errors.APIError)
