"""How the driver speaks to the processes that it starts: workers, and the servers they ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import environments

Told = Callable[[dict[str, Any]], None]
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT")


class PeerError(Exception):
    """A client did not do what was asked of it; the measure has no figure, and the run goes on."""


def clean(extra: Mapping[str, str]) -> dict[str, str]:
    """An environment without anybody's keys, proxies and settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(extra)


class Worker:
    """One client in a process of its own. It runs on the cores of this process."""

    def __init__(self, environment: str, adapter: str, url: str, extra: Mapping[str, str]) -> None:
        self.name = environment
        self._log = environments.HOME / f"{environment}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [environments.python(environment), "-m", "benchmarks.peers.worker", adapter, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=environments.ROOT,
                env=clean(extra),
            )

    def ask(self, do: str, *, limit: float = 120.0, told: Told | None = None, **arguments: Any) -> dict[str, Any]:
        """`told` gets what the client tells before it answers. Raises `PeerError` when the client fails, is gone, or
        says nothing for more than `limit` seconds."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        while "answer" not in (line := self._line(do, limit)):
            if told is not None:
                told(line)
        answer: dict[str, Any] = line["answer"]
        if "failed" in answer:
            raise PeerError(f"{do}: {answer['failed']}")
        return answer

    def _line(self, do: str, limit: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(limit, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise PeerError(f"{do}: the process is gone, or took longer than {limit:g} s; see .bench/{self.name}.log")
        said: dict[str, Any] = json.loads(line)
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def replaying(folder: Path) -> Iterator[str]:
    """The root URL of a server that answers with the recordings in `folder`."""
    command = [sys.executable, "-m", "benchmarks.peers.replay", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=environments.ROOT)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()
