"""The rows of a ledger in a file, for who reads and does not write."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from .sink import RefusedError
from .sqlite import version

Seconds: TypeAlias = Annotated[float, Meta(ge=0, lt=1e12)]


class Row(Struct, array_like=True, gc=False):
    """The columns that sums are made of, and what their values may be."""

    time: Annotated[float, Meta(ge=0, lt=253_402_000_000)]  # the year 9999 in all time zones
    status: str
    provider: str | None
    model: str | None
    cached: int
    attempts: int
    error_type: str | None
    response_time: Seconds
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cost_usd: Decimal | None
    tags: str | None
    shares: str | None


Raw: TypeAlias = tuple[Any, ...]
"""The values for a `Row`, as they are in the file."""


def open_file(path: str) -> sqlite3.Connection:
    """To read, and nothing else; processes that write are not held up."""
    if not os.path.isfile(path):
        raise RefusedError(
            f"there is no ledger at {path}; name another file, or have calls write one with "
            f'WrapperConfig(ledger="sqlite:///{path}")'
        )
    connection = sqlite3.connect(_uri(path), uri=True, timeout=5.0)
    try:
        version(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise RefusedError(f"{path} is no ledger") from None
        raise
    return connection


def _uri(path: str) -> str:
    """A folder that must not be written to has no room for the index of the log; without a log none is needed."""
    folder = os.path.dirname(os.path.abspath(path))
    bare = not os.access(folder, os.W_OK) and not os.path.exists(f"{path}-wal")
    return f"{Path(path).resolve().as_uri()}?{'immutable=1' if bare else 'mode=ro'}"


def rows(connection: sqlite3.Connection, since: float | None, until: float | None) -> Iterator[Raw]:
    """A column that an older schema does not have yet is NULL; of an empty file there are none."""
    known = {name for _, name, *_ in connection.execute("PRAGMA table_info(calls)")}
    if not known:
        return
    columns = ", ".join(name if name in known else "NULL" for name in Row.__struct_fields__)
    limits = [(f"time {sign} ?", at) for sign, at in ((">=", since), ("<", until)) if at is not None]
    where = f" WHERE {' AND '.join(text for text, _ in limits)}" if limits else ""
    yield from connection.execute(f"SELECT {columns} FROM calls{where}", [at for _, at in limits])  # noqa: S608  # ours


__all__ = ["Raw", "Row", "Seconds", "open_file", "rows"]
