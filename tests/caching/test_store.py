"""Which store a URL means; a wrong one is a `ValueError` that names the field and does not repeat the URL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import LLMWrapper, WrapperConfig
from multi_llm_wrapper.caching.memory import MAX_BYTES, MemoryStore
from multi_llm_wrapper.caching.sqlite import SQLiteStore
from multi_llm_wrapper.caching.store import TIMEOUT, open_store


@pytest.mark.parametrize(
    ("url", "max_bytes"), [("memory", MAX_BYTES), ("memory://", MAX_BYTES), ("memory://?max_bytes=1e6", 1_000_000)]
)
def test_memory(url: str, max_bytes: int) -> None:
    """The word alone is enough; behind a question mark a URL may say how large it gets."""
    store = open_store(url)
    assert isinstance(store, MemoryStore)
    assert max_bytes == store.max_bytes


@pytest.mark.parametrize(
    ("url", "path", "settings"),
    [
        ("sqlite:///llm.db", "llm.db", (MAX_BYTES, TIMEOUT)),
        ("sqlite:////var/cache/llm.db", "/var/cache/llm.db", (MAX_BYTES, TIMEOUT)),
        ("sqlite:///my%20cache/a%3Fb.db", "my cache/a?b.db", (MAX_BYTES, TIMEOUT)),
        ("sqlite:///llm.db?max_bytes=5000000&timeout=0.2", "llm.db", (5_000_000, 0.2)),
    ],
)
def test_sqlite(url: str, path: str, settings: tuple[int, float]) -> None:
    """Three slashes and a path from here, four and one from the root. Nothing is opened yet."""
    store = open_store(url)
    assert isinstance(store, SQLiteStore)
    assert (path, settings) == (store._file.path, (store._file.max_bytes, store.timeout))
    assert f"sqlite:///{path}" == store.name
    assert not Path("llm.db").exists()


@pytest.mark.parametrize(
    ("url", "name", "arguments"),
    [
        ("redis://localhost", "redis://localhost:6379/0", {}),
        ("redis://cache.example.com:7000/3?timeout=0.2", "redis://cache.example.com:7000/3", {"db": 3}),
        (
            "rediss://user:p%40ss@cache.example.com/1",
            "rediss://cache.example.com:6379/1",
            {"username": "user", "password": "p@ss", "ssl_check_hostname": True, "ssl_ca_certs": None},
        ),
        ("redis://:secret@[::1]:6380", "redis://::1:6380/0", {"username": None, "password": "secret"}),
    ],
)
def test_redis(url: str, name: str, arguments: dict[str, Any]) -> None:
    """Without its credentials in what is shown; with TLS the name of the server is checked."""
    pytest.importorskip("redis")
    store: Any = open_store(url)
    assert (name, f"RedisStore({name})") == (store.name, repr(store))
    assert arguments == {argument: store._arguments[argument] for argument in arguments}
    assert (0.2 if "timeout" in url else TIMEOUT) == store.timeout


BAD = [
    ("mysql://secret@localhost/cache", "'mysql'"),
    ("https://localhost", "'https'"),
    ("sqlite://llm.db", "names no file"),
    ("sqlite:///", "names no file"),
    ("sqlite:///:memory:", "names no file"),
    ("sqlite:///llm%00.db", "names no file"),
    ("sqlite:///llm.db#x", "names no file"),
    ("sqlite:///llm.db?size=5", "'size'"),
    ("sqlite:///llm.db?max_bytes=0", "max_bytes='0'"),
    ("sqlite:///llm.db?max_bytes=much", "max_bytes='much'"),
    ("sqlite:///llm.db?timeout=-1", "timeout='-1'"),
    ("sqlite:///llm.db?timeout=nan", "timeout='nan'"),
    ("memory:///llm.db", "names a place"),
    ("memory://host", "names a place"),
    ("memory://?timeout=1", "'timeout'"),
    ("redis://:secret@", "no Redis database"),
    ("redis:///0", "no Redis database"),
    ("redis://:secret@localhost/cache", "no Redis database"),
    ("redis://:secret@localhost/0?db=1", "'db'"),
    ("redis://:secret@localhost:99999", "no URL"),
    ("redis://:secret@[::1", "no URL"),
    ("rediss://:secret@localhost?ca_file=/no/such/file.pem", "ca_file"),
]


@pytest.mark.parametrize(("url", "said"), BAD)
def test_a_bad_url_is_refused(url: str, said: str) -> None:
    """When the wrapper is built: the message names the field, what is wrong, and what to write instead."""
    config = WrapperConfig(cache=url)
    with pytest.raises(ValueError, match=r"^WrapperConfig\.cache") as caught:
        LLMWrapper(config)
    assert said in str(caught.value)
    assert "; " in str(caught.value)
    assert "secret" not in str(caught.value)


def test_redis_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever chooses Redis without it is told what to install when the wrapper is built."""
    for name in ("redis", "redis.asyncio", "multi_llm_wrapper.caching.redis"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"^WrapperConfig\.cache needs the package redis.*multi-llm-wrapper\[redis\]"):
        LLMWrapper(WrapperConfig(cache="redis://localhost"))


def test_a_store_is_loaded_only_when_it_is_asked_for() -> None:
    """Importing the wrapper, and building one with the default cache, loads neither SQLite nor Redis."""
    program = (
        "import sys; from multi_llm_wrapper import LLMWrapper; LLMWrapper(); "
        "found = {'sqlite3', '_sqlite3', 'redis'} & set(sys.modules); assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
