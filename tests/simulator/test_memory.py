"""What only the in-memory shell can do: minutes of waiting in no time."""

from __future__ import annotations

import asyncio
import time

import pytest

from multi_llm_wrapper.errors import ConnectionError
from multi_llm_wrapper.simulator import Brain, MemoryTransport, Plan, Step
from multi_llm_wrapper.testing.clock import VirtualClock
from tests.simulator.support import ask, body_of, read


def test_a_slow_stream_takes_no_time_under_a_virtual_clock() -> None:
    """Pieces come at the pace of the brain, on the loop's clock."""
    brain = Brain(pace=2.0, first_token=30.0)

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        reply = await MemoryTransport(brain).send(ask("openai_chat", stream=True, max_tokens=5).http("http://m"))
        times = []
        while await reply.next_chunk():
            times.append(loop.time())
        return times

    start = time.monotonic()
    times = VirtualClock().run(main())

    assert times == pytest.approx([30.0, 32.0, 34.0, 36.0, 38.0])
    assert time.monotonic() - start < 5


def test_a_reader_that_comes_late_gets_all_that_was_sent_meanwhile() -> None:
    """As from a socket: in one piece, up to what a socket would hold."""

    async def main() -> list[int]:
        brain = Brain()
        brain.script(lambda request: Plan(200, {}, [Step(1.0, b"x" * 30_000) for _ in range(5)]))
        reply = await MemoryTransport(brain).send(ask("openai_chat").http("http://m"))
        await asyncio.sleep(60)
        sizes = []
        while chunk := await reply.next_chunk():
            sizes.append(len(chunk))
        return sizes

    assert VirtualClock().run(main()) == [90_000, 60_000]


def test_names_of_headers_do_not_depend_on_case() -> None:
    """As over HTTP, where the server lowers them."""

    async def main() -> bytes:
        asked = ask("openai_chat")
        headers = {name.upper(): value for name, value in asked.headers.items()}
        return await read(await MemoryTransport().send(asked._replace(headers=headers).http("http://m/prefix")))

    assert VirtualClock().run(main()) == body_of(Brain(), ask("openai_chat"))


def test_a_reply_that_nobody_keeps_is_closed() -> None:
    """Dropping it is hanging up."""

    async def main() -> bool:
        transport = MemoryTransport(Brain(pace=9.0))
        reply = await transport.send(ask("openai_chat", stream=True).http("http://m"))
        del reply
        await transport.aclose()
        return transport.brain.journal[0].hung_up

    assert VirtualClock().run(main())


def test_reading_after_an_abort_fails_again() -> None:
    """A reply that was closed stays closed."""

    async def main() -> None:
        reply = await MemoryTransport(Brain(pace=9.0)).send(ask("openai_chat", stream=True).http("http://m"))
        reply.abort()
        for _ in range(2):
            with pytest.raises(ConnectionError, match="closed before its end"):
                await reply.next_chunk()

    VirtualClock().run(main())
