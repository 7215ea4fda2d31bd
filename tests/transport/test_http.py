"""The HTTP transport over real sockets: what it sends, what it makes of what comes back, and what it leaves behind."""

import asyncio
import gc
import os
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from multi_llm_wrapper.errors import ConnectionError as LostConnection
from multi_llm_wrapper.errors import LLMError
from multi_llm_wrapper.errors import TimeoutError as LateError
from multi_llm_wrapper.transport.base import HTTPRequest
from multi_llm_wrapper.transport.http import LINGER, HTTPReply, HTTPTransport
from tests.servers import (
    CLOSE,
    DEAF,
    HALF_CLOSE,
    HANG,
    LAST_CHUNK,
    PATIENCE,
    PROMPTLY,
    RESET,
    Request,
    Step,
    begun,
    chunk,
    compressed,
    head,
    open_sockets,
    self_signed,
    serve,
    sockets_fall_to,
    stream,
    unused_port,
    whole,
)

pytestmark = pytest.mark.asyncio

HELLO = b'{"hello": "you"}'


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[HTTPTransport]:
    transport = HTTPTransport({})
    yield transport
    await transport.aclose()


def post(url: str, body: bytes = b"{}", **fields: Any) -> HTTPRequest:
    return HTTPRequest("POST", url, {"content-type": "application/json", **fields.pop("headers", {})}, body, **fields)


async def read(reply: HTTPReply) -> bytes:
    body = b""
    while piece := await reply.next_chunk():
        body += piece
    return body


# --- requests ---------------------------------------------------------------------------------------------------


async def test_the_request_goes_out_as_it_is(transport: HTTPTransport) -> None:
    """Method, path with its query, headers and body reach the server unchanged; no cookie, nothing of aiohttp's."""
    async with serve(whole(HELLO)) as server:
        url = f"{server.url}/v1/models/a%2Fb:go?alt=sse"
        await read(await transport.send(post(url, b'{"a": 1}', headers={"x-key": "1", "user-agent": "me/1"})))

        asked = server.requests[0]
        assert ("POST", "/v1/models/a%2Fb:go?alt=sse", b'{"a": 1}') == (asked.method, asked.target, asked.body)
        assert {
            "host": f"127.0.0.1:{server.port}",
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
            "content-type": "application/json",
            "content-length": "8",
            "x-key": "1",
            "user-agent": "me/1",
        } == asked.headers


async def test_the_callers_headers_go_before_ours_but_do_not_say_where_the_body_ends(transport: HTTPTransport) -> None:
    """A wrong length would make the rest of the body another request."""
    async with serve(whole(HELLO)) as server:
        given = {"Accept": "application/json", "Host": "there", "Content-Length": "1", "transfer-encoding": "chunked"}
        await read(await transport.send(post(server.url, b"{}", headers=given)))
        asked = server.requests[0]
        assert ("application/json", "there", "2") == tuple(
            asked.headers[name] for name in ("accept", "host", "content-length")
        )
        assert "transfer-encoding" not in asked.headers
        assert b"{}" == asked.body


async def test_interim_replies_are_passed_over(transport: HTTPTransport) -> None:
    """100 Continue and 103 Early Hints announce the reply; they are none."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with serve([*interim, *whole(HELLO)]) as server:
        reply = await transport.send(post(server.url))
        assert (200, HELLO) == (reply.status, await read(reply))


async def test_what_a_server_says_unasked_is_no_answer_to_the_next_question(transport: HTTPTransport) -> None:
    """A 408 for idle connections, say: however many there are, none is used again, and no call has to fail for it."""
    unasked = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"
    timed_out = [0.02, *whole(HELLO), 0.01, unasked, HANG]
    async with serve(timed_out, timed_out, whole(HELLO)) as server:
        replies = await asyncio.gather(*(transport.send(post(server.url)) for _ in range(2)))
        assert [HELLO, HELLO] == [await read(reply) for reply in replies]
        await asyncio.sleep(0.05)
        assert HELLO == await read(await transport.send(post(server.url)))
        assert [0, 1, 2] == [request.connection for request in server.requests]


async def test_a_large_body_goes_out_whole(transport: HTTPTransport) -> None:
    """Piece by piece, as the server takes it."""
    body = os.urandom(3 * 1024 * 1024)
    async with serve(whole(HELLO)) as server:
        assert await read(await transport.send(post(server.url, body))) == HELLO
        assert body == server.requests[0].body
        assert str(len(body)) == server.requests[0].headers["content-length"]


async def test_a_connection_is_used_again(transport: HTTPTransport) -> None:
    """One after the other, requests share a connection, whether the body came at once, in chunks, or was empty."""
    replies = (whole(HELLO), stream(b"a", 0.01, b"b"), [head(204, chunked=False)], whole(b"", 500))
    async with serve(*replies, whole(HELLO)) as server:
        for _ in range(5):
            await read(await transport.send(post(server.url)))

        assert [0] * 5 == [request.connection for request in server.requests]


async def test_a_reply_that_says_close_ends_its_connection(transport: HTTPTransport) -> None:
    """It is whole all the same, and the next request goes out on a new one."""
    async with serve(whole(HELLO, headers={"connection": "close"})) as server:
        for _ in range(2):
            assert await read(await transport.send(post(server.url))) == HELLO
        assert [0, 1] == [request.connection for request in server.requests]
        await server.left(0)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(transport: HTTPTransport, status: int) -> None:
    """It would carry the key somewhere else."""
    async with serve(whole(b"", status, {"location": "http://127.0.0.1:1/v2"})) as server:
        reply = await transport.send(post(server.url))
        assert (status, b"") == (reply.status, await read(reply))
        assert 1 == len(server.requests)


async def test_cookies_are_not_kept(transport: HTTPTransport) -> None:
    """One call does not tell the server of another."""
    async with serve(whole(HELLO, headers={"set-cookie": "session=1"})) as server:
        for _ in range(2):
            await read(await transport.send(post(server.url)))
        assert "cookie" not in server.requests[1].headers


# --- bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_comes_out_plain(transport: HTTPTransport, encoding: str) -> None:
    """Whoever reads it need not know how it was sent."""
    async with serve(compressed(HELLO, encoding)) as server:
        assert await read(await transport.send(post(server.url))) == HELLO


async def test_deflate_without_its_wrapper_comes_out_plain(transport: HTTPTransport) -> None:
    """What some servers call deflate has no zlib header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = packer.compress(HELLO) + packer.flush()
    async with serve(whole(raw, headers={"content-encoding": "deflate"})) as server:
        assert await read(await transport.send(post(server.url))) == HELLO


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_stream_comes_piece_by_piece(transport: HTTPTransport, encoding: str) -> None:
    """What the server has flushed is there before the rest is sent."""
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    last = packer.compress(b"data: 2\n\n") + packer.flush()
    async with serve([head(headers={"content-encoding": encoding}), chunk(first), HANG]) as server:
        reply = await transport.send(post(server.url))
        async with asyncio.timeout(1):
            assert b"data: 1\n\n" == await reply.next_chunk()
        reply.abort()
    async with serve(stream(first, 0.01, last, headers={"content-encoding": encoding})) as server:
        assert b"data: 1\n\ndata: 2\n\n" == await read(await transport.send(post(server.url)))


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_broken_compression_says_so(transport: HTTPTransport, encoding: str) -> None:
    """So does one that was not asked for, and that nothing is installed for."""
    async with serve(whole(b"\x1f\x8b\x08 no gzip at all", headers={"content-encoding": encoding})) as server:
        with pytest.raises(LostConnection, match="could not be decompressed") as caught:
            await read(await transport.send(post(server.url)))
        assert "bad_encoding" == caught.value.code


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([head(headers={"content-length": "100"}, chunked=False), HELLO, CLOSE], id="content-length"),
        pytest.param([head(), chunk(HELLO), CLOSE], id="chunked"),
        pytest.param([head(), b"ffff\r\n" + HELLO, CLOSE], id="in a chunk"),
        pytest.param([head(), chunk(HELLO), 0.02, RESET], id="reset"),
        pytest.param([head(), chunk(HELLO), 0.02, b"no chunk size\r\n", CLOSE], id="bad chunk"),
    ],
)
async def test_a_body_without_its_end_is_a_broken_connection(transport: HTTPTransport, steps: list[Step]) -> None:
    """What had come before is read; then the read fails, and does not say that this was all."""
    async with serve(steps) as server:
        reply = await transport.send(post(server.url))
        with pytest.raises(LostConnection, match="connection broke") as caught:
            await read(reply)
        assert "broken" == caught.value.code


async def test_a_body_that_ends_with_the_connection_is_whole(transport: HTTPTransport) -> None:
    """HTTP/1.0's way, where nothing announced a length."""
    async with serve([b"HTTP/1.0 200 OK\r\n\r\n", HELLO, CLOSE]) as server:
        assert await read(await transport.send(post(server.url))) == HELLO


async def test_a_server_that_only_half_closes_is_heard_to_the_end(transport: HTTPTransport) -> None:
    """A body without a length ends with the server's side, although ours is still open."""
    async with serve([b"HTTP/1.1 200 OK\r\n\r\n", HELLO, HALF_CLOSE]) as server:
        assert await read(await transport.send(post(server.url))) == HELLO


async def test_arrived_tells_whether_reading_would_wait(transport: HTTPTransport) -> None:
    """True when the body is there to its end, False while more is to come."""
    async with serve(whole(HELLO), begun(b"a")) as server:
        reply = await transport.send(post(server.url))
        assert reply.arrived
        await read(reply)
        reply = await transport.send(post(server.url))
        assert not reply.arrived
        reply.abort()


# --- connections that fail --------------------------------------------------------------------------------------


async def fails(transport: HTTPTransport, request: HTTPRequest, connect_timeout: float | None = None) -> LLMError:
    with pytest.raises(LLMError) as caught:
        await transport.send(request, connect_timeout=connect_timeout)
    return caught.value


async def test_nobody_listens(transport: HTTPTransport) -> None:
    """The error names host and port."""
    port = unused_port()
    error = await fails(transport, post(f"http://127.0.0.1:{port}/v1"))
    assert ("connection_error", "connect_failed") == (error.error_type, error.code)
    assert f"Could not connect to 127.0.0.1:{port}" in error.message


async def test_an_unknown_host(transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it and says what to check."""

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await fails(transport, post("http://nowhere.test/v1"))
    assert ("connection_error", "dns_failed") == (error.error_type, error.code)
    assert "nowhere.test was not found; check base_url" in error.message


async def test_a_host_that_is_no_name(transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked up at all is a mistake in the URL, not a failure of the network."""

    def impossible(*_: Any, **__: Any) -> Any:
        return "a..b".encode("idna")

    monkeypatch.setattr(socket, "getaddrinfo", impossible)
    error = await fails(transport, post("http://a..b/v1"))
    assert ("connection_error", "bad_url") == (error.error_type, error.code)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([CLOSE], "disconnected"),
        ([RESET], "disconnected"),
        ([b"HTTP/1.1 200 OK\r\ncontent-", CLOSE], "disconnected"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE], "no_http"),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"], "no_http"),
    ],
)
async def test_a_server_that_gives_no_reply(transport: HTTPTransport, steps: list[Step], code: str) -> None:
    """Closed, reset, cut in its head or no HTTP: the error says which, and names the address."""
    async with serve(steps) as server:
        error = await fails(transport, post(server.url))
        assert ("connection_error", code) == (error.error_type, error.code)
        assert f"127.0.0.1:{server.port}" in error.message


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_connection_that_died_in_the_pool_is_told_apart(transport: HTTPTransport, end: Step) -> None:
    """The server closes while the next request is on its way: nobody has read that one, so it may be sent again."""
    async with serve(whole(HELLO), [end], whole(HELLO), [end]) as server:
        await read(await transport.send(post(server.url)))
        error = await fails(transport, post(server.url))
        assert ("connection_error", "stale_connection") == (error.error_type, error.code)
        assert server.requests[0].connection == server.requests[1].connection

        assert await read(await transport.send(post(server.url))) == HELLO
        assert 1 == server.requests[2].connection


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE], id="interim reply"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-", CLOSE], id="half a head"),
    ],
)
async def test_a_server_that_had_begun_to_answer_had_read_the_question(
    transport: HTTPTransport, steps: list[Step]
) -> None:
    """So it is not to be asked again free of charge."""
    async with serve(whole(HELLO), steps) as server:
        await read(await transport.send(post(server.url)))
        error = await fails(transport, post(server.url))
        assert ("connection_error", "disconnected") == (error.error_type, error.code)
        assert [0, 0] == [request.connection for request in server.requests]


async def test_a_dead_connection_shows_itself_soon(transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server, or a proxy before it, that closes after having let us wait had taken the question."""
    monkeypatch.setattr("multi_llm_wrapper.transport.lines.SOON", 0.01)
    async with serve(whole(HELLO), [0.02, CLOSE]) as server:
        await read(await transport.send(post(server.url)))
        assert "disconnected" == (await fails(transport, post(server.url))).code


async def answered(listener: socket.socket) -> socket.socket:
    """The connection on which the next question came, and was answered."""
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listener)
    await loop.sock_recv(peer, 65536)
    await loop.sock_sendall(peer, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    return peer


async def test_a_large_body_for_a_dead_connection_is_not_written(
    transport: HTTPTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio logs each further write after the one that failed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        reply, peer = await asyncio.gather(transport.send(post(url)), answered(listener))
        await read(reply)
        with peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        error = await fails(transport, post(url, bytes(5 * 1024 * 1024)))
        assert ("stale_connection", []) == (error.code, caplog.records)


async def test_connecting_may_take_its_time_and_no_more(transport: HTTPTransport) -> None:
    """The limit covers TLS too: here is a server that says nothing to a client that wants to shake hands."""
    async with serve([HANG]) as server:
        began = asyncio.get_running_loop().time()
        error = await fails(transport, post(f"https://127.0.0.1:{server.port}"), connect_timeout=0.05)
        assert asyncio.get_running_loop().time() - began < 1
        assert ("timeout", "connect_timeout") == (error.error_type, error.code)
        assert "Could not connect to 127.0.0.1 within 0.05 s" in error.message


async def test_what_will_not_be_sent(transport: HTTPTransport) -> None:
    """A header that would forge another is refused, and nothing of it is in the message."""
    async with serve(whole(HELLO)) as server:
        error = await fails(transport, post(server.url, headers={"x-key": "secret\r\nx-forged: 1"}))
        assert ("connection_error", "not_sent") == (error.error_type, error.code)
        assert "secret" not in error.message
        assert [] == server.requests


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"content-length ": "99"}, id="a length to some servers, none to us"),
        pytest.param({"x: y\tz": "1"}, id="a colon in the name"),
        pytest.param({"": "1"}, id="no name"),
        pytest.param({"x-caf\xe9": "1"}, id="not ASCII"),
        pytest.param({"x-a\r\nx-b": "1"}, id="two lines"),
        pytest.param({"x-a": "1\n x-b: 2"}, id="a folded line"),
        pytest.param({"x-a": "1\x00"}, id="NUL"),
        pytest.param({"x-a": "1\x7f"}, id="DEL"),
        pytest.param({"x-a": "\ud800"}, id="no character"),
    ],
)
async def test_what_may_be_read_as_another_header_will_not_be_sent(
    transport: HTTPTransport, headers: dict[str, str]
) -> None:
    """A name or value that servers could disagree about is refused before anything goes out."""
    async with serve(whole(HELLO)) as server:
        error = await fails(transport, post(server.url, headers=headers))
        assert ("connection_error", "not_sent") == (error.error_type, error.code)
        assert [] == server.requests


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/v1",
        "http:///v1",
        "ftp://127.0.0.1/",
        "foo://127.0.0.1/",
        "http://me:secret@127.0.0.1/",
    ],
)
async def test_a_url_that_is_none(transport: HTTPTransport, url: str) -> None:
    """Or that only other programs can use. A password in it would be shown to every proxy."""
    error = await fails(transport, post(url))
    assert ("connection_error", "bad_url") == (error.error_type, error.code)
    assert "secret" not in error.message


async def test_a_url_is_quoted_where_it_was_not(transport: HTTPTransport) -> None:
    """A space would end the target in the request line, and host names on the wire are ASCII."""
    async with serve(whole(HELLO)) as proxy:
        await read(await transport.send(post("http://b\xfccher.test/a b/%2F\xe9?q", proxy=proxy.url)))
        asked = proxy.requests[0]
        assert "http://xn--bcher-kva.test/a%20b/%2F%C3%A9?q" == asked.target
        assert "xn--bcher-kva.test" == asked.headers["host"]


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls") / "server.pem"


@pytest.fixture(scope="module")
def tls(certificate: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody knows."""
    return self_signed(certificate)


async def test_an_unknown_certificate_is_refused(transport: HTTPTransport, tls: ssl.SSLContext) -> None:
    """Nothing is sent over a connection that cannot be trusted."""
    async with serve(whole(HELLO), ssl_context=tls) as server:
        error = await fails(transport, post(server.url))
        assert ("connection_error", "tls_failed") == (error.error_type, error.code)
        assert "set ca_file" in error.message
        assert [] == server.requests


async def test_ca_file_makes_it_known(transport: HTTPTransport, tls: ssl.SSLContext, certificate: Path) -> None:
    """A certificate that it vouches for is trusted, and the connection is used again."""
    async with serve(whole(HELLO), ssl_context=tls) as server:
        for _ in range(2):
            assert await read(await transport.send(post(server.url, ca_file=str(certificate)))) == HELLO
        assert [0, 0] == [request.connection for request in server.requests]


async def test_a_certificate_for_another_name_is_refused(
    transport: HTTPTransport, tls: ssl.SSLContext, certificate: Path
) -> None:
    """Trust in who signed it is not enough: nothing is sent to a host that it does not name."""
    async with serve(whole(HELLO), ssl_context=tls) as server:
        error = await fails(transport, post(f"https://127.0.0.2:{server.port}", ca_file=str(certificate)))
        assert error.code in ("tls_failed", "connect_failed")  # not every system has 127.0.0.2
        assert [] == server.requests


async def test_a_server_without_tls(transport: HTTPTransport) -> None:
    """Plain text where a handshake was due is an error of TLS, not a reply."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        error = await fails(transport, post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        assert ("connection_error", "tls_failed") == (error.error_type, error.code)


async def test_a_ca_file_that_is_none(transport: HTTPTransport, tmp_path: Path) -> None:
    """With no certificate in it, or not there at all, it is a mistake in the configuration and not of the server."""
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("empty.pem", "missing.pem"):
        error = await fails(transport, post("https://127.0.0.1:1", ca_file=str(tmp_path / name)))
        assert ("connection_error", "bad_ca_file") == (error.error_type, error.code)


# --- proxies ----------------------------------------------------------------------------------------------------


def transport_with(**environ: str) -> HTTPTransport:
    return HTTPTransport(environ)


@pytest.fixture
def elsewhere() -> str:
    """A host that can be reached through a proxy only."""
    return "http://api.elsewhere.test/v1/chat"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_asked(elsewhere: str, name: str) -> None:
    """For a plain URL the proxy gets the whole of it, and the credentials of its own URL."""
    async with serve(whole(HELLO)) as proxy:
        transport = transport_with(**{name: f"http://user:pass@127.0.0.1:{proxy.port}"})
        assert await read(await transport.send(post(elsewhere))) == HELLO
        await transport.aclose()

        assert elsewhere == proxy.requests[0].target
        assert "api.elsewhere.test" == proxy.requests[0].headers["host"]
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


async def test_the_proxy_of_the_configuration_goes_first(elsewhere: str) -> None:
    """The one that the environment names hears nothing."""
    async with serve(whole(HELLO)) as proxy, serve(whole(b"wrong")) as other:
        transport = transport_with(HTTP_PROXY=other.url)
        assert await read(await transport.send(post(elsewhere, proxy=proxy.url))) == HELLO
        await transport.aclose()
        assert [] == other.requests


async def test_an_empty_proxy_switches_the_environments_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked directly, although its host is none that is spared."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: real("127.0.0.1", *rest, **named))
    async with serve(whole(HELLO)) as server, serve(whole(b"wrong")) as other:
        transport = transport_with(HTTP_PROXY=other.url)
        assert await read(await transport.send(post(f"http://api.elsewhere.test:{server.port}", proxy=""))) == HELLO
        await transport.aclose()
        assert [] == other.requests


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_asked_directly(host: str) -> None:
    """A local server (Ollama, vLLM, the simulator) is not behind the company's proxy."""
    async with serve(whole(HELLO)) as server, serve(whole(b"wrong")) as other:
        transport = transport_with(HTTP_PROXY=other.url, HTTPS_PROXY=other.url)
        assert await read(await transport.send(post(f"http://{host}:{server.port}"))) == HELLO
        await transport.aclose()
        assert ([], 1) == (other.requests, len(server.requests))


async def test_loopback_goes_through_a_configured_proxy(transport: HTTPTransport) -> None:
    """What was said for this provider is meant."""
    async with serve(whole(HELLO)) as proxy:
        assert await read(await transport.send(post("http://127.0.0.1:1/v1", proxy=proxy.url))) == HELLO
        assert "http://127.0.0.1:1/v1" == proxy.requests[0].target


class Tunnel:
    """A proxy that understands CONNECT and nothing else; all tunnels lead to `port`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.requests: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    writer.close()


async def test_https_goes_through_a_tunnel(transport: HTTPTransport, tls: ssl.SSLContext, certificate: Path) -> None:
    """The proxy sees where to, and not what: no key, no path."""
    async with serve(whole(HELLO), ssl_context=tls) as server:
        tunnel = Tunnel(server.port)
        listener = await asyncio.start_server(tunnel.handle, "127.0.0.1", 0)
        proxy = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        request = post("https://localhost:4433/v1/secret", ca_file=str(certificate), proxy=proxy)
        assert await read(await transport.send(request)) == HELLO
        await transport.aclose()
        listener.close()

        assert 1 == len(tunnel.requests)
        assert tunnel.requests[0].startswith(b"CONNECT localhost:4433 HTTP/1.1\r\n")
        assert b"secret" not in tunnel.requests[0]
        assert "/v1/secret" == server.requests[0].target


async def test_a_proxy_that_refuses(transport: HTTPTransport, elsewhere: str) -> None:
    """Neither its address nor its password is in the message."""
    proxy = f"http://user:pa55word@127.0.0.1:{unused_port()}"
    error = await fails(transport, post(elsewhere, proxy=proxy))
    assert ("connection_error", "proxy_failed") == (error.error_type, error.code)
    assert "pa55word" not in str(error)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1", "socks5h://u:pa55word@127.0.0.1:1080", "http://"])
async def test_a_proxy_that_is_none_of_ours(elsewhere: str, proxy: str) -> None:
    """`ALL_PROXY` often names a SOCKS proxy."""
    error = await fails(transport_with(ALL_PROXY=proxy), post(elsewhere))
    assert ("connection_error", "proxy_failed") == (error.error_type, error.code)
    assert "no http:// or https:// URL" in error.message
    assert "pa55word" not in error.message


async def test_a_proxy_that_wants_a_password(transport: HTTPTransport) -> None:
    """Its refusal is an error of the proxy and no answer of the provider."""
    async with serve(whole(b"", 407)) as proxy:
        error = await fails(transport, post("https://api.elsewhere.test", proxy=proxy.url))
        assert ("connection_error", "proxy_failed") == (error.error_type, error.code)


# --- ends -------------------------------------------------------------------------------------------------------


async def test_abort_closes_at_once(transport: HTTPTransport) -> None:
    """The rest of the body is not waited for, and aborting twice does no harm."""
    async with serve([*begun(b"a"), HANG]) as server:
        reply = await transport.send(post(server.url))
        await reply.next_chunk()
        aborted = asyncio.get_running_loop().time()
        reply.abort()
        reply.abort()
        assert await server.left() - aborted < PROMPTLY


async def test_abort_where_nothing_is_left_to_abort(transport: HTTPTransport) -> None:
    """The body is there to its end, read or not, or the connection is gone already."""
    async with serve(whole(HELLO), stream(HELLO), [*begun(HELLO), CLOSE]) as server:
        for _ in range(3):
            reply = await transport.send(post(server.url))
            await server.asked()
            await asyncio.sleep(0.01)
            reply.abort()
            reply.finish()
        assert [0, 0, 0] == [request.connection for request in server.requests]


async def test_abort_ends_a_read_with_the_error_it_is_given(transport: HTTPTransport) -> None:
    """Whoever waits for the next piece learns why none will come."""
    async with serve([*begun(b"a"), HANG]) as server:
        reply = await transport.send(post(server.url))
        await reply.next_chunk()
        waiting = asyncio.ensure_future(reply.next_chunk())
        await asyncio.sleep(0)
        reply.abort(LateError("too late"))
        with pytest.raises(LateError, match="too late"):
            await waiting


async def test_abort_after_the_end_keeps_the_connection(transport: HTTPTransport) -> None:
    """Nothing is left to break off, so the next request can use it."""
    async with serve(whole(HELLO)) as server:
        for _ in range(2):
            reply = await transport.send(post(server.url))
            await read(reply)
            reply.abort()
        assert [0, 0] == [request.connection for request in server.requests]


async def test_a_dropped_reply_closes_its_connection(transport: HTTPTransport) -> None:
    """What nobody holds any more nobody can close, so it closes itself."""
    async with serve([*begun(b"a"), HANG]) as server:
        reply = await transport.send(post(server.url))
        await reply.next_chunk()
        dropped = asyncio.get_running_loop().time()
        del reply
        assert await server.left() - dropped < PROMPTLY


async def test_a_reply_dropped_in_another_thread_closes_its_connection(transport: HTTPTransport) -> None:
    """On its own loop, which in debug mode lets nobody else touch it."""
    asyncio.get_running_loop().set_debug(True)
    async with serve([*begun(b"a"), HANG]) as server:
        replies = [await transport.send(post(server.url))]
        dropped = asyncio.get_running_loop().time()
        thread = threading.Thread(target=replies.clear)
        thread.start()
        thread.join()
        assert await server.left() - dropped < PROMPTLY


async def test_a_reply_in_a_cycle_is_collected_without_a_word(
    transport: HTTPTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """In whatever order its parts are, whether or not the server has left."""
    async with serve([*begun(b"a"), CLOSE], [*begun(b"a"), HANG]) as server:
        for connection in range(2):
            cycle: list[Any] = [await transport.send(post(server.url))]
            cycle.append(cycle)
            await asyncio.sleep(0.01)
            del cycle
            gc.collect()
            await server.left(connection)
        assert [] == caplog.records


async def test_finish_keeps_a_connection_whose_body_ends_soon(
    transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is read when nobody waits for it, and the next request uses the connection."""
    monkeypatch.setattr("multi_llm_wrapper.transport.http.LINGER", PATIENCE)
    async with serve([head(), chunk(b"a"), 0.02, LAST_CHUNK], whole(HELLO)) as server:
        reply = await transport.send(post(server.url))
        assert b"a" == await reply.next_chunk()
        reply.finish()
        while reply._connection.protocol is not None:  # noqa: ASYNC110  # nobody waits for the end any more
            await asyncio.sleep(0.001)
        await read(await transport.send(post(server.url)))
        assert [0, 0] == [request.connection for request in server.requests]


async def test_finish_closes_a_connection_whose_body_does_not_end(transport: HTTPTransport) -> None:
    """It is given a moment to end, and no more than that."""
    async with serve([head(), chunk(b"a"), HANG]) as server:
        reply = await transport.send(post(server.url))
        assert b"a" == await reply.next_chunk()
        finished = asyncio.get_running_loop().time()
        reply.finish()
        del reply
        assert LINGER / 2 < await server.left() - finished < LINGER + PROMPTLY


async def cancel_while(asked: Callable[[], Any], sending: Any) -> float:
    """The loop time at which `sending` was cancelled, once `asked` says that it is under way."""
    task = asyncio.ensure_future(sending)
    await asked()
    task.cancel()
    cancelled = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.CancelledError):
        await task
    return cancelled


async def test_a_cancelled_send_closes_its_connection(transport: HTTPTransport) -> None:
    """A server does not work on for somebody who has left."""
    async with serve([HANG]) as server:
        cancelled = await cancel_while(server.asked, transport.send(post(server.url)))
        assert await server.left() - cancelled < PROMPTLY


@pytest.mark.parametrize("way", ["cancel", "aclose"])
async def test_an_upload_that_nobody_reads_is_given_up_at_once(transport: HTTPTransport, way: str) -> None:
    """Most of the body is still here; no socket waits for the server to take it."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        before = open_sockets()
        sending = asyncio.ensure_future(transport.send(post(url, bytes(30 * 1024 * 1024))))
        deaf, _ = await loop.sock_accept(listener)
        with deaf:
            await asyncio.sleep(0.05)
            gave_up = loop.time()
            if way == "cancel":
                sending.cancel()
            else:
                await transport.aclose()
            with pytest.raises((asyncio.CancelledError, LostConnection)):
                await sending
            assert await sockets_fall_to(before + 1) - gave_up < PROMPTLY


async def test_tls_connections_are_closed_at_once(
    transport: HTTPTransport, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No polite goodbye that a server in trouble would leave unanswered: cancelled, aborted, idle when the pool is
    closed, or idle for too long."""
    loop = asyncio.get_running_loop()
    replies = ([DEAF], [*begun(b"a"), DEAF], [*whole(HELLO), DEAF])
    async with serve(*replies, ssl_context=tls) as server:
        before = open_sockets()
        gave_up = await cancel_while(server.asked, transport.send(post(server.url, ca_file=str(certificate))))
        assert await sockets_fall_to(before + 1) - gave_up < PROMPTLY

        reply = await transport.send(post(server.url, ca_file=str(certificate)))
        await reply.next_chunk()
        gave_up = loop.time()
        reply.abort()
        assert await sockets_fall_to(before + 2) - gave_up < PROMPTLY

        await read(await transport.send(post(server.url, ca_file=str(certificate))))
        gave_up = loop.time()
        await transport.aclose()
        assert await sockets_fall_to(before + 3) - gave_up < PROMPTLY

        await read(await transport.send(post(server.url, ca_file=str(certificate))))
        connector = transport._pools.current().connector
        monkeypatch.setattr(connector, "_keepalive_timeout", -1)
        gave_up = loop.time()
        connector._cleanup()
        assert await sockets_fall_to(before + 4) - gave_up < PROMPTLY


async def test_aclose_closes_what_is_under_way(transport: HTTPTransport) -> None:
    """Idle, waiting for a reply or in the middle of one; whoever waits gets an error, and nobody waits for ever."""
    async with serve(whole(HELLO), [*begun(b"a"), HANG], [HANG]) as server:
        idle = await transport.send(post(server.url))
        streaming = await transport.send(post(server.url))
        await read(idle)
        await streaming.next_chunk()
        waiting = asyncio.ensure_future(transport.send(post(server.url)))
        await server.asked(3)
        await transport.aclose()
        await transport.aclose()

        with pytest.raises(LostConnection):
            await waiting
        with pytest.raises(LostConnection):
            await streaming.next_chunk()
        for connection in range(len(server.connections)):
            await server.left(connection)


@pytest.mark.parametrize("head", [head(), b"HTTP/1.0 200 OK\r\n\r\n"], ids=["chunked", "to the end of the connection"])
async def test_aclose_ends_a_read_with_an_error(transport: HTTPTransport, head: bytes) -> None:
    """Not with the end of the body, and not never."""
    async with serve([head, HANG]) as server:
        reply = await transport.send(post(server.url))
        reading = asyncio.ensure_future(reply.next_chunk())
        await asyncio.sleep(0)
        await transport.aclose()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(LostConnection, match="connection broke"):
                await reading


async def test_a_read_over_tls_ends_with_the_pool_whoever_closes_it(
    transport: HTTPTransport, tls: ssl.SSLContext, certificate: Path
) -> None:
    """With an error, and not never, although the connector was closed behind our back."""
    async with serve([head(), HANG], ssl_context=tls) as server:
        reply = await transport.send(post(server.url, ca_file=str(certificate)))
        reading = asyncio.ensure_future(reply.next_chunk())
        await asyncio.sleep(0)
        await transport._pools.current().connector.close()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(LostConnection, match="connection broke"):
                await reading


async def test_after_a_stale_connection_none_of_the_idle_ones_is_tried(transport: HTTPTransport) -> None:
    """A server that was replaced has left all of them dead, and each would cost an attempt."""

    def reply(request: Request) -> Iterable[Step]:
        if request.connection >= 4:
            return whole(HELLO)
        return [RESET] if request.body == b"again" else [0.02, *whole(HELLO)]

    async with serve(reply) as server:
        sent = await asyncio.gather(*(transport.send(post(server.url)) for _ in range(4)))
        for each in sent:
            await read(each)
        error = await fails(transport, post(server.url, b"again"))
        assert "stale_connection" == error.code
        assert HELLO == await read(await transport.send(post(server.url, b"again")))
        assert 5 == len(server.connections)


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_server_that_has_begun_to_answer_was_no_stale_connection(
    transport: HTTPTransport, begun: bytes, end: Step
) -> None:
    """It has read the question, which must not be sent again for nothing."""
    async with serve(whole(HELLO), [begun, 0.02, end]) as server:
        await read(await transport.send(post(server.url)))
        error = await fails(transport, post(server.url))
        assert "disconnected" == error.code


async def test_aclose_is_no_excuse_for_another_try(transport: HTTPTransport) -> None:
    """A question on a connection that was used before has not met a dead one because we close it."""
    async with serve(whole(HELLO), [HANG]) as server:
        await read(await transport.send(post(server.url)))
        sending = asyncio.ensure_future(transport.send(post(server.url)))
        await server.asked(2)
        await transport.aclose()
        with pytest.raises(LostConnection) as caught:
            await sending
        assert "disconnected" == caught.value.code


async def test_aclose_of_a_connection_that_has_just_broken_is_not_logged(
    transport: HTTPTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio knows that the write failed, and has not told it yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        reply, peer = await asyncio.gather(transport.send(post(url)), answered(listener))
        await read(reply)
        del reply
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        sending = asyncio.ensure_future(transport.send(post(url)))
        loop.call_soon(transport._pools.current().connector.abort)
        await asyncio.wait([sending])
        assert isinstance(sending.exception(), LostConnection)
        del sending  # which holds all that is to be collected
        await asyncio.sleep(0.01)
        gc.collect()
        assert [] == caplog.records


async def test_aclose_while_a_name_is_looked_up_cancels_nobody(
    transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait get an error, the one who asked first as well as the others; who is cancelled is cancelled."""

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    sending = [asyncio.ensure_future(transport.send(post("http://somewhere.test/"))) for _ in range(3)]
    await asyncio.sleep(0.01)
    sending[2].cancel()
    await transport.aclose()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert [LostConnection, LostConnection, asyncio.CancelledError] == [type(result) for result in results]


async def test_after_aclose_it_opens_anew(transport: HTTPTransport) -> None:
    """Closing ends connections and not the transport."""
    async with serve(whole(HELLO)) as server:
        for _ in range(2):
            assert await read(await transport.send(post(server.url))) == HELLO
            await transport.aclose()
        assert [0, 1] == [request.connection for request in server.requests]


async def test_an_early_refusal_of_a_large_body_is_heard(transport: HTTPTransport) -> None:
    """A server that answers 413 does not read the rest, so this connection has no place for another question."""
    before = open_sockets()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sending = asyncio.ensure_future(transport.send(post(url, bytes(30 * 1024 * 1024))))
        peer, _ = await loop.sock_accept(listener)
        with peer:
            await loop.sock_sendall(peer, b"HTTP/1.1 413 Too large\r\ncontent-length: 2\r\n\r\n{}")
            reply = await sending
            assert (413, b"{}") == (reply.status, await read(reply))
            await sockets_fall_to(before + 2)  # the listener and the peer; no connection of ours


async def test_the_caches_of_ways_heads_and_limits_are_bounded(transport: HTTPTransport) -> None:
    """However many URLs, headers and time limits a program uses."""
    async with serve(whole(HELLO)):
        pool = transport._pools.current()
        for i in range(1100):
            request = post(f"http://127.0.0.1/{i}")
            route = pool.keep(i, transport._route(request, pool.loop))
            transport._timeout(1 + i / 1000)
        for i in range(950):
            route.head("POST", {"x-trace": str(i)})
        assert len(pool.routes) <= 1000
        assert len(route._heads) <= 100
        assert len(transport._timeouts) <= 1001


async def test_a_request_does_not_print_its_secrets() -> None:
    """Method, URL and length are shown; headers, body and proxy are not."""
    request = post("http://127.0.0.1/v1", b"my prompt", headers={"authorization": "Bearer sk-1"}, proxy="http://u:pw@p")
    assert "HTTPRequest(POST http://127.0.0.1/v1, 9 bytes)" == repr(request) == str(request)
