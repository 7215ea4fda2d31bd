"""What Gemini answers, as events. A whole reply has the shape of one chunk of a stream, so one reader does for both.

A stream has no end marker: it is whole when a chunk gave a `finishReason`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import ContentFilterError, MalformedResponseError
from ...sse import ServerEvent
from ...types import (
    Event,
    Extra,
    Finished,
    FinishReason,
    Native,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from .. import shape
from ..failures import in_band
from .parts import arguments_of, call_in, is_opaque, made_up_id, native

FINISH: dict[str, FinishReason] = {
    "STOP": "stop",  # for tool calls too
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "other",
    "UNEXPECTED_TOOL_CALL": "other",
    "TOO_MANY_TOOL_CALLS": "other",
    "NO_IMAGE": "other",
    "IMAGE_OTHER": "other",
    "OTHER": "other",
}
"""https://ai.google.dev/api/generate-content#FinishReason; a reason that is not here is `other`."""

_UNFINISHED = "FINISH_REASON_UNSPECIFIED"

_CHUNK = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback", "createTime"})
_CANDIDATE = frozenset({"content", "finishReason", "index"})
_CONTENT = frozenset({"parts", "role"})
_ANSWER = frozenset({"candidates", "promptFeedback", "usageMetadata"})
_REPEATED = frozenset({"safetyRatings", "promptFeedback"})  # older models say the same in every chunk


def read_usage(raw: dict[str, Any]) -> Usage:
    """`promptTokenCount` has the cached tokens in it, but not those of tool-use prompts. Zero counts are left out on
    the wire, so beside a `promptTokenCount` a missing one is 0. Cache writes are never reported."""
    prompt = shape.count(raw.get("promptTokenCount"))
    missing = None if prompt is None else 0

    def of(name: str) -> int | None:
        value = shape.count(raw.get(name))
        return missing if value is None else value

    thoughts = of("thoughtsTokenCount")
    inside = shape.total(prompt, of("toolUsePromptTokenCount"))
    outside = shape.total(of("candidatesTokenCount"), thoughts)
    whole = shape.count(raw.get("totalTokenCount"))
    return Usage(
        input_tokens=inside,
        output_tokens=outside,
        total_tokens=whole if whole is not None or prompt is None else shape.total(inside, outside),
        cache_read_tokens=of("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


class Decoder:
    """Reads one answer; of several candidates the first is the answer, the others are kept as extras."""

    __slots__ = ("_calls", "_finished", "_index", "_parts", "_response_id", "_said", "_started", "ended")

    def __init__(self) -> None:
        # The protocol has no end marker, and usage may follow the finish reason: only the end of the bytes is the end.
        self.ended = False
        self._finished = False
        self._started = False
        self._index: Any = None
        self._response_id: str | None = None
        self._calls = 0
        self._parts: list[dict[str, Any]] = []
        self._said: dict[str, Any] = {}

    def reply(self, body: bytes) -> list[Event]:
        """Raises the class of an error inside HTTP 200, `ContentFilterError` for a blocked prompt."""
        events: list[Event] = []
        chunks = _chunks(body, "the reply")
        for chunk in chunks:
            self._chunk(chunk, body, events)
        if not any(_ANSWER & chunk.keys() for chunk in chunks):
            raise MalformedResponseError(
                f"The reply has no candidates; it starts with {shape.excerpt(body)}.", code="no_candidates"
            )
        return events + self.close()

    def feed(self, event: ServerEvent) -> list[Event]:
        events: list[Event] = []
        data = event.data
        if data[:1] == b"{":
            self._chunk(shape.loads(data, "the stream event"), data, events)
        elif data and data != b"[DONE]":  # some proxies add OpenAI's end marker
            for chunk in _chunks(data, "the stream event"):
                self._chunk(chunk, data, events)
        return events

    def close(self) -> list[Event]:
        self.ended = self._finished
        message = native(self._parts)
        self._parts = []
        return [] if message is None else [Native(message)]

    def _chunk(self, chunk: dict[str, Any], raw: bytes, events: list[Event]) -> None:
        if chunk.get("error") is not None:
            raise in_band(chunk["error"], raw)
        candidates = chunk.get("candidates")
        if candidates:
            self._candidates(chunk, candidates, events)
        if "promptFeedback" in chunk:
            self._feedback(shape.obj(chunk["promptFeedback"], "promptFeedback"), bool(candidates), events)
        if not _CHUNK.issuperset(chunk):
            self._extras(chunk, _CHUNK, events)
        usage = chunk.get("usageMetadata")
        if usage is not None:
            events.append(UsageReport(usage if type(usage) is dict else shape.obj(usage, "usageMetadata")))

    def _candidates(self, chunk: dict[str, Any], candidates: Any, events: list[Event]) -> None:
        if type(candidates) is not list:
            shape.wrong("candidates", candidates, "a list")
        seen = False
        for candidate in candidates:
            if type(candidate) is not dict:
                shape.wrong("a candidate", candidate, "an object")
            index = candidate.get("index") or 0
            if not self._started:
                self._start(chunk, index, events)
            if seen or index != self._index:
                events.append(Extra("candidates", [candidate]))
                continue
            seen = True
            self._candidate(candidate, events)

    def _start(self, chunk: dict[str, Any], index: Any, events: list[Event]) -> None:
        self._started = True
        self._index = index
        self._response_id = shape.text(chunk.get("responseId"), "responseId") or None
        model = shape.text(chunk.get("modelVersion"), "modelVersion") or None
        events.append(Started(self._response_id, model))

    def _candidate(self, candidate: dict[str, Any], events: list[Event]) -> None:
        content = candidate.get("content")
        if content:
            if type(content) is not dict:
                shape.wrong("candidate.content", content, "an object")
            parts = content.get("parts")
            for part in parts if type(parts) is list else shape.arr(parts, "content.parts"):
                self._part(part, events)
            if not _CONTENT.issuperset(content):
                self._extras(content, _CONTENT, events)
        reason = candidate.get("finishReason")
        if reason is not None:
            self._finish(shape.text(reason, "finishReason"), events)
        if not _CANDIDATE.issuperset(candidate):
            self._extras(candidate, _CANDIDATE, events)

    def _part(self, part: Any, events: list[Event]) -> None:
        if type(part) is not dict:
            shape.wrong("a part", part, "an object")
        self._parts.append(part)
        text = part.get("text")
        if text is not None:
            if type(text) is not str:
                shape.wrong("part.text", text, "a string")
            if text:
                events.append(ReasoningDelta(text) if part.get("thought") else TextDelta(text))
            if len(part) == 1:
                return
        call = call_in(part)
        if call is not None:
            call_id = call.get("id") or made_up_id(self._calls, self._response_id)
            events.append(ToolCallDelta(self._calls, call_id, call["name"], arguments_of(call)))
            self._calls += 1
        if is_opaque(part, call):
            events.append(Extra("parts", [part]))

    def _finish(self, reason: str, events: list[Event]) -> None:
        if reason == _UNFINISHED:
            return
        self._finished = True
        canonical = FINISH.get(reason, "other")
        events.append(Finished("tool_calls" if canonical == "stop" and self._calls else canonical, reason))

    def _feedback(self, feedback: dict[str, Any], answered: bool, events: list[Event]) -> None:
        reason = shape.text(feedback.get("blockReason"), "promptFeedback.blockReason")
        if reason and not answered:
            if not self._started:
                raise _blocked(reason, shape.text(feedback.get("blockReasonMessage"), "blockReasonMessage"))
            self._finished = True
            events.append(Finished("content_filter", reason))
        self._extra("promptFeedback", feedback, events)

    def _extras(self, fields: dict[str, Any], read: frozenset[str], events: list[Event]) -> None:
        for name in fields:
            if name not in read:
                self._extra(name, fields[name], events)

    def _extra(self, name: str, value: Any, events: list[Event]) -> None:
        if name in _REPEATED:
            if self._said.get(name) == value:
                return
            self._said[name] = value
        if value is not None:
            events.append(Extra(name, value))


def _chunks(body: bytes, where: str) -> list[dict[str, Any]]:
    """One chunk, or a list of them: a stream asked for without `alt=sse`, a list-wrapped error."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = shape.loads(body, where)  # says what is wrong
    if type(value) is not list:
        return [value] if type(value) is dict else shape.wrong(where, value, "an object")
    for chunk in value:
        if type(chunk) is not dict:
            shape.wrong(f"an item of {where}", chunk, "an object")
    return value


def _blocked(reason: str, message: str) -> ContentFilterError:
    why = f": {message.rstrip('.')}" if message else ""
    return ContentFilterError(
        f"The provider's filter blocked the prompt ({reason}{why}); change the prompt.",
        code=reason,
        rejected_by="provider",
    )
