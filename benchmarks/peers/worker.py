"""The process in a peer's environment: commands as JSON lines on stdin, one answer a line on stdout, before which a
command may tell parts of it, a line each.

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
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = "The capital of France is Paris. " * 5
PATIENCE = 20.0
"""Seconds for one recorded exchange."""


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


Tell = Callable[[dict[str, Any]], None]


class Worker:
    def __init__(self, adapter: str, url: str, tell: Tell) -> None:
        self._adapter, self._url, self._tell = adapter, url, tell
        self._client: Any = None
        self._reader: Any = None
        self._cached: Any = None

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
            return _raised(error)

    async def faults(self, trials: list[dict[str, Any]], width: int, seconds: float, within: float) -> dict[str, Any]:
        """What the client makes of each trial, `width` of them at a time, told as they end: its place among `trials`
        and what came of it. `seconds` is how long the client may wait for an answer, `within` how long it may take."""
        turns = asyncio.Semaphore(width)

        async def one(place: int, trial: dict[str, Any]) -> None:
            async with turns:
                self._tell({"begun": place})
                self._tell({"place": place, **await self._trial(seconds=seconds, within=within, **trial)})

        await asyncio.gather(*(one(place, trial) for place, trial in enumerate(trials)))
        return {}

    async def _trial(
        self, url: str, model: str, prompt: str, stream: bool, times: int, seconds: float, within: float
    ) -> dict[str, Any]:
        """Asks `times` times with a client of its own; the last answer is the one that counts."""
        client = self._module().Caller(url, seconds)
        for _ in range(times):
            started = time.perf_counter()
            found = await _ended(within, client.ask(model, prompt, stream))
            took = time.perf_counter() - started
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.aclose(), 1.0)
        return {**found, "seconds": round(took, 3)}

    async def cached(self, model: str, prompt: str, calls: int) -> dict[str, Any]:
        """CPU microseconds of a call that the client's own cache answers."""
        if self._cached is None:
            self._cached = self._module().Cached(self._url, model, prompt)
            await self._cached.call()
            await asyncio.sleep(0.2)  # it may store the answer when it has given it
        started = time.process_time()
        for _ in range(calls):
            if not await self._cached.call():
                raise RuntimeError("no hit")
        return {"us": (time.process_time() - started) / calls * 1e6}

    def _module(self) -> Any:
        return importlib.import_module(f"benchmarks.peers.adapters.{self._adapter}")

    async def _checked(self) -> None:
        if await self._client.call() != ANSWER:
            raise RuntimeError("not the answer that was sent")


async def _ended(within: float, asking: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """What came of it; `{"hung": True}` when nothing did. A client that does not heed a cancellation is left alone."""
    task = asyncio.ensure_future(asking)
    done, _ = await asyncio.wait([task], timeout=within)
    if not done:
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        return {"hung": True}
    error = task.exception()
    return task.result() if error is None else _raised(error)


def _raised(error: BaseException) -> dict[str, Any]:
    """`error` is its class, `kinds` its base classes too, `at` the file it came from: the library's, or the adapter's
    where the answer was being read."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    theirs = [file.rpartition("/site-packages/")[2] for file in files if "/site-packages/" in file]
    mine = [file.rpartition("/benchmarks/")[2] for file in files[-1:] if "/benchmarks/" in file]
    return {"error": kinds[0], "kinds": kinds, "says": str(error)[:300], "at": (mine or theirs or [""])[-1]}


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

    def tell(line: dict[str, Any]) -> None:
        channel.write(json.dumps(line) + "\n")
        channel.flush()

    worker = Worker(adapter, url, tell)
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
        "faults": worker.faults,
        "cached": worker.cached,
    }
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = loop.run_until_complete(commands[command.pop("do")](**command))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"[:500]}
        tell({"answer": answer})
    os._exit(0)  # some clients have threads that would keep the process


if __name__ == "__main__":
    main()
