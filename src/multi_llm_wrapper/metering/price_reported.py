"""What a provider's own usage object says about the price, beside the counts: the cost itself, the tier, the details.

The objects are somebody else's JSON: whatever has another shape than expected is as good as not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any

EXACT = Context(prec=100)
"""For every operation on money: no sum or product here has that many digits, whatever the caller's own context is."""

STANDARD = frozenset({"", "default", "standard", "on_demand", "global", "not_available"})
"""The words for "nothing special", of OpenAI, Anthropic and Gemini, Groq, and Anthropic's `inference_geo`."""

_TIER_FIELDS = ("service_tier", "serviceTier", "speed", "inference_geo")
_MOST = 10**15
"""Ticks of one request (a hundred thousand dollars); a number beyond is none."""


def reported_cost(provider: str, raw: Mapping[str, Any]) -> Decimal | None:
    """US dollars that the provider itself says it charges for this request; None when it does not say."""
    read = _COSTS.get(provider)
    return None if read is None else read(raw)


def _openrouter(raw: Mapping[str, Any]) -> Decimal | None:
    """`cost` is what the account pays; with a key of your own (`is_byok`) that is the fee alone, and the upstream
    provider charges the rest: https://openrouter.ai/docs/use-cases/usage-accounting."""
    cost = _decimal(raw.get("cost"))
    if cost is None or raw.get("is_byok") is not True:
        return cost
    details = raw.get("cost_details")
    upstream = _decimal(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if upstream is None else EXACT.add(cost, upstream)


def _xai(raw: Mapping[str, Any]) -> Decimal | None:
    """10**10 ticks are a dollar: https://docs.x.ai/developers/cost-tracking."""
    ticks = _decimal(raw.get("cost_in_usd_ticks"))
    return None if ticks is None else EXACT.scaleb(ticks, -10)


def _perplexity(raw: Mapping[str, Any]) -> Decimal | None:
    cost = raw.get("cost")
    if not isinstance(cost, dict) or cost.get("currency", "USD") != "USD":
        return None
    return _decimal(cost.get("total_cost"))


_COSTS: dict[str, Callable[[Mapping[str, Any]], Decimal | None]] = {
    "openrouter": _openrouter,
    "perplexity": _perplexity,
    "xai": _xai,
}


def _decimal(value: Any) -> Decimal | None:
    """The number as it stood in the JSON: the shortest decimal that gives this float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return None
    return Decimal(str(value))


def reported_tier(tier: str | None, raw: Mapping[str, Any]) -> str | None:
    """The one word that may change the price (`priority`, `flex`, `batch`, `fast`, `us`), None for the standard.

    Several at once come as "fast+us", for which nobody has a price.
    """
    words = [tier] if tier is not None and tier not in STANDARD else []
    for field in _TIER_FIELDS:
        word = raw.get(field)
        if type(word) is str and word not in STANDARD:
            words.append(word)
    return _special(words) if words else None


def _special(words: list[str]) -> str | None:
    lower = dict.fromkeys(word.lower() for word in words)
    return "+".join(word for word in lower if word not in STANDARD) or None


def reported_count(raw: Mapping[str, Any], path: tuple[str, ...]) -> int | None:
    """The count at `path`; None when its first part is not there, 0 when only the rest is not. In a list of counts
    by modality (Gemini) the second part is the modality."""
    found = raw.get(path[0])
    if found is None:
        return None
    if type(found) is list:
        entries = [entry for entry in found if type(entry) is dict and entry.get("modality") == path[1]]
        return sum(_count(entry.get("tokenCount")) for entry in entries)
    if len(path) == 2:
        found = found.get(path[1]) if type(found) is dict else None
    return _count(found)


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


__all__ = ["EXACT", "STANDARD", "reported_cost", "reported_count", "reported_tier"]
