"""What one call did and spent, attempt by attempt: for its response, for the totals and for the ledger.

Every attempt is billed by its provider, the failed and the abandoned ones too, as far as they reported usage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from .errors import LLMError
from .metering.prices import Prices
from .metering.record import NO_TAGS, Record, Share, total, used
from .response import Facts, usage_dict
from .types import Reply, Usage


class Attempt(Struct):
    """One request, once it has ended."""

    provider: str
    model: str
    seconds: float
    error: LLMError | None = None
    given_up: bool = False
    """By the caller, or as a hedge that lost: `error` is no failure of the provider's then."""
    hedge: bool = False
    """It was made beside another one that was late."""
    usage: Usage | None = None
    wait: float | None = None
    """Seconds that were waited after it."""
    began: float = 0.0
    ended: float = 0.0
    """Seconds after the call began."""

    def detail(self) -> dict[str, Any]:
        """As `metadata["attempts_detail"]` has it; the usage of the answer itself is in `metadata["usage"]`."""
        error = self.error
        return {
            "provider": self.provider,
            "model": self.model,
            "error_type": error.error_type if error is not None else None,
            "status_code": error.status_code if error is not None else 200,
            "duration": self.seconds,
            "wait": self.wait,
            "hedge": self.hedge,
            "usage": usage_dict(self.usage) if error is not None and self.usage is not None else None,
        }

    @property
    def failure(self) -> str | None:
        return self.error.error_type if self.error is not None and not self.given_up else None


_NOTHING = Reply()


class Account:
    """The books of one call. `attempts` are those that have ended, in that order."""

    __slots__ = ("_asked", "_prices", "_streamed", "attempts", "closed", "tags")

    def __init__(self, prices: Prices, asked: object, streamed: bool) -> None:
        self.attempts: list[Attempt] = []
        self.closed = False
        self.tags: Mapping[str, str] = NO_TAGS
        self._prices = prices
        self._asked = asked if isinstance(asked, str) else None
        self._streamed = streamed

    def details(self) -> list[dict[str, Any]]:
        return [one.detail() for one in self.attempts]

    def close(
        self, facts: Facts, status: str, reply: Reply | None, error: LLMError | None, *, cached: bool = False
    ) -> Record:
        """The call as it has ended; what it cost is put into `facts`. An answer from the cache costs nothing."""
        self.closed = True
        attempts = self.attempts
        parts: list[Share] = []
        usage = cost = None
        if attempts and not cached:
            if status == "success" and reply is not None:
                attempts[-1].usage = reply.usage
            if len(attempts) == 1:
                parts = [self._one(attempts[0], facts, reply)]
                usage, cost = parts[0].usage, parts[0].cost
            else:
                parts = self._several(facts, reply)
                usage = used(part.usage for part in parts)
                cost = None if any(part.unpriced for part in parts) else total(part.cost for part in parts)
        facts.cost = 0.0 if cached else None if cost is None else float(cost)
        if reply is None:
            reply = _NOTHING
        return Record(  # by position: by name it takes a microsecond
            facts.timestamp,
            status,
            self._asked,
            facts.provider,
            facts.model,
            facts.response_time,
            parts,
            self.tags,
            self._streamed,
            cached,
            facts.time_to_first_token,
            usage,
            cost,
            None if error is None else error.error_type,
            None if error is None else error.code,
            None if error is None else error.status_code,
            reply.finish_reason,
            (error.request_id if error is not None else None) or facts.request_id,
            reply.response_id,
            facts.attempts,
        )

    def _one(self, one: Attempt, facts: Facts, reply: Reply | None) -> Share:
        cost = self._cost(one, facts.timestamp, reply)
        return Share(
            one.provider,
            one.model,
            facts.response_time,
            one.usage,
            cost,
            one.failure,
            1,
            int(one.hedge),
            0,
            facts.time_to_first_token,
            _pace(one, facts),
        )

    def _several(self, facts: Facts, reply: Reply | None) -> list[Share]:
        """What each model had to do with it, in the order of its last attempt. `reply` is that of the last of all."""
        last = self.attempts[-1]
        by_model: dict[tuple[str, str], list[tuple[Attempt, Decimal | None]]] = {}
        for one in self.attempts:
            cost = self._cost(one, facts.timestamp, reply if one is last else None)
            key = one.provider, one.model
            by_model[key] = [*by_model.pop(key, []), (one, cost)]
        found = [_share(there) for there in by_model.values()]
        if len(found) == 1:
            found[0].seconds = facts.response_time
        if facts.time_to_first_token is not None:
            who = self._delivered(facts.time_to_first_token)
            for share in found:
                if (share.provider, share.model) == (who.provider, who.model):
                    share.first_token = facts.time_to_first_token
                    share.per_token = _pace(who, facts) if who is last else None
        return found

    def _delivered(self, first_token: float) -> Attempt:
        """The attempt that the first token came from: the last one that was under way then and not given up. After a
        restart that is not the one that answered."""
        last = self.attempts[-1]
        for one in reversed(self.attempts):
            if one.began <= first_token <= one.ended and not (one.given_up and one is not last):
                return one
        return last

    def _cost(self, one: Attempt, at: float, reply: Reply | None) -> Decimal | None:
        """Of the answer more is known than its counts: which model it was, which tier, and what the provider says."""
        if one.usage is None:
            return None
        if reply is None:
            return self._prices.cost(one.provider, one.model, one.usage, at)
        tier = reply.extras.get("service_tier")
        return self._prices.cost(
            one.provider,
            one.model,
            one.usage,
            at,
            raw_usage=reply.raw_usage,
            tier=tier if isinstance(tier, str) else None,
            response_model=reply.response_model,
        )


def _share(there: list[tuple[Attempt, Decimal | None]]) -> Share:
    """All attempts at one model of a provider."""
    attempts = [one for one, _ in there]
    last, cost = attempts[-1], total(cost for _, cost in there)
    return Share(
        provider=last.provider,
        model=last.model,
        seconds=sum(one.seconds for one in attempts),
        usage=used(one.usage for one in attempts),
        cost=cost,
        partly_priced=cost is not None and any(known is None and one.usage is not None for one, known in there),
        error_type=last.failure,
        attempts=len(attempts),
        hedges=sum(one.hedge for one in attempts),
        retries=_retries(attempts),
    )


def _pace(one: Attempt, facts: Facts) -> float | None:
    """Seconds for each token of an answer after its first."""
    tokens = one.usage.output_tokens if one.usage is not None else None
    if facts.time_to_first_token is None or tokens is None or tokens < 2 or one.failure is not None:
        return None
    return (facts.response_time - facts.time_to_first_token) / (tokens - 1)


def _retries(attempts: list[Attempt]) -> int:
    """Those that began when one before had failed; a hedge, and what was under way beside one, did not."""
    found, failed_at = 0, math.inf
    for one in attempts:
        found += not one.hedge and one.began >= failed_at
        if one.failure is not None:
            failed_at = min(failed_at, one.ended)
    return found


__all__ = ["Account", "Attempt"]
