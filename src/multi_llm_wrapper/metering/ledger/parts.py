"""A row as what counts of it: the call, and the part that each provider and model had in it.

A row is read whole or not at all. One that was edited by hand, or by a broken disk, costs no more than itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, convert, structs
from msgspec.json import Decoder

from ..record import NO_TAGS, added, total
from .reader import Raw, Row, Seconds

NONE = "(none)"
UNREADABLE = (ValueError, ArithmeticError, RecursionError)
"""Raised by `read` for a row that cannot be read."""


class Part(Struct, gc=False):
    """What counts of a call, or of the share that a provider or a model had in it."""

    seconds: float
    error_type: str | None
    abandoned: bool
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cost: Decimal | None
    """The sum of what has a known price; None when nothing has."""
    unpriced: bool
    """Something of it has no known price."""


class Call(Struct, gc=False):
    row: Row
    whole: Part
    tags: Mapping[str, str]
    shares: list[tuple[str, str, Part]]
    """Provider, model and part, where there is more to say of them than of the whole."""

    def by_model(self) -> Parts:
        if not self.shares:
            return [(f"{self.row.provider or NONE}/{self.row.model or NONE}", self.whole)]
        return [(f"{provider}/{model}", part) for provider, model, part in self.shares]

    def by_provider(self) -> Parts:
        """Several models of one provider are one part."""
        if not self.shares:
            return [(self.row.provider or NONE, self.whole)]
        there: dict[str, list[Part]] = {}
        for provider, _, part in self.shares:
            there.setdefault(provider, []).append(part)
        if len(there) == 1:
            return [(provider, _merged(parts, self.whole.seconds)) for provider, parts in there.items()]
        return [(provider, _merged(parts, sum(part.seconds for part in parts))) for provider, parts in there.items()]


Parts: TypeAlias = Sequence[tuple[str, Part]]
"""Each with the name that it counts for."""


def read(raw: Raw) -> Call:
    """Raises one of `UNREADABLE` for values that no call can have."""
    found = convert(raw, Row)
    shares = [] if found.shares is None else [_share(share, found) for share in _decode_shares(found.shares)]
    tags = NO_TAGS if found.tags is None else _decode_tags(found.tags)
    return Call(found, _whole(found, shares), tags, shares)


# --- what the values may be -------------------------------------------------------------------------------------

_LEAST, _MOST = Decimal("1e-60"), Decimal("1e18")
"""US dollars. What is beyond is not what a call costs, and would take a sum its digits."""


class _Share(Struct):
    """Of the column `shares`; what a later version adds is passed over."""

    provider: str
    model: str
    seconds: Seconds
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cost_usd: Decimal | None = None
    unpriced: bool = False
    error_type: str | None = None


_decode_tags = Decoder(dict[str, str]).decode
_decode_shares = Decoder(Annotated[list[_Share], Meta(min_length=1)]).decode


def _price(cost: Decimal | None) -> Decimal | None:
    if not cost or _LEAST <= cost < _MOST:  # raises InvalidOperation for what is no number
        return cost
    raise ValueError("no price")


# --- parts ------------------------------------------------------------------------------------------------------


def _whole(row: Row, shares: list[tuple[str, str, Part]]) -> Part:
    inside, outside, cost = row.input_tokens, row.output_tokens, _price(row.cost_usd)
    unpriced = cost is None and not (inside is None and outside is None)
    if shares and cost is None:  # not all of it is known
        parts = [part for _, _, part in shares]
        cost, unpriced = total(part.cost for part in parts), any(part.unpriced for part in parts)
    error_type = (row.error_type or "general_error") if row.status == "error" else None
    abandoned, read = row.status == "abandoned", row.cache_read_tokens
    return Part(row.response_time, error_type, abandoned, inside, outside, read, cost, unpriced)


def _share(share: _Share, row: Row) -> tuple[str, str, Part]:
    inside, outside, cost = share.input_tokens, share.output_tokens, _price(share.cost_usd)
    unpriced = share.unpriced or (cost is None and not (inside is None and outside is None))
    abandoned, read = row.status == "abandoned", share.cache_read_tokens
    part = Part(share.seconds, share.error_type, abandoned, inside, outside, read, cost, unpriced)
    return share.provider, share.model, part


def _merged(parts: list[Part], seconds: float) -> Part:
    """How it ended is a matter of the last."""
    return structs.replace(
        parts[-1],
        seconds=seconds,
        input_tokens=added(part.input_tokens for part in parts),
        output_tokens=added(part.output_tokens for part in parts),
        cache_read_tokens=added(part.cache_read_tokens for part in parts),
        cost=total(part.cost for part in parts),
        unpriced=any(part.unpriced for part in parts),
    )


__all__ = ["NONE", "UNREADABLE", "Call", "Part", "Parts", "read"]
