"""What the cache costs: `python -m benchmarks.caching`. CPU time of each process, medians of interleaved rounds.

A prompt and an answer of 1 KB, through `LLMWrapper.query()` and `stream()`. Every kind of store in turn within each
round, so that what disturbs the machine disturbs all. Redis is there when `redis-server` is on the PATH, or when
MULTI_LLM_TEST_REDIS names one. litellm's cached call has its turn as well, in an environment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig

from . import cores, upstream
from .peers import environments
from .peers.process import PeerError, Worker
from .peers.roster import PEERS
from .run import facts

PROMPT = "What is the capital of France? " * 33
MODEL = "openai/answer-1024"
LITELLM = "litellm-cached"
"""An environment with more than litellm asks for: its cache imports it."""
OUT = Path(__file__).parent / "out" / "caching.json"

Work = Callable[[], Awaitable[object]]
Turn = Callable[[int], Awaitable[float]]
"""That many calls; microseconds of CPU for one."""
Wanted = Literal[False, "refresh"]


@contextmanager
def redis() -> Iterator[str | None]:
    """The URL of a server, started for this if need be."""
    given, command = (
        os.environ.get("MULTI_LLM_TEST_REDIS"),
        shutil.which("redis-server") or shutil.which("valkey-server"),
    )
    if given or command is None:
        yield given
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [command, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def filled(base_url: str, cache: str) -> AsyncIterator[LLMWrapper]:
    """A wrapper whose cache has the answer, and more patience with it than by default: the machine may be busy."""
    patient = cache if cache == "memory" else f"{cache}?timeout=5"
    config = WrapperConfig(openai=OpenAIConfig(api_key="bench", base_url=base_url), cache=patient)
    async with LLMWrapper(config) as llm:
        (await llm.query(PROMPT, MODEL)).raise_for_status()
        yield llm


def hit(llm: LLMWrapper) -> Work:
    async def work() -> None:
        if not (await llm.query(PROMPT, MODEL)).metadata["cached"]:
            raise RuntimeError("no hit")

    return work


def streamed_hit(llm: LLMWrapper) -> Work:
    async def work() -> None:
        async with llm.stream(PROMPT, MODEL) as stream:
            async for _ in stream:
                pass
        if not stream.response.metadata["cached"]:
            raise RuntimeError("no hit")

    return work


async def cost(work: Work, calls: int) -> float:
    """Microseconds of CPU for one."""
    started = time.process_time()
    for _ in range(calls):
        await work()
    return (time.process_time() - started) / calls * 1e6


def turn(work: Work) -> Turn:
    return partial(cost, work)


def foreign_turn(worker: Worker) -> Turn:
    """The same in another client's process."""

    async def taken(calls: int) -> float:
        taken: float = worker.ask("cached", model="answer-1024", prompt=PROMPT, calls=calls)["us"]
        return taken

    return taken


async def interleaved(turns: dict[str, Turn], rounds: int, calls: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {name: [] for name in turns}
    for taken in turns.values():
        await taken(calls // 4 or 1)
    for _ in range(rounds):
        for name, taken in turns.items():
            figures[name].append(await taken(calls))
    return figures


@contextmanager
def litellm(base_url: str) -> Iterator[Worker | str]:
    """Its process, which has asked once and has the answer in its cache; or why there is none."""
    (peer,) = (peer for peer in PEERS if peer.name == "litellm")
    try:
        environments.ensure(LITELLM)
    except (subprocess.SubprocessError, OSError) as failure:
        yield f"litellm could not be installed ({type(failure).__name__})"
        return
    with Worker(LITELLM, peer.adapter, base_url, peer.environment) as worker:
        try:
            worker.ask("cached", model="answer-1024", prompt=PROMPT, calls=1)
        except PeerError as failure:
            yield f"litellm: {failure}"
            return
        yield worker


async def hits(
    base_url: str, redis_url: str | None, other: Worker | str, rounds: int, calls: int
) -> list[dict[str, Any]]:
    """CPU for one hit, end to end."""
    limits = {"memory": 30.0, "SQLite": 200.0}
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            memory = await stack.enter_async_context(filled(base_url, "memory"))
            sqlite = await stack.enter_async_context(filled(base_url, f"sqlite:///{folder}/cache.db"))
            turns = {
                "memory": turn(hit(memory)),
                "memory, streamed": turn(streamed_hit(memory)),
                "SQLite": turn(hit(sqlite)),
            }
            if redis_url is not None:
                turns["Redis"] = turn(hit(await stack.enter_async_context(filled(base_url, redis_url))))
            if isinstance(other, Worker):
                turns["litellm, memory"] = foreign_turn(other)
            figures = await interleaved(turns, rounds, calls)
    return [_row(f"hit, {name}", values, limits.get(name)) for name, values in figures.items()]


async def misses(base_url: str, rounds: int, calls: int) -> list[dict[str, Any]]:
    """What a call costs more when its answer is looked for and kept, and a chunk when it may be shared."""
    config = WrapperConfig(openai=OpenAIConfig(api_key="bench", base_url=base_url))
    async with LLMWrapper(config) as llm:

        def query(cache: Wanted) -> Work:
            async def work() -> None:
                (await llm.query(PROMPT, MODEL, cache=cache)).raise_for_status()

            return work

        def stream(cache: Wanted) -> Work:
            async def work() -> None:
                async with llm.stream(PROMPT, "openai/bulk-5000", cache=cache) as chunks:
                    async for _ in chunks:
                        pass
                chunks.response.raise_for_status()

            return work

        calls_ = await interleaved({"off": turn(query(False)), "on": turn(query("refresh"))}, rounds, calls)
        chunks = await interleaved({"off": turn(stream(False)), "on": turn(stream("refresh"))}, rounds, 1)
    return [
        _difference("miss, memory: more than without a cache", calls_, 1),
        _difference("streamed chunk, in bulk: more than without a cache", chunks, 5000),
    ]


def _difference(name: str, figures: dict[str, list[float]], parts: int) -> dict[str, Any]:
    more = [(on - off) / parts for on, off in zip(figures["on"], figures["off"], strict=True)]
    found = _row(name, more, None)
    found["without_us"] = round(statistics.median(figures["off"]) / parts, 2)
    return found


def _row(name: str, rounds: list[float], limit: float | None) -> dict[str, Any]:
    value = round(statistics.median(rounds), 2)
    return {
        "name": name,
        "us": value,
        "limit_us": limit,
        "ok": limit is None or value <= limit,
        "rounds": [round(one, 2) for one in rounds],
    }


def table(rows: list[dict[str, Any]]) -> Table:
    found = Table(title="The cache of multi_llm_wrapper, CPU time on one core, prompt and answer of 1 KB")
    found.add_column("measure")
    for name in ("measured", "must reach", ""):
        found.add_column(name, justify="right")
    for row in rows:
        limit = f"<= {row['limit_us']:g} us" if row["limit_us"] is not None else ""
        mark = "" if row["limit_us"] is None else "[green]yes[/]" if row["ok"] else "[red]NO[/]"
        found.add_row(row["name"], f"{row['us']:g} us", limit, mark)
    return found


async def measure(base_url: str, redis_url: str | None, other: Worker | str, quick: bool) -> list[dict[str, Any]]:
    rounds = 5 if quick else 21
    return [
        *await hits(base_url, redis_url, other, rounds, 200 if quick else 1000),
        *await misses(base_url, rounds, 200 if quick else 500),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.caching", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a verdict")
    parser.add_argument("--json", type=Path, default=OUT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args()
    machine = facts()
    _, core = cores.split()
    with redis() as redis_url, upstream.running(core) as base_url, litellm(base_url) as other:
        rows = asyncio.run(measure(base_url, redis_url, other, options.quick))
    missing = [*(["Redis: no server"] if redis_url is None else []), *([other] if isinstance(other, str) else [])]
    console = Console()
    console.print(table(rows))
    for reason in missing:
        console.print(f"Not measured: {reason}", soft_wrap=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(
        json.dumps({"machine": machine, "rows": rows, "missing": missing}, indent=2), encoding="utf-8"
    )
    console.print(f"Figures: {options.json}", soft_wrap=True)
    return 0 if options.quick or all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
