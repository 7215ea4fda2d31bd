"""The prices a user may set: what a price table holds, and the check that the configuration runs on it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from . import checks

PriceTable: TypeAlias = dict[str, dict[str, Decimal]]
"""`"model"` or `"provider/model"` -> rate -> US dollars per million tokens (`request`: dollars per request)."""

REQUIRED = ("input", "output")
RATES = (*REQUIRED, "cache_read", "cache_write", "cache_write_1h", "reasoning", "request")

_MOST = Decimal(10**6)
_DECIMALS = 20


def check_prices(name: str, value: Any) -> PriceTable:
    """The table with every rate as an exact decimal. Raises `ValueError`, which starts with `name` and the key."""
    if not isinstance(value, Mapping):
        raise checks.refuse(name, f"is a {type(value).__name__}", 'give a dict like {"gpt-4o": {"input": 2.5, ...}}')
    return {_model(name, key): _rates(f"{name}[{checks.shown(key)}]", rates) for key, rates in value.items()}


def _model(name: str, key: Any) -> str:
    if not isinstance(key, str) or not key.strip("/ ") or key != key.strip():
        raise checks.refuse(name, f"has the key {checks.shown(key)}", 'name a "model" or a "provider/model"')
    return key


def _rates(place: str, rates: Any) -> dict[str, Decimal]:
    if not isinstance(rates, Mapping):
        raise checks.refuse(place, f"is {checks.shown(rates)}", f"give a dict with some of {', '.join(RATES)}")
    for rate in rates:
        if rate not in RATES:
            hint = checks.near(rate, RATES) if isinstance(rate, str) else ""
            raise checks.refuse(place, f"has {checks.shown(rate)} in it{hint}", f"use some of {', '.join(RATES)}")
    for rate in REQUIRED:
        if rate not in rates:
            raise checks.refuse(place, f"has no {rate!r}", "give dollars per million tokens, 0 where it is free")
    return {rate: _price(f"{place}[{rate!r}]", price) for rate, price in rates.items()}


def _price(place: str, value: Any) -> Decimal:
    """A float is taken for the decimal number that it prints as: 0.1 is a tenth."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise InvalidOperation
        price = Decimal(str(value) if isinstance(value, float) else value)
        fits = price.is_finite() and 0 <= price <= _MOST and int(price.as_tuple().exponent) >= -_DECIMALS
    except (InvalidOperation, ValueError):  # ValueError: an integer of thousands of digits
        fits = False
    if not fits:
        remedy = f"give US dollars from 0 to {_MOST} with at most {_DECIMALS} decimals, as a number or a text"
        raise checks.refuse(place, f"is {checks.shown(value)}", remedy)
    return price


__all__ = ["RATES", "PriceTable", "check_prices"]
