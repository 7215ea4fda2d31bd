"""What a ledger in a file says: sums and response times by day, hour, provider, model or tag.

The rows are read one by one, in one pass and without disturbing who writes; what is kept of them is a fixed size for
each group. By provider and by model a call counts once for each that was asked, with the part that this one had.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from decimal import Context, Decimal
from typing import NamedTuple, TypeAlias

from ..histogram import Histogram
from .parts import NONE, UNREADABLE, Call, Part, Parts, read
from .reader import Raw, open_file, rows

MAX_GROUPS = 5000
"""Of 10 KB each; what is beyond counts as `OTHER`."""
OTHER = "(other)"
SLOT = 900
"""Seconds: the step in which hours and days begin, in all time zones."""


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
        """Requests of whose tokens some have no known price. `cost` has what is known of them."""
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
        self.requests += 1
        self.times.record(part.seconds)
        error_type = part.error_type
        if error_type is not None:
            self.errors += 1
            self.errors_by_class[error_type] = self.errors_by_class.get(error_type, 0) + 1
        elif part.abandoned:
            self.abandoned += 1
        inside, outside = part.input_tokens, part.output_tokens
        if inside is None and outside is None:
            self.unreported += error_type is None
        else:
            self.input_tokens += inside or 0
            self.output_tokens += outside or 0
            self.cache_read_tokens += part.cache_read_tokens or 0
        self.unpriced += part.unpriced
        if part.cost:
            self.cost = _EXACT.add(self.cost, part.cost)


_EXACT = Context(prec=100, traps=[])  # digits enough for any sum of prices


class Summary(NamedTuple):
    by: str
    groups: dict[str, Sums]
    """In the order of time, or else by cost and requests, the largest first."""
    total: Sums
    """Of all calls, each of which counts once."""
    unreadable: int = 0
    """Rows that are left out, because they hold what no call can have said."""


def summarise(
    path: str, by: str = "day", *, tag: str | None = None, since: float | None = None, until: float | None = None
) -> Summary:
    """Of the calls that ended from `since` to before `until` (unix seconds). Days and hours are those of local time;
    tags are groups as "name=value", or by value alone when `tag` names one.

    Raises `RefusedError` when there is no ledger at `path`, ValueError for another `by`, and what SQLite raises.
    """
    if by not in GROUPINGS:
        raise ValueError(f"by must be one of {', '.join(GROUPINGS)}, not {by!r}.")
    with closing(open_file(path)) as connection:
        try:
            return _summary(rows(connection, since, until), by, GROUPINGS[by](tag))
        except sqlite3.OperationalError:  # perhaps for a text that is none, which has to be one row's affair
            connection.text_factory = _text
            return _summary(rows(connection, since, until), by, GROUPINGS[by](tag))


def _text(data: bytes) -> str | bytes:
    """Slower than SQLite's own, and without its error."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _summary(found: Iterable[Raw], by: str, parts: Grouping) -> Summary:
    groups, total, unreadable = _Groups(), Sums(), 0
    for row in found:
        try:
            call = read(row)
        except UNREADABLE:
            unreadable += 1
        else:
            _count(call, parts(call), groups, total)
    order = sorted(groups.items(), key=lambda item: item[0] if by in TIMES else _weight(*item))
    return Summary(by, dict(order), total, unreadable)


def _count(call: Call, parts: Parts, groups: _Groups, total: Sums) -> None:
    if call.row.cached or call.row.attempts < 1:
        kind = "cache_hits" if call.row.cached else "unsent"
        for sums in (total, *(groups[key] for key, _ in parts)):
            setattr(sums, kind, getattr(sums, kind) + 1)
        return
    total.add(call.whole)
    for key, part in parts:
        groups[key].add(part)


class _Groups(dict[str, Sums]):
    def __missing__(self, key: str) -> Sums:
        if len(self) >= MAX_GROUPS and key != OTHER:
            return self[OTHER]
        self[key] = sums = Sums()
        return sums


def _weight(key: str, sums: Sums) -> tuple[Decimal, int, str]:
    return -sums.cost, -sums.calls, key


# --- a call by its parts ----------------------------------------------------------------------------------------

Grouping: TypeAlias = Callable[[Call], Parts]


def _by_time(form: str) -> Grouping:
    slot, text = -1, ""

    def parts(call: Call) -> Parts:
        nonlocal slot, text
        if call.row.time // SLOT != slot:
            slot = int(call.row.time // SLOT)
            text = time.strftime(form, time.localtime(call.row.time))
        return ((text, call.whole),)

    return parts


def _by_tag(tag: str | None) -> Grouping:
    def parts(call: Call) -> Parts:
        if tag is not None:
            return ((call.tags.get(tag, NONE), call.whole),)
        return [(f"{name}={value}", call.whole) for name, value in call.tags.items()] or ((NONE, call.whole),)

    return parts


TIMES = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00"}
GROUPINGS: dict[str, Callable[[str | None], Grouping]] = {
    "day": lambda _: _by_time(TIMES["day"]),
    "hour": lambda _: _by_time(TIMES["hour"]),
    "model": lambda _: Call.by_model,
    "provider": lambda _: Call.by_provider,
    "tag": _by_tag,
}

__all__ = ["GROUPINGS", "NONE", "OTHER", "TIMES", "Summary", "Sums", "summarise"]
