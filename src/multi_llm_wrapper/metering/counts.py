"""Requests, tokens, errors and response times by provider, in memory of fixed size for each provider."""

from __future__ import annotations

from collections.abc import Iterable

from ..types import Usage


class _Count:
    __slots__ = ("cache_hits", "errors", "input_tokens", "output_tokens", "requests", "seconds", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.errors = 0
        self.cache_hits = 0
        self.seconds = 0.0


class Counts:
    """Totals since the start. A call counts once for each provider it asked, an error if its last attempt failed."""

    def __init__(self) -> None:
        self._by_provider: dict[str, _Count] = {}

    def success(self, provider: str | None, usage: Usage | None, seconds: float) -> None:
        self._add(provider, usage, seconds)

    def failure(self, provider: str | None, usage: Usage | None, seconds: float) -> None:
        """`usage` is what a stream had reported before it failed."""
        self._add(provider, usage, seconds).errors += 1

    def hit(self, provider: str | None) -> None:
        """An answer that was there already, or was asked for by another call: no request, no tokens, no time."""
        self._count(provider).cache_hits += 1

    def _count(self, provider: str | None) -> _Count:
        name = provider or ""
        count = self._by_provider.get(name)
        if count is None:
            count = self._by_provider[name] = _Count()
        return count

    def _add(self, provider: str | None, usage: Usage | None, seconds: float) -> _Count:
        count = self._count(provider)
        count.requests += 1
        count.seconds += seconds
        if usage is not None:
            inside, outside = usage.input_tokens or 0, usage.output_tokens or 0
            count.tokens += inside + outside if usage.total_tokens is None else usage.total_tokens
            count.input_tokens += inside
            count.output_tokens += outside
        return count

    def stats(self, configured: Iterable[str]) -> dict[str, dict[str, int]]:
        names = dict.fromkeys([*configured, *self._by_provider])
        return {name: _stats(self._by_provider.get(name) or _Count()) for name in names}

    def average_seconds(self, provider: str) -> float:
        count = self._by_provider.get(provider)
        return count.seconds / count.requests if count is not None and count.requests else 0.0


def _stats(count: _Count) -> dict[str, int]:
    return {
        "requests": count.requests,
        "tokens": count.tokens,
        "input_tokens": count.input_tokens,
        "output_tokens": count.output_tokens,
        "errors": count.errors,
        "cache_hits": count.cache_hits,
    }
