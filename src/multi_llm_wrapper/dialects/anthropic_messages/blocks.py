"""Content blocks: what an answer is made of, and what of it the canonical fields cannot hold."""

from __future__ import annotations

from typing import Any

import msgspec

_FIELDS = {
    "text": frozenset({"type", "text"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}
"""Blocks that text and tool calls say in full, and their fields."""


def needs_native(blocks: list[dict[str, Any]]) -> bool:
    """Whether the turn must be kept in the provider's words to be sent back: thinking and its signature, citations,
    server-side tools, anything unknown, or another order than the canonical one."""
    return not (all(is_plain(block) for block in blocks) and in_order([block.get("type") for block in blocks]))


def in_order(kinds: list[Any]) -> bool:
    """Text before tool calls, as the canonical fields say it."""
    return "tool_use" not in kinds or "text" not in kinds[kinds.index("tool_use") :]


def is_plain(block: dict[str, Any]) -> bool:
    kind = block.get("type")
    fields = _FIELDS.get(kind) if type(kind) is str else None
    return fields is not None and not any(value and name not in fields for name, value in block.items())


def parse_object(text: str) -> dict[str, Any] | None:
    """Tool input from its JSON text; no text is no arguments, None is text that is not an object."""
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if type(value) is dict else None


class Block:
    """One block as it grows: the object of its start event, then what the deltas add."""

    __slots__ = ("_parts", "call", "fields", "kind", "pieces", "stopped")

    def __init__(self, fields: dict[str, Any], kind: str, call: int = -1) -> None:
        self.fields = fields
        self.kind = kind
        self.call = call
        """Which tool call of the answer it is, if it is one."""
        self.stopped = False
        self.pieces: list[str] = []
        """What was added to the text of a `text` or `thinking` block, which is in the field of the same name."""
        self._parts: dict[str, list[str]] = {kind: self.pieces}

    def grow(self, delta: dict[str, Any]) -> None:
        """Any delta, also of a kind nobody knows yet: texts and lists grow, anything else is set."""
        for name, value in delta.items():
            if name == "type" or value is None:
                continue
            if name == "citation":
                name, value = "citations", [value]
            before = self.fields.get(name)
            if type(value) is str and name != "signature":  # which comes whole, and is set by the API's own clients
                self._parts.setdefault(name, []).append(value)
            elif type(value) is list and type(before) is list:
                before.extend(value)
            else:
                self.fields[name] = value

    @property
    def fragments(self) -> bool:
        """Tool input came as fragments of JSON text."""
        return any(self._parts.get("partial_json", ()))

    @property
    def plain(self) -> bool:
        return is_plain(self.fields) and self._parts.keys() <= {self.kind, "partial_json"}

    def whole(self) -> dict[str, Any]:
        """The block as a reply that is not streamed has it."""
        for name, parts in self._parts.items():
            text = "".join(parts)
            parts.clear()
            if name == "partial_json":
                if text.strip():
                    self.fields["input"] = parse_object(text) or {}
            elif text:
                before = self.fields.get(name)
                self.fields[name] = before + text if type(before) is str else text
        return self.fields
