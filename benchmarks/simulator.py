"""How fast the simulator is on one core: plain answers a second, and paced chunks a second with their punctuality.

    python -m benchmarks.simulator [--quick]

The simulator runs in a process of its own on one core, the client, which does nothing but count, on another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from . import cores

PLAIN_AT_LEAST = 6_000
CHUNKS_AT_LEAST = 30_000
PACE = 0.050
"""Seconds between two chunks of a stream: 20 tokens a second."""

_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer bench\r\ncontent-length: {}\r\n\r\n"


def _request(**fields: Any) -> bytes:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    body = json.dumps({"model": "gpt-4o", "messages": question, **fields}).encode()
    return _HEAD.format(len(body)).encode() + body


@contextmanager
def simulator(core: int | None, *options: str) -> Iterator[tuple[int, str, int]]:
    """Pid, URL and port of a `multi-llm sim` on a core of its own."""
    command = [sys.executable, "-m", "multi_llm_wrapper", "sim", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert match is not None
        yield process.pid, match[0], int(match[1])
    finally:
        process.terminate()
        process.wait(10)


def cpu_seconds(pid: int) -> float:
    """What the process has used, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Asker(asyncio.Protocol):
    """Asks again as soon as an answer is there."""

    def __init__(self, count: list[int]) -> None:
        self._count = count
        self._data = _request()
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        if self._left <= 0:
            end = data.index(b"\r\n\r\n") + 4
            length = int(data[data.index(b"content-length: ") + 16 : end].split(b"\r\n", 1)[0])
            self._left = end + length
        self._left -= len(data)
        if self._left == 0:
            self._count[0] += 1
            self._transport.write(self._data)


class Reader(asyncio.Protocol):
    """Reads streams one after the other, and counts their chunks."""

    def __init__(self, count: list[int]) -> None:
        self._count = count
        self._data = _request(stream=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self._count[0] += data.count(b"\ndata: ")  # the size line of each chunk ends before it
        if data.endswith(b"0\r\n\r\n"):
            self._transport.write(self._data)


async def _rate(
    port: int, pid: int, protocol: Any, connections: int, warm: float, seconds: float
) -> tuple[float, float]:
    """Counted things a second, and the share of a core that the simulator used."""
    loop, count = asyncio.get_running_loop(), [0]
    opened = []
    for _ in range(connections):
        opened.append(await loop.create_connection(lambda: protocol(count), "127.0.0.1", port))
        await asyncio.sleep(PACE / connections)
    await asyncio.sleep(warm)
    before, cpu, began = count[0], cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    result = (count[0] - before) / took, (cpu_seconds(pid) - cpu) / took
    for transport, _ in opened:
        transport.abort()
    return result


def _get(url: str) -> Any:
    with urllib.request.urlopen(url) as reply:
        return json.loads(reply.read())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seconds for each measure: a look, not a verdict")
    seconds = 2.0 if parser.parse_args().quick else 6.0
    _, core = cores.split()
    table = Table(title="The simulator on one core")
    for name in (
        "measure",
        "offered a second",
        "served a second",
        "core used",
        "a core-second",
        "late p50",
        "late p99",
        "",
    ):
        table.add_column(name, justify="left" if name in ("measure", "") else "right")
    with simulator(core) as (pid, _, port):
        plain, used = asyncio.run(_rate(port, pid, Asker, 32, 1.0, seconds))
    per_core = plain / max(used, 0.01)
    ok = per_core >= PLAIN_AT_LEAST
    shown = "as many as go", f"{plain:,.0f}", f"{used:.0%}", f"{per_core:,.0f}"
    table.add_row("plain answers", *shown, "", "", _mark(ok, PLAIN_AT_LEAST))
    reached = False
    for offered in (10_000, 20_000, 30_000, 40_000, 50_000):
        with simulator(core, "--pace", str(PACE * 1000)) as (pid, url, port):
            rate, used = asyncio.run(_rate(port, pid, Reader, int(offered * PACE), 2.0, seconds))
            report = _get(f"{url}/_sim/timing")
        reached = reached or rate >= CHUNKS_AT_LEAST
        late = [f"{report[name] * 1000:.1f} ms" for name in ("error_p50", "error_p99")]
        mark = _mark(reached, CHUNKS_AT_LEAST) if offered >= CHUNKS_AT_LEAST else ""
        shown = f"{offered:,}", f"{rate:,.0f}", f"{used:.0%}", f"{rate / max(used, 0.01):,.0f}"
        table.add_row("paced chunks", *shown, *late, mark)
    Console(width=120).print(table)
    print(
        "A busy machine: plain answers are judged by the core-second; chunks that are late share writes and cost less."
    )
    return 0 if ok and reached else 1


def _mark(ok: bool, limit: int) -> str:
    return f"[green]>= {limit:,}[/]" if ok else f"[red]below {limit:,}[/]"


if __name__ == "__main__":
    sys.exit(main())
