"""Which models the simulated providers have, and how each provider lists them."""

from __future__ import annotations

import re
from typing import Any

FAMILIES: dict[str, re.Pattern[str]] = {
    "openai_chat": re.compile(
        r"(gpt-|chatgpt-|ft:|o[1-9]|.+/|(?i:(meta-)?llama|(open-)?mi[sx]tral|ministral|magistral|codestral|devstral|pixtral"
        r"|voxtral|deepseek|qwen|grok-|kimi|moonshot-|(zai-)?glm-|sonar|command-|gemma|phi-|minimax-)).*"
    ),
    "anthropic_messages": re.compile(r"claude-.+"),
    "gemini": re.compile(r"(gemini-|gemma-|tunedModels/).+"),
}
"""Names that a provider of the dialect knows. Compatible hosts serve open models, most of them as `owner/model`."""

LISTED: dict[str, tuple[str, ...]] = {
    "openai_chat": ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-5-mini", "o3-mini", "o4-mini"),
    "anthropic_messages": ("claude-opus-5", "claude-sonnet-5", "claude-sonnet-4-5", "claude-haiku-4-5"),
    "gemini": ("gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-2.5-pro", "gemini-2.5-flash"),
}
"""Names that the list of models shows; every other of the families works too."""

HOSTED: dict[str, tuple[str, ...]] = {
    "groq": ("llama-3.3-70b-versatile", "llama-3.1-8b-instant", "openai/gpt-oss-120b", "qwen/qwen3-32b"),
    "mistral": ("mistral-large-latest", "mistral-small-latest", "codestral-latest", "ministral-8b-latest"),
    "openrouter": ("openai/gpt-4o", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro", "qwen/qwen3-235b-a22b"),
    "together": (
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "deepseek-ai/DeepSeek-V3",
        "moonshotai/Kimi-K2-Instruct",
    ),
}
"""The same for hosts that speak OpenAI's protocol."""

_HIDES_REASONING = re.compile(r"(gpt-|chatgpt-|ft:|o[1-9]).*")


def known(dialect: str, model: str) -> bool:
    return FAMILIES[dialect].fullmatch(model) is not None


def hides_reasoning(dialect: str, model: str) -> bool:
    """OpenAI's own models count their reasoning but do not show it in this protocol; others do."""
    return dialect == "openai_chat" and _HIDES_REASONING.fullmatch(model) is not None


def listing(dialect: str, created: int, style: str = "") -> dict[str, Any]:
    """The body of the provider's list of models."""
    models = [describe(dialect, model, created) for model in HOSTED.get(style) or LISTED[dialect]]
    if dialect == "gemini":
        return {"models": models}
    if dialect == "anthropic_messages":
        return {"data": models, "has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}
    return {"object": "list", "data": models}


def describe(dialect: str, model: str, created: int) -> dict[str, Any]:
    """One entry of that list, which is also the body of a single model's page."""
    name = model.replace("-", " ").title()
    if dialect == "gemini":
        return {
            "name": f"models/{model}",
            "version": "001",
            "displayName": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent"],
        }
    if dialect == "anthropic_messages":
        dates = {"created_at": "2026-01-01T00:00:00Z", "deprecated_at": None, "retires_at": None}
        return {"type": "model", "id": model, "display_name": name, "lifecycle": "active", **dates}
    owner, slash, _ = model.partition("/")
    return {"id": model, "object": "model", "created": created, "owned_by": owner if slash else "system"}
