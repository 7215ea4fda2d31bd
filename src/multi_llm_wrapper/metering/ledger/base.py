"""What a ledger is, and which one a URL means.

    sqlite:///usage.db              a file, here or (sqlite:////var/lib/app/usage.db) anywhere; several processes

There are two seams. What sends records on by itself, without blocking (an exporter), is a `Ledger`. What blocks (a
database) is a `Sink`, and `Writer` makes a ledger of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from ...checks import refuse
from ..record import Record
from .sink import Sink
from .writer import Writer

FIELD = "WrapperConfig.ledger"


class Ledger(Protocol):
    """Records of calls, one for each, in the order in which the calls ended."""

    name: str
    """For logs: without credentials."""

    def add(self, record: Record) -> None:
        """Never blocks and never raises. The record is kept as it is: do not change it afterwards."""

    @property
    def lost(self) -> int:
        """Records that could not be kept."""

    async def aclose(self) -> None:
        """Writes what waits, within a few seconds, and lets go of files and threads. A later `add` opens it anew."""


def open_ledger(url: str) -> Ledger:
    """Opens nothing yet. Raises `ValueError` when `url` means no ledger; the message does not repeat it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise refuse(FIELD, "is no URL", _REMEDY) from None
    opener = _OPENERS.get(parts.scheme)
    if opener is None:
        raise refuse(FIELD, f"begins with {parts.scheme!r}, which is no kind of ledger", _REMEDY)
    return opener(parts)


def file_of(parts: SplitResult) -> str:
    """The path that a URL of SQLite names; it stays the same when the program changes its folder."""
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or parts.fragment or not path or "\0" in path or path == ":memory:":
        raise refuse(FIELD, "names no file", _REMEDY)
    if parts.query:
        raise refuse(FIELD, "has options behind a question mark", "leave them out; there are none")
    return os.path.abspath(path)


def _sqlite(parts: SplitResult) -> Ledger:
    path = file_of(parts)

    def sink() -> Sink:
        from .sqlite import SQLiteSink  # in the thread of the writer: sqlite3 takes a while to load

        return SQLiteSink(path)

    return Writer(f"sqlite:///{path}", sink)


_OPENERS: dict[str, Callable[[SplitResult], Ledger]] = {"sqlite": _sqlite}
_REMEDY = (
    'use "sqlite:///usage.db" for a file in the current folder, "sqlite:////var/lib/app/usage.db" for one anywhere'
)

__all__ = ["FIELD", "Ledger", "file_of", "open_ledger"]
