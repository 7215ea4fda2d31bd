"""The virtual clock: waiting costs no time, and happens in order."""

from __future__ import annotations

import asyncio
import time

import pytest

from multi_llm_wrapper.testing import VirtualClock


def test_an_hour_of_sleep_takes_no_time() -> None:
    """Sleeping moves the loop's time by exactly as much, at once."""
    clock = VirtualClock(start=1000.0)

    async def scenario() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - before

    started = time.perf_counter()

    assert clock.run(scenario()) == pytest.approx(3600)
    assert clock.time() == pytest.approx(4600)
    assert time.perf_counter() - started < 5


def test_timers_fire_in_their_order() -> None:
    """Concurrent sleeps end in the order of their ends, each at its own time."""
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.monotonic()))

    async def scenario() -> None:
        await asyncio.gather(sleeper("late", 60), sleeper("early", 0.5), sleeper("middle", 7))

    clock.run(scenario())

    assert [name for name, _ in seen] == ["early", "middle", "late"]
    assert [when for _, when in seen] == pytest.approx([0.5, 7, 60])


def test_asyncio_timeouts_live_in_this_time() -> None:
    """A timeout of a minute ends a wait that would never end."""
    clock = VirtualClock()

    async def scenario() -> None:
        async with asyncio.timeout(60):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        clock.run(scenario())
    assert clock.monotonic() == pytest.approx(60)


def test_sockets_on_the_same_loop_work() -> None:
    """Real TCP between two ends on one virtual loop: bytes arrive before any timer fires."""
    clock = VirtualClock()

    async def scenario() -> tuple[bytes, float]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(30)
            writer.write(await reader.readexactly(4))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"ping")
            async with asyncio.timeout(40):
                data = await reader.read()
            writer.close()
        return data, clock.monotonic()

    data, now = clock.run(scenario())

    assert data == b"ping"
    assert now == pytest.approx(30, abs=0.01)


def test_time_does_not_go_back() -> None:
    """`advance` refuses a negative step, naming it."""
    with pytest.raises(ValueError, match="seconds is -1"):
        VirtualClock().advance(-1)
