"""Streams and the cache: a stored answer can be streamed, a stream is stored, and those of one moment are one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import (
    AnthropicConfig,
    Chunk,
    GeminiConfig,
    LLMWrapper,
    OpenAIConfig,
    ResponseStream,
    WrapperConfig,
)
from multi_llm_wrapper.errors import IncompleteStreamError, LLMError
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.testing import CompletionDouble
from tests.servers import (
    CLOSE,
    COUNTS,
    DONE,
    FINISH,
    HANG,
    HELLO,
    PATIENCE,
    RawServer,
    Step,
    begun,
    chunk,
    completion,
    config,
    delta,
    error_body,
    serve,
    sse,
    stream,
    whole,
)

pytestmark = pytest.mark.asyncio

SAID = sse(delta(role="assistant", content=""), delta(content="Hello"))
SLOW_HELLO = stream(SAID, 0.05, sse(delta(content=" you"), FINISH, COUNTS, DONE))
"""`HELLO`, with a pause in the middle."""


def cached(server: RawServer, **settings: Any) -> LLMWrapper:
    return LLMWrapper(config(server, enable_caching=True, **settings))


async def read(found: ResponseStream) -> list[Chunk]:
    return [piece async for piece in found]


def texts(chunks: list[Chunk]) -> str:
    return "".join(piece.content for piece in chunks)


def facts(found: ResponseStream) -> tuple[Any, ...]:
    response = found.response
    return response.status, response.content, response.metadata["cached"], response.metadata["attempts"]


# --- stored answers ---------------------------------------------------------------------------------------------


async def test_a_stored_answer_can_be_streamed() -> None:
    """As the chunks of a stream, with the facts of a hit; it is no request and nothing of it is counted as one."""
    async with serve(whole(completion())) as server, cached(server) as llm:
        asked = await llm.query("Hello", "gpt-4o")
        found = llm.stream("Hello", "gpt-4o")
        chunks = await read(found)
        stats = llm.get_usage_stats()["openai"]
        assert (1, 1, 5, 1) == (len(server.requests), stats["requests"], stats["tokens"], stats["cache_hits"])
    assert [("text", "Hello you"), ("end", "")] == [(piece.type, piece.content) for piece in chunks]
    assert (asked.usage, "stop", "openai", "gpt-4o") == (
        chunks[-1].usage, chunks[-1].finish_reason, chunks[-1].provider, chunks[-1].model
    )  # fmt: skip
    assert ("success", "Hello you", True, 0) == facts(found)
    assert 0 <= found.response.metadata["time_to_first_token"] <= found.response.metadata["response_time"] + 0.01
    assert found.response.metadata["cache_age"] >= 0


async def test_a_stream_is_stored_for_all() -> None:
    """The next stream and the next query have its answer, ids and usage and all."""
    headers = {"x-request-id": "req_1"}
    async with serve(stream(sse(*HELLO), headers=headers)) as server, cached(server) as llm:
        first = llm.stream("Hello", "gpt-4o")
        assert "Hello you" == texts(await read(first))
        second = llm.stream("Hello", "gpt-4o")
        assert "Hello you" == texts(await read(second))
        third = await llm.query("Hello", "gpt-4o")
        assert 1 == len(server.requests)
    assert [False, True, True] == [r.metadata["cached"] for r in (first.response, second.response, third)]
    same = (
        "usage",
        "raw_usage",
        "finish_reason",
        "provider_finish_reason",
        "response_id",
        "response_model",
        "request_id",
    )
    for response in (second.response, third):
        assert {name: first.response.metadata[name] for name in same} == {
            name: response.metadata[name] for name in same
        }
    assert 5 == third.metadata["usage"]["total_tokens"]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
async def test_query_and_stream_share_in_every_dialect(simulator: Simulator, provider: str) -> None:
    """Either may come first; with tools too."""
    kind: Any = {"openai": OpenAIConfig, "anthropic": AnthropicConfig, "gemini": GeminiConfig}[provider]
    model = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}[provider]
    settings = WrapperConfig(**{provider: kind(api_key="sk-test-0123456789", base_url=simulator.base_url(provider))})
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    async with LLMWrapper(settings) as llm:
        cases: dict[str, dict[str, Any]] = {"plain": {}, "tool": {"tools": [tool], "tool_choice": "required"}}
        for prompt, options in cases.items():
            asked = await llm.query(f"{prompt}, asked", model, **options)
            streamed = llm.stream(f"{prompt}, asked", model, **options)
            chunks = await read(streamed)
            assert (True, asked.content, asked.tool_calls) == (
                streamed.response.metadata["cached"], streamed.response.content, streamed.response.tool_calls
            )  # fmt: skip
            arguments = "".join(piece.arguments_delta for piece in chunks)
            assert "".join(call["arguments_raw"] for call in asked.tool_calls) == arguments

            streamed = llm.stream(f"{prompt}, streamed", model, **options)
            await read(streamed)
            asked = await llm.query(f"{prompt}, streamed", model, **options)
            assert (True, streamed.response.tool_calls) == (asked.metadata["cached"], asked.tool_calls)
    assert 4 == len(simulator.journal)


async def test_reasoning_and_tools_come_back_in_order() -> None:
    """A stored answer is streamed with its reasoning first, then its text, then its tool calls."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    answer = completion("Let me see.", "tool_calls", message={"reasoning_content": "hm", "tool_calls": [call]})
    async with serve(whole(answer)) as server, cached(server) as llm:
        asked = await llm.query("Hello", "gpt-4o")
        found = llm.stream("Hello", "gpt-4o")
        chunks = await read(found)
    assert ["reasoning", "text", "tool_call", "end"] == [piece.type for piece in chunks]
    assert ("hm", (0, "call_1", "f", '{"a": 1}')) == (
        chunks[0].reasoning, (chunks[2].index, chunks[2].id, chunks[2].name, chunks[2].arguments_delta)
    )  # fmt: skip
    assert ("hm", asked.tool_calls) == (found.response.reasoning, found.response.tool_calls)


@pytest.mark.parametrize(
    "bad",
    [
        [*begun(SAID), CLOSE],
        stream(SAID),
        stream(SAID, sse({"error": {"message": "no"}})),
        stream(SAID, sse(delta("content_filter"), DONE)),
    ],
    ids=["cut", "without an end", "an error", "filtered"],
)
async def test_what_is_not_whole_is_not_stored(bad: Any) -> None:
    """The next one asks again."""
    async with serve(bad, stream(sse(*HELLO))) as server, cached(server) as llm:
        await read(llm.stream("Hello", "gpt-4o"))
        found = llm.stream("Hello", "gpt-4o")
        await read(found)
        assert (("success", "Hello you", False, 1), 2) == (facts(found), len(server.requests))


async def test_a_stream_that_was_left_is_not_stored() -> None:
    """Only its beginning is known, so the next one asks again and hears all of it."""
    async with serve([*begun(SAID), HANG], stream(sse(*HELLO))) as server, cached(server) as llm:
        async with llm.stream("Hello", "gpt-4o") as found:
            assert "Hello" == (await anext(found)).content
        assert ("error", "Hello", False, 1) == facts(found)
        await server.left()
        assert not (again := llm.stream("Hello", "gpt-4o")).response.metadata["cached"]
        assert "Hello you" == texts(await read(again))


async def test_the_cache_can_be_passed_by_and_renewed() -> None:
    """Streamed as asked."""
    replies = [stream(sse(delta(content=str(number)), FINISH, DONE)) for number in range(5)]
    async with serve(*replies) as server, cached(server) as llm:
        wanted: list[Any] = [None, False, None, "refresh", None]
        assert ["0", "1", "0", "2", "2"] == [
            texts(await read(llm.stream("Hello", "gpt-4o", cache=how))) for how in wanted
        ]


async def test_raw_bytes_are_those_of_a_stream() -> None:
    """Not those of a whole reply, which say the same in another way."""
    data = sse(*HELLO)
    async with serve(whole(completion()), stream(data)) as server, cached(server) as llm:
        await llm.query("Hello", "gpt-4o", keep_raw=True)
        for _ in range(2):
            found = llm.stream("Hello", "gpt-4o", keep_raw=True)
            await read(found)
            assert data.decode() == found.response.metadata["raw"]
        assert 2 == len(server.requests)


async def test_in_a_file_too(tmp_path: Path) -> None:
    """A stream that one wrapper has stored is found by the next one that opens the file."""
    async with serve(stream(sse(*HELLO))) as server:
        for expected in (False, True, True):
            async with cached(server, cache=f"sqlite:///{tmp_path}/c.db?timeout=5") as llm:
                found = llm.stream("Hello", "gpt-4o")
                assert ("Hello you", expected) == (texts(await read(found)), found.response.metadata["cached"])
        assert 1 == len(server.requests)


# --- streams of one moment --------------------------------------------------------------------------------------


async def test_those_who_stream_at_once_share_one_request() -> None:
    """Each has every piece; one response is of the request itself, the others are marked as cached."""
    async with serve(SLOW_HELLO) as server, cached(server) as llm:
        found = [llm.stream("Hello", "gpt-4o") for _ in range(10)]
        for chunks in await asyncio.gather(*map(read, found)):
            assert ["Hello", " you", ""] == [piece.content for piece in chunks]
            assert 5 == (chunks[-1].usage or {})["total_tokens"]
        assert 1 == len(server.requests)
        stats = llm.get_usage_stats()["openai"]
        assert (1, 9, 5) == (stats["requests"], stats["cache_hits"], stats["tokens"])
    assert [("success", "Hello you", False, 1)] + [("success", "Hello you", True, 0)] * 9 == [
        facts(one) for one in found
    ]
    assert len({id(one.response.metadata["usage"]) for one in found}) == 10
    assert all(one.response.metadata["time_to_first_token"] > 0 for one in found)


async def test_one_who_joins_late_hears_it_from_the_start() -> None:
    """What was said before he came is said again, and both go on with the one request."""
    async with serve(SLOW_HELLO) as server, cached(server) as llm:
        first, second = llm.stream("Hello", "gpt-4o"), llm.stream("Hello", "gpt-4o")
        assert "Hello" == (await anext(first)).content
        assert "Hello" == (await anext(second)).content
        assert ("Hello", "Hello") == (first.response.content, second.response.content)
        assert [" you", " you"] == [texts(chunks) for chunks in await asyncio.gather(read(first), read(second))]
        assert 1 == len(server.requests)


async def test_an_error_reaches_all_who_read_and_is_counted_once() -> None:
    """After what had been said; the next one asks again."""
    async with serve([*begun(SAID), 0.05, CLOSE], stream(sse(*HELLO))) as server, cached(server) as llm:
        found = [llm.stream("Hello", "gpt-4o") for _ in range(3)]
        for chunks in await asyncio.gather(*map(read, found)):
            assert [("text", None), ("error", "incomplete_stream")] == [(c.type, c.error_type) for c in chunks]
        assert [("error", "Hello", False, attempts) for attempts in (1, 0, 0)] == [facts(one) for one in found]
        stats = llm.get_usage_stats()["openai"]
        assert (1, 1, 0) == (stats["requests"], stats["errors"], stats["cache_hits"])
        assert "Hello you" == texts(await read(llm.stream("Hello", "gpt-4o")))


async def test_retries_are_those_of_one_call(mock_completion: CompletionDouble) -> None:
    """However many share it, it is tried three times in all, and its error is everybody's."""
    mock_completion.side_effect = ConnectionError("down")
    llm = LLMWrapper(OpenAIConfig(api_key="sk-test-0123456789", max_retries=2))
    found = [llm.stream("Hello", "gpt-4o") for _ in range(10)]
    await asyncio.gather(*map(read, found))
    assert ({"connection_error"}, 3) == ({one.response.error_type for one in found}, mock_completion.call_count)


async def test_each_decides_whether_an_error_is_raised() -> None:
    """The first as well as the others, with a response of his own."""
    for loud_first in (True, False):
        async with serve([0.05, *whole(error_body(), 400)]) as server, cached(server) as llm:
            found = [llm.stream("Hello", "gpt-4o", raise_on_error=loud is loud_first) for loud in (True, False)]
            results = await asyncio.gather(*map(read, found), return_exceptions=True)
            loud, quiet = results if loud_first else reversed(results)
            assert isinstance(loud, LLMError)
            assert loud.response is found[0 if loud_first else 1].response
            assert isinstance(quiet, list)
            assert ["error"] == [piece.type for piece in quiet]
            assert 1 == len(server.requests)


@pytest.mark.parametrize("leaver", [0, 1, 2])
@pytest.mark.parametrize("how", ["cancelled", "closed", "dropped", "closed from elsewhere"])
async def test_one_who_leaves_does_not_disturb_the_others(leaver: int, how: str) -> None:
    """However he does it, also the one who asked first; what he heard is his response."""
    async with serve(SLOW_HELLO) as server, cached(server) as llm:
        found: list[ResponseStream | None] = [llm.stream("Hello", "gpt-4o") for _ in range(3)]
        for one in found:
            assert one is not None
            assert "Hello" == (await anext(one)).content
        leaving, found[leaver] = found[leaver], None
        assert leaving is not None
        if how == "dropped":
            del one, leaving
            gc.collect()
        else:
            if how == "closed":
                await leaving.aclose()
            else:
                task = asyncio.create_task(read(leaving))
                await asyncio.sleep(0)
                await leaving.aclose() if "elsewhere" in how else task.cancel()
                await asyncio.wait([task])
            assert ("error", "Hello", "closed") == (
                leaving.response.status, leaving.response.content, leaving.response.metadata["code"]
            )  # fmt: skip
        stayed = [one for one in found if one is not None]
        assert [" you", " you"] == [texts(chunks) for chunks in await asyncio.gather(*map(read, stayed))]
        assert ["success"] * 2 == [one.response.status for one in stayed]
        stats = llm.get_usage_stats()["openai"]
        assert (1, 1, 0, 5) == (len(server.requests), stats["requests"], stats["errors"], stats["tokens"])


@pytest.mark.parametrize("how", ["closed", "cancelled", "dropped"])
async def test_the_last_to_leave_closes_the_connection(how: str) -> None:
    """At once, and no task stays; it was one request and no error."""
    async with serve([*begun(SAID), HANG]) as server, cached(server) as llm:
        before = asyncio.all_tasks()
        found = [llm.stream("Hello", "gpt-4o") for _ in range(2)]
        for one in found:
            await anext(one)
        if how == "dropped":
            del one
            found.clear()
            gc.collect()
        elif how == "closed":
            for one in found:
                await one.aclose()
        else:
            tasks = [asyncio.create_task(read(one)) for one in found]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await server.left()
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0, 0) == (stats["requests"], stats["errors"], stats["cache_hits"])
        assert ({}, set()) == (llm._cache._casts, llm._cache._running)
        assert set() == {task for task in asyncio.all_tasks() - before if not task.done()}


async def test_leaving_before_the_first_token_closes_the_connection() -> None:
    """When the only reader is cancelled, the request ends with his wait."""
    async with serve([HANG]) as server, cached(server) as llm:
        task = asyncio.create_task(read(llm.stream("Hello", "gpt-4o")))
        await server.asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left()


async def test_a_slow_reader_holds_nobody_up() -> None:
    """The others have their answer; he has all of it when he goes on."""
    words = [f"word{number} " for number in range(3000)]
    answer = stream(*(sse(delta(content=word)) for word in words), sse(FINISH, DONE))
    async with serve(answer) as server, cached(server) as llm:
        slow, fast = llm.stream("Hello", "gpt-4o"), llm.stream("Hello", "gpt-4o")
        assert words[0] == (await anext(slow)).content
        assert "".join(words) == texts(await read(fast))
        assert "".join(words[1:]) == texts(await read(slow))
        assert ("success", "".join(words), False) == facts(slow)[:3]
        assert 1 == len(server.requests)


async def test_a_slow_reader_holds_the_server_back_and_can_leave() -> None:
    """When there is nobody else: what he has not read stays mostly where it was sent from. Leaving closes the
    connection also while nothing is read from it."""

    def endless(_: Any) -> Iterable[Step]:
        yield from begun(SAID)
        piece = chunk(sse(delta(content="x" * 1000)) * 50)
        while True:
            yield piece

    async with serve(endless) as server, cached(server) as llm:
        found = llm.stream("Hello", "gpt-4o")
        await anext(found)
        async with asyncio.timeout(PATIENCE):
            await server.connections[0].blocked.wait()
            sent = -1
            while server.connections[0].sent != sent:
                sent = server.connections[0].sent
                await asyncio.sleep(0.1)
        await found.aclose()
        await server.left()


async def test_a_query_and_a_stream_of_one_moment_are_two_requests() -> None:
    """One wants the answer as it comes, the other would have to wait for it; afterwards there is one."""
    async with serve([0.02, *whole(completion())], SLOW_HELLO) as server, cached(server) as llm:
        found = llm.stream("Hello", "gpt-4o")
        task = asyncio.create_task(llm.query("Hello", "gpt-4o"))
        await server.asked()
        assert "Hello you" == texts(await read(found))
        assert "Hello you" == (await task).content
        assert 2 == len(server.requests)


async def test_raising_after_content() -> None:
    """What came stays in the response of the exception."""
    async with serve([*begun(SAID), CLOSE]) as server, cached(server, raise_on_error=True) as llm:
        found = llm.stream("Hello", "gpt-4o")
        assert "Hello" == (await anext(found)).content
        with pytest.raises(IncompleteStreamError) as caught:
            await anext(found)
        assert (found.response, "Hello") == (caught.value.response, found.response.content)
