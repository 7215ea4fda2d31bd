"""A `message` or a `delta`: they have the same shape, so one reader serves both.

It knows what every host of this protocol puts there; what has no canonical place is kept as `Extra` under the host's
own name.
"""

from __future__ import annotations

from typing import Any

from ...types import Event, Extra, Native, NativeMessage, ReasoningDelta, TextDelta
from ..shape import arr, obj, text, wrong
from .calls import Calls
from .pieces import gathered, joined
from .request import DIALECT

_REASONING = ("reasoning_content", "reasoning")
_PLAIN = frozenset({"content", "role"})
_CONTAINERS = frozenset({str, list, dict})
_READ = frozenset({"role", "content", "tool_calls", "function_call", "refusal", "reasoning_details", *_REASONING})


class MessageReader:
    """Reads the message of one answer, whole or delta by delta, and keeps what is told at the end only."""

    __slots__ = ("_calls", "_contents", "_details", "_held", "_listed", "_reasoning", "refused")

    def __init__(self) -> None:
        self.refused = False
        self._calls: Calls | None = None
        self._contents: list[Any] = []
        self._listed = False  # some content came as a list of parts
        self._reasoning: dict[str, list[str]] = {}
        self._details: list[list[Any]] = []
        self._held: dict[str, list[Any]] = {}

    def read(self, message: Any, whole: bool, events: list[Event]) -> None:
        if type(message) is not dict:
            wrong("choices[0].message", message, "an object")
        if len(message) > 1 or "content" not in message:
            self._read_reasoning(message, events)
        content = message.get("content")
        if type(content) is str:
            if content:
                events.append(TextDelta(content))
                self._contents.append(content)
        elif content is not None:
            self._read_parts(arr(content, "content"), events)
        for name in message:
            if name not in _PLAIN and message[name] is not None:
                self._read_field(name, message[name], message, whole, events)

    def field(self, name: str, value: Any, events: list[Event]) -> None:
        """Keeps what has no canonical place. Texts are held back: whether a stream repeats a label or spells out a
        text shows only at its end."""
        if says_nothing(value):
            return
        if type(value) is str or (name == "audio" and type(value) is dict):
            values = self._held.setdefault(name, [])
            if not values or values[-1] != value:
                values.append(value)
        else:
            events.append(Extra(name, value))

    def close(self) -> list[Event]:
        """Extras that came in pieces, and the native message if it holds what the canonical fields cannot."""
        if not (self._held or self._reasoning or self._details or self._listed):
            return []
        events: list[Event] = [Extra(name, _in_one(name, values)) for name, values in self._held.items()]
        native: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._reasoning.items()}
        if self._details:
            native["reasoning_details"] = gathered(self._details)
            events.append(Extra("reasoning_details", native["reasoning_details"]))
        if self._listed:
            native.update(_native_content(self._contents))
        if native:
            events.append(Native(NativeMessage(DIALECT, native)))
        self._held, self._reasoning, self._details, self._contents, self._listed = {}, {}, [], [], False
        return events

    def _read_field(self, name: str, value: Any, message: dict[str, Any], whole: bool, events: list[Event]) -> None:
        if name not in _READ:
            self.field(name, value, events)
        elif name == "tool_calls":
            for position, call in enumerate(arr(value, "tool_calls")):
                self._called().read(call, position if whole else None, events)
        elif name == "function_call" and not message.get("tool_calls"):
            self._called().add(obj(value, "function_call"), "function_call", None, events)
        elif name == "refusal":
            self._read_refusal(text(value, "refusal"), events)
        elif name == "reasoning_details":
            self._read_details(value, events)

    def _called(self) -> Calls:
        """Made with the first call: most answers have none."""
        if self._calls is None:
            self._calls = Calls()
        return self._calls

    def _read_reasoning(self, message: dict[str, Any], events: list[Event]) -> None:
        """Two names for it, by host; some send both with the same text."""
        said = None
        for name in _REASONING:
            piece = message.get(name)
            if not piece:
                continue
            if type(piece) is not str:
                self.field(name, piece, events)
                continue
            self._reasoning.setdefault(name, []).append(piece)
            if piece != said:
                events.append(ReasoningDelta(piece))
            said = piece

    def _read_parts(self, parts: list[Any], events: list[Event]) -> None:
        """Mistral's form of `content`: text and thinking as typed parts."""
        self._contents.append(parts)
        self._listed = True
        for part in parts:
            part = {"type": "text", "text": part} if type(part) is str else obj(part, "content[]")
            kind = part.get("type")
            if kind == "text":
                events.append(TextDelta(text(part.get("text"), "content[].text")))
            elif kind == "refusal":
                self._read_refusal(text(part.get("refusal"), "content[].refusal"), events)
            elif kind == "thinking":
                self._read_thinking(part.get("thinking"), events)
            else:
                events.append(Extra("content", [part]))

    def _read_thinking(self, thinking: Any, events: list[Event]) -> None:
        if type(thinking) is str:
            thinking = [{"type": "text", "text": thinking}]
        for part in arr(thinking, "content[].thinking"):
            if type(part) is dict and part.get("type") == "text":
                events.append(ReasoningDelta(text(part.get("text"), "content[].thinking[].text")))
            else:
                events.append(Extra("content", [part]))

    def _read_refusal(self, refusal: str, events: list[Event]) -> None:
        if refusal:
            self.refused = True
            events.append(Extra("refusal", refusal))

    def _read_details(self, details: Any, events: list[Event]) -> None:
        """OpenRouter's reasoning in typed parts, signed or encrypted; its text is in `reasoning` as well."""
        if type(details) is not list:
            self.field("reasoning_details", details, events)
        elif details:
            self._details.append(details)


def says_nothing(value: Any) -> bool:
    """Null or empty: hosts write out the fields that they do not use."""
    return value is None or (not value and type(value) in _CONTAINERS)


def _in_one(name: str, values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return joined(values) if name == "audio" and all(type(value) is dict for value in values) else values


def _native_content(contents: list[Any]) -> dict[str, Any]:
    """The content list to send back, if there is thinking in it, which plain text would lose."""
    deltas = [[{"type": "text", "text": piece}] if type(piece) is str else piece for piece in contents]
    parts = gathered(deltas)
    thinks = any(type(part) is dict and part.get("type") == "thinking" for part in parts)
    return {"content": parts} if thinks else {}
