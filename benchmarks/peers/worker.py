"""The process in a peer's environment: commands as JSON lines on stdin, one answer a line on stdout.

Started as `python -m benchmarks.peers.worker ADAPTER URL` and nothing but the standard library is there for sure. With
`--once` it asks one question and leaves, which measures a cold start.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = "The capital of France is Paris. " * 5
PATIENCE = 20.0
"""Seconds for one recorded exchange."""


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Worker:
    def __init__(self, adapter: str, url: str) -> None:
        self._adapter, self._url = adapter, url
        self._client: Any = None
        self._reader: Any = None

    async def once(self) -> None:
        """From nothing to the first answer."""
        self._client = self._module().Client(self._url)
        await self._checked()

    async def open(self) -> dict[str, Any]:
        """Imports the library, makes the client and asks once; what that costs in memory."""
        gc.collect()
        before = resident()
        self._client = self._module().Client(self._url)
        gc.collect()
        made = resident()
        await self._checked()
        gc.collect()
        return {"bare": before, "made": made, "answered": resident()}

    async def calls(self, width: int, seconds: float) -> dict[str, Any]:
        """CPU microseconds a call, `width` of them at a time; connections and caches are warm before."""

        async def some() -> None:
            for _ in range(4):
                await self._checked()

        async def batch() -> int:
            await (some() if width == 1 else asyncio.gather(*(some() for _ in range(width))))
            return 4 * width

        return await _cost(batch, seconds)

    async def bulk(self, chunks: int, seconds: float) -> dict[str, Any]:
        """CPU microseconds a streamed chunk, from socket to the caller's loop, when all of them are there at once."""

        async def batch() -> int:
            count, _ = await self._client.consume(f"bulk-{chunks}")
            if count != chunks:
                raise RuntimeError(f"{count} pieces of text for {chunks} chunks")
            return chunks

        return await _cost(batch, seconds)

    async def hold(self, width: int, tokens: int, within: float) -> dict[str, Any]:
        """`width` streams of 50 tokens a second at once: seconds from the first to the last token, 95th percentile.
        None when they are not all through after `within` seconds."""

        async def one() -> float:
            count, first = await self._client.consume(f"paced-{tokens}")
            if count != tokens:
                raise RuntimeError(f"{count} pieces of text for {tokens} tokens")
            return time.perf_counter() - float(first)

        p95, cpu, started = None, time.process_time(), time.perf_counter()
        with contextlib.suppress(TimeoutError):
            times = sorted(await asyncio.wait_for(asyncio.gather(*(one() for _ in range(width))), within))
            p95 = times[int(0.95 * len(times))]
        return {"p95": p95, "cpu": (time.process_time() - cpu) / (time.perf_counter() - started)}

    async def memory(self, width: int) -> dict[str, Any]:
        """Bytes of memory for each of `width` open streams, ten tokens in; a few were opened before, for what only the
        first one costs."""
        await self._parked(4)
        before = resident()
        during = await self._parked(width)
        return {"bytes": (during - before) / width}

    async def _parked(self, width: int) -> int:
        tasks = [asyncio.create_task(self._client.consume("parked-10")) for _ in range(width)]
        await self._quiet()
        if any(task.done() for task in tasks):
            raise RuntimeError("a stream ended that should have stayed open")
        gc.collect()
        size = resident()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._quiet()
        gc.collect()
        return size

    async def _quiet(self) -> None:
        """Waits until everything that came has been worked off."""
        while True:
            spent = time.process_time()
            await asyncio.sleep(0.3)
            if time.process_time() - spent < 0.015:
                return

    async def read(self, exchanges: list[dict[str, Any]]) -> dict[str, Any]:
        """What the client makes of recorded exchanges, one after the other; `url` is that of the replay server."""
        if self._reader is None:
            self._reader = self._module().Reader(self._url)
        return {"readings": [await self._reading(**exchange) for exchange in exchanges]}

    async def _reading(self, **exchange: Any) -> dict[str, Any]:
        try:
            reading: dict[str, Any] = await asyncio.wait_for(self._reader.read(**exchange), PATIENCE)
            return reading
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            return {"error": kinds[0], "kinds": kinds, "says": str(error)[:300]}

    def _module(self) -> Any:
        return importlib.import_module(f"benchmarks.peers.adapters.{self._adapter}")

    async def _checked(self) -> None:
        if await self._client.call() != ANSWER:
            raise RuntimeError("not the answer that was sent")


async def _cost(batch: Callable[[], Awaitable[int]], seconds: float) -> dict[str, Any]:
    """Does `batch` once unmeasured, then for `seconds` of CPU time; it says how many operations it was."""
    await batch()
    done, spent, started = 0, 0.0, time.process_time()
    while spent < seconds:
        done += await batch()
        spent = time.process_time() - started
    return {"us": spent / done * 1e6}


def main() -> None:
    adapter, url, *once = sys.argv[1:]
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints does not get between the answers
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(adapter, url)
    if once:
        loop.run_until_complete(worker.once())
        os._exit(0)
    commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
        "open": worker.open,
        "calls": worker.calls,
        "bulk": worker.bulk,
        "hold": worker.hold,
        "memory": worker.memory,
        "read": worker.read,
    }
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = loop.run_until_complete(commands[command.pop("do")](**command))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"[:500]}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()
    os._exit(0)  # some clients have threads that would keep the process


if __name__ == "__main__":
    main()
