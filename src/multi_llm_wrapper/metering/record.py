"""What is known of one logical call when it has ended: what the totals count and the ledger keeps."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from ..types import Usage

NO_TAGS: Mapping[str, str] = {}


class Share(Struct):
    """The part that one provider had in a call: all attempts there, failed, hedged and abandoned ones too."""

    provider: str
    model: str
    """The name sent to it, in its last attempt."""
    seconds: float
    """The time of the call, or of the attempts there where several providers were asked."""
    usage: Usage | None = None
    """What its attempts reported, added up; None when none did."""
    cost: Decimal | None = None
    """US dollars for `usage`; None when it has no known price."""
    error_type: str | None = None
    """The class of the failure, when its last attempt failed. A caller who gave up is no failure."""
    attempts: int = 1
    hedges: int = 0
    """Attempts made beside another one that was late."""
    retries: int = 0
    """Attempts made because another one there had failed."""
    first_token: float | None = None
    """Seconds from the start of the call to the first content, when this provider answered a stream."""


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
    tags: Mapping[str, str] = NO_TAGS
    streamed: bool = False
    cached: bool = False
    time_to_first_token: float | None = None
    usage: Usage | None = None
    cost: Decimal | None = None
    error_type: str | None = None
    code: str | None = None
    status_code: int | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    response_id: str | None = None
    attempts: int = 0


__all__ = ["Record", "Share"]
