"""What model families accept, by the facts of the vendors' pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects.base import PLAIN
from multi_llm_wrapper.providers import profile_of

SAMPLING = frozenset({"temperature", "top_p"})


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("gpt-4o", False), ("gpt-4o-mini-2024-07-18", False), ("gpt-4.1-nano", False), ("gpt-4-turbo", False),
        ("chatgpt-4o-latest", False), ("gpt-5-chat-latest", False), ("gpt-5.2-chat-latest", False),
        ("gpt-5", True), ("gpt-5-mini", True), ("gpt-5.6-luna", True), ("o1", True), ("o3-mini", True),
        ("o4-mini", True), ("openai/gpt-5", True), ("OPENAI/GPT-4O", False),
    ],
)  # fmt: skip
def test_openai(model: str, reasons: bool) -> None:
    """Newer models call the limit `max_completion_tokens`; those that reason refuse sampling settings."""
    profile = profile_of(model)

    assert "max_completion_tokens" == profile.max_tokens_field
    assert ("effort" if reasons else "none") == profile.reasoning
    assert (SAMPLING <= profile.refuses) is reasons


@pytest.mark.parametrize("model", ["gpt-3.5-turbo", "gpt-4", "gpt-4-0613"])
def test_the_first_chat_models_of_openai(model: str) -> None:
    """They know `max_tokens`, and do not reason."""
    assert ("max_tokens", "none", frozenset()) == (
        profile_of(model).max_tokens_field,
        profile_of(model).reasoning,
        profile_of(model).refuses,
    )


@pytest.mark.parametrize(
    ("model", "reasoning", "samples"),
    [
        ("claude-2.1", "none", True), ("claude-instant-1.2", "none", True), ("claude-3-haiku-20240307", "none", True),
        ("claude-3-5-sonnet-latest", "none", True), ("claude-3-7-sonnet-20250219", "budget", True),
        ("claude-sonnet-4-20250514", "budget", True), ("claude-opus-4-1", "budget", True),
        ("claude-sonnet-4-5-20250929", "budget", True), ("claude-haiku-4-5", "budget", True),
        ("claude-opus-4-6", "effort", True), ("claude-opus-4-7", "effort", False), ("claude-opus-5", "effort", False),
        ("claude-sonnet-5-20260901", "effort", False), ("claude-fable-5", "effort", False),
        ("anthropic/claude-opus-4-8", "effort", False),
    ],
)  # fmt: skip
def test_anthropic(model: str, reasoning: str, samples: bool) -> None:
    """Thinking by budget from 3.7 to 4.5, by effort from 4.6; from 4.7 on sampling settings are refused."""
    profile = profile_of(model)

    assert reasoning == profile.reasoning
    assert (frozenset() if samples else SAMPLING) == profile.refuses
    assert profile.max_output_tokens is not None
    assert 4096 <= profile.max_output_tokens


@pytest.mark.parametrize(
    ("model", "reasoning"),
    [
        ("gemini-1.5-flash", "none"), ("gemini-2.0-flash", "none"), ("gemini-2.5-pro", "budget"),
        ("models/gemini-2.5-flash", "budget"), ("gemini-3-pro-preview", "level"), ("gemini-3.1-flash", "level"),
    ],
)  # fmt: skip
def test_gemini(model: str, reasoning: str) -> None:
    """2.5 counts thinking tokens, 3 has levels; nothing is refused."""
    assert (reasoning, frozenset()) == (profile_of(model).reasoning, profile_of(model).refuses)


@pytest.mark.parametrize("model", ["llama-3.3-70b-versatile", "sonar", "my-own-model", "", "/", "ollama", "not-gpt-5"])
def test_an_unknown_family_gets_everything_as_is(model: str) -> None:
    """Nothing is refused or renamed for a model that is not known."""
    assert PLAIN == profile_of(model)


@given(st.text(max_size=20))
def test_every_name_has_a_profile(model: str) -> None:
    """Whatever the name, there is a profile, the same behind any path."""
    assert profile_of(model) == profile_of(f"some/owner/{model}")
    assert profile_of(model).reasoning in ("effort", "budget", "level", "none")
