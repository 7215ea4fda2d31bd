"""The HTTP shell over real sockets: keep-alive, limits, malformed input, hang-ups, back-pressure, pace."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator

import pytest

from multi_llm_wrapper.simulator import Brain, Plan, SimRequest, Simulator, SimulatorServer, Step, whole
from multi_llm_wrapper.simulator.plan import Cut
from multi_llm_wrapper.testing.clock import VirtualClock
from tests.simulator.support import DIALECTS, KEYS, RawClient, ask, body_of, decode, run, split_head, unchunked


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    """One server in a thread for all tests of this module."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(server: Simulator) -> Iterator[Simulator]:
    """That server, as new."""
    server.reset()
    yield server
    server.reset()


@pytest.fixture
def client(simulator: Simulator) -> Iterator[RawClient]:
    """A connection to it."""
    with RawClient(simulator.port) as client:
        yield client


# --- plain HTTP ----------------------------------------------------------------------------------------------------


def test_a_hundred_requests_share_one_connection(simulator: Simulator) -> None:
    """Keep-alive lasts, and every answer is the one to its question."""
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=10)
    for number in range(100):
        dialect = DIALECTS[number % 3]
        request = ask(dialect, f"number {number}", stream=number % 2 == 1)
        connection.request("POST", request.path, request.body, request.headers)
        reply = connection.getresponse()

        assert body_of(Brain(), request) == reply.read()
    assert len(simulator.journal) == 100
    connection.close()


def test_pipelined_requests_are_answered_in_order(simulator: Simulator, client: RawClient) -> None:
    """Requests that come while one is being answered wait for their turn."""
    simulator.pace = 0.001
    first, second = ask("openai_chat", "first", stream=True, max_tokens=5), ask("gemini", "second")
    client.send(first.raw() + second.raw() + ask("openai_chat", "third").raw("connection: close"))
    data = client.rest()

    status, headers, rest = split_head(data)
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    end = rest.index(b"0\r\n\r\n") + 5
    assert body_of(Brain(), first) == unchunked(rest[:end])
    status, headers, rest = split_head(rest[end:])
    length = int(headers["content-length"])
    assert body_of(Brain(), second) == rest[:length]
    status, headers, rest = split_head(rest[length:])
    assert (status, headers["connection"]) == (200, "close")
    assert body_of(Brain(), ask("openai_chat", "third")) == rest


def test_a_request_may_come_byte_by_byte(simulator: Simulator, client: RawClient) -> None:
    """Split reads make no difference."""
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in ask("openai_chat").raw():
        client.send(bytes([byte]))

    assert body_of(Brain(), ask("openai_chat")) == client.reply()[2]


def test_chunked_request_bodies_are_read(simulator: Simulator, client: RawClient) -> None:
    """A body without a length works as well."""
    request = ask("anthropic_messages")
    head = request.raw("transfer-encoding: chunked").partition(b"\r\n\r\n")[0]
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"content-length"))
    body = request.body
    client.send(head + b"\r\n\r\n" + b"5\r\n" + body[:5] + b"\r\n%x\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n")

    assert body_of(Brain(), request) == client.reply()[2]


def test_a_client_that_expects_100_continue_gets_it(simulator: Simulator, client: RawClient) -> None:
    """The go-ahead comes before the body is sent, the answer after it."""
    head, _, body = ask("openai_chat").raw("expect: 100-continue").partition(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
    client.send(body)

    assert body_of(Brain(), ask("openai_chat")) == client.reply()[2]


def test_http_1_0_gets_no_chunks_and_a_closed_connection(simulator: Simulator, client: RawClient) -> None:
    """The end of the connection is the end of a stream."""
    request = ask("openai_chat", stream=True)
    client.send(request.raw().replace(b"HTTP/1.1", b"HTTP/1.0"))
    status, headers, body = split_head(client.rest())

    assert (status, headers["connection"], headers.get("transfer-encoding")) == (200, "close", None)
    assert body_of(Brain(), request) == body


def test_connection_close_is_honoured(simulator: Simulator, client: RawClient) -> None:
    """The server closes after the reply when the client says so."""
    client.send(ask("openai_chat").raw("connection: close"))
    status, headers, body = split_head(client.rest())

    assert (status, headers["connection"]) == (200, "close")
    assert body_of(Brain(), ask("openai_chat")) == body


def test_head_and_options_are_tolerated(simulator: Simulator, client: RawClient) -> None:
    """HEAD gives the head of GET alone, OPTIONS says what is allowed, and the connection goes on."""
    client.send(b"HEAD /health HTTP/1.1\r\n\r\n")
    status, headers, body = split_head(client.until(b"\r\n\r\n"))
    assert (status, headers["content-length"], body) == (200, "15", b"")
    client.send(b"OPTIONS /v1/messages HTTP/1.1\r\n\r\n")
    status, headers, body = split_head(client.until(b"\r\n\r\n"))
    assert (status, body) == (204, b"")
    assert "POST" in headers["allow"]
    client.send(b"GET /health HTTP/1.1\r\n\r\n")

    assert json.loads(client.reply()[2]) == {"status": "ok"}


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"hello there\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-length: nine\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_garbage_is_refused_and_the_connection_closed(client: RawClient, data: bytes, status: int) -> None:
    """Malformed input gets a status and an end, never a hang."""
    client.send(data)
    got, headers, body = split_head(client.rest())

    assert (status, "close") == (got, headers["connection"])
    assert body


def test_a_body_over_the_bound_is_refused_before_it_is_sent(client: RawClient, simulator: Simulator) -> None:
    """413 in the provider's own shape, on the announcement alone."""
    client.send(
        b"POST /v1/messages HTTP/1.1\r\nx-api-key: k\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n"
    )
    status, _, body = split_head(client.rest())

    assert status == 413
    assert json.loads(body)["error"]["type"] == "request_too_large"
    assert simulator.journal[0].status == 413


def test_a_client_that_sends_a_huge_body_can_read_its_refusal(simulator: Simulator) -> None:
    """The server reads on for a while, so that no reset destroys the reply on its way."""
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=10)
    connection.request("POST", "/v1/messages", b"x" * (33 << 20), KEYS["anthropic_messages"])
    reply = connection.getresponse()

    assert reply.status == 413
    assert b"request_too_large" in reply.read()
    connection.close()


def test_a_simulator_that_fails_says_500(
    simulator: Simulator, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken script is an internal error with a log entry, and the connection goes on."""

    def broken(request: SimRequest) -> Plan:
        raise RuntimeError("the script is broken")

    simulator.script(broken)
    client.send(ask("openai_chat").raw())
    assert client.reply()[0] == 500
    client.send(ask("openai_chat").raw())
    assert client.reply()[0] == 200
    assert "the script is broken" in caplog.text


def test_a_plan_that_fails_on_the_way_breaks_the_connection(
    simulator: Simulator, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream cannot say that it failed, so it ends without its end."""

    def steps() -> Iterator[Step]:
        yield Step(0.0, b"begin")
        yield Step(0.02, b"more")
        raise RuntimeError("the steps are broken")

    simulator.script(lambda request: Plan(200, {}, steps()))
    client.send(ask("openai_chat").raw())
    data = b""
    with contextlib.suppress(ConnectionResetError):
        data = client.rest()

    assert b"0\r\n\r\n" not in data
    assert "the steps are broken" in caplog.text


# --- timing, hang-ups, cuts ------------------------------------------------------------------------------------------


def test_a_hang_up_ends_the_plan(simulator: Simulator) -> None:
    """When the client goes, nothing more is taken from the plan, and the journal knows."""
    simulator.pace = 5.0
    taken: list[int] = []

    def steps() -> Iterator[Step]:
        for number in range(1000):
            taken.append(number)
            yield Step(0.0 if number == 0 else 5.0, b"piece")

    simulator.script(lambda request: Plan(200, {}, steps()))
    with RawClient(simulator.port) as client:
        client.send(ask("openai_chat").raw())
        client.until(b"piece")

    assert simulator.wait_for(lambda journal: journal[0].hung_up)
    assert (taken, simulator.journal[0].sent_chunks, simulator.journal[0].done) == ([0, 1], 1, False)


async def until_still(count: Callable[[], int]) -> int:
    """Lets the loop run until a number does not change any more."""
    rounds, before = 0, count()
    while rounds < 200:
        await asyncio.sleep(0)
        rounds, before = (rounds + 1, before) if count() == before else (0, count())
    return before


async def take(sock: socket.socket, size: int) -> None:
    """Reads so many bytes."""
    loop = asyncio.get_running_loop()
    while size > 0:
        size -= len(await loop.sock_recv(sock, size))


def test_a_slow_reader_is_waited_for() -> None:
    """A stream is produced no faster than it is read, and goes on when it is."""
    taken: list[int] = []

    def steps() -> Iterator[Step]:
        for number in range(100_000):
            taken.append(number)
            yield Step(0.0, b"x" * 10_000)

    async def main() -> None:
        async with await SimulatorServer().start() as server:
            server.brain.script(lambda request: Plan(200, {}, steps()))
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(sock, ask("openai_chat").raw())
                await take(sock, 1000)
                before = await until_still(lambda: len(taken))
                assert before < 10_000
                await take(sock, 2 * before * 10_000)
                assert before < await until_still(lambda: len(taken)) < 30_000
            await asyncio.to_thread(server.brain.journal.wait_for, lambda journal: journal[0].hung_up)
            assert not server.brain.journal[0].done

    run(main())


def test_a_client_that_pipelines_and_never_reads_is_held_back() -> None:
    """Unread replies stop the answering of further requests until they are read."""

    async def main() -> None:
        async with await SimulatorServer().start() as server:
            server.brain.script(lambda request: whole(200, {}, b"x" * 1_000_000), times=None)
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(sock, b"GET /health HTTP/1.1\r\n\r\n" * 300)
                await take(sock, 1000)
                before = await until_still(lambda: len(server.brain.journal))
                assert before < 200
                await take(sock, 290_000_000)
                assert 290 <= await until_still(lambda: len(server.brain.journal)) <= 300

    run(main())


def test_requests_ahead_of_their_turn_are_not_read_without_end() -> None:
    """While one request is answered, the client can send only so much more."""

    async def main() -> None:
        async with await SimulatorServer(Brain(first_token=0.2)).start() as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.setblocking(False)
                body = ask("openai_chat", "x" * 100_000).raw()
                sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(sock, body * 200))
                await asyncio.to_thread(server.brain.journal.wait_for, lambda journal: len(journal) == 2)
                assert not sending.done()
                sending.cancel()

    run(main())


@pytest.mark.parametrize("cut", ["close", "reset"])
def test_cuts_reach_the_client_as_they_are(simulator: Simulator, client: RawClient, cut: Cut) -> None:
    """`close` ends the connection without the end of the body, `reset` with a TCP reset."""
    simulator.script(lambda request: Plan(200, {}, [Step(0.0, b"half"), Step(0.1, b"", cut)]))
    client.send(ask("openai_chat").raw())
    data = client.until(b"half")
    if cut == "reset":
        with pytest.raises(ConnectionResetError):
            client.rest()
    else:
        assert data.endswith(b"4\r\nhalf\r\n")
        assert client.rest() == b""
    assert simulator.wait_for(lambda journal: journal[0].done)
    assert not simulator.journal[0].hung_up


def test_no_answer_at_all_waits_until_the_client_goes(simulator: Simulator) -> None:
    """A plan may be due never."""
    simulator.script(lambda request: whole(200, {}, b"", delay=float("inf")))
    with RawClient(simulator.port) as client:
        client.send(ask("openai_chat").raw())
        assert simulator.wait_for(lambda journal: len(journal) == 1)

    assert simulator.wait_for(lambda journal: journal[0].hung_up)


def test_a_busy_loop_does_not_slow_the_pace() -> None:
    """What is late is sent at once: pieces are due at absolute times, whatever happened in between."""
    clock = VirtualClock()

    async def main() -> float:
        async with await SimulatorServer(Brain(pace=1.0)).start() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(ask("openai_chat", stream=True, max_tokens=30).raw())
            await reader.readuntil(b"\n\n")
            clock.advance(12.3)  # the loop was busy with something else
            await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            return clock.monotonic()

    assert clock.run(main()) == pytest.approx(29.0)


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence between or within requests has an end."""
    monkeypatch.setattr("multi_llm_wrapper.simulator.http.KEEP_ALIVE", 0.05)

    async def main() -> None:
        async with await SimulatorServer().start() as server:
            for said in (b"", b"GET / HT"):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(said)
                assert await reader.read() == b""
                writer.close()

    run(main())


def test_closing_the_server_drops_all_connections() -> None:
    """`aclose` leaves no connection, no task and no listening socket behind, and may be repeated."""

    async def main() -> None:
        server = await SimulatorServer(Brain(pace=10.0)).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ask("openai_chat", stream=True).raw())
        await reader.readuntil(b"\n\n")
        await server.aclose()
        await server.aclose()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(10_000)
        writer.close()
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert server.brain.journal[0].hung_up
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_fifty_streams_at_once_over_the_thread(simulator: Simulator) -> None:
    """Many paced streams share the server's thread, each whole."""
    simulator.pace = 0.002

    async def one(number: int) -> None:
        request = ask(DIALECTS[number % 3], f"stream {number}", stream=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(request.raw("connection: close"))
        _, _, body = split_head(await reader.read())
        writer.close()
        assert body_of(Brain(), request) == unchunked(body)
        assert decode(DIALECTS[number % 3], unchunked(body), stream=True).content

    async def main() -> None:
        await asyncio.gather(*map(one, range(50)))

    run(main())
    assert len(simulator.journal) == 50
    assert all(entry.done and not entry.hung_up for entry in simulator.journal)
