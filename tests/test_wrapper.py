"""The front door over real sockets: what goes out, what is tried again, what is counted, and what is left behind."""

import asyncio
import time
from typing import Any

import pytest

from multi_llm_wrapper import (
    AnthropicConfig,
    GeminiConfig,
    GroqConfig,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    Response,
    ResponseStream,
    Timeouts,
    WrapperConfig,
    wrapper,
)
from multi_llm_wrapper.clock import SystemClock
from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.errors import AuthError, RateLimitError, UnsupportedFeatureError, ValidationError
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.testing import CompletionDouble
from multi_llm_wrapper.transport.base import HTTPRequest
from multi_llm_wrapper.types import ChatRequest, WireRequest
from multi_llm_wrapper.version import __version__
from tests.servers import (
    CLOSE,
    HANG,
    HELLO,
    KEY,
    PROMPTLY,
    RESET,
    RawServer,
    Request,
    Step,
    completion,
    config,
    delta,
    error_body,
    head,
    serve,
    sse,
    stream,
    unused_port,
    whole,
)
from tests.test_attempt import LONG, SHORT

OK = whole(completion())
BUSY = whole(error_body(), 500)
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hello you"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "Hello you"}], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6},
}


def now() -> float:
    return asyncio.get_running_loop().time()


def llm_at(server: RawServer, **settings: Any) -> LLMWrapper:
    return LLMWrapper(config(server, **settings))


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("multi_llm_wrapper.policies.budget.FIRST_BACKOFF", 0.0)


# --- over the wire ----------------------------------------------------------------------------------------------


async def asked(settings: WrapperConfig, server: RawServer, model: str, **options: Any) -> Request:
    async with LLMWrapper(settings) as llm:
        response = await llm.query("Hello", model, **options)
    assert "success" == response.status, response.error
    return server.requests[-1]


@pytest.mark.asyncio
async def test_openai_over_the_wire() -> None:
    """Everything that the configuration and the call say reaches the server, each at its place."""
    async with serve(OK) as server:
        settings = config(
            server,
            organization_id="org-1",
            project_id="proj-1",
            model_map={"fast": "gpt-4o-mini"},
            headers={"X-Team": "a", "X-Both": "config"},
        )
        request = await asked(
            settings,
            server,
            "fast",
            temperature=0.5,
            extra_headers={"X-Call": "b", "x-both": "call"},
            extra_body={"store": True, "metadata": {"k": "v"}},
        )

    assert ("POST", "/v1/chat/completions") == (request.method, request.target)
    assert {
        "host": f"127.0.0.1:{server.port}",
        "authorization": f"Bearer {KEY}",
        "openai-organization": "org-1",
        "openai-project": "proj-1",
        "content-type": "application/json",
        "user-agent": f"multi-llm-wrapper/{__version__}",
        "x-team": "a",
        "x-both": "call",
        "x-call": "b",
    }.items() <= request.headers.items()
    assert {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "store": True,
        "metadata": {"k": "v"},
    } == request.json


@pytest.mark.asyncio
@pytest.mark.parametrize("version", ["", "/v1"])
async def test_anthropic_over_the_wire(version: str) -> None:
    """Key and version in its own headers, `max_tokens` always; a version that the base URL ends with is no harm."""
    async with serve(whole(CLAUDE)) as server:
        settings = AnthropicConfig(api_key=KEY, base_url=f"{server.url}/proxy{version}", api_version="2099-01-01")
        request = await asked(WrapperConfig(anthropic=settings), server, "claude-sonnet-4-5", system="Be brief.")

    assert "/proxy/v1/messages" == request.target
    assert {"x-api-key": KEY, "anthropic-version": "2099-01-01"}.items() <= request.headers.items()
    assert "authorization" not in request.headers
    assert ("claude-sonnet-4-5", "Be brief.") == (request.json["model"], request.json["system"])
    assert request.json["max_tokens"] > 0


@pytest.mark.asyncio
async def test_anthropic_has_a_version_of_its_own() -> None:
    """Where none is configured, the header names the version that we speak."""
    async with serve(whole(CLAUDE)) as server:
        settings = WrapperConfig(anthropic=AnthropicConfig(api_key=KEY, base_url=server.url))
        assert "2023-06-01" == (await asked(settings, server, "claude-sonnet-4-5")).headers["anthropic-version"]


@pytest.mark.asyncio
@pytest.mark.parametrize("version", ["", "/v1beta"])
async def test_gemini_over_the_wire(version: str) -> None:
    """The model stands in the path, the key in a header and never in the URL."""
    async with serve(whole(GEMINI)) as server:
        settings = WrapperConfig(gemini=GeminiConfig(api_key=KEY, base_url=server.url + version))
        request = await asked(settings, server, "gemini-2.5-flash")

    assert "/v1beta/models/gemini-2.5-flash:generateContent" == request.target
    assert KEY == request.headers["x-goog-api-key"]
    assert [{"role": "user", "parts": [{"text": "Hello"}]}] == request.json["contents"]


@pytest.mark.asyncio
async def test_gemini_streams_as_events() -> None:
    """Another method of the same model, and `alt=sse`, without which it would send no events."""
    async with serve(stream(sse(GEMINI))) as server:
        async with LLMWrapper(GeminiConfig(api_key=KEY, base_url=server.url)) as llm:
            async for _ in llm.stream("Hello", "gemini-2.5-flash"):
                pass
        assert "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse" == server.requests[0].target


@pytest.mark.asyncio
async def test_groq_over_the_wire() -> None:
    """The first segment of the name is the provider; the rest, slash and all, is its model."""
    async with serve(OK) as server:
        settings = WrapperConfig(groq=GroqConfig(api_key=KEY, base_url=server.base_url))
        request = await asked(settings, server, "groq/openai/gpt-oss-120b", max_tokens=9)
    assert ("openai/gpt-oss-120b", 9) == (request.json["model"], request.json["max_completion_tokens"])


@pytest.mark.asyncio
async def test_a_host_without_a_key_gets_none() -> None:
    """The key of another provider does not go there either."""
    async with serve(OK) as server:
        local = {"local": OpenAICompatibleConfig(base_url=f"{server.url}/api/v1")}
        request = await asked(WrapperConfig(openai=OpenAIConfig(api_key=KEY), providers=local), server, "local/llama3")
    assert ("/api/v1/chat/completions", "llama3") == (request.target, request.json["model"])
    assert KEY not in str(request.headers)


@pytest.mark.asyncio
async def test_a_key_of_the_call_goes_first() -> None:
    """Before that of the configuration, so that one wrapper can serve several accounts."""
    async with serve(OK) as server:
        request = await asked(config(server), server, "gpt-4o", api_key="sk-of-the-call")
        assert "Bearer sk-of-the-call" == request.headers["authorization"]


@pytest.mark.asyncio
async def test_keys_and_urls_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the variables are set, an empty configuration is enough."""
    async with serve(OK) as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert f"Bearer {KEY}" == (await asked(WrapperConfig(), server, "gpt-4o")).headers["authorization"]


@pytest.mark.asyncio
async def test_a_change_of_the_configuration_counts_from_the_next_call() -> None:
    """Nothing that is sent was fixed when the wrapper was built."""
    async with serve(OK) as server, llm_at(server) as llm:
        assert llm.config.openai is not None
        for organization in ("org-1", "org-2"):
            llm.config.openai.organization_id = organization
            await llm.query("Hello", "gpt-4o")
            assert organization == server.requests[-1].headers["openai-organization"]


@pytest.mark.asyncio
async def test_connections_are_shared_by_calls() -> None:
    """Kept alive from one call to the next, and as many as there are calls at once."""
    async with serve(OK) as server, llm_at(server) as llm:
        for _ in range(3):
            await llm.query("Hello", "gpt-4o")
        assert 1 == len(server.connections)
        await asyncio.gather(*(llm.query("Hello", "gpt-4o") for _ in range(150)))
        assert 100 < len(server.connections) <= 150


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["config", "environment"])
async def test_a_proxy_carries_the_request(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the whole URL, whether the configuration or the environment names it."""
    async with serve(OK) as proxy:
        if way == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
        settings = config(proxy, base_url="http://llm.elsewhere.test/v1", proxy=proxy.url if way == "config" else None)
        request = await asked(settings, proxy, "gpt-4o")
        assert "http://llm.elsewhere.test/v1/chat/completions" == request.target


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("prompt", "model", "options", "error_type", "said"),
    [
        ("", "gpt-4o", {}, "validation_error", "prompt is empty"),
        ([{"role": "wizard", "content": "x"}], "gpt-4o", {}, "validation_error", "messages[0]"),
        ("Hello", None, {}, "validation_error", "default_model"),
        ("Hello", "no-such-model", {}, "validation_error", "model_map"),
        ("Hello", "gpt-4o", {"temperature": 9}, "validation_error", "temperature"),
        ("Hello", "gpt-4o", {"extra_body": {"x": object()}}, "validation_error", "extra_body"),
        ("Hello", "gpt-4o", {"api_key": "two\nlines"}, "validation_error", "api_key"),
        ("\ud800", "gpt-4o", {}, "validation_error", "surrogate"),
        ("x" * (33 * 1024 * 1024), "gpt-4o", {}, "validation_error", "33"),
        ("Hello", "claude-sonnet-4-5", {}, "auth_error", "ANTHROPIC_API_KEY"),
        ("Hello", "perplexity/sonar", {}, "unsupported_feature", "perplexity"),
    ],
)
async def test_bad_input_is_an_error_and_nothing_is_sent(
    prompt: Any, model: str | None, options: Any, error_type: str, said: str
) -> None:
    """It says what is wrong and that the client refused it, and it counts as no request."""
    async with serve(OK) as server, llm_at(server) as llm:
        response = await llm.query(prompt, model, **options)
        assert ("error", error_type, []) == (response.status, response.error_type, server.requests)
        assert said in (response.error or "")
        assert ("client", 0) == (response.metadata["rejected_by"], response.metadata["attempts"])
        assert 0 == llm.get_usage_stats()["openai"]["requests"]


@pytest.mark.asyncio
async def test_what_a_model_refuses_is_refused_or_dropped() -> None:
    """By the caller's choice; what cannot be left out without changing the question is never dropped."""
    async with serve(OK) as server, llm_at(server) as llm:
        response = await llm.query("Hello", "o3", temperature=0.5)
        assert ("error", "unsupported_feature", []) == (response.status, response.error_type, server.requests)
        assert "drop_unsupported" in (response.error or "")

        response = await llm.query("Hello", "o3", temperature=0.5, drop_unsupported=True)
        assert ("success", ["temperature"]) == (response.status, response.metadata["dropped_params"])
        assert "temperature" not in server.requests[0].json

        llm.config.drop_unsupported = True
        response = await llm.query("Hello", "o3", top_p=0.5, stop="x")
        assert ["stop", "top_p"] == sorted(response.metadata["dropped_params"])


@pytest.mark.asyncio
async def test_what_a_protocol_has_no_words_for_is_refused_or_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialect names the setting by the code of its error."""
    real = openai_chat.encode_request

    def without_seed(request: ChatRequest, *arguments: Any) -> WireRequest:
        if request.seed is not None:
            raise UnsupportedFeatureError("No words for a seed.", code="seed")
        if request.tools is not None:
            raise UnsupportedFeatureError("No words for tools.", code="tools")
        return real(request, *arguments)

    monkeypatch.setattr(openai_chat, "encode_request", without_seed)
    tools = [{"type": "function", "function": {"name": "f"}}]
    async with serve(OK) as server, llm_at(server) as llm:
        for options in ({"seed": 1}, {"tools": tools, "drop_unsupported": True}):
            response = await llm.query("Hello", "gpt-4o", **options)
            facts = response.metadata
            assert ("error", "unsupported_feature", "client") == (
                response.status,
                response.error_type,
                facts["rejected_by"],
            )
        assert [] == server.requests
        response = await llm.query("Hello", "gpt-4o", seed=1, drop_unsupported=True)
        assert ("success", ["seed"]) == (response.status, response.metadata["dropped_params"])


@pytest.mark.asyncio
async def test_an_unknown_option_is_a_type_error() -> None:
    """A slip of the pen is a mistake in the program and no answer of a provider, so it is raised."""
    with pytest.raises(TypeError, match="temprature"):
        await LLMWrapper().query("Hello", "gpt-4o", temprature=1)  # type: ignore[call-overload]  # wrong on purpose


def test_a_configuration_of_one_provider_is_enough() -> None:
    """And what is no configuration is refused by name."""
    assert LLMWrapper(OpenAIConfig(api_key=KEY)).config.openai is not None
    assert isinstance(LLMWrapper().config, WrapperConfig)
    with pytest.raises(ValueError, match="config is a dict"):
        LLMWrapper({"openai": {}})  # type: ignore[arg-type]  # wrong on purpose


# --- again ------------------------------------------------------------------------------------------------------


async def ask(*replies: Any, **settings: Any) -> tuple[Response, RawServer]:
    async with serve(*replies) as server, llm_at(server, **settings) as llm:
        return await llm.query("Hello", "gpt-4o"), server


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [BUSY, whole(b"", 503), whole(b"OK"), [CLOSE], [RESET], whole({"choices": []})])
async def test_what_may_go_better_is_tried_again(failure: list[Step], no_backoff: None) -> None:
    """Up to the number of retries; the response tells what happened."""
    response, server = await ask(failure, failure, OK, max_retries=2)
    assert ("success", 3, 3) == (response.status, response.metadata["attempts"], len(server.requests))
    details = response.metadata["attempts_detail"]
    assert [False, False, True] == [detail["error_type"] is None for detail in details]
    assert [0.0, 0.0, None] == [detail["wait"] for detail in details]
    assert all(0 <= detail["duration"] < LONG for detail in details)
    assert all(("openai", "gpt-4o") == (detail["provider"], detail["model"]) for detail in details)
    assert 1 == len({request.body for request in server.requests})


@pytest.mark.asyncio
async def test_retries_come_to_an_end(no_backoff: None) -> None:
    """Two unless said otherwise; the last failure is the answer."""
    for settings, attempts in (({"max_retries": None}, 3), ({"max_retries": 0}, 1), ({"max_retries": 4}, 5)):
        response, server = await ask(BUSY, **settings)
        assert ("error", "server_error") == (response.status, response.error_type)
        assert (attempts, attempts) == (response.metadata["attempts"], len(server.requests))


@pytest.mark.asyncio
async def test_max_retries_of_the_call_goes_first(no_backoff: None) -> None:
    """Before that of the configuration."""
    async with serve(BUSY) as server, llm_at(server, max_retries=5) as llm:
        response = await llm.query("Hello", "gpt-4o", max_retries=1)
        assert 2 == response.metadata["attempts"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "code"),
    [(400, None), (401, None), (403, None), (404, "model_not_found"), (429, "insufficient_quota"), (413, None)],
)
async def test_what_will_fail_again_is_not_tried_again(status: int, code: str | None) -> None:
    """The first error is the answer, and says that another try is of no use."""
    response, server = await ask(whole(error_body(code=code), status), OK, max_retries=2)
    assert ("error", False, 1) == (response.status, response.metadata["retryable"], len(server.requests))


@pytest.mark.asyncio
async def test_the_latest_wait_that_was_asked_for_is_kept() -> None:
    """In full, and of the latest failure, not of the first."""
    waits = [whole(error_body(), 429, {"retry-after-ms": wait}) for wait in ("20", "80")]
    times: list[float] = []

    def timed(request: Request) -> list[Step]:
        times.append(now())
        return ([*waits, OK])[len(times) - 1]

    response, _ = await ask(timed, max_retries=2)
    assert [0.02, 0.08, None] == [detail["wait"] for detail in response.metadata["attempts_detail"]]
    assert "success" == response.status
    assert 0.02 <= times[1] - times[0]
    assert 0.08 <= times[2] - times[1] < LONG


@pytest.mark.asyncio
@pytest.mark.parametrize(("retry_after", "settings"), [("61", {}), ("2", {"timeout_seconds": 1.0})])
async def test_a_wait_that_is_too_long_ends_the_call(retry_after: str, settings: dict[str, Any]) -> None:
    """At once: longer than a minute, or than the time of the call. The caller is told how long it would have been."""
    response, server = await ask(whole(error_body(), 429, {"retry-after": retry_after}), OK, max_retries=2, **settings)
    assert ("error", "rate_limit", 1) == (response.status, response.error_type, len(server.requests))
    assert float(retry_after) == response.metadata["retry_after"]


@pytest.mark.asyncio
async def test_back_off_doubles_with_full_jitter() -> None:
    """The clock of the wrapper waits; here it only writes down for how long."""

    class Recorder(SystemClock):
        def __init__(self) -> None:
            self.slept: list[float] = []

        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)

    clock = Recorder()
    async with serve(BUSY) as server, LLMWrapper(config(server, max_retries=3), clock=clock) as llm:
        for _ in range(20):
            await llm.query("Hello", "gpt-4o")
    for place, ceiling in enumerate((0.5, 1.0, 2.0)):
        waits = clock.slept[place::3]
        assert all(0 <= wait <= ceiling for wait in waits)
        assert 0.5 * ceiling < max(waits)
        assert 20 == len(set(waits))


@pytest.mark.asyncio
async def test_an_attempt_that_takes_too_long_is_tried_again(no_backoff: None) -> None:
    """Its limit ends the attempt and not the call; the details say why."""
    response, _ = await ask([HANG], OK, max_retries=1, timeouts=Timeouts(attempt=SHORT))
    assert ("success", 2) == (response.status, response.metadata["attempts"])
    assert "timeout" == response.metadata["attempts_detail"][0]["error_type"]


@pytest.mark.asyncio
async def test_the_total_covers_all_attempts_and_waits() -> None:
    """Retries go on as long as there is time, and the last failure is the answer."""
    began = now()
    again = whole(error_body(), 500, {"retry-after-ms": "200"})
    response, server = await ask(again, max_retries=50, timeouts=Timeouts(total=0.7))
    assert now() - began < LONG
    assert ("error", "server_error") == (response.status, response.error_type)
    assert 2 <= len(server.requests) <= 4


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_connection_that_died_in_the_pool_costs_no_retry(end: Step) -> None:
    """It is replaced at once; `attempts` says that two requests were sent."""
    async with serve(OK, [end], OK) as server, llm_at(server, max_retries=0) as llm:
        await llm.query("Hello", "gpt-4o")
        response = await llm.query("Hello again", "gpt-4o")
        assert ("success", 2) == (response.status, response.metadata["attempts"])
        assert ("connection_error", 0.0) == tuple(
            response.metadata["attempts_detail"][0][name] for name in ("error_type", "wait")
        )
        assert [0, 0, 1] == [request.connection for request in server.requests]
        stats = llm.get_usage_stats()["openai"]
        assert (2, 0) == (stats["requests"], stats["errors"])


@pytest.mark.asyncio
async def test_a_new_connection_that_dies_is_no_stale_one() -> None:
    """Only one gift a call."""
    async with serve(OK, [CLOSE]) as server, llm_at(server, max_retries=0) as llm:
        await llm.query("Hello", "gpt-4o")
        response = await llm.query("Hello again", "gpt-4o")
        assert ("error", "connection_error", 2) == (response.status, response.error_type, response.metadata["attempts"])


@pytest.mark.asyncio
async def test_a_cancelled_wait_ends_at_once() -> None:
    """The wait before a retry is given up; the request that was sent counts."""
    async with serve(whole(error_body(), 429, {"retry-after": "50"})) as server, llm_at(server, max_retries=1) as llm:
        task = asyncio.create_task(llm.query("Hello", "gpt-4o"))
        await server.asked()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 1 == llm.get_usage_stats()["openai"]["requests"]


# --- exceptions -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_raise_on_error_raises_the_class_with_the_facts() -> None:
    """Status, wait, request id, provider and model are on the exception, and so is the response."""
    headers = {"retry-after": "99", "x-request-id": "req_1"}
    async with serve(whole(error_body("Slow down"), 429, headers)) as server, llm_at(server) as llm:
        with pytest.raises(RateLimitError, match="Slow down") as caught:
            await llm.query("Hello", "gpt-4o", raise_on_error=True)
        error = caught.value
        assert (429, 99.0, "req_1") == (error.status_code, error.retry_after, error.request_id)
        assert ("openai", "gpt-4o") == (error.provider, error.model)
        assert "error" == error.response.status


@pytest.mark.asyncio
async def test_raise_on_error_covers_what_is_refused_unsent() -> None:
    """Bad input and a missing key are raised too, unless the call says otherwise."""
    llm = LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY), raise_on_error=True))
    with pytest.raises(ValidationError):
        await llm.query("", "gpt-4o")
    with pytest.raises(AuthError):
        await llm.query("Hello", "claude-sonnet-4-5")
    assert "error" == (await llm.query("", "gpt-4o", raise_on_error=False)).status


def _break(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(place, broken)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("place", "attempts"),
    [
        ("multi_llm_wrapper.routing.Router.decide", 0),
        ("multi_llm_wrapper.call.build_request", 0),
        ("multi_llm_wrapper.dialects.openai_chat.encode_request", 0),
        ("multi_llm_wrapper.transport.http.HTTPTransport.send", 1),
        ("multi_llm_wrapper.dialects.openai_chat.plain", 1),
        ("multi_llm_wrapper.dialects.waits.rate_limit", 1),
    ],
)
async def test_a_mistake_of_ours_does_not_escape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str, attempts: int
) -> None:
    """It is an error response, not tried again, and the log has the traceback."""
    async with serve(OK) as server, llm_at(server, max_retries=2) as llm:
        _break(monkeypatch, place)
        response = await llm.query("Hello", "gpt-4o")
        assert ("error", "general_error", "unexpected") == (
            response.status,
            response.error_type,
            response.metadata["code"],
        )
        assert (attempts, attempts) == (
            response.metadata["attempts"],
            llm.get_usage_stats()["openai"]["errors"],
        )
    assert "a mistake of ours" in caplog.text


@pytest.mark.asyncio
async def test_a_mistake_in_the_books_does_not_cost_the_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes to the log, and the caller has what he asked for."""
    async with serve(OK) as server, llm_at(server) as llm:
        _break(monkeypatch, "multi_llm_wrapper.account.Account.close")
        assert "success" == (await llm.query("Hello", "gpt-4o")).status
    assert "a mistake of ours" in caplog.text


# --- counts -----------------------------------------------------------------------------------------------------

ZERO = {"requests": 0, "tokens": 0, "input_tokens": 0, "output_tokens": 0, "errors": 0}


@pytest.mark.asyncio
async def test_every_configured_provider_is_counted_from_nought() -> None:
    """Each is in the statistics before it is asked, a host of one's own included."""
    settings = WrapperConfig(
        openai=OpenAIConfig(api_key=KEY),
        anthropic=AnthropicConfig(),
        providers={"local": OpenAICompatibleConfig(base_url="http://127.0.0.1:1/v1")},
    )
    stats = LLMWrapper(settings).get_usage_stats()
    assert {"openai", "anthropic", "local"} == set(stats)
    assert all(ZERO.items() <= counts.items() for counts in stats.values())


@pytest.mark.asyncio
async def test_counts_are_kept_by_provider() -> None:
    """As each provider reports them."""
    async with serve(OK) as first, serve(whole(CLAUDE)) as second, serve(whole(GEMINI)) as third:
        settings = config(first)
        settings.anthropic = AnthropicConfig(api_key=KEY, base_url=second.url)
        settings.gemini = GeminiConfig(api_key=KEY, base_url=third.url)
        async with LLMWrapper(settings) as llm:
            for model, times in (("gpt-4o", 2), ("claude-sonnet-4-5", 1), ("gemini-2.5-flash", 3)):
                for _ in range(times):
                    await llm.query("Hello", model)
            stats = llm.get_usage_stats()
    assert {
        "openai": {"requests": 2, "tokens": 10, "input_tokens": 6, "output_tokens": 4, "errors": 0},
        "anthropic": {"requests": 1, "tokens": 10, "input_tokens": 7, "output_tokens": 3, "errors": 0},
        "gemini": {"requests": 3, "tokens": 18, "input_tokens": 12, "output_tokens": 6, "errors": 0},
    } == {name: {key: counts[key] for key in ZERO} for name, counts in stats.items()}


@pytest.mark.asyncio
async def test_a_call_counts_once_however_often_it_was_sent(no_backoff: None) -> None:
    """An error only if its last attempt failed."""
    async with serve(BUSY, OK, BUSY) as server, llm_at(server, max_retries=1) as llm:
        await llm.query("Hello", "gpt-4o")
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0) == (stats["requests"], stats["errors"])
        await llm.query("Hello", "gpt-4o")
        stats = llm.get_usage_stats()["openai"]
        assert (4, 2, 1) == (len(server.requests), stats["requests"], stats["errors"])


@pytest.mark.asyncio
async def test_streams_are_counted_like_queries() -> None:
    """One request each, with its tokens and its time, and an error if it had no end."""
    async with serve(stream(sse(*HELLO)), stream(sse(delta(content="x")))) as server, llm_at(server) as llm:
        for errors in (0, 1):
            async for _ in llm.stream("Hello", "gpt-4o"):
                pass
            assert errors == llm.get_usage_stats()["openai"]["errors"]
        assert ZERO | {"requests": 2, "tokens": 5, "input_tokens": 3, "output_tokens": 2, "errors": 1} == {
            key: llm.get_usage_stats()["openai"][key] for key in ZERO
        }
        assert llm.get_average_response_time("openai") > 0


@pytest.mark.asyncio
async def test_what_was_never_asked_counts_nowhere() -> None:
    """Cache hits, and input that was refused unsent."""
    async with serve(OK) as server, llm_at(server, enable_caching=True) as llm:
        await llm.query("Hello", "gpt-4o")
        before, seconds = llm.get_usage_stats(), llm.get_average_response_time("openai")
        assert (await llm.query("Hello", "gpt-4o")).metadata["cached"]
        await llm.query("", "gpt-4o")
        await llm.query("Hello", "claude-sonnet-4-5")
        before["openai"]["cache_hits"] += 1
        assert (before, seconds) == (llm.get_usage_stats(), llm.get_average_response_time("openai"))


@pytest.mark.asyncio
async def test_a_reply_without_usage_counts_as_a_request() -> None:
    """Its tokens are not known, and none are made up."""
    answer = completion()
    del answer["usage"]
    async with serve(whole(answer)) as server, llm_at(server) as llm:
        response = await llm.query("Hello", "gpt-4o")
        assert (None, None) == (response.usage, response.metadata["raw_usage"])
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0) == (stats["requests"], stats["tokens"])


@pytest.mark.asyncio
async def test_a_cancelled_call_was_a_request_and_no_error() -> None:
    """It was sent, and the provider has not failed."""
    async with serve([HANG]) as server, llm_at(server) as llm:
        task = asyncio.create_task(llm.query("Hello", "gpt-4o"))
        await server.asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0) == (stats["requests"], stats["errors"])


@pytest.mark.asyncio
async def test_the_statistics_are_a_copy() -> None:
    """Whatever is done to them, the next ones are right."""
    async with serve(OK) as server, llm_at(server) as llm:
        await llm.query("Hello", "gpt-4o")
        first = llm.get_usage_stats()
        first["openai"]["requests"] = 99
        first["mine"] = {}
        assert (1, ["openai"]) == (llm.get_usage_stats()["openai"]["requests"], list(llm.get_usage_stats()))


@pytest.mark.asyncio
async def test_the_average_is_that_of_the_calls() -> None:
    """The whole call counts, failures and waits too; a provider never asked took no time."""
    async with serve([SHORT, *OK], whole(error_body("Bad"), 400)) as server, llm_at(server) as llm:
        assert 0.0 == llm.get_average_response_time("openai") == llm.get_average_response_time("nobody")
        responses = [await llm.query("Hello", "gpt-4o") for _ in range(2)]
        times = [response.metadata["response_time"] for response in responses]
        assert pytest.approx(sum(times) / 2) == llm.get_average_response_time("openai")
        assert SHORT <= times[0] < LONG


@pytest.mark.asyncio
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_first_calls_time_is_not_that_of_the_import(monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    """aiohttp is imported when it is first needed; the provider is not to blame for that."""
    real = wrapper.LLMWrapper._open_transport

    def slow(self: LLMWrapper) -> None:
        time.sleep(0.2)
        real(self)

    monkeypatch.setattr(wrapper.LLMWrapper, "_open_transport", slow)
    async with serve(stream(sse(*HELLO)) if streamed else OK) as server, llm_at(server) as llm:
        if streamed:
            found = llm.stream("Hello", "gpt-4o")
            async for _ in found:
                pass
            response = found.response
        else:
            response = await llm.query("Hello", "gpt-4o")
        assert "success" == response.status
        assert response.metadata["response_time"] < 0.2
        assert llm.get_average_response_time("openai") < 0.2


# --- life -------------------------------------------------------------------------------------------------------


def test_a_wrapper_opens_nothing() -> None:
    """Outside any loop, without a key, without a configuration."""
    assert {} == LLMWrapper().get_usage_stats()


def test_the_transport_is_opened_when_it_is_first_needed() -> None:
    """And stays the same."""
    llm = LLMWrapper()
    assert llm._transport is None
    assert llm.transport is llm.transport


@pytest.mark.asyncio
async def test_aclose_may_be_repeated_and_needs_no_beginning() -> None:
    """Before the first call, twice, or after no `async with`: it is no error, and connections close at once."""
    async with serve(OK) as server:
        llm = llm_at(server)
        await llm.aclose()
        await llm.__aexit__(None, None, None)
        assert "success" == (await llm.query("Hello", "gpt-4o")).status
        closed = now()
        await llm.__aexit__(None, None, None)
        assert await server.left() - closed < PROMPTLY
        await llm.aclose()


@pytest.mark.asyncio
async def test_a_closed_wrapper_opens_anew() -> None:
    """Closing ends connections and not the wrapper: the next call has one of its own."""
    async with serve(OK) as server:
        llm = llm_at(server)
        for number in range(2):
            assert "success" == (await llm.query("Hello", "gpt-4o")).status
            await llm.aclose()
            await server.left(number)


@pytest.mark.asyncio
async def test_leaving_the_block_ends_what_is_under_way() -> None:
    """Nobody waits for ever: the call that was under way has an error, and its connection is closed."""
    async with serve([HANG]) as server:
        async with llm_at(server) as llm:
            task = asyncio.create_task(llm.query("Hello", "gpt-4o"))
            await server.asked()
        left = now()
        response = await task
        assert ("error", "connection_error") == (response.status, response.error_type)
        assert await server.left() - left < PROMPTLY


def test_one_wrapper_serves_several_loops_one_after_the_other() -> None:
    """Each with connections of its own."""
    llms: list[LLMWrapper] = []

    async def use() -> None:
        async with serve(OK) as server:
            if not llms:
                llms.append(LLMWrapper(OpenAIConfig(api_key=KEY)))
            assert llms[0].config.openai is not None
            llms[0].config.openai.base_url = server.base_url
            response = await llms[0].query("Hello", "gpt-4o", cache=False)
            assert "success" == response.status, response.error

    for _ in range(3):
        asyncio.run(use())
    assert 3 == llms[0].get_usage_stats()["openai"]["requests"]


@pytest.mark.asyncio
async def test_the_transport_may_be_the_users_own() -> None:
    """It gets every request, and is closed with the wrapper."""

    class Closed:
        closed = 0

        async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> Any:
            raise RateLimitError(f"{request.method} {connect_timeout}", code="mine")

        async def aclose(self) -> None:
            self.closed += 1

    transport = Closed()
    async with LLMWrapper(OpenAIConfig(api_key=KEY), transport=transport) as llm:
        response = await llm.query("Hello", "gpt-4o", max_retries=0, timeouts=Timeouts(connect=3))
    assert ("rate_limit", "POST 3.0", "mine") == (response.error_type, response.error, response.metadata["code"])
    assert 1 == transport.closed


@pytest.mark.asyncio
async def test_query_gives_a_stream_when_asked(mock_completion: CompletionDouble) -> None:
    """With the double in place of the network, too."""
    found = await LLMWrapper(OpenAIConfig(api_key=KEY)).query("Hello", "gpt-4o", stream=True)
    assert isinstance(found, ResponseStream)


@pytest.mark.asyncio
async def test_calls_under_way_do_not_disturb_each_other(no_backoff: None) -> None:
    """Good, bad, late and cancelled at once: each gets its own answer."""
    replies: dict[str, list[Step]] = {
        "good": OK,
        "bad": whole(error_body("Bad"), 400),
        "late": [HANG],
        "cut": [head(), CLOSE],
    }
    wanted = {"good": "success", "bad": "validation_error", "late": "timeout", "cut": "connection_error"}
    async with serve(lambda request: replies[request.json["kind"]]) as server, llm_at(server) as llm:

        async def one(kind: str) -> str:
            response = await llm.query(
                "Hello", "gpt-4o", extra_body={"kind": kind}, timeout=2 if kind != "late" else 0.3
            )
            return str(response.error_type or response.status)

        kinds = [kind for kind in replies for _ in range(25)]
        assert [wanted[kind] for kind in kinds] == await asyncio.gather(*map(one, kinds))
        stats = llm.get_usage_stats()["openai"]
        assert (100, 75) == (stats["requests"], stats["errors"])


@pytest.mark.asyncio
async def test_nobody_listens(no_backoff: None) -> None:
    """Said to the caller as a response, with what to do; each attempt counted."""
    port = unused_port()
    llm = LLMWrapper(OpenAIConfig(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1"))
    response = await llm.query("Hello", "gpt-4o")
    assert ("error", "connection_error", 3) == (response.status, response.error_type, response.metadata["attempts"])
    assert f"127.0.0.1:{port}" in (response.error or "")


@pytest.mark.parametrize(
    ("model", "option", "value"),
    [
        ("claude-sonnet-4-5", "seed", 3),
        ("claude-3-5-haiku-latest", "reasoning_effort", "low"),
        ("gemini-2.5-flash", "parallel_tool_calls", False),
        ("gemini-2.0-flash", "reasoning_effort", "high"),
        ("gpt-5", "temperature", 0.5),
    ],
)
@pytest.mark.asyncio
async def test_what_a_protocol_has_no_words_for_is_dropped_where_that_is_wanted(
    simulator: Simulator, model: str, option: str, value: Any
) -> None:
    """Without `drop_unsupported` the setting is refused unsent; with it the answer comes and says what was dropped."""
    config = WrapperConfig(
        openai=OpenAIConfig(api_key="test", base_url=simulator.base_url("openai")),
        anthropic=AnthropicConfig(api_key="test", base_url=simulator.base_url("anthropic")),
        gemini=GeminiConfig(api_key="test", base_url=simulator.base_url("gemini")),
    )
    async with LLMWrapper(config) as llm:
        refused = await llm.query("Hello", model=model, **{option: value})
        answered = await llm.query("Hello", model=model, drop_unsupported=True, **{option: value})

    assert ("error", "unsupported_feature", 0) == (
        refused["status"],
        refused["error_type"],
        refused["metadata"]["attempts"],
    )
    assert ("success", [option]) == (answered["status"], answered["metadata"]["dropped_params"])


@pytest.mark.asyncio
async def test_a_model_that_has_no_truth_is_refused_like_any_other() -> None:
    """As an array has none: nothing is asked of it but whether it is a text."""

    class Array:
        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    model: Any = Array()
    response = await LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY))).query("Hello", model)
    assert ("validation_error", 0) == (response.error_type, response.metadata["attempts"])


@pytest.mark.asyncio
async def test_what_is_under_way_when_the_wrapper_is_closed_is_not_sent_again() -> None:
    """A retry would open what was closed; a call made afterwards may."""
    async with serve([HANG], [HANG], OK) as server:
        async with llm_at(server, max_retries=2) as llm:
            query = asyncio.create_task(llm.query("Hello", "gpt-4o"))
            stream = asyncio.create_task(llm.query("Hello", "gpt-4o", stream=True))
            chunks = asyncio.create_task(anext(await stream))
            await server.asked(2)
        assert ("connection_error", "error") == ((await query).error_type, (await chunks).type)
        assert 2 == len(server.requests)
        assert "success" == (await llm.query("Hello", "gpt-4o")).status
        await llm.aclose()


@pytest.mark.asyncio
async def test_a_wait_that_is_asked_for_is_waited_for_although_there_is_a_fallback() -> None:
    """On a real clock, which goes on between two looks at it."""
    busy = whole({"error": {"message": "Slow down"}}, 429, {"retry-after": "0.05"})
    async with serve(busy, OK) as server:
        llm = llm_at(server, fallbacks={"gpt-4o": ["openai/gpt-4o-mini"]}, max_retries=1)
        async with llm:
            response = await llm.query("Hello", "gpt-4o")
        asked = [(one["model"], one["wait"]) for one in response.metadata["attempts_detail"]]
        assert [("gpt-4o", 0.05), ("gpt-4o", None)] == asked


def test_a_configuration_does_not_print_where_it_keeps_things() -> None:
    """The URL of a store may hold a password."""
    shown = repr(WrapperConfig(cache="redis://:hunter2@127.0.0.1:6379/0", ledger="sqlite:///hunter2.db"))
    assert "hunter2" not in shown
