"""Many streams at once over real HTTP, half of them failing or abandoned: afterwards nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig
from multi_llm_wrapper.attempt import LiveStream
from multi_llm_wrapper.config import Timeouts
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.stream import ResponseStream
from multi_llm_wrapper.transport.http import HTTPReply

FILES = Path("/proc/self/fd")
LIMITS = Timeouts(connect=20.0, first_token=20.0, idle=20.0, total=50.0)
SHORT = Timeouts(connect=20.0, first_token=20.0, idle=0.5, total=50.0)
MAX_GROWTH = 1024 * 1024
"""Bytes that may stay behind: caches of names and times, not streams."""

pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="open files are counted in /proc")


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Both ends of every connection are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_sockets() -> int:
    count = 0
    for name in os.listdir(FILES):
        with suppress(OSError):  # closed in the meantime
            count += os.readlink(FILES / name).startswith("socket:")
    return count


# --- what a caller may do with a stream -------------------------------------------------------------------------


async def read(llm: LLMWrapper, model: str, timeouts: Timeouts = LIMITS) -> str:
    async with llm.stream("Why is the sky blue?", model, timeouts=timeouts, max_retries=0) as stream:
        async for _ in stream:
            pass
        return str(stream.response["error_type"] or stream.response["status"])


async def leave(llm: LLMWrapper) -> str:
    """Leaves the block in the middle."""
    async with llm.stream("Why is the sky blue?", "gpt-4o", timeouts=LIMITS) as stream:
        async for _ in stream:
            return "left"
    return "ended"


async def drop(llm: LLMWrapper) -> str:
    """Breaks out of the loop, and closes nothing."""
    async for _ in llm.stream("Why is the sky blue?", "gpt-4o", timeouts=LIMITS):
        return "dropped"
    return "ended"


async def cancel(llm: LLMWrapper, model: str) -> str:
    """Somebody else ends the task."""
    task = asyncio.create_task(read(llm, model))
    await asyncio.sleep(0.3)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"


Ask = Callable[[LLMWrapper], Awaitable[str]]

GOOD: tuple[Ask, str] = (lambda llm: read(llm, "gpt-4o"), "success")
BAD: tuple[tuple[Ask, str], ...] = (
    (lambda llm: read(llm, "gpt-4o@cut,k=5"), "incomplete_stream"),
    (lambda llm: read(llm, "gpt-4o@reset_midway,k=5"), "incomplete_stream"),
    (lambda llm: read(llm, "gpt-4o@error_event,k=5"), "server_error"),
    (lambda llm: read(llm, "gpt-4o@malformed_event,k=5"), "malformed_response"),
    (lambda llm: read(llm, "gpt-4o@stall,k=5", SHORT), "timeout"),
    (lambda llm: read(llm, "gpt-4o@disconnect"), "connection_error"),
    (lambda llm: read(llm, "gpt-4o@bad_request"), "validation_error"),
    (leave, "left"),
    (drop, "dropped"),
    (lambda llm: cancel(llm, "gpt-4o@stall,k=5"), "cancelled"),
    (lambda llm: cancel(llm, "gpt-4o@no_answer"), "cancelled"),
)


async def crowd(llm: LLMWrapper, count: int) -> Counter[str]:
    """So many at once, every other one bad; what each came to beside what it should have."""
    asks = [GOOD if i % 2 else BAD[i // 2 % len(BAD)] for i in range(count)]
    ends = await asyncio.gather(*(ask(llm) for ask, _ in asks))
    return Counter(f"{wanted}: {end}" for (_, wanted), end in zip(asks, ends, strict=True))


def wrong(ends: Counter[str]) -> dict[str, int]:
    return {words: count for words, count in ends.items() if len(set(words.split(": "))) > 1}


async def settled(condition: Callable[[], bool]) -> bool:
    """Whether it holds within five seconds; the simulator's thread has to notice, too."""
    for _ in range(500):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return condition()


def alive() -> dict[str, int]:
    """What streams are made of, as far as it still exists."""
    gc.collect()
    kinds = (ResponseStream, LiveStream, HTTPReply)
    found = Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in kinds)
    return dict(found)


async def scenario(simulator: Simulator, count: int) -> None:
    config = WrapperConfig(
        openai=OpenAIConfig(api_key="any-key", base_url=simulator.base_url("openai")), enable_caching=False
    )
    sockets = open_sockets()
    tasks = asyncio.all_tasks()
    async with LLMWrapper(config) as llm:
        assert {} == wrong(await crowd(llm, 2 * len(BAD)))  # everything is loaded, every cache is filled
        await asyncio.sleep(0.2)
        simulator.brain.journal.clear()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]

        assert {} == wrong(await crowd(llm, count))

        assert await settled(lambda: asyncio.all_tasks() == tasks), asyncio.all_tasks() - tasks
        assert await settled(lambda: all(entry.done or entry.hung_up for entry in simulator.journal))
        assert {} == alive()
        read_to_the_end = 2 * len(BAD) + sum(entry.done for entry in simulator.journal)
        assert open_sockets() - sockets <= 2 * read_to_the_end  # in the pool, both ends of them
        simulator.brain.journal.clear()
    assert await settled(lambda: open_sockets() == sockets), open_sockets() - sockets
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    left = tracemalloc.take_snapshot()
    # the interpreter's table of interned names doubles one day, and whoever adds the next name (a path, here) pays
    interned = left.filter_traces([tracemalloc.Filter(True, "*pathlib*")]).statistics("filename")
    grown -= sum(line.size for line in interned)
    assert grown < MAX_GROWTH, [str(line) for line in left.statistics("lineno")[:10]]


def run(count: int) -> None:
    tracemalloc.start()
    try:
        with Simulator(pace=0.005) as simulator:
            asyncio.run(scenario(simulator, count))
    finally:
        tracemalloc.stop()


def test_two_hundred_streams_leave_nothing_behind() -> None:
    """No socket, no task, no object, no memory, whether they ended, failed or were left."""
    run(200)


@pytest.mark.slow
def test_a_thousand_streams_leave_nothing_behind() -> None:
    """The same, five times as many."""
    run(1000)
