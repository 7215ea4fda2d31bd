"""Puts one plan on one connection: every piece when it is due, never faster than the client reads."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from http import HTTPStatus

from .journal import JournalEntry
from .plan import Cut, Plan, Step

WRITE_AT_ONCE = 64 * 1024
"""Bytes of a stream put into one write before other connections get their turn."""

_WRITE_COST = 1024  # bytes that might have been written in the time of one write

_CLOCK_STEP = 1e-6  # a timer may ring this much early (seconds)
_NO_BODY = frozenset((204, 304))
_FRAMING = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding"))
_REASONS = {status.value: status.phrase for status in HTTPStatus}

_log = logging.getLogger(__name__)


class PlanWriter:
    """Pieces have absolute times, counted from the request: what is late is sent at once, together, so that a busy
    loop delays pieces but never slows the stream."""

    __slots__ = (
        "_chunked", "_coalesce", "_cut_first", "_due", "_ended", "_entry", "_head", "_held", "_loop", "_meter",
        "_paced", "_paused", "_start", "_step", "_steps", "_timer", "_transport", "last",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        plan: Plan,
        ended: Callable[[], None],
        *,
        http11: bool = True,
        head_only: bool = False,
        last: bool = False,
    ) -> None:
        body = not head_only and plan.status not in _NO_BODY
        self._transport = transport
        self._loop = loop
        self._ended = ended
        self._entry: JournalEntry | None = plan.entry
        self._coalesce = plan.coalesce
        self._chunked = body and plan.length is None and http11
        self.last = last or (body and plan.length is None and not http11)
        """The connection ends with this reply; without chunked coding its end is the end of the body."""
        self._cut_first = plan.cut
        self._head = render_head(plan, self._chunked, self.last)
        self._steps: Iterator[Step] = iter(plan.steps if body else ())
        self._step: Step | None = None
        self._meter = plan.meter
        self._start = loop.time()
        self._due = self._start + plan.delay
        self._paced = plan.delay > 0  # whether the next piece has a time of its own
        self._held = 0.0  # what was due before this the client would not take: no fault of ours
        self._timer: asyncio.Handle | None = None
        self._paused = False

    def pump(self) -> None:
        """Writes what is due and sets the timer for the next piece."""
        self._timer = None
        now = self._loop.time() + _CLOCK_STEP
        if self._due <= now:
            try:
                ended = self._write_due(now)
            except Exception:
                _log.exception("A plan could not be carried out")
                self._entry = None
                self._transport.abort()
                return
            if ended or self._paused:
                return
        if self._due <= now:
            self._timer = self._loop.call_soon(self.pump)
        elif self._due != float("inf"):
            self._timer = self._loop.call_at(self._due, self.pump)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._held = self._loop.time()
        if self._timer is None:
            self.pump()

    def cancel(self) -> None:
        """The client is gone: nothing more is taken from the plan."""
        if self._timer is not None:
            self._timer.cancel()
        if self._entry is not None and not self._entry.done:
            self._entry.hung_up = True
            self._entry.ended = self._loop.time() - self._start

    def _write_due(self, now: float) -> bool:
        """Whether that was the end."""
        out: list[bytes] = []
        dues: list[float] = []
        paced: list[float] = []
        size, left = 0, WRITE_AT_ONCE
        if self._cut_first is not None:
            self._cut(self._cut_first)
            return True
        if self._head:
            out.append(self._head)
            self._head = b""
            late = self._paced
            self._advance()
            self._paced = self._paced or late
        while (step := self._step) is not None and self._due <= now and left > 0 and not self._paused:
            if step.data:
                out.append(b"%x\r\n%b\r\n" % (len(step.data), step.data) if self._chunked else step.data)
                size += len(step.data)
                left -= max(len(step.data), 0 if self._coalesce else _WRITE_COST)
                dues.append(self._due)
                if self._paced and self._due > self._held:
                    paced.append(self._due)
            if step.cut is not None:
                self._write_down(dues, paced)
                self._write(out, size)
                self._cut(step.cut)
                return True
            self._advance()
            if not self._coalesce:
                self._write_down(dues, paced)
                self._write(out, size)
                out, dues, paced, size = [], [], [], 0
        ended = self._step is None
        if ended and self._chunked:
            out.append(b"0\r\n\r\n")
        self._write_down(dues, paced)
        self._write(out, size, ended)
        if ended:
            self._ended()
        return ended

    def _advance(self) -> None:
        self._step = next(self._steps, None)
        if self._step is not None:
            self._due += self._step.delay
            self._paced = self._step.delay > 0

    def _write_down(self, dues: list[float], paced: list[float]) -> None:
        """When the pieces of a write were due and when they go out."""
        if not dues:
            return
        now = self._loop.time()
        if self._entry is not None:
            self._entry.sent_chunks += len(dues)
            self._entry.sent(dues, now, self._start)
        if paced and self._meter is not None:
            for due in paced:
                self._meter.sent(due, now)

    def _write(self, out: list[bytes], size: int, done: bool = False) -> None:
        if self._entry is not None:  # before the write: a client that has read its reply finds it in the journal
            self._entry.sent_bytes += size
            if done:
                self._entry.done, self._entry.ended = True, self._loop.time() - self._start
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _cut(self, cut: Cut) -> None:
        if self._entry is not None:
            self._entry.done, self._entry.ended = True, self._loop.time() - self._start
        if cut == "close":
            self._transport.close()
        else:
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() now sends RST
            self._transport.abort()


def render_head(plan: Plan, chunked: bool, last: bool) -> bytes:
    """Status line and headers; how the body is framed is the shell's business, whatever the plan's headers say."""
    lines = [f"HTTP/1.1 {plan.status} {_REASONS.get(plan.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in plan.headers.items() if name not in _FRAMING]
    if chunked:
        lines.append("transfer-encoding: chunked")
    elif plan.length is not None and plan.status not in _NO_BODY:
        lines.append(f"content-length: {plan.length}")
    if last:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
