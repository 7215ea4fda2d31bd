"""Anthropic Messages: canonical requests as bytes."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.dialects.base import PLAIN, Dialect, Profile, Quirks
from multi_llm_wrapper.errors import UnsupportedFeatureError, ValidationError
from multi_llm_wrapper.types import (
    ChatRequest,
    Function,
    JSONSchema,
    Message,
    NamedFunction,
    NamedTool,
    Tool,
    ToolChoice,
)

HI = {"role": "user", "content": "Hi"}
DATA_URL = "data:image/png;base64,iVBORw0="
WEATHER = Tool(Function("weather", "Says the weather.", {"type": "object", "properties": {"city": {"type": "string"}}}))
BUDGET = Profile(reasoning="budget")


def request(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return ChatRequest(model="claude-x", messages=msgspec.convert(list(messages) or [HI], list[Message]), **fields)


def body(*messages: dict[str, Any], profile: Profile = PLAIN, **fields: Any) -> dict[str, Any]:
    wire = anthropic_messages.encode_request(request(*messages, **fields), profile)
    result: dict[str, Any] = json.loads(wire.body)
    return result


def turns(*messages: dict[str, Any]) -> Any:
    return body(*messages)["messages"]


def called(arguments: str, **fields: Any) -> dict[str, Any]:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call], **fields}


def test_the_package_is_a_dialect() -> None:
    """The module satisfies the protocol and carries its name."""
    dialect: Dialect = anthropic_messages

    assert "anthropic_messages" == dialect.name


def test_bytes_of_the_smallest_request() -> None:
    """Model, limit and messages, and nothing that was not given."""
    wire = anthropic_messages.encode_request(request())

    assert "/v1/messages" == wire.path
    assert {} == wire.headers
    assert b'{"model":"claude-x","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]}' == wire.body


def test_bytes_of_a_full_request() -> None:
    """Every field in the words of the API, always in the same order."""
    full = request(
        {"role": "system", "content": "Be brief."},
        HI,
        tools=[Tool(Function("look", parameters={"type": "object"}, strict=True))],
        tool_choice="required",
        parallel_tool_calls=False,
        response_format=JSONSchema({"type": "object"}, name="answer"),
        reasoning_effort="high",
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
        stream=True,
    )

    assert (
        b'{"model":"claude-x","max_tokens":100,"messages":[{"role":"user","content":"Hi"}],"system":"Be brief.",'
        b'"tools":[{"name":"look","input_schema":{"type":"object"},"strict":true}],'
        b'"tool_choice":{"type":"any","disable_parallel_tool_use":true},'
        b'"temperature":0.5,"top_p":0.9,"stop_sequences":["END"],"thinking":{"type":"adaptive"},'
        b'"output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object"}}},"stream":true}'
    ) == anthropic_messages.encode_request(full).body


# --- system -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "system", "content": "A"}], "A"),
        ([{"role": "developer", "content": "A"}], "A"),
        ([{"role": "system", "content": [{"type": "text", "text": "A"}]}], [{"type": "text", "text": "A"}]),
        (
            [{"role": "system", "content": "A"}, {"role": "developer", "content": [{"type": "text", "text": "B"}]}],
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
        ),
        ([{"role": "system", "content": ""}, {"role": "system", "content": "A"}], [{"type": "text", "text": "A"}]),
    ],
)
def test_leading_system_messages_become_system(messages: list[dict[str, Any]], expected: Any) -> None:
    """A single text stays a text, anything else is a list of text blocks."""
    assert expected == body(*messages, HI)["system"]


def test_a_later_system_message_is_moved_to_system() -> None:
    """Older models have no system role among the messages, so it joins the others in front."""
    sent = body({"role": "system", "content": "A"}, HI, {"role": "developer", "content": "B"}, HI)

    assert [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}] == sent["system"]
    assert [{"role": "user", "content": [{"type": "text", "text": "Hi"}] * 2}] == sent["messages"]


@pytest.mark.parametrize("messages", [[{"role": "system", "content": "A"}], [{"role": "assistant", "content": ""}]])
def test_nothing_to_answer_is_refused(messages: list[dict[str, Any]]) -> None:
    """System text alone, or an assistant that said nothing, is no question."""
    with pytest.raises(ValidationError, match="messages has nothing for the model to answer"):
        body(*messages)


# --- turns ------------------------------------------------------------------------------------------------------


def test_tool_results_and_user_text_share_one_turn() -> None:
    """Results stand first, in the order given, whatever was said between them."""
    sent = turns(
        HI,
        called("{}"),
        {"role": "user", "content": "Hurry"},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": [{"type": "text", "text": "sun"}]},
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
    )

    assert {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "sun"}]},
            {"type": "text", "text": "Hurry"},
            {"type": "text", "text": "And?"},
        ],
    } == sent[-1]


def test_consecutive_assistant_messages_are_one_turn() -> None:
    """The API knows turns, not messages."""
    sent = turns(HI, {"role": "assistant", "content": "A"}, called('{"city":"Rome"}'))

    assert [
        {"type": "text", "text": "A"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
    ] == sent[1]["content"]


def test_an_assistant_turn_without_words_is_left_out() -> None:
    """The API refuses empty content, and nothing is lost with it."""
    sent = turns(HI, {"role": "assistant", "content": ""}, {"role": "user", "content": "?"})

    assert [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "?"}]}] == sent


@pytest.mark.parametrize("content", [None, "", "\n\n", [{"type": "text", "text": " "}]])
def test_blank_text_beside_a_call_is_left_out(content: Any) -> None:
    """Blank text blocks are refused by the API; models write them before calls all the same."""
    sent = turns(HI, called("{}", content=content))

    assert [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}] == sent[1]["content"]


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    """A call without arguments has an input all the same."""
    assert {} == turns(HI, called(arguments))[1]["content"][0]["input"]


@pytest.mark.parametrize("arguments", ["[1]", "{", "null", '"a"', "{'a': 1}", '{"a":1}}'])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    """The message names the place."""
    with pytest.raises(ValidationError, match=r"messages\[1\]\.tool_calls\[0\]\.function\.arguments") as caught:
        turns(HI, called(arguments))

    assert "client" == caught.value.rejected_by


def test_names_and_image_details_have_no_words() -> None:
    """They are left out, as the protocol has no place for them."""
    image = {"type": "image_url", "image_url": {"url": "https://x.org/a.png", "detail": "low"}}

    assert [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}]}
    ] == turns({"role": "user", "name": "Ann", "content": [image]})


def test_a_data_url_becomes_base64() -> None:
    """Media type and content are said apart."""
    sent = turns({"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}]})

    assert {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="},
    } == sent[0]["content"][0]


@pytest.mark.parametrize("url", ["https://x.org/a.png", "http://x.org/a.png?b=%20"])
def test_a_link_to_an_image_is_passed_on(url: str) -> None:
    """Fetching it is the provider's business."""
    sent = turns({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})

    assert {"type": "image", "source": {"type": "url", "url": url}} == sent[0]["content"][0]


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,", "data:image/png;base64,a!", "data:image/png,x", "data:;base64,aaaa", "a.png", ""]
)
def test_a_bad_image_url_is_refused(url: str) -> None:
    """The message names the place."""
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]

    with pytest.raises(ValidationError, match=r"messages\[1\]\.content\[1\]\.image_url\.url"):
        turns(HI, {"role": "user", "content": parts})


# --- the native message -----------------------------------------------------------------------------------------

THOUGHT: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    {"type": "text", "text": "Let me "},
    {"type": "text", "text": "look."},
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
]


def native(blocks: Any, **fields: Any) -> dict[str, Any]:
    data = {"dialect": "anthropic_messages", "fields": {"content": blocks}}
    return called('{ "city": "Rome" }', **{"content": "Let me look.", "provider_data": data, **fields})


def test_native_blocks_are_sent_back_verbatim() -> None:
    """Signatures are valid only with the blocks as they came."""
    assert THOUGHT == turns(HI, native(THOUGHT))[1]["content"]


@pytest.mark.parametrize(
    "message",
    [
        native(THOUGHT, content="Edited."),
        native(THOUGHT, tool_calls=None),
        native(THOUGHT, **called('{"city":"Rome"}') | {"tool_calls": [called("{}")["tool_calls"][0] | {"id": "x"}]}),
        native(THOUGHT, tool_calls=called('{"city":"Oslo"}')["tool_calls"]),
        native(THOUGHT, provider_data={"dialect": "gemini", "fields": {"content": THOUGHT}}),
        native("text"),
        native([]),
        native([1]),
        native([{"type": "text", "text": 1}, *THOUGHT[3:]]),
        native(None),
    ],
)
def test_native_blocks_that_say_something_else_are_ignored(message: dict[str, Any]) -> None:
    """Whoever edits the message means the edit; hostile data does no harm."""
    sent = turns(HI, message)[1]["content"]

    assert "thinking" not in json.dumps(sent)


# --- tools ------------------------------------------------------------------------------------------------------


def test_tools_have_a_schema_and_only_what_was_given() -> None:
    """The API demands a schema, so a function without parameters takes an empty object."""
    assert [
        {
            "name": "weather",
            "description": "Says the weather.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
        {"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": False},
    ] == body(tools=[WEATHER, Tool(Function("now", strict=False))])["tools"]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ("required", True, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (NamedTool(NamedFunction("weather")), None, {"type": "tool", "name": "weather"}),
        (
            NamedTool(NamedFunction("weather")),
            False,
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: Any) -> None:
    """Parallel calls are the default, and forbidden as part of the choice."""
    assert expected == body(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice")


def test_no_parallel_calls_without_tools_says_nothing() -> None:
    """Without tools there is no call to forbid."""
    assert "tool_choice" not in body(parallel_tool_calls=False)


# --- limits and reasoning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "profile", "expected"),
    [
        (None, PLAIN, 4096),
        (None, Profile(max_output_tokens=16_384), 16_384),
        (7, Profile(max_output_tokens=16_384), 7),
    ],
)
def test_a_limit_is_always_sent(given: int | None, profile: Profile, expected: int) -> None:
    """The caller's, else the model's, else the default."""
    assert expected == body(profile=profile, max_tokens=given)["max_tokens"]


def test_seed_is_unsupported() -> None:
    """The message says how to go on."""
    with pytest.raises(UnsupportedFeatureError, match="pass drop_unsupported=True or leave it out"):
        body(seed=1)


@pytest.mark.parametrize(
    ("effort", "sent"),
    [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "xhigh"), ("max", "max")],
)
def test_effort_by_name(effort: str, sent: str) -> None:
    """Newer models think adaptively; the API has no `minimal`, its least is `low`."""
    found = body(reasoning_effort=effort)

    assert ({"type": "adaptive"}, {"effort": sent}) == (found["thinking"], found["output_config"])


@pytest.mark.parametrize(
    ("effort", "limit", "budget", "sent_limit"),
    [
        ("minimal", None, 1024, 5120),
        ("low", None, 2048, 6144),
        ("medium", None, 8192, 12_288),
        ("high", None, 16_384, 20_480),
        ("max", None, 32_768, 36_864),
        ("low", 2049, 2048, 2049),
        ("high", 10_000, 5000, 10_000),
        ("low", 2048, 1024, 2048),
        ("high", 1025, 1024, 1025),
    ],
)
def test_effort_by_budget(effort: str, limit: int | None, budget: int, sent_limit: int) -> None:
    """Our limit makes room for the budget; in the caller's limit the budget is made to fit."""
    found = body(profile=BUDGET, reasoning_effort=effort, max_tokens=limit)

    assert {"type": "enabled", "budget_tokens": budget} == found["thinking"]
    assert sent_limit == found["max_tokens"]


def test_a_limit_too_small_to_think_in_is_refused() -> None:
    """The API's least budget is 1024, and must be less than the limit."""
    with pytest.raises(ValidationError, match="max_tokens is 1024, but must be more than 1024"):
        body(profile=BUDGET, reasoning_effort="low", max_tokens=1024)


def test_an_unknown_effort_has_no_budget() -> None:
    """The message names those that have."""
    with pytest.raises(ValidationError, match="'huge', but must be none or one of minimal, low, medium, high"):
        body(profile=BUDGET, reasoning_effort="huge")


@pytest.mark.parametrize(
    ("style", "expected"), [("effort", {"type": "disabled"}), ("budget", {"type": "disabled"}), ("none", None)]
)
def test_effort_none_switches_thinking_off(style: str, expected: Any) -> None:
    """It is said aloud where the model could think, as the newest ones do by default."""
    found = body(profile=Profile(reasoning=style), reasoning_effort="none")

    assert expected == found.get("thinking")
    assert "output_config" not in found


def test_effort_without_reasoning_is_unsupported() -> None:
    """The message says how to go on."""
    with pytest.raises(UnsupportedFeatureError, match=r"claude-x has no reasoning: .*drop_unsupported=True"):
        body(profile=Profile(reasoning="none"), reasoning_effort="low")


# --- the rest ---------------------------------------------------------------------------------------------------


def test_quirks_add_fields_but_never_beat_the_caller() -> None:
    """What every request to a host carries stands beside what was asked."""
    quirks = Quirks(always={"service_tier": "auto", "max_tokens": 1})

    sent = json.loads(anthropic_messages.encode_request(request(), PLAIN, quirks).body)

    assert ("auto", 4096) == (sent["service_tier"], sent["max_tokens"])


@pytest.mark.parametrize("value", ["\ud800", object()])
def test_what_is_no_json_is_refused(value: Any) -> None:
    """No foreign exception comes out of a bad value."""
    with pytest.raises(ValidationError, match="cannot be written as JSON"):
        body(tools=[Tool(Function("f", parameters={"x": value}))])


def test_encoding_changes_nothing_of_the_request() -> None:
    """The same request can be encoded twice, for a retry or another route."""
    asked = request(HI, native(THOUGHT), {"role": "tool", "tool_call_id": "toolu_1", "content": "x"})
    before = copy.deepcopy(asked)

    assert anthropic_messages.encode_request(asked) == anthropic_messages.encode_request(asked)
    assert before == asked
