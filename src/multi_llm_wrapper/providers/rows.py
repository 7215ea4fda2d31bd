"""Who speaks which dialect where: one row a provider. Adding a host is adding a row (and its test)."""

from __future__ import annotations

from ..dialects.base import Quirks
from .hosts import HOSTS
from .row import ProviderRow

OPENAI = ProviderRow(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env=("OPENAI_API_KEY",),
    base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    families=("gpt-", "chatgpt-", "o1", "o3", "o4", "o5"),
    source="https://platform.openai.com/docs/api-reference/chat",
)
ANTHROPIC = ProviderRow(
    name="anthropic",
    base_url="https://api.anthropic.com",
    dialect="anthropic_messages",
    auth=("x-api-key", ""),
    key_env=("ANTHROPIC_API_KEY",),
    base_url_env=("ANTHROPIC_BASE_URL",),
    families=("claude-",),
    headers={"anthropic-version": "2023-06-01"},
    version_header="anthropic-version",
    source="https://docs.anthropic.com/en/api/messages",
)
GEMINI = ProviderRow(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com",
    dialect="gemini",
    auth=("x-goog-api-key", ""),
    key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    base_url_env=("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
    families=("gemini-", "gemma-"),
    version_in_url=True,
    source="https://ai.google.dev/api/generate-content",
)
GROQ = ProviderRow(
    name="groq",
    base_url="https://api.groq.com/openai/v1",
    key_env=("GROQ_API_KEY",),
    base_url_env=("GROQ_BASE_URL",),
    # https://console.groq.com/docs/openai: `max_tokens` is deprecated there too, both are accepted.
    quirks=Quirks(max_tokens_field="max_completion_tokens", developer_role=False),
    source="https://console.groq.com/docs/openai",
)

ROWS: dict[str, ProviderRow] = {row.name: row for row in (OPENAI, ANTHROPIC, GEMINI, GROQ, *HOSTS)}
"""The known providers by name."""

__all__ = ["ROWS", "ProviderRow"]
