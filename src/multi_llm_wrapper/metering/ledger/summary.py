"""What a ledger in a file says: sums and response times by day, hour, provider, model or tag.

The rows are read one by one, in one pass and without disturbing who writes; what is kept of them is a fixed size for
each group. By provider and by model a call counts once for each that was asked, with the part that this one had.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from decimal import Context, Decimal
from typing import Any, NamedTuple, TypeAlias

from ..histogram import Histogram
from ..record import added, total
from .reader import Row, open_file, rows

MAX_GROUPS = 5000
"""Of 10 KB each; what is beyond counts as `OTHER`."""
OTHER, NONE = "(other)", "(none)"
SLOT = 900
"""Seconds: the step in which hours and days begin, in all time zones."""


class Part(NamedTuple):
    """What counts of a call, or of the share that a provider or a model had in it."""

    seconds: float
    error_type: str | None
    abandoned: bool
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cost: Decimal | None


class Sums:
    """The requests of a group, and what did not become one: cache hits, and calls that failed before they were sent."""

    __slots__ = (
        "abandoned", "cache_hits", "cache_read_tokens", "cost", "errors", "errors_by_class", "input_tokens",
        "output_tokens", "requests", "times", "unpriced", "unreported", "unsent",
    )  # fmt: skip

    def __init__(self) -> None:
        self.requests = self.errors = self.abandoned = self.unsent = self.cache_hits = 0
        self.input_tokens = self.output_tokens = self.cache_read_tokens = 0
        self.cost = Decimal(0)
        self.unpriced = 0
        """Requests with tokens, but without a known price. They are not in `cost`."""
        self.unreported = 0
        """Requests without an error of which no tokens are known."""
        self.errors_by_class: dict[str, int] = {}
        self.times = Histogram()

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def calls(self) -> int:
        return self.requests + self.cache_hits + self.unsent

    def add(self, part: Part) -> None:
        seconds, error_type, abandoned, inside, outside, read, cost = part
        self.requests += 1
        self.times.record(seconds)
        if error_type is not None:
            self.errors += 1
            self.errors_by_class[error_type] = self.errors_by_class.get(error_type, 0) + 1
        elif abandoned:
            self.abandoned += 1
        if inside is None and outside is None:
            self.unreported += error_type is None
        else:
            self.input_tokens += inside or 0
            self.output_tokens += outside or 0
            self.cache_read_tokens += read or 0
            self.unpriced += cost is None
        if cost is not None:
            self.cost = _EXACT.add(self.cost, cost)


_EXACT = Context(prec=100, traps=[])  # digits enough for any sum of prices


class Summary(NamedTuple):
    by: str
    groups: dict[str, Sums]
    """In the order of time, or else by cost and requests, the largest first."""
    total: Sums
    """Of all calls, each of which counts once."""


def summarise(
    path: str, by: str = "day", *, tag: str | None = None, since: float | None = None, until: float | None = None
) -> Summary:
    """Of the calls that ended from `since` to before `until` (unix seconds). Days and hours are those of local time;
    tags are groups as "name=value", or by value alone when `tag` names one.

    Raises `RefusedError` when there is no ledger at `path`, ValueError for another `by`, and what SQLite raises.
    """
    if by not in GROUPINGS:
        raise ValueError(f"by must be one of {', '.join(GROUPINGS)}, not {by!r}.")
    groups, total = _Groups(), Sums()
    parts = GROUPINGS[by](tag)
    with closing(open_file(path)) as connection:
        for row in rows(connection, since, until):
            _count(row, parts(row), groups, total)
    order = sorted(groups.items(), key=lambda item: item[0] if by in TIMES else _weight(*item))
    return Summary(by, dict(order), total)


def _count(row: Row, parts: Iterable[tuple[str, Part | None]], groups: _Groups, total: Sums) -> None:
    """`None` stands for the whole call."""
    if row.cached or row.attempts < 1:
        kind = "cache_hits" if row.cached else "unsent"
        for sums in (total, *(groups[key] for key, _ in parts)):
            setattr(sums, kind, getattr(sums, kind) + 1)
        return
    whole = _whole(row)
    total.add(whole)
    for key, part in parts:
        groups[key].add(part or whole)


class _Groups(dict[str, Sums]):
    def __missing__(self, key: str) -> Sums:
        if len(self) >= MAX_GROUPS and key != OTHER:
            return self[OTHER]
        self[key] = sums = Sums()
        return sums


def _weight(key: str, sums: Sums) -> tuple[Decimal, int, str]:
    return -sums.cost, -sums.calls, key


# --- a row by its parts -----------------------------------------------------------------------------------------

Grouping: TypeAlias = Callable[[Row], Iterable[tuple[str, Part | None]]]


def _by_time(form: str) -> Grouping:
    slot, text = -1, ""

    def parts(row: Row) -> Iterable[tuple[str, Part | None]]:
        nonlocal slot, text
        if row.time // SLOT != slot:
            slot = int(row.time // SLOT)
            text = time.strftime(form, time.localtime(row.time))
        return ((text, None),)

    return parts


def _by_model(row: Row) -> Iterable[tuple[str, Part | None]]:
    if row.shares is None:
        return ((f"{row.provider or NONE}/{row.model or NONE}", None),)
    return [(f"{share['provider']}/{share['model']}", _part(share, row)) for share in json.loads(row.shares)]


def _by_provider(row: Row) -> Iterable[tuple[str, Part | None]]:
    if row.shares is None:
        return ((row.provider or NONE, None),)
    there: dict[str, list[Part]] = {}
    for share in json.loads(row.shares):
        there.setdefault(share["provider"], []).append(_part(share, row))
    found = {provider: _merged(parts) for provider, parts in there.items()}
    if len(found) == 1:
        return [(provider, part._replace(seconds=row.response_time)) for provider, part in found.items()]
    return found.items()


def _by_tag(tag: str | None) -> Grouping:
    def parts(row: Row) -> Iterable[tuple[str, Part | None]]:
        tags = json.loads(row.tags) if row.tags is not None else {}
        if tag is not None:
            return ((tags.get(tag, NONE), None),)
        return [(f"{name}={value}", None) for name, value in tags.items()] or ((NONE, None),)

    return parts


TIMES = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00"}
GROUPINGS: dict[str, Callable[[str | None], Grouping]] = {
    "day": lambda _: _by_time(TIMES["day"]),
    "hour": lambda _: _by_time(TIMES["hour"]),
    "model": lambda _: _by_model,
    "provider": lambda _: _by_provider,
    "tag": _by_tag,
}


def _whole(row: Row) -> Part:
    error_type = (row.error_type or "general_error") if row.status == "error" else None
    cost = None if row.cost_usd is None else Decimal(row.cost_usd)
    return Part(
        row.response_time,
        error_type,
        row.status == "abandoned",
        row.input_tokens,
        row.output_tokens,
        row.cache_read_tokens,
        cost,
    )


def _part(share: dict[str, Any], row: Row) -> Part:
    cost = share.get("cost_usd")
    return Part(
        share["seconds"],
        share.get("error_type"),
        row.status == "abandoned",
        share.get("input_tokens"),
        share.get("output_tokens"),
        share.get("cache_read_tokens"),
        None if cost is None else Decimal(cost),
    )


def _merged(parts: list[Part]) -> Part:
    """Several models of one provider."""
    return parts[-1]._replace(
        seconds=sum(part.seconds for part in parts),
        input_tokens=added(part.input_tokens for part in parts),
        output_tokens=added(part.output_tokens for part in parts),
        cache_read_tokens=added(part.cache_read_tokens for part in parts),
        cost=total(part.cost for part in parts if (part.input_tokens, part.output_tokens) != (None, None)),
    )


__all__ = ["GROUPINGS", "NONE", "OTHER", "TIMES", "Part", "Summary", "Sums", "summarise"]
