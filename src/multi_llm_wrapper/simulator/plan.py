"""What goes into the brain and what comes out: a request as bytes, a reply as bytes with their times.

No clock runs here: a plan says how long to wait before each piece, and a shell (HTTP, memory) does the waiting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from .journal import JournalEntry
from .meter import Meter

Cut = Literal["close", "reset"]


class SimRequest(Struct, frozen=True):
    """One HTTP request as it came. `path` is as sent (percent signs and all), `headers` have lower-case names."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = {}
    body: bytes = b""


class Step(Struct, frozen=True, gc=False):
    """Wait `delay` seconds after the previous step was due, send `data`, then perhaps `cut` the connection."""

    delay: float
    data: bytes
    cut: Cut | None = None
    """`close`: the end of the body is missing; `reset`: a TCP reset on top."""


class Plan(Struct):
    """A reply: head, then steps. Delays count from when the step before was due, so that load does not add up."""

    status: int
    headers: dict[str, str]
    steps: Iterable[Step]
    """Taken one by one as they fall due, so a generator may make them late."""
    length: int | None = None
    """The Content-Length to announce; None is a stream, sent with chunked transfer coding."""
    delay: float = 0.0
    """Seconds before the head."""
    coalesce: bool = True
    """Whether pieces that are due together may share a write. If not, each is a write and a packet of its own."""
    cut: Cut | None = None
    """Cut the connection when the head is due, in its place."""
    doomed: bool = False
    """The connection stays open after the reply, but the next request on it finds it closed."""
    entry: JournalEntry | None = None
    """Where the shell writes down what it has sent."""
    meter: Meter | None = None
    """Where it writes down how punctual it was."""


def whole(status: int, headers: dict[str, str], body: bytes, delay: float = 0.0) -> Plan:
    """A reply in one piece, with its length announced."""
    return Plan(status, headers, (Step(0.0, body),), len(body), delay)
