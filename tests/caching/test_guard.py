"""The guard: a store that is slow, down or wrong costs a call no error and hardly any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from multi_llm_wrapper.caching.guard import REST, TOLERATED, WRITE_TIMEOUT, Guard, Tally
from multi_llm_wrapper.testing import VirtualClock


class Store:
    """Answers as it is told: with a value, an error (at once, or after the delay), or never."""

    name = "test://store"
    timeout = 0.05
    evicted = 0
    size = None

    def __init__(self) -> None:
        self.result: Any = b"value"
        self.delay = 0.0
        self.asked = 0
        self.given_up = 0
        self.closed = 0

    def get(self, key: str, now: float) -> asyncio.Future[Any]:
        self.asked += 1
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._done)
        if isinstance(self.result, BaseException) and not self.delay:
            raise self.result
        asyncio.get_running_loop().call_later(self.delay, self._answer, future)
        return future

    def put(self, key: str, value: bytes, now: float, expires: float) -> asyncio.Future[Any]:
        return self.get(key, now)

    async def aclose(self) -> None:
        self.closed += 1
        if isinstance(self.result, BaseException):
            raise self.result
        await asyncio.sleep(self.delay)

    def _answer(self, future: asyncio.Future[Any]) -> None:
        if future.done():
            return
        if isinstance(self.result, BaseException):
            future.set_exception(self.result)
        else:
            future.set_result(self.result)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self.given_up += future.cancelled()


def run(scenario: Callable[[Guard, Store, Tally, VirtualClock], Any]) -> None:
    """In a time that jumps."""
    clock, store, tally = VirtualClock(), Store(), Tally()
    clock.run(scenario(Guard(store, clock, tally), store, tally, clock))


def test_what_the_store_says_is_passed_on() -> None:
    """A value, or that there is none; and whether a write was kept is counted."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        assert b"value" == await guard.get("k", 0)
        store.result = None
        assert None is await guard.get("k", 0)
        store.result = True
        await guard.put("k", b"", 0, 1)
        store.result = False
        await guard.put("k", b"", 0, 1)
        assert (0, 1, 1) == (tally.errors, tally.stores, tally.skipped)

    run(scenario)


def test_a_lookup_takes_no_longer_than_its_limit() -> None:
    """Then the store is told that nobody waits any more."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 0.049
        assert b"value" == await guard.get("k", 0)
        store.delay = 1000.0
        before = clock.monotonic()
        assert None is await guard.get("k", 0)
        await asyncio.sleep(0)
        assert clock.monotonic() - before == pytest.approx(0.05)
        assert (1, 1) == (tally.errors, store.given_up)

    run(scenario)


def test_a_write_takes_no_longer_than_its_limit() -> None:
    """It is given up and counted as an error, of which the caller hears nothing."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 1000.0
        before = clock.monotonic()
        await guard.put("k", b"", 0, 1)
        assert clock.monotonic() - before == pytest.approx(WRITE_TIMEOUT)
        assert (1, 0) == (tally.errors, tally.stores)

    run(scenario)


def test_an_answer_that_is_there_counts_even_when_the_loop_was_late() -> None:
    """The limit is the store's, not that of a loop with other work."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 0.01
        asyncio.get_running_loop().call_later(0.005, clock.advance, 10.0)
        assert (b"value", 0) == (await guard.get("k", 0), tally.errors)

    run(scenario)


@pytest.mark.parametrize("error", [OSError("no"), ValueError("x" * 1000), RuntimeError()])
def test_after_some_failures_the_store_is_left_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """For a while, then one lookup tries; when it succeeds all is as before. The log says it once, each way."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.result = error
        for _ in range(TOLERATED):
            assert None is await guard.get("k", 0)
        for _ in range(20):
            assert None is await guard.get("k", 0)
        assert (TOLERATED, TOLERATED, 20) == (store.asked, tally.errors, tally.skipped)

        await asyncio.sleep(REST)
        for _ in range(3):
            await guard.get("k", 0)
        assert (TOLERATED + 1, TOLERATED + 1, 22) == (store.asked, tally.errors, tally.skipped)

        await asyncio.sleep(REST)
        store.result = b"value"
        assert [b"value"] * 5 == [await guard.get("k", 0) for _ in range(5)]
        assert (TOLERATED + 6, TOLERATED + 1, 22) == (store.asked, tally.errors, tally.skipped)

    with caplog.at_level(logging.WARNING, "multi_llm_wrapper"):
        run(scenario)
    assert 2 == len(caplog.messages)
    assert all("test://store" in message and len(message) < 400 for message in caplog.messages)
    assert type(error).__name__ in caplog.messages[0]


@pytest.mark.parametrize("failing", ["lookups", "writes"])
def test_lookups_and_writes_are_counted_apart(failing: str, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk lookups go on while writes rest, and the other way round; the log says it once, each way."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        async def look() -> None:
            await guard.get("k", 0)

        async def write() -> None:
            await guard.put("k", b"", 0, 1)

        bad, good = (look, write) if failing == "lookups" else (write, look)
        for _ in range(10):
            store.result = OSError("no space left")
            await bad()
            store.result = b"value"
            await good()
        assert (TOLERATED + 10, TOLERATED, 10 - TOLERATED) == (store.asked, tally.errors, tally.skipped)
        assert 1 == len(caplog.messages)
        await asyncio.sleep(REST)
        await bad()
        await bad()
        assert (TOLERATED + 12, TOLERATED, 10 - TOLERATED) == (store.asked, tally.errors, tally.skipped)

    with caplog.at_level(logging.WARNING, "multi_llm_wrapper"):
        run(scenario)
    assert [True, True] == [failing in message and "test://store" in message for message in caplog.messages]


@pytest.mark.parametrize("error", [None, OSError("no")], ids=["no answer", "an error"])
def test_a_burst_that_fails_is_one_failure(error: Exception | None) -> None:
    """However many they are, and also when some began a little later: who began before the failure was noticed adds
    nothing to it. The next success forgets it."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 1000.0
        if error is not None:
            store.delay, store.result = 0.049, error

        async def late(number: int) -> None:
            await asyncio.sleep(number * 0.0001)
            await guard.get("k", 0)

        await asyncio.gather(*(late(number) for number in range(200)))
        assert (200, 200, 0) == (store.asked, tally.errors, tally.skipped)
        store.delay, store.result = 0.0, b"value"
        assert [b"value"] * 20 == [await guard.get("k", 0) for _ in range(20)]

    run(scenario)


def test_a_burst_at_a_dead_store_costs_no_call_more_than_its_limit() -> None:
    """And after three limits, one after the other, nobody waits any more."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 1000.0
        waited: list[float] = []

        async def look(number: int) -> None:
            await asyncio.sleep(number * 0.001)
            began = clock.monotonic()
            await guard.get("k", 0)
            waited.append(clock.monotonic() - began)

        await asyncio.gather(*(look(number) for number in range(1000)))
        assert max(waited) == pytest.approx(0.05)
        assert TOLERATED * 50 <= tally.errors <= TOLERATED * 52
        assert 1000 - tally.errors == tally.skipped

    run(scenario)


def test_failures_count_anew_after_a_success_in_the_midst_of_a_burst() -> None:
    """A failure of one who began before it was noticed does not count, though a success came in between."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 1000.0
        slow = asyncio.create_task(guard.get("k", 0))
        await asyncio.sleep(0.04)
        slower = asyncio.create_task(guard.get("k", 0))
        await slow
        store.delay = 0.0
        assert b"value" == await guard.get("k", 0)
        await slower
        store.delay = 1000.0
        for _ in range(TOLERATED - 1):
            await guard.get("k", 0)
        store.delay = 0.0
        assert b"value" == await guard.get("k", 0)

    run(scenario)


def test_what_is_too_large_says_nothing_of_the_store() -> None:
    """It was not tried: the failures before and after it are in a row."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        for _ in range(TOLERATED):
            for result in (False, OSError()):
                store.result = result
                await guard.put("k", b"", 0, 1)
        await guard.put("k", b"", 0, 1)
        assert (2 * TOLERATED, TOLERATED, TOLERATED + 1) == (store.asked, tally.errors, tally.skipped)

    run(scenario)


def test_one_tries_while_the_others_rest() -> None:
    """A slow store does not delay everybody every few seconds."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 1000.0
        for _ in range(TOLERATED):
            await guard.get("k", 0)
        await asyncio.sleep(REST)
        await asyncio.gather(*(guard.get("k", 0) for _ in range(50)))
        assert (TOLERATED + 1, 49) == (store.asked, tally.skipped)

    run(scenario)


def test_a_success_forgives_the_failures_before() -> None:
    """Only failures one after the other count."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        for _ in range(10):
            for result in (OSError(), OSError(), b"value"):
                store.result = result
                await guard.get("k", 0)
        assert (30, 20, 0) == (store.asked, tally.errors, tally.skipped)

    run(scenario)


def test_one_who_is_cancelled_is_no_failure_of_the_store() -> None:
    """The lookup is given up, and nothing is held against the store."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.delay = 1000.0
        task = asyncio.create_task(guard.get("k", 0))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert (0, 1) == (tally.errors, store.given_up)

    run(scenario)


def test_closing_never_fails_and_never_hangs() -> None:
    """A store that fails and one that never ends are both counted as errors, and that is all."""

    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.result = OSError()
        await guard.aclose()
        store.result, store.delay = None, 1000.0
        await guard.aclose()
        assert (2, 2) == (store.closed, tally.errors)

    run(scenario)
