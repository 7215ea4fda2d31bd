"""Whatever pieces an answer comes in, it is the same answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.fold import Fold
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
from tests.strategies import all_events, pieces, replies, reply_events


def read_usage(raw: dict[str, Any]) -> Usage:
    return Usage(input_tokens=raw.get("in"), output_tokens=raw.get("out"))


def fold(*events: Event) -> Reply:
    return Fold(read_usage).add_all(events).reply()


# --- by example -------------------------------------------------------------------------------------------------


def test_nothing_is_an_empty_reply() -> None:
    """Without an event there is no answer: no text, no reason, no usage; and no proof that there is one."""
    empty = Fold(read_usage)

    assert Reply() == empty.reply()
    assert not empty.started
    assert not empty.finished


def test_a_whole_answer() -> None:
    """Each kind of event has its place in the reply."""
    native = NativeMessage("x", {"a": 1})

    assert Reply(
        content="Hello there",
        reasoning="Hm, hello",
        tool_calls=[ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "g", "")],
        finish_reason="tool_calls",
        provider_finish_reason="TOOL",
        usage=Usage(input_tokens=3, output_tokens=4),
        raw_usage={"in": 3, "out": 4},
        response_id="r",
        response_model="m",
        native=native,
        extras={"citations": ["u"]},
    ) == fold(
        Started("r", "m"),
        ReasoningDelta("Hm, "),
        ReasoningDelta("hello"),
        TextDelta("Hello "),
        TextDelta("there"),
        ToolCallDelta(0, "c1", "f", '{"a"'),
        ToolCallDelta(0, arguments=": 1}"),
        ToolCallDelta(1, "c2", "g"),
        Extra("citations", ["u"]),
        Finished("tool_calls", "TOOL"),
        UsageReport({"in": 3, "out": 4}),
        Native(native),
    )


def test_started_and_finished_are_seen_at_once() -> None:
    """Who reads a stream can ask whether there is an answer, and whether the provider said why it stopped."""
    gathered = Fold(read_usage)

    gathered.add(TextDelta("a"))
    assert not gathered.started
    gathered.add(Started())
    assert gathered.started
    assert not gathered.finished
    gathered.add(Finished("stop"))
    assert gathered.finished


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([Started("a", "m"), Started("b", "n")], ("a", "m")),
        ([Started(), Started("b", "n")], ("b", "n")),
        ([Started("a"), Started(None, "n")], ("a", "n")),
        ([Started("", ""), Started("b", "n")], ("b", "n")),
        ([Started("a", "m"), Started()], ("a", "m")),
    ],
)
def test_the_first_identity_counts(events: list[Event], expected: tuple[str, str]) -> None:
    """Id and model are the first that were told; what a start left open, a later one fills in."""
    reply = fold(*events)

    assert expected == (reply.response_id, reply.response_model)


def test_the_last_word_counts() -> None:
    """Reason, usage and native message may come again; the last one is the whole truth."""
    reply = fold(
        UsageReport({"in": 1, "out": 1}),
        Finished("stop", "STOP"),
        Native(NativeMessage("x", {"n": 1})),
        UsageReport({"out": 9}),
        Finished("length", "MAX"),
        Native(NativeMessage("x", {"n": 2})),
    )

    assert (Usage(output_tokens=9), {"out": 9}) == (reply.usage, reply.raw_usage)
    assert (reply.finish_reason, reply.provider_finish_reason) == ("length", "MAX")
    assert NativeMessage("x", {"n": 2}) == reply.native


def test_a_usage_object_without_a_count_reports_nothing() -> None:
    """The same as none at all, but that it is kept as it came."""
    reply = fold(UsageReport({"tier": "x"}))
    assert (None, {"tier": "x"}) == (reply.usage, reply.raw_usage)
    assert fold().usage is None


def test_empty_reasoning_is_no_absence() -> None:
    """Reasoning that came, but empty, is told from none."""
    assert fold(ReasoningDelta("")).reasoning == ""
    assert fold().reasoning is None


def test_tool_calls_are_kept_apart_and_in_order() -> None:
    """Interleaved calls come out by index, whatever the order and the gaps; id and name are the first ones told."""
    reply = fold(
        ToolCallDelta(5, "c5", "f", "["),
        ToolCallDelta(2, None, None, "{"),
        ToolCallDelta(5, "other", "other", "]"),
        ToolCallDelta(2, "c2", None, ""),
        ToolCallDelta(2, None, "g", "}"),
    )

    assert [ToolCall("c2", "g", "{}"), ToolCall("c5", "f", "[]")] == reply.tool_calls


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1], [2, 3], []], [1, 2, 3]),
        ([{"content": [1], "n": 1}, {"content": [2], "n": 2, "m": None}], {"content": [1, 2], "n": 2, "m": None}),
        ([{"content": None}, {"content": [1]}], {"content": [1]}),
        ([{"content": [1]}, {"content": None}], {"content": None}),
        ([1, 2], 2),
        (["a", "b"], "b"),
        ([[1], "b"], "b"),
        (["a", [1]], [1]),
        ([{"a": 1}, [1]], [1]),
        ([None, {"a": 1}], {"a": 1}),
        ([{"a": 1}, None], None),
    ],
)
def test_extras_are_gathered(values: list[Any], expected: Any) -> None:
    """Under one name lists grow and objects are merged; of anything else, or of mixed kinds, the last one counts."""
    assert {"x": expected} == fold(*(Extra("x", value) for value in values)).extras


def test_refusals_are_text() -> None:
    """A refusal comes in pieces, as text does."""
    assert fold(Extra("refusal", "I "), Extra("refusal", "cannot")).extras == {"refusal": "I cannot"}


def test_names_of_extras_are_kept_apart() -> None:
    """Each name gathers its own."""
    assert fold(Extra("a", [1]), Extra("b", [2])).extras == {"a": [1], "b": [2]}


def test_the_events_stay_as_they_are() -> None:
    """Gathering changes no event: the same ones give the same answer again."""
    events: list[Event] = [
        Extra("x", [1]),
        Extra("x", [2]),
        Extra("y", {"a": [1]}),
        Extra("y", {"a": [2]}),
        UsageReport({"in": 1}),
    ]

    assert fold(*events) == fold(*events)
    assert Extra("x", [1]) == events[0]
    assert Extra("y", {"a": [1]}) == events[2]


def test_an_early_reply_is_what_has_come_so_far() -> None:
    """A reply may be asked for at any time, and again later."""
    gathered = Fold(read_usage).add_all([Started("r"), TextDelta("a"), ToolCallDelta(0, "c", "f", "{")])
    early = gathered.reply()

    late = gathered.add_all([TextDelta("b"), ToolCallDelta(0, arguments="}"), Finished("stop")]).reply()

    assert Reply(content="a", response_id="r", tool_calls=[ToolCall("c", "f", "{")]) == early
    assert ("ab", [ToolCall("c", "f", "{}")], "stop") == (late.content, late.tool_calls, late.finish_reason)


def test_an_early_reply_stays_as_it_was() -> None:
    """What comes later does not change a reply that was given before."""
    gathered = Fold(read_usage).add_all([Extra("citations", ["a"])])
    early = gathered.reply()

    gathered.add_all([Extra("citations", ["b"]), Extra("more", 1)])

    assert early.extras == {"citations": ["a"]}


def _seconds(pieces_of_logprobs: int) -> float:
    gathered = Fold(read_usage)
    start = time.thread_time()
    for i in range(pieces_of_logprobs):
        gathered.add(Extra("logprobs", {"content": [i]}))
    gathered.reply()
    return time.thread_time() - start


@pytest.mark.benchmark_safe
def test_logprobs_are_gathered_in_linear_time() -> None:
    """Eight times the pieces cost about eight times as much, not sixty-four times."""
    small = min(_seconds(3_000) for _ in range(5))

    assert min(_seconds(24_000) for _ in range(3)) < 32 * small


# --- any answer, in any pieces ----------------------------------------------------------------------------------


@given(replies(), st.data())
def test_pieces_make_no_difference(reply: Reply, data: st.DataObject) -> None:
    """An answer in one piece and the same in many fold to the same reply."""
    events: list[Event] = [Started(reply.response_id, reply.response_model), *data.draw(reply_events(reply))]
    events += [Finished(reply.finish_reason, reply.provider_finish_reason)] if reply.finish_reason else []

    whole = fold(*all_events(reply))

    assert whole == fold(*events)
    for field in ("content", "reasoning", "tool_calls", "finish_reason", "response_id", "response_model"):
        assert getattr(reply, field) == getattr(whole, field)


@given(replies(), st.data())
def test_one_by_one_and_at_once(reply: Reply, data: st.DataObject) -> None:
    """Adding events one by one, with replies asked for in between, gives what adding them at once gives."""
    events = [Started(reply.response_id), *data.draw(reply_events(reply))]
    gathered = Fold(read_usage)
    for event in events:
        gathered.add(event)
        gathered.reply()

    assert fold(*events) == gathered.reply()


def interleave(draw: st.DrawFn, streams: Iterable[list[Event]]) -> list[Event]:
    """Events of several parts, each part in its own order, mixed."""
    left = [list(stream) for stream in streams if stream]
    mixed = []
    while left:
        stream = left[draw(st.integers(0, len(left) - 1))]
        mixed.append(stream.pop(0))
        left = [each for each in left if each]
    return mixed


@st.composite
def mixed_events(draw: st.DrawFn) -> tuple[list[Event], Reply]:
    """Text, reasoning and two calls, cut and mixed at will, with the reply they are."""
    text, thought, first, second = (draw(st.text(max_size=12)) for _ in range(4))
    streams: list[list[Event]] = [
        [TextDelta(piece) for piece in draw(pieces(text))],
        [ReasoningDelta(piece) for piece in draw(pieces(thought))],
        [ToolCallDelta(0, "a", "f"), *(ToolCallDelta(0, arguments=piece) for piece in draw(pieces(first)))],
        [ToolCallDelta(1, "b", "g"), *(ToolCallDelta(1, arguments=piece) for piece in draw(pieces(second)))],
        [Extra("words", [word]) for word in text.split()],
    ]
    calls = [ToolCall("a", "f", first), ToolCall("b", "g", second)]
    extras = {"words": text.split()} if text.split() else {}
    return interleave(draw, streams), Reply(content=text, reasoning=thought or None, tool_calls=calls, extras=extras)


@given(mixed_events())
def test_parts_do_not_mix(case: tuple[list[Event], Reply]) -> None:
    """Parts that come interleaved do not touch each other."""
    events, expected = case

    assert expected == fold(*events)
