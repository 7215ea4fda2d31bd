"""Requests from bytes: whatever way they fall into reads, and whatever is wrong with them."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.simulator.plan import SimRequest
from multi_llm_wrapper.simulator.wire import MAX_HEAD_BYTES, BadRequestError, RequestParser

LIMIT = 1000


def read_all(data: bytes, cuts: list[int] | None = None) -> list[SimRequest]:
    """The requests in some bytes that come in pieces cut at these places."""
    parser = RequestParser(LIMIT)
    found = []
    edges = [0, *sorted(cuts or []), len(data)]
    for start, end in pairwise(edges):
        parser.feed(data[start:end])
        while (request := parser.next()) is not None:
            found.append(request)
    assert parser.buffered == 0
    return found


def refusal(data: bytes) -> BadRequestError:
    """What some bytes are refused with."""
    parser = RequestParser(LIMIT)
    parser.feed(data)
    with pytest.raises(BadRequestError) as caught:
        take_all(parser)
    return caught.value


def take_all(parser: RequestParser) -> int:
    """How many requests there are in what was fed."""
    count = 0
    while parser.next() is not None:
        count += 1
    return count


PIPELINED = (
    b"POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Two:  a b \t\r\n\r\nhello"
    b"\r\nGET /b HTTP/1.1\r\nx-two: c\r\nX-TWO: d\r\n\r\n"
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=1\r\nwiki\r\n5\r\npedia\r\n0\r\nTrailer: t\r\n\r\n"
    b"POST http://elsewhere:80/d HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
)


def check_pipelined(found: list[SimRequest]) -> None:
    assert [(r.method, r.path) for r in found] == [("POST", "/a"), ("GET", "/b"), ("POST", "/c"), ("POST", "/d")]
    assert [r.body for r in found] == [b"hello", b"", b"wikipedia", b""]
    assert found[0].query == "x=1"
    assert [r.headers["x-two"] for r in found[:2]] == ["a b", "c, d"]


def test_pipelined_requests_are_read_one_after_the_other() -> None:
    """Lengths, chunks, trailers, repeated headers, absolute targets and stray line ends."""
    check_pipelined(read_all(PIPELINED))


def test_reads_may_end_at_every_byte() -> None:
    """One byte at a time gives the same requests, and so does every single cut."""
    check_pipelined(read_all(PIPELINED, list(range(1, len(PIPELINED)))))
    for cut in range(1, len(PIPELINED)):
        check_pipelined(read_all(PIPELINED, [cut]))


@given(st.lists(st.integers(0, len(PIPELINED)), max_size=20))
def test_reads_may_end_anywhere(cuts: list[int]) -> None:
    """Any way of cutting gives the same requests."""
    check_pipelined(read_all(PIPELINED, cuts))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),  # a TLS hello
        (b"garbage\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : v\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: v\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\rc: d\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1001, 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"t: v\r\n" * 12000, 431),
        (b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"x" * MAX_HEAD_BYTES, 431),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    """Each kind of malformed input has its status."""
    assert status == refusal(data).status


def test_equal_lengths_given_twice_are_one() -> None:
    """RFC 9110, 8.6 lets a recipient read them so."""
    (request,) = read_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi")

    assert request.body == b"hi"


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_keep_alive_follows_version_and_header(head: bytes, keep: bool) -> None:
    """HTTP/1.1 keeps the connection unless told otherwise, HTTP/1.0 the other way round."""
    parser = RequestParser(LIMIT)
    parser.feed(head)
    parser.next()

    assert keep is parser.keep_alive
    assert (b"1.1" in head) is parser.chunked_ok


def test_a_client_that_waits_is_told_once_to_go_on() -> None:
    """`Expect: 100-continue` is answered once, and not when the body is there already."""
    head = b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    parser = RequestParser(LIMIT)
    parser.feed(head)
    assert parser.next() is None
    assert [parser.wants_continue(), parser.wants_continue()] == [True, False]
    parser.feed(b"hi")
    assert parser.next() is not None

    parser.feed(head + b"h")
    assert parser.next() is None
    assert not parser.wants_continue()


@given(st.binary(max_size=300))
def test_any_bytes_are_read_refused_or_waited_with(data: bytes) -> None:
    """Nothing but `BadRequestError` ever comes out."""
    parser = RequestParser(LIMIT)
    parser.feed(data)
    with contextlib.suppress(BadRequestError):
        assert take_all(parser) <= len(data)


@given(
    st.lists(st.sampled_from([*PIPELINED.split(b"\r\n"), b"\r\n", b"\r", b":", b" ", b"\0", b"a" * 70]), max_size=30)
)
def test_requests_taken_apart_are_read_refused_or_waited_with(pieces: list[bytes]) -> None:
    """The same for bytes that look like HTTP."""
    parser = RequestParser(LIMIT)
    with contextlib.suppress(BadRequestError):
        for piece in pieces:
            parser.feed(piece)
            assert take_all(parser) <= 1


def test_a_head_full_of_colons_is_refused_at_once() -> None:
    """No expression goes back and forth over a long malformed head (this takes milliseconds or for ever)."""
    assert refusal(b"GET / HTTP/1.1\r\n" + b"a:" * 30_000 + b"\0\r\n\r\n").status == 400
    assert refusal(b"GET / HTTP/1.1\r\na:" + b" " * 60_000 + b"\0\r\n\r\n").status == 400
