"""Streams over real sockets: in order, whole or clearly not, paced by their reader, and gone when nobody wants them."""

import asyncio
import contextlib
import gc
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from multi_llm_wrapper import Chunk, LLMWrapper, OpenAIConfig, ResponseStream, Timeouts, attempt, dialects, framing
from multi_llm_wrapper.errors import IncompleteStreamError, RateLimitError, ValidationError
from multi_llm_wrapper.testing import CompletionDouble
from multi_llm_wrapper.types import Event, ReasoningDelta, Reply, TextDelta, ToolCall, ToolCallDelta, Usage
from tests.servers import (
    CLOSE,
    COUNTS,
    DONE,
    EVENT_STREAM,
    FINISH,
    HANG,
    HELLO,
    LAST_CHUNK,
    PATIENCE,
    PROMPTLY,
    RESET,
    USAGE,
    RawServer,
    Step,
    begun,
    chunk,
    completion,
    config,
    delta,
    error_body,
    head,
    serve,
    sse,
    stream,
    whole,
)
from tests.servers import Reply as ServerReply
from tests.test_attempt import LONG, PROVIDERS, SHORT

pytestmark = pytest.mark.asyncio

SAID = sse(delta(role="assistant", content=""), delta(content="Hello"))
"""A stream that has begun to say something."""
ROLE = sse(delta(role="assistant", content=""))
"""A stream that has begun and said nothing."""


def llm_at(server: RawServer, **settings: Any) -> LLMWrapper:
    return LLMWrapper(config(server, **settings))


async def read(llm: LLMWrapper, **options: Any) -> tuple[list[Chunk], ResponseStream]:
    found = llm.stream("Hello", "gpt-4o", **options)
    return [piece async for piece in found], found


async def stream_of(*replies: ServerReply, **options: Any) -> tuple[list[Chunk], ResponseStream]:
    """All chunks of a stream against a server with these replies."""
    settings = {name: options.pop(name) for name in ("timeouts", "max_retries") if name in options}
    async with serve(*replies) as server, llm_at(server, **settings) as llm:
        return await read(llm, **options)


def texts(chunks: list[Chunk]) -> list[str]:
    return [piece.content for piece in chunks if piece.type == "text"]


def kinds(chunks: list[Chunk]) -> list[str]:
    return [piece.type for piece in chunks]


def now() -> float:
    return asyncio.get_running_loop().time()


def assert_interrupted(chunks: list[Chunk], found: ResponseStream, error_type: str, code: str | None) -> None:
    """What `SAID` had said is there; then comes one error chunk; and the response is no success."""
    assert ["text", "error"] == kinds(chunks)
    last, response = chunks[-1], found.response
    assert ("error", error_type, response.error) == (last.status, last.error_type, last.error)
    assert ("error", error_type, code) == (response.status, response.error_type, response.metadata["code"])
    assert ("Hello", None) == (response.content, response.finish_reason)
    assert 1 == response.metadata["attempts"]


# --- chunks -----------------------------------------------------------------------------------------------------


async def test_chunks_come_in_order_and_end_with_the_facts() -> None:
    """Text as it was sent, then one `end` chunk; every chunk says who speaks."""
    chunks, _ = await stream_of(stream(sse(*HELLO)))

    assert ["text", "text", "end"] == kinds(chunks)
    assert ["Hello", " you"] == texts(chunks)
    assert [("openai", "gpt-4o", "success", None)] * 3 == [
        (c.provider, c.model, c.status, c.error_type) for c in chunks
    ]
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    rest = dict.fromkeys(("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"))
    assert ("", "stop", {**usage, **rest}) == (chunks[-1].content, chunks[-1].finish_reason, chunks[-1].usage)
    assert chunks[0]["content"] == chunks[0].content


async def test_a_chunk_is_there_before_the_next_is_sent() -> None:
    """Nothing is held back, whatever is still to come."""
    async with serve([*begun(SAID), HANG]) as server, llm_at(server) as llm, asyncio.timeout(PATIENCE):
        found = llm.stream("Hello", "gpt-4o")
        assert "Hello" == (await anext(found)).content
        partial = found.response
        assert ("Hello", "openai", "gpt-4o") == (partial.content, partial.provider, partial.model)
        assert None is partial.finish_reason
        await found.aclose()


async def test_nothing_is_sent_before_the_first_chunk_is_asked_for() -> None:
    """No connection is opened before; then the request asks for a stream and its usage."""
    async with serve(stream(sse(*HELLO))) as server, llm_at(server) as llm:
        found = llm.stream("Hello", "gpt-4o")
        await asyncio.sleep(0.01)
        assert [] == server.connections
        await anext(found)
        asked = server.requests[0].json
        assert (True, {"include_usage": True}) == (asked["stream"], asked["stream_options"])


async def test_query_with_stream_gives_the_same() -> None:
    """A stream in the same pieces, and no whole response."""
    async with serve(stream(sse(*HELLO))) as server, llm_at(server) as llm:
        found = await llm.query("Hello", "gpt-4o", stream=True)
        assert isinstance(found, ResponseStream)
        assert ["Hello", " you"] == texts([piece async for piece in found])


async def test_tool_calls_come_in_pieces() -> None:
    """Index, id and name once, arguments as they come; the response has them whole."""
    calls = [
        delta(
            tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]
        ),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
        delta(
            tool_calls=[{"index": 1, "id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}}]
        ),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
    ]
    chunks, found = await stream_of(stream(sse(*calls, delta("tool_calls"), DONE)))

    assert [(0, "call_1", "f", ""), (0, None, None, '{"a":'), (1, "call_2", "g", ""), (0, None, None, "1}")] == [
        (c.index, c.id, c.name, c.arguments_delta) for c in chunks if c.type == "tool_call"
    ]
    assert [
        {"id": "call_1", "name": "f", "arguments": {"a": 1}, "arguments_raw": '{"a":1}'},
        {"id": "call_2", "name": "g", "arguments": {}, "arguments_raw": ""},
    ] == found.response.tool_calls
    assert ("", "tool_calls") == (found.response.content, found.response.finish_reason)


async def test_reasoning_is_no_text() -> None:
    """It has chunks and a field of its own, so that nobody takes it for the answer."""
    events = (delta(reasoning_content="Hm"), delta(reasoning_content="m"), delta(content="42"), FINISH, DONE)
    chunks, found = await stream_of(stream(sse(*events)))

    assert ["reasoning", "reasoning", "text", "end"] == kinds(chunks)
    assert ["Hm", "m", "", ""] == [c.reasoning for c in chunks]
    assert ["", "", "42", ""] == [c.content for c in chunks]
    assert ("42", "Hmm") == (found.response.content, found.response.reasoning)


# --- the same as query() ----------------------------------------------------------------------------------------

ANSWERS = {
    "text": Reply(content="Grüße, 世界 🌍.", finish_reason="stop"),
    "reasoning": Reply(content="42", reasoning="Let me think.", finish_reason="stop"),
    "tool calls": Reply(
        content="Let me see.",
        tool_calls=[ToolCall("call_1", "weather", '{"city":"Paris"}'), ToolCall("call_2", "time", "{}")],
        finish_reason="tool_calls",
    ),
    "cut by its length": Reply(content="Once upon", finish_reason="length"),
}


def pieces_of(reply: Reply) -> list[Event]:
    """A reply as the events of a stream, in small pieces."""
    events: list[Event] = [ReasoningDelta(piece) for piece in (reply.reasoning or "").split(" ") if piece]
    events += [TextDelta(piece) for piece in reply.content]
    for index, call in enumerate(reply.tool_calls):
        events.append(ToolCallDelta(index, call.id, call.name))
        events += [ToolCallDelta(index, arguments=piece) for piece in call.arguments]
    return events


@pytest.mark.parametrize("cut", ["one read", "byte by byte", "CRLF"])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_stream_adds_up_to_what_query_gives(provider: str, answer: str, cut: str) -> None:
    """In every protocol, however the bytes fall (also inside a character), whatever ends the lines."""
    name, model, configured = PROVIDERS[provider]
    reply, usage = ANSWERS[answer], Usage(input_tokens=11, output_tokens=7, total_tokens=18)
    if reply.reasoning:
        reply = Reply(content=reply.content, reasoning=reply.reasoning.replace(" ", ""), finish_reason="stop")
    reply.response_id, reply.response_model, reply.usage = "id_1", model, usage
    dialect = dialects.get(name)
    wire = dialect.encode_reply(reply, created=1)
    encoder = dialect.encoder(response_id="id_1", model=model, created=1)
    data = encoder.start() + b"".join(encoder.event(event) for event in pieces_of(reply))
    assert reply.finish_reason is not None
    data += encoder.end(reply.finish_reason, usage)
    if cut == "CRLF":
        data = data.replace(b"\n", b"\r\n")
    frames = [bytes([byte]) for byte in data] if cut == "byte by byte" else [data]

    async with serve(whole(wire.body, wire.status, wire.headers), stream(*frames)) as server:
        settings = configured(server)
        settings.enable_caching = False
        async with LLMWrapper(settings) as llm:
            asked = await llm.query("Hello", model)
            found = llm.stream("Hello", model)
            chunks = [piece async for piece in found]
            streamed = found.response

    assert "success" == asked.status, asked.error
    same = ("status", "content", "tool_calls", "reasoning", "provider", "model", "error", "error_type")
    assert {key: asked[key] for key in same} == {key: streamed[key] for key in same}
    facts = ("usage", "finish_reason", "provider_finish_reason", "response_id", "response_model")
    assert {key: asked.metadata[key] for key in facts} == {key: streamed.metadata[key] for key in facts}
    assert asked.content == "".join(texts(chunks))
    assert (asked.finish_reason, asked.usage) == (chunks[-1].finish_reason, chunks[-1].usage)
    assert streamed.metadata["time_to_first_token"] <= streamed.metadata["response_time"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_stream(encoding: str) -> None:
    """Each event is there when it was flushed."""
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    first = packer.compress(SAID) + packer.flush(zlib.Z_SYNC_FLUSH)
    last = packer.compress(sse(FINISH, COUNTS, DONE)) + packer.flush()
    chunks, found = await stream_of(stream(first, 0.01, last, headers={"content-encoding": encoding}))
    assert (["text", "end"], "success") == (kinds(chunks), found.response.status)


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b": OPENROUTER PROCESSING\n\n", id="comment"),
        pytest.param(b"\n\n\n", id="blank lines"),
        pytest.param(b"event: ping\ndata: {}\n\n", id="empty object"),
        pytest.param(b"event: ping\ndata:\n\n", id="no data"),
        pytest.param(b"id: 7\nretry: 100\n\n", id="id and retry"),
        pytest.param(sse({"choices": [], "prompt_filter_results": []}), id="no choices"),
        pytest.param(sse({"object": "news", "about": "weather"}), id="unknown"),
    ],
)
async def test_what_says_nothing_is_passed_over(noise: bytes) -> None:
    """Comments, pings and objects without a word make no chunk and do no harm, wherever they stand."""
    chunks, found = await stream_of(stream(noise, noise + SAID, noise, sse(FINISH), noise, sse(COUNTS, DONE)))
    assert (["text", "end"], "success") == (kinds(chunks), found.response.status)


# --- ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(stream(SAID, sse(FINISH)), id="clean"),
        pytest.param([*begun(SAID, sse(FINISH)), CLOSE], id="without the last chunk"),
        pytest.param([*begun(SAID, sse(FINISH)), 0.02, RESET], id="reset"),
        pytest.param(stream(SAID, sse(FINISH).rstrip()), id="without the last blank line"),
        pytest.param(stream(SAID, sse(FINISH), b'data: {"choices": [], "usa'), id="in the middle of the usage"),
    ],
)
async def test_a_finish_reason_is_enough(steps: list[Step]) -> None:
    """Nothing of the answer is missing, so the end marker may be."""
    chunks, found = await stream_of(steps)
    assert ["text", "end"] == kinds(chunks)
    assert ("success", "Hello", "stop") == (found.response.status, found.response.content, found.response.finish_reason)


async def test_an_end_marker_is_enough() -> None:
    """Some hosts send `[DONE]` and no finish reason."""
    chunks, found = await stream_of(stream(SAID, sse(DONE)))
    assert ["text", "end"] == kinds(chunks)
    assert ("success", "Hello", "other") == (
        found.response.status,
        found.response.content,
        found.response.finish_reason,
    )


async def test_silence_after_the_finish_reason_is_waited_for_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage may come; when it does not, the answer is whole all the same, and the connection is closed."""
    monkeypatch.setattr(attempt, "GRACE", SHORT)
    async with serve([*begun(SAID, sse(FINISH)), HANG]) as server, llm_at(server) as llm:
        began = now()
        chunks, found = await read(llm)
        assert SHORT <= now() - began < LONG
        assert (["text", "end"], "success", None) == (kinds(chunks), found.response.status, found.response.usage)
        await server.left()


async def test_after_the_end_marker_nothing_is_waited_for() -> None:
    """The answer is whole when the provider says so, whether the connection ends or not."""
    async with serve([*begun(sse(*HELLO)), HANG]) as server, llm_at(server) as llm:
        began = now()
        chunks, found = await read(llm)
        assert now() - began < attempt.GRACE / 2
        assert (["text", "text", "end"], "success") == (kinds(chunks), found.response.status)
        await server.left()


async def test_usage_after_the_finish_reason_is_waited_for() -> None:
    """The counts come after it, and the `end` chunk has them."""
    chunks, _ = await stream_of(stream(SAID, sse(FINISH), 0.05, sse(COUNTS, DONE)))
    assert chunks[-1].usage is not None
    assert 5 == chunks[-1].usage["total_tokens"]


async def test_comments_do_not_lengthen_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds at most, however lively the line is."""
    monkeypatch.setattr(attempt, "GRACE", SHORT)

    def chatter(_: Any) -> Iterable[Step]:
        yield from begun(SAID, sse(FINISH))
        while True:
            yield 0.01
            yield chunk(b": still here\n\n")

    began = now()
    chunks, found = await stream_of(chatter)
    assert now() - began < LONG
    assert (["text", "end"], "success") == (kinds(chunks), found.response.status)


async def test_a_connection_is_used_again_after_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the end of the body came with the end marker, and also when it came a moment later."""
    monkeypatch.setattr("multi_llm_wrapper.transport.http.LINGER", PATIENCE)
    replies = (stream(sse(*HELLO)), [*begun(sse(*HELLO)), 0.02, LAST_CHUNK], stream(sse(*HELLO)))
    async with serve(*replies) as server, llm_at(server) as llm:
        transport: Any = llm.transport
        for _ in replies:
            assert "success" == (await read(llm))[1].response.status
            while transport._pools.current().connector._acquired:  # noqa: ASYNC110  # nobody waits for the end
                await asyncio.sleep(0.001)
        assert [0, 0, 0] == [request.connection for request in server.requests]


@pytest.mark.parametrize(
    ("steps", "content"),
    [
        pytest.param(whole(completion()), "Hello you", id="whole"),
        pytest.param(whole(completion(), headers=EVENT_STREAM), "Hello you", id="said to be a stream"),
        pytest.param(stream(*(bytes([byte]) for byte in json.dumps(completion()).encode())), "Hello you", id="bytes"),
        pytest.param(whole(completion(finish=None)), "Hello you", id="without a finish reason"),
    ],
)
async def test_one_body_in_place_of_a_stream_is_an_answer(steps: list[Step], content: str) -> None:
    """Not every host can stream."""
    chunks, found = await stream_of(steps)
    assert ["text", "end"] == kinds(chunks)
    assert ("success", content) == (found.response.status, found.response.content)


async def test_one_body_of_gemini_is_an_answer_too() -> None:
    """Its protocol has no end marker; the end of the body is one, also without a finish reason."""
    body = {"candidates": [{"content": {"parts": [{"text": "Hello you"}], "role": "model"}}]}
    _, model, configured = PROVIDERS["gemini"]
    async with serve(whole(body)) as server, LLMWrapper(configured(server)) as llm:
        asked = await llm.query("Hello", model, cache=False)
        found = llm.stream("Hello", model)
        assert ["text", "end"] == kinds([piece async for piece in found])
    assert ("success", "Hello you", "other") == (asked.status, asked.content, asked.finish_reason)
    assert (asked.content, asked.finish_reason) == (found.response.content, found.response.finish_reason)


# --- interruptions ----------------------------------------------------------------------------------------------

CUTS: dict[str, list[Step]] = {
    "clean end": [*begun(SAID), LAST_CHUNK],
    "closed": [*begun(SAID), CLOSE],
    "reset": [*begun(SAID), 0.02, RESET],
    "closed in an event": [*begun(SAID, b'data: {"choices": [{"del'), CLOSE],
    "clean end in an event": [*begun(SAID, b'data: {"choices": [{"del'), LAST_CHUNK],
    "clean end in a chunk": [head(headers=EVENT_STREAM), chunk(SAID), b"ffff\r\ndata: ", CLOSE],
    "after a broken chunk": [*begun(SAID), 0.02, b"no size\r\n", HANG],
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_cut_stream_is_no_success(cut: str) -> None:
    """The text that came was delivered, so nothing is tried again, and nothing is said to be whole."""
    chunks, found = await stream_of(CUTS[cut], max_retries=2)
    assert_interrupted(chunks, found, "incomplete_stream", "cut")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cut_is_seen_in_every_protocol(provider: str) -> None:
    """Where the provider's own end is missing, the text is there and the stream is no success."""
    name, model, configured = PROVIDERS[provider]
    encoder = dialects.get(name).encoder(response_id="id_1", model=model, created=1)
    data = encoder.start() + encoder.event(TextDelta("Hello"))
    async with serve(stream(data)) as server, LLMWrapper(configured(server)) as llm:
        found = llm.stream("Hello", model)
        chunks = [piece async for piece in found]
    assert_interrupted(chunks, found, "incomplete_stream", "cut")


async def test_a_malformed_event_is_an_interruption() -> None:
    """To pass it over could lose text in silence. What stood before it in the same bytes is delivered first."""
    for steps in (stream(SAID, sse("{no json")), stream(SAID + sse("{no json", FINISH, DONE))):
        chunks, found = await stream_of(steps, max_retries=2)
        assert_interrupted(chunks, found, "malformed_response", "invalid_json")


async def test_an_error_event_after_text() -> None:
    """Its class, in place of an end."""
    for event in (error_body("Overloaded", "overloaded_error"), {"choices": [{"error": {"code": 503}}]}):
        chunks, found = await stream_of(stream(SAID, sse(event), sse(FINISH, DONE)), max_retries=2)
        assert_interrupted(chunks, found, "overloaded", found.response.metadata["code"])


async def test_silence_after_text() -> None:
    """The idle limit ends it; what was said stays, and whether to try again is left to the caller."""
    async with serve([*begun(SAID), HANG]) as server, llm_at(server, timeouts=Timeouts(idle=SHORT)) as llm:
        began = now()
        chunks, found = await read(llm, max_retries=2)
        assert SHORT <= now() - began < LONG
        await server.left()
    assert_interrupted(chunks, found, "timeout", "idle_timeout")
    assert found.response.metadata["retryable"]


async def test_the_whole_call_has_its_limit_too() -> None:
    """A stream that flows for ever ends with the total, and with the attempt if that is shorter."""

    def endless(_: Any) -> Iterable[Step]:
        yield from begun(SAID)
        while True:
            yield 0.01
            yield chunk(sse(delta(content=".")))

    for limits in (Timeouts(total=3 * SHORT), Timeouts(attempt=3 * SHORT)):
        began = now()
        chunks, found = await stream_of(endless, timeouts=limits)
        assert 3 * SHORT <= now() - began < LONG
        assert ("error", "timeout") == (chunks[-1].type, chunks[-1].error_type)
        assert (found.response.content or "").startswith("Hello.")


async def test_usage_that_came_before_the_cut_is_kept() -> None:
    """And counted."""
    spoken = {**delta(content="Hello"), "usage": USAGE}
    async with serve([*begun(sse(spoken)), CLOSE]) as server, llm_at(server) as llm:
        _, found = await read(llm)
        assert found.response.usage is not None
        assert 5 == found.response.usage["total_tokens"]
        stats = llm.get_usage_stats()["openai"]
        assert (1, 1, 5) == (stats["requests"], stats["errors"], stats["tokens"])


async def test_a_giant_event_is_refused() -> None:
    """Sixteen megabytes without a line end are no event."""

    def giant(_: Any) -> Iterable[Step]:
        yield from begun(SAID, b"data: ")
        for _ in range(17):
            yield chunk(b"x" * 1024 * 1024)
        yield HANG

    async with serve(giant) as server, llm_at(server) as llm:
        chunks, found = await read(llm)
        await server.left()
    assert_interrupted(chunks, found, "limit_exceeded", "event_too_large")


async def test_a_stream_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes count, those of comments too; the text that came stays."""
    monkeypatch.setattr(framing, "MAX_REPLY_BYTES", 10_000)
    noise = b": " + b"x" * 5000 + b"\n\n"
    chunks, found = await stream_of([*begun(SAID, noise, 0.01, noise), HANG])
    assert_interrupted(chunks, found, "limit_exceeded", "reply_too_long")


# --- before the first token -------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[Iterable[Step], str, bool]] = {
    "500": (whole(error_body(), 500), "server_error", True),
    "429": (whole(error_body(), 429, {"retry-after": "0"}), "rate_limit", True),
    "400": (whole(error_body("Bad", "invalid_request_error"), 400), "validation_error", False),
    "401": (whole(error_body("Bad key"), 401), "auth_error", False),
    "no reply": ([CLOSE], "connection_error", True),
    "reset": ([RESET], "connection_error", True),
    "cut before anything": (stream(), "incomplete_stream", True),
    "cut after the role": ([*begun(ROLE), CLOSE], "incomplete_stream", True),
    "comments and the end": (stream(b": hello\n\n"), "incomplete_stream", True),
    "error event": (stream(sse(error_body("Busy", "server_error"))), "server_error", True),
    "error event after the role": (stream(ROLE, sse(error_body("Busy", "overloaded_error"))), "overloaded", True),
    "error in one body": (
        whole(error_body("Pay", "insufficient_quota", "insufficient_quota")),
        "quota_exceeded",
        False,
    ),
    "malformed event": (stream(sse("{no json")), "malformed_response", True),
    "end marker alone": (stream(sse(DONE)), "empty_response", True),
    "HTML": (whole(b"<html>Sign in</html>"), "malformed_response", True),
    "plain text": (whole(b"upstream connect error"), "malformed_response", True),
    "half a body": (whole(b'{"choices": [', headers=EVENT_STREAM), "malformed_response", True),
    "a body without its end": (
        [head(headers={"content-length": "999"}, chunked=False), b'{"choices": [', CLOSE],
        "incomplete_stream",
        True,
    ),
    "broken compression": (
        whole(b"\x1f\x8b\x08 no gzip at all", headers={"content-encoding": "gzip"}),
        "incomplete_stream",
        True,
    ),
}
"""What happens before a token is there -> its class, and whether it is tried again."""


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_before_the_first_token_is_one_error_chunk(failure: str) -> None:
    """Nothing is raised, and there is nothing but the error."""
    steps, error_type, retryable = FAILURES[failure]
    chunks, found = await stream_of(steps)

    assert ["error"] == kinds(chunks)
    response = found.response
    assert ("error", error_type, retryable) == (response.status, response.error_type, response.metadata["retryable"])
    assert (error_type, response.error, None) == (chunks[0].error_type, chunks[0].error, response.content)
    assert ("openai", "gpt-4o") == (chunks[0].provider, chunks[0].model)
    assert (1, None) == (response.metadata["attempts"], response.metadata["time_to_first_token"])


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_before_the_first_token_is_mended_unseen(failure: str, no_backoff: None) -> None:
    """The reader sees one stream; the attempts are told in the response. What cannot be mended is not tried again."""
    steps, error_type, retryable = FAILURES[failure]
    async with serve(steps, stream(sse(*HELLO))) as server, llm_at(server, max_retries=1) as llm:
        chunks, found = await read(llm)
        assert (2 if retryable else 1) == len(server.requests)
        stats = llm.get_usage_stats()["openai"]

    facts = found.response.metadata
    assert (["text", "text", "end"] if retryable else ["error"]) == kinds(chunks)
    assert ([error_type, None] if retryable else [error_type]) == [d["error_type"] for d in facts["attempts_detail"]]
    assert (1, 0 if retryable else 1) == (stats["requests"], stats["errors"])


async def test_plain_text_is_quoted_however_it_comes() -> None:
    """The message shows how the body began, also when it came byte by byte."""
    _, found = await stream_of(stream(*(bytes([byte]) for byte in b"upstream connect error")))
    assert "it starts with 'upstream connect error'" in (found.response.error or "")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([HANG], id="no head"),
        pytest.param([*begun(), HANG], id="nothing after the head"),
        pytest.param([*begun(ROLE), HANG], id="the role alone"),
    ],
)
async def test_the_first_token_has_its_limit(steps: list[Step]) -> None:
    """It counts from the request to the first piece of content; the idle limit is not its business."""
    limits = Timeouts(first_token=2 * SHORT, idle=SHORT / 2)
    async with serve(steps) as server, llm_at(server, timeouts=limits) as llm:
        began = now()
        chunks, found = await read(llm)
        assert 2 * SHORT <= now() - began < LONG
        await server.left()
    assert (["error"], "timeout", "first_token_timeout") == (
        kinds(chunks),
        found.response.error_type,
        found.response.metadata["code"],
    )


async def test_chatter_does_not_lengthen_the_wait_for_the_first_token() -> None:
    """A role and comments are no tokens, however many of them come."""

    def chatter(_: Any) -> Iterable[Step]:
        yield from begun(ROLE)
        while True:
            yield 0.01
            yield chunk(b": thinking\n\n")

    began = now()
    _, found = await stream_of(chatter, timeouts=Timeouts(first_token=2 * SHORT))
    assert 2 * SHORT <= now() - began < LONG
    assert "first_token_timeout" == found.response.metadata["code"]


async def test_input_that_is_refused_is_an_error_chunk() -> None:
    """Nothing is sent and nothing is counted."""
    async with serve(stream(sse(*HELLO))) as server, llm_at(server) as llm:
        for prompt, model, error_type in (("", "gpt-4o", "validation_error"), ("Hi", "claude-x", "auth_error")):
            found = llm.stream(prompt, model)
            chunks = [piece async for piece in found]
            assert (["error"], error_type) == (kinds(chunks), found.response.error_type)
            assert ("client", 0) == (found.response.metadata["rejected_by"], found.response.metadata["attempts"])
        assert ([], 0) == (server.requests, llm.get_usage_stats()["openai"]["requests"])


async def test_an_unknown_option_is_a_type_error_at_once() -> None:
    """At the call itself, not when the first chunk is read."""
    llm = LLMWrapper()
    with pytest.raises(TypeError, match="temprature"):
        llm.stream("Hello", "gpt-4o", temprature=1)  # type: ignore[call-arg]  # wrong on purpose


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("multi_llm_wrapper.policies.budget.FIRST_BACKOFF", 0.0)


# --- exceptions, if wanted --------------------------------------------------------------------------------------


async def test_raise_on_error_raises_in_place_of_the_error_chunk() -> None:
    """After the text that came; the exception holds the response; then the stream is over."""
    async with serve([*begun(SAID), CLOSE]) as server, llm_at(server, raise_on_error=True) as llm:
        found = llm.stream("Hello", "gpt-4o")
        assert "Hello" == (await anext(found)).content
        with pytest.raises(IncompleteStreamError, match="broke off") as caught:
            await anext(found)
        assert caught.value.response is found.response
        assert "Hello" == found.response.content
        with pytest.raises(StopAsyncIteration):
            await anext(found)


async def test_raise_on_error_of_one_call_goes_first() -> None:
    """Before the configuration, whether it says to raise or not to."""
    async with serve(whole(error_body(), 429, {"retry-after": "99"})) as server:
        async with llm_at(server) as llm:
            with pytest.raises(RateLimitError) as caught:
                await read(llm, raise_on_error=True)
            assert (99.0, 429) == (caught.value.retry_after, caught.value.status_code)
        async with llm_at(server, raise_on_error=True) as llm:
            assert ["error"] == kinds((await read(llm, raise_on_error=False))[0])


async def test_keep_raw_keeps_the_bytes() -> None:
    """All that came, as it came, also of a stream that broke off."""
    data = sse(*HELLO)
    _, found = await stream_of(stream(data[:50], 0.005, data[50:]), keep_raw=True)
    assert data.decode() == found.response.metadata["raw"]
    _, found = await stream_of([*begun(SAID), CLOSE], keep_raw=True)
    assert SAID.decode() == found.response.metadata["raw"]


async def test_an_error_of_our_own_is_an_error_chunk(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing escapes, the log has the traceback, and the connection is closed."""

    def broken(*_: Any) -> Any:
        raise KeyError("a mistake")

    async with serve([*begun(SAID), HANG]) as server, llm_at(server, max_retries=2) as llm:
        monkeypatch.setattr("multi_llm_wrapper.framing.StreamReader.feed", broken)
        chunks, found = await read(llm)
        await server.left()
    assert (["error"], "general_error", "unexpected") == (
        kinds(chunks),
        found.response.error_type,
        found.response.metadata["code"],
    )
    assert 1 == found.response.metadata["attempts"]
    assert "a mistake" in caplog.text


# --- readers who take their time --------------------------------------------------------------------------------


async def test_a_slow_reader_is_not_the_networks_fault() -> None:
    """The idle limit counts only while we wait for the network: here for a moment, after a long pause of the reader."""
    limits = Timeouts(idle=4 * SHORT, first_token=4 * SHORT)
    async with serve(stream(SAID, 6 * SHORT, sse(FINISH, DONE))) as server, llm_at(server, timeouts=limits) as llm:
        found = llm.stream("Hello", "gpt-4o")
        async for piece in found:
            if piece.type == "text":
                await asyncio.sleep(5 * SHORT)
    assert ("success", "Hello") == (found.response.status, found.response.content)


async def test_a_slow_reader_holds_the_server_back() -> None:
    """What nobody has read yet stays mostly where it was sent from."""

    def endless(_: Any) -> Iterable[Step]:
        yield from begun(SAID)
        piece = chunk(sse(delta(content="x" * 1000)) * 50)
        while True:
            yield piece

    async with serve(endless) as server, llm_at(server) as llm:
        async with llm.stream("Hello", "gpt-4o") as found:
            await anext(found)
            connection, sent = server.connections[0], -1
            async with asyncio.timeout(PATIENCE):  # without an end if nothing held the server back
                while connection.sent != sent:
                    sent = connection.sent
                    await asyncio.sleep(0.1)
            assert connection.blocked.is_set()
            assert len(found._chunks) < 1000
            for _ in range(20_000):
                await anext(found)
            assert connection.sent > sent
        await server.left()


# --- leaving ----------------------------------------------------------------------------------------------------


async def settle(server: RawServer, tasks: set[asyncio.Task[Any]]) -> None:
    """Every connection was left, and there are no more tasks than before."""
    for connection in range(len(server.connections)):
        await server.left(connection)
    assert set() == {task for task in asyncio.all_tasks() - tasks if not task.done()}


Ready = Callable[[], Awaitable[Any]]
"""Waits until the stream is as far as it is to come."""


async def leave_by_aclose(found: ResponseStream, ready: Ready) -> None:
    await anext(found)
    await found.aclose()


async def leave_the_block(found: ResponseStream, ready: Ready) -> None:
    async with found:
        await anext(found)


async def leave_by_an_exception(found: ResponseStream, ready: Ready) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with found:
            async for _ in found:
                raise ZeroDivisionError


async def leave_by_cancellation(found: ResponseStream, ready: Ready) -> None:
    task = asyncio.create_task(_read_on(found))
    await ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_by_timeout(found: ResponseStream, ready: Ready) -> None:
    limit = asyncio.timeout(None)

    async def bounded() -> None:
        async with limit:
            await _read_on(found)

    task = asyncio.create_task(bounded())
    await ready()
    limit.reschedule(now())
    with pytest.raises(TimeoutError):
        await task


async def leave_by_aclose_elsewhere(found: ResponseStream, ready: Ready) -> None:
    task = asyncio.create_task(_read_on(found))
    await ready()
    await found.aclose()
    await asyncio.wait_for(task, LONG)


async def _read_on(found: ResponseStream) -> None:
    async for _ in found:
        pass


Leave = Callable[[ResponseStream, Ready], Awaitable[None]]
ELSEWHERE: list[Leave] = [leave_by_cancellation, leave_by_timeout, leave_by_aclose_elsewhere]
"""Ways in which another task ends a wait."""


@pytest.mark.parametrize("leave", [leave_by_aclose, leave_the_block, leave_by_an_exception, *ELSEWHERE])
async def test_leaving_closes_the_connection_at_once(leave: Leave) -> None:
    """The server sees it within a tenth of a second; no task stays; the answer says that it is not whole."""
    async with serve([*begun(SAID), HANG]) as server, llm_at(server, max_retries=2) as llm:
        tasks = asyncio.all_tasks()
        found = llm.stream("Hello", "gpt-4o")

        async def said() -> None:
            async with asyncio.timeout(PATIENCE):
                while not found.response.content:  # noqa: ASYNC110  # a stream is read, it does not tell
                    await asyncio.sleep(0.001)

        await leave(found, said)
        left = now()
        assert await server.left() - left < PROMPTLY
        await settle(server, tasks)

        response = found.response
        assert ("error", "incomplete_stream", "closed") == (
            response.status,
            response.error_type,
            response.metadata["code"],
        )
        assert ("Hello", 1) == (response.content, len(server.requests))
        with pytest.raises(StopAsyncIteration):
            await anext(found)
        await found.aclose()
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0) == (stats["requests"], stats["errors"])


async def test_break_is_leaving_too() -> None:
    """The stream that nobody holds any more is closed, without waiting for the garbage collector."""
    async with serve([*begun(SAID), HANG]) as server, llm_at(server) as llm:
        gc.disable()
        try:
            async for _ in llm.stream("Hello", "gpt-4o"):
                break
            left = now()
            assert await server.left() - left < PROMPTLY
        finally:
            gc.enable()
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0) == (stats["requests"], stats["errors"])


@pytest.mark.parametrize("leave", ELSEWHERE)
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([HANG], id="before the head"),
        pytest.param([*begun(), HANG], id="before the first event"),
        pytest.param(whole(error_body(), 429, {"retry-after": "50"}), id="during the wait before a retry"),
    ],
)
async def test_leaving_before_the_first_token(leave: Leave, steps: list[Step]) -> None:
    """Whatever the stream waits for, it is over at once, and nothing more is sent."""
    async with serve(steps) as server, llm_at(server, max_retries=2) as llm:
        found = llm.stream("Hello", "gpt-4o")
        began = now()

        async def sent() -> None:
            await server.asked()
            await asyncio.sleep(0.02)

        await leave(found, sent)
        assert now() - began < LONG
        assert ("closed", None) == (found.response.metadata["code"], found.response.content)
        await asyncio.sleep(0)
        assert 1 == len(server.requests)
        if steps[-1] == HANG:
            assert await server.left() - began < LONG


async def test_a_stream_closed_unread_has_sent_nothing() -> None:
    """It counts as no request, and there is nothing to read in it."""
    async with serve(stream(sse(*HELLO))) as server, llm_at(server) as llm:
        found = llm.stream("Hello", "gpt-4o")
        await found.aclose()
        assert [] == [piece async for piece in found]
        assert ([], 0) == (server.connections, llm.get_usage_stats()["openai"]["requests"])


async def test_closing_after_the_end_changes_nothing() -> None:
    """The response stays the same one, and the connection is kept for the next call."""
    async with serve(stream(sse(*HELLO))) as server, llm_at(server) as llm:
        async with llm.stream("Hello", "gpt-4o") as found:
            async for _ in found:
                pass
            whole_answer = found.response
        assert found.response is whole_answer
        assert "success" == found.response.status
        assert 1 == server.open_connections


async def test_a_cancellation_that_meets_a_close_is_a_cancellation() -> None:
    """Closed and cancelled at once: whoever cancelled is obeyed."""
    async with serve([HANG]) as server, llm_at(server) as llm:
        found = llm.stream("Hello", "gpt-4o")
        task = asyncio.create_task(_read_on(found))
        await server.asked()
        await found.aclose()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_comes_while_it_is_closed_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes were there already when another task closed the stream."""
    real = attempt.LiveStream.next

    async def close_meanwhile(self: attempt.LiveStream) -> list[Event] | None:
        events = await real(self)
        await found.aclose()
        return events

    monkeypatch.setattr(attempt.LiveStream, "next", close_meanwhile)
    async with serve(stream(sse(*HELLO))) as server, llm_at(server) as llm:
        found = llm.stream("Hello", "gpt-4o")
        assert [] == [piece async for piece in found]
        assert ("error", "closed") == (found.response.status, found.response.metadata["code"])


async def test_what_breaks_while_it_is_closed_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried again and changes nothing."""

    async def break_meanwhile(self: attempt.LiveStream) -> list[Event] | None:
        await found.aclose()
        raise ValidationError("no")

    monkeypatch.setattr(attempt.LiveStream, "next", break_meanwhile)
    async with serve(stream(sse(*HELLO))) as server, llm_at(server, max_retries=2) as llm:
        found = llm.stream("Hello", "gpt-4o")
        assert [] == [piece async for piece in found]
        assert ("closed", 1) == (found.response.metadata["code"], len(server.requests))


async def test_an_endless_error_is_left_at_once() -> None:
    """Without waiting for the garbage collector."""

    def endless(_: Any) -> Iterable[Step]:
        yield head(400)
        while True:
            yield chunk(b"no " * 30_000)

    async with serve(endless) as server, llm_at(server) as llm:
        gc.disable()
        try:
            chunks, found = await read(llm)
            assert (["error"], "validation_error") == (kinds(chunks), found.response.error_type)
            await server.left()
        finally:
            gc.enable()


async def test_many_streams_at_once() -> None:
    """Two hundred; a third is read to the end, a third is cut, a third is left. Nothing stays behind."""
    replies = {
        "whole": stream(sse(*HELLO)),
        "cut": [*begun(SAID), CLOSE],
        "left": [*begun(SAID), HANG],
    }
    async with serve(lambda request: replies[request.json["kind"]]) as server:
        tasks = asyncio.all_tasks()
        async with llm_at(server) as llm:

            async def one(kind: str) -> str:
                async with llm.stream("Hello", "gpt-4o", extra_body={"kind": kind}) as found:
                    async for _ in found:
                        if kind == "left":
                            break
                return str(found.response.metadata.get("code", found.response.status))

            wanted = {"whole": "success", "cut": "cut", "left": "closed"}
            chosen = [kind for kind in wanted for _ in range(67)][:200]
            results = await asyncio.gather(*map(one, chosen))
            assert [wanted[kind] for kind in chosen] == results
        await settle(server, tasks)
        assert 0 == server.open_connections


# --- the double -------------------------------------------------------------------------------------------------


async def test_a_stream_of_the_double(mock_completion: CompletionDouble) -> None:
    """The answer as chunks; retries and errors as over the wire."""
    mock_completion.side_effect = [ConnectionError("gone"), completion("Hello you")]
    async with LLMWrapper(config_alone()) as llm:
        chunks, found = await read(llm)
    assert ["text", "end"] == kinds(chunks)
    assert ("success", "Hello you", 2) == (
        found.response.status,
        found.response.content,
        found.response.metadata["attempts"],
    )

    mock_completion.side_effect = PermissionError("no")
    async with LLMWrapper(config_alone()) as llm:
        chunks, found = await read(llm)
    assert (["error"], "general_error") == (kinds(chunks), found.response.error_type)


async def test_leaving_a_stream_of_the_double(mock_completion: CompletionDouble) -> None:
    """In the middle, when there is nothing to close."""
    async with LLMWrapper(config_alone()) as llm:
        found = llm.stream("Hello", "gpt-4o")
        await leave_by_aclose(found, mock_completion)
        assert ("error", "closed") == (found.response.status, found.response.metadata["code"])


async def test_raw_bytes_of_the_double(mock_completion: CompletionDouble) -> None:
    """Streamed or not, `keep_raw` keeps what came."""
    async with LLMWrapper(config_alone()) as llm:
        _, found = await read(llm, keep_raw=True)
        assert "This is a test response" in found.response.metadata["raw"]


@pytest.mark.parametrize("leave", ELSEWHERE)
async def test_leaving_a_slow_double(mock_completion: CompletionDouble, leave: Leave) -> None:
    """Its delay is given up at once, in whichever way another task ends the wait."""
    mock_completion.delay = 30.0
    async with LLMWrapper(config_alone()) as llm:
        began = now()
        await leave(llm.stream("Hello", "gpt-4o"), lambda: asyncio.sleep(0.02))
        assert now() - began < LONG


def config_alone() -> OpenAIConfig:
    return OpenAIConfig(api_key="sk-test-0123456789abcdef")
