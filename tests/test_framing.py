"""From the bytes of a streamed reply to events: what form the reply took is told by its first byte."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import framing
from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.errors import LimitExceededError, LLMError, MalformedResponseError, OverloadedError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.framing import StreamReader
from multi_llm_wrapper.sse import ServerEvent
from multi_llm_wrapper.transport.base import MAX_REPLY_BYTES
from multi_llm_wrapper.types import Event, Extra, Finished, ReasoningDelta, Reply, TextDelta
from tests.strategies import pieces, replies


class Fake:
    """A decoder that makes a text of each event, knows one that fails and one that ends, and holds a last word back."""

    def __init__(self) -> None:
        self.ended = False
        self.fed: list[ServerEvent] = []
        self.bodies: list[bytes] = []

    def reply(self, body: bytes) -> list[Event]:
        self.bodies.append(body)
        return [TextDelta("whole"), Finished("stop")]

    def feed(self, event: ServerEvent) -> list[Event]:
        self.fed.append(event)
        if event.data == b"fail":
            raise OverloadedError("busy")
        if event.data == b"bad":
            raise MalformedResponseError("no JSON")
        if event.data == b"end":
            self.ended = True
            return []
        return [TextDelta(event.data.decode())]

    def close(self) -> list[Event]:
        return [Extra("last", "word")]


def reader() -> tuple[StreamReader, Fake]:
    fake = Fake()
    return StreamReader(fake, Fold(openai_chat.read_usage)), fake


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


# --- event streams ----------------------------------------------------------------------------------------------


def test_events_are_decoded_and_folded() -> None:
    """What is complete comes out at once, the rest with the bytes that complete it."""
    stream, fake = reader()

    assert ["a", "b"] == texts(stream.feed(b"data: a\n\nevent: x\ndata: b\n\ndata: c"))
    assert [] == stream.feed(b"")
    assert ["c"] == texts(stream.feed(b"\n\n"))
    assert "abc" == stream.fold.reply().content
    assert [ServerEvent("", b"a"), ServerEvent("x", b"b"), ServerEvent("", b"c")] == fake.fed


def test_the_end_marker_is_the_decoders() -> None:
    """`ended` turns true with it, and what was held back comes with the close."""
    stream, _ = reader()
    stream.feed(b"data: a\n\n")
    assert not stream.ended

    stream.feed(b"data: end\n\n")

    assert stream.ended
    assert [Extra("last", "word")] == stream.close()
    assert {"last": "word"} == stream.fold.reply().extras


def test_a_last_event_without_its_blank_line_counts() -> None:
    """Some hosts leave it out."""
    stream, _ = reader()
    stream.feed(b"data: a\n\ndata: b")

    assert ["b"] == texts(stream.close())
    assert "ab" == stream.fold.reply().content


@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n\r\n", b" \t\n" * 1000])
@pytest.mark.parametrize(
    "start", [b"data: a\n\n", b": comment\n\ndata: a\n\n", b"event: x\ndata: a\n\n", b"\xef\xbb\xbfdata: a\n\n"]
)
def test_blanks_and_comments_before_a_stream_are_nothing(blank: bytes, start: bytes) -> None:
    """Keep-alive lines and a byte order mark come before the first event."""
    stream, _ = reader()
    found = [*stream.feed(blank), *stream.feed(start)]

    assert ["a"] == texts(found)


# --- one body ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"{", b"[", b"\n\n{", b" \r\n\t["])
def test_a_json_body_is_read_whole(start: bytes) -> None:
    """A host that cannot stream answers with one body; it is decoded at its end, from its first brace on."""
    stream, fake = reader()

    assert [[], [], []] == [stream.feed(piece) for piece in (start, b'"a": 1\n\n', b"}")]
    assert ["whole"] == texts(stream.close())
    assert [start.strip() + b'"a": 1\n\n}'] == fake.bodies
    assert "whole" == stream.fold.reply().content
    assert [] == fake.fed


def test_blanks_alone_are_no_reply() -> None:
    """Nothing comes out of a reply without anything in it but what the decoder held back."""
    stream, fake = reader()

    assert [] == stream.feed(b" \n") + stream.feed(b"")
    assert [Extra("last", "word")] == stream.close()
    assert [] == fake.fed + fake.bodies


@pytest.mark.parametrize("cut", [1, 5, 1000])
@pytest.mark.parametrize(
    "body", ["<html><h1>502 Bad Gateway</h1></html>", "Not Found", "\n  <!DOCTYPE html>", "plain: text\nmore"]
)
def test_a_page_is_no_event_stream(body: str, cut: int) -> None:
    """HTML and other text from something in between are malformed, with their beginning shown, however they come."""
    stream, _ = reader()
    with pytest.raises(
        MalformedResponseError, match=r"^The reply is no event stream; it starts with '.+'\. Check base_url"
    ) as e:
        _feed_all(stream, [body[i : i + cut].encode() for i in range(0, len(body), cut)])

    assert "no_event_stream" == e.value.code
    assert body.strip()[0] in e.value.message


def test_html_is_refused_at_once() -> None:
    """A page is not read to its end to find out that it is none."""
    stream, _ = reader()

    with pytest.raises(MalformedResponseError, match="it starts with '<html>'"):
        stream.feed(b"<html>")


def test_a_json_body_that_was_read_has_ended() -> None:
    """One body is whole by itself; a stream has ended when its decoder says so."""
    stream, _ = reader()
    stream.feed(b"{}")
    assert not stream.ended

    stream.close()

    assert stream.ended


def _feed_all(stream: StreamReader, reads: list[bytes]) -> list[Event]:
    found: list[Event] = []
    for read in reads:
        found += stream.feed(read)
    return found + stream.close()


def test_the_beginning_is_shown_whole_and_short() -> None:
    """However small the reads, the message shows as much of the beginning as of one read."""
    messages = set()
    for cut in (1, 7, 5000):
        stream, _ = reader()
        body = "upstream connect error: " + "x" * 1000
        with pytest.raises(MalformedResponseError) as caught:
            _feed_all(stream, [body[i : i + cut].encode() for i in range(0, len(body), cut)])
        messages.add(caught.value.message)

    assert 1 == len(messages)
    assert "'upstream connect error: xxx" in next(iter(messages))
    assert len(next(iter(messages))) < 300


# --- failures ---------------------------------------------------------------------------------------------------


def test_a_failure_alone_is_raised() -> None:
    """An in-band error with nothing before it in the same bytes."""
    stream, _ = reader()
    stream.feed(b"data: a\n\n")

    with pytest.raises(OverloadedError, match="busy"):
        stream.feed(b"data: fail\n\n")
    assert stream.error is None


def test_what_came_before_a_failure_is_delivered() -> None:
    """In the same bytes: the events come out, the failure waits, what is behind it counts for nothing."""
    stream, fake = reader()

    assert ["a", "b"] == texts(stream.feed(b"data: a\n\ndata: b\n\ndata: fail\n\ndata: c\n\n"))
    assert isinstance(stream.error, OverloadedError)
    assert 3 == len(fake.fed)
    assert "ab" == stream.fold.reply().content


def test_a_last_event_cut_in_the_middle_counts_for_nothing() -> None:
    """An unfinished event at the end that cannot be read was cut; that the reply is not whole is for others to say."""
    stream, _ = reader()
    stream.feed(b"data: a\n\n")

    assert [Extra("last", "word")] == [*stream.feed(b"data: bad"), *stream.close()]
    assert stream.error is None


def test_an_error_as_the_last_event_is_raised() -> None:
    """Also without its blank line."""
    stream, _ = reader()
    stream.feed(b"data: a\n\ndata: fail")

    with pytest.raises(OverloadedError, match="busy"):
        stream.close()


def test_a_cut_reply_keeps_what_was_whole() -> None:
    """After a broken connection an event or a body without its end counts for nothing."""
    stream, fake = reader()
    stream.feed(b"data: a\n\ndata: b")
    whole, other = reader()
    whole.feed(b'{"a": ')

    assert [[Extra("last", "word")]] * 2 == [stream.close(cut=True), whole.close(cut=True)]
    assert "a" == stream.fold.reply().content
    assert [] == other.bodies
    assert 1 == len(fake.fed)


def test_closing_twice_is_harmless() -> None:
    """The second time nothing is left."""
    stream, _ = reader()
    stream.feed(b"data: a\n\ndata: b")
    stream.close()

    assert [] == stream.close()
    assert "ab" == stream.fold.reply().content


@pytest.mark.parametrize("start", [b"data: a\n\n", b"{", b"\n"])
def test_a_reply_over_our_limit_is_refused(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """All bytes count, in whatever form; exactly the limit is still taken."""
    monkeypatch.setattr(framing, "MAX_REPLY_BYTES", 100)
    stream, _ = reader()
    stream.feed(start)
    stream.feed(b"\n" * (100 - len(start)))

    with pytest.raises(
        LimitExceededError, match=r"^The reply has more than 100 bytes, our limit; ask for a shorter"
    ) as e:
        stream.feed(b"\n")
    assert "reply_too_long" == e.value.code


def test_the_default_limit_is_64_mib() -> None:
    """As the contract has it."""
    assert 64 * 1024 * 1024 == MAX_REPLY_BYTES


# --- with a real dialect ----------------------------------------------------------------------------------------


def read(reads: list[bytes]) -> Reply:
    stream = StreamReader(openai_chat.decoder(), Fold(openai_chat.read_usage))
    _feed_all(stream, reads)
    assert stream.error is None
    return stream.fold.reply()


@given(replies(), st.randoms(use_true_random=False))
def test_one_answer_reads_the_same_in_either_form(reply: Reply, rng: random.Random) -> None:
    """Streamed at any split, or as one JSON body to a stream request."""
    body = openai_chat.encode_reply(reply, created=0).body
    expected = read([body])

    assert expected == read(pieces_of(body, rng))
    assert expected == read([b"\n\n ", *pieces_of(body, rng)])


def pieces_of(data: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(5))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(st.data())
def test_events_do_not_depend_on_the_reads(data: Any) -> None:
    """A stream of the real dialect gives the same text and reasoning at every split."""
    words = data.draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=5))
    choices: list[dict[str, Any]] = [{"delta": {"content": word}} for word in words]
    choices.append({"delta": {}, "finish_reason": "stop"})
    chunks = [{"choices": [choice]} for choice in choices]
    stream = b"".join(b"data: %s\n\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks)
    found = read(data.draw(pieces(stream + b"data: [DONE]\n\n")))

    assert ("".join(words), "stop") == (found.content, found.finish_reason)


@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([b"data: ", b"\n\n", b"{", b"}", b"[DONE]", b'{"choices": ']),
        max_size=8,
    )
)
def test_any_bytes_are_read_or_refused(reads: list[bytes]) -> None:
    """Whatever comes, there are events or one of our errors."""
    try:
        found = read(reads)
    except LLMError:
        return
    assert isinstance(found, Reply)


def test_reasoning_comes_out_as_such() -> None:
    """The kind of an event is the decoder's affair."""
    stream = StreamReader(openai_chat.decoder(), Fold(openai_chat.read_usage))
    chunk = {"choices": [{"delta": {"reasoning_content": "hm"}}]}

    assert ReasoningDelta("hm") in stream.feed(b"data: %s\n\n" % json.dumps(chunk).encode())
