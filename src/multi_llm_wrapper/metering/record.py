"""What is known of one logical call when it has ended: what the totals count and the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal

from msgspec import Struct, structs

from ..types import Usage

NO_TAGS: Mapping[str, str] = {}


class Share(Struct):
    """What one model of a provider had to do in a call: all attempts there, failed, hedged and abandoned ones too."""

    provider: str
    model: str
    """The name sent to it."""
    seconds: float
    """The time of the call, or of the attempts there where others were asked, too."""
    usage: Usage | None = None
    """What its attempts reported, added up; None when none did."""
    cost: Decimal | None = None
    """US dollars for `usage`, as far as it has a known price; None when nothing has."""
    error_type: str | None = None
    """The class of the failure, when its last attempt failed. A caller who gave up is no failure."""
    attempts: int = 1
    hedges: int = 0
    """Attempts made beside another one that was late."""
    retries: int = 0
    """Attempts made because another one there had failed."""
    first_token: float | None = None
    """Seconds from the start of the call to the first content, when it came from there."""
    per_token: float | None = None
    """Seconds for each token after that, when the answer is the one that the first content was of."""
    partly_priced: bool = False
    """Some of `usage` has no known price, and so no part in `cost`."""

    @property
    def unpriced(self) -> bool:
        """Not all of what was used has a known price."""
        return self.partly_priced or (self.cost is None and self.usage is not None)


class Record(Struct):
    """One logical call. `usage` and `cost` are of all attempts together, as a provider bills them. The order of the
    fields counts: `account` gives them by position."""

    timestamp: float
    """Unix seconds at its end."""
    status: str
    """`success`, `error`, or `abandoned` by the caller."""
    asked: str | None
    """The model that the caller named (or the default)."""
    provider: str | None
    model: str | None
    """Who answered, and under which name; of an error, whose it is."""
    response_time: float
    shares: list[Share]
    """One for each model that was asked, in the order of its last attempt."""
    tags: Mapping[str, str] = NO_TAGS
    streamed: bool = False
    cached: bool = False
    time_to_first_token: float | None = None
    usage: Usage | None = None
    cost: Decimal | None = None
    """US dollars; None when that is not known of all of `usage`."""
    error_type: str | None = None
    code: str | None = None
    status_code: int | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    response_id: str | None = None
    attempts: int = 0

    def by_provider(self) -> list[tuple[Share, list[Share]]]:
        """What each provider had to do with it, and the parts of its models in that."""
        there: dict[str, list[Share]] = {}
        for share in self.shares:
            there.setdefault(share.provider, []).append(share)
        found = [(merged(parts), parts) for parts in there.values()]
        if len(found) == 1:
            found[0][0].seconds = self.response_time
        return found


def merged(parts: list[Share]) -> Share:
    """Several as one, under the name of the last; their own time is that of all together."""
    if len(parts) == 1:
        return parts[0]
    last = parts[-1]
    return Share(
        last.provider,
        last.model,
        sum(part.seconds for part in parts),
        used(part.usage for part in parts),
        total(part.cost for part in parts),
        last.error_type,
        sum(part.attempts for part in parts),
        sum(part.hedges for part in parts),
        sum(part.retries for part in parts),
        next((part.first_token for part in parts if part.first_token is not None), None),
        next((part.per_token for part in parts if part.per_token is not None), None),
        any(part.unpriced for part in parts) and any(part.cost is not None for part in parts),
    )


def used(parts: Iterable[Usage | None]) -> Usage | None:
    """The sum of each count over those that reported it; None when none reported anything."""
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    return Usage(*(added(counts) for counts in zip(*(structs.astuple(part) for part in known), strict=True)))


def added(counts: Iterable[int | None]) -> int | None:
    """The sum of those that were reported; None when none was."""
    reported = [count for count in counts if count is not None]
    return sum(reported) if reported else None


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The exact sum of those that are known; None when none is."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < 2:
        return known[0] if known else None
    exact, found = Context(prec=60), Decimal(0)
    for cost in known:
        found = exact.add(found, cost)
    return found


__all__ = ["Record", "Share", "added", "merged", "total", "used"]
