"""What the families of many hosts refuse, and what a family cannot do at all."""

from __future__ import annotations

import pytest

from multi_llm_wrapper.dialects.base import PLAIN
from multi_llm_wrapper.providers import profile_of
from multi_llm_wrapper.providers.profiles import FAMILIES
from multi_llm_wrapper.types import ChatRequest

TEXT_ONLY = {"tools", "images", "schema"}


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        ("gpt-3.5-turbo", {"images", "schema"}), ("gpt-4", {"images", "schema"}), ("gpt-4-0613", {"images", "schema"}),
        ("gpt-4-turbo-2024-04-09", {"schema"}), ("gpt-4o-2024-05-13", {"schema"}), ("gpt-4o", set()),
        ("gpt-4o-2024-08-06", set()), ("gpt-4.1-mini", set()), ("gpt-5-mini", set()), ("gpt-oss-120b", {"images"}),
        ("o1-mini-2024-09-12", TEXT_ONLY), ("o1-preview", TEXT_ONLY), ("o1", set()), ("o3-mini", {"images"}),
        ("o3", set()), ("o4-mini", set()), ("claude-2.1", TEXT_ONLY), ("claude-instant-1.2", TEXT_ONLY),
        ("claude-3-5-sonnet-20241022", set()), ("claude-opus-5", set()), ("grok-3-mini", {"images"}),
        ("grok-4.6", set()), ("deepseek-reasoner", {"images"}), ("deepseek-ai/DeepSeek-V3.2", {"images"}),
        ("deepseek-vl2", set()), ("codestral-latest", {"images"}), ("mistral-large-latest", set()),
        ("moonshotai/Kimi-K2-Thinking", {"images"}), ("kimi-k2-0905-preview", {"images"}), ("kimi-k2.6", set()),
        ("kimi-k2-5", set()), ("glm-4.7", {"images"}), ("zai-org/GLM-4.5-Air", {"images"}), ("glm-4.5v", set()),
        ("glm-5.1", {"images"}), ("glm-5.2", set()), ("MiniMax-M2.7", {"images"}), ("MiniMax-M3", set()),
        ("my-own-model", set()),
    ],
)  # fmt: skip
def test_what_a_family_cannot_do(model: str, lacks: set[str]) -> None:
    """Old and text-only models are known as such, also by another host's name; of others nothing is said."""
    assert lacks == profile_of(model).lacks


@pytest.mark.parametrize(
    ("model", "refuses"),
    [
        ("grok-3", {"stop"}), ("grok-3-mini-fast", {"stop"}), ("grok-4", {"stop", "reasoning_effort"}),
        ("grok-4-0709", {"stop", "reasoning_effort"}), ("grok-4-fast-reasoning", {"stop", "reasoning_effort"}),
        ("grok-4-1-fast", {"stop", "reasoning_effort"}), ("grok-4.20-reasoning", {"stop", "reasoning_effort"}),
        ("grok-code-fast-1", {"stop", "reasoning_effort"}), ("grok-4-fast-non-reasoning", {"reasoning_effort"}),
        ("grok-4.20-0309-non-reasoning", {"reasoning_effort"}), ("grok-4.3", {"stop"}), ("grok-4.6", {"stop"}),
        ("grok-5", {"stop"}), ("x-ai/grok-4.3", {"stop"}), ("mistral-large-latest", set()), ("kimi-k3", set()),
        ("deepseek-chat", set()), ("glm-4.7", set()), ("command-a-03-2025", set()),
    ],
)  # fmt: skip
def test_what_a_family_refuses(model: str, refuses: set[str]) -> None:
    """Grok's thinking models take no stop texts and, up to 4.20, no effort; open models take what their host takes."""
    assert refuses == profile_of(model).refuses


def test_the_words_are_known_ones() -> None:
    """What is refused is a setting of a request; what is lacking is one of three abilities."""
    settings = set(ChatRequest.__struct_fields__)
    profiles = [PLAIN, *(profile for _, profile in FAMILIES)]

    assert [] == [profile for profile in profiles if not profile.lacks <= TEXT_ONLY]
    assert [] == [profile for profile in profiles if not profile.refuses <= settings]
