"""The message of an error: the provider's own words, made safe to show and to log, and what to do about it."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from ...errors import LLMError

LIMIT = 500
"""Characters of the provider's words in a message."""
_LOOKED_AT = 4000

REMEDY: dict[str, str] = {
    "validation_error": "Correct the request; the same again will fail again.",
    "auth_error": "Check the API key of this provider.",
    "permission_error": "Check what this key may use: models, regions, projects.",
    "quota_exceeded": "Add credit or raise the limit at the provider, or use another one.",
    "rate_limit": "Send less at once, or try again later.",
    "overloaded": "Try again later, or use another model.",
    "timeout": "Try again, or ask for a shorter answer.",
    "server_error": "Try again; if it goes on, look at the provider's status page.",
    "request_too_large": "Send less: shorter texts, smaller or fewer images.",
    "context_length_exceeded": "Shorten the messages or lower max_tokens.",
    "content_filter": "Change what the request says; the provider's filter refused it.",
    "model_not_found": "Check the model's name, and that this key may use it.",
    "unsupported_feature": "Leave this feature out, or use another model.",
    "malformed_response": "Check that base_url is an API of this provider.",
    "cancelled": "The provider gave the request up; send it again if it is still wanted.",
}
"""What to do, for each `error_type` that a provider's failure can have."""

BASE_URL = "Check base_url: the provider has nothing at this path."
REMEDY_AT: dict[tuple[str, int], str] = {
    ("validation_error", 404): BASE_URL,
    ("validation_error", 405): BASE_URL,
    ("validation_error", 410): BASE_URL,
    ("auth_error", 407): "Check the user name and the password of the proxy.",
}
"""Where one status of a class asks for something else."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
"""Also what would turn the direction of the text around, and halves of characters, which no encoding can write."""

_KEY = re.compile(
    r"""
    \b(?:sk|rk|gsk|xai|csk|nvapi)[-_][\w*.\-…]{6,}                                       # vendors' own beginnings
  | \b(?:pplx|hf|r8|tgp|fw|pk|sess|key|api)[-_](?=[\w*.\-…]{0,80}\d)[\w*.\-…]{16,}
  | \bAIza[\w*\-…]{6,} | \bAQ\.[\w*\-…]{10,} | \bya29\.[\w.\-]{6,}                        # Google
  | \b(?:AKIA|ASIA)[A-Z0-9*]{12,}                                                        # AWS
  | \beyJ[\w\-]{8,}\.[\w\-.]{8,}                                                         # JSON web tokens
  | (?<![\w*])[\w\-.]{0,40}\*{3,}[\w\-.*]{0,80}                                          # partly masked already
    """,
    re.VERBOSE | re.ASCII,
)
_SAID_KEY = re.compile(
    r"((?:api[ _-]?key|token|secret|password)(?:\s+provided)?\s{0,3}[:=]\s{0,3}[\"'`]?|\b(?:Bearer|Basic)\s{1,3})"
    r"(?=[^\s\"'`,;&]{0,200}\d|[^\s\"'`,;&]{20})[^\s\"'`,;&]{6,}",
    re.IGNORECASE,
)


def clean(words: str) -> str:
    """Printable and without keys; not yet shortened to `LIMIT`."""
    words = words[:_LOOKED_AT]
    if "%20" in words and " " not in words:  # xAI sends some messages URL-encoded
        words = unquote(words)
    return redact(printable(words))


def printable(text: str) -> str:
    """On one line, without control characters."""
    return " ".join(_CONTROL.sub(" ", text).split())


def redact(text: str) -> str:
    """Without what looks like an API key: OpenAI and others repeat the key they refuse, more or less masked."""
    return _KEY.sub("***", _SAID_KEY.sub(r"\1***", text))


def message(words: str, page: str, status: int | None, error: type[LLMError]) -> str:
    """Says what happened, in clean `words` or else by what came instead of them, then what to do."""
    said = words or clean(f"HTTP {status}: {page}" if status else f"An error with {page}")
    if len(said) > LIMIT:
        said = said[: LIMIT - 3].rstrip() + "..."
    remedy = REMEDY_AT.get((error.error_type, status or 0)) or REMEDY.get(error.error_type, "")
    return f"{said}{'' if said[-1] in '.!?' else '.'} {remedy}".strip()


def redirect(status: int, location: str) -> str:
    """A redirect is never followed: it would carry the key to another host."""
    try:
        parts = urlsplit(location[:_LOOKED_AT])
        to = f"redirects to {parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else ""
    except ValueError:
        to = ""
    return f"HTTP {status}: the provider {clean(to)[:LIMIT] or 'redirects'}. Set base_url to where the API is."
