"""Which provider's endpoint a path is, whatever stands before it: clients keep the path prefix of their base URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

Kind = Literal["chat", "models", "model", "health", "unknown"]

MAX_PATH = 2048

BASE_PATHS = {
    "openai": "/v1",
    "openai_chat": "/v1",
    "groq": "/openai/v1",
    "mistral": "/mistral/v1",
    "openrouter": "/openrouter/api/v1",
    "together": "/together/v1",
    "anthropic": "",
    "anthropic_messages": "",
    "gemini": "",
}
"""What a client of this name takes as the path of its base URL."""


class Route(NamedTuple):
    """`path` is relative to the base URL that a client of the dialect is given."""

    kind: Kind
    dialect: str
    path: str
    model: str | None = None
    style: str = "openai"
    """Whose rate-limit headers and list of models."""


_STYLES = re.compile(r"/(openai(?=/v1/)|groq|mistral|openrouter|together)/")
_STYLE_OF = {"anthropic_messages": "anthropic", "gemini": "gemini", "openai_chat": "openai"}


_TABLE: tuple[tuple[re.Pattern[str], Kind, str], ...] = (
    (re.compile(r".*(?P<path>/chat/completions)"), "chat", "openai_chat"),
    (re.compile(r".*(?P<path>/v1/messages)"), "chat", "anthropic_messages"),
    (
        re.compile(
            r".*?(?P<path>/v1(?:beta|alpha)?\w*/(?:[^:]+/)?(?:models|tunedModels)/[^/:]+:(?:g|streamG)enerateContent)"
        ),
        "chat",
        "gemini",
    ),
    (re.compile(r".*(?P<path>/v1beta/models)/?"), "models", "gemini"),
    (re.compile(r".*(?P<path>/v1beta/models/(?P<model>[^/:]+))"), "model", "gemini"),
    (re.compile(r".*(?P<path>/v1/models)/?"), "models", ""),
    (re.compile(r".*?(?P<path>/v1/models/(?P<model>[^:]+))"), "model", ""),
    (re.compile(r".*(?P<path>/health)"), "health", ""),
)
"""In this order. Where no dialect is named, the headers tell who asks."""


def find(path: str, headers: Mapping[str, str]) -> Route:
    """The endpoint that a request is for; kind `unknown` when there is none, with the dialect it probably speaks."""
    route = _by_path(path) if len(path) <= MAX_PATH else _UNKNOWN
    if route.dialect:
        return route
    dialect = _by_headers(headers)
    return route._replace(dialect=dialect, style=_style(path, dialect))


@lru_cache(maxsize=1024)
def _by_path(path: str) -> Route:
    plain = unquote(path)
    for pattern, kind, dialect in _TABLE:
        if match := pattern.fullmatch(plain):
            found = match.groupdict()
            return Route(kind, dialect, found["path"], found.get("model"), _style(plain, dialect))
    return _UNKNOWN._replace(dialect="gemini" if "/v1beta" in plain else "")


def _style(path: str, dialect: str) -> str:
    """Compatible hosts are told apart by the beginning of the path: `/openai/v1` is Groq's own."""
    if dialect == "openai_chat" and (match := _STYLES.match(path[:MAX_PATH])):
        return "groq" if match[1] == "openai" else match[1]
    return _STYLE_OF.get(dialect, "openai")


def _by_headers(headers: Mapping[str, str]) -> str:
    if "x-api-key" in headers or "anthropic-version" in headers:
        return "anthropic_messages"
    return "gemini" if "x-goog-api-key" in headers else "openai_chat"


_UNKNOWN = Route("unknown", "", "")
