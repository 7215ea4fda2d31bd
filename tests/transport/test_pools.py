"""Pools end with whatever ends first, and nobody hears of it: no warning, no log line, no open socket."""

import asyncio
import gc
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from subprocess import PIPE

import pytest

from multi_llm_wrapper.transport.http import HTTPTransport
from multi_llm_wrapper.transport.pools import Pool, Pools
from tests.servers import HANG, Request, Step, begun, completion, delta, self_signed, serve, sse, whole
from tests.transport.test_http import post, read

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.asyncio
async def test_a_loop_has_one_pool() -> None:
    """Whoever asks on it gets the same, so that calls share their connections."""
    pools = Pools()
    assert pools.current() is pools.current()
    await pools.aclose()


@pytest.mark.asyncio
async def test_a_closed_pool_is_replaced() -> None:
    """Whether it was closed by `aclose` or by somebody else."""
    pools = Pools()
    first = pools.current()
    await pools.aclose()
    assert first.connector.closed
    second = pools.current()
    await second.connector.close()
    third = pools.current()
    assert [True, True, False] == [pool.connector.closed for pool in (first, second, third)]
    await pools.aclose()
    assert third.connector.closed


def test_each_loop_has_its_own_pool() -> None:
    """Loops one after the other: the first one's pool is closed with it."""
    pools = Pools()

    async def current() -> Pool:
        return pools.current()

    first, second = asyncio.run(current()), asyncio.run(current())
    assert first is not second
    assert [True, True] == [first.connector.closed, second.connector.closed]


def test_pools_of_ended_loops_are_let_go() -> None:
    """However many loops a program runs, one after the other."""
    pools = Pools()

    async def current() -> None:
        pools.current()

    for _ in range(5):
        asyncio.run(current())
    assert 1 == len(pools._pools)


def test_aclose_ends_the_pool_of_a_loop_in_another_thread() -> None:
    """That loop closes it itself, in its own thread."""
    pools = Pools()
    opened, done = threading.Event(), threading.Event()
    found: list[Pool] = []

    async def elsewhere() -> None:
        found.append(pools.current())
        opened.set()
        await asyncio.to_thread(done.wait, 5)
        await asyncio.sleep(0)

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    assert opened.wait(5)
    asyncio.run(pools.aclose())
    done.set()
    thread.join(5)
    assert found[0].connector.closed


def test_a_pool_is_closed_after_its_loop_though_names_were_being_looked_up() -> None:
    """Nobody can be woken on a loop that is closed."""
    loop = asyncio.new_event_loop()
    pools = Pools()

    async def begin() -> Pool:
        pool = pools.current()
        waiting = loop.create_future()
        waiting.add_done_callback(print)
        pool.connector._throttle_dns_futures["somewhere.test", 443] = {waiting}
        return pool

    pool = loop.run_until_complete(begin())
    loop.close()
    pool.release()
    assert pool.connector.closed


@pytest.mark.asyncio
async def test_a_dropped_transport_closes_its_connections() -> None:
    """Garbage collection is enough."""
    async with serve(whole(b"{}")) as server:
        transport = HTTPTransport({})
        await read(await transport.send(post(server.url)))
        gone = weakref.ref(transport)
        del transport
        gc.collect()
        assert gone() is None
        await server.left()


USE = """
    import asyncio, gc, logging, sys
    from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig

    # the one thing that may be said: that the machine was too busy for asyncio's taste
    logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing"))

    def make():
        openai = OpenAIConfig(api_key="sk-0123456789", base_url=sys.argv[1], ca_file=(sys.argv[2:] or [None])[0])
        return LLMWrapper(WrapperConfig(openai=openai))

    async def use(wrapper):
        response = await wrapper.query("Hello", "gpt-4o")
        assert response["status"] == "success", response

    async def begin(wrapper):
        stream = wrapper.stream("Hello", "gpt-4o", extra_body={"hang": True})
        chunk = await anext(stream)
        assert chunk.type == "text", chunk
        return stream
"""

ENDS = {
    "the end of asyncio.run": """
        async def main():
            await use(make())
        asyncio.run(main())
    """,
    "the end of asyncio.run, with the wrapper still in hand": """
        wrapper = make()
        asyncio.run(use(wrapper))
    """,
    "several asyncio.runs": """
        wrapper = make()
        for _ in range(3):
            asyncio.run(use(wrapper))
    """,
    "garbage collection in a running loop": """
        async def main():
            wrapper = make()
            await use(wrapper)
            del wrapper
            gc.collect()
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "garbage collection after the loop": """
        wrapper = make()
        asyncio.run(use(wrapper))
        del wrapper
        gc.collect()
    """,
    "a loop closed by hand": """
        loop = asyncio.new_event_loop()
        wrapper = make()
        loop.run_until_complete(use(wrapper))
        loop.close()
    """,
    "a loop closed by hand, then garbage collection": """
        loop = asyncio.new_event_loop()
        wrapper = make()
        loop.run_until_complete(use(wrapper))
        loop.close()
        del wrapper
        gc.collect()
    """,
    "garbage collection, then a loop closed by hand": """
        loop = asyncio.new_event_loop()
        wrapper = make()
        loop.run_until_complete(use(wrapper))
        del wrapper
        gc.collect()
        loop.close()
    """,
    "a loop closed by hand, then another loop": """
        loop = asyncio.new_event_loop()
        wrapper = make()
        loop.run_until_complete(use(wrapper))
        loop.close()
        asyncio.run(use(wrapper))
    """,
    "an exception": """
        async def main():
            await use(make())
            sys.exit()
        asyncio.run(main())
    """,
    "a stream in hand at the end of asyncio.run": """
        async def main():
            global stream
            stream = await begin(make())
        asyncio.run(main())
    """,
    "a stream in hand when the loop is closed": """
        loop = asyncio.new_event_loop()
        wrapper = make()
        stream = loop.run_until_complete(begin(wrapper))
        loop.close()
    """,
    "a stream dropped after the loop is closed": """
        loop = asyncio.new_event_loop()
        wrapper = make()
        stream = loop.run_until_complete(begin(wrapper))
        loop.close()
        del stream
        gc.collect()
    """,
    "a stream dropped in a running loop": """
        async def main():
            wrapper = make()
            stream = await begin(wrapper)
            del stream, wrapper
            gc.collect()
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "a stream dropped in another thread": """
        import threading
        async def main():
            streams = [await begin(make())]
            thread = threading.Thread(target=streams.clear)
            thread.start()
            thread.join()
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "a task that streams, cancelled by the end of asyncio.run": """
        async def main():
            stream = await begin(make())

            async def consume():
                async for _ in stream:
                    pass

            task = asyncio.create_task(consume())
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "a query under way, cancelled by the end of asyncio.run": """
        async def main():
            task = asyncio.create_task(make().query("Hello", "gpt-4o", extra_body={"hang": True}))
            await asyncio.sleep(0.05)
        asyncio.run(main())
    """,
}


def reply(request: Request) -> Iterable[Step]:
    """Healthy, or after its beginning nothing more, when the request says so."""
    if "hang" not in request.json:
        return whole(completion())
    return [*begun(sse(delta(content="Hello"))), HANG] if "stream" in request.json else [HANG]


async def run(end: str, *arguments: str) -> tuple[str, str, int | None]:
    """What a program says that ends so, and its exit status: warnings are errors, asyncio is in debug mode."""
    script = textwrap.dedent(USE) + textwrap.dedent(ENDS[end])
    command = (sys.executable, "-W", "error", "-X", "dev", "-c", script, *arguments)
    program = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=REPOSITORY)
    out, err = await program.communicate()
    return out.decode(), err.decode(), program.returncode


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ENDS)
async def test_a_program_that_closes_nothing_hears_nothing(end: str) -> None:
    """However it ends: no word, no warning, exit status 0, and no connection stays open."""
    async with serve(reply) as server:
        assert ("", "", 0) == await run(end, server.base_url)
        for connection in range(len(server.connections)):
            await server.left(connection)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "end", ["the end of asyncio.run", "a loop closed by hand", "a stream in hand when the loop is closed"]
)
async def test_nor_with_tls(end: str, tmp_path: Path) -> None:
    """It has a farewell of its own, which nobody is left to wait for."""
    tls = self_signed(tmp_path / "server.pem")
    async with serve(reply, ssl_context=tls) as server:
        assert ("", "", 0) == await run(end, server.base_url, str(tmp_path / "server.pem"))
        for connection in range(len(server.connections)):
            await server.left(connection)
