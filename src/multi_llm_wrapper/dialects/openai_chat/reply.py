"""Client side: an answer, whole or in chunks, as canonical events.

https://platform.openai.com/docs/api-reference/chat/object and .../chat/streaming. A body and a chunk have the same
shape but for `message` and `delta`, so both are one kind of frame.
"""

from __future__ import annotations

from typing import Any

from ...errors import LLMError, MalformedResponseError
from ...sse import ServerEvent
from ...types import Event, Extra, Finished, Started, UsageReport
from .. import failures
from ..shape import arr, excerpt, loads, obj, text, wrong
from .finish import read_reason
from .message import MessageReader, says_nothing

_DONE = b"[DONE]"
# Fields that are read, or that say nothing about the answer; all others are kept.
_FRAME = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "usage", "error"})


class Decoder:
    """Reads one answer; see `dialects.base.Decoder`."""

    __slots__ = ("_identified", "_last", "_message", "_started", "_usage_came", "_whole", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._whole = False  # one body: its lists are complete
        self._started: Started | None = None
        self._identified = False  # id and model are known
        self._usage_came = False
        self._last: dict[str, Any] = {}  # of each field that most hosts repeat in every chunk
        self._message = MessageReader()

    def reply(self, body: bytes) -> list[Event]:
        """All events of a whole body. One without `choices` is no answer; one with an empty list is an empty one."""
        self._whole = True
        answer = loads(body)
        events = self._frame(answer, body)
        if answer.get("choices") is None:
            raise MalformedResponseError(
                f"The reply has no 'choices', so it is no chat completion; it starts with {excerpt(body)}. Check that "
                "the base URL is that of an OpenAI-compatible API.",
                code="no_choices",
            )
        self.ended = True
        return events + self.close()

    def feed(self, event: ServerEvent) -> list[Event]:
        name, data = event
        if name == "error":
            raise _reported_by_event(data)
        if data[:1] == b"{":
            return self._frame(loads(data, "a stream event"), data)
        data = data.strip()
        if data == _DONE:
            self.ended = True
            return []
        if not data or (name and data[:1] != b"{"):
            return []  # a heartbeat, or an event of some host's own
        return self._frame(loads(data, "a stream event"), data)

    def close(self) -> list[Event]:
        return self._message.close()

    def _frame(self, frame: dict[str, Any], raw: bytes) -> list[Event]:
        """An error beats everything else in its frame: what was read before it is found is not passed on."""
        if frame.get("error"):
            raise _reported(frame["error"], raw)
        events: list[Event] = []
        choices = frame.get("choices")
        if type(choices) is not list:
            choices = arr(choices, "choices")
        if choices:
            if not self._identified:
                self._start(frame, events)
            for position, choice in enumerate(choices):
                self._choice(choice, position, raw, events)
        elif frame.get("object") == "error":  # Mistral, vLLM: the error itself is the body
            raise _reported(frame, raw)
        usage = frame.get("usage")
        if usage:
            self._usage(usage, "usage", events)
        last = self._last
        for name in frame:
            if name not in _FRAME and frame[name] != last.get(name):
                self._field(name, frame[name], raw, events)
        return events

    def _start(self, frame: dict[str, Any], events: list[Event]) -> None:
        """Azure's first chunks have no id yet, so a later one may add it."""
        started = Started(_label(frame.get("id"), "id"), _label(frame.get("model"), "model"))
        self._identified = started.response_id is not None and started.response_model is not None
        if started != self._started:
            self._started = started
            events.append(started)

    def _usage(self, usage: Any, where: str, events: list[Event]) -> None:
        self._usage_came = True
        events.append(UsageReport(obj(usage, where)))

    def _field(self, name: str, value: Any, raw: bytes, events: list[Event]) -> None:
        """A field that is new or has changed. Of a list that grows from chunk to chunk only its end is new."""
        if says_nothing(value):
            return
        before = self._last.get(name)
        self._last[name] = value
        if name == "x_groq":
            self._groq(obj(value, name), raw, events)
        if type(value) is list and type(before) is list and value[: len(before)] == before:
            value = value[len(before) :]
        events.append(Extra(name, value))

    def _groq(self, own: dict[str, Any], raw: bytes, events: list[Event]) -> None:
        if own.get("error"):
            raise _reported(own["error"], raw)
        if own.get("usage") and not self._usage_came:
            self._usage(own["usage"], "x_groq.usage", events)

    def _choice(self, choice: Any, position: int, raw: bytes, events: list[Event]) -> None:
        if type(choice) is not dict:
            wrong("choices[]", choice, "an object")
        index = choice.get("index")
        if (index if type(index) is int else position) != 0:
            events.append(Extra("choices", [choice]))  # another answer to the same question: kept, never mixed in
            return
        if choice.get("error"):
            raise _reported(choice["error"], raw)
        message = choice.get("delta")
        if message is None:
            message = choice.get("message")
        if message:
            self._message.read(message, self._whole, events)
        word = choice.get("finish_reason")
        if word:
            reason = read_reason(text(word, "choices[0].finish_reason"))
            events.append(Finished("content_filter" if self._message.refused else reason, word))
        for name in choice:
            if name not in _CHOICE and choice[name] is not None:
                self._message.field(name, choice[name], events)
        if choice.get("usage"):  # Moonshot
            self._usage(choice["usage"], "choices[0].usage", events)


def _reported(error: Any, raw: bytes) -> LLMError:
    return failures.in_band(error if type(error) is dict else str(error), raw)


def _reported_by_event(data: bytes) -> LLMError:
    """`event: error` (Groq): its data is an object with `error` in it, the error itself, or plain text."""
    try:
        frame = loads(data)
    except MalformedResponseError:
        return _reported(data.decode("utf-8", "replace"), data)
    return _reported(frame.get("error") or frame, data)


def _label(value: Any, where: str) -> str | None:
    """An id or a name; some hosts number theirs."""
    return str(value) if type(value) is int else text(value, where) or None
