"""The cache in a file, for several processes: SQLite in WAL mode, in one thread that only this store uses.

The file is bounded by the pages in use, so that neither a table of sizes nor a scan is needed. It is ours by its
`application_id`: another program's database is never written to, and a file that is not ours is never moved.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from .memory import MAX_BYTES
from .thread import Thread

T = TypeVar("T")

APPLICATION_ID = 0x4D4C5743  # "MLWC"
SCHEMA = 1
"""`user_version` of the file. One of an older version is emptied, one of a newer version is left alone."""
BUSY_MS = 200
"""How long a write waits for that of another process."""
TOUCH = 60.0
"""Seconds after which a use is written down; a finer order of use is not worth a write for each read."""
EVICT = 16
"""How many of the least recently used entries go at a time."""

_MAKE = (
    "DROP TABLE IF EXISTS entries",
    "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL, used REAL NOT NULL)",
    "CREATE INDEX entries_by_use ON entries (used)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)


class NotOursError(Exception):
    """The file belongs to another program or to a newer version of this one, or the connection to another process."""


class SQLiteStore:
    """`max_bytes` bounds the pages in use; write-ahead log and index come on top (4 MiB, and a few per cent)."""

    def __init__(self, path: str, *, max_bytes: int = MAX_BYTES, timeout: float = 0.05) -> None:
        self.name = f"sqlite:///{path}"
        self.timeout = timeout
        self._file = _File(path, max_bytes)
        self._thread: Thread | None = None
        self._process = 0
        self._closer: weakref.finalize[..., SQLiteStore] | None = None

    @property
    def evicted(self) -> int:
        return self._file.evicted

    @property
    def size(self) -> int | None:
        return self._file.size

    def get(self, key: str, now: float) -> asyncio.Future[bytes | None]:
        return self._run(lambda: self._file.get(key, now), first=True)

    def put(self, key: str, value: bytes, now: float, expires: float) -> asyncio.Future[bool]:
        return self._run(lambda: self._file.put(key, value, now, expires), first=False)

    async def aclose(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None or self._closer is None or self._process != os.getpid():
            return
        self._closer.detach()
        await asyncio.get_running_loop().run_in_executor(thread, self._file.close)
        thread.shutdown(wait=False)

    def _run(self, work: Callable[[], T], *, first: bool) -> asyncio.Future[T]:
        thread = self._thread or self._start()
        if self._process != os.getpid():
            raise NotOursError("the file was opened before a fork; open the wrapper in the child")
        return asyncio.wrap_future(thread.add(work, first=first))

    def _start(self) -> Thread:
        self._process = os.getpid()
        thread = self._thread = Thread()
        self._closer = weakref.finalize(self, _close, thread, self._file, self._process)
        return thread


def _close(thread: Thread, file: _File, process: int) -> None:
    """From the garbage collector or at the end of the interpreter, when the thread may have ended already."""
    if process != os.getpid():
        return  # after a fork, thread and connection are the parent's
    try:
        thread.submit(file.close)
    except RuntimeError:
        file.close()
    thread.shutdown(wait=False)


class _File:
    """The connection, used in the thread of the store alone."""

    def __init__(self, path: str, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.evicted = 0
        self.size: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # device and inode
        self._page = 4096

    def get(self, key: str, now: float) -> bytes | None:
        return self._try(lambda connection: self._get(connection, key, now))

    def put(self, key: str, value: bytes, now: float, expires: float) -> bool:
        """Whether it was kept: half the cache does not go for one entry."""
        if len(value) > self.max_bytes // 2:
            return False
        if self._connection is not None and self._replaced():
            self.close()
        return self._try(lambda connection: self._put(connection, key, value, now, expires))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- entries ------------------------------------------------------------------------------------------------

    def _get(self, connection: sqlite3.Connection, key: str, now: float) -> bytes | None:
        row = connection.execute("SELECT value, expires, used FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        value, expires, used = row
        if now >= expires:
            return None
        if now - used > TOUCH:
            with suppress(sqlite3.OperationalError):  # a reader of a file that it may not write
                connection.execute("UPDATE entries SET used = ? WHERE key = ?", (now, key))
        return value if type(value) is bytes else b""

    def _put(self, connection: sqlite3.Connection, key: str, value: bytes, now: float, expires: float) -> bool:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET value = excluded.value, expires = excluded.expires, used = excluded.used",
                (key, value, expires, now),
            )
            evicted = self._make_room(connection, key)
        self.evicted += evicted
        self.size = self._bytes_in_use(connection)
        return True

    def _make_room(self, connection: sqlite3.Connection, key: str) -> int:
        evicted = 0
        while self._bytes_in_use(connection) > self.max_bytes:
            gone = connection.execute(
                "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE key <> ? ORDER BY used LIMIT ?)",
                (key, EVICT),
            ).rowcount
            if gone <= 0:
                break
            evicted += gone
        return evicted

    def _bytes_in_use(self, connection: sqlite3.Connection) -> int:
        return (_number(connection, "page_count") - _number(connection, "freelist_count")) * self._page

    # --- the file -----------------------------------------------------------------------------------------------

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connection or self._open())
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                self.close()
                if not self._set_aside():
                    raise
                return work(self._open())
            raise

    def _open(self) -> sqlite3.Connection:
        self._create()
        connection = sqlite3.connect(
            self.path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=16
        )
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._opened = self._identity()
        self._page = _number(connection, "page_size")
        self.size = self._bytes_in_use(connection)
        return connection

    def _create(self) -> None:
        """Answers can be private: nobody but the owner reads a file that we make."""
        with suppress(OSError):  # what is wrong with the path is said by SQLite
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _identity(self) -> tuple[int, int] | None:
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def _replaced(self) -> bool:
        """Another process, or a person, has moved or removed the file that is open here."""
        return self._identity() != self._opened

    def _set_aside(self) -> bool:
        """Moves a damaged file of ours to `PATH.damaged`, unless another process has done it already."""
        if self._opened is not None and self._replaced():
            return True
        if not _is_ours(self.path):
            return False
        os.replace(self.path, f"{self.path}.damaged")
        for suffix in ("-wal", "-shm"):
            with suppress(OSError):
                os.remove(self.path + suffix)
        return True


def _prepare(connection: sqlite3.Connection) -> None:
    """Makes what is not there yet; two processes may do it at the same time."""
    if not _is_current(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if not _is_current(connection):
                for statement in _MAKE:
                    connection.execute(statement)
    connection.execute("PRAGMA synchronous = NORMAL")


def _is_current(connection: sqlite3.Connection) -> bool:
    """Raises `NotOursError` for what must not be touched."""
    version = _number(connection, "user_version")
    if _number(connection, "application_id") == APPLICATION_ID:
        if version > SCHEMA:
            raise NotOursError("the file was made by a newer version")
        return version == SCHEMA
    if version or connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise NotOursError("the file is the database of another program")
    return False


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Malformed, or no database at all."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_ours(path: str) -> bool:
    """By the header, which is all that can be asked of a damaged file."""
    try:
        with open(path, "rb") as file:
            header = file.read(72)
    except OSError:
        return False
    return header[:16] == b"SQLite format 3\0" and header[68:72] == struct.pack(">I", APPLICATION_ID)


__all__ = ["SQLiteStore"]
