"""The cache key: requests that differ in anything that reaches the provider never share an answer."""

from __future__ import annotations

import hashlib
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.caching import key as module
from multi_llm_wrapper.caching.key import cache_key

BASE: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-4o",
    "url": "https://api.openai.com/v1/chat/completions",
    "headers": {"authorization": "Bearer k", "x-a": "1"},
    "body": b'{"model":"gpt-4o"}',
    "namespace": "",
}
CHANGES: list[dict[str, Any]] = [
    {"provider": "groq"},
    {"provider": "openai "},
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
    {"headers": {}},
    {"body": b'{"model":"gpt-4o" }'},
    {"body": b""},
    {"namespace": "tenant"},
]


@pytest.mark.parametrize("change", CHANGES, ids=map(str, CHANGES))
def test_any_difference_is_another_key(change: dict[str, Any]) -> None:
    """Provider, model, URL, headers (credentials among them), body and namespace all count."""
    assert cache_key(**BASE) != cache_key(**{**BASE, **change})


def test_all_these_differ_from_each_other_too() -> None:
    """No two of the requests above share a key."""
    keys = [cache_key(**{**BASE, **change}) for change in [{}, *CHANGES]]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", ["user-agent", "content-type", "accept-encoding"])
def test_headers_that_ask_nothing_do_not_count(name: str) -> None:
    """A new version of this package finds the answers of the old one."""
    assert cache_key(**BASE) == cache_key(**{**BASE, "headers": {**BASE["headers"], name: "x"}})


def test_the_order_of_headers_does_not_count() -> None:
    """Headers are a set."""
    assert cache_key(**BASE) == cache_key(**{**BASE, "headers": dict(reversed(BASE["headers"].items()))})


def test_a_key_is_short_and_says_nothing() -> None:
    """Forty hexadecimal digits, without the credentials."""
    key = cache_key(**BASE)

    assert 40 == len(key)
    assert set(key) <= set(string.hexdigits)


def test_a_new_version_has_new_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version stored is not read."""
    before = cache_key(**BASE)
    monkeypatch.setattr(module, "VERSION", b"another")

    assert before != cache_key(**BASE)


few = st.text("ab:1", max_size=3)
"""Few different characters, the ones of the length marks among them, so that parts look like each other."""
requests = st.fixed_dictionaries(
    {
        "provider": few,
        "model": few,
        "url": few,
        "headers": st.dictionaries(few, few, max_size=2),
        "body": few.map(str.encode),
        "namespace": few,
    }
)


@given(requests, requests)
def test_keys_are_equal_only_for_equal_requests(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Parts never run together: text that moves from one part to the next makes another key."""
    assert (a == b) is (cache_key(**a) == cache_key(**b))


@given(st.lists(few, min_size=7, max_size=7), st.integers(1, 6))
def test_text_that_moves_to_its_neighbour_makes_another_key(parts: list[str], cut: int) -> None:
    """The same characters in all, split elsewhere."""
    moved = [*parts]
    moved[cut - 1], moved[cut] = moved[cut - 1] + moved[cut][:1], moved[cut][1:]

    def key(p: list[str]) -> str:
        return cache_key(p[0], p[1], p[2], {p[3]: p[4]}, p[5].encode(), p[6])

    assert (parts == moved) is (key(parts) == key(moved))


def test_the_digest_is_over_parts_with_their_lengths() -> None:
    """Written out by hand, so that a stored answer is not lost by an accident of refactoring."""
    parts = [module.VERSION, b"ns", b"p", b"m", b"u", b"a", b"1", b"b", b"2", b"body"]
    plain = b"".join(b"%d:%s" % (len(part), part) for part in parts)

    assert hashlib.blake2b(plain, digest_size=20).hexdigest() == cache_key(
        "p", "m", "u", {"b": "2", "a": "1"}, b"body", "ns"
    )
