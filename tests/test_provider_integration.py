"""The provider integration tests of the mission document, finished.

Its first and third example stand here letter for letter; its second, which never installs its delayed function, is
written with `mock_completion.delay`. Wherever a mock would hide something, the provider is the simulator, over HTTP.
"""

# What is letter for letter the document's is neither formatted nor linted nor typed.
# ruff: noqa: F841, I001, W293
# mypy: disable-error-code="no-untyped-def"

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from unittest.mock import MagicMock
from multi_llm_wrapper import AnthropicConfig, LLMWrapper, OpenAIConfig, WrapperConfig
from multi_llm_wrapper import GeminiConfig, GroqConfig, OpenAICompatibleConfig, Response, Timeouts, dialects, errors
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.simulator.journal import JournalEntry, fingerprint
from multi_llm_wrapper.testing import CompletionDouble
from multi_llm_wrapper.types import TextDelta
from multi_llm_wrapper.version import __version__

KEYS = {name: f"test-{name}-key" for name in ("openai", "anthropic", "gemini", "groq")}
MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "groq": "groq/openai/gpt-oss-120b",
}
"""A model of each provider, by the name that a user writes."""
DIALECTS = {"openai": "openai_chat", "anthropic": "anthropic_messages", "gemini": "gemini", "groq": "openai_chat"}
PROMPT = "Why is the sky blue?"


# fmt: off
@pytest.fixture
def test_configs():
    return {"openai": WrapperConfig(openai=OpenAIConfig(api_key="test-openai-key"))}

# Complete caching test implementation
@pytest.mark.asyncio
async def test_caching_mechanism_complete(mock_completion):
    """Complete test for caching mechanism with proper validation."""
    openai_config = OpenAIConfig(api_key="test-openai-key")
    anthropic_config = AnthropicConfig(api_key="test-anthropic-key")
    config = WrapperConfig(openai=openai_config, anthropic=anthropic_config)
    wrapper = LLMWrapper(config=config)
    
    prompt = "This is a test prompt"
    model = "gpt-4"
    
    # First call should hit the API
    response1 = await wrapper.query(prompt, model=model)
    assert mock_completion.call_count == 1
    
    # Second identical call should use cache
    response2 = await wrapper.query(prompt, model=model)
    assert mock_completion.call_count == 1  # No additional calls
    assert response1["content"] == response2["content"]
    
    # Different prompt should hit API again
    response3 = await wrapper.query("Different prompt", model=model)
    assert mock_completion.call_count == 2

@pytest.mark.asyncio
async def test_comprehensive_error_scenarios(mock_completion, test_configs):
    """Test comprehensive error handling scenarios."""
    wrapper = LLMWrapper(config=test_configs["openai"])
    
    # Test malformed response
    mock_completion.side_effect = lambda *args, **kwargs: {
        "invalid": "response"  # Missing expected fields
    }
    response = await wrapper.query("Test prompt", model="gpt-4")
    assert response["status"] == "error"
    assert response["error_type"] == "malformed_response"
    
    # Test partial response
    mock_completion.side_effect = lambda *args, **kwargs: MagicMock(
        choices=[],  # Empty choices
        usage=MagicMock(total_tokens=0)
    )
    response = await wrapper.query("Test prompt", model="gpt-4")
    assert response["status"] == "error"
    assert response["error_type"] == "empty_response"
# fmt: on


@pytest.mark.asyncio
async def test_realistic_response_times(mock_completion: CompletionDouble, test_configs: Any) -> None:
    """Test response times with realistic delays."""
    mock_completion.delay = 0.1  # 100ms base delay

    wrapper = LLMWrapper(config=test_configs["openai"])

    start_time = time.time()
    response = await wrapper.query("Test prompt", model="gpt-4")
    end_time = time.time()

    assert end_time - start_time >= 0.1  # At least 100ms
    assert end_time - start_time < 1.0  # Less than 1 second
    assert 0.1 <= response["metadata"]["response_time"] <= end_time - start_time
    assert wrapper.get_average_response_time("openai") == response["metadata"]["response_time"]


# --- the providers, over HTTP -----------------------------------------------------------------------------------


def configure(simulator: Simulator, **settings: Any) -> WrapperConfig:
    """Every provider at the simulator, each with its own key; no cache unless said otherwise."""
    kinds = {"openai": OpenAIConfig, "anthropic": AnthropicConfig, "gemini": GeminiConfig, "groq": GroqConfig}
    providers: dict[str, Any] = {
        name: kind(api_key=KEYS[name], base_url=simulator.base_url(name)) for name, kind in kinds.items()
    }
    return WrapperConfig(**providers, **{"enable_caching": False, **settings})


def last(simulator: Simulator) -> JournalEntry:
    return simulator.journal[-1]


async def whole_stream(wrapper: LLMWrapper, prompt: Any, model: str, **options: Any) -> Response:
    stream = wrapper.stream(prompt, model, **options)
    async for _ in stream:
        pass
    return stream.response


@pytest.mark.asyncio
async def test_switching_providers(simulator: Simulator) -> None:
    """One wrapper, one kind of answer; each question goes to its own provider, in its own protocol."""
    async with LLMWrapper(configure(simulator)) as wrapper:
        for _ in range(2):
            for provider, model in MODELS.items():
                response = await wrapper.query(PROMPT, model=model)
                assert ("success", provider) == (response["status"], response["provider"]), response["error"]
                assert model.removeprefix("groq/") == response["model"]
                assert PROMPT in response["content"]
                assert "stop" == response["metadata"]["finish_reason"]
                assert DIALECTS[provider] == last(simulator).dialect
    paths = ["/v1/chat/completions", "/v1/messages", "/v1beta/models/gemini-2.5-flash:generateContent"]
    assert [*paths, "/openai/v1/chat/completions"] * 2 == [entry.path for entry in simulator.journal]


@pytest.mark.asyncio
async def test_switching_providers_by_name(simulator: Simulator) -> None:
    """The names of your code, one for each provider, and a default for when none is given."""
    config = configure(simulator, default_model="smart")
    assert config.openai is not None
    assert config.anthropic is not None
    config.openai.model_map = {"fast": "gpt-4o-mini"}
    config.anthropic.model_map = {"smart": "claude-sonnet-4-5"}
    async with LLMWrapper(config) as wrapper:
        asked = [await wrapper.query(PROMPT, model=name) for name in ("fast", "smart", None, "gemini/gemini-2.5-pro")]
    assert [
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-pro"),
    ] == [(response["provider"], response["model"]) for response in asked]


@pytest.mark.asyncio
async def test_switching_providers_in_a_conversation(simulator: Simulator) -> None:
    """What one has said is understood by the next, a tool call and its result included."""
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    async with LLMWrapper(configure(simulator)) as wrapper:
        for first in MODELS.values():
            messages: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather in Paris?"}]
            response = await wrapper.query(messages, model=first, tools=[tool], tool_choice="required")
            assert "tool_calls" == response["metadata"]["finish_reason"], response["error"]
            call = response["tool_calls"][0]
            assert ("weather", str) == (call["name"], type(call["arguments"]["city"]))
            result = {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"}
            for second in MODELS.values():
                response_2 = await wrapper.query([*messages, response.to_message(), result], model=second, tools=[tool])
                assert "success" == response_2["status"], response_2["error"]
                assert b"18 degrees" in last(simulator).body


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_one_answer_streamed_or_not(simulator: Simulator, provider: str) -> None:
    """The same question has the same answer, with the same counts."""
    async with LLMWrapper(configure(simulator)) as wrapper:
        asked = await wrapper.query(PROMPT, model=MODELS[provider])
        streamed = await whole_stream(wrapper, PROMPT, MODELS[provider])
    for name in ("status", "content", "tool_calls", "reasoning", "provider", "model"):
        assert asked[name] == streamed[name]
    for name in ("usage", "finish_reason", "response_model", "response_id"):
        assert asked["metadata"][name] == streamed["metadata"][name]
    assert streamed["metadata"]["time_to_first_token"] is not None


# --- what really goes over the wire -----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_openai_configuration(simulator: Simulator) -> None:
    """Organisation, project and key in their headers; the mapped model and the settings that were given in the body."""
    config = OpenAIConfig(
        api_key=KEYS["openai"],
        base_url=simulator.base_url("openai"),
        organization_id="org-mission",
        project_id="proj-mission",
        headers={"X-Team": "research"},
        model_map={"fast": "gpt-4o-mini"},
    )
    async with LLMWrapper(config) as wrapper:
        response = await wrapper.query(PROMPT, model="fast", temperature=0.2, max_tokens=50, system="Be brief.")
    assert "success" == response["status"], response["error"]
    entry = last(simulator)
    assert {
        "authorization": fingerprint(f"Bearer {KEYS['openai']}"),
        "openai-organization": "org-mission",
        "openai-project": "proj-mission",
        "x-team": "research",
        "user-agent": f"multi-llm-wrapper/{__version__}",
    }.items() <= entry.headers.items()
    assert {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}],
        "temperature": 0.2,
        "max_completion_tokens": 50,
    } == entry.json


@pytest.mark.asyncio
async def test_anthropic_configuration(simulator: Simulator) -> None:
    """Its own headers, `max_tokens` always, the system text beside the messages; nothing of OpenAI's."""
    config = AnthropicConfig(api_key=KEYS["anthropic"], base_url=simulator.base_url("anthropic"))
    async with LLMWrapper(config) as wrapper:
        response = await wrapper.query(PROMPT, model=MODELS["anthropic"], system="Be brief.")
    assert "success" == response["status"], response["error"]
    entry = last(simulator)
    key = {"x-api-key": fingerprint(KEYS["anthropic"]), "anthropic-version": "2023-06-01"}
    assert key.items() <= entry.headers.items()
    assert {"authorization", "openai-organization"}.isdisjoint(entry.headers)
    assert ("Be brief.", [{"role": "user", "content": PROMPT}]) == (entry.json["system"], entry.json["messages"])
    assert entry.json["max_tokens"] >= 4096


@pytest.mark.asyncio
async def test_gemini_configuration(simulator: Simulator) -> None:
    """The model in the path, the key in a header and not in the URL."""
    config = GeminiConfig(api_key=KEYS["gemini"], base_url=simulator.base_url("gemini"))
    async with LLMWrapper(config) as wrapper:
        response = await wrapper.query(PROMPT, model=MODELS["gemini"], system="Be brief.", max_tokens=50)
    assert "success" == response["status"], response["error"]
    entry = last(simulator)
    assert ("/v1beta/models/gemini-2.5-flash:generateContent", "") == (entry.path, entry.query)
    assert fingerprint(KEYS["gemini"]) == entry.headers["x-goog-api-key"]
    assert [{"role": "user", "parts": [{"text": PROMPT}]}] == entry.json["contents"]
    assert 50 == entry.json["generationConfig"]["maxOutputTokens"]


@pytest.mark.asyncio
async def test_compatible_host_configuration(simulator: Simulator) -> None:
    """Any host that speaks OpenAI's protocol, under a name of your own."""
    hosts = {"local": OpenAICompatibleConfig(base_url=simulator.base_url("openai"), api_key="local-key")}
    async with LLMWrapper(WrapperConfig(providers=hosts)) as wrapper:
        response = await wrapper.query(PROMPT, model="local/gpt-4o")
        assert ("success", "local", "gpt-4o") == (response["status"], response["provider"], response["model"])
        assert 1 == wrapper.get_usage_stats()["local"]["requests"]
    assert fingerprint("Bearer local-key") == last(simulator).headers["authorization"]


@pytest.mark.asyncio
async def test_configuration_from_the_environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration: keys and URLs by the vendors' usual variables."""
    for provider in ("openai", "anthropic", "gemini"):
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", KEYS[provider])
        monkeypatch.setenv(f"{provider.upper()}_BASE_URL", simulator.base_url(provider))
    async with LLMWrapper() as wrapper:
        for provider in ("openai", "anthropic", "gemini"):
            response = await wrapper.query(PROMPT, model=MODELS[provider])
            assert ("success", provider) == (response["status"], response["provider"]), response["error"]


@pytest.mark.asyncio
async def test_a_missing_key_is_said_by_name(simulator: Simulator) -> None:
    """Nothing is sent, and the message says which variable to set."""
    async with LLMWrapper(OpenAIConfig(base_url=simulator.base_url("openai"))) as wrapper:
        for model, variable in (("gpt-4o", "OPENAI_API_KEY"), ("claude-sonnet-4-5", "ANTHROPIC_API_KEY")):
            response = await wrapper.query(PROMPT, model=model)
            assert ("error", "auth_error") == (response["status"], response["error_type"])
            assert variable in response["error"]
    assert [] == simulator.journal


# --- usage ------------------------------------------------------------------------------------------------------

COUNTS: dict[str, Callable[[dict[str, Any]], tuple[int, int]]] = {
    "openai": lambda raw: (raw["prompt_tokens"], raw["completion_tokens"]),
    "groq": lambda raw: (raw["prompt_tokens"], raw["completion_tokens"]),
    "anthropic": lambda raw: (
        raw["input_tokens"] + (raw.get("cache_read_input_tokens") or 0) + (raw.get("cache_creation_input_tokens") or 0),
        raw["output_tokens"],
    ),
    "gemini": lambda raw: (
        raw["promptTokenCount"],
        raw.get("candidatesTokenCount", 0) + raw.get("thoughtsTokenCount", 0),
    ),
}
"""The provider's own counts as input and output."""


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_usage_is_what_the_provider_said(simulator: Simulator, provider: str) -> None:
    """To the token, call by call and in the sum, streamed or not, whatever the provider calls it."""
    prompts = ["Hi", PROMPT, "Tell me a story. " * 50, "日本語で答えて。"]
    spent = {"requests": 0, "tokens": 0, "input_tokens": 0, "output_tokens": 0, "errors": 0}
    async with LLMWrapper(configure(simulator)) as wrapper:
        for prompt in prompts:
            asked = await wrapper.query(prompt, model=MODELS[provider])
            streamed = await whole_stream(wrapper, prompt, MODELS[provider])
            for response in (asked, streamed):
                usage = response["metadata"]["usage"]
                inside, outside = COUNTS[provider](response["metadata"]["raw_usage"])
                assert (inside, outside, inside + outside) == (
                    usage["input_tokens"],
                    usage["output_tokens"],
                    usage["total_tokens"],
                )
                assert inside > 0
                assert outside > 0
                for name, value in (("requests", 1), ("tokens", inside + outside)):
                    spent[name] += value
                spent["input_tokens"] += inside
                spent["output_tokens"] += outside
        stats = wrapper.get_usage_stats()
    assert spent == {name: stats[provider][name] for name in spent}
    assert {0} == {stats[other]["requests"] for other in MODELS if other != provider}


@pytest.mark.asyncio
async def test_usage_of_errors_and_cancelled_calls(simulator: Simulator) -> None:
    """A failed call is one request and one error; what was refused unsent is neither."""
    simulator.replay(400, {"content-type": "application/json"}, b'{"error": {"message": "no"}}')
    async with LLMWrapper(configure(simulator)) as wrapper:
        await wrapper.query(PROMPT, model="gpt-4o")
        await wrapper.query("", model="gpt-4o")
        stats = wrapper.get_usage_stats()["openai"]
        assert (1, 1, 0) == (stats["requests"], stats["errors"], stats["tokens"])


@pytest.mark.asyncio
async def test_usage_statistics_are_yours_to_change(simulator: Simulator) -> None:
    """What was handed out is a copy, so the wrapper's own counts stay right."""
    async with LLMWrapper(configure(simulator)) as wrapper:
        await wrapper.query(PROMPT, model="gpt-4o")
        before = wrapper.get_usage_stats()
        wrapper.get_usage_stats()["openai"]["requests"] = 1000
        assert before == wrapper.get_usage_stats()


# --- time -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_response_times_are_measured(simulator: Simulator) -> None:
    """By provider, as the mean of its own calls, and not less than the provider really took."""
    async with LLMWrapper(configure(simulator)) as wrapper:
        assert 0.0 == wrapper.get_average_response_time("openai")
        simulator.first_token = 0.05
        slow = [await wrapper.query(PROMPT, model="gpt-4o") for _ in range(3)]
        simulator.first_token = 0.0
        quick = [await wrapper.query(PROMPT, model="claude-sonnet-4-5") for _ in range(3)]
        for provider, responses in (("openai", slow), ("anthropic", quick)):
            times = [response["metadata"]["response_time"] for response in responses]
            assert pytest.approx(sum(times) / len(times)) == wrapper.get_average_response_time(provider)
        assert 0.05 <= min(response["metadata"]["response_time"] for response in slow)
        assert 0.0 == wrapper.get_average_response_time("gemini")


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_time_to_first_token(simulator: Simulator, provider: str) -> None:
    """The wait for the first token and the wait for the rest are told apart."""
    simulator.first_token, simulator.pace = 0.05, 0.002
    async with LLMWrapper(configure(simulator)) as wrapper:
        streamed = await whole_stream(wrapper, PROMPT, MODELS[provider])
    facts = streamed["metadata"]
    assert 0.05 <= facts["time_to_first_token"] < facts["response_time"]
    assert facts["response_time"] - facts["time_to_first_token"] > 0.05


# --- continuous use ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_stability_under_continuous_use(simulator: Simulator) -> None:
    """Hundreds of calls and streams over HTTP: all good, all counted, and no memory that grows."""
    calls = 0

    async def use(rounds: int) -> None:
        nonlocal calls
        for number in range(rounds):
            for model in MODELS.values():
                prompt = f"Question {number % 7}"
                response = await wrapper.query(prompt, model=model)
                assert "success" == response["status"], response["error"]
                assert "success" == (await whole_stream(wrapper, prompt, model))["status"]
                calls += 2

    def memory() -> int:
        simulator.reset()  # the journal keeps what it was asked
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async with LLMWrapper(configure(simulator)) as wrapper:
        await use(5)
        tracemalloc.start()
        try:
            await use(5)
            before = memory()
            await use(30)
            grown = memory() - before
        finally:
            tracemalloc.stop()
        stats = wrapper.get_usage_stats()
    assert 320 == calls == sum(counts["requests"] for counts in stats.values())
    assert 0 == sum(counts["errors"] for counts in stats.values())
    assert grown < 64 * 1024, f"{grown} bytes more after 240 calls"


@pytest.mark.asyncio
async def test_stability_while_providers_fail(simulator: Simulator) -> None:
    """Every third request fails; every call succeeds, because it is tried again."""
    count = 0

    def every_third(_: Any) -> bool:
        nonlocal count
        count += 1
        return count % 3 == 0

    headers = {"content-type": "application/json", "retry-after-ms": "1"}
    simulator.replay(503, headers, b'{"error": {"message": "busy"}}', match=every_third, times=None)
    async with LLMWrapper(configure(simulator)) as wrapper:
        for number in range(15):
            for model in MODELS.values():
                response = await wrapper.query(f"Question {number}", model=model)
                assert "success" == response["status"], response["error"]
        stats = wrapper.get_usage_stats()
    assert {(15, 0)} == {(stats[name]["requests"], stats[name]["errors"]) for name in MODELS}
    assert len(simulator.journal) > 60


# --- edge cases -------------------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[errors.LLMError, str]] = {
    "authentication": (errors.AuthError("Invalid API key", status_code=401), "auth_error"),
    "permission": (errors.PermissionDeniedError("Not allowed", status_code=403), "permission_error"),
    "rate limit": (errors.RateLimitError("Too many requests", status_code=429), "rate_limit"),
    "bad request": (errors.ValidationError("Bad request", status_code=400), "validation_error"),
    "too large": (errors.RequestTooLargeError("Too large", status_code=413), "request_too_large"),
    "server error": (errors.ServerError("Internal error", status_code=500), "server_error"),
    "overloaded": (errors.OverloadedError("Overloaded", status_code=503), "overloaded"),
}
"""What a provider answers -> the class."""


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_errors_in_the_providers_own_words(simulator: Simulator, provider: str, failure: str) -> None:
    """Each provider has its own error body; the class, the status and the message come out the same."""
    error, error_type = FAILURES[failure]
    wire = dialects.get(DIALECTS[provider]).encode_error(error)
    simulator.replay(wire.status, wire.headers, wire.body, times=None)
    async with LLMWrapper(configure(simulator, max_retries=0)) as wrapper:
        asked = await wrapper.query(PROMPT, model=MODELS[provider])
        streamed = await whole_stream(wrapper, PROMPT, MODELS[provider])
    for response in (asked, streamed):
        assert ("error", error_type, None) == (response["status"], response["error_type"], response["content"])
        assert error.status_code == response["metadata"]["status_code"]
        assert error.message in response["error"]
        assert provider == response["provider"]


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_a_provider_that_takes_too_long(simulator: Simulator, provider: str) -> None:
    """The call ends at its limit, and the connection with it."""
    simulator.first_token = 30.0
    async with LLMWrapper(configure(simulator)) as wrapper:
        start_time = time.monotonic()
        response = await wrapper.query(PROMPT, model=MODELS[provider], timeout=0.1)
        assert 0.1 <= time.monotonic() - start_time < 5.0
        assert ("error", "timeout", True) == (
            response["status"],
            response["error_type"],
            response["metadata"]["retryable"],
        )
        limits = Timeouts(first_token=0.1)
        response = await whole_stream(wrapper, PROMPT, MODELS[provider], timeouts=limits, max_retries=0)
        assert ("error", "timeout") == (response["status"], response["error_type"])
    assert await asyncio.to_thread(simulator.wait_for, lambda journal: all(entry.hung_up for entry in journal))


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_a_model_that_does_not_exist(simulator: Simulator, provider: str) -> None:
    """Said by the provider, not guessed by us."""
    async with LLMWrapper(configure(simulator)) as wrapper:
        response = await wrapper.query(PROMPT, model=f"{provider}/no-such-model")
    assert ("error", "model_not_found", 404) == (
        response["status"],
        response["error_type"],
        response["metadata"]["status_code"],
    )
    assert "no-such-model" in response["error"]
    assert 1 == len(simulator.journal)


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_unusual_prompts(simulator: Simulator, provider: str) -> None:
    """Whatever is text goes through unharmed: other scripts, quotes, control characters, a hundred thousand letters."""
    prompts = ["x", "🌍 Grüße, 世界", 'Say "no" \\ and\nstop\t.', "\x00\x01", "lorem ipsum " * 10_000]
    async with LLMWrapper(configure(simulator)) as wrapper:
        for prompt in prompts:
            response = await wrapper.query(prompt, model=MODELS[provider])
            assert "success" == response["status"], response["error"]
            assert prompt in list(_strings(last(simulator).json))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


@pytest.mark.asyncio
async def test_bad_input_is_refused_unsent(simulator: Simulator) -> None:
    """The message names the field, and nothing is sent."""
    bad: list[tuple[Any, dict[str, Any], str]] = [
        ("", {}, "prompt"),
        ("   ", {}, "prompt"),
        ([], {}, "prompt"),
        (42, {}, "prompt"),
        ([{"role": "wizard", "content": "x"}], {}, "messages[0]"),
        ([{"role": "tool", "content": "x", "tool_call_id": "1"}], {}, "messages[0].tool_call_id"),
        (PROMPT, {"temperature": 3}, "temperature"),
        (PROMPT, {"max_tokens": 0}, "max_tokens"),
        (PROMPT, {"timeout": -1}, "timeout"),
    ]
    async with LLMWrapper(configure(simulator)) as wrapper:
        for model in MODELS.values():
            for prompt, options, field in bad:
                response = await wrapper.query(prompt, model=model, **options)
                assert ("error", "validation_error") == (response["status"], response["error_type"])
                assert field in response["error"]
        assert {0} == {counts["requests"] for counts in wrapper.get_usage_stats().values()}
    assert [] == simulator.journal


# --- malformed and empty ----------------------------------------------------------------------------------------

EMPTY = {
    "openai": b'{"id": "1", "object": "chat.completion", "model": "m", "choices": []}',
    "anthropic": b'{"id": "1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}',
    "gemini": b'{"candidates": [], "usageMetadata": {"promptTokenCount": 3}}',
    "groq": b'{"id": "1", "object": "chat.completion", "model": "m", "choices": []}',
}
"""A reply of each provider that is well formed and has no answer in it."""
MALFORMED = [
    b"",
    b"OK",
    b"<html><body>Sign in to the proxy</body></html>",
    b'{"invalid": "response"}',
    b"[]",
    b"null",
    b'{"choices": {"a": 1}, "content": {"a": 1}, "candidates": {"a": 1}}',
    b'{"choices": [{"message": 5}], "content": [5], "candidates": [5]}',
    b'{"choices": [',
    b"\xff\xfe\x00",
]


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_malformed_responses(simulator: Simulator, provider: str) -> None:
    """Classed as what they are, streamed or not, and never an exception."""
    async with LLMWrapper(configure(simulator, max_retries=0)) as wrapper:
        for body in MALFORMED:
            simulator.replay(200, {"content-type": "application/json"}, body, times=2)
            asked = await wrapper.query(PROMPT, model=MODELS[provider])
            assert ("error", "malformed_response") == (asked["status"], asked["error_type"]), body
            streamed = await whole_stream(wrapper, PROMPT, MODELS[provider])
            assert "error" == streamed["status"]
            assert streamed["error_type"] in ("malformed_response", "incomplete_stream"), body
            assert asked["metadata"]["retryable"]


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_empty_responses(simulator: Simulator, provider: str) -> None:
    """A reply without any answer is not a success with an empty text."""
    simulator.replay(200, {"content-type": "application/json"}, EMPTY[provider], times=None)
    async with LLMWrapper(configure(simulator, max_retries=0)) as wrapper:
        for response in (
            await wrapper.query(PROMPT, model=MODELS[provider]),
            await whole_stream(wrapper, PROMPT, MODELS[provider]),
        ):
            assert ("error", "empty_response", None) == (
                response["status"],
                response["error_type"],
                response["content"],
            )


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_streams_that_break_off(simulator: Simulator, provider: str) -> None:
    """The text that came is kept, and nothing is said to be whole."""
    async with LLMWrapper(configure(simulator)) as wrapper:
        asked = await wrapper.query(PROMPT, model=MODELS[provider], max_retries=0)
        encoder = dialects.get(DIALECTS[provider]).encoder(response_id="1", model="m", created=1)
        chunks = [encoder.start(), encoder.event(TextDelta("Half an"))]
        simulator.replay(200, {"content-type": "text/event-stream"}, chunks=chunks)
        broken = await whole_stream(wrapper, PROMPT, MODELS[provider])
    assert "success" == asked["status"]
    assert ("error", "incomplete_stream", "Half an") == (broken["status"], broken["error_type"], broken["content"])
    assert 1 == broken["metadata"]["attempts"]


# --- caching ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("provider", MODELS)
async def test_caching_over_http(simulator: Simulator, provider: str) -> None:
    """The same question is sent once; a different one, and the same to another provider, are sent."""
    async with LLMWrapper(configure(simulator, enable_caching=True)) as wrapper:
        first = await wrapper.query(PROMPT, model=MODELS[provider])
        second = await wrapper.query(PROMPT, model=MODELS[provider])
        assert 1 == len(simulator.journal)
        assert (first["content"], first["metadata"]["usage"]) == (second["content"], second["metadata"]["usage"])
        assert ([False, True], [1, 0]) == (
            [r["metadata"]["cached"] for r in (first, second)],
            [r["metadata"]["attempts"] for r in (first, second)],
        )
        assert 1 == wrapper.get_usage_stats()[provider]["requests"]
        assert wrapper.get_average_response_time(provider) == first["metadata"]["response_time"]

        for changed in ({"temperature": 0.1}, {"max_tokens": 9}, {"cache": False}, {"cache": "refresh"}):
            before = len(simulator.journal)
            await wrapper.query(PROMPT, model=MODELS[provider], **changed)
            assert before + 1 == len(simulator.journal), changed
        for other in MODELS.values():
            assert (await wrapper.query(PROMPT, model=other))["metadata"]["cached"] is (other == MODELS[provider])


# --- many at once -----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_concurrent_requests(simulator: Simulator) -> None:
    """A hundred calls to four providers at once take little longer than one, and nobody gets another's answer."""
    simulator.first_token = 0.1
    async with LLMWrapper(configure(simulator)) as wrapper:
        questions = [(f"What is {number}?", model) for number in range(25) for model in MODELS.values()]
        start_time = time.monotonic()
        responses = await asyncio.gather(*(wrapper.query(prompt, model=model) for prompt, model in questions))
        assert 0.1 <= time.monotonic() - start_time < 5.0
        stats = wrapper.get_usage_stats()
    for (prompt, model), response in zip(questions, responses, strict=True):
        assert "success" == response["status"], response["error"]
        assert (prompt, True) == (prompt, prompt in response["content"])
        assert model.removeprefix("groq/") == response["model"]
    assert {(25, 0)} == {(stats[name]["requests"], stats[name]["errors"]) for name in MODELS}
    assert sum(r["metadata"]["usage"]["total_tokens"] for r in responses) == sum(s["tokens"] for s in stats.values())


@pytest.mark.asyncio
async def test_concurrent_streams(simulator: Simulator) -> None:
    """Interleaved in time, apart in content."""
    simulator.pace = 0.001
    async with LLMWrapper(configure(simulator)) as wrapper:
        questions = [(f"What is {number}?", model) for number in range(10) for model in MODELS.values()]
        alone = [await wrapper.query(prompt, model=model) for prompt, model in questions[:4]]
        together = await asyncio.gather(*(whole_stream(wrapper, prompt, model) for prompt, model in questions))
    assert {"success"} == {response["status"] for response in together}
    assert [response["content"] for response in alone] == [response["content"] for response in together[:4]]
    for (prompt, _), response in zip(questions, together, strict=True):
        assert prompt in response["content"]


# --- cleaning up ------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_cleaning_up(simulator: Simulator) -> None:
    """After the block there is no task and no connection, whatever was under way: calls, streams, one never begun."""
    tasks = asyncio.all_tasks()
    async with LLMWrapper(configure(simulator)) as wrapper:
        for model in MODELS.values():
            await wrapper.query(PROMPT, model=model)
        simulator.pace = 0.5
        stream = wrapper.stream(PROMPT, "gpt-4o")
        await anext(stream)
        wrapper.stream(PROMPT, "gpt-4o")
        waiting = asyncio.create_task(wrapper.query(PROMPT, model="claude-sonnet-4-5"))
        assert await asyncio.to_thread(simulator.wait_for, lambda journal: len(journal) == 6)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stream.aclose()
    assert await asyncio.to_thread(simulator.wait_for, lambda journal: all(e.done or e.hung_up for e in journal))
    assert [False] * 4 + [True] * 2 == [entry.hung_up for entry in simulator.journal]
    assert set() == {task for task in asyncio.all_tasks() - tasks if not task.done()}


def test_cleaning_up_without_being_asked(simulator: Simulator) -> None:
    """A script that closes nothing leaves nothing open, run after run (and a warning would be an error here)."""
    wrapper = LLMWrapper(configure(simulator))

    async def script() -> str:
        async for _ in wrapper.stream(PROMPT, "gemini-2.5-flash"):
            break
        return str((await wrapper.query(PROMPT, model="gpt-4o"))["status"])

    assert ["success"] * 3 == [asyncio.run(script()) for _ in range(3)]
    gc.collect()
    assert 6 == sum(counts["requests"] for counts in wrapper.get_usage_stats().values())
