"""Tool calls on the wire: which call a piece belongs to, and what it adds to it.

OpenAI numbers the calls of an answer by `index` and says id and name once. Hosts leave the index out, say 0 for
every call, repeat or leave out the id, or send arguments as an object.
"""

from __future__ import annotations

from typing import Any

from ...types import Event, Extra, ToolCallDelta
from ..shape import encode, obj, text

_FIELDS = frozenset({"index", "id", "type", "function"})


class Calls:
    """The tool calls of one answer, in the order in which they began."""

    __slots__ = ("_ids", "_last", "_named", "_slots")

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._named: list[bool] = []
        self._slots: dict[int | str, int] = {}  # the host's index -> the call it means at present
        self._last: int | None = None

    def read(self, call: Any, position: int | None, events: list[Event]) -> None:
        """One item of `tool_calls`; `position` is its place in a whole list, None in a stream."""
        call = obj(call, "tool_calls[]")
        unknown = {name: value for name, value in call.items() if name not in _FIELDS and value is not None}
        function = call.get("function")
        if function is None and unknown:
            events.append(Extra("tool_calls", [call]))  # no function of ours: a custom or a server-side tool
            return
        given = call.get("index")
        wire = position if position is not None else given if type(given) is int else None
        slot = self.add(obj(function, "tool_calls[].function"), wire, call.get("id"), events)
        if unknown:
            events.append(Extra("tool_calls", [{"index": slot, **unknown}]))

    def add(self, function: dict[str, Any], wire: int | str | None, given_id: Any, events: list[Event]) -> int:
        """A piece of the call that the host knows as `wire`, as an event; gives our index of the call."""
        call_id = str(given_id) if type(given_id) is int else text(given_id, "tool_calls[].id")
        name = text(function.get("name"), "tool_calls[].function.name")
        known = len(self._ids)
        slot = self._find(wire, call_id, name)
        new = slot == known
        new_name = name if name and not self._named[slot] else None
        if new_name:
            self._named[slot] = True
        arguments = _arguments(function.get("arguments"))
        if new or new_name or arguments:
            events.append(ToolCallDelta(slot, self._ids[slot] if new else None, new_name, arguments))
        return slot

    def _find(self, wire: int | str | None, call_id: str, name: str) -> int:
        slot: int | None
        if wire is not None:
            slot = self._slots.get(wire)
        elif call_id:
            slot = self._ids.index(call_id) if call_id in self._ids else None
        else:
            slot = None if name else self._last
        if slot is not None and call_id and name and call_id != self._ids[slot]:
            slot = None  # a new id with a name is a new call, whatever its index
        if slot is None:
            slot = len(self._ids)
            self._ids.append(call_id or f"call_{slot}")
            self._named.append(False)
        if wire is not None:
            self._slots[wire] = slot
        self._last = slot
        return slot


def _arguments(value: Any) -> str:
    if type(value) is str:
        return value
    return "" if value is None else encode(value).decode()
