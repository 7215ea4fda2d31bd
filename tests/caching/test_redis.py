"""The cache on a server: shared by machines, and never the reason that a call fails or waits."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, Response, WrapperConfig
from multi_llm_wrapper.caching.guard import REST
from multi_llm_wrapper.caching.key import VERSION
from multi_llm_wrapper.clock import SystemClock
from multi_llm_wrapper.testing import CompletionDouble
from tests.caching.conftest import RedisServer
from tests.servers import self_signed, unused_port

redis = pytest.importorskip("redis", reason="the package redis is not installed: nothing of the Redis store is tested")

from multi_llm_wrapper.caching.redis import BATCH, PREFIX, RedisStore  # noqa: E402

pytestmark = pytest.mark.asyncio

PATIENT = "?timeout=5"
"""A busy machine is no slow server."""
WITHIN = 0.5
"""Seconds that a call may take whose store is slow: the limit of a lookup, and what a busy machine adds."""


def llm_at(url: str, **settings: Any) -> LLMWrapper:
    return LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key="sk-test-0123456789"), cache=url), **settings)


async def ask(llm: LLMWrapper, prompt: str = "Hello", **options: Any) -> Response:
    response: Response = await llm.query(prompt, "gpt-4o", **options)
    assert "success" == response.status, response.error
    return response


async def cached(llm: LLMWrapper, prompt: str = "Hello", **options: Any) -> bool:
    """Whether the answer was there; returns when it has been written down, or could not be."""
    found = bool((await ask(llm, prompt, **options)).metadata["cached"])
    if llm._cache._running:
        await asyncio.wait([one.task for one in llm._cache._running])
    return found


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """A client of its own, to look at what is there and to change it."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[RedisStore]:
    made = llm_at(f"{url}{PATIENT}")
    assert made._cache._guard is not None
    store: Any = made._cache._guard.store
    try:
        yield store
    finally:
        await store.aclose()


class Proxy:
    """Stands between a client and the server, and can stall, break or refuse."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @asynccontextmanager
    async def to(self, port: int) -> AsyncIterator[Proxy]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            there, back = await asyncio.open_connection("127.0.0.1", port)
            self._writers += [writer, back]
            for source, sink in ((reader, back), (there, writer)):
                task = asyncio.create_task(self._copy(source, sink))
                self._tasks.add(task)

        listener = await asyncio.start_server(serve, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            listener.close()
            self.flowing.set()
            self.hang_up()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self.flowing.wait()
            sink.write(data)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


@pytest_asyncio.fixture
async def proxy(own_redis: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy().to(own_redis.port) as made:
        yield made


# --- entries ----------------------------------------------------------------------------------------------------


async def test_answers_are_shared_by_wrappers(mock_completion: CompletionDouble, redis_url: str) -> None:
    """What one has asked another knows, and the two count apart."""
    async with llm_at(redis_url + PATIENT) as one, llm_at(redis_url + PATIENT) as two:
        assert [False, True, True] == [await cached(one), await cached(two), await cached(one)]
        assert [(1, 1, 1), (1, 0, 0)] == [
            tuple(llm._cache.stats()[name] for name in ("hits", "misses", "stores")) for llm in (one, two)
        ]
        assert None is one._cache.stats()["size"]
    assert 1 == mock_completion.call_count


async def test_two_clients_that_write_the_same_do_not_disturb_each_other(
    mock_completion: CompletionDouble, redis_url: str
) -> None:
    """Both ask, for neither knew of the other; then there is one answer, for both."""
    mock_completion.delay = 0.02
    async with llm_at(redis_url + PATIENT) as one, llm_at(redis_url + PATIENT) as two:
        assert [False, False] == [*await asyncio.gather(cached(one), cached(two))]
        first, second = await ask(one), await ask(two)
        assert (first.metadata["response_id"], True) == (second.metadata["response_id"], second.metadata["cached"])


async def test_what_is_there_is_ours_and_has_its_time(
    mock_completion: CompletionDouble, redis_url: str, server: Any
) -> None:
    """Under a name with the version in it, for the time that the caller said; the key is not in it."""
    async with llm_at(redis_url + PATIENT) as llm:
        await cached(llm, cache_ttl=100.0)
        await cached(llm, "briefly", cache_ttl=0.25)
    names = [name.decode() for name in server.keys("*") if name.startswith(b"multi-llm:")]
    assert 1 <= len(names) <= 2
    assert all(name.startswith(PREFIX) and VERSION in name for name in names)
    lives = max(server.pttl(name) for name in names)
    assert 90_000 < lives <= 100_000
    assert all(b"sk-test" not in server.get(name) for name in names if server.exists(name))


async def test_what_has_had_its_time_is_gone(redis_url: str) -> None:
    """To the millisecond, and never for ever."""
    async with store_at(redis_url) as store:
        assert await store.put("k", b"value", 0.0, 0.05)
        assert await store.put("gone", b"value", 10.0, 9.0)
        assert b"value" == await store.get("k", 0.0)
        async with asyncio.timeout(5):
            while await store.get("k", 0.0) is not None:  # noqa: ASYNC110  # a server tells nobody
                await asyncio.sleep(0.01)
        assert [None, None] == [await store.get("k", 0.0), await store.get("gone", 0.0)]


@pytest.mark.parametrize("ttl", [1e15, 1e18, 1e308])
async def test_what_is_to_be_kept_for_ages_is_kept(redis_url: str, server: Any, ttl: float) -> None:
    """The server refuses a time that is too far off, so it gets the longest that it takes."""
    async with store_at(redis_url) as store:
        assert await store.put("k", b"value", 1.8e9, 1.8e9 + ttl)
        assert b"value" == await store.get("k", 1.8e9)
    assert server.pttl(f"{PREFIX}k") > 1e17


@pytest.mark.parametrize(
    "spoil",
    [
        lambda server, name: server.set(name, b""),
        lambda server, name: server.set(name, b"\x02" + bytes(50)),
        lambda server, name: server.setrange(name, 40, b"!"),
        lambda server, name: server.append(name, b"!"),
        lambda server, name: (server.delete(name), server.rpush(name, b"a", b"b")),
        lambda server, name: (server.delete(name), server.hset(name, "a", "b")),
        lambda server, name: (server.delete(name), server.set(name, 5)),
    ],
    ids=["empty", "zeros", "a changed byte", "a byte too many", "a list", "a hash", "a number"],
)
async def test_what_is_no_entry_of_ours_is_asked_for_again(
    mock_completion: CompletionDouble, redis_url: str, server: Any, spoil: Callable[[Any, bytes], object]
) -> None:
    """Whatever kind of value it is; the new answer takes its place, and no failure counts against the server."""
    async with llm_at(redis_url + PATIENT) as llm:
        await cached(llm)
        (name,) = [name for name in server.keys("*") if name.startswith(b"multi-llm:")]
        spoil(server, name)
        assert [False, True] == [await cached(llm), await cached(llm)]
        assert 0 == llm._cache.stats()["skipped"]


async def test_many_lookups_at_once_are_few_commands(redis_url: str, server: Any) -> None:
    """On one connection, and each gets its own value."""
    async with store_at(redis_url) as store:
        writes = [store.put(f"k{number}", b"%d" % number, 0.0, 60.0) for number in range(1000)]
        assert {True} == set(await asyncio.gather(*writes))
        before = server.info("commandstats")
        reads = [store.get(f"k{number}", 0.0) for number in range(1000)]
        assert [b"%d" % number for number in range(1000)] == await asyncio.gather(*reads)
        after = server.info("commandstats")
        calls = after["cmdstat_mget"]["calls"] - before.get("cmdstat_mget", {"calls": 0})["calls"]
        assert 1000 / BATCH <= calls <= 1000 / BATCH + 1


async def test_one_who_gives_up_does_not_disturb_the_others(redis_url: str) -> None:
    """And nobody gets the answer that was meant for another."""
    async with store_at(redis_url) as store:
        await asyncio.gather(*(store.put(f"k{number}", b"%d" % number, 0.0, 60.0) for number in range(50)))
        for leaver in range(0, 50, 7):
            reads = [store.get(f"k{number}", 0.0) for number in range(50)]
            await asyncio.sleep(0)
            reads[leaver].cancel()
            found = await asyncio.gather(*reads, return_exceptions=True)
            assert [b"%d" % number for number in range(50) if number != leaver] == [
                value for value in found if isinstance(value, bytes)
            ]


async def test_what_nobody_waits_for_any_more_is_not_asked(redis_url: str, server: Any) -> None:
    """A lookup that was given up before it was sent costs the server nothing."""
    async with store_at(redis_url) as store:
        await store.get("k", 0.0)
        before = server.info("commandstats")["cmdstat_mget"]["calls"]
        store.get("k", 0.0).cancel()
        await store.put("k", b"value", 0.0, 60.0)
        await asyncio.sleep(0.01)
        assert before == server.info("commandstats")["cmdstat_mget"]["calls"]


# --- servers that fail ------------------------------------------------------------------------------------------


async def test_a_server_that_is_down_at_the_start_fails_no_call(
    mock_completion: CompletionDouble, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once (of lookups and of writes), counted, left alone for a while, and used again when it is back."""
    own_redis.stop()
    clock = Clock()
    async with llm_at(own_redis.url + PATIENT, clock=clock) as llm:
        for _ in range(10):
            assert not await cached(llm)
        stats = llm._cache.stats()
        assert (3 + 3, 10) == (stats["errors"], stats["misses"])
        assert (10, 2) == (mock_completion.call_count, len(caplog.messages))
        assert all(own_redis.url in message for message in caplog.messages)

        own_redis.start()
        assert not await cached(llm)
        clock.ahead += REST
        assert [False, True] == [await cached(llm), await cached(llm)]
        assert [True, True] == ["work again" in message for message in caplog.messages[2:]]


async def test_a_server_that_dies_mid_run_fails_no_call(
    mock_completion: CompletionDouble, own_redis: RedisServer
) -> None:
    """What it held is lost; a connection that had died in the pool costs not even a miss when the server is back."""
    async with llm_at(own_redis.url + PATIENT) as llm:
        assert [False, True] == [await cached(llm), await cached(llm)]
        own_redis.stop()
        own_redis.start()
        assert [False, True] == [await cached(llm), await cached(llm)]
        assert 0 == llm._cache.stats()["errors"]
        own_redis.stop()
        assert not await cached(llm)
        assert 2 == llm._cache.stats()["errors"]


async def test_a_server_that_hangs_up_in_the_middle_fails_no_call(
    mock_completion: CompletionDouble, proxy: Proxy
) -> None:
    """A connection that breaks is opened again at once, and the lookup goes on."""
    async with llm_at(proxy.url + PATIENT) as llm:
        await cached(llm)
        for _ in range(3):
            proxy.hang_up()
            assert await cached(llm)
        assert 0 == llm._cache.stats()["errors"]


async def test_a_slow_server_delays_no_call_noticeably(
    mock_completion: CompletionDouble, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A lookup is given up after its limit, and after a few there are none; nobody waits for a write."""
    async with llm_at(proxy.url) as llm:
        await ask(llm)
        await asyncio.wait([one.task for one in llm._cache._running])
        proxy.flowing.clear()
        began = time.monotonic()
        for number in range(20):
            assert not (await ask(llm, f"question {number}")).metadata["cached"]
        assert time.monotonic() - began < 3 * 0.05 + WITHIN
        stats = llm._cache.stats()
        assert 3 == stats["errors"], "of lookups; a write is given more time"
        assert (stats["skipped"] or 0) >= 17
        assert "no answer within 0.05 s" in caplog.text
        proxy.flowing.set()


async def test_an_answer_that_came_too_late_is_nobodys(mock_completion: CompletionDouble, proxy: Proxy) -> None:
    """After the server has woken up every question still has its own answer."""
    async with llm_at(f"{proxy.url}?timeout=0.05", clock=(clock := Clock())) as llm:
        mock_completion.side_effect = lambda **request: completion_of(request)
        prompts = [f"question {number}" for number in range(10)]
        for prompt in prompts:
            await ask(llm, prompt)
        proxy.flowing.clear()
        for prompt in prompts:
            assert prompt == (await ask(llm, prompt)).content
        proxy.flowing.set()
        for _ in range(3):
            clock.ahead += REST
            for prompt in reversed(prompts):
                assert prompt == (await ask(llm, prompt)).content
        assert (await ask(llm, prompts[0])).metadata["cached"]


def completion_of(request: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": request["messages"][0]["content"]}
    return {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


async def test_a_server_that_is_slow_to_connect_is_used_once_it_is_connected(proxy: Proxy) -> None:
    """A handshake that takes longer than a lookup may goes on for those that follow."""
    store = RedisStore("127.0.0.1", proxy.port, timeout=0.01)
    proxy.flowing.clear()
    lookup = store.get("k", 0.0)
    await asyncio.sleep(0.1)
    lookup.cancel()
    write = store.put("k", b"value", 0.0, 60.0)
    await asyncio.sleep(0.1)
    proxy.flowing.set()
    assert await write
    assert b"value" == await store.get("k", 0.0)
    assert 2 == proxy.connections, "one to read and one to write, whoever has given up"
    await store.aclose()


class Clock(SystemClock):
    """Can be moved on."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.mark.parametrize("password", ["", ":wrong@"])
async def test_a_server_that_wants_a_password_fails_no_call(
    mock_completion: CompletionDouble, own_redis: RedisServer, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is wrong, and no password."""
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", "s3cret")
    async with llm_at(own_redis.url.replace("//", f"//{password}") + PATIENT) as llm:
        for _ in range(4):
            assert not await cached(llm)
        assert 3 + 3 == llm._cache.stats()["errors"]
    assert "wrong" not in caplog.text.replace("WRONGPASS", "")
    async with llm_at(own_redis.url.replace("//", "//:s3cret@") + PATIENT) as llm:
        assert [False, True] == [await cached(llm), await cached(llm)]


async def test_a_server_that_is_full_or_read_only_is_still_read(
    mock_completion: CompletionDouble, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused write is counted, and after three of them writes rest, which the log says; lookups go on."""
    async with llm_at(own_redis.url + PATIENT, clock=(clock := Clock())) as llm:
        await cached(llm)
        with redis.Redis.from_url(own_redis.url) as client:
            client.config_set("maxmemory", "1")
            for number in range(5):
                assert not await cached(llm, f"another {number}")
                assert await cached(llm)
            client.config_set("maxmemory", "0")
            assert (3, 2) == (llm._cache.stats()["errors"], llm._cache.stats()["skipped"])
            assert ["writes" in message for message in caplog.messages] == [True]
            clock.ahead += REST
            assert [False, True] == [await cached(llm, "once more"), await cached(llm, "once more")]
            client.replicaof("127.0.0.1", str(unused_port()))
            for number in range(5):
                assert not await cached(llm, f"another {number}")
                assert await cached(llm)
        assert (6, 4) == (llm._cache.stats()["errors"], llm._cache.stats()["skipped"])
        assert 3 == len(caplog.messages)


async def test_with_tls(mock_completion: CompletionDouble, redis_url: str, tmp_path: Path) -> None:
    """The certificate is checked, by the authorities that `ca_file` names."""
    file = tmp_path / "ca.pem"
    context = self_signed(file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port_of(redis_url))

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"rediss://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0{PATIENT}"
    async with listener:
        async with llm_at(f"{url}&ca_file={file}") as llm:
            assert [False, True] == [await cached(llm), await cached(llm)]
        async with llm_at(url) as llm:
            assert not await cached(llm)
            assert 2 == llm._cache.stats()["errors"]


# --- connections ------------------------------------------------------------------------------------------------


async def test_closing_leaves_no_connection_and_may_be_repeated(
    mock_completion: CompletionDouble, own_redis: RedisServer
) -> None:
    """What is asked afterwards opens anew."""
    with redis.Redis.from_url(own_redis.url) as client:
        before = len(client.client_list())
        llm = llm_at(own_redis.url + PATIENT)
        for _ in range(2):
            await cached(llm)
            assert before < len(client.client_list()) <= before + 2
            await llm.aclose()
            await llm.aclose()
            assert before == len(client.client_list())


async def test_a_program_that_closes_nothing_ends_without_a_word(own_redis: RedisServer) -> None:
    """Loop after loop, also when the wrapper is dropped in the middle of one; a warning would be an error."""
    program = (
        "import asyncio, gc, sys\n"
        "from multi_llm_wrapper import *\n"
        "from multi_llm_wrapper.testing import CompletionDouble\n"
        "LLMWrapper.completion = CompletionDouble()\n"
        "def made(): return LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key='sk-test'), cache=sys.argv[1]))\n"
        "async def ask(llm):\n"
        "    found = (await llm.query('Hello', 'gpt-4o')).metadata['cached']\n"
        "    for one in list(llm._cache._running): await one.task\n"
        "    return found\n"
        "llm = made()\n"
        "print([asyncio.run(ask(llm)) for _ in range(3)])\n"
        "del llm; gc.collect()\n"
        "async def drop():\n"
        "    llm = made()\n"
        "    await ask(llm)\n"
        "    del llm\n"
        "    gc.collect()\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(drop()); gc.collect()\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, own_redis.url + PATIENT]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (0, "[False, True, True]", "") == (done.returncode, done.stdout.strip(), done.stderr)


async def test_a_store_that_is_dropped_closes_its_connections(own_redis: RedisServer) -> None:
    """With the loop running on, and nobody to close it."""
    store: RedisStore | None = RedisStore("127.0.0.1", own_redis.port, timeout=5)
    assert store is not None
    await store.put("k", b"value", 0.0, 60.0)
    with redis.Redis.from_url(own_redis.url) as client:
        store = None
        gc.collect()
        async with asyncio.timeout(5):
            while len(client.client_list()) > 1:  # noqa: ASYNC110  # a server tells nobody
                await asyncio.sleep(0.01)
