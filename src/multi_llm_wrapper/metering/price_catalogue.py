"""The price list of genai-prices: which model of which provider a name means there, and what it costs when.

The package decides (names, dates, hours, tiers); what it decided is kept in `Rates`, so that a call costs an addition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .price_rates import UNITS, Bands, rates_of
from .price_reported import EXACT

HOSTS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "baseten": "baseten",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "xai": "x-ai",
    "zai": "zai",
}
"""Our name of a provider -> the package's. Whoever is not here (local servers, hosts of your own) has no list price:
the package would guess from parts of a name, and a guess is a wrong price."""

_FOR_THOUSANDS = {1: 0, 1_000: -3, 1_000_000: -6}
"""How many of a unit its price is for -> decimals to move for the price of one."""


class Tariff:
    """What one model costs, by time. Rates are made when a price is first in force, then kept; none changes within a
    minute."""

    __slots__ = ("_bands", "_constraints", "_latest", "_minute", "_resolve")

    def __init__(self, constraints: tuple[Any, ...], resolve: Callable[[datetime], Bands | None]) -> None:
        self._constraints = constraints
        self._resolve = resolve
        self._bands: dict[tuple[bool, ...], Bands | None] = {}
        self._minute = -1.0
        self._latest: Bands | None = None

    def at(self, timestamp: float) -> Bands | None:
        """None when no price was in force then."""
        minute = timestamp // 60
        if minute != self._minute and (self._constraints or self._minute < 0):
            self._latest = self._at(datetime.fromtimestamp(timestamp, UTC))
            self._minute = minute
        return self._latest

    def _at(self, when: datetime) -> Bands | None:
        """The same constraints being active means the same prices."""
        active = tuple([constraint.active(when) for constraint in self._constraints])
        if active not in self._bands:
            self._bands[active] = self._resolve(when)
        return self._bands[active]


class Catalogue:
    """Over one snapshot of the package's data; `units` is the package's own list of what has a price."""

    def __init__(self, snapshot: Any, units: Mapping[str, Mapping[str, Any]]) -> None:
        self._providers: list[Any] = snapshot.providers
        self._by_id = {provider.id: provider for provider in self._providers}
        self._prices = {
            unit["price_key"]: (name, _FOR_THOUSANDS[unit["per"]]) for name, unit in units.items() if name in UNITS
        }

    def tariff(self, provider: str, names: tuple[str, ...], tier: str | None) -> Tariff | None:
        """Of the first of `names` that the package knows at this provider; None when it knows none, or not this tier
        of it."""
        host = self._by_id.get(HOSTS.get(provider, ""))
        if host is None:
            return None
        model = next(filter(None, (host.find_model(name, all_providers=self._providers) for name in names)), None)
        if model is None:
            return None
        variants = _variants(host, model, tier)
        if tier is not None and not variants:
            return None
        return self._tariff(model, variants)

    def _tariff(self, model: Any, variants: list[Any]) -> Tariff:
        context = variants[0].when if variants else None
        dated = [*(model.prices if isinstance(model.prices, list) else ()), *variants]

        def resolve(when: datetime) -> Bands | None:
            if variants and not any(one.constraint is None or one.constraint.active(when) for one in variants):
                return None  # the standard price was not that of this tier
            prices = vars(model.get_prices(when, context))
            return _FREE if not prices and _is_free(model) else self._bands(prices)

        return Tariff(tuple(one.constraint for one in dated if one.constraint is not None), resolve)

    def _bands(self, prices: Mapping[str, Any]) -> Bands:
        """Prices with tiers: all tokens cost what they cost in the band that the whole prompt falls into."""
        given = {key: price for key, price in prices.items() if price is not None and key in self._prices}
        starts = sorted({tier.start for price in given.values() for tier in getattr(price, "tiers", ())})
        rates = (rates_of(self._units(given, inside)) for inside in (0, *(start + 1 for start in starts)))
        return Bands(tuple(starts), tuple(rates))

    def _units(self, given: Mapping[str, Any], inside: int) -> dict[str, Decimal]:
        units = {}
        for key, price in given.items():
            unit, shift = self._prices[key]
            units[unit] = EXACT.scaleb(_price(price, inside), shift)
        return units


def _variants(host: Any, model: Any, tier: str | None) -> list[Any]:
    """Tiers have prices where the provider itself sells the model; one host's tiers are not another's."""
    if tier is None or not any(model is own for own in host.models):
        return []
    return [one for one in model.price_variants or () if list(one.when.values()) == [tier]]


def _is_free(model: Any) -> bool:
    """No prices at all may mean free, in a subscription, or gone; here the name says which."""
    return model.id.endswith(":free") or "(free)" in (model.name or "")


_FREE = Bands((), (rates_of({"input_tokens": Decimal(0), "output_tokens": Decimal(0)}),))


def _price(price: Any, inside: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    above: list[Decimal] = [price.base, *(tier.price for tier in price.tiers if inside > tier.start)]
    return above[-1]


def load_catalogue() -> Catalogue:
    """Blocks for some tenths of a second. The prices are the bundled ones, or what the application has set in their
    place; nothing is fetched. Raises `ImportError` when the extra is not there."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.data_units import unit_data

    return Catalogue(get_snapshot(), unit_data)


__all__ = ["HOSTS", "Catalogue", "Tariff", "load_catalogue"]
