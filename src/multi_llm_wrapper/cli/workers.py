"""`multi-llm sim --workers N`: processes that share one port; the kernel spreads the connections over them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .exits import BAD_INPUT, Problem

if TYPE_CHECKING:
    from ..simulator import Brain


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """A port that several processes can listen on; a socket that does not listen holds it. Raises `OSError` when it is
    taken."""
    if not (hasattr(os, "fork") and hasattr(socket, "SO_REUSEPORT")):
        raise Problem("--workers needs fork and SO_REUSEPORT, which this system lacks; leave it out", BAD_INPUT)
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if port:
        with socket.socket(family, kind, proto) as probe:  # who shares the port already would go unnoticed
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    with socket.socket(family, kind, proto) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
        yield int(holder.getsockname()[1])


@contextmanager
def running(count: int, brain: Brain, host: str, port: int) -> Iterator[None]:
    """So many more processes. They end with this one, however it ends: they watch a pipe that it holds."""
    watched, held = os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            os.close(held)
            _work(brain, host, port, watched)
        children.append(child)
    os.close(watched)
    try:
        yield
    finally:
        os.close(held)
        for child in children:
            os.waitpid(child, 0)


def _work(brain: Brain, host: str, port: int, watched: int) -> None:
    """The life of another process; does not return."""
    try:
        asyncio.run(_serve(brain, host, port, watched))
    except KeyboardInterrupt:
        os._exit(0)
    except BaseException:
        os._exit(1)
    os._exit(0)


async def _serve(brain: Brain, host: str, port: int, watched: int) -> None:
    from ..simulator import SimulatorServer
    from .sim import on_signal

    ended = on_signal()
    asyncio.get_running_loop().add_reader(watched, ended.set)
    async with await SimulatorServer(brain).start(host, port, shared=True):
        await ended.wait()
