"""Where the events of a stream come from: the network, an answer that is already there, the faster of two routes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from msgspec import structs

from . import foreign
from .attempt import Answer, LiveStream
from .call import GIVEN_UP, Call, unexpected
from .errors import LLMError
from .fold import Fold, events_of
from .legs import Leg
from .routing import Target
from .types import Event, RateLimit, ReasoningDelta, Reply, TextDelta, ToolCallDelta, Usage


class Source(Protocol):
    """The events of one attempt; `fold` is what they add up to so far."""

    fold: Fold
    request_id: str | None
    rate_limit: RateLimit | None

    async def next(self) -> list[Event] | None: ...

    def received(self) -> None: ...

    def abort(self) -> None: ...

    @property
    def raw(self) -> bytes | None:
        """The bytes of the body, where they were to be kept."""


Begun = tuple[Source, list[Event] | None]
"""A source, and the first events where they were waited for."""


async def start(call: Call, *, hedged: bool) -> Begun:
    """The source of the next attempt: the present route's, or that of a hedge which was faster."""
    late = call.hedge_after if hedged else None
    if late is not None:
        return await _Race(call).run(late)
    leg = call.leg
    await call.begin(leg)
    source = await _open(call, leg)
    leg.fold = source.fold
    return source, None


async def _open(call: Call, leg: Leg) -> Source:
    deadline = call.attempt_deadline()
    if call.completion is not None:
        return Replay(await foreign.answer(call.completion, call, deadline))
    if leg.target.backend == "litellm":
        from . import litellm_bridge

        found = await litellm_bridge.open_stream(call, leg, deadline)
        return Replay(found) if isinstance(found, Answer) else found
    target = _hurried(leg, call)
    live = LiveStream(target, call.clock, call.loop, keep_raw=bool(call.options.get("keep_raw")))
    try:
        await live.open(call.wrapper.transport, leg.wire, deadline)
    except BaseException:
        live.abort()
        raise
    return live


def _hurried(leg: Leg, call: Call) -> Target:
    """The target, whose first token is due early enough for each untried route to have as much time."""
    limits, share = leg.target.limits, call.share() - call.now()
    if share >= limits.first_token or not call.budget.untried:
        return leg.target
    return structs.replace(leg.target, limits=structs.replace(limits, first_token=max(share, 0.0)))


class Replay:
    """An answer that is already there, as the source of a stream."""

    def __init__(self, answer: Answer) -> None:
        usage = answer.reply.usage or Usage()  # a foreign client's counts are in other words than the target's dialect
        self.fold = Fold(lambda _: usage)
        self.request_id = answer.request_id
        self.rate_limit = answer.rate_limit
        self.raw: bytes | None = answer.raw or None
        self._reply: Reply | None = answer.reply

    async def next(self) -> list[Event] | None:
        reply, self._reply = self._reply, None
        if reply is None:
            return None
        events = events_of(reply)
        self.fold.add_all(events)
        return events

    def received(self) -> None:
        pass

    def abort(self) -> None:
        pass


CLOSING = 0.1
"""Seconds that the winner waits for the loser's connection to be closed."""


class _Race:
    """Two routes for one first token: the second starts when the first is late, and the first to deliver is kept."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._running: dict[asyncio.Task[Begun], Leg] = {}

    async def run(self, late: float) -> Begun:
        """Raises the last error when neither delivers; the call's leg is then the route that it came from."""
        first = self._call.leg
        self._go(first)
        try:
            done, _ = await asyncio.wait(self._running, timeout=late)
            if not done and (second := self._call.hedge()) is not None:
                self._go(second)
            return await self._winner(first)
        finally:
            await self._stop()

    def _go(self, leg: Leg) -> None:
        self._running[asyncio.create_task(_first(self._call, leg))] = leg

    async def _winner(self, first: Leg) -> Begun:
        while True:
            done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                leg = self._running.pop(task)
                failure = task.exception()
                if failure is None:
                    if leg is not first:
                        self._call.won(leg)
                    return task.result()
                if not self._running:
                    raise failure
                self._lost(leg, failure)

    def _lost(self, leg: Leg, failure: BaseException) -> None:
        """One has failed while the other may still deliver: that one is what the call waits for now."""
        error = failure if isinstance(failure, LLMError) else unexpected(failure)
        self._call.lost(leg, error, next(iter(self._running.values())))

    async def _stop(self) -> None:
        """The loser is cancelled at once: its connection is closed when this returns, or, when the caller gives up at
        this very moment or the transport takes its time, as soon as it has ended."""
        losers, self._running = self._running, {}
        for task in losers:
            task.cancel()
            task.add_done_callback(_discard)
        try:
            if losers:
                await asyncio.wait(losers, timeout=CLOSING)
        finally:
            for leg in losers.values():
                self._call.ended(leg, GIVEN_UP)


def _discard(task: asyncio.Task[Begun]) -> None:
    """Closes what was opened."""
    if not task.cancelled() and task.exception() is None:
        source, _ = task.result()
        source.abort()


async def _first(call: Call, leg: Leg) -> Begun:
    """A source that has begun to deliver (or has ended), with its events so far."""
    await call.begin(leg)
    source = await _open(call, leg)
    leg.fold = source.fold
    seen: list[Event] = []
    try:
        while (events := await source.next()) is not None:
            seen += events
            if any(isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta) for event in events):
                break
    except BaseException:
        source.abort()
        raise
    return source, seen or None


__all__ = ["Begun", "Replay", "Source", "start"]
