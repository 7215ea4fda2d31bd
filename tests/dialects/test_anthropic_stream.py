"""Anthropic Messages, the provider's side: streams written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.dialects.base import Encoder
from multi_llm_wrapper.errors import OverloadedError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import (
    Event,
    Extra,
    Native,
    NativeMessage,
    ReasoningDelta,
    Reply,
    Started,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)


def encoder(usage: Usage | None = None) -> Encoder:
    return anthropic_messages.encoder(response_id="msg_1", model="claude-x-1", created=0, usage=usage)


def frames(*events: Event) -> list[dict[str, Any]]:
    """The data of the events between start and end."""
    writer = encoder()
    writer.start()
    out = b"".join(writer.event(event) for event in events)
    return [json.loads(event.data) for event in SSEParser().feed(out)]


def folded(raw: bytes) -> Reply:
    decoder, fold = anthropic_messages.decoder(), Fold(anthropic_messages.read_usage)
    for event in SSEParser().feed(raw):
        fold.add_all(decoder.feed(event))
    assert decoder.ended
    return fold.add_all(decoder.close()).reply()


def test_bytes_of_a_stream() -> None:
    """Named events, one block at a time, usage at both ends."""
    writer = encoder(Usage(10, None, None, 3))
    raw = writer.start()
    for event in (
        Started("ignored", "ignored"),
        ReasoningDelta("Hm"),
        TextDelta("H"),
        TextDelta("i"),
        TextDelta(""),
        Extra("logprobs", [1]),
        ToolCallDelta(0, "toolu_1", "f"),
        ToolCallDelta(0, arguments="{}"),
    ):
        raw += writer.event(event)
    raw += writer.end("tool_calls", Usage(10, 7, 17, 3, None, 2))

    assert (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
        b'"role":"assistant","model":"claude-x-1","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":7,"cache_creation_input_tokens":null,"cache_read_input_tokens":3,"output_tokens":1,'
        b'"service_tier":"standard"}}}\n\n'
        b'event: ping\ndata: {"type":"ping"}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"thinking","thinking":"","signature":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"thinking_delta","thinking":"Hm"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":1,'
        b'"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,'
        b'"delta":{"type":"text_delta","text":"H"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,'
        b'"delta":{"type":"text_delta","text":"i"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":2,'
        b'"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":2,'
        b'"delta":{"type":"input_json_delta","partial_json":"{}"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":2}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},'
        b'"usage":{"input_tokens":7,"cache_creation_input_tokens":null,"cache_read_input_tokens":3,"output_tokens":7,'
        b'"output_tokens_details":{"thinking_tokens":2}}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    ) == raw


def test_what_does_not_go_on_closes_the_block() -> None:
    """Each change of kind, and each call, begins a block of its own."""
    found = frames(
        TextDelta("a"),
        ReasoningDelta("b"),
        TextDelta("c"),
        ToolCallDelta(0, "toolu_1", "f", "{}"),
        ToolCallDelta(1, "toolu_2", "g"),
    )
    opened = [(x["index"], x["content_block"]["type"]) for x in found if x["type"] == "content_block_start"]

    assert [(0, "text"), (1, "thinking"), (2, "text"), (3, "tool_use"), (4, "tool_use")] == opened
    assert [0, 1, 2, 3] == [x["index"] for x in found if x["type"] == "content_block_stop"]


def test_calls_that_alternate_are_not_mixed() -> None:
    """A late fragment goes to the block of its call; the real API never does so, clients go by the index."""
    writer = encoder()
    raw = writer.start()
    for event in (
        ToolCallDelta(0, "toolu_1", "f", '{"a":'),
        ToolCallDelta(1, "toolu_2", "g", '{"b":'),
        ToolCallDelta(0, arguments="1}"),
        ToolCallDelta(1, arguments="2}"),
    ):
        raw += writer.event(event)

    assert [ToolCall("toolu_1", "f", '{"a":1}'), ToolCall("toolu_2", "g", '{"b":2}')] == (
        folded(raw + writer.end("tool_calls", None)).tool_calls
    )


@pytest.mark.parametrize(("reason", "blocks"), [("stop", 1), ("length", 0), ("content_filter", 0)])
def test_a_stream_without_words(reason: Any, blocks: int) -> None:
    """It has an empty block where the stop reason does not explain it."""
    writer = encoder()
    raw = writer.start() + writer.end(reason, Usage(1, 0, 1))

    assert blocks == raw.count(b"event: content_block_start")
    assert ("", reason) == (folded(raw).content, folded(raw).finish_reason)


def test_bytes_of_an_error_in_a_stream() -> None:
    """It has the shape of an error body, under HTTP 200."""
    writer = encoder()
    writer.start()

    assert (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},'
        b'"request_id":"req_1"}\n\n'
    ) == writer.error(OverloadedError("Overloaded", request_id="req_1"))


BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "text", "text": "Hi", "citations": [{"cited_text": "i"}, {"cited_text": "j"}]},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"url": "u"}]},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
]


def test_native_blocks_at_the_start_are_the_content() -> None:
    """They come out as they are, and the events that say the same are left out."""
    writer = encoder()
    raw = writer.start() + writer.event(Native(NativeMessage("anthropic_messages", {"content": BLOCKS})))
    for event in (ReasoningDelta("Hm"), TextDelta("Hi"), ToolCallDelta(0, "toolu_1", "f", "{}")):
        assert b"" == writer.event(event)
    found = folded(raw + writer.end("tool_calls", Usage(1, 2, 3)))

    assert found.native is not None
    assert BLOCKS == found.native.fields["content"]
    assert ("Hm", "Hi", [ToolCall("toolu_1", "f", "{}")]) == (found.reasoning, found.content, found.tool_calls)


@pytest.mark.parametrize("late", [False, True])
def test_a_later_native_message_signs_what_was_thought(late: bool) -> None:
    """Whether its thinking is just being streamed or is closed already."""
    blocks = [BLOCKS[0], {"type": "text", "text": "Hi"}, {**BLOCKS[0], "thinking": "So", "signature": "t"}]
    native = Native(NativeMessage("anthropic_messages", {"content": blocks}))
    said: list[Event] = [TextDelta("Hi"), ReasoningDelta("S"), ReasoningDelta("o")]
    writer = encoder()
    raw = writer.start() + writer.event(ReasoningDelta("Hm"))
    raw += b"".join(writer.event(event) for event in ([*said, native] if late else [native, *said, native]))
    found = folded(raw + writer.end("stop", Usage(1, 2, 3)))

    assert native.message == found.native


def test_other_thoughts_are_not_signed() -> None:
    """A signature is good for one text only."""
    native = Native(NativeMessage("anthropic_messages", {"content": [BLOCKS[0]]}))

    assert "signature_delta" not in json.dumps(frames(ReasoningDelta("Hm, no"), native))


@pytest.mark.parametrize(
    "native",
    [
        NativeMessage("gemini", {"content": BLOCKS}),
        NativeMessage("anthropic_messages", {"content": "x"}),
        NativeMessage("anthropic_messages", {}),
    ],
)
def test_other_native_messages_say_nothing(native: NativeMessage) -> None:
    """Nor does one that comes when something was said already."""
    assert ["text"] == [
        x["content_block"]["type"] for x in frames(Native(native), TextDelta("Hi")) if "content_block" in x
    ]
    assert 2 == len(frames(TextDelta("Hi"), Native(NativeMessage("anthropic_messages", {"content": BLOCKS}))))
