"""Streams that are odd in their framing or in the order of their events."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from ..plan import Plan, Step
from .events import NEVER, Piece, after, ends, pieces, sending
from .fault import BOTH, STREAM, Fault, Scene

_STRANGE: dict[str, tuple[bytes, ...]] = {
    "openai_chat": (
        b": PROCESSING\n\n",
        b'event: heartbeat\ndata: {"object":"chat.completion.heartbeat","choices":[]}\n\n',
        b'data: {"object":"annotation","choices":[],"note":{"level":[1,null]}}\n\n',
    ),
    "anthropic_messages": (
        b": keep-alive\n\n",
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'event: content_block_mood\ndata: {"type":"content_block_mood","index":7,"mood":{"level":[1,null]}}\n\n',
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"mood_delta","mood":1}}\n\n',
    ),
    "gemini": (
        b": keep-alive\r\n\r\n",
        b'data: {"moodFeedback":{"level":[1,null]},"candidates":[]}\r\n\r\n',
        b'data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"mood":{"level":1}}]}}]}\r\n\r\n',
    ),
}


def _unknown_events(plan: Plan, scene: Scene) -> Plan:
    """Between any two pieces one that this client cannot know."""
    strange, events, made = _STRANGE[scene.dialect], pieces(plan), []
    at = after(events, scene.dialect, 0) + 1
    for i, event in enumerate(events):
        made.append(event)
        if at <= i + 1 < len(events) - 3:
            made.append(Piece(0.0, strange[i % len(strange)]))
    return sending(plan, made)


def _no_end_marker(plan: Plan, scene: Scene) -> Plan:
    return sending(plan, [event for event in pieces(plan) if not ends(scene.dialect, event)])


def _no_end_open(plan: Plan, scene: Scene) -> Plan:
    made = _no_end_marker(plan, scene)
    return structs.replace(made, steps=[*made.steps, Step(NEVER, b"")])


def _duplicate_event(plan: Plan, scene: Scene) -> Plan:
    events = pieces(plan)
    at = after(events, scene.dialect, max(scene.count("k"), 1)) - 1
    again = structs.replace(events[at], delay=0.0)
    return sending(plan, [*events[: at + 1], again, *events[at + 1 :]])


def _swap_tool_index(plan: Plan, scene: Scene) -> Plan:
    """The arguments go to the call before, wherever the protocol counts calls."""
    made = []
    for event in pieces(plan):
        value = event.json
        made.append(event.saying(value) if _swapped(value) else event)
    return sending(plan, made)


def _swapped(value: Any) -> bool:
    """Changes the index in a piece of arguments; whether there was one."""
    if not isinstance(value, dict):
        return False
    if value.get("type") == "content_block_delta" and value["delta"].get("type") == "input_json_delta":
        value["index"] = 1 - value["index"]
        return True
    calls = [
        call
        for choice in value.get("choices", ())
        for call in choice["delta"].get("tool_calls") or ()
        if not call.get("id")
    ]
    for call in calls:
        call["index"] = 1 - call["index"]
    return bool(calls)


# --- framing ----------------------------------------------------------------------------------------------------


def _split_utf8(plan: Plan, scene: Scene) -> Plan:
    """Every packet ends inside a character, where there is one of more than one byte."""
    steps: list[Step] = []
    for step in plan.steps:
        delay, rest = step.delay, step.data
        while place := next((i for i, byte in enumerate(rest) if byte >= 0xC0), None):
            steps.append(Step(delay, rest[: place + 1]))
            delay, rest = 0.0, rest[place + 1 :]
        steps.append(Step(delay, rest, step.cut))
    return structs.replace(plan, steps=steps, coalesce=False)


def _crlf(plan: Plan, scene: Scene) -> Plan:
    """Lines end with CR and LF, and packets between the two."""
    steps: list[Step] = []
    for event in pieces(plan):
        raw = event.raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        steps += [Step(event.delay, raw[:-1]), Step(0.0, raw[-1:])]
    return structs.replace(plan, steps=steps, coalesce=False)


def _one_byte(plan: Plan, scene: Scene) -> Plan:
    steps = [
        Step(step.delay if i == 0 else 0.0, step.data[i : i + 1]) for step in plan.steps for i in range(len(step.data))
    ]
    return structs.replace(plan, steps=steps, coalesce=False)


_CALLS = ("openai_chat", "anthropic_messages")

FAULTS = (
    Fault("unknown_events", "events, comments and fields of no known type between the others", _unknown_events,
          "harmless", on=STREAM),
    Fault("no_end_marker", "the stream ends without its end marker", _no_end_marker, "harmless", on=STREAM,
          dialects=_CALLS),
    Fault("no_end_open", "the end marker does not come, and the connection stays open", _no_end_open, "harmless",
          on=STREAM),
    Fault("duplicate_event", "the k-th piece comes twice", _duplicate_event, "altered", {"k": 3.0}, STREAM),
    Fault("swap_tool_index", "arguments of two tool calls carry each other's index", _swap_tool_index, "altered",
          on=STREAM, dialects=_CALLS, tools=True),
    Fault("split_utf8", "packets end inside characters", _split_utf8, "harmless", on=BOTH),
    Fault("crlf", "lines end with CR LF, in two packets", _crlf, "harmless", on=STREAM),
    Fault("one_byte", "every byte is a packet of its own", _one_byte, "harmless", on=BOTH),
)  # fmt: skip
