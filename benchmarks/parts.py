"""Where the time of a call and of a streamed chunk goes, by a sampling profiler: `python -m benchmarks.parts`.

Every few milliseconds of CPU time a signal looks at the stack. The innermost frame that belongs to one of the rooms
below has the sample; what C code does is its caller's. The shares of the samples times the cost of the whole are the
parts. Nothing is instrumented, so nothing is slowed, and no part has to be cut out of the code to be measured.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from . import cores, upstream
from .measures import PROMPT, wrapper

INTERVAL = 0.001
"""Seconds of CPU time between samples; the kernel may make it its own tick, which is 4 ms on most machines."""

_OURS = "/multi_llm_wrapper/"
ROOMS: tuple[tuple[str, str], ...] = (
    ("/aiohttp/", "aiohttp: HTTP, connection pool"),
    ("/yarl/", "aiohttp: HTTP, connection pool"),
    ("/multidict/", "aiohttp: HTTP, connection pool"),
    ("/asyncio/", "asyncio and the kernel: event loop, sockets"),
    ("/selectors.py", "asyncio and the kernel: event loop, sockets"),
    (f"{_OURS}transport/", "transport: our layer over aiohttp, time limits"),
    (f"{_OURS}framing.py", "framing: bytes to server-sent events"),
    (f"{_OURS}sse.py", "framing: bytes to server-sent events"),
    (f"{_OURS}encoding.py", "encode: request to bytes"),
    (f"{_OURS}dialects/openai_chat/request.py", "encode: request to bytes"),
    (f"{_OURS}dialects/openai_chat/write.py", "encode: request to bytes"),
    (f"{_OURS}dialects/waits.py", "headers: request id, rate limits"),
    (f"{_OURS}dialects/", "decode: bytes to events, or at once to a reply"),
    (f"{_OURS}fold.py", "fold: events to a reply"),
    (f"{_OURS}response.py", "response: what the caller gets"),
    (f"{_OURS}stream.py", "stream: events to chunks"),
    (f"{_OURS}options.py", "prepare: options, route, target"),
    (f"{_OURS}routing.py", "prepare: options, route, target"),
    (f"{_OURS}providers/", "prepare: options, route, target"),
    (f"{_OURS}config.py", "prepare: options, route, target"),
    (f"{_OURS}attempt.py", "attempt: send, read, end"),
    (f"{_OURS}policies/", "policies: budget, retries, health"),
    (f"{_OURS}account.py", "books: usage, cost, totals"),
    (f"{_OURS}metering/", "books: usage, cost, totals"),
    (_OURS, "call: from options to response, cache"),
)
"""Part of a file's path -> room; the first that fits counts."""
REST = "the benchmark itself"


def room_of(frame: FrameType | None) -> str:
    while frame is not None:
        path = frame.f_code.co_filename
        for part, room in ROOMS:
            if part in path:
                return room
        frame = frame.f_back
    return REST


@contextmanager
def sampling() -> Iterator[Counter[str]]:
    seen: Counter[str] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        seen[room_of(frame)] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    try:
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


async def _sampled(work: Callable[[], Awaitable[int]], seconds: float) -> dict[str, Any]:
    """Runs `work`, which says how many operations it did, for `seconds` of CPU time; microseconds an operation."""
    await work()
    done, started = 0, time.process_time()
    with sampling() as seen:
        while time.process_time() - started < seconds:
            done += await work()
    cost = (time.process_time() - started) / done * 1e6
    samples = sum(seen.values())
    return {
        "us": cost,
        "samples": samples,
        "parts": {room: count / samples * cost for room, count in seen.most_common()},
    }


async def measure(base_url: str, seconds: float) -> dict[str, Any]:
    async with wrapper(base_url) as llm:

        async def calls() -> int:
            for _ in range(100):
                (await llm.query(PROMPT, model="openai/plain")).raise_for_status()
            return 100

        async def chunks() -> int:
            count = 0
            async with llm.stream(PROMPT, model="openai/bulk-5000") as stream:
                async for chunk in stream:
                    count += len(chunk.content) > 0
            return count

        return {"call": await _sampled(calls, seconds), "chunk": await _sampled(chunks, seconds)}


def main() -> int:
    _, core = cores.split()
    with upstream.running(core) as base_url:
        found = asyncio.run(measure(base_url, 6.0))
    for name, whole in found.items():
        sys.stdout.write(f"{name}: {whole['us']:.1f} us, {whole['samples']} samples\n")
        for room, cost in whole["parts"].items():
            sys.stdout.write(f"  {cost:8.2f} us  {room}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
