"""The cache in front of a call: looks first, asks otherwise, keeps what is a whole and successful answer.

Calls that ask the same at the same time share one request to the provider, streamed (`reader`) or not (`answer`).
Whoever gets what was not asked on his behalf gets a copy of his own, marked as cached.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import structs

from ..attempt import Answer
from ..clock import Clock
from ..config import WrapperConfig
from ..options import Options
from ..response import Response
from . import entry
from .broadcast import LAST, Broadcast, Reader, Upstream
from .entry import CorruptError, Entry
from .flight import Flight, Shared
from .guard import WRITE_TIMEOUT, Guard, Tally
from .key import Question, cache_key
from .memory import MemoryStore
from .store import open_store

S = TypeVar("S", bound=Shared)

TTL = 3600.0
REFRESH = "refresh"
TURN = 100
"""After so many hits the event loop has its turn, for a hit in memory does not wait for anything."""
_MANNER = ("timeout", "timeouts", "max_retries", "fallbacks", "fallback_on", "on_interrupt", "hedge_after",
           "drop_unsupported")  # fmt: skip
"""Options that are no part of the question, but decide what becomes of the call: only calls that agree in them share a
request."""

_log = logging.getLogger("multi_llm_wrapper")


Outcome = Entry | bytes | Response
"""An entry, its bytes (each reads its own copy of them), or the response of the call that asked."""


class Budget(Protocol):
    deadline: float


class Cacheable(Protocol):
    """What the cache needs of a call."""

    provider: str | None
    model: str | None
    options: Options
    answered: Answer | None
    """What a successful call got from the wire."""

    @property
    def answered_by_primary(self) -> bool:
        """False once a fallback has answered; that is no answer of the model that was asked."""

    @property
    def budget(self) -> Budget: ...

    def questions(self) -> list[Question]:
        """What is asked, the same whether it is streamed or not; of each of several deployments that may answer."""

    def beyond(self) -> bytes:
        """What may be asked of fallbacks beside that."""

    def answer(self) -> Awaitable[Response]: ...

    def recalled(self, entry: Entry, age: float) -> Response:
        """An answer that was got for another call, as the response of this one."""

    def gone(self, work: Shared | None) -> object:
        """The caller gave up. `work` is what is being done for this call, and may go on for others; None when it
        waited for another one's."""

    def echoed(self, answer: Response) -> Response:
        """The failure of a request that was made for another call, a copy, as the response of this one."""


class Cache:
    """One for each wrapper; opens nothing before it is used. Raises `ValueError` when the configuration names no store,
    and nothing else, whatever becomes of the store."""

    def __init__(self, config: WrapperConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._tally = Tally()
        self._url: str | None = None
        self._memory: MemoryStore | None = None
        self._guard: Guard | None = None
        self._retired: list[Guard] = []
        self._flights: dict[Hashable, Flight[Outcome]] = {}
        self._casts: dict[Hashable, Broadcast[Outcome]] = {}
        self._running: set[Shared] = set()
        self._use(config.cache)

    # --- for the caller -----------------------------------------------------------------------------------------

    def stats(self) -> dict[str, int | None]:
        """Counts since the start, and `size` in bytes (None where the store does not tell); see `Tally`."""
        store = self._memory if self._guard is None else self._guard.store
        evicted, size = (store.evicted, store.size) if store is not None else (0, 0)
        return {**structs.asdict(self._tally), "evicted": evicted, "size": size}

    async def aclose(self) -> None:
        """Finishes what is being written and closes the store; a call made afterwards opens it anew."""
        here = asyncio.get_running_loop()
        running = [one for one in self._running if one.loop is here]
        ending = [one.task for one in running if one.settled or one.task.cancelling()]
        if ending:
            await asyncio.wait(ending, timeout=WRITE_TIMEOUT)
        retired, self._retired = self._retired, []
        for guard in (*retired, self._guard):
            if guard is not None:
                await guard.aclose()

    # --- for the package ----------------------------------------------------------------------------------------

    async def answer(self, call: Cacheable) -> Response:
        """The whole of a `query()`."""
        wanted = self._wanted(call.options)
        if wanted is False:
            return await call.answer()
        key = cache_key(call.questions(), "raw" if call.options and call.options.get("keep_raw") else "")
        found = self._in_memory(key, call.options) if wanted != REFRESH else None
        if found is not None:
            response = self._concluded(call, found, own=True)
            if self._tally.hits % TURN == 0:
                await asyncio.sleep(0)
            return response
        ident = self._ident(call, key, wanted)
        while True:
            flight = self._flights.get(ident)
            leads = flight is None or not self._joinable(flight, call, wanted)
            if leads or flight is None:
                flight = self._flights[ident] = Flight(call.budget.deadline)
                self._start(flight, self._ask(call, key, wanted, flight), self._flights, ident)
            try:
                outcome = await flight.wait()
            except asyncio.CancelledError:
                call.gone(flight if leads else None)
                raise
            if leads or not self._cut_short(outcome, flight, call):
                return self._concluded(call, outcome, own=leads)

    def reader(self, call: Cacheable, upstream: Callable[[], Upstream]) -> Reader[Outcome] | None:
        """Where a stream gets its chunks from; None when the cache is off. `upstream` asks the provider for `call`, and
        must not hold on to the stream that reads."""
        wanted = self._wanted(call.options)
        if wanted is False:
            return None
        # the bytes of a stream are other ones than those of a whole reply
        key = cache_key(call.questions(), "raw stream" if call.options and call.options.get("keep_raw") else "")
        found = self._in_memory(key, call.options) if wanted != REFRESH else None
        if found is not None:
            return Reader(found)
        ident = self._ident(call, key, wanted)
        cast = self._casts.get(ident)
        if cast is None or not self._joinable(cast, call, wanted):
            cast = self._casts[ident] = Broadcast(call.budget.deadline)
            self._start(cast, self._pump(call, key, wanted, cast, upstream), self._casts, ident)
        return cast.join()

    def cut_short(self, call: Cacheable, reader: Reader[Outcome]) -> bool:
        """Whether a stream that was joined has ended only because the time of the one who asked was up."""
        joined = reader.joined
        return joined is not None and reader.outcome is not None and self._cut_short(reader.outcome, joined, call)

    def conclude(self, call: Cacheable, reader: Reader[Outcome]) -> Response:
        """The response of a stream whose reader has finished."""
        assert reader.outcome is not None  # noqa: S101  # that is what finished means
        return self._concluded(call, reader.outcome, own=reader.leads)

    # --- what is wanted -----------------------------------------------------------------------------------------

    def _wanted(self, options: Options) -> bool | str:
        """True, False or "refresh"."""
        if self._config.cache is not self._url:
            self._change(self._config.cache)
        if self._memory is None and self._guard is None:
            return False
        wanted = options.get("cache") if options else None
        return self._config.enable_caching if wanted is None else wanted

    def _ident(self, call: Cacheable, key: str, wanted: bool | str) -> Hashable:
        options: Mapping[str, Any] = call.options
        manner = [f"{name}={options[name]!r}" for name in _MANNER if name in options] if options else []
        return key, wanted == REFRESH, call.beyond(), *manner

    def _at_most(self, options: Options) -> float | None:
        """Seconds: the age of an answer that is not taken any more."""
        return (options.get("cache_ttl") if options else None) or self._config.cache_ttl

    def _joinable(self, shared: Flight[Outcome] | Broadcast[Outcome], call: Cacheable, wanted: bool | str) -> bool:
        """What goes on, or is there already and only being written down; then like any stored answer."""
        if shared.loop is not asyncio.get_running_loop():
            return False
        late = shared.late
        if not isinstance(late, bytes):
            return True
        return wanted != REFRESH and entry.decode(late).holds(self._clock.time(), self._at_most(call.options))

    def _change(self, url: str | None) -> None:
        """The configuration was changed; what it says now is no reason to fail a call."""
        if url == self._url:
            self._url = url
            return
        if self._guard is not None:
            self._retired.append(self._guard)
        try:
            self._use(url)
        except ValueError as error:
            _log.error("multi_llm_wrapper: there is no caching: %s", error)
            self._memory, self._guard, self._url = None, None, url

    def _use(self, url: str | None) -> None:
        store = open_store(url) if url is not None else None
        self._memory, self._guard, self._url = None, None, url
        if isinstance(store, MemoryStore):
            self._memory = store
        elif store is not None:
            self._guard = Guard(store, self._clock, self._tally)

    # --- looking ------------------------------------------------------------------------------------------------

    def _in_memory(self, key: str, options: Options) -> Entry | None:
        if self._memory is None:
            return None
        now = self._clock.time()
        body = self._memory.get(key, now)
        if body is not None:
            found = entry.decode(body)
            if found.holds(now, self._at_most(options)):
                return found
        return None

    async def _look(self, key: str, options: Options) -> bytes | None:
        """In the store outside: the bytes of an entry that holds. In memory it was looked for before."""
        now = self._clock.time()
        value = await self._guard.get(key, now) if self._guard is not None else None
        if value is not None:
            try:
                body = entry.unseal(key, value)
                if entry.decode(body).holds(now, self._at_most(options)):
                    return body
            except CorruptError:
                self._tally.errors += 1
        self._tally.misses += 1
        return None

    # --- asking -------------------------------------------------------------------------------------------------

    def _start(self, one: S, work: Coroutine[Any, Any, None], joinable: dict[Hashable, S], ident: Hashable) -> None:
        def closed() -> None:
            if joinable.get(ident) is one:
                del joinable[ident]

        one.start(work, closed, self._running)

    async def _ask(self, call: Cacheable, key: str, wanted: bool | str, flight: Flight[Outcome]) -> None:
        body = await self._look(key, call.options) if wanted != REFRESH else None
        if body is not None:
            flight.settle(body, lambda: body)
            return
        await self._finish(flight, call, key, await call.answer())

    async def _pump(
        self,
        call: Cacheable,
        key: str,
        wanted: bool | str,
        cast: Broadcast[Outcome],
        upstream: Callable[[], Upstream],
    ) -> None:
        body = await self._look(key, call.options) if wanted != REFRESH else None
        if body is not None:
            cast.settle(body, lambda: body)
            return
        source = upstream()
        try:
            chunks = await source.batch()
            while chunks[-1].type not in LAST:
                cast.send(chunks)
                await cast.room()
                chunks = await source.batch()
            cast.send(chunks)
        finally:
            await source.aclose()
        await self._finish(cast, call, key, source.response)

    async def _finish(
        self, shared: Flight[Outcome] | Broadcast[Outcome], call: Cacheable, key: str, response: Response
    ) -> None:
        """Hands out the response, then writes down what is to be kept of it."""
        if response["status"] != "success" or call.answered is None:
            shared.settle(response, lambda: _copied(response))
            return
        found = self._entry(call, call.answered)
        body = entry.encode(found)
        if body is None or not (call.answered_by_primary and _is_whole(found, response)):
            shared.settle(response, lambda: copy.deepcopy(found) if body is None else body)
            self._tally.skipped += 1
            return
        guard = self._guard
        self._remember(key, found, body)
        shared.settle(response, lambda: body, late=body if guard is not None else None)
        if guard is not None:
            await guard.put(key, entry.seal(key, body), found.at, found.at + found.ttl)

    def _entry(self, call: Cacheable, answered: Answer) -> Entry:
        return Entry(
            at=self._clock.time(),
            ttl=self._at_most(call.options) or TTL,
            provider=call.provider,
            model=call.model,
            reply=answered.reply,
            request_id=answered.request_id,
            raw=answered.raw if call.options.get("keep_raw") else None,
        )

    def _remember(self, key: str, found: Entry, body: bytes) -> None:
        if self._memory is None:
            return
        if self._memory.put(key, body, found.at + found.ttl):
            self._tally.stores += 1
        else:
            self._tally.skipped += 1

    # --- outcomes -----------------------------------------------------------------------------------------------

    def _concluded(self, call: Cacheable, outcome: Outcome, *, own: bool) -> Response:
        """The response of a call that comes to this outcome; `own`: it was asked, or looked up, for this call."""
        if isinstance(outcome, Response):
            return outcome if own else call.echoed(outcome)
        found = entry.decode(outcome) if isinstance(outcome, bytes) else outcome
        if own:
            self._tally.hits += 1
        else:
            self._tally.shared += 1
        return call.recalled(found, found.age(self._clock.time()))

    def _cut_short(self, outcome: Outcome, flight: Shared, call: Cacheable) -> bool:
        """The time of the one who asked was up, but not that of one who joined later: he asks again."""
        if not isinstance(outcome, Response) or outcome["error_type"] != "timeout":
            return False
        return flight.deadline <= flight.loop.time() < call.budget.deadline


def _is_whole(found: Entry, response: Response) -> bool:
    """What a filter cut off, the provider itself calls no proper end, or nobody can call, is not for others."""
    reply = found.reply
    if any(tool["arguments"] is None for tool in response["tool_calls"]):
        return False
    if reply.finish_reason == "other":
        return reply.provider_finish_reason is None  # nothing was said: some hosts never do
    return reply.finish_reason != "content_filter"


def _copied(response: Response) -> Response:
    return Response(copy.deepcopy(dict(response)))


__all__ = ["Cache", "Cacheable", "Outcome"]
