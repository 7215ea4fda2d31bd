"""From the bytes of a streamed reply to canonical events, whatever form the reply took.

A host that was asked to stream may still answer with one JSON body (an error, or because it cannot stream); the first
byte tells which it is, since content types lie.
"""

from __future__ import annotations

from .dialects.base import Decoder
from .dialects.shape import excerpt
from .errors import LimitExceededError, LLMError, MalformedResponseError
from .fold import Fold
from .sse import ServerEvent, SSEParser
from .transport.base import MAX_REPLY_BYTES
from .types import Event

_WHITESPACE = b" \t\r\n"
_FIELDS = (b":", b"data:", b"event:", b"id:", b"retry:")
_HEAD = 320
"""Bytes of a reply that is no event stream which are looked at for the message."""
_HEAD = 320
"""Bytes of the beginning that are kept for the message that says what came in place of a stream."""


class StreamReader:
    """Feeds a decoder and a fold with the bytes of one streamed reply; does no I/O.

    `ended` is True when the provider's end marker has come; `close()` is for the end of the bytes.
    """

    __slots__ = ("_closed", "_decoder", "_head", "_parser", "_read", "_seen", "_size", "_whole", "error", "fold")

    def __init__(self, decoder: Decoder, fold: Fold) -> None:
        self.fold = fold
        self.error: LLMError | None = None
        """A failure that came behind events in the same bytes: to be raised once those are delivered."""
        self._decoder = decoder
        self._parser: SSEParser | None = None
        self._whole: list[bytes] | None = None
        self._head = b""  # how the reply began, as long as it may be no event stream
        self._seen = False
        self._closed = False
        self._read = False  # as one body
        self._size = 0

    @property
    def ended(self) -> bool:
        return self._read or self._decoder.ended

    def feed(self, chunk: bytes) -> list[Event]:
        self._size += len(chunk)
        if self._size > MAX_REPLY_BYTES:
            raise LimitExceededError(
                f"The reply has more than {MAX_REPLY_BYTES:,} bytes, our limit; ask for a shorter answer.",
                code="reply_too_long",
            )
        if self._parser is not None:
            if not self._seen:
                self._head = (self._head + chunk)[:_HEAD]
            return self._decode(self._parser.feed(chunk))
        if self._whole is not None:
            self._whole.append(chunk)
            return []
        return self._begin(chunk)

    def close(self, *, cut: bool = False) -> list[Event]:
        """No more bytes will come: what is left, and what the decoder held back; harmless when repeated. After a `cut`
        an event or a body without its end counts for nothing."""
        if self._closed:
            return []
        self._closed = True
        if self._whole is not None and not cut:
            self._read = True
            return self._add(self._decoder.reply(b"".join(self._whole)))
        events = [] if cut else self._last_event()
        return events + self._add(self._decoder.close())

    def _last_event(self) -> list[Event]:
        """Some hosts leave out the last blank line; but if the event is no JSON, it was cut in the middle."""
        if self._parser is None:
            return []
        try:
            events = self._decode(self._parser.close())
        except MalformedResponseError:
            return []
        if not self._seen and not self._head.startswith(_FIELDS):
            raise _no_stream(self._head)
        return events

    def _begin(self, chunk: bytes) -> list[Event]:
        chunk = chunk.lstrip(_WHITESPACE)
        if not chunk:
            return []
        if chunk[:1] in (b"{", b"["):
            self._whole = [chunk]
            return []
        if chunk[:1] == b"<":
            raise _no_stream(chunk)
        self._head = chunk[:_HEAD]
        self._parser = SSEParser()
        return self._decode(self._parser.feed(chunk))

    def _decode(self, sse: list[ServerEvent]) -> list[Event]:
        if not sse:
            return []
        self._seen = True
        feed, add = self._decoder.feed, self.fold.add
        events: list[Event] = []
        try:
            for item in sse:
                for event in feed(item):
                    add(event)
                    events.append(event)
        except LLMError as error:
            if not events:
                raise
            self.error = error
        return events

    def _add(self, events: list[Event]) -> list[Event]:
        self.fold.add_all(events)
        return events


def _no_stream(head: bytes) -> MalformedResponseError:
    return MalformedResponseError(
        f"The reply is no event stream; it starts with {excerpt(head)}. Check base_url, and any proxy in between.",
        code="no_event_stream",
    )
