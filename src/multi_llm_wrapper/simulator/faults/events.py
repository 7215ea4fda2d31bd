"""A healthy plan taken apart: events of a stream, the body of a whole reply; and put together again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct, structs

from ..plan import Cut, Plan, Step

_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n)|.+\Z", re.DOTALL)
_DATA = re.compile(rb"(?m)^data: ?(.*?)\r?$")
NEVER = float("inf")


class Piece(Struct):
    """One event of a stream as it is sent, its blank line included."""

    delay: float
    raw: bytes
    cut: Cut | None = None

    @property
    def json(self) -> Any:
        """What its data says; None for `[DONE]`, comments and the like."""
        match = _DATA.search(self.raw)
        try:
            return msgspec.json.decode(match[1]) if match else None
        except msgspec.DecodeError:
            return None

    def saying(self, value: Any) -> Piece:
        """The same event with other data: an object, or bytes as they are."""
        data = value if isinstance(value, bytes) else msgspec.json.encode(value)
        match = _DATA.search(self.raw)
        start, end = match.span(1) if match else (0, 0)
        return structs.replace(self, raw=self.raw[:start] + data + self.raw[end:])


def pieces(plan: Plan) -> list[Piece]:
    """The events of a stream; of a step with several, all but the first follow at once."""
    found: list[Piece] = []
    for step in plan.steps:
        delay = step.delay
        for match in _EVENT.finditer(step.data):
            found.append(Piece(delay, match[0]))
            delay = 0.0
    return found


def sending(plan: Plan, events: Iterable[Piece], **changes: Any) -> Plan:
    """The plan with these events in place of its own."""
    return structs.replace(plan, steps=[Step(e.delay, e.raw, e.cut) for e in events], **changes)


def body_of(plan: Plan) -> bytes:
    return b"".join(step.data for step in plan.steps)


def with_body(plan: Plan, body: bytes, **headers: str) -> Plan:
    """The plan of a whole reply with another body, and its length announced."""
    headers = plan.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    return structs.replace(plan, headers=headers, steps=(Step(0.0, body),), length=len(body))


def edited(plan: Plan, stream: bool, edit: Callable[[Any], Any]) -> Plan:
    """Every JSON object of the reply as `edit` gives it back; an event for which it gives None is left out."""
    if not stream:
        value = edit(msgspec.json.decode(body_of(plan)))
        return with_body(plan, msgspec.json.encode(value))
    made = []
    for piece in pieces(plan):
        value = piece.json
        changed = edit(value) if value is not None else value
        if value is None:
            made.append(piece)
        elif changed is not None:
            made.append(piece.saying(changed))
    return sending(plan, made)


# --- what an event is, in each dialect ------------------------------------------------------------------------------


def after(events: list[Piece], dialect: str, k: int) -> int:
    """The place behind `k` pieces of content: before the first for 0, behind the last where there are fewer."""
    places = [i for i, event in enumerate(events) if CONTENT[dialect](event.json)]
    if not places:
        return len(events)
    return places[0] if k <= 0 else places[min(k, len(places)) - 1] + 1


def _openai_content(value: Any) -> bool:
    deltas = [choice["delta"] for choice in (value or {}).get("choices", ())]
    return any(delta.get("content") or delta.get("tool_calls") or delta.get("reasoning_content") for delta in deltas)


def _anthropic_content(value: Any) -> bool:
    return bool(value) and value["type"] == "content_block_delta"


def _gemini_content(value: Any) -> bool:
    parts = [part for one in (value or {}).get("candidates", ()) for part in one.get("content", {}).get("parts", ())]
    return any(part.get("text") or "functionCall" in part for part in parts)


CONTENT: dict[str, Callable[[Any], bool]] = {
    "openai_chat": _openai_content,
    "anthropic_messages": _anthropic_content,
    "gemini": _gemini_content,
}


def finishes(dialect: str, value: Any) -> bool:
    """Whether an event carries the finish reason."""
    if not value:
        return False
    if dialect == "anthropic_messages":
        return bool(value["type"] == "message_delta")
    if dialect == "gemini":
        return any("finishReason" in one for one in value.get("candidates", ()))
    return any(choice.get("finish_reason") for choice in value.get("choices", ()))


def ends(dialect: str, event: Piece) -> bool:
    """Whether an event is the end marker; Gemini has none."""
    if dialect == "anthropic_messages":
        return b"message_stop" in event.raw
    return dialect == "openai_chat" and b"[DONE]" in event.raw
