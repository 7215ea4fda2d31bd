"""What the simulator was asked and what it did: one entry a request, the newest kept."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from .plan import SimRequest

MAX_ENTRIES = 10_000
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_SENDS = 256
"""Pieces of one reply whose times are kept."""

SECRET_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "proxy-authorization", "cookie")


class JournalEntry(Struct, eq=False):
    """One request and what became of it. The last fields change while the reply is sent."""

    number: int
    """Counts requests from 1 since the last reset."""
    time: float
    """Unix seconds when the whole request was there."""
    method: str
    path: str
    query: str
    """As sent, keys hashed."""
    headers: dict[str, str]
    """Lower-case names; keys are replaced by `sha256:` and the first twelve digits of their hash."""
    body: bytes
    dialect: str | None = None
    model: str | None = None
    stream: bool = False
    status: int = 0
    request_id: str | None = None
    """The id that the reply carried in its headers."""
    fault: str | None = None
    """The name of the fault in the reply; None for a healthy one."""
    sent_bytes: int = 0
    """Bytes of the body handed to the network, framing not counted."""
    sent_chunks: int = 0
    """Pieces of the body, as planned; several may have shared a write."""
    done: bool = False
    """The whole reply was sent, as far as it was planned."""
    hung_up: bool = False
    """The client closed the connection before that."""
    ended: float | None = None
    """Seconds from the request to one of the two; None while the reply is under way."""
    sends: array[float] | None = None
    """The times of the first pieces; see `sent_at`."""

    def sent(self, dues: list[float], actual: float, start: float) -> None:
        """Pieces that were due at `dues` were handed over at `actual`; the request came at `start`."""
        times = self.sends
        if times is None:
            times = self.sends = array("f")
        if len(times) < 2 * MAX_SENDS:
            took = actual - start
            for due in dues[: MAX_SENDS - len(times) // 2]:
                times.append(due - start)
                times.append(took)

    @property
    def sent_at(self) -> list[tuple[float, float]]:
        """When the first 256 pieces of the body were sent: intended and actual, in seconds since the request."""
        times = self.sends.tolist() if self.sends is not None else []
        return list(zip(times[::2], times[1::2], strict=True))

    @property
    def json(self) -> Any:
        """The body as JSON, None when it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class Journal:
    """The newest entries, bounded by number and by the bytes of their bodies.

    Entries are written by the loop that serves and may be read from any thread; `wait_for` is how a test waits for
    something to have happened without sleeping.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._entries: deque[JournalEntry] = deque()
        self._max_entries = max_entries
        self._max_body_bytes = max_body_bytes
        self._body_bytes = 0
        self._number = 0
        self._listeners: list[Callable[[], None]] = []

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(list(self._entries))  # a copy is one step of the interpreter: safe while another thread appends

    @property
    def total(self) -> int:
        """How many requests came since the last reset, kept or not."""
        return self._number

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> JournalEntry:
        return self._entries[index]

    def add(self, request: SimRequest, time: float) -> JournalEntry:
        self._number += 1
        query = hash_keys(request.query) if "key" in request.query.lower() else request.query
        headers = hash_secrets(request.headers)
        entry = JournalEntry(self._number, time, request.method, request.path, query, headers, request.body)
        self._entries.append(entry)
        self._body_bytes += len(request.body)
        while len(self._entries) > self._max_entries or self._body_bytes > self._max_body_bytes:
            self._body_bytes -= len(self._entries.popleft().body)
        return entry

    def clear(self) -> None:
        self._entries.clear()
        self._body_bytes = 0
        self._number = 0

    def changed(self) -> None:
        """Said when an entry is new, and when its reply has ended one way or the other."""
        for listener in self._listeners:
            listener()

    def wait_for(self, condition: Callable[[Journal], bool], timeout: float = 5.0) -> bool:
        """Blocks until `condition(journal)` holds, at most `timeout` seconds; whether it does. Not for the serving
        thread."""
        event = threading.Event()
        wake = event.set
        end = monotonic() + timeout
        self._listeners = [*self._listeners, wake]  # a new list: the serving thread may be walking the old one
        try:
            while not condition(self):
                if not event.wait(max(0.0, end - monotonic())):
                    return condition(self)
                event.clear()
            return True
        finally:
            self._listeners = [listener for listener in self._listeners if listener is not wake]


def hash_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with every key replaced by its hash: two requests can be compared, no key can be read."""
    copy = dict(headers)
    for name in SECRET_HEADERS:
        if name in copy:
            copy[name] = fingerprint(copy[name])
    return copy


def hash_keys(query: str) -> str:
    """Gemini also takes its key as `?key=`."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, fingerprint(value) if "key" in name.lower() else value) for name, value in pairs])


def fingerprint(secret: str) -> str:
    """`sha256:` and twelve hexadecimal digits; of a bearer token without the word before it."""
    scheme, _, token = secret.partition(" ")
    return "sha256:" + sha256((token or scheme).encode("utf-8", "surrogateescape")).hexdigest()[:12]
