"""Server-sent events: bytes in, events out (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Works on bytes, so a read may end anywhere, also inside a UTF-8 character or between CR and LF. Each byte is looked
at a fixed number of times however the reads fall. Comments, `id` and `retry` are skipped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import LimitExceededError

MAX_EVENT_BYTES = 16 * 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """`name` is the `event:` field ("" when there was none), `data` the `data:` lines joined by LF."""

    name: str
    data: bytes


class SSEParser:
    """`feed()` gives the events completed by these bytes; `close()` what an end without blank line left behind."""

    __slots__ = ("_data", "_max", "_name", "_pending", "_pending_size", "_size", "_skip_lf", "_start")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._start = True
        self._skip_lf = False
        self._pending: list[bytes] = []  # pieces of a line whose end has not come yet
        self._pending_size = 0
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        if self._skip_lf and chunk:
            # A CR ended the last read: it was a line end already, so an LF right behind it is its other half.
            self._skip_lf = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if not chunk:
            return events
        self._skip_lf = chunk[-1] == 0x0D
        lines = chunk.split(b"\n") if b"\r" not in chunk else _LINE_END.split(chunk)
        last = len(lines) - 1
        for i, line in enumerate(lines):
            if i == last:
                break
            if self._pending:
                self._pending.append(line)
                line = b"".join(self._pending)
                self._pending.clear()
                self._pending_size = 0
            if line:
                self._field(line)
            else:
                self._start = False
                if self._data or self._name:
                    self._dispatch(events)
        if lines[last]:
            self._pending.append(lines[last])
            self._pending_size += len(lines[last])
            if self._pending_size + self._size > self._max:
                self._too_large()
        return events

    def close(self) -> list[ServerEvent]:
        """The connection ended. The standard drops an unfinished event; some hosts end without the last blank line,
        and whether what they sent is whole is for its reader to say."""
        events: list[ServerEvent] = []
        if self._pending:
            self._field(b"".join(self._pending))
            self._pending.clear()
        if self._data:
            self._dispatch(events)
        return events

    def _field(self, line: bytes) -> None:
        if self._start:
            self._start = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:") or line == b"data":
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._max:
                self._too_large()
        elif line.startswith(b"event:") or line == b"event":
            self._name = line[6:].strip().decode("utf-8", "replace")

    def _dispatch(self, events: list[ServerEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(ServerEvent(self._name, data))
            self._data.clear()
            self._size = 0
        self._name = ""

    def _too_large(self) -> None:
        raise LimitExceededError(
            f"The provider sent one stream event of more than {self._max:,} bytes; ask for a shorter answer.",
            code="event_too_large",
        )
