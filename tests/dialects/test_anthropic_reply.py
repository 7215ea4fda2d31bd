"""Anthropic Messages: replies and streams as canonical events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multi_llm_wrapper.dialects import anthropic_messages, failures
from multi_llm_wrapper.errors import EmptyResponseError, LLMError, MalformedResponseError, OverloadedError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import ServerEvent
from multi_llm_wrapper.types import (
    Event,
    Extra,
    Finished,
    Native,
    NativeMessage,
    ReasoningDelta,
    Reply,
    Started,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 1}
TEXT = {"type": "text", "text": "Hi"}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "xyz"}
CITATION = {"type": "page", "cited_text": "so"}
CITED = {"type": "text", "text": "so", "citations": [CITATION]}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, "é"]}}
SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"url": "u"}]}


def message(content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-1",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
        **fields,
    }


def whole(content: Any, **fields: Any) -> Reply:
    events = anthropic_messages.decoder().reply(json.dumps(message(content, **fields)).encode())
    return Fold(anthropic_messages.read_usage).add_all(events).reply()


def event(kind: str, **fields: Any) -> ServerEvent:
    return ServerEvent(kind, json.dumps({"type": kind, **fields}).encode())


def start(**fields: Any) -> ServerEvent:
    return event("message_start", message=message([], stop_reason=None, **fields))


def opened(index: int, block: dict[str, Any]) -> ServerEvent:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **fields: Any) -> ServerEvent:
    return event("content_block_delta", index=index, delta={"type": f"{kind}_delta", **fields})


def stopped(index: int) -> ServerEvent:
    return event("content_block_stop", index=index)


def ended(reason: str | None = "end_turn", **fields: Any) -> list[ServerEvent]:
    return [
        event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=USAGE | fields),
        event("message_stop"),
    ]


def events_of(*frames: ServerEvent) -> list[Event]:
    decoder = anthropic_messages.decoder()
    events = [one for frame in frames for one in decoder.feed(frame)]
    return events + decoder.close()


def streamed(*frames: ServerEvent) -> Reply:
    return Fold(anthropic_messages.read_usage).add_all(events_of(*frames)).reply()


def as_stream(blocks: list[dict[str, Any]]) -> list[ServerEvent]:
    """The blocks as the API streams them."""
    frames = [start()]
    for index, block in enumerate(blocks):
        kind = block["type"]
        if kind == "text":
            empty: dict[str, Any] = {"citations": []} if "citations" in block else {}
            frames.append(opened(index, {"type": "text", "text": "", **empty}))
            frames += [delta(index, "citations", citation=one) for one in block.get("citations", [])]
            frames += [delta(index, "text", text=letter) for letter in block["text"]]
        elif kind == "thinking":
            frames.append(opened(index, {"type": "thinking", "thinking": "", "signature": ""}))
            frames += [delta(index, "thinking", thinking=letter) for letter in block["thinking"]]
            frames.append(delta(index, "signature", signature=block["signature"]))
        elif "input" in block:
            frames += [opened(index, {**block, "input": {}}), delta(index, "input_json", partial_json="")]
            frames += [delta(index, "input_json", partial_json=x) for x in json.dumps(block["input"], indent=1)]
        else:
            frames.append(opened(index, block))
        frames.append(stopped(index))
    return frames


# --- whole replies ----------------------------------------------------------------------------------------------


def test_events_of_a_whole_reply() -> None:
    """Who answers, then usage, content, the reason."""
    body = json.dumps(message([THINKING, TEXT, CALL], stop_reason="tool_use")).encode()
    decoder = anthropic_messages.decoder()

    assert [
        Started("msg_1", "claude-x-1"),
        UsageReport(USAGE),
        ReasoningDelta("Hm."),
        TextDelta("Hi"),
        ToolCallDelta(0, "toolu_1", "f"),
        ToolCallDelta(0, arguments='{"a":[1,"é"]}'),
        Finished("tool_calls", "tool_use"),
        Native(NativeMessage("anthropic_messages", {"content": [THINKING, TEXT, CALL]})),
    ] == decoder.reply(body)
    assert decoder.ended


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
        ("something_new", "other"),
    ],
)
def test_stop_reasons(word: str, reason: str) -> None:
    """Each word has its class, and is kept; streamed or not."""
    for found in (whole([TEXT], stop_reason=word), streamed(*as_stream([TEXT]), *ended(word))):
        assert (reason, word) == (found.finish_reason, found.provider_finish_reason)


def test_text_blocks_are_joined_as_they_are() -> None:
    """Nothing is put between them, and nothing else is text."""
    found = whole([TEXT, {"type": "text", "text": "!"}, SEARCH, FOUND, {"type": "future", "text": "not this"}])

    assert "Hi!" == found.content


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "tool_use", "stop_sequence", "pause_turn", "new"])
def test_no_block_with_a_reason_is_an_answer(reason: str) -> None:
    """The reason explains why nothing was said."""
    assert "" == whole([], stop_reason=reason).content
    assert "" == streamed(start(), *ended(reason)).content


@pytest.mark.parametrize("reason", ["end_turn", None])
def test_no_block_and_no_reason_is_empty(reason: str | None) -> None:
    """A turn that ends before it begins is no answer, and may go better next time; streamed or not."""
    with pytest.raises(EmptyResponseError):
        whole([], stop_reason=reason)
    with pytest.raises(EmptyResponseError):
        streamed(start(), *ended(reason))


def test_an_empty_stream_has_not_ended() -> None:
    """Whoever looks only at `ended` must not take it for an answer."""
    decoder = anthropic_messages.decoder()
    decoder.feed(start())

    with pytest.raises(EmptyResponseError):
        decoder.feed(event("message_stop"))
    assert not decoder.ended


@pytest.mark.parametrize("content", [None, "text", {"type": "text"}, 1])
def test_a_body_without_blocks_is_no_answer(content: Any) -> None:
    """The message shows what came instead."""
    with pytest.raises(MalformedResponseError, match="no list 'content'") as caught:
        whole(content)

    assert "no_content" == caught.value.code


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"content":[1]}', b'{"content":[{"type":1}]}'])
def test_a_malformed_body_is_named(body: bytes) -> None:
    """No foreign exception comes out of a foreign body."""
    with pytest.raises(MalformedResponseError):
        anthropic_messages.decoder().reply(body)


@pytest.mark.parametrize("reason", [None, "tool_use"])
def test_a_reason_may_be_missing(reason: str | None) -> None:
    """Blocks are an answer even where the host does not say why they end."""
    assert "Hi" == whole([TEXT], stop_reason=reason).content


# --- streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blocks",
    [
        [TEXT],
        [TEXT, CALL],
        [CALL, {**CALL, "id": "toolu_2", "input": {}}],
        [THINKING, TEXT],
        [REDACTED, TEXT],
        [CITED, TEXT, CITED],
        [SEARCH, FOUND, CITED],
        [{**SEARCH, "input": {}}, TEXT],
        [{**CALL, "caller": {"type": "direct"}}],
        [CALL, TEXT],
        [{"type": "future", "data": {"x": [1]}}, TEXT],
    ],
)
def test_a_stream_folds_to_the_whole_reply(blocks: list[dict[str, Any]]) -> None:
    """The same blocks give the same answer, the native message included."""
    found, expected = streamed(*as_stream(blocks), *ended()), whole(blocks)
    for reply in (found, expected):  # the model's own spelling of arguments comes through only in a stream
        reply.tool_calls = [ToolCall(c.id, c.name, json.dumps(json.loads(c.arguments))) for c in reply.tool_calls]

    assert expected == found


def test_events_of_a_stream() -> None:
    """One event each, calls counted by themselves, usage at both ends."""
    assert [
        Started("msg_1", "claude-x-1"),
        UsageReport(USAGE),
        TextDelta("H"),
        TextDelta("i"),
        ToolCallDelta(0, "toolu_1", "f"),
        ToolCallDelta(0, arguments="{"),
        ToolCallDelta(0, arguments="}"),
        UsageReport(USAGE | {"output_tokens": 9}),
        Finished("tool_calls", "tool_use"),
    ] == events_of(
        start(),
        event("ping"),
        *as_stream([TEXT])[1:],
        opened(1, {**CALL, "input": {}}),
        delta(1, "input_json", partial_json=""),
        delta(1, "input_json", partial_json="{"),
        delta(1, "input_json", partial_json="}"),
        stopped(1),
        *ended("tool_use", output_tokens=9),
    )


def test_no_arguments_are_an_empty_object_both_ways() -> None:
    """Whether input comes whole, as empty fragments or not at all."""
    bare = {"type": "tool_use", "id": "toolu_1", "name": "f"}
    empty = [ToolCall("toolu_1", "f", "{}")]

    assert empty == whole([bare]).tool_calls
    assert empty == whole([{**bare, "input": {}}]).tool_calls
    assert empty == streamed(start(), opened(0, bare), stopped(0), *ended()).tool_calls
    assert empty == streamed(start(), opened(0, {**bare, "input": {}}), *ended()).tool_calls


def test_input_in_the_start_event_is_kept() -> None:
    """Some hosts send the whole input at once, as an object or as text."""
    assert '{"a":[1,"é"]}' == streamed(start(), opened(0, CALL), stopped(0), *ended()).tool_calls[0].arguments
    assert '{"b":2}' == whole([{**CALL, "input": '{"b":2}'}]).tool_calls[0].arguments


def test_server_side_blocks_are_kept_apart() -> None:
    """Neither text nor calls of the user's tools: they are in the extras, whole, and in the native message."""
    found = streamed(*as_stream([SEARCH, FOUND, CITED]), *ended())

    assert ("so", []) == (found.content, found.tool_calls)
    assert {"blocks": [SEARCH, FOUND], "citations": [CITATION]} == found.extras
    assert found.native is not None
    assert {"content": [SEARCH, FOUND, CITED]} == found.native.fields


def test_deltas_of_unknown_kinds_make_their_block_grow() -> None:
    """What next year's blocks send is put together by name: texts and lists grow, the rest is set."""
    found = streamed(
        start(),
        opened(0, {"type": "future", "log": "a", "rows": [1], "state": "x"}),
        delta(0, "future", log="b", rows=[2], count=1),
        delta(0, "future", log="c", rows=[3], count=2, nothing=None),
        delta(0, "text", text="not said"),
        stopped(0),
        *ended(),
    )

    block = {"type": "future", "log": "abc", "rows": [1, 2, 3], "state": "x", "count": 2, "text": "not said"}
    assert "" == found.content
    assert [block] == found.extras["blocks"]


def test_thinking_without_words_is_no_reasoning() -> None:
    """Newer models send the signature alone; there is nothing to show, but something to send back."""
    silent = {"type": "thinking", "thinking": "", "signature": "c2ln"}

    for found in (whole([silent, TEXT]), streamed(*as_stream([silent, TEXT]), *ended())):
        assert found.reasoning is None
        assert found.native is not None
        assert [silent, TEXT] == found.native.fields["content"]


def test_plain_answers_need_no_native_message() -> None:
    """Text and tool calls say all there is, also with empty citations."""
    assert whole([{**TEXT, "citations": None}, CALL]).native is None
    assert streamed(start(), opened(0, {**TEXT, "citations": []}), *ended()).native is None


def test_fields_without_a_place_are_kept() -> None:
    """Where they are not null, from either end of a stream."""
    extras = {"container": {"id": "c"}, "context_management": {"applied_edits": []}, "stop_sequence": "END"}
    found = whole([TEXT], **extras, stop_details=None)
    told = streamed(
        start(container={"id": "c"}),
        *as_stream([TEXT])[1:],
        event(
            "message_delta",
            delta={"stop_reason": "stop_sequence", "stop_sequence": "END"},
            context_management={"applied_edits": []},
        ),
        event("message_stop"),
    )

    assert extras == found.extras
    assert extras == told.extras


def test_unknown_events_and_end_marks_are_tolerated() -> None:
    """They say nothing to us; the type is read from the event name where the data has none."""
    found = streamed(
        ServerEvent("message_start", json.dumps({"message": message([])}).encode()),
        event("ping"),
        event("weather_report", index="?"),
        ServerEvent("", b" "),
        *as_stream([TEXT])[1:],
        event("content_block_stop", index=7),
        *ended(),
        ServerEvent("", b"[DONE]"),
    )

    assert ("msg_1", "Hi") == (found.response_id, found.content)


def test_text_may_come_without_its_start() -> None:
    """There is nothing in the start of a text that one would need."""
    found = streamed(start(), delta(0, "thinking", thinking="Hm"), delta(1, "text", text="Hi"), *ended())

    assert ("Hm", "Hi") == (found.reasoning, found.content)


@pytest.mark.parametrize(
    "frame",
    [
        delta(0, "input_json", partial_json="{}"),
        event("content_block_delta", index=0, delta={"type": ["text_delta"]}),
        event("content_block_delta", index=0),
        event("content_block_delta", index=[], delta={"type": "text_delta", "text": ""}),
        event("content_block_start", index=None, content_block=TEXT),
        event("content_block_start", index=0, content_block=[]),
        event("message_start", message=7),
        event("message_delta", delta=[]),
        event("message_delta", delta={"stop_reason": {}}),
        event("message_start", message={"usage": 1}),
        ServerEvent("", b"{"),
        ServerEvent("", b"7"),
    ],
)
def test_malformed_events_are_named(frame: ServerEvent) -> None:
    """Each is a classed failure that may go better next time."""
    with pytest.raises(MalformedResponseError):
        anthropic_messages.decoder().feed(frame)


# --- the end ----------------------------------------------------------------------------------------------------


def test_a_cut_stream_has_not_ended_but_gives_what_came() -> None:
    """Usage of the prompt, the text so far, the blocks so far; a call that was cut has no arguments invented."""
    decoder = anthropic_messages.decoder()
    frames = [*as_stream([THINKING, SEARCH])[:-1], opened(2, {**CALL, "input": {}})]
    events = [one for frame in frames for one in decoder.feed(frame)]
    events += decoder.close()
    found = Fold(anthropic_messages.read_usage).add_all(events).reply()

    assert not decoder.ended
    assert Usage(15, 1, 16, 3, 2) == found.usage
    assert [ToolCall("toolu_1", "f", "")] == found.tool_calls
    assert [SEARCH] == found.extras["blocks"]
    assert found.native is not None
    assert [THINKING, SEARCH] == found.native.fields["content"][:2]
    assert found.finish_reason is None


def test_cut_input_is_no_object() -> None:
    """What cannot be parsed is not sent back as if it were whole."""
    found = streamed(
        *as_stream([THINKING]),
        opened(1, {**CALL, "input": {}}),
        delta(1, "input_json", partial_json='{"a": ['),
        stopped(1),
        *ended("max_tokens"),
    )

    assert '{"a": [' == found.tool_calls[0].arguments
    assert found.native is not None
    assert {} == found.native.fields["content"][1]["input"]


def test_the_native_message_comes_once() -> None:
    """`close` after the end marker has nothing to add."""
    decoder = anthropic_messages.decoder()
    events = [one for frame in [*as_stream([THINKING, TEXT]), *ended()] for one in decoder.feed(frame)]

    assert isinstance(events[-1], Native)
    assert [] == decoder.close()


# --- errors in HTTP 200 -----------------------------------------------------------------------------------------

FAILED = {"type": "overloaded_error", "message": "Overloaded"}


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (event("error", error=FAILED), FAILED),
        (ServerEvent("error", json.dumps({"error": FAILED}).encode()), FAILED),
        (ServerEvent("", json.dumps({"error": FAILED}).encode()), FAILED),
        (ServerEvent("error", b'{"message":"x"}'), {"message": "x"}),
        (ServerEvent("error", b"gone"), "gone"),
    ],
)
def test_an_error_event_is_raised(frame: ServerEvent, error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is found by the rules for all providers, from the object and the bytes it was in."""
    seen: list[tuple[Any, bytes]] = []

    def in_band(found: Any, raw: bytes = b"") -> LLMError:
        seen.append((found, raw))
        return OverloadedError("Overloaded")

    monkeypatch.setattr(failures, "in_band", in_band)
    with pytest.raises(OverloadedError):
        anthropic_messages.decoder().feed(frame)
    assert [(error, frame.data)] == seen


@pytest.mark.parametrize("body", [{"type": "error", "error": FAILED}, {"error": FAILED}])
def test_an_error_body_is_raised(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under HTTP 200, too."""
    monkeypatch.setattr(failures, "in_band", lambda error, raw: OverloadedError(error["message"]))

    with pytest.raises(OverloadedError, match="Overloaded"):
        anthropic_messages.decoder().reply(json.dumps(body).encode())


# --- usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Usage()),
        (USAGE, Usage(15, 1, 16, 3, 2)),
        ({"input_tokens": 4, "output_tokens": 5}, Usage(4, 5, 9)),
        ({"input_tokens": 4}, Usage(4)),
        ({"output_tokens": 4}, Usage(None, 4)),
        ({"cache_read_input_tokens": 4}, Usage(cache_read_tokens=4)),
        (
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}},
            Usage(1, 9, 10, reasoning_tokens=7),
        ),
        ({"input_tokens": 1, "output_tokens": "9", "output_tokens_details": [1]}, Usage(1)),
        ({"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": None}, Usage(0, 0, 0)),
    ],
)
def test_usage_is_inclusive_and_unknown_is_none(raw: dict[str, Any], expected: Usage) -> None:
    """Cache reads and writes are input; what was not reported is not zero."""
    assert expected == anthropic_messages.read_usage(raw)


def test_streamed_counts_replace_those_before() -> None:
    """Counts are totals so far; null and absent ones leave the earlier count standing."""
    found = streamed(
        start(),
        *as_stream([TEXT])[1:],
        event(
            "message_delta",
            delta={"stop_reason": "end_turn"},
            usage={"input_tokens": 20, "output_tokens": 9, "cache_read_input_tokens": None, "new": None},
        ),
        event("message_stop"),
    )

    assert {**USAGE, "input_tokens": 20, "output_tokens": 9, "new": None} == found.raw_usage
    assert Usage(25, 9, 34, 3, 2) == found.usage


def test_extras_are_not_shared_with_the_native_message() -> None:
    """Gathering citations of several blocks leaves each block with its own."""
    found = whole([CITED, CITED])

    assert [CITATION, CITATION] == found.extras["citations"]
    assert found.native is not None
    assert [CITED, CITED] == found.native.fields["content"]
    assert Extra("citations", [CITATION]) in anthropic_messages.decoder().reply(json.dumps(message([CITED])).encode())
