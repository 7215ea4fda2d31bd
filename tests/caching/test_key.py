"""The cache key: requests that differ in anything that reaches the provider never share an answer."""

from __future__ import annotations

import asyncio
import string
from typing import Any

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
    WrapperConfig,
)
from multi_llm_wrapper.caching import Question
from multi_llm_wrapper.caching import key as module
from multi_llm_wrapper.caching.key import cache_key
from multi_llm_wrapper.errors import LLMError
from multi_llm_wrapper.version import __version__

BASE: dict[str, Any] = {
    "group": "openai",
    "dialect": "openai_chat",
    "url": "https://api.openai.com/v1/chat/completions",
    "model": "gpt-4o",
    "headers": {"authorization": "Bearer k", "x-a": "1"},
    "body": b'{"model":"gpt-4o"}',
    "namespace": "",
    "form": "",
}
CHANGES: list[dict[str, Any]] = [
    {"group": "groq"},
    {"group": "openai "},
    {"dialect": "openai_responses"},
    {"model": "gpt-4o-mini"},
    {"url": "https://api.openai.com/v1/chat/completions/"},
    {"url": "http://api.openai.com/v1/chat/completions"},
    {"headers": {"authorization": "Bearer other", "x-a": "1"}},
    {"headers": {"authorization": "Bearer k", "x-a": "2"}},
    {"headers": {"authorization": "Bearer k"}},
    {"headers": {"authorization": "Bearer k", "x-a": "1", "x-b": ""}},
    {"headers": {"authorization": "Bearer k", "x-b": "1"}},
    {"headers": {"x-api-key": "Bearer k", "x-a": "1"}},
    {"headers": {"authorization": "1", "x-a": "Bearer k"}},
    {"headers": {"authorization": "Bearer k", "x-a": "1", "user-agent": "mine"}},
    {"headers": {"authorization": "Bearer k", "x-a": "1", "content-type": "application/json; charset=utf-8"}},
    {"headers": {"authorization": "Bearer k", "x-a": "1", "accept-encoding": "identity"}},
    {"headers": {}},
    {"body": b'{"model":"gpt-4o" }'},
    {"body": b""},
    {"namespace": "namespace"},
    {"form": "namespace"},
]


def key_of(parts: dict[str, Any]) -> str:
    return cache_key([Question(**{name: value for name, value in parts.items() if name != "form"})], parts["form"])


@pytest.mark.parametrize("change", CHANGES, ids=map(str, CHANGES))
def test_any_difference_is_another_key(change: dict[str, Any]) -> None:
    """Route, dialect, model, URL, headers (credentials among them), body, tenant and form all count."""
    assert key_of(BASE) != key_of({**BASE, **change})


def test_all_these_differ_from_each_other_too() -> None:
    """No two of the requests above share a key."""
    keys = [key_of({**BASE, **change}) for change in [{}, *CHANGES]]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "header", [("user-agent", f"multi-llm-wrapper/{__version__}"), ("content-type", "application/json")]
)
def test_our_own_headers_do_not_count(header: tuple[str, str]) -> None:
    """A new version of this package finds the answers of the old one; what a caller puts there does count."""
    assert key_of(BASE) == key_of({**BASE, "headers": {**BASE["headers"], header[0]: header[1]}})
    assert key_of(BASE) != key_of({**BASE, "headers": {**BASE["headers"], header[0]: "x"}})


def test_the_order_of_headers_does_not_count() -> None:
    """Headers are a set."""
    assert key_of(BASE) == key_of({**BASE, "headers": dict(reversed(BASE["headers"].items()))})


def test_a_key_is_short_and_says_nothing() -> None:
    """Forty hexadecimal digits, without the credentials."""
    key = key_of(BASE)

    assert 40 == len(key)
    assert set(key) <= set(string.hexdigits)


def test_a_new_version_has_new_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version stored is not read."""
    before = key_of(BASE)
    monkeypatch.setattr(module, "VERSION", "another")

    assert before != key_of(BASE)


def test_the_key_is_what_it_was() -> None:
    """Written down, so that what is stored is not lost by an accident of refactoring; change `VERSION` with it."""
    assert ("mlw3", "ca5b8294fec7303b72430c91d49fa3d0855ecb40") == (module.VERSION, key_of(BASE))


few = st.text("ab:1|", max_size=3)
"""Few different characters, the ones of the length marks among them, so that parts look like each other."""
questions = st.fixed_dictionaries(
    {
        "group": few,
        "dialect": few,
        "url": few,
        "model": few,
        "headers": st.dictionaries(few, few, max_size=2),
        "body": few.map(str.encode),
        "namespace": few,
        "form": few,
    }
)


@given(questions, questions)
def test_keys_are_equal_only_for_equal_requests(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Parts never run together: text that moves from one part to the next makes another key."""
    assert (a == b) is (key_of(a) == key_of(b))


@given(st.lists(few, min_size=9, max_size=9), st.integers(1, 8))
def test_text_that_moves_to_its_neighbour_makes_another_key(parts: list[str], cut: int) -> None:
    """The same characters in all, split elsewhere."""
    moved = [*parts]
    moved[cut - 1], moved[cut] = moved[cut - 1] + moved[cut][:1], moved[cut][1:]

    def key(p: list[str]) -> str:
        names = ("form", "namespace", "group", "dialect", "url", "model")
        return key_of({**dict(zip(names, p, strict=False)), "headers": {p[6]: p[7]}, "body": p[8].encode()})

    assert (parts == moved) is (key(parts) == key(moved))


# --- whole calls ------------------------------------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Tells it"}}
MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "o3-mini",
    "openai/gpt-4o",
    "claude-sonnet-4-5",
    "gemini-2.5-flash",
    "groq/gpt-4o",
    "local/gpt-4o",
    "other/gpt-4o",
)
OPTIONS = {
    "system": st.sampled_from(["Be brief.", "Be long."]),
    "tools": st.sampled_from([[TOOL], [WEATHER], [TOOL, WEATHER], [WEATHER, TOOL]]),
    "response_format": st.sampled_from([{"type": "object"}, {"type": "array"}]),
    "max_tokens": st.sampled_from([1, 2]),
    "temperature": st.sampled_from([0, 0.0, 0.5, 1]),
    "top_p": st.sampled_from([0.5, 1]),
    "stop": st.sampled_from([["a"], ["a", "b"], ["b", "a"], "a"]),
    "seed": st.sampled_from([0, 1]),
    "reasoning_effort": st.sampled_from(["low", "high"]),
    "extra_body": st.sampled_from([{"store": True}, {"metadata": {"a": "b"}}, {"temperature": 0.5}, {"stream": False}]),
    "extra_headers": st.sampled_from([{"x-a": "1"}, {"x-a": "2"}, {"X-A": "1"}, {"user-agent": "mine"}]),
    "api_key": st.sampled_from(["sk-of-one-tenant", "sk-of-another"]),
    # What does not reach the provider:
    "timeout": st.sampled_from([1.0, 2.0]),
    "tags": st.just({"team": "a"}),
    "cache_ttl": st.just(5.0),
}
PROMPTS = [
    "Hello",
    "Hello!",
    [{"role": "user", "content": "Hello"}],
    [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "!"}],
]
calls = st.tuples(
    st.sampled_from(PROMPTS),
    st.sampled_from(MODELS),
    st.fixed_dictionaries({}, optional=OPTIONS),
    st.booleans(),
)
LLM = LLMWrapper(
    WrapperConfig(
        openai=OpenAIConfig(api_key="sk-test-0123456789", model_map={"fast": "gpt-4o"}),
        anthropic=AnthropicConfig(api_key="sk-test-0123456789"),
        gemini=GeminiConfig(api_key="sk-test-0123456789"),
        groq=GroqConfig(api_key="sk-test-0123456789"),
        providers={
            "local": OpenAICompatibleConfig(base_url="http://localhost:8000/v1"),
            "other": OpenAICompatibleConfig(base_url="http://localhost:9000/v1"),
        },
        drop_unsupported=True,
    )
)


def sent(call: tuple[Any, str, dict[str, Any], bool]) -> tuple[str, Any] | None:
    """(the key, what reaches the provider); None when nothing would be sent. That it is streamed is left out."""
    prompt, model, options, streamed = call

    async def main() -> tuple[str, Any]:
        made, plain = (LLM.new_call(prompt, model, options, stream=stream) for stream in (streamed, False))  # type: ignore[arg-type]  # drawn
        made.prepare()
        plain.prepare()
        wire = plain.leg.wire
        return cache_key(made.questions()), (made.provider, wire.url, sorted(wire.headers.items()), wire.body)

    try:
        return asyncio.run(main())
    except LLMError:
        return None


@given(calls, calls)
def test_calls_share_a_key_only_if_the_same_reaches_the_provider(a: Any, b: Any) -> None:
    """Over all options, providers and ways to say a prompt; whether it is streamed is the one thing that may differ."""
    one, two = sent(a), sent(b)
    if one is not None and two is not None:
        assert (one[1] == two[1]) is (one[0] == two[0])


@given(calls)
def test_a_stream_has_the_key_of_the_query(call: Any) -> None:
    """In every dialect, with all options."""
    prompt, model, options, _ = call
    one, two = sent((prompt, model, options, True)), sent((prompt, model, options, False))
    assert (one and one[0]) == (two and two[0])
