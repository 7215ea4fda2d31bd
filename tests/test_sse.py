"""Server-sent events are the same events however the network cuts them, in linear time and bounded memory."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from typing import Any, SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import sse
from multi_llm_wrapper.errors import LimitExceededError
from multi_llm_wrapper.sse import MAX_EVENT_BYTES, ServerEvent, SSEParser

BOM = b"\xef\xbb\xbf"


def parse(*reads: bytes, max_event_bytes: int = MAX_EVENT_BYTES) -> list[ServerEvent]:
    parser = SSEParser(max_event_bytes)
    return [event for read in reads for event in parser.feed(read)] + parser.close()


def feed_all(parser: SSEParser, reads: Iterator[bytes]) -> None:
    for read in reads:
        parser.feed(read)


def reference(stream: bytes) -> list[ServerEvent]:
    """The standard's own steps, line by line over the whole text, for what is read here: `event` and `data`.

    Two liberties are meant: blanks around an event name do not count, and an end of the stream ends its last event.
    """
    events: list[ServerEvent] = []
    name, data = "", list[bytes]()
    for line in [*re.split(rb"\r\n|\n|\r", stream.removeprefix(BOM)), b""]:
        field, _, value = line.partition(b":")
        if line == b"":
            events += [ServerEvent(name, b"\n".join(data))] if data else []
            name, data = "", []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.strip().decode("utf-8", "replace")
    return events


# --- by example -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"\n\n\r\n", []),
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a \n\n", [("", b" a ")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\ndata: b\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\ndata: b\ndata:\ndata: c\n\n", [("", b"a\nb\n\nc")]),
        (b"data\n\n", [("", b"")]),
        (b"data:\n\n", [("", b"")]),
        (b"data: a\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"event: ping\ndata: {}\n\n", [("ping", b"{}")]),
        (b"data: {}\nevent: ping\n\n", [("ping", b"{}")]),
        (b"event:ping\ndata: {}\n\ndata: {}\n\n", [("ping", b"{}"), ("", b"{}")]),
        (b"event: ping\n\ndata: a\n\n", [("", b"a")]),
        (b"event: \xc3\xa4\xff\ndata: a\n\n", [("\u00e4\ufffd", b"a")]),
        (b": OPENROUTER PROCESSING\n\ndata: a\n\n: keep-alive\n\n", [("", b"a")]),
        (b"data: a\n: in between\ndata: b\n\n", [("", b"a\nb")]),
        (b"id: 1\nretry: 10\nunknown: x\ndatabase: y\nno colon\ndata: a\n\n", [("", b"a")]),
        (b" data: a\n\n", []),
        (b"Data: a\n\n", []),
        (BOM + b"data: a\n\n", [("", b"a")]),
        (BOM + b"event: x\ndata: a\n\n", [("x", b"a")]),
        (b"data: " + BOM + b"a\n\n", [("", BOM + b"a")]),
        (b"data: a\n\n" + BOM + b"data: b\n\n", [("", b"a")]),
        (b"data: gr\xc3\xbc\xc3\x9fe \xe2\x80\xa8 \x00\n\n", [("", "gr\u00fc\u00dfe \u2028 \x00".encode())]),
        (b"data: [DONE]", [("", b"[DONE]")]),
        (b"data: a\n", [("", b"a")]),
        (b"data: a\r", [("", b"a")]),
        (b"data: a\ndata: b", [("", b"a\nb")]),
        (b"data", [("", b"")]),
        (b"event: x", []),
        (b": comment", []),
        (BOM, []),
    ],
)
def test_events(stream: bytes, expected: list[tuple[str, bytes]]) -> None:
    """What a stream holds is the same at once, byte by byte, and to the standard's steps."""
    assert expected == parse(stream)
    assert expected == parse(*(stream[i : i + 1] for i in range(len(stream))))
    assert expected == reference(stream)


def test_events_come_as_soon_as_they_are_whole() -> None:
    """An event is given by the read that brings its blank line, not later."""
    parser = SSEParser()

    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\ndata: b") == [("", b"a")]
    assert parser.feed(b"\r") == []
    assert parser.feed(b"\n\r") == [("", b"b")]
    assert parser.feed(b"\ndata: c\n\n") == [("", b"c")]


def test_close_leaves_nothing_behind() -> None:
    """The end gives the unfinished event once."""
    parser = SSEParser()
    parser.feed(b"event: x\ndata: a\ndata: b")

    assert parser.close() == [("x", b"a\nb")]
    assert parser.close() == []


def test_close_after_whole_events_is_empty() -> None:
    """Nothing is given twice."""
    parser = SSEParser()

    assert len(parser.feed(b"data: a\n\n")) == 1
    assert parser.close() == []


def test_empty_reads_change_nothing() -> None:
    """A read without bytes is no line end, also between the halves of one."""
    assert parse(b"", b"data: a\r", b"", b"\n", b"", b"\r", b"", b"\ndata: b\n\n", b"") == [("", b"a"), ("", b"b")]


# --- any stream, cut anywhere -----------------------------------------------------------------------------------

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.one_of(
    st.just(b""),
    st.text(max_size=12).map(lambda text: b"data: " + re.sub(r"[\r\n]", "", text).encode()),
    st.sampled_from(
        [b"data:", b"data", b"data:x", b"data:  y ", b"event: ping", b"event:", b": comment", b":", b"id: 1"]
    ),
    st.binary(max_size=8).map(lambda line: line.translate(None, b"\r\n")),
)
STREAMS = st.tuples(st.sampled_from([b"", BOM]), st.lists(st.tuples(LINES, ENDS), max_size=20), LINES).map(
    lambda parts: parts[0] + b"".join(line + end for line, end in parts[1]) + parts[2]
)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and the same in pieces; some of them are empty."""
    stream = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(cut_streams())
def test_any_cut_gives_the_same(case: tuple[bytes, list[bytes]]) -> None:
    """However the reads fall, also inside CR LF or a character, the events are those of the whole."""
    stream, reads = case

    assert parse(stream) == parse(*reads)


@given(STREAMS.filter(lambda stream: stream[:1] not in (b"\n", b"\r")))
def test_same_as_the_standard(stream: bytes) -> None:
    """The events are those of the standard's steps."""
    assert reference(stream) == parse(stream)
    assert reference(stream) == parse(*(stream[i : i + 1] for i in range(len(stream))))


@given(st.lists(st.tuples(st.sampled_from(["", "ping"]), st.text(min_size=1)), max_size=5), ENDS, st.data())
def test_written_events_are_read(events: list[tuple[str, str]], end: bytes, data: st.DataObject) -> None:
    """What a server writes by the standard, in lines of any end, comes out as it was."""
    written, expected = b"", []
    for name, text in events:
        lines = re.split(r"\r\n|\n|\r", text)
        written += b"event: " + name.encode() + end if name else b""
        written += b"".join(b"data: " + line.encode() + end for line in lines) + end
        expected.append((name, "\n".join(lines).encode()))
    cut = data.draw(st.integers(0, len(written)))

    assert expected == parse(written[:cut], written[cut:])


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes(reads: list[bytes]) -> None:
    """No bytes at all make it fail."""
    assert parse(b"".join(reads)) == parse(*reads)


def test_mark_after_an_empty_line_is_no_mark() -> None:
    """Only the very beginning of a stream may have a byte order mark."""
    assert parse(b"\n" + BOM + b"data: a\n\n") == []


def test_event_without_a_colon_is_an_empty_name() -> None:
    """A field without a colon has an empty value, so it takes back the name before it."""
    assert parse(b"event: ping\nevent\ndata: a\n\n") == [("", b"a")]


# --- bounds -----------------------------------------------------------------------------------------------------

FIELD = len(b"data: ")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_within_the_bound(size: int) -> None:
    """An event whose lines are within the bound is read, also when the bound is used up by each event anew."""
    line = b"data: " + b"x" * (100 - FIELD - 1)
    stream = (line + b"\n\n") * 5

    reads = [stream[i : i + size] for i in range(0, len(stream), size)]

    assert len(parse(*reads, max_event_bytes=100)) == 5


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * 101, b"data: " + b"x" * 101 + b"\n\n", b"data: 123456789\n" * 11, b"x" * 108],
    ids=["endless line", "long line", "many lines", "no field"],
)
def test_events_over_the_bound(stream: bytes, size: int) -> None:
    """An event that outgrows the bound is refused while it comes, however it comes, and the error says so."""
    reads = itertools.chain((stream[i : i + size] for i in range(0, len(stream), size)), [b": more\n"] * 5)

    with pytest.raises(LimitExceededError, match="more than 100 bytes") as caught:
        feed_all(SSEParser(100), reads)
    assert caught.value.code == "event_too_large"
    assert len(list(reads)) >= 5  # and none of these was asked for


def test_default_bound() -> None:
    """The bound of the contract."""
    assert MAX_EVENT_BYTES == 16 * 1024 * 1024


def test_empty_lines_of_data_are_bounded() -> None:
    """Lines that carry no byte of data take memory too: each is an LF of the event."""
    with pytest.raises(LimitExceededError):
        feed_all(SSEParser(100), iter([b"data\n"] * 1000))


# --- cost -------------------------------------------------------------------------------------------------------


class CountingBytes(bytes):
    """Counts the bytes that are looked at where a read is split into lines."""

    looked_at = 0

    def split(self, sep: Any = None, maxsplit: SupportsIndex = -1) -> list[bytes]:
        CountingBytes.looked_at += len(self)
        return super().split(sep, maxsplit)


def test_each_byte_is_split_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long event in many reads: what came before is not searched again with each of them."""
    monkeypatch.setattr(CountingBytes, "looked_at", 0)
    parser, stream = SSEParser(), b"data: " + b"x" * 10_000 + b"\n\n"
    for i in range(0, len(stream), 7):
        parser.feed(CountingBytes(stream[i : i + 7]))

    assert len(stream) == CountingBytes.looked_at


def _seconds(size: int) -> float:
    parser, stream = SSEParser(), b"data: " + b"x" * size + b"\n\n"
    start = time.thread_time()
    for i in range(len(stream)):
        parser.feed(stream[i : i + 1])
    return time.thread_time() - start


@pytest.mark.benchmark_safe
def test_a_megabyte_byte_by_byte_is_linear() -> None:
    """Eight times the bytes cost about eight times as much; a parser that copies what it has would need 64 times."""
    small = min(_seconds(2**17) for _ in range(3))
    large = min(_seconds(2**20) for _ in range(2))

    assert large < 32 * small


def test_module_says_where_the_protocol_is_written() -> None:
    """The source of the protocol is named."""
    assert "html.spec.whatwg.org" in (sse.__doc__ or "")
