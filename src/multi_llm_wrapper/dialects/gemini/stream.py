"""Server side: an answer as a stream, a `GenerateContentResponse` in each frame and no end marker."""

from __future__ import annotations

from typing import Any

from ...errors import LLMError
from ...types import (
    Event,
    Extra,
    FinishReason,
    Native,
    NativeMessage,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from .. import shape
from .answer import CANDIDATE_EXTRAS, call_part, envelope, finish_word, usage_metadata
from .errors import error_body
from .parts import parts_saying

_DELTA = frozenset({"text", "thought"})
_SAID_OTHERWISE = frozenset({"text", "functionCall"})


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Encoder:
    """Writes one streamed answer. A tool call is one part on this wire, so the fragments of its arguments are held back
    to the end, and so are the signatures. Of the extras those have a place here that are parts or candidate fields."""

    __slots__ = ("_calls", "_model", "_native", "_opaque", "_response_id", "_text", "_usage")

    def __init__(self, response_id: str, model: str) -> None:
        self._response_id = response_id
        self._model = model
        self._usage: dict[str, Any] | None = None
        self._text: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._native: NativeMessage | None = None
        self._opaque: list[Any] = []

    def start(self) -> bytes:
        """Nothing: the first frame is the first piece of the answer."""
        return b""

    def event(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            self._text.append(event.text)
            return self._frame(_content({"text": event.text}))
        if isinstance(event, ReasoningDelta):
            return self._frame(_content({"text": event.text, "thought": True}))
        if isinstance(event, ToolCallDelta):
            self._add_call(event)
        elif isinstance(event, UsageReport):
            self._usage = usage_metadata(None, event.raw)
        elif isinstance(event, Native):
            self._native = event.message
        elif isinstance(event, Extra):
            return self._extra(event)
        return b""

    def end(self, reason: FinishReason, usage: Usage | None, provider_reason: str | None = None) -> bytes:
        """Raises `UnsupportedFeatureError` for tool arguments that are not the JSON text of an object."""
        self._usage = usage_metadata(usage, self._usage)
        last = _content(*(self._held_back() or [{"text": ""}]))
        return self._frame({**last, "finishReason": finish_word(reason, provider_reason)})

    def error(self, error: LLMError) -> bytes:
        return _sse(error_body(error))

    def _add_call(self, event: ToolCallDelta) -> None:
        call = self._calls.setdefault(event.index, _Call())
        call.id = call.id or event.id or ""
        call.name = call.name or event.name or ""
        call.arguments.append(event.arguments)

    def _extra(self, event: Extra) -> bytes:
        if event.name in CANDIDATE_EXTRAS:
            return self._frame({event.name: event.value})
        if event.name != "parts" or not isinstance(event.value, list):
            return b""
        opaque = [part for part in event.value if isinstance(part, dict) and not part.keys() & _SAID_OTHERWISE]
        self._opaque += opaque
        return self._frame(_content(*opaque)) if opaque else b""

    def _held_back(self) -> list[Any]:
        """The calls; and of the provider's own parts what the frames before have not said."""
        calls = [(call.id, call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items())]
        own = parts_saying(self._native, "".join(self._text), [call[1:] for call in calls])
        if own is None:
            return [call_part(*call) for call in calls]
        rest = [part for part in own if not part.keys() <= _DELTA and part not in self._opaque]
        return [{**part, "text": ""} if "text" in part else part for part in rest]

    def _frame(self, candidate: dict[str, Any]) -> bytes:
        return _sse(envelope([{**candidate, "index": 0}], self._usage, self._model, self._response_id))


def _content(*parts: Any) -> dict[str, Any]:
    return {"content": {"parts": list(parts), "role": "model"}}


def _sse(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\r\n\r\n" % shape.encode(chunk)
