"""What hosts put into an answer that OpenAI does not, one shape at a time, whole and streamed."""

import json
from typing import Any

import pytest

from multi_llm_wrapper.dialects import failures, openai_chat
from multi_llm_wrapper.dialects.openai_chat.pieces import gathered
from multi_llm_wrapper.errors import LLMError, MalformedResponseError, OverloadedError, RateLimitError, ServerError
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


def frame(message: Any = None, *, key: str = "message", finish: Any = None, choice: Any = None, **top: Any) -> bytes:
    one = {"index": 0, key: message or {}, "finish_reason": finish, **(choice or {})}
    return json.dumps({"id": "r1", "model": "m1", "choices": [one], **top}).encode()


def whole(message: Any = None, **more: Any) -> Reply:
    decoder = openai_chat.decoder()
    reply = Fold(openai_chat.read_usage).add_all(decoder.reply(frame(message, **more))).reply()
    assert decoder.ended
    return reply


def feed(*frames: bytes, name: str = "") -> tuple[list[Event], Any]:
    decoder = openai_chat.decoder()
    events = [event for data in frames for event in decoder.feed(ServerEvent(name, data))]
    return events + decoder.close(), decoder


def streamed(*deltas: Any) -> Reply:
    events, _ = feed(*(frame(delta, key="delta") for delta in deltas))
    return Fold(openai_chat.read_usage).add_all(events).reply()


# --- content and reasoning ---


def test_plain_answer_as_events() -> None:
    """A whole answer gives start, text, finish and usage, and nothing for what says nothing."""
    body = frame(
        {"role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "tool_calls": []},
        finish="stop",
        object="chat.completion",
        created=1,
        usage={"prompt_tokens": 1},
        obfuscation="xyz",
    )
    expected = [Started("r1", "m1"), TextDelta("Hi"), Finished("stop", "stop"), UsageReport({"prompt_tokens": 1})]

    assert expected == openai_chat.decoder().reply(body)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_under_either_name(name: str) -> None:
    """Reasoning is read under both of its names, and kept under the name it came with for the next turn."""
    reply = whole({name: "Hm", "content": "Hi"})

    assert ("Hm", "Hi") == (reply.reasoning, reply.content)
    assert NativeMessage("openai_chat", {name: "Hm"}) == reply.native
    assert reply == streamed({name: "H"}, {name: "m"}, {"content": "Hi"})


def test_reasoning_under_both_names_counts_once() -> None:
    """The same text under both names is one text; two different ones are both kept."""
    assert "Hm" == whole({"reasoning_content": "Hm", "reasoning": "Hm"}).reasoning
    assert "HmOh" == whole({"reasoning_content": "Hm", "reasoning": "Oh"}).reasoning
    assert "aab" == streamed(*({"reasoning_content": x, "reasoning": x} for x in "aab")).reasoning


def test_reasoning_comes_before_content_of_the_same_delta() -> None:
    """Whoever shows a stream as it comes sees the reasoning first."""
    events, _ = feed(frame({"content": "Hi", "reasoning": "Hm"}, key="delta"))

    assert [ReasoningDelta("Hm"), TextDelta("Hi")] == events[1:3]


def test_mistral_content_list() -> None:
    """Thinking parts are reasoning, text parts are content, and the list is kept for the next turn."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True}
    reply = whole({"content": [thinking, {"type": "text", "text": "Hi"}]})

    assert ("Hm", "Hi") == (reply.reasoning, reply.content)
    assert NativeMessage("openai_chat", {"content": [thinking, {"type": "text", "text": "Hi"}]}) == reply.native
    assert {} == reply.extras


def test_mistral_content_list_in_pieces() -> None:
    """A thinking part in pieces and the plain text behind it are one list again."""
    pieces = [[{"type": "thinking", "thinking": [{"type": "text", "text": text}]}] for text in ("H", "m")]
    closed = [{"type": "thinking", "thinking": [], "closed": True}]
    reply = streamed(
        {"content": pieces[0]}, {"content": pieces[1]}, {"content": closed}, {"content": "Hi"}, {"content": "!"}
    )
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True}

    assert ("Hm", "Hi!") == (reply.reasoning, reply.content)
    assert NativeMessage("openai_chat", {"content": [thinking, {"type": "text", "text": "Hi!"}]}) == reply.native


def test_other_parts_of_content_are_kept() -> None:
    """Parts that are no text are extras, wherever they stand; a bare string is a text."""
    reference = {"type": "reference", "reference_ids": [1]}
    inside = {"type": "tool_reference", "title": "x"}
    thinking = {"type": "thinking", "thinking": [inside]}
    reply = whole({"content": ["a", reference, {"type": "text", "text": "b"}, thinking]})

    assert "ab" == reply.content
    assert {"content": [reference, inside]} == reply.extras


def test_thinking_as_plain_text() -> None:
    """A thinking part may hold its text directly."""
    assert "Hm" == whole({"content": [{"type": "thinking", "thinking": "Hm"}]}).reasoning


def test_openrouter_reasoning_details() -> None:
    """The typed parts of reasoning are kept as extra and for the next turn; in pieces they become the same parts."""
    text = {"type": "reasoning.text", "text": "Hm, so", "index": 0, "format": "x", "signature": "sig"}
    secret = {"type": "reasoning.encrypted", "data": "abc", "id": "e1", "index": 1}
    at_once = whole({"reasoning": "Hm, so", "reasoning_details": [text, secret]})
    in_pieces = streamed(
        {
            "reasoning": "Hm,",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm,", "index": 0, "format": "x"}],
        },
        {
            "reasoning": " so",
            "reasoning_details": [{"type": "reasoning.text", "text": " so", "index": 0, "format": "x"}],
        },
        {"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "text": None, "index": 0}]},
        {"reasoning_details": [secret]},
        {"content": "", "reasoning": None, "reasoning_details": []},
    )

    assert {"reasoning_details": [text, secret]} == at_once.extras
    assert NativeMessage("openai_chat", {"reasoning": "Hm, so", "reasoning_details": [text, secret]}) == at_once.native
    assert at_once == in_pieces


TEXT = {"type": "t", "index": 0, "text": "a"}


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param([[TEXT], [TEXT]], [TEXT | {"text": "aa"}], id="continued"),
        pytest.param([[TEXT, TEXT]], [TEXT, TEXT], id="two in one list"),
        pytest.param([[TEXT], [TEXT | {"index": 1}]], [TEXT, TEXT | {"index": 1}], id="another index"),
        pytest.param([[TEXT], [TEXT | {"type": "s"}]], [TEXT, TEXT | {"type": "s"}], id="another type"),
        pytest.param([[TEXT | {"id": "x"}], [TEXT]], [TEXT | {"text": "aa", "id": "x"}], id="id told once"),
        pytest.param([[TEXT | {"id": "x"}]] * 2, [TEXT | {"text": "aa", "id": "x"}], id="id repeated"),
        pytest.param([[TEXT], [TEXT | {"id": "y"}]], [TEXT, TEXT | {"id": "y"}], id="another id"),
        pytest.param([[TEXT | {"closed": True}], [TEXT]], [TEXT | {"closed": True}, TEXT], id="closed"),
        pytest.param([[{"type": "e", "data": "x"}]] * 2, [{"type": "e", "data": "x"}] * 2, id="encrypted"),
        pytest.param([["a"], ["a"], [TEXT], ["a"]], ["a", "a", TEXT, "a"], id="no objects"),
        pytest.param([[TEXT | {"n": 1}], [TEXT | {"n": None}]], [TEXT | {"text": "aa", "n": 1}], id="null is nothing"),
        pytest.param([[TEXT], [TEXT | {"text": 5}]], [TEXT | {"text": 5}], id="no text"),
    ],
)
def test_which_pieces_are_one_part(deltas: list[list[Any]], expected: list[Any]) -> None:
    """Pieces of one part are put together, parts of their own are left apart."""
    assert expected == gathered(deltas)


def test_lists_inside_parts_are_put_together_one_level_deep() -> None:
    """The texts of a thinking part are joined; what lies deeper is laid end to end, however deep it goes."""
    deltas = [[{"type": "thinking", "thinking": [TEXT | {"thinking": [n]}]}] for n in (1, 2)]

    assert [{"type": "thinking", "thinking": [TEXT | {"text": "aa", "thinking": [1, 2]}]}] == gathered(deltas)


def test_no_native_message_without_need() -> None:
    """A message that the canonical fields express needs no native one."""
    assert whole({"content": "Hi"}).native is None
    assert whole({"content": [{"type": "text", "text": "Hi"}]}).native is None


def test_native_message_comes_once() -> None:
    """What was held back is given once, whoever asks again."""
    decoder = openai_chat.decoder()

    assert isinstance(decoder.reply(frame({"reasoning": "Hm"}))[-1], Native)
    assert [] == decoder.close()


# --- refusals and finish reasons ---


def test_refusal_is_content_filter() -> None:
    """A refusal counts more than the reason given; its text is no content, and what was said is kept."""
    at_once = whole({"content": None, "refusal": "I will not."}, finish="stop")
    events, _ = feed(
        frame({"content": "", "refusal": "I will"}, key="delta"),
        frame({"refusal": " not."}, key="delta", finish="stop"),
    )

    assert ("", "content_filter", "stop") == (at_once.content, at_once.finish_reason, at_once.provider_finish_reason)
    assert {"refusal": "I will not."} == at_once.extras
    assert at_once == Fold(openai_chat.read_usage).add_all(events).reply()


def test_refusal_as_a_part_of_content() -> None:
    """A refusal may be a part of a content list."""
    reply = whole({"content": [{"type": "refusal", "refusal": "No."}]}, finish="stop")

    assert ("content_filter", {"refusal": "No."}) == (reply.finish_reason, reply.extras)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("load_shedding", "other"),
    ],
)
def test_finish_reasons(said: str, expected: str) -> None:
    """Every host's word has its reason, an unknown one is `other`; the word itself is kept."""
    reply = whole({"content": "x"}, finish=said)

    assert (expected, said) == (reply.finish_reason, reply.provider_finish_reason)


def test_stop_beside_tool_calls_stays() -> None:
    """The host's reason is passed on, also where it says stop although it calls a tool."""
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}

    assert "stop" == whole({"tool_calls": [call]}, finish="stop").finish_reason


@pytest.mark.parametrize(("said", "kind"), [("error", ServerError), ("insufficient_system_resource", OverloadedError)])
def test_finish_reasons_that_are_failures(said: str, kind: type[LLMError]) -> None:
    """Reasons that say that the host failed are errors of that class, whole and streamed."""
    with pytest.raises(kind, match=rf"\(finish reason '{said}'\)\. Try again") as caught:
        whole({"content": "half"}, finish=said)
    assert said == caught.value.code
    with pytest.raises(kind):
        feed(frame({"content": "half"}, key="delta"), frame({}, key="delta", finish=said))


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_finish_reason(nothing: Any) -> None:
    """Without a reason there is no finish; the end marker is told apart from it."""
    events, decoder = feed(frame({"content": "x"}, key="delta", finish=nothing), b"[DONE]")

    assert [Started("r1", "m1"), TextDelta("x")] == events
    assert decoder.ended


# --- tool calls ---


def call(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**fields, "function": function}


def test_calls_in_pieces() -> None:
    """Pieces go to the call of their index; id and name are told once."""
    events, _ = feed(
        frame({"tool_calls": [call("f", "", index=0, id="a", type="function")]}, key="delta"),
        frame({"tool_calls": [call(None, '{"x"', index=0)]}, key="delta"),
        frame({"tool_calls": [call("g", "{}", index=1, id="b"), call(None, ":1}", index=0)]}, key="delta"),
    )

    assert [
        ToolCallDelta(0, "a", "f", ""),
        ToolCallDelta(0, None, None, '{"x"'),
        ToolCallDelta(1, "b", "g", "{}"),
        ToolCallDelta(0, None, None, ":1}"),
    ] == events[1:]


F, G = ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([[call("f", '{"x":1}', id="a"), call("g", "{}", id="b")]], id="no index"),
        pytest.param(
            [[call("f", '{"x":1}', id="a", index=0)], [call("g", "{}", id="b", index=0)]], id="always index 0"
        ),
        pytest.param(
            [
                [call("f", '{"x"', id="a", index=0)],
                [call("f", ":1}", id="a", index=0)],
                [call("g", "{}", id="b", index=1)],
            ],
            id="id and name in every piece",
        ),
        pytest.param(
            [[call("f", '{"x"', id="a")], [call("g", "{}", id="b")], [call(None, ":1}", id="a")]], id="found by id"
        ),
        pytest.param(
            [[call("f", '{"x"', id="a")], [call(None, ":1}")], [call("g", "{}", id="b")]], id="neither index nor id"
        ),
        pytest.param(
            [[call("f", '{"x"', id="a", index=1)], [call(None, ":1}", index=1)], [call("g", "{}", id="b", index=2)]],
            id="counted from 1",
        ),
        pytest.param([[call("f", {"x": 1}, id="a"), call("g", {}, id="b")]], id="arguments as objects"),
        pytest.param(
            [[{"index": 0, "id": "a"}], [call("f", '{"x":1}', index=0)], [call("g", "{}", index=1, id="b")]],
            id="name after id",
        ),
        pytest.param(
            [[call("f", '{"x"', id="a", index=0)], [call(None, ":1}", id="other", index=0)], [call("g", "{}", id="b")]],
            id="another id without a name",
        ),
    ],
)
def test_calls_of_hosts_that_differ(deltas: list[Any]) -> None:
    """However a host marks the pieces, they become the two calls that were meant."""
    assert [F, G] == streamed(*({"tool_calls": delta} for delta in deltas)).tool_calls


def test_calls_of_a_whole_message_go_by_position() -> None:
    """In one body every item is a call, whatever index and id it has."""
    items = [call("f", '{"x":1}', id="a", index=0), call("g", "{}", id="b", index=0), call("h", None, id="b")]

    assert [F, G, ToolCall("b", "h", "")] == whole({"tool_calls": items}).tool_calls


def test_missing_ids_are_made_from_the_position() -> None:
    """A call without id gets one that is the same every time."""
    expected = [ToolCall("call_0", "f", "{}"), ToolCall("call_1", "g", "{}")]

    assert expected == whole({"tool_calls": [call("f", "{}"), call("g", "{}", id="")]}).tool_calls
    assert expected == streamed({"tool_calls": [call("f", "{}")]}, {"tool_calls": [call("g", "{}")]}).tool_calls


def test_function_call_of_old() -> None:
    """The form before tools is one call, whole and in pieces; beside `tool_calls` it is not counted again."""
    expected = [ToolCall("call_0", "f", '{"x":1}')]

    assert expected == whole({"function_call": {"name": "f", "arguments": '{"x":1}'}}).tool_calls
    assert (
        expected
        == streamed(
            {"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": '{"x":1}'}}
        ).tool_calls
    )
    both = {"function_call": {"name": "f", "arguments": "{}"}, "tool_calls": [call("f", '{"x":1}', id="a")]}
    assert [F] == whole(both).tool_calls


def test_tools_of_the_provider_are_no_calls() -> None:
    """What is no function is kept as it came, and so are fields beside a function."""
    custom = {"id": "c", "type": "custom", "custom": {"name": "n", "input": "i"}}
    signed = call("f", '{"x":1}', id="a") | {"extra_content": {"google": {"thought_signature": "s"}}}
    reply = whole({"tool_calls": [custom, signed]})

    assert [F] == reply.tool_calls
    assert {"tool_calls": [custom, {"index": 0, "extra_content": signed["extra_content"]}]} == reply.extras


# --- frames ---


def test_azure_first_chunk() -> None:
    """A chunk without choice or id starts nothing; the filter results are kept, and the id is that of a later one."""
    results = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}]
    first = json.dumps({"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": results}).encode()
    early = json.dumps({"id": "", "model": "", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}).encode()
    offsets = {"content_filter_offsets": {"check_offset": 1}, "content_filter_results": {"hate": {"filtered": False}}}
    events, _ = feed(first, early, frame({"content": "Hi"}, key="delta", choice=offsets))

    assert [Extra("prompt_filter_results", results), Started(), Started("r1", "m1"), TextDelta("Hi")] == events[:4]
    assert [Extra(name, value) for name, value in offsets.items()] == events[4:]


def test_start_is_told_once() -> None:
    """Id and model are told when they are known, not with every chunk."""
    events, _ = feed(*[frame({"content": "a"}, key="delta")] * 3)

    assert [Started("r1", "m1"), *[TextDelta("a")] * 3] == events


def test_start_without_id_is_told_once() -> None:
    """A host that gives its answers no id starts them once all the same."""
    chunk = b'{"choices": [{"delta": {"content": "a"}}]}'

    assert [Started(), TextDelta("a"), TextDelta("a")] == feed(chunk, chunk)[0]


def test_ids_may_be_numbers() -> None:
    """A host that numbers its answers has its number as text."""
    body = json.dumps({"id": 7, "model": "m", "choices": [{"message": {"content": "a"}}]}).encode()

    assert Started("7", "m") == openai_chat.decoder().reply(body)[0]


def test_no_choice_is_no_start() -> None:
    """An answer with an empty list of choices starts nothing, so that it can be told from an empty text."""
    body = b'{"id": "r", "model": "m", "choices": [], "usage": {"prompt_tokens": 3}}'

    assert [UsageReport({"prompt_tokens": 3})] == openai_chat.decoder().reply(body)
    assert [UsageReport({"prompt_tokens": 3})] == feed(body)[0]


@pytest.mark.parametrize("body", [b'{"detail": "Not Found"}', b'{"id": "r", "choices": null}', b"{}"])
def test_body_without_choices_is_malformed(body: bytes) -> None:
    """A body that has no choices at all is no answer; the message shows how it starts."""
    with pytest.raises(MalformedResponseError, match="no 'choices'") as caught:
        openai_chat.decoder().reply(body)

    assert "no_choices" == caught.value.code
    assert body.decode() in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": {}}',
        b'{"choices": "x"}',
        b'{"choices": ["x"]}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": "x"}]}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": {"content": [5]}}]}',
        b'{"choices": [{"message": {"tool_calls": {}}}]}',
        b'{"choices": [{"message": {"tool_calls": ["x"]}}]}',
        b'{"choices": [{"message": {"tool_calls": [{"function": "x"}]}}]}',
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 5}}]}}]}',
        b'{"choices": [{"message": {"refusal": 5}}]}',
        b'{"choices": [{"finish_reason": 5}]}',
        b'{"choices": [], "usage": "x"}',
        b'{"choices": [{}], "id": []}',
        b'{"choices": [{}], "x_groq": 5}',
        b"[]",
        b"<html>",
        b"",
    ],
)
def test_wrong_shapes_are_malformed(body: bytes) -> None:
    """What is not in the protocol is a malformed response, whole and streamed."""
    with pytest.raises(MalformedResponseError):
        openai_chat.decoder().reply(body)
    if body:
        with pytest.raises(MalformedResponseError):
            feed(body)


def test_blank_lines_before_a_body() -> None:
    """DeepSeek sends blank lines while it works; they are no part of the answer."""
    assert TextDelta("Hi") in openai_chat.decoder().reply(b"\n\n\n" + frame({"content": "Hi"}))


def test_other_choices_are_kept_apart() -> None:
    """Only the first answer counts, by its index or else by its place; the others are kept whole."""
    second = {"index": 1, "message": {"content": "no"}, "finish_reason": "length"}
    reply = whole({"content": "yes"}, finish="stop", choices=[second, {"index": 0, "message": {"content": "yes"}}])

    assert ("yes", {"choices": [second]}) == (reply.content, reply.extras)
    unnumbered = [{"message": {"content": "yes"}}, {"message": {"content": "no"}}]
    assert ("yes", {"choices": unnumbered[1:]}) == (whole(choices=unnumbered).content, whole(choices=unnumbered).extras)


def test_message_in_a_stream() -> None:
    """A host that streams whole messages is read like one that streams deltas; a message beside a delta is no news."""
    events, _ = feed(frame({"content": "Hi"}))
    assert TextDelta("Hi") in events

    events, _ = feed(frame({"content": "i"}, key="delta", choice={"message": {"content": "Hi"}}))
    assert [Started("r1", "m1"), TextDelta("i")] == events


# --- usage ---


def test_last_usage_counts() -> None:
    """Usage may come with any chunk; null and empty ones are not reports."""
    usages: list[Any] = [None, {}, {"prompt_tokens": 1}, {"prompt_tokens": 2}, None]
    reports = [UsageReport({"prompt_tokens": 1}), UsageReport({"prompt_tokens": 2})]
    events, _ = feed(*(frame({"content": ""}, key="delta", usage=usage) for usage in usages))

    assert [Started("r1", "m1"), *reports] == events


def test_usage_inside_a_choice() -> None:
    """Moonshot reports the usage of a stream in its last choice."""
    events, _ = feed(frame({}, key="delta", finish="stop", choice={"usage": {"prompt_tokens": 4}}))

    assert UsageReport({"prompt_tokens": 4}) == events[-1]


def test_usage_of_groq() -> None:
    """`x_groq.usage` counts where there is no other; what stands in `x_groq` is kept either way."""
    own = {"id": "req_1", "usage": {"prompt_tokens": 5}}
    alone, _ = feed(frame({}, key="delta", finish="stop", x_groq=own))
    beside, _ = feed(frame({}, key="delta", finish="stop", x_groq=own, usage={"prompt_tokens": 6}))

    assert [UsageReport({"prompt_tokens": 5}), Extra("x_groq", own)] == alone[-2:]
    assert [UsageReport({"prompt_tokens": 6}), Extra("x_groq", own)] == beside[-2:]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3}, Usage(3)),
        ({"total_tokens": 9}, Usage(total_tokens=9)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(10, 5, 15, 4, 2, 3),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_cache_hit_tokens": 8},
            Usage(10, 5, 15, 8),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cached_tokens": 7}, Usage(10, 5, 15, 7)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "num_cached_tokens": 0},
            Usage(10, 5, 15, 0),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "reasoning_tokens": 2},
            Usage(10, 5, 15, reasoning_tokens=2),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(10, 25, 35, reasoning_tokens=20),
        ),
        (
            {"prompt_tokens": 10.0, "completion_tokens": -1, "total_tokens": "x", "prompt_tokens_details": [1]},
            Usage(10),
        ),
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 1,
                "prompt_tokens_details": None,
                "completion_tokens_details": {"reasoning_tokens": None},
            },
            Usage(1, 1, 2),
        ),
    ],
)
def test_usage_is_inclusive(raw: dict[str, Any], expected: Usage) -> None:
    """Each host's counts become inclusive ones; what was not reported stays unknown."""
    assert expected == openai_chat.read_usage(raw)


# --- extras ---


def test_repeated_fields_are_told_once() -> None:
    """What most hosts repeat in every chunk is one extra; a list that grows adds its new end only."""
    top = {"provider": "X", "system_fingerprint": None, "service_tier": "default"}
    events, _ = feed(
        frame({"content": "a"}, key="delta", citations=["u"], **top),
        frame({"content": "b"}, key="delta", citations=["u"], **top),
        frame({"content": "c"}, key="delta", citations=["u", "v"], **top | {"service_tier": "flex"}),
    )

    assert [
        Started("r1", "m1"),
        TextDelta("a"),
        Extra("citations", ["u"]),
        Extra("provider", "X"),
        Extra("service_tier", "default"),
        TextDelta("b"),
        TextDelta("c"),
        Extra("citations", ["v"]),
        Extra("service_tier", "flex"),
    ] == events


def test_extras_of_choice_and_message() -> None:
    """Unknown fields of a choice and of a message are kept under their names."""
    logprobs = {"content": [{"token": "a"}]}
    choice = {"native_finish_reason": "completed", "logprobs": logprobs, "seed": 0, "stop_reason": None}
    reply = whole(
        {"content": "a", "annotations": [{"type": "x"}], "images": [1], "new": False, "old": ""}, choice=choice
    )

    assert {
        "annotations": [{"type": "x"}],
        "images": [1],
        "new": False,
        "logprobs": logprobs,
        "seed": 0,
        "native_finish_reason": "completed",
    } == reply.extras


def test_lists_and_logprobs_grow_over_a_stream() -> None:
    """Annotations and logprobs of all chunks are one list."""
    deltas = [({"annotations": [n]}, {"logprobs": {"content": [n], "refusal": None}}) for n in (1, 1, 2)]
    events, _ = feed(*(frame(delta, key="delta", choice=choice) for delta, choice in deltas))
    reply = Fold(openai_chat.read_usage).add_all(events).reply()

    assert {"annotations": [1, 1, 2], "logprobs": {"content": [1, 1, 2], "refusal": None}} == reply.extras


def test_texts_of_unknown_fields() -> None:
    """A label that is repeated stays one; a text in pieces loses none of them; audio is put together."""
    reply = streamed(
        {"channel": "analysis", "trace": "a", "audio": {"id": "x", "transcript": "He", "data": "QU"}},
        {"channel": "analysis", "trace": "b", "audio": {"transcript": "y", "data": "JD", "expires_at": 5}},
    )

    assert {
        "channel": "analysis",
        "trace": ["a", "b"],
        "audio": {"id": "x", "transcript": "Hey", "data": "QUJD", "expires_at": 5},
    } == reply.extras


def test_reasoning_that_is_no_text_is_kept() -> None:
    """Reasoning in a shape of a host's own is an extra, not an error."""
    reply = whole({"content": "a", "reasoning": {"summary": "s"}, "reasoning_details": "d"})

    assert (None, {"reasoning": {"summary": "s"}, "reasoning_details": "d"}) == (reply.reasoning, reply.extras)


# --- errors inside HTTP 200 ---


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `failures.in_band` was asked; it answers with a rate limit."""
    asked: list[Any] = []

    def in_band(error: Any, raw: bytes = b"") -> LLMError:
        asked.append(error)
        return RateLimitError("told")

    monkeypatch.setattr(failures, "in_band", in_band)
    return asked


ERROR = {"code": 429, "message": "slow down"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps({"error": ERROR}).encode(), ERROR),
        (b'{"error": "slow down"}', "slow down"),
        (b'{"code": "x", "error": ["odd"]}', "['odd']"),
        (frame({"content": "half"}, finish="error", error=ERROR), ERROR),
        (frame({"content": "half"}, finish="error", choice={"error": ERROR}), ERROR),
        (frame({"content": "half"}, x_groq={"error": "slow down"}), "slow down"),
        (json.dumps({"object": "error", **ERROR}).encode(), {"object": "error", **ERROR}),
    ],
)
def test_error_beats_everything_in_its_frame(told: list[Any], body: bytes, expected: Any) -> None:
    """An error in a body or chunk is raised, whatever else stands there."""
    for read in (lambda: openai_chat.decoder().reply(body), lambda: feed(body)):
        with pytest.raises(RateLimitError, match="told"):
            read()

    assert [expected] * 2 == told


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (json.dumps({"error": ERROR}).encode(), ERROR),
        (json.dumps(ERROR).encode(), ERROR),
        (b"slow down", "slow down"),
        (b"[DONE]", "[DONE]"),
    ],
)
def test_error_event(told: list[Any], data: bytes, expected: Any) -> None:
    """An event named `error` is one, in any of its forms."""
    with pytest.raises(RateLimitError, match="told"):
        feed(data, name="error")

    assert [expected] == told


@pytest.mark.parametrize("nothing", [None, "", {}, False])
def test_empty_error_is_none(told: list[Any], nothing: Any) -> None:
    """A field `error` that says nothing is no error."""
    assert "Hi" == whole({"content": "Hi"}, error=nothing, choice={"error": nothing}).content
    assert [] == told


# --- events that are no chunk ---


@pytest.mark.parametrize("data", [b"", b"  ", b"[DONE]", b" [DONE] ", b"[DONE]\r"])
def test_end_marker_and_heartbeats(data: bytes) -> None:
    """`[DONE]` ends the stream, with spaces around it too; an event without data is a heartbeat."""
    events, decoder = feed(data)

    assert ([], b"DONE" in data) == (events, decoder.ended)


def test_events_of_a_hosts_own() -> None:
    """A named event that is no JSON object is skipped; one that is a chunk is read; a nameless one must be JSON."""
    assert [] == feed(b"alive", name="keepalive")[0]
    assert TextDelta("Hi") in feed(b" " + frame({"content": "Hi"}, key="delta"), name="message")[0]
    with pytest.raises(MalformedResponseError, match=r"A stream event is not JSON"):
        feed(b"alive")
