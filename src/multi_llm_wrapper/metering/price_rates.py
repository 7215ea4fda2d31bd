"""From prices to the cost of one request.

A cost is linear in the reported counts. Prices are those of the most specific unit: a cached token costs the price of a
cache read and not that of an input token too. So each unit gets what it costs beyond the units around it (a cache read:
its price minus the input price, a negative number), and the cost is the sum of count times that. The counts stay
inclusive, as they were reported, and everything is an integer until the end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec import Struct

from ..types import Usage
from .price_reported import EXACT, reported_count

# A unit lies within another one when it has all its words.
UNITS: dict[str, frozenset[str]] = {
    "input_tokens": frozenset({"input"}),
    "cache_read_tokens": frozenset({"input", "read"}),
    "cache_write_tokens": frozenset({"input", "write"}),
    "cache_write_1h_tokens": frozenset({"input", "write", "1h"}),
    "output_tokens": frozenset({"output"}),
    "output_reasoning_tokens": frozenset({"output", "reasoning"}),
    "output_citation_tokens": frozenset({"output", "citation"}),
    "web_searches": frozenset({"search"}),
    "requests": frozenset({"request"}),
} | {
    f"{direction}_{medium}{kind}_tokens": frozenset({side, medium, *words})
    for medium in ("audio", "image", "video")
    for direction, kind, side, words in (
        ("input", "", "input", ()),
        ("cache", "_read", "input", ("read",)),
        ("output", "", "output", ()),
    )
}
"""What can be counted in a request, by the names of genai-prices."""

_CORE = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "output_reasoning_tokens")

# Where usage objects count what `Usage` does not: Anthropic, Perplexity, OpenAI's shape, Gemini.
_MODALITIES = {"AUDIO": "audio", "IMAGE": "image", "DOCUMENT": "image", "VIDEO": "video"}
_LISTS = {
    "promptTokensDetails": "input_{}_tokens",
    "toolUsePromptTokensDetails": "input_{}_tokens",
    "cacheTokensDetails": "cache_{}_read_tokens",
    "candidatesTokensDetails": "output_{}_tokens",
}
_PATHS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cache_write_1h_tokens", ("cache_creation", "ephemeral_1h_input_tokens")),
    ("web_searches", ("server_tool_use", "web_search_requests")),
    ("web_searches", ("num_search_queries",)),
    ("output_citation_tokens", ("citation_tokens",)),
    ("input_audio_tokens", ("prompt_tokens_details", "audio_tokens")),
    ("output_audio_tokens", ("completion_tokens_details", "audio_tokens")),
    *((unit.format(name), (field, word)) for field, unit in _LISTS.items() for word, name in _MODALITIES.items()),
)


class _Detail(NamedTuple):
    """A unit with a price of its own that only the provider's own usage object counts."""

    unit: str
    extra: int
    joins: tuple[str, ...]
    """The units whose common part this is (cached audio: audio, and cache reads), when they are several."""


class Rates(Struct, frozen=True, kw_only=True):
    """Integers, in dollars times 10**-`exponent`: what each counted unit costs beyond the units that it lies within."""

    exponent: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    """The units that have a price, the most special first, each with the priced units within it."""
    unpriced: bool
    """Whether input or output has no price."""
    details: tuple[_Detail, ...]
    paths: tuple[tuple[_Detail, tuple[str, ...]], ...]
    """Where usage objects count the details; several places of one detail add up."""

    def cost(self, usage: Usage, raw: Mapping[str, Any] | None) -> Decimal | None:
        """US dollars; None when a count or a price is missing, or when the counts contradict each other."""
        inside, outside = usage.input_tokens, usage.output_tokens
        if inside is None or outside is None:
            return None
        read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        reasoning = usage.reasoning_tokens or 0
        if read + written > inside or reasoning > outside or (self.unpriced and not self._priced(inside, outside)):
            return None
        total = inside * self.input + outside * self.output + self.request
        total += read * self.cache_read + written * self.cache_write + reasoning * self.reasoning
        if self.paths and raw:
            more = self._more((inside, outside, read, written, reasoning), raw)
            if more is None:
                return None
            total += more
        return EXACT.scaleb(Decimal(total), -self.exponent)

    def _priced(self, inside: int, outside: int) -> bool:
        priced = dict(self.parts)
        return ("input_tokens" in priced or not inside) and ("output_tokens" in priced or not outside)

    def _more(self, core: tuple[int, ...], raw: Mapping[str, Any]) -> int | None:
        """What the details cost; None when they contradict the counts, or leave open how much of two units is both."""
        found: dict[str, int] = {}
        total = 0
        for detail, path in self.paths:
            if path[0] in raw and (count := reported_count(raw, path)) is not None:
                found[detail.unit] = found.get(detail.unit, 0) + count
                total += count * detail.extra
        if not any(found.values()):
            return 0
        counted = dict(zip(_CORE, core, strict=True)) | found
        return total if self._clear(counted) and self._sound(counted) else None

    def _clear(self, counted: dict[str, int]) -> bool:
        return not any(
            detail.joins and detail.unit not in counted and all(counted.get(other) for other in detail.joins)
            for detail in self.details
        )

    def _sound(self, counted: dict[str, int]) -> bool:
        """Whether every unit counts at least what its parts count together."""
        alone: dict[str, int] = {}
        for unit, parts in self.parts:
            count = counted.get(unit, 0)
            for part in parts:
                count -= alone[part]
            if count < 0:
                return False
            alone[unit] = count
        return True


class Bands(NamedTuple):
    """Rates by the length of the prompt: `rates[i]` holds above `starts[i - 1]` input tokens, for all tokens."""

    starts: tuple[int, ...]
    rates: tuple[Rates, ...]

    def cost(self, usage: Usage, raw: Mapping[str, Any] | None) -> Decimal | None:
        if not self.starts:
            return self.rates[0].cost(usage, raw)
        return self.rates[bisect_left(self.starts, usage.input_tokens or 0)].cost(usage, raw)


def rates_of(prices: Mapping[str, Decimal]) -> Rates:
    """`prices`: unit -> dollars for one of it. Units that cannot be counted are left out."""
    known = sorted((unit for unit in prices if unit in UNITS), key=lambda unit: len(UNITS[unit]))
    exponent = max((-int(prices[unit].as_tuple().exponent) for unit in known), default=0)
    exponent = max(exponent, 0)
    extra: dict[str, int] = {}
    for unit in known:
        around = sum(extra[other] for other in extra if UNITS[other] < UNITS[unit])
        extra[unit] = int(EXACT.scaleb(prices[unit], exponent)) - around
    details = tuple(_detail(unit, extra) for unit in known if unit not in {*_CORE, "requests"})
    return Rates(
        exponent=exponent,
        input=extra.get("input_tokens", 0),
        output=extra.get("output_tokens", 0),
        cache_read=extra.get("cache_read_tokens", 0),
        cache_write=extra.get("cache_write_tokens", 0),
        reasoning=extra.get("output_reasoning_tokens", 0),
        request=extra.get("requests", 0),
        parts=tuple(
            (unit, tuple(other for other in reversed(known) if UNITS[unit] < UNITS[other])) for unit in reversed(known)
        ),
        unpriced=not {"input_tokens", "output_tokens"} <= extra.keys(),
        details=details,
        paths=tuple((detail, path) for detail in details for unit, path in _PATHS if unit == detail.unit),
    )


def _detail(unit: str, extra: Mapping[str, int]) -> _Detail:
    around = [other for other in extra if UNITS[other] < UNITS[unit]]
    nearest = [other for other in around if not any(UNITS[other] < UNITS[between] for between in around)]
    return _Detail(unit, extra[unit], tuple(nearest) if len(nearest) > 1 else ())


def user_rates(table: Mapping[str, Decimal]) -> Bands:
    """A row of the user's table: what has no price of its own costs what the tokens around it cost."""
    prices = {_USER[rate]: EXACT.scaleb(price, -6) for rate, price in table.items() if rate != "request"}
    return Bands((), (rates_of(prices | {"requests": table.get("request", Decimal(0))}),))


_USER = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "output_reasoning_tokens",
}

__all__ = ["UNITS", "Bands", "Rates", "rates_of", "user_rates"]
