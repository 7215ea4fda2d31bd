"""One suite for both shells: what a client gets does not depend on whether a socket lies between."""

from __future__ import annotations

import asyncio
import json

import pytest

from multi_llm_wrapper.errors import ConnectionError, LimitExceededError
from multi_llm_wrapper.simulator import Brain, Limits, Plan, Step
from multi_llm_wrapper.simulator.plan import Cut
from tests.simulator.support import DIALECTS, KEYS, Shell, ask, body_of, decode, read, run

SHELLS = ("http", "memory")
pytestmark = pytest.mark.parametrize("kind", SHELLS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_plain_answer_arrives_as_the_brain_made_it(kind: str, dialect: str) -> None:
    """Status, type and bytes of the body are those of the brain."""

    async def main() -> None:
        async with Shell(kind) as shell:
            reply = await shell.send(ask(dialect))
            body = await read(reply)

        assert reply.status == 200
        assert reply.headers["content-type"].partition(";")[0] == "application/json"
        assert body_of(Brain(), ask(dialect)) == body

    run(main())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_arrives_as_the_brain_made_it(kind: str, dialect: str) -> None:
    """The chunks of a stream joined are the bytes of the brain, and they decode."""

    async def main() -> None:
        async with Shell(kind) as shell:
            reply = await shell.send(ask(dialect, stream=True))
            chunks = []
            while chunk := await reply.next_chunk():
                chunks.append(chunk)

        assert reply.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert body_of(Brain(), ask(dialect, stream=True)) == b"".join(chunks)
        assert decode(dialect, b"".join(chunks), stream=True).content

    run(main())


def test_the_journal_tells_what_was_sent(kind: str) -> None:
    """An entry has the request, the dialect, the model, and how many bytes and pieces went out."""

    async def main() -> None:
        async with Shell(kind) as shell:
            reply = await shell.send(ask("openai_chat", stream=True))
            body = await read(reply)
            (entry,) = shell.brain.journal

        assert (entry.method, entry.path, entry.status) == ("POST", "/v1/chat/completions", 200)
        assert (entry.dialect, entry.model, entry.stream) == ("openai_chat", "gpt-4o", True)
        assert json.loads(ask("openai_chat", stream=True).body) == entry.json
        assert len(body) == entry.sent_bytes
        assert (entry.done, entry.hung_up) == (True, False)
        assert body.count(b'"delta":{"content":" ') > 3
        assert entry.sent_chunks > 10
        assert reply.headers["x-request-id"] == entry.request_id

    run(main())


def test_a_body_of_several_pieces_is_paced(kind: str) -> None:
    """Pieces come when they are due, not before."""

    async def main() -> None:
        brain = Brain(pace=0.1, first_token=0.05)
        async with Shell(kind, brain) as shell:
            loop = asyncio.get_running_loop()
            start = loop.time()
            reply = await shell.send(ask("openai_chat", stream=True, max_tokens=4))
            first = await reply.next_chunk()
            waited = loop.time() - start
            await read(reply)
            total = loop.time() - start

        assert waited >= 0.05
        assert b'"content":""' in first
        assert b"[DONE]" not in first
        assert total >= 0.35 - 1e-3  # 0.05 and three gaps

    run(main())


def test_a_plain_answer_takes_as_long_as_its_stream(kind: str) -> None:
    """Without streaming the whole time passes before the head."""

    async def main() -> None:
        async with Shell(kind, Brain(pace=0.01, first_token=0.02)) as shell:
            loop = asyncio.get_running_loop()
            start = loop.time()
            await shell.send(ask("openai_chat", max_tokens=4))
            waited = loop.time() - start

        assert waited >= 0.05 - 1e-3

    run(main())


def test_a_reader_that_aborts_has_hung_up(kind: str) -> None:
    """Closing a reply early ends the plan, and the journal says so."""

    async def main() -> None:
        async with Shell(kind, Brain(pace=10.0)) as shell:
            reply = await shell.send(ask("openai_chat", stream=True))
            await reply.next_chunk()
            reply.abort()
            reply.abort()
            assert await asyncio.to_thread(shell.brain.journal.wait_for, lambda journal: journal[0].hung_up)
            assert not shell.brain.journal[0].done
            assert shell.brain.journal[0].sent_chunks == 1

    run(main())


def test_a_read_that_is_waiting_raises_what_aborts_it(kind: str) -> None:
    """`abort(error)` wakes the reader with that error."""

    async def main() -> None:
        async with Shell(kind, Brain(pace=10.0)) as shell:
            reply = await shell.send(ask("openai_chat", stream=True))
            await reply.next_chunk()
            reading = asyncio.ensure_future(reply.next_chunk())
            await asyncio.sleep(0)
            reply.abort(LimitExceededError("enough"))
            with pytest.raises(LimitExceededError, match="enough"):
                await reading

    run(main())


def test_a_cancelled_request_has_hung_up(kind: str) -> None:
    """Cancelling while no head has come closes the connection."""

    async def main() -> None:
        async with Shell(kind, Brain(first_token=10.0)) as shell:
            asking = asyncio.ensure_future(shell.send(ask("gemini")))
            assert await asyncio.to_thread(shell.brain.journal.wait_for, lambda journal: len(journal) == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await asyncio.to_thread(shell.brain.journal.wait_for, lambda journal: journal[0].hung_up)

    run(main())


@pytest.mark.parametrize("cut", ["close", "reset"])
@pytest.mark.parametrize("length", [None, 1000])
def test_a_cut_is_a_broken_connection(kind: str, cut: Cut, length: int | None) -> None:
    """A body that ends too early, closed or reset, is a connection error after what came before it."""

    async def main() -> None:
        async with Shell(kind) as shell:
            steps = [Step(0.0, b"begin"), Step(0.1, b"ning", cut)]
            shell.brain.script(lambda request: Plan(200, {}, steps, length))
            reply = await shell.send(ask("openai_chat"))

            assert await reply.next_chunk() == b"begin"
            with pytest.raises(ConnectionError):
                await read(reply)
            reply.abort()
            assert not shell.brain.journal[0].hung_up

    run(main())


def test_a_body_shorter_than_announced_is_broken(kind: str) -> None:
    """A Content-Length that promises more than comes, with the connection closed behind it."""

    async def main() -> None:
        async with Shell(kind) as shell:
            shell.brain.script(lambda request: Plan(200, {}, [Step(0.0, b"half", "close")], 8))
            reply = await shell.send(ask("openai_chat"))
            with pytest.raises(ConnectionError):
                await read(reply)
            reply.abort()

    run(main())


def test_a_whole_reply_has_arrived_and_a_paced_one_has_not(kind: str) -> None:
    """`arrived` tells that reading will not wait, `finish` gives up what would."""

    async def main() -> None:
        async with Shell(kind) as shell:
            reply = await shell.send(ask("openai_chat"))
            assert reply.arrived
            assert await read(reply)
            reply.finish()
            assert (shell.brain.journal[0].done, shell.brain.journal[0].hung_up) == (True, False)

            shell.brain.pace = 10.0
            reply = await shell.send(ask("openai_chat", stream=True))
            assert not reply.arrived
            reply.finish()
            assert await asyncio.to_thread(shell.brain.journal.wait_for, lambda journal: journal[1].hung_up)

    run(main())


def test_a_request_over_the_bound_is_413(kind: str) -> None:
    """A body over the bound is refused in the provider's own shape."""

    async def main() -> None:
        async with Shell(kind, Brain(max_body=1000)) as shell:
            reply = await shell.send(ask("anthropic_messages", "x" * 2000))
            error = json.loads(await read(reply))

            assert reply.status == 413
            assert error["error"]["type"] == "request_too_large"
            assert shell.brain.journal[0].dialect == "anthropic_messages"

    run(main())


def test_lists_of_models_are_served(kind: str) -> None:
    """`GET /v1/models` works through the shell."""

    async def main() -> None:
        async with Shell(kind) as shell:
            reply = await shell.get("/v1/models", KEYS["openai_chat"])
            listed = json.loads(await read(reply))

        assert "gpt-4o" in [model["id"] for model in listed["data"]]

    run(main())


def test_recorded_replies_are_served_byte_for_byte(kind: str) -> None:
    """A replayed reply has its status, its headers and its bytes, the framing aside."""
    chunks = [b"data: {\r\n", b"\xc3", b"\xa9\n\n", b"data: [DONE]\n\n"]

    async def main() -> None:
        async with Shell(kind) as shell:
            shell.brain.replay(429, {"Retry-After": "7", "Content-Length": "99"}, b'{"error": 1}')
            shell.brain.replay(200, {"content-type": "text/event-stream"}, chunks=chunks)
            refused = await shell.send(ask("openai_chat"))
            assert (
                refused.status,
                refused.headers["retry-after"],
                await read(refused),
            ) == (429, "7", b'{"error": 1}')
            stream = await shell.send(ask("openai_chat"))
            assert b"".join(chunks) == await read(stream)
            healthy = await shell.send(ask("openai_chat"))
            assert healthy.status == 200
            assert decode("openai_chat", await read(healthy), stream=False).content

    run(main())


def test_fifty_streams_at_once_do_not_mix(kind: str) -> None:
    """Each of many concurrent streams gets its own answer, whole."""

    async def main() -> None:
        async with Shell(kind, Brain(pace=0.001)) as shell:

            async def one(number: int) -> bytes:
                reply = await shell.send(ask("openai_chat", f"question number {number}", stream=True))
                return await read(reply)

            bodies = await asyncio.gather(*map(one, range(50)))

        for number, body in enumerate(bodies):
            assert body_of(Brain(), ask("openai_chat", f"question number {number}", stream=True)) == body

    run(main())


# --- content, timing, limits: the same through both ------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_scripted_answer_arrives_whole(kind: str, dialect: str, stream: bool) -> None:
    """Text, call and headers, in the order of the script."""

    async def main() -> None:
        async with Shell(kind) as shell:
            shell.brain.script(["First.", {"text": "Second.", "headers": {"X-Served-By": "b"}}], times=2)
            first = await shell.send(ask(dialect, stream=stream))
            body = await read(first)
            second = await shell.send(ask(dialect, stream=stream))
            other = await read(second)

        assert "First." == decode(dialect, body, stream=stream).content
        assert "Second." == decode(dialect, other, stream=stream).content
        assert "b" == second.headers["x-served-by"]

    run(main())


def test_random_waits_pass_before_the_pieces(kind: str) -> None:
    """The stream takes as long as its plan says, no less."""

    async def main() -> None:
        timing = "first=20/40 gap=2/6"
        planned = Brain(timing=timing).handle(ask("openai_chat", stream=True, max_tokens=20).sim())
        wanted = sum(step.delay for step in planned.steps)
        async with Shell(kind, Brain(timing=timing)) as shell:
            loop = asyncio.get_running_loop()
            start = loop.time()
            await read(await shell.send(ask("openai_chat", stream=True, max_tokens=20)))
            took = loop.time() - start

        assert wanted > 0.03
        assert took >= wanted - 1e-3

    run(main())


def test_a_rate_limit_is_a_429_with_its_headers(kind: str) -> None:
    """Whatever the shell."""

    async def main() -> None:
        async with Shell(kind, Brain(limits=Limits(requests_per_minute=1))) as shell:
            first = await shell.send(ask("anthropic_messages"))
            await read(first)
            second = await shell.send(ask("anthropic_messages"))
            error = json.loads(await read(second))["error"]

        assert (200, 429) == (first.status, second.status)
        assert ("0", "rate_limit_error") == (first.headers["anthropic-ratelimit-requests-remaining"], error["type"])
        assert 0 < float(second.headers["retry-after"]) <= 60

    run(main())


def test_the_admin_endpoints_are_there(kind: str) -> None:
    """Without a key, and in no journal."""

    async def main() -> None:
        async with Shell(kind) as shell:
            reply = await shell.get("/_sim/timing", {})
            report = json.loads(await read(reply))

        assert (200, 0, 0) == (reply.status, report["sends"], len(shell.brain.journal))

    run(main())
