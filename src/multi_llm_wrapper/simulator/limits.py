"""Rate limits as providers keep them: token buckets a key, told in each provider's own headers and 429s.

A bucket holds a minute's worth and is refilled evenly, so a reset is the time until it is full again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil, floor

from ..errors import RateLimitError
from .scenario import Limits

MAX_KEYS = 10_000


class Bucket:
    """`size` units a minute, refilled evenly; `now` never goes back."""

    __slots__ = ("_level", "_then", "size")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self._level = float(size)
        self._then = now

    def level(self, now: float) -> float:
        if now > self._then:
            self._level = min(float(self.size), self._level + (now - self._then) * self.size / 60)
            self._then = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Also more than there is: an answer may turn out longer than what was left."""
        self._level = self.level(now) - amount

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much is there; what is more than the whole bucket has to wait for a full one."""
        return max(0.0, (min(amount, self.size) - self.level(now)) * 60 / self.size)

    def remaining(self, now: float) -> int:
        return max(0, floor(self.level(now) + 1e-9))

    def reset(self, now: float) -> float:
        """Seconds until it is full."""
        return self.wait(self.size, now)


class Buckets:
    """Those of one key; None: not limited. `cost` is how many tokens the newest answer took."""

    __slots__ = ("cost", "requests", "tokens")

    def __init__(self, requests: Bucket | None, tokens: Bucket | None) -> None:
        self.requests = requests
        self.tokens = tokens
        self.cost = 0

    def spend(self, output: int, now: float) -> None:
        """The tokens of the answer, on top of those of its prompt."""
        self.cost += output
        if self.tokens is not None:
            self.tokens.take(output, now)


class Limiter:
    """The buckets of all keys, the longest unused forgotten when there are too many."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._keys: dict[str, Buckets] = {}

    def of(self, key: str, now: float) -> Buckets:
        found = self._keys.pop(key, None)
        if found is None:
            if len(self._keys) >= MAX_KEYS:
                del self._keys[next(iter(self._keys))]
            rpm, tpm = self.limits.requests_per_minute, self.limits.tokens_per_minute
            found = Buckets(Bucket(rpm, now) if rpm else None, Bucket(tpm, now) if tpm else None)
        self._keys[key] = found
        return found

    def admit(self, buckets: Buckets, style: str, model: str, tokens: int, now: float) -> None:
        """Takes one request and the tokens of its prompt. Raises the provider's 429 when either is not there; nothing
        is taken then."""
        for kind, bucket, amount in (("requests", buckets.requests, 1), ("tokens", buckets.tokens, tokens)):
            if bucket is not None and (wait := bucket.wait(amount, now)) > 1e-9:
                raise _refused(style, kind, bucket, amount, model, wait, now)
        buckets.cost = tokens
        if buckets.requests is not None:
            buckets.requests.take(1, now)
        if buckets.tokens is not None:
            buckets.tokens.take(tokens, now)


# --- in the provider's words -----------------------------------------------------------------------------------------


def _refused(style: str, kind: str, bucket: Bucket, amount: int, model: str, wait: float, now: float) -> RateLimitError:
    used = bucket.size - bucket.remaining(now)
    text = MESSAGES.get(style, _openai_text)(kind, bucket.size, used, amount, model, wait)
    return RateLimitError(text, status_code=429, retry_after=max(wait, 0.001))


def _openai_text(kind: str, limit: int, used: int, amount: int, model: str, wait: float) -> str:
    """https://platform.openai.com/docs/guides/rate-limits and the errors seen with it."""
    per = "requests per min (RPM)" if kind == "requests" else "tokens per min (TPM)"
    return (
        f"Rate limit reached for {model} in organization org-simulated on {per}: Limit {limit}, Used {used}, Requested "
        f"{amount}. Please try again in {go_duration(wait)}. Visit https://platform.openai.com/account/rate-limits to "
        "learn more."
    )


def _anthropic_text(kind: str, limit: int, used: int, amount: int, model: str, wait: float) -> str:
    """https://docs.anthropic.com/en/api/rate-limits"""
    what = "requests" if kind == "requests" else "tokens"
    return (
        f"This request would exceed your organization's rate limit of {limit:,} {what} per minute (model: {model}). "
        "For details, refer to: https://docs.claude.com/en/api/rate-limits."
    )


def _gemini_text(kind: str, limit: int, used: int, amount: int, model: str, wait: float) -> str:
    """https://ai.google.dev/gemini-api/docs/rate-limits"""
    metric = "requests" if kind == "requests" else "input_token_count"
    return (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: "
        f"generativelanguage.googleapis.com/generate_content_paid_tier_{metric}, limit: {limit}, model: {model}\n"
        f"Please retry in {wait:.9f}s."
    )


def _groq_text(kind: str, limit: int, used: int, amount: int, model: str, wait: float) -> str:
    """https://console.groq.com/docs/rate-limits"""
    per = "requests per minute (RPM)" if kind == "requests" else "tokens per minute (TPM)"
    return (
        f"Rate limit reached for model `{model}` in organization `org_simulated` service tier `on_demand` on {per}: "
        f"Limit {limit}, Used {used}, Requested {amount}. Please try again in {go_duration(wait)}. Need more tokens? "
        "Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
    )


def _short_text(kind: str, limit: int, used: int, amount: int, model: str, wait: float) -> str:
    return "Requests rate limit exceeded" if kind == "requests" else "Rate limit exceeded"


MESSAGES: dict[str, Callable[[str, int, int, int, str, float], str]] = {
    "anthropic": _anthropic_text,
    "gemini": _gemini_text,
    "groq": _groq_text,
    "mistral": _short_text,
    "openrouter": _short_text,
    "together": _short_text,
}


def headers(style: str, buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    """What a provider of this style says of its limits on every reply (OpenRouter: on a 429 alone; Gemini: never)."""
    write = HEADERS.get(style, _openai_headers)
    return write(buckets, now, refused)


def _openai_headers(buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    """OpenAI, Azure, Groq. (Groq's request limit is one of a day; here it is the minute's.)"""
    out = {}
    for name, bucket in _named(buckets):
        out[f"x-ratelimit-limit-{name}"] = str(bucket.size)
        out[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining(now))
        out[f"x-ratelimit-reset-{name}"] = go_duration(bucket.reset(now))
    return out


def _anthropic_headers(buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    out = {}
    for name, bucket in _named(buckets):
        out[f"anthropic-ratelimit-{name}-limit"] = str(bucket.size)
        out[f"anthropic-ratelimit-{name}-remaining"] = str(bucket.remaining(now))
        out[f"anthropic-ratelimit-{name}-reset"] = rfc3339(now + bucket.reset(now))
    return out


def _mistral_headers(buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    out = {}
    for name, bucket in _named(buckets):
        short = "req" if name == "requests" else name
        out[f"x-ratelimit-limit-{short}-minute"] = str(bucket.size)
        out[f"x-ratelimit-remaining-{short}-minute"] = str(bucket.remaining(now))
    if buckets.tokens is not None:
        out["x-ratelimit-tokens-query-cost"] = str(buckets.cost)
    return out


def _together_headers(buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    out = {}
    for name, bucket in _named(buckets):
        prefix = "x-ratelimit" if name == "requests" else "x-tokenlimit"
        out[f"{prefix}-limit"] = str(bucket.size)
        out[f"{prefix}-remaining"] = str(bucket.remaining(now))
        if name == "requests":
            out["x-ratelimit-reset"] = str(ceil(bucket.reset(now)))
    return out


def _openrouter_headers(buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    """The reset is a moment in unix milliseconds."""
    if not refused or buckets.requests is None:
        return {}
    bucket = buckets.requests
    return {
        "x-ratelimit-limit": str(bucket.size),
        "x-ratelimit-remaining": str(bucket.remaining(now)),
        "x-ratelimit-reset": str(ceil((now + bucket.reset(now)) * 1000)),
    }


def _no_headers(buckets: Buckets, now: float, refused: bool) -> dict[str, str]:
    return {}


HEADERS: dict[str, Callable[[Buckets, float, bool], dict[str, str]]] = {
    "anthropic": _anthropic_headers,
    "gemini": _no_headers,
    "mistral": _mistral_headers,
    "openrouter": _openrouter_headers,
    "together": _together_headers,
}


def _named(buckets: Buckets) -> list[tuple[str, Bucket]]:
    both = (("requests", buckets.requests), ("tokens", buckets.tokens))
    return [(name, bucket) for name, bucket in both if bucket is not None]


def go_duration(seconds: float) -> str:
    """As OpenAI and Groq write one: 17ms, 1.2s, 2m59.56s."""
    millis = ceil(seconds * 1000 - 1e-6)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    minutes, rest = divmod(millis, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text


def rfc3339(moment: float) -> str:
    """As Anthropic writes one: whole seconds, UTC."""
    return datetime.fromtimestamp(ceil(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
