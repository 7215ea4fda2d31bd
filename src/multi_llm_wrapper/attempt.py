"""One attempt: a request out, an answer in or one `LLMError`. Never a second try.

Over HTTP, through a dialect and a transport: `answer` for a whole reply, `LiveStream` for a streamed one. Through a
foreign client that gives objects instead of bytes: see `foreign`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec import Struct

from .clock import Clock
from .dialects import waits
from .errors import ConnectionError as BrokenConnection
from .errors import EmptyResponseError, IncompleteStreamError, LimitExceededError, LLMError, TimeoutError
from .fold import Fold
from .framing import StreamReader
from .routing import Target
from .transport.base import MAX_REPLY_BYTES, HTTPRequest, HTTPResponse, Transport
from .transport.watch import Watch, WatchPool
from .types import Event, RateLimit, Reply

MAX_ERROR_BYTES = 1024 * 1024
"""How much of an error body is read; what follows says nothing more."""
GRACE = 2.0
"""Seconds that a stream is read on for after its finish reason, for usage and the end marker."""


class Answer(Struct):
    """A whole reply, and what the HTTP reply said beside it."""

    reply: Reply
    request_id: str | None = None
    rate_limit: RateLimit | None = None
    raw: bytes = b""


async def answer(
    transport: Transport,
    target: Target,
    request: HTTPRequest,
    deadline: float,
    clock: Clock,
    watches: WatchPool,
) -> Answer:
    """Sends, and reads the whole answer, before loop time `deadline`."""
    limits, now = target.limits, watches.loop.time
    watch = watches.take(lambda: _too_late(target) if now() >= deadline else _silent(target, limits.idle))
    try:
        with watch:
            watch.until(deadline)
            response = watch.response = await transport.send(request, connect_timeout=limits.connect)
            try:
                body = await _body(response, watch, limits.idle, deadline, now)
            finally:
                response.abort()
    finally:
        watches.give(watch)
    if not 200 <= response.status < 300:
        raise _rejected(response, body, clock)
    dialect = target.dialect
    reply = dialect.plain(body)
    if reply is None:
        reply = whole(Fold(dialect.read_usage).add_all(dialect.decoder().reply(body)), target)
    limit = waits.rate_limit(response.headers, clock.time())
    return Answer(reply, _request_id(response.headers), limit, body)


async def _body(response: HTTPResponse, watch: Watch, idle: float, deadline: float, now: Callable[[], float]) -> bytes:
    """The body to its end; each wait for bytes is at most `idle`. Of an error no more than we will look at, and what
    has come of it when its end does not come: the status alone says enough."""
    failed = response.status >= 300
    limit = MAX_ERROR_BYTES if failed else MAX_REPLY_BYTES
    chunks: list[bytes] = []
    size = 0
    while True:
        if not response.arrived:
            watch.until(min(now() + idle, deadline))
        try:
            chunk = await response.next_chunk()
        except LLMError:
            if failed:
                break
            raise
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            if failed:
                break
            raise LimitExceededError(
                f"The reply has more than {limit:,} bytes, our limit; ask for a shorter answer.", code="reply_too_long"
            )
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _rejected(response: HTTPResponse, body: bytes, clock: Clock) -> LLMError:
    from .dialects import failures  # its tables take 15 ms to load, which no program needs that meets no failure

    return failures.classify(response.status, response.headers, body, clock.time())


def whole(fold: Fold, target: Target) -> Reply:
    """The reply of an answer that has ended; raises `EmptyResponseError` when there was no answer in it."""
    reply = fold.reply()
    if not (fold.started or fold.finished or reply.content or reply.tool_calls or reply.reasoning):
        raise EmptyResponseError(
            f"{target.provider} sent a reply without any answer in it; try again, or ask another model.",
            code="no_answer",
            usage=reply.usage,
        )
    if reply.finish_reason is None:
        reply.finish_reason = "other"
    return reply


class LiveStream:
    """One streamed attempt: `open()`, then lists of events by `next()` until it gives None.

    A stream that ends before its finish reason and its end marker raises `IncompleteStreamError`.
    """

    def __init__(
        self, target: Target, clock: Clock, loop: asyncio.AbstractEventLoop, *, keep_raw: bool = False
    ) -> None:
        self.fold = Fold(target.dialect.read_usage)
        self.request_id: str | None = None
        self.rate_limit: RateLimit | None = None
        self._target = target
        self._limits = target.limits
        self._clock = clock
        self._now = loop.time
        self._reader = StreamReader(target.dialect.decoder(), self.fold)
        self._response: HTTPResponse | None = None
        self._watch = Watch(loop, self._late)
        self._deadline = 0.0
        self._first_token_by = 0.0
        self._raw: list[bytes] | None = [] if keep_raw else None
        self._failure: LLMError | None = None  # what ended the bytes before their end
        self._last_call: float | None = None  # set by the finish reason: when we stop waiting for what may follow

    async def open(self, transport: Transport, request: HTTPRequest, deadline: float) -> None:
        """Sends, and returns when a 2xx status is there. The first token is due within `limits.first_token` of now."""
        self._deadline = deadline
        self._first_token_by = self._now() + self._limits.first_token
        with self._watch as watch:
            watch.until(min(deadline, self._first_token_by))
            response = self._response = await transport.send(request, connect_timeout=self._limits.connect)
            watch.response = response
            if not 200 <= response.status < 300:
                body = await _body(response, watch, self._limits.idle, deadline, self._now)
                raise _rejected(response, body, self._clock)
        self.request_id = _request_id(response.headers)
        self.rate_limit = waits.rate_limit(response.headers, self._clock.time())

    async def next(self) -> list[Event] | None:
        """The next events, at least one; None when the answer is complete."""
        reader = self._reader
        while self._response is not None:
            if reader.error is not None:
                raise reader.error
            chunk = await self._read(self._response)
            if self._raw is not None:
                self._raw.append(chunk)
            events = reader.feed(chunk) if chunk else self._end()
            if reader.ended or not (chunk or reader.error):
                events += self._finish()
            if events:
                return events
        return None

    @property
    def raw(self) -> bytes | None:
        """The bytes of the body so far, when they were to be kept."""
        return b"".join(self._raw) if self._raw is not None else None

    def received(self) -> None:
        """The first token is there: from now on only the idle limit counts."""
        self._first_token_by = 0.0

    def abort(self) -> None:
        """Closes the connection, whatever is still to come."""
        response, self._response = self._response, None
        self._watch.close()
        if response is not None:
            response.abort()

    async def _read(self, response: HTTPResponse) -> bytes:
        """The next bytes; b"" at the end. Once the model has finished, silence and a broken line are an end too."""
        watch = self._watch
        if self._last_call is None and self.fold.finished:
            self._last_call = min(self._now() + GRACE, self._deadline)
        watch.until(self._last_call or self._due())
        try:
            return await response.next_chunk()
        except (BrokenConnection, TimeoutError) as error:
            if self._last_call is None:
                self._failure = error if isinstance(error, TimeoutError) else _cut(self._target, error)
            return b""
        finally:
            watch.rest()

    def _end(self) -> list[Event]:
        """The bytes have ended: what they left behind; unless the answer is whole, the next step is an error."""
        reader = self._reader
        events = reader.close(cut=self._failure is not None)
        if not (reader.ended or self.fold.finished):
            reader.error = self._failure or _cut(self._target)
        return events

    def _due(self) -> float:
        return min(self._first_token_by or self._now() + self._limits.idle, self._deadline)

    def _late(self) -> LLMError:
        if self._now() >= self._deadline:
            return _too_late(self._target)
        if not self._first_token_by:
            return _silent(self._target, self._limits.idle)
        return TimeoutError(
            f"{self._target.provider} sent no token within {self._limits.first_token:g} s; raise "
            "timeouts.first_token, or ask another model.",
            code="first_token_timeout",
        )

    def _finish(self) -> list[Event]:
        """The answer is whole: what the decoder held back. The connection is left to end by itself."""
        response, self._response = self._response, None
        self._watch.close()
        if response is not None:
            response.finish()
        return self._reader.close()


def _too_late(target: Target) -> TimeoutError:
    return TimeoutError(
        f"{target.provider} did not answer within the time of the call; raise timeout or timeouts.attempt, or ask for "
        "a shorter answer.",
        code="attempt_timeout",
    )


def _silent(target: Target, idle: float) -> TimeoutError:
    return TimeoutError(
        f"{target.provider} sent nothing for {idle:g} s in the middle of its reply; raise timeouts.idle, or try again.",
        code="idle_timeout",
    )


def _cut(target: Target, error: BrokenConnection | None = None) -> IncompleteStreamError:
    how = f" ({error.message.rstrip('.')})" if error is not None else ""
    return IncompleteStreamError(
        f"The stream of {target.provider} broke off before the answer was complete{how}; try again.", code="cut"
    )


def _request_id(headers: Mapping[str, str]) -> str | None:
    for name in _REQUEST_IDS:
        value = headers.get(name)
        if value:
            return value
    return None


_REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "x-generation-id")

__all__ = ["GRACE", "Answer", "LiveStream", "answer", "whole"]
