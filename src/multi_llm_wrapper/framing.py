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


class StreamReader:
    """Feeds a decoder and a fold with the bytes of one streamed reply; does no I/O.

    `ended` is True when the provider's end marker has come; `close()` is for the end of the bytes.
    """

    __slots__ = ("_decoder", "_head", "_parser", "_seen", "_size", "_whole", "error", "fold")

    def __init__(self, decoder: Decoder, fold: Fold) -> None:
        self.fold = fold
        self.error: LLMError | None = None
        """A failure that came behind events in the same bytes: to be raised once those are delivered."""
        self._decoder = decoder
        self._parser: SSEParser | None = None
        self._whole: list[bytes] | None = None
        self._head = b""
        self._seen = False
        self._size = 0

    @property
    def ended(self) -> bool:
        return self._decoder.ended

    def feed(self, chunk: bytes) -> list[Event]:
        self._size += len(chunk)
        if self._size > MAX_REPLY_BYTES:
            raise LimitExceededError(
                f"The reply has more than {MAX_REPLY_BYTES:,} bytes, our limit; ask for a shorter answer.",
                code="reply_too_long",
            )
        if self._parser is not None:
            return self._decode(self._parser.feed(chunk))
        if self._whole is not None:
            self._whole.append(chunk)
            return []
        return self._begin(chunk)

    def close(self) -> list[Event]:
        """No more bytes will come: what is left, and what the decoder held back."""
        if self._whole is not None:
            return self._add(self._decoder.reply(b"".join(self._whole)))
        events = self._decode(self._parser.close()) if self._parser is not None else []
        if self._parser is not None and not self._seen and self._head:
            raise _no_stream(self._head)
        return events + self._add(self._decoder.close())

    def _begin(self, chunk: bytes) -> list[Event]:
        chunk = chunk.lstrip(_WHITESPACE)
        if not chunk:
            return []
        if chunk[:1] in (b"{", b"["):
            self._whole = [chunk]
            return []
        if chunk[:1] == b"<":
            raise _no_stream(chunk)
        self._head = chunk[:320]
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
