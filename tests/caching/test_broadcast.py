"""One stream and all who read it: each has every piece, in its order, and nobody holds the others up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import Chunk
from multi_llm_wrapper.caching import broadcast
from multi_llm_wrapper.caching.broadcast import AHEAD, PIECES, Broadcast, Reader, Tape

pieces = st.one_of(
    st.builds(lambda text: Chunk(type="text", content=text), st.text("ab", min_size=1, max_size=3)),
    st.builds(lambda text: Chunk(type="reasoning", reasoning=text), st.text("xy", min_size=1, max_size=3)),
    st.builds(
        lambda index, text, first: Chunk(
            type="tool_call",
            index=index,
            id=f"c{index}" if first else None,
            name=f"f{index}" if first else None,
            arguments_delta=text,
        ),
        st.integers(0, 2),
        st.text("12", max_size=3),
        st.booleans(),
    ),
)


def text(content: str) -> Chunk:
    return Chunk(type="text", content=content)


END = Chunk(type="end", finish_reason="stop", usage={"input_tokens": 1})


async def cast_of(work: Callable[[Broadcast[str]], Awaitable[None]]) -> Broadcast[str]:
    cast: Broadcast[str] = Broadcast(float("inf"))

    async def main() -> None:
        await work(cast)

    cast.start(main(), lambda: None)
    return cast


async def read(reader: Reader[str], pause: Callable[[], Awaitable[None]] | None = None) -> list[Chunk]:
    chunks: list[Chunk] = []
    while not reader.finished:
        chunks += await reader.next()
        if pause is not None:
            await pause()
    return chunks


# --- the tape ---------------------------------------------------------------------------------------------------


def folded(chunks: list[Chunk]) -> Any:
    reply = Tape(chunks).reply()
    return reply.content, reply.reasoning, reply.tool_calls


@given(st.lists(pieces, max_size=60), st.integers(1, 20))
def test_joined_neighbours_say_the_same(chunks: list[Chunk], size: int) -> None:
    """Text, reasoning and tool calls add up to what they were, whenever the tape makes room."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broadcast, "PIECES", size)
        tape = Tape()
        for chunk in chunks:
            tape.add([chunk])
    assert folded(list(chunks)) == folded(tape.chunks)


def test_a_tape_is_short_however_long_it_runs() -> None:
    """A hundred thousand tokens of one kind are few pieces."""
    tape = Tape()
    for _ in range(100_000):
        tape.add([text("ab")])
    assert len(tape.chunks) <= 2 * PIECES + 2
    assert "ab" * 100_000 == tape.reply().content


def test_after_a_restart_only_what_follows_counts() -> None:
    """What was said before a stream began anew is no part of its answer."""
    assert "new" == Tape([text("old"), Chunk(type="restart"), text("new")]).reply().content


# --- readers ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_every_reader_has_every_piece_from_the_first_on() -> None:
    """Whenever he came: before anything, in the middle, or near the end."""
    step = asyncio.Event()

    async def work(cast: Broadcast[str]) -> None:
        for number in range(10):
            cast.send([text(str(number)), text(".")])
            step.set()
            await asyncio.sleep(0)
        cast.send([END])
        cast.settle("own", lambda: "other")

    cast = await cast_of(work)
    tasks = [asyncio.create_task(read(cast.join()))]
    while not cast.settled:
        step.clear()
        await step.wait()
        tasks.append(asyncio.create_task(read(cast.join())))
        if len(tasks) == 10:
            break
    for chunks in await asyncio.gather(*tasks):
        assert "0.1.2.3.4.5.6.7.8.9." == "".join(chunk.content for chunk in chunks)
        assert "end" == chunks[-1].type


@pytest.mark.asyncio
async def test_pieces_are_each_readers_own() -> None:
    """What one does to his chunks no other sees, nor one who comes later."""

    async def work(cast: Broadcast[str]) -> None:
        cast.send([text("a")])
        cast.send([END])
        cast.settle("own", lambda: "other", late="late")
        await asyncio.sleep(0.01)

    cast = await cast_of(work)
    one, two = cast.join(), cast.join()
    first = await read(one)
    for chunk in first:
        chunk.content = "changed"
        if chunk.usage is not None:
            chunk.usage["input_tokens"] = 99
    second = await read(two)
    assert ("a", {"input_tokens": 1}) == (second[0].content, second[-1].usage)
    assert ("own", "other", "late") == (one.outcome, two.outcome, cast.join().outcome)
    assert "a" == two.partial().content


@pytest.mark.asyncio
async def test_the_last_piece_comes_alone_when_the_others_are_read() -> None:
    """Who leaves before it has not heard the end."""

    async def work(cast: Broadcast[str]) -> None:
        cast.send([text("a"), text("b"), END])
        cast.settle("own", lambda: "other")

    reader = (await cast_of(work)).join()
    assert ["a", "b"] == [chunk.content for chunk in await reader.next()]
    assert not reader.finished
    assert ["end"] == [chunk.type for chunk in await reader.next()]
    assert reader.finished


@pytest.mark.asyncio
async def test_the_provider_is_not_read_far_ahead_of_the_fastest_reader() -> None:
    """And goes on as soon as that one does, or leaves, or another comes."""
    sent = 0

    async def work(cast: Broadcast[str]) -> None:
        nonlocal sent
        for _ in range(100 * AHEAD):
            cast.send([text("x")])
            sent += 1
            await cast.room()
        cast.send([END])
        cast.settle("own", lambda: "other")

    cast = await cast_of(work)
    fast, slow = cast.join(), cast.join()
    for reads in range(1, 4):
        for _ in range(5):
            await asyncio.sleep(0)
        assert reads * AHEAD == sent
        assert AHEAD == len(await fast.next())
    for _ in range(5):
        await asyncio.sleep(0)
    fast.leave()
    await asyncio.sleep(0)
    assert 4 * AHEAD == sent, "the other one has all of it before him"
    chunks = await read(slow)
    assert 100 * AHEAD == sum(len(chunk.content) for chunk in chunks)


@pytest.mark.asyncio
async def test_a_slow_reader_holds_nobody_up_and_costs_little() -> None:
    """What he missed waits for him in larger pieces."""

    async def work(cast: Broadcast[str]) -> None:
        for _ in range(20_000):
            cast.send([text("xy")])
            await cast.room()
        cast.send([END])
        cast.settle("own", lambda: "other")

    cast = await cast_of(work)
    fast, slow = cast.join(), cast.join()
    async with asyncio.timeout(20):
        assert 20_001 == len(await read(fast))
    assert len(slow.backlog.chunks) <= 2 * PIECES + 2
    chunks = await read(slow)
    assert ("xy" * 20_000, "end") == ("".join(chunk.content for chunk in chunks), chunks[-1].type)


@pytest.mark.asyncio
async def test_a_very_long_answer_can_no_longer_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would have to be kept for late readers is bounded; those who read already go on."""
    monkeypatch.setattr(broadcast, "MAX_TAPE", 100)
    closed: list[int] = []
    cast: Broadcast[str] = Broadcast(float("inf"))

    async def work() -> None:
        for number in range(30):
            cast.send([text("12345")])
            if closed and len(closed) == 1:
                closed.append(number)
            await cast.room()
        cast.send([END])
        cast.settle("own", lambda: "other")

    cast.start(work(), lambda: closed.append(-1))
    reader = cast.join()
    assert "12345" * 30 == "".join(chunk.content for chunk in await read(reader))
    assert [-1, 20] == closed[:2]


@pytest.mark.asyncio
async def test_the_last_to_leave_ends_the_work() -> None:
    """Not the one before; and leaving twice is leaving once."""
    ended = asyncio.Event()

    async def work(cast: Broadcast[str]) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    cast = await cast_of(work)
    one, two = cast.join(), cast.join()
    await asyncio.sleep(0)
    one.leave()
    one.leave()
    await asyncio.sleep(0)
    assert not ended.is_set()
    two.leave()
    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [RuntimeError("broken"), asyncio.CancelledError()])
async def test_work_that_fails_is_told_to_all_who_read(failure: BaseException) -> None:
    """To those who wait now and to one who asks later; after what had come."""

    async def work(cast: Broadcast[str]) -> None:
        cast.send([text("a")])
        await asyncio.sleep(0)
        raise failure

    cast = await cast_of(work)
    one, two = cast.join(), cast.join()
    assert ["a"] == [chunk.content for chunk in await one.next()]
    with pytest.raises(type(failure)):
        await one.next()
    assert ["a"] == [chunk.content for chunk in await two.next()]
    with pytest.raises(type(failure)):
        await two.next()
