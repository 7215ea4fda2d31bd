"""What goes over the wire and comes back is what `aiohttp.ClientSession` would have sent and made of it.

Our transport takes the session's connections and parser and does the rest itself. So for any request and any reply the
two are compared: the server sees the same, the caller gets the same, or both fail.
"""

import asyncio
import itertools
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import aiohttp
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from multi_llm_wrapper.errors import LLMError
from multi_llm_wrapper.transport.base import HTTPRequest
from multi_llm_wrapper.transport.http import HTTPReply, HTTPTransport
from tests.servers import CLOSE, LAST_CHUNK, PATIENCE, Request, Step, chunk, serve, whole
from tests.transport.test_http import read

Result = tuple[int, list[tuple[str, str]], bytes] | str
"""Status, headers and body of a reply, or the word for none."""
FAILED = "failed"
UNKNOWN = "unknown"
Ask = Callable[[HTTPRequest], Coroutine[Any, Any, Result]]


def asker(transport: HTTPTransport) -> Ask:
    async def ask(request: HTTPRequest) -> Result:
        try:
            reply: HTTPReply = await transport.send(request)
            return reply.status, list(reply.headers.items()), await read(reply)
        except LLMError:
            return FAILED

    return ask


def session_asker(session: aiohttp.ClientSession) -> Ask:
    async def ask(request: HTTPRequest) -> Result:
        url = URL(request.url, encoded=True)
        given: dict[str, Any] = {"headers": request.headers, "data": request.body, "proxy": request.proxy}
        try:
            async with session.request(request.method, url, allow_redirects=False, **given) as reply:
                return reply.status, list(reply.headers.items()), await reply.read()
        except TimeoutError:
            return UNKNOWN  # aiohttp does not tell who reads a body when what follows is no HTTP
        except (aiohttp.ClientError, OSError, ValueError):
            return FAILED

    return ask


async def by_both(run: Callable[[Ask], Awaitable[Any]], patience: float = PATIENCE) -> tuple[Any, Any]:
    """What `run` gives for our transport, and for a session that keeps no cookies and adds no headers to ours."""
    transport = HTTPTransport({})
    try:
        ours = await run(asker(transport))
    finally:
        await transport.aclose()
    limit = aiohttp.ClientTimeout(total=patience)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(skip_auto_headers=["user-agent"], timeout=limit, cookie_jar=jar) as session:
        theirs = await run(session_asker(session))
    return ours, theirs


# --- replies ----------------------------------------------------------------------------------------------------


class Reply(NamedTuple):
    """One reply as a server may write it."""

    data: bytes
    cuts: list[int]
    """Where it is cut into pieces."""
    closes: bool
    """The server closes after it."""

    def steps(self) -> list[Step]:
        places = sorted({0, len(self.data), *(cut % (len(self.data) + 1) for cut in self.cuts)})
        pieces: list[Step] = [self.data[a:b] for a, b in itertools.pairwise(places)]
        return [*pieces, CLOSE] if self.closes else pieces


INTERIM = st.sampled_from(
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"]
)
LINES = st.sampled_from(
    b"x-a: 1|X-A: 2|set-cookie: a=b|Set-Cookie: c=d|x-empty:|x-latin: caf\xe9|x-utf: \xc3\xa9 |connection: close|"
    b"Connection: keep-alive|keep-alive: timeout=5|location: /elsewhere".split(b"|")
)
CODINGS: dict[bytes, int] = {b"gzip": 31, b"deflate": 15, b"Deflate": -15}


def packed(body: bytes, coding: bytes) -> bytes:
    packer = zlib.compressobj(wbits=CODINGS[coding])
    return packer.compress(body) + packer.flush()


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Any version, status, coding and way to say where a body ends, in any pieces."""
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 301, 304, 400, 429, 500]))
    body = draw(st.binary(max_size=40) | st.just(b"data: {}\n\n" * 300))
    lines = draw(st.lists(LINES, max_size=4))
    coding = draw(st.sampled_from([None, None, None, *CODINGS]))
    if coding is not None:
        lines.append(b"content-encoding: " + coding)
        body = packed(body, coding)
    ends = draw(st.sampled_from(["length", "chunks", "close"]))
    if status in (204, 304):
        ends, body = "length", b""
    elif ends == "length":
        lines.append(b"content-length: %d" % len(body))
    elif ends == "chunks" and version == b"1.1":
        size = draw(st.integers(1, len(body) + 1))
        trailer = draw(st.sampled_from([LAST_CHUNK, LAST_CHUNK, b"0\r\nx-trailer: 1\r\n\r\n"]))
        lines.append(b"transfer-encoding: chunked")
        body = b"".join(chunk(body[i : i + size]) for i in range(0, len(body), size)) + trailer
    else:
        ends = "close"
    head = b"\r\n".join([b"HTTP/%b %d Whatever" % (version, status), *lines, b"", b""])
    interim = b"".join(draw(st.lists(INTERIM, max_size=2))) if version == b"1.1" else b""
    closes = ends == "close" or draw(st.integers(0, 5)) == 0
    return Reply(interim + head + body, draw(st.lists(st.integers(0, 10_000), max_size=5)), closes)


async def conversation(ask: Ask, script: Sequence[Reply]) -> tuple[list[Result], list[int]]:
    """The results of questions one after the other, and on which connections they came."""
    async with serve(*(reply.steps() for reply in script)) as server:
        request = HTTPRequest("POST", server.url, {"content-type": "application/json"}, b"{}")
        results = []
        for reply in script:
            results.append(await ask(request))
            for _ in range(20 if reply.closes else 2):
                await asyncio.sleep(0)
        return results, [request.connection for request in server.requests]


@given(st.lists(replies(), min_size=1, max_size=4))
@settings(max_examples=60)
def test_replies_are_read_as_aiohttp_reads_them(script: list[Reply]) -> None:
    """Status, headers with their repetitions, body, and whether the connection is used again."""
    ours, theirs = asyncio.run(by_both(lambda ask: conversation(ask, script)))
    assert theirs == ours


@given(replies(), st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 4))
@settings(max_examples=60)
def test_broken_replies_are_refused_as_aiohttp_refuses_them(reply: Reply, at: int, new: bytes, old: int) -> None:
    """Bytes added, lost or changed anywhere, and then the end of the connection: the same, or no reply."""
    at %= len(reply.data) + 1
    broken = reply._replace(data=reply.data[:at] + new + reply.data[at + old :], closes=True)
    (ours, _), (theirs, _) = asyncio.run(by_both(lambda ask: conversation(ask, [broken]), patience=0.2))
    assert theirs in (ours, [UNKNOWN])


# --- requests ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["x-a", "Authorization", "Host", "accept", "Accept-Encoding", "content-type", "X_b!", "connection", "te", "cookie"]
)
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12) | st.sampled_from(["a\tb", "a\r\nb: c"])
HEADERS = st.dictionaries(NAMES, TEXT.map(str.strip), max_size=5)
PATHS = st.sampled_from(
    ["", "/", "/v1/a%2Fb:go?alt=sse&x=%20", "/v1?", "/v1//a/../b", "/v1#part", "/%7Euser/~user", "/a;b=c,d@e"]
)


async def seen(ask: Ask, request: HTTPRequest, through: bool) -> tuple[Result, list[Request]]:
    """What a server makes of a request; `through`: as a proxy, with a password."""
    async with serve(whole(b"{}")) as server:
        if through:
            proxied = HTTPRequest(
                request.method,
                f"http://[::1]:8080{request.url}",
                request.headers,
                request.body,
                f"http://me:p%40ss@127.0.0.1:{server.port}",
            )
            return await ask(proxied), server.requests
        url = f"http://localhost:{server.port}{request.url}"
        headers = {"host": "h", **{name.lower(): value for name, value in request.headers.items()}}
        direct = HTTPRequest(request.method, url, headers, request.body)
        return await ask(direct), server.requests


@given(
    st.sampled_from(["POST", "GET", "DELETE"]), PATHS, HEADERS, st.sampled_from([b"{}", b"x" * 300_000]), st.booleans()
)
@settings(max_examples=60)
def test_servers_see_the_requests_that_aiohttp_sends(
    method: str, path: str, headers: dict[str, str], body: bytes, through: bool
) -> None:
    """Request line, headers but for their order and case, and body; what aiohttp refuses is refused."""
    given = {"content-type": "text/plain", "accept-encoding": "gzip, deflate"}
    given |= {name.lower(): value for name, value in headers.items()}
    request = HTTPRequest(method, path, given, body)
    ours, theirs = asyncio.run(by_both(lambda ask: seen(ask, request, through)))
    assert theirs == ours
