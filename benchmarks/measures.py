"""The measures of `make bench`. CPU time of this process, medians over interleaved rounds, ratios within one run."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig

PROMPT = "What is the capital of France?"


@dataclass
class Row:
    """One line of the table. `limit` is what must be reached; `value` is in `unit`."""

    name: str
    value: float
    unit: str
    limit: float
    at_least: bool = False
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def wrapper(base_url: str) -> LLMWrapper:
    """The shipped defaults, except caching."""
    config = WrapperConfig(openai=OpenAIConfig(api_key="bench", base_url=base_url), enable_caching=False)
    return LLMWrapper(config)


async def raw_call(session: aiohttp.ClientSession, base_url: str) -> Any:
    """What a careful person would write by hand: aiohttp and msgspec."""
    body = msgspec.json.encode({"model": "plain", "messages": [{"role": "user", "content": PROMPT}]})
    headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
    async with session.post(f"{base_url}/chat/completions", data=body, headers=headers) as response:
        return msgspec.json.decode(await response.read())


async def _one_by_one(call: Callable[[], Awaitable[Any]], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        await call()
    return (time.process_time() - started) / calls * 1e6


async def _at_once(call: Callable[[], Awaitable[Any]], calls: int, width: int = 64) -> float:
    async def worker() -> None:
        for _ in range(calls // width):
            await call()

    started = time.process_time()
    await asyncio.gather(*(worker() for _ in range(width)))
    return (time.process_time() - started) / (calls // width * width) * 1e6


async def calls(base_url: str, rounds: int, per_round: int) -> list[Row]:
    """CPU per call, one at a time and 64 at once, beside raw aiohttp in alternating rounds."""
    rows: list[Row] = []
    async with wrapper(base_url) as llm, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ours() -> None:
            response = await llm.query(PROMPT, model="openai/plain")
            if response["status"] != "success":
                raise RuntimeError(response["error"])

        async def raw() -> None:
            await raw_call(session, base_url)

        for name, run, limit in (
            ("one call at a time", _one_by_one, 1.25),
            ("64 calls at once", _at_once, 1.35),
        ):
            await run(raw, per_round // 4), await run(ours, per_round // 4)  # connections, caches
            pairs = [(await run(raw, per_round), await run(ours, per_round)) for _ in range(rounds)]
            ratio = statistics.median(o / r for r, o in pairs)
            detail = {
                "raw_us": round(statistics.median(r for r, _ in pairs), 1),
                "ours_us": round(statistics.median(o for _, o in pairs), 1),
                "ratios": [round(o / r, 3) for r, o in pairs],
            }
            rows.append(Row(name, round(ratio, 3), "x raw", limit, detail=detail))
    return rows


async def bulk_stream(base_url: str, rounds: int, chunks: int = 5000) -> Row:
    """CPU per chunk, from socket to the caller's loop, when everything is there at once."""
    costs: list[float] = []
    async with wrapper(base_url) as llm:
        for _ in range(rounds + 1):
            started, count = time.process_time(), 0
            async with llm.stream(PROMPT, model=f"openai/bulk-{chunks}") as stream:
                async for chunk in stream:
                    count += len(chunk.content) > 0
            costs.append((time.process_time() - started) / count * 1e6)
            if count != chunks:
                raise RuntimeError(f"{count} chunks of {chunks}")
    return Row("streamed chunk, in bulk", round(statistics.median(costs[1:]), 2), "us", 5.0)


async def held_streams(base_url: str, steps: tuple[int, ...], tokens: int = 250) -> Row:
    """How many streams at 50 tokens a second one core keeps up with: all done within 15 % of the ideal time."""
    ideal = tokens / 50
    best, seen = 0, []
    async with wrapper(base_url) as llm:

        async def one() -> float:
            async with llm.stream(PROMPT, model=f"openai/paced-{tokens}", max_retries=0) as stream:
                first = 0.0
                async for chunk in stream:
                    if not first and chunk.content:
                        first = time.perf_counter()
                    if chunk.type == "error":
                        raise RuntimeError(chunk.error)
            return time.perf_counter() - first

        for width in steps:
            cpu, started = time.process_time(), time.perf_counter()
            times = sorted(await asyncio.gather(*(one() for _ in range(width))))
            wall = time.perf_counter() - started
            p95 = times[int(0.95 * len(times))]
            seen.append({"streams": width, "p95_s": round(p95, 3), "cpu": round((time.process_time() - cpu) / wall, 2)})
            if p95 > ideal * 1.15:
                break
            best = width
    return Row("streams at 50 tokens/s on a core", best, "streams", 800, at_least=True, detail={"steps": seen})


async def _stalls(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """(seconds of wall time, the longest time that the loop did not turn) while `work` runs."""
    longest, last, done = 0.0, time.perf_counter(), False

    async def beat() -> None:
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0.01)
    started = time.perf_counter()
    await work()
    took = time.perf_counter() - started
    done = True
    await heart
    return took, longest


async def sizes(base_url: str) -> list[Row]:
    """Large things: the time grows with the size, not with its square, and the loop keeps turning."""
    rows: list[Row] = []
    _keep_freed_memory()
    async with wrapper(base_url) as llm:

        def query(model: str, prompt: str = PROMPT) -> Callable[[], Awaitable[None]]:
            async def work() -> None:
                (await llm.query(prompt, model=f"openai/{model}")).raise_for_status()

            return work

        def stream(model: str) -> Callable[[], Awaitable[None]]:
            async def work() -> None:
                async with llm.stream(PROMPT, model=f"openai/{model}") as chunks:
                    async for _ in chunks:
                        pass
                chunks.response.raise_for_status()

            return work

        cases = (
            ("1 MB prompt", query("plain", "x" * 250_000), query("plain", "x" * 1_000_000)),
            ("1 MB answer", query("answer-250000"), query("answer-1000000")),
            ("8 MiB SSE event", stream(f"event-{2 * 1024 * 1024}"), stream(f"event-{8 * 1024 * 1024}")),
            ("one-byte reads", stream("bytes-100"), stream("bytes-400")),
        )
        for name, small, large in cases:
            await small(), await large()
            quarter = min([await _cpu(small) for _ in range(9)])
            whole = min([await _cpu(large) for _ in range(9)])
            stall = min([(await _stalls(large))[1] for _ in range(3)])
            detail = {"cpu_ms": round(whole * 1e3, 1), "quarter_cpu_ms": round(quarter * 1e3, 1)}
            rows.append(Row(f"{name}: growth for 4 x the size", round(whole / quarter, 2), "x", 6.0, detail=detail))
            rows.append(Row(f"{name}: longest stall of the loop", round(stall * 1e3, 1), "ms", 50.0))
    return rows


def _keep_freed_memory() -> None:
    """Else glibc gives large blocks back to the kernel and gets them anew, with a page fault each 4 KB: depending on
    what happened before, a size above some threshold would cost twice as much."""
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 32 * 1024 * 1024)  # M_MMAP_THRESHOLD, at its maximum
        libc.mallopt(-1, 1024 * 1024 * 1024)  # M_TRIM_THRESHOLD


async def _cpu(work: Callable[[], Awaitable[None]]) -> float:
    started = time.process_time()
    await work()
    return time.process_time() - started


async def stream_memory(base_url: str, width: int = 500) -> Row:
    """Memory per open stream: what the resident size grows by when as many again are in the middle of their answers.
    The first ones take what imports and others left behind free, and would seem to cost nothing."""
    async with wrapper(base_url) as llm:
        (await llm.query(PROMPT, model="openai/plain")).raise_for_status()
        first = await _begun(llm, width)
        before = _resident()
        more = await _begun(llm, width)
        during = _resident()
        for stream in (*first, *more):
            await stream.aclose()
    return Row("memory per open stream", round((during - before) / width / 1024, 1), "KB", 40.0)


async def _begun(llm: LLMWrapper, width: int) -> list[Any]:
    """Streams of which ten chunks have come, and no more do: what nobody reads would pile up. A few at a time, for many
    requests on their way at once leave more behind than streams."""
    streams = [llm.stream(PROMPT, model="openai/parked-10") for _ in range(width)]

    async def ten(stream: Any) -> None:
        for _ in range(10):
            await anext(stream)

    for some in range(0, width, 50):
        await asyncio.gather(*map(ten, streams[some : some + 50]))
    gc.collect()
    return streams


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def imports(rounds: int = 9) -> list[Row]:
    """Time of an import above a bare interpreter, in processes of their own, alternating."""
    statements = {
        "bare": "pass",
        "import multi_llm_wrapper": "import multi_llm_wrapper",
        "from multi_llm_wrapper import LLMWrapper": "from multi_llm_wrapper import LLMWrapper",
    }
    times: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, statement in statements.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times[name].append((time.perf_counter() - started) * 1e3)
    bare = statistics.median(times["bare"])
    return [
        Row(name, round(statistics.median(times[name]) - bare, 1), "ms", limit, detail={"bare_ms": round(bare, 1)})
        for name, limit in (
            ("import multi_llm_wrapper", 30.0),
            ("from multi_llm_wrapper import LLMWrapper", 120.0),
        )
    ]


def to_json(rows: list[Row], facts: dict[str, Any]) -> str:
    return json.dumps({"machine": facts, "rows": [{**vars(row), "ok": row.ok} for row in rows]}, indent=2)


__all__ = [
    "Row", "bulk_stream", "calls", "held_streams", "imports", "raw_call", "sizes", "stream_memory", "to_json",
    "wrapper",
]  # fmt: skip
