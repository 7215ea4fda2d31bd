"""Failures of the connection and of time: late, silent, cut, reset, closed."""

from __future__ import annotations

from msgspec import structs

from ..plan import Cut, Plan, Step
from . import refused
from .events import NEVER, Piece, after, body_of, pieces, sending
from .fault import STREAM, Fault, Scene


def _no_answer(plan: Plan, scene: Scene) -> Plan:
    return structs.replace(plan, delay=NEVER)


def _slow_headers(plan: Plan, scene: Scene) -> Plan:
    return structs.replace(plan, delay=plan.delay + scene.params["s"])


def _slow_first_token(plan: Plan, scene: Scene) -> Plan:
    first, *rest = plan.steps
    return structs.replace(plan, steps=[structs.replace(first, delay=first.delay + scene.params["s"]), *rest])


def _disconnect(plan: Plan, scene: Scene) -> Plan:
    return structs.replace(plan, cut="close", delay=plan.delay + scene.params["s"])


def _reset(plan: Plan, scene: Scene) -> Plan:
    return structs.replace(plan, cut="reset", delay=plan.delay + scene.params["s"])


def _broken(plan: Plan, scene: Scene, cut: Cut | None, delay: float = 0.0) -> Plan:
    """What comes before: `k` pieces of a stream, half of a body; then `delay` seconds, then the cut."""
    if not scene.stream:
        body = body_of(plan)
        return structs.replace(plan, steps=(Step(0.0, body[: len(body) // 2]), Step(delay, b"", cut)))
    events = pieces(plan)
    kept = events[: after(events, scene.dialect, scene.count("k"))]
    return sending(plan, [*kept, Piece(delay, b"", cut)])


def _stall(plan: Plan, scene: Scene) -> Plan:
    return _broken(plan, scene, None, NEVER)


def _cut(plan: Plan, scene: Scene) -> Plan:
    return _broken(plan, scene, "close")


def _reset_midway(plan: Plan, scene: Scene) -> Plan:
    return _broken(plan, scene, "reset")


def _cut_clean(plan: Plan, scene: Scene) -> Plan:
    events = pieces(plan)
    return sending(plan, events[: after(events, scene.dialect, scene.count("k"))])


def _cut_in_event(plan: Plan, scene: Scene) -> Plan:
    events = pieces(plan)
    at = min(after(events, scene.dialect, scene.count("k")), len(events) - 1)
    half = structs.replace(events[at], raw=events[at].raw[: len(events[at].raw) // 2], cut="close")
    return sending(plan, [*events[:at], half])


def _cut_at(plan: Plan, scene: Scene) -> Plan:
    """Wherever that is: in a line, in a character."""
    left, steps = scene.count("bytes"), []
    for step in plan.steps:
        steps.append(structs.replace(step, data=step.data[:left]))
        left -= len(step.data)
        if left <= 0:
            break
    return structs.replace(plan, steps=[*steps, Step(0.0, b"", "close")])


def _flapping(plan: Plan, scene: Scene) -> Plan:
    down, up = scene.params["down"], scene.params["up"]
    phase = scene.elapsed if up == NEVER else scene.elapsed % max(down + up, 1e-3)
    if phase >= down:
        return plan
    return refused.reply(plan, scene, refused._pick(refused.UNAVAILABLE, scene.dialect))


def _connection_limit(plan: Plan, scene: Scene) -> Plan:
    return plan if scene.busy < scene.params["limit"] else structs.replace(plan, cut="close")


def _idle_close(plan: Plan, scene: Scene) -> Plan:
    return structs.replace(plan, doomed=True)


_K = {"k": 3.0}
_FIRST = ("k=0",)

FAULTS = (
    Fault("no_answer", "nothing at all comes back", _no_answer, "passing"),
    Fault("slow_headers", "the head of the reply comes after s seconds", _slow_headers, "harmless", {"s": 30.0}),
    Fault(
        "slow_first_token", "the head comes at once, the first of the body after s seconds", _slow_first_token,
        "harmless", {"s": 30.0},
    ),
    Fault("disconnect", "the connection is closed before the head, after s seconds", _disconnect, "passing",
          {"s": 0.0}),
    Fault("reset", "TCP reset before the head, after s seconds", _reset, "passing", {"s": 0.0}),
    Fault("stall", "silence after k pieces (in a body: after half of it)", _stall, "passing", _K, variants=_FIRST),
    Fault(
        "cut", "the connection is closed after k pieces, without the end of the chunked coding (in a body: after half)",
        _cut, "passing", _K, variants=_FIRST,
    ),
    Fault(
        "cut_clean", "the stream ends after k pieces, with the end of the chunked coding", _cut_clean, "passing", _K,
        STREAM, variants=_FIRST,
    ),
    Fault("cut_in_event", "the connection is closed in the middle of the event after k pieces", _cut_in_event,
          "passing", _K, STREAM, variants=_FIRST),
    Fault("cut_at", "the connection is closed after so many bytes of the body", _cut_at, "passing", {"bytes": 100.0}),
    Fault("reset_midway", "TCP reset after k pieces (in a body: after half)", _reset_midway, "passing", _K,
          variants=_FIRST),
    Fault("flapping", "503 for `down` seconds, then healthy for `up`, and again", _flapping, "passing",
          {"down": 5.0, "up": NEVER}, variants=("down=0.2",)),
    Fault("connection_limit", "closed without an answer while `limit` other replies are under way", _connection_limit,
          "passing", {"limit": 0.0}),
    Fault("idle_close", "answered, but the next request on this connection finds it closed", _idle_close, "harmless"),
)  # fmt: skip
