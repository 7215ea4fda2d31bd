"""The table of providers: the facts of the four vendors, and what holds for every row."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from multi_llm_wrapper import checks, dialects
from multi_llm_wrapper.providers import ROWS, ProviderRow
from multi_llm_wrapper.types import ChatRequest, DeveloperMessage, UserMessage

# Wire facts, "Transport": endpoint, authentication, version
VENDORS = {
    "openai": ("https://api.openai.com/v1", "/chat/completions", ("authorization", "Bearer "), "OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com", "/v1/messages", ("x-api-key", ""), "ANTHROPIC_API_KEY"),
    "gemini": (
        "https://generativelanguage.googleapis.com",
        "/v1beta/models/m:generateContent",
        ("x-goog-api-key", ""),
        "GEMINI_API_KEY",
    ),
    "groq": ("https://api.groq.com/openai/v1", "/chat/completions", ("authorization", "Bearer "), "GROQ_API_KEY"),
}


@pytest.mark.parametrize("name", VENDORS)
def test_where_a_vendor_is_asked(name: str) -> None:
    """URL, path, authentication header and the variable of the key are the vendor's own."""
    row = ROWS[name]
    request = ChatRequest(model="m", messages=[UserMessage("hi")])
    path = dialects.get(row.dialect).encode_request(request, quirks=row.quirks).path

    assert VENDORS[name] == (row.base_url, path, row.auth, row.key_env[0])
    assert row.key_required


def test_gemini_has_a_second_variable() -> None:
    """Google's own name for the key is understood after Gemini's."""
    assert ("GEMINI_API_KEY", "GOOGLE_API_KEY") == ROWS["gemini"].key_env


def test_anthropic_is_told_its_version() -> None:
    """The API demands the header."""
    assert "2023-06-01" == ROWS["anthropic"].headers["anthropic-version"]
    assert "anthropic-version" == ROWS["anthropic"].version_header


def test_groq_is_asked_in_its_own_words() -> None:
    """Groq knows no role `developer`, and calls the limit `max_completion_tokens`."""
    request = ChatRequest(model="m", messages=[DeveloperMessage("a"), UserMessage("b")], max_tokens=5)
    body = dialects.get("openai_chat").encode_request(request, quirks=ROWS["groq"].quirks).body

    assert b'"role":"system"' in body
    assert b"developer" not in body
    assert b'"max_completion_tokens":5' in body


rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


@rows
def test_a_row_is_found_by_its_name(row: ProviderRow) -> None:
    """The name is one word in lower case without a slash, since it is the first segment of a path."""
    assert row is ROWS[row.name]
    assert row.name == checks.token("name", row.name).lower()
    assert "/" not in row.name


@rows
def test_a_row_has_a_usable_url(row: ProviderRow) -> None:
    """The URL passes the check of a configured one and has no slash at its end; over the network it is https."""
    parts = urlsplit(row.base_url)

    assert row.base_url == checks.url("base_url", row.base_url)
    assert "https" == parts.scheme or parts.hostname in ("localhost", "127.0.0.1")


@rows
def test_a_row_names_a_dialect_that_is_there(row: ProviderRow) -> None:
    """Its dialect can be loaded, and goes by that name."""
    assert row.dialect == dialects.get(row.dialect).name


@rows
def test_a_row_says_where_its_key_comes_from(row: ProviderRow) -> None:
    """Who wants a key has a variable for it; header names are lower case, as they are compared."""
    assert row.key_env or not row.key_required
    assert all(name == name.upper() for name in (*row.key_env, *row.base_url_env))
    assert [row.auth[0], *row.headers] == [name.lower() for name in (row.auth[0], *row.headers)]


def test_no_family_belongs_to_two_providers() -> None:
    """No prefix of one provider is the beginning of another's, so the order of the rows decides nothing."""
    owners = [(family, row.name) for row in ROWS.values() for family in row.families]

    assert [] == [
        (a, b) for a, owner in owners for b, other in owners if owner != other and (a.startswith(b) or b.startswith(a))
    ]


def test_no_variable_holds_the_keys_of_two_providers() -> None:
    """A key is never sent to a provider that it is not for."""
    names = [name for row in ROWS.values() for name in row.key_env]

    assert len(set(names)) == len(names)
