"""The public API as users write it: checked by mypy and basedpyright, never run.

`assert_type` says what an editor has to show; each `type: ignore` marks what a type checker has to refuse, and is an
error itself where it does not.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Any, Literal, assert_type

from multi_llm_wrapper import (
    AnthropicConfig,
    Chunk,
    Deployment,
    GeminiConfig,
    GroqConfig,
    LLMError,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    PerplexityConfig,
    ProviderConfig,
    Response,
    ResponseStream,
    Timeouts,
    WrapperConfig,
    __version__,
)
from multi_llm_wrapper.errors import RateLimitError, ValidationError
from multi_llm_wrapper.secret import Secret

Tokens = dict[str, int | None] | None


class Answer:
    """Stands for a pydantic model."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {}


# --- configuration ----------------------------------------------------------------------------------------------

timeouts = Timeouts(connect=5, first_token=30.0, idle=None, attempt=60, total=120)
openai = OpenAIConfig(
    api_key="k",
    base_url="https://api.openai.com/v1",
    model_map={"fast": "gpt-4o-mini"},
    timeout_seconds=30,
    max_retries=3,
    headers={"x-team": "a"},
    proxy="http://proxy.example.com",
    ca_file="ca.pem",
    api_version="v1",
    organization_id="org",
    project_id="proj",
)
config = WrapperConfig(
    default_model="gpt-4o",
    default_provider="openai",
    timeout_seconds=60,
    timeouts=timeouts,
    max_retries=1,
    enable_caching=True,
    raise_on_error=False,
    drop_unsupported=False,
    backend="native",
    fallbacks={"gpt-4o": ["claude-sonnet-5"]},
    deployments={"fast": [Deployment("openai", "gpt-4o", weight=2)]},
    on_interrupt="restart",
    hedge_after=3.0,
    max_concurrency=10,
    cache="memory",
    cache_ttl=60,
    ledger=None,
    openai=openai,
    anthropic=AnthropicConfig("k"),
    gemini=GeminiConfig(),
    groq=GroqConfig(api_key=Secret("k")),
    perplexity=PerplexityConfig(),
    providers={"local": OpenAICompatibleConfig(base_url="http://localhost:8000/v1")},
)
assert_type(config.copy(), WrapperConfig)
assert_type(openai.copy(), OpenAIConfig)
assert_type(timeouts.copy(), Timeouts)
assert_type(WrapperConfig.from_env(), WrapperConfig)
assert_type(WrapperConfig.from_env(dotenv=".env"), WrapperConfig)
assert_type(config.openai, OpenAIConfig | None)
assert_type(config.timeout_seconds, float | None)
assert_type(config.on_interrupt, Literal["error", "restart"])
assert_type(config.providers, dict[str, OpenAICompatibleConfig])
assert_type(openai.model_map, dict[str, str])
version: str = __version__

config.default_model = None
openai.headers["x-more"] = "b"
provider: ProviderConfig = openai

OpenAIConfig(organisation="x")  # type: ignore[call-arg]
AnthropicConfig(organization_id="x")  # type: ignore[call-arg]
WrapperConfig(backend="other")  # type: ignore[arg-type]
WrapperConfig(on_interrupt="stop")  # type: ignore[arg-type]
WrapperConfig(openai=AnthropicConfig())  # type: ignore[arg-type]
Timeouts(total="5")  # type: ignore[arg-type]
Deployment("openai")  # type: ignore[call-arg]

LLMWrapper()
LLMWrapper(config)
LLMWrapper(openai)
LLMWrapper("gpt-4o")  # type: ignore[arg-type]


# --- calls ------------------------------------------------------------------------------------------------------


async def calls() -> None:
    async with LLMWrapper(config) as llm:
        assert_type(llm, LLMWrapper)
        assert_type(llm.config, WrapperConfig)
        assert_type(await llm.query("hi"), Response)
        assert_type(await llm.query("hi", "gpt-4o", stream=False), Response)
        assert_type(await llm.query("hi", model="gpt-4o", stream=True), ResponseStream)
        assert_type(llm.stream("hi", model="gpt-4o"), ResponseStream)
        assert_type(llm.get_usage_stats(), dict[str, dict[str, Any]])
        assert_type(llm.get_average_response_time("openai"), float)

        messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
        response = await llm.query(
            messages,
            system="be brief",
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice="auto",
            parallel_tool_calls=False,
            response_format={"type": "object"},
            reasoning_effort="high",
            max_tokens=10,
            temperature=0,
            top_p=0.5,
            stop=["END"],
            seed=1,
            timeout=5,
            timeouts=Timeouts(idle=1),
            max_retries=0,
            fallbacks=["claude-sonnet-5"],
            on_interrupt="restart",
            hedge_after=1.5,
            cache="refresh",
            cache_ttl=60,
            tags={"team": "a"},
            api_key="k",
            extra_body={"user": "u"},
            extra_headers={"x-a": "b"},
            drop_unsupported=True,
            raise_on_error=True,
            keep_raw=True,
        )
        messages.append(response.to_message())
        await llm.query(messages, response_format=Answer, tool_choice={"type": "function"}, stop="END", cache=False)
        llm.stream(messages, temperature=None, max_tokens=None)

        await llm.query("hi", temprature=1)  # type: ignore[call-overload]
        await llm.query("hi", max_tokens="5")  # type: ignore[call-overload]
        await llm.query(5)  # type: ignore[call-overload]
        await llm.query()  # type: ignore[call-overload]
        llm.stream("hi", cache="maybe")  # type: ignore[arg-type]
        llm.stream("hi", stream=True)  # type: ignore[call-arg]
    await llm.aclose()


# --- answers ----------------------------------------------------------------------------------------------------


def answers(response: Response) -> None:
    assert_type(response.ok, bool)
    assert_type(response.status, Literal["success", "error"])
    assert_type(response.content, str | None)
    assert_type(response.provider, str | None)
    assert_type(response.model, str | None)
    assert_type(response.timestamp, float)
    assert_type(response.tool_calls, list[dict[str, Any]])
    assert_type(response.reasoning, str | None)
    assert_type(response.error, str | None)
    assert_type(response.error_type, str | None)
    assert_type(response.metadata, dict[str, Any])
    assert_type(response.usage, Tokens)
    assert_type(response.finish_reason, str | None)
    assert_type(response.parsed, Any)
    assert_type(response["content"], Any)
    assert_type(response.to_message(), dict[str, Any])
    assert_type(response.raise_for_status(), Response)
    plain: dict[str, Any] = response
    assert plain

    response.status = "error"  # type: ignore[assignment]
    response.usage = None  # type: ignore[misc]
    _ = response.contents  # type: ignore[attr-defined]


async def streams(stream: ResponseStream) -> None:
    async with stream as same:
        assert_type(same, ResponseStream)
        async for chunk in stream:
            assert_type(chunk, Chunk)
            assert_type(chunk.type, Literal["text", "reasoning", "tool_call", "restart", "error", "end"])
            assert_type(chunk.content, str)
            assert_type(chunk.reasoning, str)
            assert_type(chunk.index, int | None)
            assert_type(chunk.id, str | None)
            assert_type(chunk.name, str | None)
            assert_type(chunk.arguments_delta, str)
            assert_type(chunk.finish_reason, str | None)
            assert_type(chunk.usage, Tokens)
            assert_type(chunk.status, str)
            assert_type(chunk.provider, str | None)
            assert_type(chunk.model, str | None)
            assert_type(chunk.error_type, str | None)
            assert_type(chunk["content"], Any)
            assert_type(dict(chunk), dict[str, Any])
    assert_type(stream.response, Response)
    await stream.aclose()


def failures(response: Response) -> float | None:
    try:
        response.raise_for_status()
    except RateLimitError as error:
        assert_type(error.retry_after, float | None)
        return error.retry_after
    except ValidationError as error:
        assert_type(error.message, str)
        who: str | None = error.rejected_by
        assert who
    except LLMError as error:
        assert_type(error.error_type, str)
        assert_type(error.retryable, bool)
        assert_type(error.status_code, int | None)
        assert_type(error.code, str | None)
        assert_type(error.provider, str | None)
        assert_type(error.model, str | None)
        assert_type(error.request_id, str | None)
    return None


from multi_llm_wrapper import LLMWraper  # type: ignore[attr-defined]  # noqa: E402, F401  # wrong on purpose
