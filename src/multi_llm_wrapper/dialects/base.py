"""What a dialect is: one wire protocol, as pure functions between canonical types and bytes, both directions.

Client side: `encode_request` -> bytes; bytes -> `Decoder` -> events. Server side (simulator, gateway):
`decode_request` <- bytes; `encode_reply`, `Encoder` -> bytes; `encode_error` -> bytes.

Reply and stream go through the same decoder of parts. A dialect does no I/O, reads no clock and keeps no state
outside the `Decoder` or `Encoder` of one answer. It raises `LLMError` subclasses: `UnsupportedFeatureError` for what
it has no words for, `MalformedResponseError` for what is not an answer, and the class of an in-band error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from ..errors import LLMError
from ..sse import ServerEvent
from ..types import ChatRequest, Event, FinishReason, Reply, Usage, WireRequest


class Profile(Struct, frozen=True, kw_only=True):
    """What a model family accepts, beside what its dialect can say. The default accepts everything, as is."""

    refuses: frozenset[str] = frozenset()
    """Names of sampling parameters (and `stop`) that the family answers with 400."""
    max_tokens_field: str = "max_tokens"
    """OpenAI dialect: `max_tokens` or, for its newer models, `max_completion_tokens`."""
    max_output_tokens: int | None = None
    """Anthropic dialect, where a limit must be sent: the default one."""
    reasoning: str = "effort"
    """How `reasoning_effort` is said: `effort` (by name), `budget` (in tokens), `level` (Gemini 3), `none`."""
    context_window: int | None = None
    """Tokens of prompt and answer together, when known."""
    lacks: frozenset[str] = frozenset()
    """What the family cannot do at all, of `tools`, `images` and `schema` (an answer bound to a JSON schema): a reason
    to ask another model. Nothing is refused because of it; not being named here means that it is not known."""


class Quirks(Struct, frozen=True, kw_only=True):
    """How one host differs from the protocol it speaks, on the request side. Replies are read tolerantly anyway."""

    max_tokens_field: str | None = None
    """Overrides the profile's."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` may be sent."""
    echo: tuple[str, ...] = ()
    """Fields of the native assistant message that this host wants back (DeepSeek: `reasoning_content`)."""
    refuses: frozenset[str] = frozenset()
    """Parameters that the host answers with 400, whatever the model."""
    developer_role: bool = True
    """Whether the host knows the role `developer`; else it is sent as `system`."""
    always: dict[str, Any] = {}
    """Body fields that every request to the host carries."""


PLAIN = Profile()
NO_QUIRKS = Quirks()


class WireReply(Struct, frozen=True):
    """A whole HTTP reply in the words of a dialect (server side)."""

    status: int
    headers: dict[str, str]
    body: bytes


class Decoder(Protocol):
    """Reads one answer, either whole (`reply`) or piece by piece (`feed`, then `close`)."""

    ended: bool
    """The provider's end marker came: nothing is missing."""

    def reply(self, body: bytes) -> list[Event]:
        """All events of a non-streamed reply body (HTTP 2xx)."""

    def feed(self, event: ServerEvent) -> list[Event]:
        """The canonical events in one server-sent event; unknown kinds give none."""

    def close(self) -> list[Event]:
        """No more will come, whole or not: what was held back (the native message, usage so far)."""


class Encoder(Protocol):
    """Writes one streamed answer as the provider would; each call gives the bytes to send, framing included."""

    def start(self) -> bytes: ...

    def event(self, event: Event) -> bytes: ...

    def end(self, reason: FinishReason, usage: Usage | None, provider_reason: str | None = None) -> bytes: ...

    def error(self, error: LLMError) -> bytes:
        """An error inside HTTP 200, after which the stream ends."""


def never_plain(body: bytes) -> None:
    """For a dialect without a short way."""


class Dialect(Protocol):
    """The functions of a dialect module; the module itself satisfies this protocol."""

    name: str

    def encode_request(self, request: ChatRequest, profile: Profile = PLAIN, quirks: Quirks = NO_QUIRKS) -> WireRequest:
        """Raises `UnsupportedFeatureError` for what the protocol has no words for."""

    def decoder(self) -> Decoder: ...

    def plain(self, body: bytes) -> Reply | None:
        """The reply of a whole body of the most usual shape, the same that the decoder's events make, for less; None
        for any other."""

    def read_usage(self, raw: dict[str, Any]) -> Usage:
        """The provider's usage object in inclusive counts; None where it said nothing."""

    def decode_request(self, path: str, headers: Mapping[str, str], body: bytes) -> ChatRequest:
        """Server side. `path` is relative to the provider's base URL, with its query. Raises an `LLMError` with the
        status and code that the real API answers (`encode_error` turns it into bytes)."""

    def encode_reply(self, reply: Reply, *, created: int) -> WireReply: ...

    def encoder(self, *, response_id: str, model: str, created: int, include_usage: bool = True) -> Encoder: ...

    def encode_error(self, error: LLMError) -> WireReply:
        """The provider's own error body; an `x-should-retry` or request id header comes from the caller."""
