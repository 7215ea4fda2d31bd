"""Replies under HTTP 200 that are wrong in themselves: in their JSON, their coding, their headers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import structs

from ..plan import Plan, Step, whole
from . import refused
from .events import after, body_of, edited, finishes, pieces, sending, with_body
from .fault import QUERY, STREAM, Fault, Scene

_MIB = 1024 * 1024
_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>\n"
)


def _malformed_body(plan: Plan, scene: Scene) -> Plan:
    body = body_of(plan)
    middle = len(body) // 2
    return with_body(plan, body[:middle] + b'"}]' + body[middle:])


def _truncated_body(plan: Plan, scene: Scene) -> Plan:
    body = body_of(plan)
    return with_body(plan, body[: len(body) * 2 // 3])


def _malformed_event(plan: Plan, scene: Scene) -> Plan:
    events = pieces(plan)
    at = min(after(events, scene.dialect, scene.count("k")), len(events) - 1)
    data = msgspec.json.encode(events[at].json)
    events[at] = events[at].saying(data[: len(data) // 2])
    return sending(plan, events)


def _wrong_content_type(plan: Plan, scene: Scene) -> Plan:
    kind = "application/json" if scene.stream else "text/plain; charset=utf-8"
    return structs.replace(plan, headers=plan.headers | {"content-type": kind})


def _html_page(plan: Plan, scene: Scene) -> Plan:
    made = whole(200, plan.headers | {"content-type": "text/html; charset=UTF-8"}, _PAGE, plan.delay)
    return structs.replace(made, entry=plan.entry)


def _empty_body(plan: Plan, scene: Scene) -> Plan:
    return structs.replace(plan, steps=(), length=None if scene.stream else 0)


def _empty_choices(plan: Plan, scene: Scene) -> Plan:
    def edit(value: Any) -> Any:
        for key in ("choices", "candidates", "content"):
            if key in value:
                value[key] = []
        for holder in (value, value.get("delta")):
            if isinstance(holder, dict) and holder.get("stop_reason"):  # another reason might explain it
                holder["stop_reason"] = "end_turn"
        return None if value.get("type", "").startswith("content_block") else value

    return edited(plan, scene.stream, edit)


def _error_event(plan: Plan, scene: Scene) -> Plan:
    said = refused.OVERLOAD[scene.dialect]
    if not scene.stream:
        return with_body(plan, msgspec.json.encode(said))
    events = pieces(plan)
    at = after(events, scene.dialect, scene.count("k"))
    end = b"\r\n\r\n" if scene.dialect == "gemini" else b"\n\n"
    name = b"event: error\n" if scene.dialect == "anthropic_messages" else b""
    raw = name + b"data: " + msgspec.json.encode(said) + end
    return sending(plan, [*events[:at], structs.replace(events[0], delay=0.0, raw=raw)])


# --- finish and usage -------------------------------------------------------------------------------------------


def _reasons(value: Any, word: str | None) -> Any:
    """The finish reason in whatever place it has, replaced."""
    for choice in value.get("choices", ()):
        if choice.get("finish_reason"):
            choice["finish_reason"] = word
    for candidate in value.get("candidates", ()):
        if "finishReason" in candidate and word is None:
            del candidate["finishReason"]
        elif "finishReason" in candidate:
            candidate["finishReason"] = word
    for holder in (value, value.get("delta")):
        if isinstance(holder, dict) and holder.get("stop_reason"):
            holder["stop_reason"] = word
    return value


def _unknown_finish(plan: Plan, scene: Scene) -> Plan:
    return edited(plan, scene.stream, lambda value: _reasons(value, "WHATEVER_COMES_NEXT"))


def _no_finish(plan: Plan, scene: Scene) -> Plan:
    return edited(plan, scene.stream, lambda value: _reasons(value, None))


def _usage(value: Any, number: Any) -> Any:
    """Every count in every usage as `number`; None leaves usage out."""
    for holder in (value, value.get("message"), value.get("x_groq")):
        for key in ("usage", "usageMetadata"):
            if isinstance(holder, dict) and holder.get(key) is not None:
                if number is None:
                    del holder[key]
                else:
                    holder[key] = {name: number for name, old in holder[key].items() if isinstance(old, int)}
    return value


def _no_usage(plan: Plan, scene: Scene) -> Plan:
    return edited(plan, scene.stream, lambda value: _usage(value, None))


def _zero_usage(plan: Plan, scene: Scene) -> Plan:
    return edited(plan, scene.stream, lambda value: _usage(value, 0))


def _wrong_usage(plan: Plan, scene: Scene) -> Plan:
    return edited(plan, scene.stream, lambda value: _usage(value, "many"))


def _negative_usage(plan: Plan, scene: Scene) -> Plan:
    return edited(plan, scene.stream, lambda value: _usage(value, -7))


# --- codings ----------------------------------------------------------------------------------------------------


def _gzip(plan: Plan, scene: Scene) -> Plan:
    headers = plan.headers | {"content-encoding": "gzip"}
    packer = zlib.compressobj(wbits=31)
    steps = [
        Step(step.delay, packer.compress(step.data) + packer.flush(zlib.Z_SYNC_FLUSH), step.cut) for step in plan.steps
    ]
    steps.append(Step(0.0, packer.flush()))
    length = None if plan.length is None else sum(len(step.data) for step in steps)
    return structs.replace(plan, headers=headers, steps=steps, length=length)


def _broken_gzip(plan: Plan, scene: Scene) -> Plan:
    """The compressed reply, spoilt after `k` pieces; of a body the second half."""
    packed = _gzip(plan, scene)
    steps = list(packed.steps)
    if not scene.stream:
        body = body_of(packed)
        return with_body(packed, body[: len(body) // 2] + b"\xff" * (len(body) - len(body) // 2))
    at = min(scene.count("k"), len(steps) - 1)
    spoilt = [structs.replace(step, data=b"\xff" * max(len(step.data), 32)) for step in steps[at:]]
    return structs.replace(packed, steps=[*steps[:at], *spoilt])


def _giant_body(plan: Plan, scene: Scene) -> Plan:
    size = scene.count("mib")
    body = body_of(plan)

    def steps() -> Iterator[Step]:
        for _ in range(size):
            yield Step(0.0, b" " * _MIB)
        yield Step(0.0, body)

    return structs.replace(plan, steps=steps(), length=size * _MIB + len(body))


def _giant_event(plan: Plan, scene: Scene) -> Plan:
    """One comment line that does not end, after `k` pieces."""
    events = pieces(plan)
    at = after(events, scene.dialect, scene.count("k"))

    def steps() -> Iterator[Step]:
        yield from (Step(event.delay, event.raw) for event in events[:at])
        yield Step(0.0, b'data: {"padding":"')
        for _ in range(scene.count("mib")):
            yield Step(0.0, b"x" * _MIB)
        yield Step(0.0, b'"}\n\n')
        yield from (Step(event.delay, event.raw) for event in events[at:])

    return structs.replace(plan, steps=steps())


def _finish_then_silence(plan: Plan, scene: Scene) -> Plan:
    events = pieces(plan)
    last = next((i for i, event in enumerate(events) if finishes(scene.dialect, event.json)), len(events) - 1)
    return sending(plan, [*events[: last + 1], structs.replace(events[0], delay=float("inf"), raw=b"")])


_K = {"k": 3.0}

FAULTS = (
    Fault("malformed_body", "a body that is no JSON", _malformed_body, "passing", on=QUERY),
    Fault("truncated_body", "a body that ends too early, its length announced as it is", _truncated_body, "passing",
          on=QUERY),
    Fault("malformed_event", "the event after k pieces is no JSON", _malformed_event, "passing", _K, STREAM,
          variants=("k=0",)),
    Fault("wrong_content_type", "the content type is another's", _wrong_content_type, "harmless"),
    Fault("html_page", "200 with a page for people", _html_page, "passing"),
    Fault("empty_body", "200 with nothing behind the head", _empty_body, "passing"),
    Fault("empty_choices", "200 without a choice, candidate or block", _empty_choices, "passing"),
    Fault("error_event", "an error inside 200: as the body, or as an event after k pieces", _error_event, "passing",
          _K, variants=("k=0",)),
    Fault("unknown_finish", "a finish reason that nobody knows", _unknown_finish, "harmless"),
    Fault("no_finish", "no finish reason", _no_finish, "passing"),
    Fault("finish_then_silence", "after the finish reason nothing comes, and the connection stays open",
          _finish_then_silence, "harmless", on=STREAM),
    Fault("no_usage", "usage is missing", _no_usage, "harmless"),
    Fault("zero_usage", "all counts are 0", _zero_usage, "harmless"),
    Fault("wrong_usage", "counts that are no numbers", _wrong_usage, "harmless"),
    Fault("negative_usage", "counts below 0", _negative_usage, "harmless"),
    Fault("gzip", "compressed, as we said we could read", _gzip, "harmless"),
    Fault("broken_gzip", "compressed, and spoilt after k pieces (in a body: its second half)", _broken_gzip, "passing",
          _K, variants=("k=0",)),
    Fault("giant_body", "a body of `mib` MiB", _giant_body, "refused", {"mib": 65.0}, QUERY),
    Fault("giant_event", "an event of `mib` MiB after k pieces", _giant_event, "refused", {"mib": 17.0, **_K}, STREAM,
          variants=("k=0",)),
)  # fmt: skip
