"""The bridge through the real litellm: the same questions as without it, and the same answers from the simulator."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import pytest_asyncio

from multi_llm_wrapper import (
    AnthropicConfig,
    GeminiConfig,
    GroqConfig,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    ProviderConfig,
    Response,
    WrapperConfig,
    errors,
)
from multi_llm_wrapper.dialects import failures
from multi_llm_wrapper.dialects import get as dialect_of
from multi_llm_wrapper.litellm_bridge import package
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.types import TextDelta
from tests.company.support import CITY, PIXEL, QUESTION, ZONE, broken_stream, refuse, reset

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.timeout(120),  # the import alone takes seconds
    # what litellm's models say to a newer pydantic, and its clients when their loop has ended
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class .* from ClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-5",
    "gemini": "gemini-2.5-flash",
    "groq": "groq/llama-3.3-70b-versatile",
    "deepseek": "deepseek/deepseek-chat",
    "azure": "azure/gpt-4o",
    "own": "own/qwen3",
}
DIALECTS = {"anthropic": "anthropic_messages", "gemini": "gemini"}
THINKING = {"openai": "o4-mini", "groq": "groq/openai/gpt-oss-120b"}
BOTH = "Use get_weather and get_time."
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": CITY}},
    {"type": "function", "function": {"name": "get_time", "parameters": ZONE}},
]


def config(simulator: Simulator, backend: Any) -> WrapperConfig:
    key = "sk-test-key"
    own = simulator.base_url("openai")
    return WrapperConfig(
        backend=backend,
        enable_caching=False,
        max_retries=0,
        openai=OpenAIConfig(api_key=key, base_url=own),
        anthropic=AnthropicConfig(api_key=key, base_url=simulator.base_url("anthropic")),
        gemini=GeminiConfig(api_key=key, base_url=simulator.base_url("gemini")),
        groq=GroqConfig(api_key=key, base_url=simulator.base_url("groq")),
        deepseek=ProviderConfig(api_key=key, base_url=own),
        azure=ProviderConfig(api_key=key, base_url=simulator.url),
        providers={"own": OpenAICompatibleConfig(api_key=key, base_url=own)},
    )


@pytest.fixture(scope="module", autouse=True)
def _litter() -> Iterator[None]:
    """What litellm leaves open is collected here, where nobody minds, and not in somebody else's test."""
    yield
    gc.collect()


@pytest_asyncio.fixture
async def bridge(simulator: Simulator) -> AsyncIterator[LLMWrapper]:
    """A wrapper that asks through litellm, which the bridge itself imports: without its network."""
    if find_spec("litellm") is None:
        pytest.skip("litellm is not installed (dependency group `litellm`)")
    litellm = await package.load()
    async with LLMWrapper(config(simulator, "litellm")) as llm:
        yield llm
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


@pytest_asyncio.fixture
async def native(simulator: Simulator) -> AsyncIterator[LLMWrapper]:
    async with LLMWrapper(config(simulator, "native")) as llm:
        yield llm


provider = pytest.mark.parametrize("provider", MODELS)


async def stream(llm: LLMWrapper, prompt: Any, model: str, **options: Any) -> Response:
    async with llm.stream(prompt, model, **options) as chunks:
        async for _ in chunks:
            pass
        return chunks.response


def facts(response: Response) -> dict[str, Any]:
    """What must be the same however it came. Ids of calls are litellm's own for Gemini, and so is the spacing of
    arguments."""
    usage = response["metadata"]["usage"] or {}
    return {
        **{name: response[name] for name in ("status", "content", "reasoning", "provider", "model", "error_type")},
        "calls": [(call["name"], call["arguments"]) for call in response["tool_calls"]],
        "finish": response["metadata"]["finish_reason"],
        "input": usage.get("input_tokens"),
        "output": usage.get("output_tokens"),
    }


# --- answers ----------------------------------------------------------------------------------------------------------


@provider
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_tokens": 5},
        {"system": "Be brief.", "stop": ["the"], "max_tokens": 500},
        {"tools": TOOLS, "tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_time"}}},
        {"response_format": CITY},
    ],
    ids=["plain", "max_tokens", "stop", "a tool", "a named tool", "a schema"],
)
async def test_the_same_answers(bridge: LLMWrapper, native: LLMWrapper, provider: str, options: dict[str, Any]) -> None:
    """Whole and streamed, with the same facts as without litellm."""
    model = MODELS[provider]
    expected = facts(await native.query(QUESTION, model, **options))
    whole, streamed = await bridge.query(QUESTION, model, **options), await stream(bridge, QUESTION, model, **options)
    for found in (facts(whole), facts(streamed)):
        if "tools" in options or "response_format" in options:  # litellm writes schemas anew, in other tokens
            found["input"] = expected["input"]
        if provider == "groq" and "response_format" in options:  # and for this model as a tool
            assert {"city"} == json.loads(found["content"]).keys()
            found |= {name: expected[name] for name in ("content", "output")}
        assert expected == found


@provider
async def test_reasoning(bridge: LLMWrapper, native: LLMWrapper, provider: str) -> None:
    """Shown where the provider shows it, and counted."""
    model = THINKING.get(provider, MODELS[provider])
    if provider in ("deepseek", "azure"):
        pytest.skip("this model does not think")
    expected = await native.query(QUESTION, model, reasoning_effort="low")
    whole = await bridge.query(QUESTION, model, reasoning_effort="low")
    streamed = await stream(bridge, QUESTION, model, reasoning_effort="low")

    assert "success" == expected["status"]
    for one in (whole, streamed):
        assert facts(expected) == facts(one)
        assert expected["metadata"]["usage"]["reasoning_tokens"] == one["metadata"]["usage"]["reasoning_tokens"]


async def test_an_image(bridge: LLMWrapper, native: LLMWrapper) -> None:
    """As a data URL, to each dialect."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    for name in ("openai", "anthropic", "gemini"):
        expected = await native.query(messages, MODELS[name])

        assert facts(expected) == facts(await bridge.query(messages, MODELS[name]))


@provider
async def test_tool_results(bridge: LLMWrapper, provider: str) -> None:
    """Two calls, their results, and an answer that uses them; with the signed thinking of those who sign."""
    options: Any = {"reasoning_effort": "low"} if provider in DIALECTS else {}
    first = await bridge.query(BOTH, MODELS[provider], tools=TOOLS, **options)
    messages: Any = [{"role": "user", "content": BOTH}, first.to_message()]
    messages += [
        {"role": "tool", "tool_call_id": call["id"], "content": f"result of {call['name']}"}
        for call in first["tool_calls"]
    ]
    answered = await bridge.query(messages, MODELS[provider], tools=TOOLS, **options)

    assert ["get_weather", "get_time"] == [call["name"] for call in first["tool_calls"]]
    assert "success" == answered["status"], answered["error"]
    assert all(f"result of {name}" in answered["content"] for name in ("get_weather", "get_time"))


async def test_thinking_goes_back_with_its_signature(bridge: LLMWrapper, simulator: Simulator) -> None:
    """Whole and streamed."""
    for ask in (bridge.query, lambda *a, **k: stream(bridge, *a, **k)):
        first = await ask(QUESTION, MODELS["anthropic"], reasoning_effort="low")
        messages: Any = [{"role": "user", "content": QUESTION}, first.to_message(), {"role": "user", "content": "And?"}]
        await bridge.query(messages, MODELS["anthropic"], reasoning_effort="low")
        thinking = simulator.journal[-1].json["messages"][1]["content"][0]

        assert ("thinking", first["reasoning"]) == (thinking["type"], thinking["thinking"])
        assert thinking["signature"]


async def test_what_the_caller_adds(bridge: LLMWrapper, simulator: Simulator) -> None:
    """Headers and body fields arrive."""
    for name, extra in (
        ("openai", {"user": "u"}),
        ("anthropic", {"thinking": {"type": "disabled"}}),
        ("gemini", {"labels": {"a": "b"}}),
    ):
        response = await bridge.query(QUESTION, MODELS[name], extra_body=extra, extra_headers={"X-Team": "a"})
        asked = simulator.journal[-1]

        assert "success" == response["status"], response["error"]
        assert extra.items() <= asked.json.items()
        assert "a" == asked.headers["x-team"]


async def test_a_host_without_a_key(bridge: LLMWrapper, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not sent the key that the environment has for OpenAI."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    bridge.config.openai = OpenAIConfig(api_key="sk-of-openai", base_url=simulator.base_url("openai"))
    bridge.config.providers["own"] = OpenAICompatibleConfig(base_url=simulator.base_url("openai"))
    await bridge.query(QUESTION, MODELS["openai"])
    await bridge.query(QUESTION, MODELS["own"])
    with_key, without = (entry.headers["authorization"] for entry in simulator.journal)

    assert with_key != without


async def test_leaving_a_stream_hangs_up(bridge: LLMWrapper, simulator: Simulator) -> None:
    """The provider sees the connection close."""
    import asyncio

    simulator.pace = 0.02
    for name in ("openai", "anthropic", "gemini"):
        async with bridge.stream(QUESTION, MODELS[name]) as chunks:
            async for _ in chunks:
                break
        assert await asyncio.to_thread(simulator.wait_for, lambda journal: list(journal)[-1].hung_up)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "groq"])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in errors.CLASSES if kind != "content_filter"])
async def test_failures(bridge: LLMWrapper, simulator: Simulator, name: str, streaming: bool, kind: str) -> None:
    """Each has the class, status, code and wait that it has without litellm, and one request was sent."""
    dialect = DIALECTS.get(name, "openai_chat")
    error = errors.CLASSES[kind]("The text.", retry_after=3 if kind == "rate_limit" else None)
    wire = dialect_of(dialect).encode_error(error)
    expected = failures.classify(wire.status, wire.headers, wire.body, 0.0)
    refuse(simulator, dialect, error)
    response = await (stream(bridge, QUESTION, MODELS[name]) if streaming else bridge.query(QUESTION, MODELS[name]))
    metadata = response["metadata"]

    assert (expected.error_type, expected.status_code, expected.code, expected.retry_after) == (
        response["error_type"],
        metadata["status_code"],
        metadata["code"],
        metadata["retry_after"],
    )
    assert 1 == len(simulator.journal) == metadata["attempts"]


@provider
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_broken_connection(bridge: LLMWrapper, simulator: Simulator, provider: str, streaming: bool) -> None:
    """Is a connection error, and litellm does not try again by itself."""
    reset(simulator)
    model = MODELS[provider]
    response = await (stream(bridge, QUESTION, model) if streaming else bridge.query(QUESTION, model))

    assert ("connection_error", 1) == (response["error_type"], len(simulator.journal))


@pytest.mark.parametrize(
    ("name", "kind"),
    # of an error inside a stream litellm keeps Anthropic's text only
    [("openai", "overloaded"), ("groq", "overloaded"), ("gemini", "overloaded"), ("anthropic", "server_error")],
)
async def test_an_error_in_a_stream(bridge: LLMWrapper, simulator: Simulator, name: str, kind: str) -> None:
    """Ends it, and what came before is kept."""
    broken_stream(
        simulator, DIALECTS.get(name, "openai_chat"), [TextDelta("Hel")], errors.OverloadedError("Overloaded.")
    )
    response = await stream(bridge, QUESTION, MODELS[name])

    assert ("error", kind, "Hel") == (response["status"], response["error_type"], response["content"])


@pytest.mark.parametrize("name", ["openai", "groq", "anthropic"])
async def test_a_stream_that_is_cut(bridge: LLMWrapper, simulator: Simulator, name: str) -> None:
    """Is not taken for a whole answer, though litellm ends it with a finish reason."""
    encoder = dialect_of(DIALECTS.get(name, "openai_chat")).encoder(response_id="r", model="m", created=0)
    chunks = [encoder.start(), encoder.event(TextDelta("Hel"))]
    simulator.replay(200, {"content-type": "text/event-stream"}, chunks=chunks)
    response = await stream(bridge, QUESTION, MODELS[name])

    assert ("incomplete_stream", "Hel") == (response["error_type"], response["content"])


async def test_a_late_answer(bridge: LLMWrapper, simulator: Simulator) -> None:
    """Is a timeout, whole and streamed."""
    simulator.first_token = 30.0
    for name in ("openai", "anthropic", "gemini"):
        response = await bridge.query(QUESTION, MODELS[name], timeout=0.2)
        streamed = await stream(bridge, QUESTION, MODELS[name], timeout=0.2)

        assert ("timeout", "timeout") == (response["error_type"], streamed["error_type"])


@provider
async def test_a_page_instead_of_an_answer(bridge: LLMWrapper, simulator: Simulator, provider: str) -> None:
    """Is malformed, as long as litellm tries to read it."""
    simulator.replay(200, {"content-type": "application/json"}, b"<html>Welcome</html>")

    assert "malformed_response" == (await bridge.query(QUESTION, MODELS[provider]))["error_type"]


async def test_patching_acompletion(bridge: LLMWrapper, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes effect at once, with answers and with litellm's own exceptions."""
    import litellm
    from litellm.types.utils import Choices, Message, ModelResponse, Usage

    async def acompletion(**request: Any) -> ModelResponse:
        if request["model"] == "openai/gpt-4o-mini":
            raise litellm.exceptions.RateLimitError("Slower.", llm_provider="openai", model="gpt-4o-mini")
        choice = Choices(message=Message(content="patched"), finish_reason="stop")
        return ModelResponse(choices=[choice], usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3))

    monkeypatch.setattr(litellm, "acompletion", acompletion)
    response, refused = await bridge.query(QUESTION, "gpt-4o"), await bridge.query(QUESTION, "gpt-4o-mini")

    assert ("patched", 3) == (response["content"], response["metadata"]["usage"]["total_tokens"])
    assert "rate_limit" == refused["error_type"]
    assert [] == simulator.journal


EXCEPTIONS = [
    ("AuthenticationError", {}, "auth_error"),
    ("NotFoundError", {}, "validation_error"),
    ("BadRequestError", {}, "validation_error"),
    ("UnsupportedParamsError", {}, "unsupported_feature"),
    ("ContextWindowExceededError", {}, "context_length_exceeded"),
    ("ContentPolicyViolationError", {}, "content_filter"),
    ("UnprocessableEntityError", {"response": 422}, "validation_error"),
    ("PermissionDeniedError", {"response": 403}, "permission_error"),
    ("PaymentRequiredError", {}, "quota_exceeded"),
    ("RateLimitError", {}, "rate_limit"),
    ("InternalServerError", {}, "server_error"),
    ("BadGatewayError", {}, "server_error"),
    ("ServiceUnavailableError", {}, "overloaded"),
    ("Timeout", {}, "timeout"),
    ("APIConnectionError", {}, "connection_error"),
    ("APIError", {"status_code": 500}, "server_error"),
    ("JSONSchemaValidationError", {"raw_response": "x", "schema": "{}"}, "malformed_response"),
    ("MidStreamFallbackError", {}, "overloaded"),
]


@pytest.mark.parametrize(("name", "fields", "kind"), EXCEPTIONS, ids=[name for name, _, _ in EXCEPTIONS])
async def test_litellms_exceptions(
    bridge: LLMWrapper, monkeypatch: pytest.MonkeyPatch, name: str, fields: dict[str, Any], kind: str
) -> None:
    """One by one, as a patched `acompletion` raises them."""
    import inspect

    import httpx
    import litellm
    import litellm.exceptions

    cls = getattr(litellm.exceptions, name)
    given = {"message": "No.", "llm_provider": "openai", "model": "gpt-4o", **fields}
    if "response" in given:
        given["response"] = httpx.Response(given["response"], request=httpx.Request("POST", "http://127.0.0.1"))
    known = inspect.signature(cls.__init__).parameters
    error = cls(**{field: value for field, value in given.items() if field in known})

    async def acompletion(**_: Any) -> None:
        raise error

    monkeypatch.setattr(litellm, "acompletion", acompletion)

    assert kind == (await bridge.query(QUESTION, "gpt-4o"))["error_type"]
