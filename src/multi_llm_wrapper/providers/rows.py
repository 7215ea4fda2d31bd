"""Who speaks which dialect where: one row a provider. Adding a host is adding a row (and its test)."""

from __future__ import annotations

from msgspec import Struct

from ..dialects.base import NO_QUIRKS, Quirks


class ProviderRow(Struct, frozen=True, kw_only=True):
    """How to reach a provider. Replies are read the same everywhere; only requests differ by host."""

    name: str
    base_url: str
    dialect: str = "openai_chat"
    auth: tuple[str, str] = ("authorization", "Bearer ")
    """Header name, and what stands before the key in it."""
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key, first found wins."""
    base_url_env: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    """Prefixes of model names that belong to this provider when nothing else says where a model lives."""
    headers: dict[str, str] = {}
    version_header: str | None = None
    """The header that `api_version` of the configuration sets."""
    key_required: bool = True
    quirks: Quirks = NO_QUIRKS


OPENAI = ProviderRow(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env=("OPENAI_API_KEY",),
    base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    families=("gpt-", "chatgpt-", "o1", "o3", "o4", "o5"),
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
)
GEMINI = ProviderRow(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com",
    dialect="gemini",
    auth=("x-goog-api-key", ""),
    key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    base_url_env=("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
    families=("gemini-", "gemma-"),
)
GROQ = ProviderRow(
    name="groq",
    base_url="https://api.groq.com/openai/v1",
    key_env=("GROQ_API_KEY",),
    base_url_env=("GROQ_BASE_URL",),
    # https://console.groq.com/docs/openai: `max_tokens` is deprecated there too, both are accepted.
    quirks=Quirks(max_tokens_field="max_completion_tokens", developer_role=False),
)

ROWS: dict[str, ProviderRow] = {row.name: row for row in (OPENAI, ANTHROPIC, GEMINI, GROQ)}
"""The known providers by name."""
