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
    """Answers as it is told: with a value, an error, or never."""

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
        if isinstance(self.result, BaseException):
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
        if not future.done():
            future.set_result(self.result)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self.given_up += future.cancelled()


def run(scenario: Callable[[Guard, Store, Tally, VirtualClock], Any]) -> None:
    """In a time that jumps."""
    clock, store, tally = VirtualClock(), Store(), Tally()
    clock.run(scenario(Guard(store, clock, tally), store, tally, clock))


def test_what_the_store_says_is_passed_on() -> None:
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
        for _ in range(10):
            assert None is await guard.get("k", 0)
            await guard.put("k", b"", 0, 1)
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
    async def scenario(guard: Guard, store: Store, tally: Tally, clock: VirtualClock) -> None:
        store.result = OSError()
        await guard.aclose()
        store.result, store.delay = None, 1000.0
        await guard.aclose()
        assert (2, 2) == (store.closed, tally.errors)

    run(scenario)
