"""How long to wait, and how much is left: Retry-After and the rate-limit headers of every provider.

Header names are lower case throughout (or looked up without regard to case, as by aiohttp).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..types import RateLimit

_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|μs|ns|[dhms])", re.ASCII)
_LONGEST = 40
"""Characters in any sensible number, duration or date; longer ones are not read."""

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}

_Fields = dict[str, tuple[str, ...]]

FAMILIES: tuple[tuple[tuple[str, ...], _Fields], ...] = (
    (  # OpenAI, Azure (remaining only), Groq (requests per day, tokens per minute), Fireworks
        ("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-requests"),
        {
            "limit_requests": ("x-ratelimit-limit-requests",),
            "remaining_requests": ("x-ratelimit-remaining-requests",),
            "reset_requests": ("x-ratelimit-reset-requests",),
            "limit_tokens": ("x-ratelimit-limit-tokens",),
            "remaining_tokens": ("x-ratelimit-remaining-tokens",),
            "reset_tokens": ("x-ratelimit-reset-tokens",),
        },
    ),
    (  # Anthropic: the combined token limit where there is one, else that of the input
        ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-tokens-remaining"),
        {
            "limit_requests": ("anthropic-ratelimit-requests-limit",),
            "remaining_requests": ("anthropic-ratelimit-requests-remaining",),
            "reset_requests": ("anthropic-ratelimit-requests-reset",),
            "limit_tokens": ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-input-tokens-limit"),
            "remaining_tokens": ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-input-tokens-remaining"),
            "reset_tokens": ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-input-tokens-reset"),
        },
    ),
    (  # Mistral; Cerebras, whose requests are counted by the day
        ("x-ratelimit-remaining-tokens-minute", "x-ratelimit-remaining-req-minute"),
        {
            "limit_requests": ("x-ratelimit-limit-req-minute", "x-ratelimit-limit-requests-day"),
            "remaining_requests": ("x-ratelimit-remaining-req-minute", "x-ratelimit-remaining-requests-day"),
            "reset_requests": ("x-ratelimit-reset-req-minute", "x-ratelimit-reset-requests-day"),
            "limit_tokens": ("x-ratelimit-limit-tokens-minute",),
            "remaining_tokens": ("x-ratelimit-remaining-tokens-minute",),
            "reset_tokens": ("x-ratelimit-reset-tokens-minute",),
        },
    ),
    (  # OpenRouter (only on its own 429), Together
        ("x-ratelimit-remaining", "x-ratelimit-limit"),
        {
            "limit_requests": ("x-ratelimit-limit",),
            "remaining_requests": ("x-ratelimit-remaining",),
            "reset_requests": ("x-ratelimit-reset",),
            "limit_tokens": ("x-tokenlimit-limit",),
            "remaining_tokens": ("x-tokenlimit-remaining",),
        },
    ),
    (  # Cohere's trial keys
        ("x-trial-endpoint-call-remaining",),
        {
            "limit_requests": ("x-trial-endpoint-call-limit",),
            "remaining_requests": ("x-trial-endpoint-call-remaining",),
            "reset_requests": ("x-ratelimit-reset",),
        },
    ),
)
"""Header families: the names that betray one, then where each fact stands (the first name that is there counts)."""

_MARKERS = tuple((marker, fields) for markers, fields in FAMILIES for marker in markers)


def retry_after(headers: Mapping[str, str], body: Any = None, now: float | None = None) -> float | None:
    """Seconds that the provider asks to wait, or None when it did not say.

    In this order: `retry-after-ms`, `retry-after` (a number, or a date seen from the Date header, else from `now` in
    unix seconds), then what the error body says: Gemini's RetryInfo, OpenRouter's `metadata.headers`, the
    `estimated_time` of a Hugging Face model that is being loaded. What makes no sense counts as not said.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    wait = _seconds_or_date(headers.get("retry-after"), headers, now)
    return wait if wait is not None else _in_body(body, headers, now)


def reset_wait(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """For a 429 without any other hint: seconds until the first exhausted limit is filled again, when headers say it.

    The smallest, since a reset is the moment when a limit is full again: some of it is back before.
    """
    limits = rate_limit(headers, now)
    if limits is None:
        return None
    resets = (
        reset
        for remaining, reset in (
            (limits.remaining_requests, limits.reset_requests),
            (limits.remaining_tokens, limits.reset_tokens),
        )
        if remaining == 0 and reset is not None
    )
    return min(resets, default=None)


def rate_limit(headers: Mapping[str, str], now: float | None = None) -> RateLimit | None:
    """What the rate-limit headers of a reply said, or None when there were none.

    Called for every reply, so it looks for one name of each header family before it reads anything.
    """
    for marker, fields in _MARKERS:
        if marker in headers:
            return _read(fields, headers, now)
    return None


def parse_duration(text: str) -> float | None:
    """Seconds in "1m30s", "17ms", "7.66s", "2m59.56s", "1h2m" or "6"; None for anything else."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        return float(text)
    total, end = 0.0, 0
    for piece in _PIECE.finditer(text):
        if piece.start() != end:
            return None
        total, end = total + float(piece[1]) * UNITS[piece[2]], piece.end()
    return total if end == len(text) else None


def _read(fields: _Fields, headers: Mapping[str, str], now: float | None) -> RateLimit:
    limit = RateLimit()
    for field, names in fields.items():
        for name in names:
            text = headers.get(name)
            if text is not None:
                setattr(limit, field, _reset(text, headers, now) if field[:5] == "reset" else _count(text))
                break
    return limit


def _count(text: str) -> int | None:
    if text.isdecimal() and len(text) < 16:
        return int(text)
    number = _number(text)
    return None if number is None else int(number)


def _reset(text: str, headers: Mapping[str, str], now: float | None) -> float | None:
    """A duration, a moment of RFC 3339 (Anthropic) or of unix time (in ms OpenRouter, in s Cohere), as seconds left."""
    wait = parse_duration(text)
    if wait is not None and wait < 1e9:
        return wait
    moment = _moment(text) if wait is None else wait / 1000 if wait > 1e11 else wait
    return _until(moment, headers, now)


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip()) if len(text) <= _LONGEST else None
    except ValueError:
        return None
    return _unix(moment) if moment else None


def _seconds_or_date(text: str | None, headers: Mapping[str, str], now: float | None) -> float | None:
    if text is None:
        return None
    number = _number(text)
    return number if number is not None else _until(_date(text), headers, now)


def _until(moment: float | None, headers: Mapping[str, str], now: float | None) -> float | None:
    """The provider's own clock (its Date header) is the better one to measure its moments by."""
    if moment is None:
        return None
    date = _date(headers.get("date"))
    start = date if date is not None else now
    return None if start is None else max(0.0, moment - start)


def _date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date, None for anything else."""
    if text is None or len(text) > _LONGEST:
        return None
    from email.utils import parsedate_to_datetime  # not worth its import time before the first such failure

    try:
        return _unix(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: Any) -> float | None:
    """A number that is not negative, from a header or a body."""
    if type(text) is str and len(text) <= _LONGEST:
        text = text.strip()
        return float(text) if _NUMBER.fullmatch(text) else None
    if type(text) is float or type(text) is int:
        return float(text) if 0 <= text <= 1e15 else None
    return None


def _in_body(body: Any, headers: Mapping[str, str], now: float | None) -> float | None:
    outer = body[0] if type(body) is list and body else body  # Gemini wraps its errors in a list, sometimes
    if type(outer) is not dict:
        return None
    error = outer["error"] if type(outer.get("error")) is dict else outer
    details = error.get("details")
    for detail in details if type(details) is list else ():
        delay = detail.get("retryDelay") if type(detail) is dict else None
        wait = parse_duration(delay) if type(delay) is str else None
        if wait is not None:
            return wait
    wait = _by_metadata(error.get("metadata"), headers, now)
    return wait if wait is not None else _number(outer.get("estimated_time"))


def _by_metadata(metadata: Any, headers: Mapping[str, str], now: float | None) -> float | None:
    """OpenRouter repeats the headers of its 429 in the body, as they would have been written: X-RateLimit-Reset."""
    written = metadata.get("headers") if type(metadata) is dict else None
    if type(written) is not dict:
        return None
    inner = {k.lower(): str(v) for k, v in written.items() if type(k) is str and type(v) in (str, int)}
    wait = _seconds_or_date(inner.get("retry-after"), headers, now)
    if wait is None and "x-ratelimit-reset" in inner:
        wait = _reset(inner["x-ratelimit-reset"], headers, now)
    return wait
