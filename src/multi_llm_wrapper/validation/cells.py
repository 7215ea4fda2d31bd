"""One cell of the fault matrix: one fault, one dialect, `query` or `stream`; what the caller sees, and what must hold.

A cell runs against a simulator of its own: in memory on a clock that jumps, or over HTTP in real time.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from msgspec import Struct, structs

from ..call import HEDGE
from ..clock import Clock, SystemClock
from ..config import AnthropicConfig, GeminiConfig, OpenAIConfig, Timeouts, WrapperConfig
from ..errors import CLASSES
from ..response import Response
from ..simulator import Brain, MemoryTransport, SimulatorServer
from ..simulator.faults import DIALECTS, FAULTS, HEADER, parse
from ..testing.clock import VirtualClock
from ..transport.http import HTTPTransport
from ..wrapper import LLMWrapper

QUESTION = "What do é, 日本 and ☕ have in common?"
TOOL_QUESTION = "Call get_weather and get_time."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("get_weather", "get_time")
]
MODELS = {
    "openai_chat": "openai/gpt-4o",
    "anthropic_messages": "anthropic/claude-sonnet-5",
    "gemini": "gemini/gemini-2.5-flash",
}
FALLBACKS = dict(zip(DIALECTS, (*DIALECTS[1:], DIALECTS[0]), strict=True))
"""Dialect -> the one of the model that is asked after its own."""
WIDER = ("openai_chat", "anthropic_messages")
"""The dialects whose fallback has the larger window: only there does a prompt that is too long move on."""
CALLERS = frozenset(
    ("bad_request", "bad_json", "bad_parameter", "bad_schema", "context_length", "content_filter", "no_path",
     "too_large", "unprocessable")
)  # fmt: skip
"""The faults that are the caller's own: another provider would not take the request either."""
RETRIES = 2
PACE = 1e-5
"""Seconds between two pieces of a stream: so short that it does not show, but each is read by itself."""
MAX_WAIT = 60.0
"""Seconds: a Retry-After beyond this is not waited for."""


class Cell(Struct, frozen=True):
    """`spec` as in the header `x-sim-fault`; `once`: only the first request fails, else all do."""

    spec: str
    dialect: str
    stream: bool
    once: bool
    restart: bool = False
    """With `on_interrupt="restart"`."""
    tools: bool = False
    """Asked for tool calls."""
    fallback: bool = False
    """With a second model, of another dialect, that is healthy."""

    @property
    def name(self) -> str:
        return self.spec.partition("?")[0]

    def __str__(self) -> str:
        words = (self.spec, self.dialect, "stream" if self.stream else "query", "once" if self.once else "always")
        more = {"restart": self.restart, "tools": self.tools, "fallback": self.fallback}
        return " ".join((*words, *(word for word, wanted in more.items() if wanted)))


class Outcome(Struct):
    """What the caller saw, beside what the simulator counted."""

    status: str = ""
    error_type: str | None = None
    whole: bool = False
    """The content and the tool calls are those of the healthy answer."""
    longer: bool = False
    """The content is at least as long as the healthy one."""
    attempts: int = 0
    asked: int = 0
    """Requests in the simulator's journal."""
    seconds: float = 0.0
    delivered: int = 0
    """Chunks with content that the caller had before the end, since the last restart."""
    restarts: int = 0
    retry_after: float | None = None
    waits: tuple[float, ...] = ()
    """Seconds between two attempts at the same provider, as `attempts_detail` has them."""
    fallen: bool = False
    """It was the fallback that answered."""
    kept: str = ""
    """The texts of the chunks, since the last restart, joined."""
    content: str = ""
    raised: str | None = None
    response: Response | None = None


def cells(*, restart: bool = False, fallback: bool = False) -> Iterator[Cell]:
    """The whole matrix; with `restart` the part of it that this setting may change; with `fallback` a second model
    where every request to the first one fails, and streams that restart."""
    if fallback:
        for cell in cells():
            if not cell.once:
                yield structs.replace(cell, restart=cell.stream, fallback=True)
        return
    for fault in FAULTS.values():
        for params in ("", *fault.variants):
            spec = f"{fault.name}?{params}" if params else fault.name
            for dialect in DIALECTS:
                for stream in (False, True):
                    if not fault.applies(dialect, stream) or (restart and not (stream and "k" in fault.params)):
                        continue
                    for once in (True,) if restart else (False, True):
                        yield Cell(spec, dialect, stream, once, restart, fault.tools)


# --- running one ------------------------------------------------------------------------------------------------


def run(cell: Cell, timeouts: Timeouts | None = None) -> Outcome:
    """In memory, on a clock that jumps."""
    clock = VirtualClock()
    brain = Brain(clock=clock.time, pace=PACE)
    state = random.getstate()
    random.seed(cell.spec)  # the back-off: the same in every run
    try:
        transport = MemoryTransport(brain)
        return clock.run(outcome(cell, brain, "http://memory", transport, clock, timeouts))
    finally:
        random.setstate(state)


async def run_http(cell: Cell, timeouts: Timeouts) -> Outcome:
    """Over HTTP, in real time."""
    async with SimulatorServer(Brain(pace=PACE)) as server:
        return await outcome(cell, server.brain, server.url, HTTPTransport({}), SystemClock(), timeouts)


async def run_at(base_url: str, key: str, cell: Cell, timeouts: Timeouts | None = None) -> Outcome:
    """At a simulator elsewhere, or at something with one behind it: the fault is asked for in a header. How many
    requests came there cannot be seen."""
    times = "times=1" if cell.once or cell.name == "idle_close" else "times=inf"
    mark = f"seed={random.randrange(10**9)}"  # a simulator counts by the whole text: this one is new to it
    header = {HEADER: f"{cell.spec}{'&' if '?' in cell.spec else '?'}{times}&{mark}"}
    urls = dict.fromkeys(DIALECTS, base_url)
    clock = SystemClock()
    async with _wrapper(urls, HTTPTransport(), clock, timeouts, key) as llm:
        healthy = await _query(llm, cell)
        if not healthy.ok:
            return _fill(Outcome(), healthy, healthy)
    async with _wrapper(urls, HTTPTransport(), clock, timeouts, key) as llm:
        found = await _measure(llm, cell, healthy, extra_headers=header)
    found.asked = found.attempts
    return found


async def outcome(
    cell: Cell, brain: Brain, origin: str, transport: Any, clock: Clock, timeouts: Timeouts | None
) -> Outcome:
    """Asks for the healthy answer first, then with the fault, on new connections."""
    urls = {dialect: brain.base_url(origin, dialect) for dialect in DIALECTS}
    async with _wrapper(urls, transport, clock, timeouts) as llm:
        healthy = await _query(llm, cell)
        other = await _query(llm, structs.replace(cell, dialect=FALLBACKS[cell.dialect])) if cell.fallback else None
    (spec,) = parse(cell.spec)
    spec = structs.replace(spec, times=1.0) if cell.once or cell.name == "idle_close" else spec
    brain.faults(spec, model=MODELS[cell.dialect].partition("/")[2] if cell.fallback else None)
    before = len(brain.journal) + (cell.name == "idle_close")
    async with _wrapper(urls, transport, clock, timeouts) as llm:
        found = await _measure(llm, cell, healthy, other)
    found.asked = len(brain.journal) - before
    return found


async def _measure(
    llm: LLMWrapper, cell: Cell, healthy: Response, other: Response | None = None, **options: Any
) -> Outcome:
    """`healthy` is the answer without the fault, `other` that of the fallback."""
    if cell.fallback:
        options["fallbacks"] = [MODELS[FALLBACKS[cell.dialect]]]
    if cell.name == "idle_close":  # it is the next request that fails
        await _query(llm, cell, **options)
    found = Outcome()
    began = llm.clock.monotonic()
    try:
        response = await (_stream(llm, cell, found, **options) if cell.stream else _query(llm, cell, **options))
    except Exception as error:
        found.raised = f"{type(error).__name__}: {error}"
        return found
    found.seconds = llm.clock.monotonic() - began
    found.fallen = other is not None and response["provider"] == other["provider"]
    return _fill(found, response, other if found.fallen and other is not None else healthy)


@asynccontextmanager
async def _wrapper(
    urls: dict[str, str], transport: Any, clock: Clock, timeouts: Timeouts | None, key: str = "any-key"
) -> AsyncIterator[LLMWrapper]:
    config = WrapperConfig(
        openai=OpenAIConfig(api_key=key, base_url=urls["openai_chat"]),
        anthropic=AnthropicConfig(api_key=key, base_url=urls["anthropic_messages"]),
        gemini=GeminiConfig(api_key=key, base_url=urls["gemini"]),
        enable_caching=False,
        max_retries=RETRIES,
        timeouts=timeouts,
    )
    async with LLMWrapper(config, transport=transport, clock=clock) as llm:
        yield llm


def _asking(cell: Cell) -> tuple[str, dict[str, Any]]:
    """The question and the options: one with tool calls in its answer where the fault needs them."""
    options: dict[str, Any] = {"on_interrupt": "restart"} if cell.restart else {}
    if cell.tools:
        return TOOL_QUESTION, {**options, "tools": TOOLS}
    return QUESTION, options


async def _query(llm: LLMWrapper, cell: Cell, **more: Any) -> Response:
    question, options = _asking(cell)
    response: Response = await llm.query(question, MODELS[cell.dialect], **options, **more)
    return response


async def _stream(llm: LLMWrapper, cell: Cell, found: Outcome, **more: Any) -> Response:
    question, options = _asking(cell)
    options |= more
    texts: list[str] = []
    async with llm.stream(question, MODELS[cell.dialect], **options) as stream:
        async for chunk in stream:
            if chunk.type == "restart":
                found.restarts += 1
                found.delivered = 0
                texts = []
            elif chunk.type in ("text", "reasoning", "tool_call"):
                found.delivered += 1
                texts.append(chunk.content)
    found.kept = "".join(texts)
    return stream.response


def _fill(found: Outcome, response: Response, healthy: Response) -> Outcome:
    facts = response["metadata"]
    found.response = response
    found.status, found.error_type = response["status"], response["error_type"]
    found.content = response["content"] or ""
    found.whole = found.content == healthy["content"] and _calls(response) == _calls(healthy)
    found.longer = len(found.content) >= len(healthy["content"] or "")
    found.attempts = facts["attempts"]
    found.retry_after = facts.get("retry_after")
    details = facts.get("attempts_detail") or []
    found.waits = tuple(a["wait"] or 0.0 for a, b in pairwise(details) if _same(a, b))
    return found


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["provider"] == other["provider"])


def _calls(response: Response) -> list[tuple[str, str]]:
    return [(call["name"], call["arguments_raw"]) for call in response["tool_calls"]]


# --- what must hold ---------------------------------------------------------------------------------------------


def violations(cell: Cell, found: Outcome, total: float = 600.0, slack: float = 0.5) -> list[str]:
    """What is wrong with an outcome: nothing, if the promises are kept. `total` is the limit of the call in seconds."""
    if found.raised is not None:
        return [f"raised {found.raised}"]
    effects = _FALLING if cell.fallback else _EFFECTS
    checks = (*_always(cell, found, total, slack), *effects[FAULTS[cell.name].effect](cell, found, total))
    return [words for words, broken in checks if broken]


Check = tuple[str, bool]


def _always(cell: Cell, found: Outcome, total: float, slack: float) -> Iterator[Check]:
    fault = FAULTS[cell.name]
    ok = found.status == "success"
    yield f"took {found.seconds:.1f} s, more than the call's {total:g} s", found.seconds > total + slack
    yield f"{found.asked} requests were sent, {found.attempts} are told", found.asked != found.attempts
    most = 1 + RETRIES + (cell.name == "idle_close") + cell.fallback
    yield f"{found.attempts} attempts are too many", found.attempts > most
    yield f"status {found.status!r} with error_type {found.error_type!r}", ok != (found.error_type is None)
    yield f"error_type {found.error_type!r} is none", not ok and found.error_type not in CLASSES
    yield "a part of the answer is called a success", ok and not found.whole and fault.effect != "altered"
    yield "chunks and response differ", cell.stream and found.kept != found.content
    again = found.attempts > 1 and not ok and not cell.restart
    yield "repeated after content was delivered", again and found.delivered > 0
    yield "began anew after a tool call was delivered", cell.tools and found.restarts > 0
    yield f"began anew {found.restarts} times unasked", found.restarts > 0 and not cell.restart
    yield from _waited(cell, found, total)


def _waited(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    """A Retry-After is waited for in full, or told."""
    if not cell.name.startswith(("rate_limit_", "unavailable_wait", "credit_hold")):
        return
    (spec,) = parse(cell.spec)
    asked = spec.params.get("s", 2.0) - (cell.name == "rate_limit_date")  # a date has whole seconds
    if asked > MAX_WAIT:
        yield "repeated in spite of a long wait", len(found.waits) > 0
        told = found.retry_after is not None and found.retry_after >= MAX_WAIT
        yield "the long wait is not told", found.status != "success" and not told
    else:
        yield f"waited {found.waits} instead of {asked:g} s", any(wait < asked - 1e-6 for wait in found.waits)
        yield "did not take the time of the waits", found.seconds < asked * len(found.waits) - 1e-6
        yield "the waits are not told", not cell.fallback and len(found.waits) != found.attempts - 1


def _harmless(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    yield f"a harmless oddity ended as {found.error_type}", found.status != "success"
    yield "asked again for nothing", found.attempts != 1 + (cell.name == "idle_close")


def _altered(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    yield "a part is missing", found.status == "success" and not found.longer
    yield "asked again for nothing", found.status == "success" and found.attempts > 1


def _refused(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    yield "a refusal is called a success", found.status == "success"
    yield "a refusal was repeated", found.attempts > 1


def _passing(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    """It may be repeated; if so, to the end of the budget, and with success when only the first attempt failed."""
    out_of_time = found.seconds >= total - 1e-3
    told = (found.retry_after or 0.0) > MAX_WAIT
    gave_up = found.status != "success" and not (found.delivered or out_of_time or told)
    yield f"gave up after {found.attempts} attempts", gave_up and found.attempts < 1 + RETRIES
    yield "did not survive one failure", gave_up and cell.once
    if cell.restart and not cell.tools:
        yield "restart did not mend it", found.status != "success" and not out_of_time


def _passed_over(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    """A harmless oddity needs no fallback, unless the first piece of a stream is late (the hedge)."""
    late = cell.stream and found.seconds >= HEDGE
    yield f"a harmless oddity ended as {found.error_type}", found.status != "success"
    yield "asked again for nothing", not late and found.attempts != 1 + (cell.name == "idle_close")
    yield "hedged more than once", late and found.attempts > 2


def _mended(cell: Cell, found: Outcome, total: float) -> Iterator[Check]:
    """The caller's own stays with the caller; all else ends in a whole answer, unless content is out that must stay."""
    ok = found.status == "success"
    if cell.name in CALLERS and not (cell.name == "context_length" and cell.dialect in WIDER):
        yield "the caller's own fault was sent to the fallback", ok or found.fallen or found.attempts > 1
    elif found.delivered and not ok:
        yield "restart did not mend it", cell.restart and not cell.tools
        yield "the fallback was asked after content was delivered", found.attempts > 1
    else:
        yield f"the fallback did not mend it: {found.error_type}", not ok
        yield "a refusal was repeated", FAULTS[cell.name].effect == "refused" and found.attempts > 2


_EFFECTS = {"harmless": _harmless, "altered": _altered, "refused": _refused, "passing": _passing}
_FALLING = {"harmless": _passed_over, "altered": _altered, "refused": _mended, "passing": _mended}

__all__ = [
    "CALLERS",
    "FALLBACKS",
    "MODELS",
    "RETRIES",
    "WIDER",
    "Cell",
    "Outcome",
    "cells",
    "outcome",
    "run",
    "run_at",
    "run_http",
    "violations",
]
