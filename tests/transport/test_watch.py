"""The watch ends a wait that lasts too long, with the error it was given, and leaves everything else alone."""

import asyncio
import weakref
from collections.abc import Mapping

import pytest

from multi_llm_wrapper.transport.watch import Watch

pytestmark = pytest.mark.asyncio

LATE = 0.01
SOON = 5.0


class TooLateError(Exception):
    pass


class Reply:
    """A response whose body never comes: a read waits until it is aborted."""

    status = 200
    headers: Mapping[str, str] = {}
    arrived = False

    def __init__(self) -> None:
        self.aborted = asyncio.get_running_loop().create_future()

    async def next_chunk(self) -> bytes:
        return bytes(await self.aborted)

    def abort(self, error: Exception | None = None) -> None:
        if error is not None:
            self.aborted.set_exception(error)

    def finish(self) -> None: ...


def watch() -> Watch:
    return Watch(asyncio.get_running_loop(), TooLateError)


def now() -> float:
    return asyncio.get_running_loop().time()


def cancellations() -> int:
    """How many this task has been asked to bear, and has not been relieved of."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def sleep(seconds: float, *limits: float) -> None:
    """Bounded by each of the limits, one set after the other."""
    with watch() as bounded:
        for limit in limits:
            bounded.until(now() + limit)
        await asyncio.sleep(seconds)


async def test_a_block_that_lasts_too_long_ends_with_the_error() -> None:
    """The task goes on after it as if it had never been cancelled."""
    with pytest.raises(TooLateError):
        await sleep(SOON, LATE)
    assert 0 == cancellations()
    await asyncio.sleep(0)


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    """The timer of a block that is over does not strike what comes after: nothing is raised, nobody is cancelled."""
    bounded = watch()
    with bounded:
        bounded.until(now() + LATE)
        await asyncio.sleep(0)
    await asyncio.sleep(2 * LATE)
    assert 0 == cancellations()


async def test_a_moment_that_moved_away_counts() -> None:
    """The latest `until` holds, also when the timer was set for an earlier moment: nothing is raised."""
    bounded = watch()
    with bounded:
        bounded.until(now() + LATE)
        bounded.until(now() + SOON)
        await asyncio.sleep(3 * LATE)
    assert 0 == cancellations()


async def test_a_moment_that_came_nearer_counts() -> None:
    """The latest `until` holds, also when the timer was set for a later moment."""
    began = now()
    with pytest.raises(TooLateError):
        await sleep(SOON, SOON, LATE)
    assert now() - began < SOON / 2


async def test_no_wait_is_no_lateness() -> None:
    """Between `rest` and the next `until` time does not count: nothing is raised."""
    bounded = watch()
    with bounded:
        bounded.until(now() + LATE)
        bounded.rest()
        await asyncio.sleep(3 * LATE)
    assert 0 == cancellations()


async def test_a_wait_after_a_rest_is_bounded_again() -> None:
    """`until` after `rest` starts anew, whether the old timer has fired meanwhile or not."""

    async def rest_and_wait(pause: float) -> None:
        with watch() as bounded:
            bounded.until(now() + LATE)
            bounded.rest()
            await asyncio.sleep(pause)
            bounded.until(now() + LATE)
            await asyncio.sleep(SOON)

    for pause in (0.0, 3 * LATE):
        with pytest.raises(TooLateError):
            await rest_and_wait(pause)


async def test_with_a_response_the_read_is_ended_and_the_task_spared() -> None:
    """Once there is a response, a late wait ends by its abort and nobody is cancelled."""
    bounded, reply = watch(), Reply()
    with bounded:
        bounded.response = reply
        bounded.until(now() + LATE)
        with pytest.raises(TooLateError):
            await reply.next_chunk()
        assert 0 == cancellations()


async def test_a_cancellation_from_outside_stays_one() -> None:
    """Whoever cancels the task gets a `CancelledError`, not a time-out."""

    async def wait() -> None:
        bounded = watch()
        with bounded:
            bounded.until(now() + SOON)
            await asyncio.sleep(SOON)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_from_outside_beats_lateness() -> None:
    """Cancelled and late at once: the cancellation is not swallowed."""

    async def wait() -> None:
        bounded = watch()
        with bounded:
            bounded.until(now())
            try:
                await asyncio.sleep(SOON)
            finally:
                task.cancel()

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_timeout_still_works() -> None:
    """`asyncio.timeout` around a watch sees its own cancellation."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sleep(SOON, SOON), LATE)


async def test_a_watch_over_nothing_ends_nothing() -> None:
    """Before there is a block or a response a late moment passes: nothing is raised, nobody is cancelled."""
    idle = watch()
    idle.until(now() + LATE)
    await asyncio.sleep(2 * LATE)
    idle.stop()
    assert 0 == cancellations()


async def test_a_closed_watch_holds_nothing() -> None:
    """Neither the response nor whoever makes the error: they hold the watch, and nobody likes to wait for the cycle
    collector with a socket in hand."""

    class Owner:
        def __init__(self) -> None:
            self.watch = Watch(asyncio.get_running_loop(), self.error)
            self.watch.response = Reply()

        def error(self) -> Exception:
            return TooLateError()

    owner = Owner()
    owner.watch.until(now() + SOON)
    gone = weakref.ref(owner)
    owner.watch.close()
    del owner
    assert gone() is None


async def test_an_error_of_the_block_passes() -> None:
    """An exception in the block is not hidden, and the timer is gone."""

    def fail() -> None:
        with watch() as bounded:
            bounded.until(now() + LATE)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    await asyncio.sleep(2 * LATE)
