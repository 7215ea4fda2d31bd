"""The ledger in a file: SQLite in WAL mode, so that several processes write and others read meanwhile.

`synchronous` is NORMAL: a commit survives the end of the process, however it ends, but does not wait for the disk, so
that a power cut may cost the last commits. The file stays whole in either case, and FULL would wait for the disk five
times a second.

The file is ours by its `application_id`. Nothing in it is ever changed or moved, and another program's database is
never written to.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import MsgspecError

from ..record import Record
from .rows import COLUMNS, mended, row
from .sink import RefusedError

APPLICATION_ID = 0x4D4C574C  # "MLWL"
BUSY = 1.0
"""Seconds that a write waits for that of another process, before it counts as failed."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE calls (
            id INTEGER PRIMARY KEY,
            time REAL NOT NULL,
            status TEXT NOT NULL,
            asked TEXT,
            provider TEXT,
            model TEXT,
            streamed INTEGER NOT NULL,
            cached INTEGER NOT NULL,
            response_time REAL NOT NULL,
            time_to_first_token REAL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            total_tokens INTEGER,
            cache_read_tokens INTEGER,
            cache_write_tokens INTEGER,
            reasoning_tokens INTEGER,
            cost_usd TEXT,
            error_type TEXT,
            code TEXT,
            status_code INTEGER,
            finish_reason TEXT,
            request_id TEXT,
            response_id TEXT,
            attempts INTEGER NOT NULL,
            retries INTEGER NOT NULL,
            hedges INTEGER NOT NULL,
            tags TEXT
        )""",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    (
        "ALTER TABLE calls ADD COLUMN shares TEXT",
        "CREATE INDEX calls_by_time ON calls (time)",
    ),
)
"""What leads from one version of the schema (`user_version`) to the next. They only add, so that a process that has the
file open already, with an older version of this package, can go on."""
SCHEMA = len(MIGRATIONS)

_INSERT = f"INSERT INTO calls ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  # ours
_UNFIT = (
    sqlite3.InterfaceError,
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    ArithmeticError,
    AttributeError,
    TypeError,
    ValueError,
    MsgspecError,
)
"""Raised for what is in a record, not for the state of the file: numbers of more than 64 bits, broken characters."""


class SQLiteSink:
    def __init__(self, path: str) -> None:
        self._path = path
        self._connection, self._opened = _open(path)

    def write(self, records: Sequence[Record]) -> int:
        if self._opened != _identity(self._path):  # moved away or removed, perhaps to begin a new one
            with suppress(sqlite3.Error):  # SQLite would leave what it has not put into the moved file yet behind
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.close()
            self._connection, self._opened = _open(self._path)
        try:
            self._insert(records)
            return 0
        except _UNFIT:
            return self._insert_one_by_one(records)

    def close(self) -> None:
        self._connection.close()

    def _insert(self, records: Sequence[Record]) -> None:
        rows = [row(record) for record in records]
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, rows)

    def _insert_one_by_one(self, records: Sequence[Record]) -> int:
        """How many do not fit. A statement that fails undoes itself alone, not the transaction."""
        left_out = 0
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for record in records:
                left_out += not (_fits(connection, record) or _fits(connection, record, mended))
        return left_out


def _fits(connection: sqlite3.Connection, record: Record, change: Callable[[Record], Record] | None = None) -> bool:
    try:
        connection.execute(_INSERT, row(change(record) if change is not None else record))
    except _UNFIT:
        return False
    return True


def _open(path: str) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
    with suppress(OSError):  # what is wrong with the path is said by SQLite
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # who spends what is not for everybody
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        _migrate(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection, _identity(path)


def _migrate(connection: sqlite3.Connection) -> None:
    """To the schema of today; two processes may do it at the same time."""
    if version(connection) == SCHEMA:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statements in MIGRATIONS[version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def version(connection: sqlite3.Connection) -> int:
    """Of the schema; 0 for an empty file. Raises `RefusedError` for what is no ledger or none that we know."""
    found = _number(connection, "user_version")
    if _number(connection, "application_id") == APPLICATION_ID:
        if found > SCHEMA:
            raise RefusedError(
                f"the ledger was made by a newer version of multi-llm-wrapper (schema {found}, known up to {SCHEMA}); "
                "upgrade, or name another file"
            )
        return found
    if found or connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise RefusedError("the file is the database of another program; name another file")
    return 0


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _identity(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


__all__ = ["APPLICATION_ID", "MIGRATIONS", "SCHEMA", "SQLiteSink", "version"]
