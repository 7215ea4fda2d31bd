"""The clock of the real world."""

from __future__ import annotations

import asyncio
import time

import pytest

from multi_llm_wrapper.clock import Clock, SystemClock


@pytest.mark.asyncio
async def test_the_system_clock_is_the_loops_and_the_worlds() -> None:
    """Durations by the running loop's time, since timers are set on it; stamps in unix seconds."""
    clock: Clock = SystemClock()
    before, stamp = asyncio.get_running_loop().time(), time.time()

    assert before <= clock.monotonic() <= asyncio.get_running_loop().time()
    assert stamp <= clock.time() <= time.time()


@pytest.mark.asyncio
async def test_sleeping_takes_that_long() -> None:
    """A sleep ends after its time by the same clock, and lets others run meanwhile."""
    clock = SystemClock()
    ran: list[bool] = []
    before = clock.monotonic()
    asyncio.get_running_loop().call_soon(ran.append, True)
    await clock.sleep(0.01)

    assert [True] == ran
    assert 0.0099 <= clock.monotonic() - before < 5


def test_without_a_loop_there_is_still_a_time() -> None:
    """Outside a loop (a dashboard that asks for `deployments()`) it is the clock that loops go by."""
    before = time.monotonic()

    assert before <= SystemClock().monotonic() <= time.monotonic()
