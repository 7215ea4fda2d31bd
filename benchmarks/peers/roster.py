"""Who is measured, and in which mode."""

from __future__ import annotations

from dataclasses import dataclass, field

OPENAI_SHAPED = ("openai_chat", "azure_openai_chat", "compat")
EVERYTHING = (*OPENAI_SHAPED, "anthropic_messages", "gemini")
INCLUSIVE, VERBATIM = "inclusive", "verbatim"


@dataclass(frozen=True)
class Peer:
    name: str
    """Also that of its environment and its requirements."""
    title: str
    distribution: str
    """Whose version is shown."""
    adapter: str
    statement: str
    """What its users import."""
    mode: str
    reads: tuple[str, ...] = ()
    """Groups of recordings that it can be pointed at."""
    counts: str = INCLUSIVE
    """How its own documentation defines usage: OpenAI's way, or what the provider says, unchanged."""
    fits: dict[int, frozenset[str]] = field(default_factory=dict)
    """Status of a recorded error -> classes that say as much; the base classes of an exception count too."""
    reads_in: str | None = None
    """An environment of its own for the recordings, where they need more than the measures do."""
    environment: dict[str, str] = field(default_factory=dict)
    under_faults: str = ""
    """The mode in which it meets the faults; "" for a client that does not."""
    errors: str | None = None
    """The base class that its documentation gives for all of its errors; None: nothing is raised."""


def _fits(rejected: str, key: str, missing: str) -> dict[int, frozenset[str]]:
    return {400: frozenset({rejected}), 401: frozenset({key}), 404: frozenset({missing})}


_SDK_ERRORS = _fits("BadRequestError", "AuthenticationError", "NotFoundError")

RAW = Peer(
    name="raw",
    title="raw aiohttp",
    distribution="aiohttp",
    adapter="raw",
    statement="import aiohttp, msgspec",
    mode="by hand: one session, `msgspec.json`, no checks and no errors",
)
OURS = Peer(
    name="ours",
    title="multi_llm_wrapper",
    distribution="multi-llm-wrapper",
    adapter="ours",
    statement="from multi_llm_wrapper import LLMWrapper",
    mode="`LLMWrapper.query` and `.stream`, shipped defaults without caching",
    reads=EVERYTHING,
    fits={
        **_fits("validation_error", "auth_error", "model_not_found"),
        200: frozenset({"validation_error", "general_error"}),
    },
    under_faults="`LLMWrapper`, shipped defaults without caching; `Timeouts` of 3 s",
)
PEERS = (
    RAW,
    OURS,
    Peer(
        name="lm15",
        title="lm15",
        distribution="lm15",
        adapter="lm15_sdk",
        statement="from lm15 import AsyncOpenAIChatLM",
        mode="`AsyncOpenAIChatLM`, its own asyncio transport, limit of 100 connections raised",
        reads=EVERYTHING,
        counts=VERBATIM,
        fits={**_fits("InvalidRequestError", "AuthError", "InvalidRequestError"), 200: frozenset({"ProviderError"})},
        under_faults="`AsyncOpenAIChatLM`, streams by `amaterialize_response`; read timeout 3 s, no retries of its own",
        errors="LM15Error",
    ),
    Peer(
        name="openai",
        title="openai SDK",
        distribution="openai",
        adapter="openai_sdk",
        statement="from openai import AsyncOpenAI",
        mode="`AsyncOpenAI`, default transport (httpx2)",
        reads=OPENAI_SHAPED,
        counts=VERBATIM,
        fits={**_SDK_ERRORS, 200: frozenset({"APIError"})},
        under_faults="`AsyncOpenAI`, `create(stream=True)` for streams; 2 retries as shipped, timeout 3 s",
        errors="OpenAIError",
    ),
    Peer(
        name="anthropic",
        title="anthropic SDK",
        distribution="anthropic",
        adapter="anthropic_sdk",
        statement="from anthropic import AsyncAnthropic",
        mode="`AsyncAnthropic`, default transport (httpx2), Anthropic's protocol",
        reads=("anthropic_messages",),
        counts=VERBATIM,
        fits=_SDK_ERRORS,
    ),
    Peer(
        name="any-llm",
        title="any-llm",
        distribution="any-llm-sdk",
        adapter="any_llm_sdk",
        statement="from any_llm import AnyLLM",
        mode='`AnyLLM.create("openai")`, kept; `acompletion`',
        reads=EVERYTHING,
        fits={
            **_fits("InvalidRequestError", "AuthenticationError", "ModelNotFoundError"),
            200: frozenset({"AnyLLMError"}),
        },
        reads_in="any-llm-hosts",
    ),
    Peer(
        name="litellm",
        title="litellm",
        distribution="litellm",
        adapter="litellm_sdk",
        statement="import litellm",
        mode="`litellm.acompletion`, `openai/` with `api_base`, aiohttp transport as shipped, local price table",
        reads=EVERYTHING,
        fits={**_SDK_ERRORS, 200: frozenset({"APIError", "BadRequestError"})},
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        under_faults="`Router`, one deployment, `num_retries=2`, `timeout` and `stream_timeout` 3 s",
        errors="OpenAIError",
    ),
)
