"""Requests, tokens, errors and response times by provider, in memory of fixed size for each provider."""

from __future__ import annotations

from collections.abc import Iterable

from ..types import Usage


class _Count:
    __slots__ = ("errors", "input_tokens", "output_tokens", "requests", "seconds", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.errors = 0
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

    def _add(self, provider: str | None, usage: Usage | None, seconds: float) -> _Count:
        name = provider or ""
        count = self._by_provider.get(name)
        if count is None:
            count = self._by_provider[name] = _Count()
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
    }
