"""Concurrency: bounded, fair between tags, and every place comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.errors import LimitExceededError, TimeoutError
from multi_llm_wrapper.policies.gate import MAX_WAITING, Gate
from multi_llm_wrapper.testing.clock import VirtualClock

FAR = 1e9


def run(main: Coroutine[Any, Any, None]) -> None:
    VirtualClock().run(main)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_no_more_than_the_limit_are_inside() -> None:
    """Fifty that want in, four places: never more than four, and all get through."""

    async def main() -> None:
        gate, inside, most, through = Gate(4), 0, 0, 0

        async def visit() -> None:
            nonlocal inside, most, through
            await gate.enter("", FAR)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(1)
            inside -= 1
            through += 1
            gate.leave()

        await asyncio.gather(*(visit() for _ in range(50)))
        assert (4, 50, 0, 0) == (most, through, gate.inside, gate.waiting)

    run(main())


def test_tags_take_turns() -> None:
    """A hundred of one tag do not starve two of another; within a tag the first comes first."""

    async def main() -> None:
        gate, order = Gate(1), []

        async def visit(tag: str, number: int) -> None:
            await gate.enter(tag, FAR)
            order.append(f"{tag}{number}")
            await asyncio.sleep(1)
            gate.leave()

        tasks = [asyncio.create_task(visit("a", i)) for i in range(100)]
        await turns()
        tasks += [asyncio.create_task(visit("b", i)) for i in range(2)]
        await asyncio.gather(*tasks)
        assert ["a0", "a1", "b0", "a2", "b1", "a3", "a4"] == order[:7]
        assert [f"a{i}" for i in range(100)] == [name for name in order if name[0] == "a"]

    run(main())


def test_a_full_queue_refuses_at_once() -> None:
    """The default bound is a thousand; nobody waits for a place in the queue."""
    assert 1000 == MAX_WAITING == Gate(1).max_waiting

    async def main() -> None:
        gate = Gate(1, max_waiting=2)
        await gate.enter("", FAR)
        waiting = [asyncio.create_task(gate.enter("", FAR)) for _ in range(2)]
        await turns()
        with pytest.raises(LimitExceededError, match="max_concurrency"):
            await gate.enter("", FAR)
        for _ in range(3):
            gate.leave()
        await asyncio.gather(*waiting)
        assert (0, 0) == (gate.inside, gate.waiting)

    run(main())


def test_waiting_ends_at_the_deadline() -> None:
    """With an error of class timeout, and the queue forgets it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate(1)
        await gate.enter("", FAR)
        with pytest.raises(TimeoutError) as caught:
            await gate.enter("", loop.time() + 7.0)
        assert 7.0 == pytest.approx(loop.time())
        assert ("queue_timeout", 1, 0) == (caught.value.code, gate.inside, gate.waiting)
        gate.leave()
        assert 0 == gate.inside

    run(main())


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(0, 8), st.booleans())
def test_cancelling_gives_the_place_back_at_every_moment(moments: list[int], leave_at: int, same_turn: bool) -> None:
    """While waiting, in the turn in which the place is given, while inside: nothing is lost and nobody hangs."""

    async def main() -> None:
        gate = Gate(1)
        await gate.enter("", FAR)

        async def visit(tag: str) -> None:
            await gate.enter(tag, FAR)
            try:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            finally:
                gate.leave()

        tasks = [asyncio.create_task(visit(str(i % 3))) for i in range(len(moments))]
        for turn in range(10):
            if turn == leave_at and not same_turn:
                gate.leave()
            for task, moment in zip(tasks, moments, strict=True):
                if moment == turn:
                    task.cancel()
            if turn == leave_at and same_turn:
                gate.leave()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (0, 0) == (gate.inside, gate.waiting)
        await asyncio.wait_for(gate.enter("", FAR), 1.0)

    run(main())


def test_a_deadline_and_a_place_in_the_same_turn() -> None:
    """Who ran out of time passes the place on."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate(1)
        await gate.enter("", FAR)
        late = asyncio.create_task(gate.enter("", loop.time() + 1.0))
        next_one = asyncio.create_task(gate.enter("", FAR))
        await turns()
        loop.call_at(loop.time() + 1.0, gate.leave)
        await next_one
        assert isinstance((await asyncio.gather(late, return_exceptions=True))[0], TimeoutError)
        assert (1, 0) == (gate.inside, gate.waiting)

    run(main())


def test_a_changed_limit_counts_at_once() -> None:
    """A higher one lets waiters in, a lower one lets nobody in until there is room."""

    async def main() -> None:
        gate = Gate(1)
        await gate.enter("", FAR)
        tasks = [asyncio.create_task(gate.enter("", FAR)) for _ in range(4)]
        await turns()
        gate.resize(3)
        await turns()
        assert (3, 2, [True, True, False, False]) == (gate.inside, gate.waiting, [task.done() for task in tasks])
        gate.resize(1)
        gate.leave()
        gate.leave()
        await turns()
        assert (1, 2) == (gate.inside, gate.waiting)
        for _ in range(3):
            gate.leave()
            await turns()
        await asyncio.gather(*tasks)
        assert (0, 0) == (gate.inside, gate.waiting)

    run(main())
