"""What Gemini answers, as events: every rule of the decoder, and that nothing but errors of ours escapes it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects import gemini
from multi_llm_wrapper.errors import ContentFilterError, LLMError, MalformedResponseError, RateLimitError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import ServerEvent
from multi_llm_wrapper.types import (
    Event,
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
from tests.strategies import json_values, well_typed


def chunk(*parts: Any, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of parts (a str is a text part); `fields` go into the candidate."""
    written = [{"text": part} if isinstance(part, str) else part for part in parts]
    candidate = {"content": {"parts": written, "role": "model"}, **fields}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})]}


def call(name: str = "f", signature: str | None = None, **fields: Any) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": name, **fields}}
    return part | {"thoughtSignature": signature} if signature else part


def events(value: Any) -> list[Event]:
    return gemini.decoder().reply(json.dumps(value).encode())


def reply(value: Any) -> Reply:
    return Fold(gemini.read_usage).add_all(events(value)).reply()


def stream(*chunks: Any) -> tuple[Reply, bool]:
    """The reply of a stream of these chunks, and whether it was ended."""
    decoder, fold = gemini.decoder(), Fold(gemini.read_usage)
    for one in chunks:
        fold.add_all(decoder.feed(ServerEvent("", one if isinstance(one, bytes) else json.dumps(one).encode())))
    return fold.add_all(decoder.close()).reply(), decoder.ended


# --- the whole --------------------------------------------------------------------------------------------------


def test_events_of_a_reply() -> None:
    """Each piece is the event of its kind, in the order in which it came."""
    body = chunk({"text": "Hm.", "thought": True}, "Hi", call(args={"a": [1, None]}, id="x1"), finish="STOP")
    body |= {"responseId": "r1", "modelVersion": "gemini-x", "usageMetadata": {"promptTokenCount": 1}}

    assert events(body) == [
        Started("r1", "gemini-x"),
        ReasoningDelta("Hm."),
        TextDelta("Hi"),
        ToolCallDelta(0, "x1", "f", '{"a":[1,null]}'),
        Finished("tool_calls", "STOP"),
        UsageReport({"promptTokenCount": 1}),
        Native(
            NativeMessage(
                "gemini",
                {
                    "parts": [
                        {"text": "Hm.", "thought": True},
                        {"text": "Hi"},
                        {"functionCall": {"name": "f", "args": {"a": [1, None]}, "id": "x1"}},
                    ]
                },
            )
        ),
    ]


def test_events_of_a_stream() -> None:
    """A chunk gives its events at once; the native turn comes at the end, and only once."""
    decoder = gemini.decoder()

    def feed(value: Any) -> list[Event]:
        return decoder.feed(ServerEvent("", json.dumps(value).encode()))

    assert feed(chunk("Hel") | {"responseId": "r"}) == [Started("r", None), TextDelta("Hel")]
    assert feed(chunk("lo")) == [TextDelta("lo")]
    assert not decoder.ended
    assert feed(chunk({"text": "", "thoughtSignature": "cw=="}, finish="STOP")) == [Finished("stop", "STOP")]
    assert not decoder.ended
    assert feed({"usageMetadata": {"promptTokenCount": 3}}) == [UsageReport({"promptTokenCount": 3})]
    parts = [{"text": "Hello"}, {"text": "", "thoughtSignature": "cw=="}]
    assert decoder.close() == [Native(NativeMessage("gemini", {"parts": parts}))]
    assert decoder.ended
    assert decoder.close() == []


@pytest.mark.parametrize("data", [b"", b"[DONE]", b"[]", b"{}", b' {"responseId": "r"}'])
def test_events_that_say_nothing(data: bytes) -> None:
    """An event without candidates gives nothing; end markers of other protocols are passed over."""
    assert gemini.decoder().feed(ServerEvent("", data)) == []


def test_a_list_is_read_in_order() -> None:
    """A stream asked for without alt=sse comes as a list of chunks, and reads as the chunks would."""
    chunks = [chunk("a"), chunk("b", finish="STOP")]

    assert reply(chunks) == stream(*chunks)[0]
    assert reply(chunks).content == "ab"


def test_cut_off_stream() -> None:
    """Without a finish reason a stream is not ended, however it stopped."""
    answer, ended = stream(chunk("a"), chunk("b", finish="FINISH_REASON_UNSPECIFIED"))

    assert (answer.content, answer.finish_reason, ended) == ("ab", None, False)


# --- parts ------------------------------------------------------------------------------------------------------


def test_calls_without_ids() -> None:
    """Ids are made up from the place of the call and the id of the answer: the same each time it is read, and others
    in the next answer."""
    first = chunk(call("f", args={}), call("g"), finish="STOP") | {"responseId": "r1"}
    second = first | {"responseId": "r2"}

    assert reply(first).tool_calls == [ToolCall("call_0_0d0e09b1", "f", "{}"), ToolCall("call_1_0d0e09b1", "g", "{}")]
    assert stream(first)[0].tool_calls == reply(first).tool_calls
    assert not {c.id for c in reply(first).tool_calls} & {c.id for c in reply(second).tool_calls}
    assert reply(chunk(call())).tool_calls == [ToolCall("call_0", "f", "{}")]


OPAQUE: list[dict[str, Any]] = [
    {"executableCode": {"code": "1+1", "language": "PYTHON"}, "thoughtSignature": "cw=="},
    {"codeExecutionResult": {"output": "2"}},
    {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}},
    {"toolResponse": {"id": "1"}},
    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    {"fileData": {"fileUri": "x"}},
    {"tomorrow": 1},
    {"functionCall": {"name": "f", "willContinue": True}},
    {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}], "willContinue": True}},
    {"functionCall": {}},
    {"functionResponse": {"name": "f"}},
]


@pytest.mark.parametrize("part", OPAQUE)
def test_opaque_parts(part: dict[str, Any]) -> None:
    """What happens on the provider's side is kept in extras and native, and is no content and no call."""
    answer = reply(chunk("a", part, "b", finish="STOP"))

    assert (answer.content, answer.tool_calls, answer.finish_reason) == ("ab", [], "stop")
    assert answer.extras == {"parts": [part]}
    assert answer.native == NativeMessage("gemini", {"parts": [{"text": "a"}, part, {"text": "b"}]})


@pytest.mark.parametrize(
    "part",
    [
        {"text": "b", "thoughtSignature": "cw=="},
        {"text": "b", "partMetadata": {"x": 1}},
        {"text": "b", "thought": True},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "cw=="},
        {"functionCall": {"name": "f", "tomorrow": 1}},
        {"text": "", "thoughtSignature": "cw=="},
    ],
)
def test_parts_that_make_a_native_turn(part: dict[str, Any]) -> None:
    """A signature, a thought or a field nobody knows must go back as it came."""
    assert reply(chunk("a", part)).native == NativeMessage("gemini", {"parts": [{"text": "a"}, part]})


def test_no_native_turn_without_need() -> None:
    """Text and calls say all there is to say."""
    assert reply(chunk("a", "b", {}, "", call(args={"x": 1}, id="i"))).native is None


def test_unknown_fields_of_text_and_calls() -> None:
    """A text or call part with more in it is read, and kept."""
    parts = [{"text": "a", "tomorrow": 1}, {"functionCall": {"name": "f", "tomorrow": 1}}]
    answer = reply(chunk(*parts))

    assert (answer.content, [c.name for c in answer.tool_calls], answer.extras) == ("a", ["f"], {"parts": parts})


def test_joining_is_the_same_streamed_or_not() -> None:
    """However text and thoughts are cut, the native turn is the same; what differs in kind is not joined."""
    signed = {"text": "c", "thoughtSignature": "cw=="}
    whole = [{"text": "1234", "thought": True}, {"text": "ab"}, signed, {"text": "d"}]
    pieces = [{"text": "12", "thought": True}, {"text": "34", "thought": True}, "a", "", "b", signed, {}, "d"]

    assert reply(chunk(*whole)) == stream(*map(chunk, pieces))[0]
    assert reply(chunk(*whole)).native == NativeMessage("gemini", {"parts": whole})


def test_odd_thoughts_are_kept_as_they_are() -> None:
    """A thought that is neither absent nor true is not joined with others."""
    parts = [{"text": "a", "thought": False}, {"text": "b", "thought": False}]

    assert reply(chunk(*parts)).native == NativeMessage("gemini", {"parts": parts})
    assert reply(chunk(*parts)).content == "ab"


# --- why it ended -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((word, "content_filter") for word in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        *((word, "content_filter") for word in ("LANGUAGE", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT")),
        *((word, "content_filter") for word in ("IMAGE_RECITATION", "MODEL_ARMOR")),
        *((word, "other") for word in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS")),
        *((word, "other") for word in ("OTHER", "NO_IMAGE", "IMAGE_OTHER", "SOMETHING_NEW")),
        ("FINISH_REASON_UNSPECIFIED", None),
    ],
)
def test_finish_reasons(word: str, reason: str | None) -> None:
    """Every word of the provider has its meaning; one that nobody knows is `other`."""
    answer = reply(chunk("a", finish=word))

    assert (answer.finish_reason, answer.provider_finish_reason) == (reason, word if reason else None)


@pytest.mark.parametrize(
    ("word", "reason"),
    [("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("UNEXPECTED_TOOL_CALL", "other"), ("SAFETY", "content_filter")],
)
def test_finish_reasons_with_calls(word: str, reason: str) -> None:
    """STOP after calls means that the calls are to be answered; any other word keeps its meaning."""
    assert reply(chunk(call(), finish=word)).finish_reason == reason
    assert stream(chunk(call()), chunk(finish=word))[0].finish_reason == reason


@pytest.mark.parametrize("content", [{}, None, {"role": "model"}, {"parts": []}, {"parts": None}])
def test_an_answer_without_parts(content: Any) -> None:
    """A finish reason alone is an answer: the model was stopped before it said anything."""
    answer = events({"candidates": [{"content": content, "finishReason": "SAFETY"}]})

    assert answer == [Started(None, None), Finished("content_filter", "SAFETY")]


def test_a_blocked_prompt() -> None:
    """A prompt that a filter blocked has no answer: an error with the provider's reason, streamed or not."""
    body = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No."}, "usageMetadata": {}}
    for read in (events, stream):
        with pytest.raises(ContentFilterError, match=r"blocked the prompt \(SAFETY: No\)") as raised:
            read(body)
        assert (raised.value.code, raised.value.rejected_by) == ("SAFETY", "provider")
    with pytest.raises(ContentFilterError, match=r"\(OTHER\)"):
        events({"candidates": [], "promptFeedback": {"blockReason": "OTHER"}})


def test_blocked_in_the_middle() -> None:
    """A block after an answer began ends the answer as a filter does."""
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    answer, ended = stream(chunk("Hel"), {"promptFeedback": feedback})

    assert (answer.content, answer.finish_reason, ended) == ("Hel", "content_filter", True)
    assert answer.provider_finish_reason == "PROHIBITED_CONTENT"
    assert answer.extras == {"promptFeedback": feedback}


def test_no_candidates() -> None:
    """Without a candidate nothing is said to have started; a body that is no answer at all is malformed."""
    assert events({"candidates": [], "usageMetadata": {"promptTokenCount": 1}}) == [
        UsageReport({"promptTokenCount": 1})
    ]
    assert events({"usageMetadata": {"trafficType": "ON_DEMAND"}}) == [UsageReport({"trafficType": "ON_DEMAND"})]
    bodies: list[Any] = [{}, {"responseId": "x"}, [], [{}]]
    for body in bodies:
        with pytest.raises(MalformedResponseError, match="no candidates") as raised:
            events(body)
        assert raised.value.code == "no_candidates"


# --- errors inside HTTP 200 -------------------------------------------------------------------------------------

ERROR = {"error": {"code": 429, "message": "Resource has been exhausted.", "status": "RESOURCE_EXHAUSTED"}}


@pytest.mark.parametrize("body", [ERROR, [ERROR], ERROR | chunk("a")])
def test_errors_inside_a_success(body: Any) -> None:
    """An error object under HTTP 200 has the class that it would have under its own status, also in a list."""
    pretty = json.dumps(body, indent=2)
    with pytest.raises(RateLimitError, match="exhausted"):
        gemini.decoder().reply(pretty.encode())
    with pytest.raises(RateLimitError, match="exhausted"):
        gemini.decoder().feed(ServerEvent("", pretty.encode()))


def test_null_errors() -> None:
    """A null error is none."""
    assert reply(chunk("a") | {"error": None}).content == "a"


# --- everything else --------------------------------------------------------------------------------------------


def test_metadata() -> None:
    """Fields of the candidate and of the chunk are kept under their own names; lists in pieces are gathered."""
    rest = {"avgLogprobs": -0.1, "finishMessage": "Done.", "tokenCount": 5, "tomorrow": None}
    answer, _ = stream(
        chunk("a", groundingMetadata={}),
        chunk("b", groundingMetadata={"groundingChunks": [1]}, logprobsResult={"chosenCandidates": ["a"]}),
        chunk("c", groundingMetadata={"groundingChunks": [2]}, logprobsResult={"chosenCandidates": ["a"]}),
        chunk(finish="STOP", citationMetadata={"citations": [1]}, urlContextMetadata={"urlMetadata": []}, **rest)
        | {"modelStatus": {"a": 1}, "createTime": "now"},
    )

    assert answer.extras == {
        "groundingMetadata": {"groundingChunks": [1, 2]},
        "logprobsResult": {"chosenCandidates": ["a", "a"]},
        "citationMetadata": {"citations": [1]},
        "urlContextMetadata": {"urlMetadata": []},
        "avgLogprobs": -0.1,
        "finishMessage": "Done.",
        "tokenCount": 5,
        "modelStatus": {"a": 1},
    }


def test_unknown_fields_of_content() -> None:
    """Content may have more than parts."""
    assert reply({"candidates": [{"content": {"parts": [], "tomorrow": 1}}]}).extras == {"tomorrow": 1}


def test_repeated_ratings() -> None:
    """Ratings that are the same in every chunk are kept once."""
    ratings = [{"category": "X", "probability": "LOW"}]
    other = [{"category": "X", "probability": "HIGH"}]
    answer, _ = stream(*(chunk("a", safetyRatings=r) for r in (ratings, ratings, other)))

    assert answer.extras == {"safetyRatings": ratings + other}


def test_several_candidates() -> None:
    """The first candidate is the answer; the others are kept, also when a chunk holds only them."""
    mine = {"content": {"parts": [{"text": "a"}]}}
    other = {"content": {"parts": [{"text": "x"}]}, "index": 1, "finishReason": "STOP"}
    answer, ended = stream({"candidates": [mine, other]}, {"candidates": [other]}, {"candidates": [mine, mine]})

    assert (answer.content, ended) == ("aa", False)
    assert answer.extras == {"candidates": [other, other, mine]}


# --- usage ------------------------------------------------------------------------------------------------------


def test_usage() -> None:
    """Tool-use prompts are input, thoughts are output, cached tokens are in the prompt already."""
    raw = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 10,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 135,
    }

    assert gemini.read_usage(raw) == Usage(110, 25, 135, 40, None, 5)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"promptTokenCount": 7, "totalTokenCount": 7}, Usage(7, 0, 7, 0, None, 0)),
        ({"promptTokenCount": 7, "candidatesTokenCount": 2}, Usage(7, 2, 9, 0, None, 0)),
        ({"promptTokenCount": 0}, Usage(0, 0, 0, 0, None, 0)),
        ({"trafficType": "ON_DEMAND"}, Usage()),
        ({}, Usage()),
        ({"promptTokenCount": "7", "candidatesTokenCount": -1, "totalTokenCount": True}, Usage()),
        ({"totalTokenCount": 9, "candidatesTokenCount": 2}, Usage(None, 2, 9)),
    ],
)
def test_usage_in_part(raw: dict[str, Any], usage: Usage) -> None:
    """Beside a prompt count a missing count is 0; without one, what was not reported is None."""
    assert gemini.read_usage(raw) == usage


def test_the_last_usage_counts() -> None:
    """Every chunk says what was used so far."""
    first, last = {"promptTokenCount": 1}, {"promptTokenCount": 1, "candidatesTokenCount": 9}
    answer, _ = stream(chunk("a") | {"usageMetadata": first}, chunk("b") | {"usageMetadata": last})

    assert (answer.raw_usage, answer.usage) == (last, Usage(1, 9, 10, 0, None, 0))


# --- what is no answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"<html>", b"1", b"null", b'"x"', b"{", b"[1]", b"[[]]", b"\xff", b"[" * 5000])
def test_bodies_that_are_no_answer(body: bytes) -> None:
    """What is no JSON object is a malformed response, and so is such an event."""
    with pytest.raises(MalformedResponseError):
        gemini.decoder().reply(body)
    if body:
        with pytest.raises(MalformedResponseError):
            gemini.decoder().feed(ServerEvent("", body))


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": {"a": 1}},
        {"candidates": "x"},
        {"candidates": [1]},
        {"candidates": [{"content": [1]}]},
        {"candidates": [{"content": {"parts": {"a": 1}}}]},
        {"candidates": [{"content": {"parts": ["x"]}}]},
        {"candidates": [{"finishReason": 1}]},
        chunk({"text": 1}),
        chunk({"functionCall": 1}),
        chunk({"functionCall": {"name": 1}}),
        chunk({"functionCall": {"name": "f", "id": 1}}),
        chunk({"functionCall": {"name": "f", "args": [1]}}),
        chunk("a") | {"responseId": 1},
        chunk("a") | {"modelVersion": 1},
        chunk("a") | {"usageMetadata": 1},
        {"promptFeedback": 1},
        {"promptFeedback": {"blockReason": 1}},
        {"promptFeedback": {"blockReason": "X", "blockReasonMessage": 1}},
    ],
)
def test_wrong_shapes(body: Any) -> None:
    """A wrong type where the answer is read is a malformed response that names the place."""
    with pytest.raises(MalformedResponseError, match="not in the provider's protocol") as raised:
        events(body)
    assert raised.value.code == "unexpected_shape"


def test_arguments_nested_deeply() -> None:
    """Arguments nested almost too deeply to be read, or too deeply, are no crash."""
    outcomes = set()
    for depth in range(700, 1000):
        args = b'{"a":' * depth + b"1" + b"}" * depth
        body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%b}}]}}]}' % args
        for read in (gemini.decoder().reply, lambda data: gemini.decoder().feed(ServerEvent("", data))):
            try:
                read(body)
            except MalformedResponseError as error:
                outcomes.add(error.code)
    assert outcomes == {"invalid_json"}


def test_mutated_recordings(recordings: Path) -> None:
    """Real chunks with anything in any place are read well typed or raise an error of ours."""
    chance = random.Random(7)
    junk: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], [None], ["x"], {}, {"x": 1}, [{}], {"text": 1}, [[]]]
    failures = 0
    lines = (recordings / "gemini.jsonl").read_bytes().splitlines()
    bodies = [msgspec.json.decode(line)["response"].get("body") for line in lines]
    for body in filter(None, bodies):
        for _ in range(15):
            broken = mutate(body, chance, junk)
            try:
                events = gemini.decoder().reply(msgspec.json.encode(broken))
            except LLMError:
                failures += 1
            else:
                assert well_typed(Fold(gemini.read_usage).add_all(events).reply())
    assert failures > 100


def mutate(value: Any, chance: random.Random, junk: list[Any]) -> Any:
    """A copy with something else somewhere."""
    if chance.random() < 0.1 or not isinstance(value, dict | list) or not value:
        return chance.choice(junk)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    place = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy[place] = mutate(value[place], chance, junk)
    return copy


NAMES = ("candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "id", "finishReason")
MORE = ("usageMetadata", "promptFeedback", "blockReason", "safetyRatings", "index", "error", "thoughtSignature")


@given(
    st.recursive(
        json_values | st.sampled_from(["STOP", "f"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES + MORE), inner, max_size=4),
        max_leaves=12,
    )
)
def test_anything_at_all(value: Any) -> None:
    """JSON made of the protocol's own words, in any shape, is read well typed or raises an error of ours."""
    inside = {"candidates": [{"content": {"parts": [value]}, "finishReason": value}]}
    beside = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": value, "responseId": value}
    for body in (value, inside, beside):
        data = msgspec.json.encode(body)
        for read in (gemini.decoder().reply, lambda body: gemini.decoder().feed(ServerEvent("", body))):
            try:
                fold = Fold(gemini.read_usage).add_all(read(data))
            except LLMError:
                continue
            assert well_typed(fold.reply())
