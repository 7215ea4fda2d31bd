"""What a caller says about one call: taken as it is meant, or refused in words before anything is sent."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, Timeouts
from multi_llm_wrapper.errors import LLMError, ValidationError
from multi_llm_wrapper.options import KNOWN, Options, build_request, check_call, check_names, response_schema
from multi_llm_wrapper.secret import Secret
from multi_llm_wrapper.transport.base import HTTPRequest, HTTPResponse
from multi_llm_wrapper.types import (
    AssistantMessage,
    DeveloperMessage,
    FunctionCall,
    ImagePart,
    ImageURL,
    JSONSchema,
    MessageToolCall,
    NamedFunction,
    NamedTool,
    NativeMessage,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)

CANARY = "sk-canary-0123456789"
HUGE = 10**5000
CONTRACT = [
    "system", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "max_tokens",
    "temperature", "top_p", "stop", "seed", "timeout", "timeouts", "max_retries", "fallbacks", "on_interrupt",
    "hedge_after", "cache", "cache_ttl", "tags", "api_key", "extra_body", "extra_headers", "drop_unsupported",
    "raise_on_error", "keep_raw",
]  # fmt: skip
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class Markup(str):
    """As template engines make them."""


class Level(enum.StrEnum):
    HIGH = "high"


class Person(BaseModel):
    name: str


@dataclass
class Plain:
    name: str


def message(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": "hi", **fields}


def request_of(prompt: Any = "hi", **options: Any) -> Any:
    return build_request(prompt, "m", options, stream=False)  # type: ignore[arg-type]  # also what types forbid


def refusal(prompt: Any = "hi", **options: Any) -> LLMError:
    """The error for these, whichever step finds it."""
    with pytest.raises(ValidationError) as caught:
        _checked(prompt, options)
    return caught.value


def _checked(prompt: Any, options: Any) -> None:
    check_call(options)
    request_of(prompt, **options)


# --- names ------------------------------------------------------------------------------------------------------


def test_the_options_are_those_of_the_contract() -> None:
    """No option is missing, none is secret; two came after the contract."""
    assert {*CONTRACT, "fallback_on", "cache_namespace"} == KNOWN


@pytest.mark.parametrize("name", CONTRACT)
def test_each_option_of_the_contract_is_known(name: str) -> None:
    """A known keyword passes, and None is the same as leaving it out."""
    given: Any = {name: None}
    check_names(given)
    check_call(given)

    assert request_of() == request_of(**given)


def test_an_unknown_option_is_a_type_error() -> None:
    """A misspelt keyword is a programming mistake; the message names it and what there is."""
    with pytest.raises(TypeError, match=r"^unknown option 'max_token', 'temprature'; known are api_key, .*, top_p$"):
        check_names({"temprature": 1, "max_token": 5, "seed": 1})


@pytest.mark.asyncio
async def test_the_wrapper_raises_for_an_unknown_option() -> None:
    """Of `query()` and `stream()` alike, before anything else."""
    wrapper: Any = LLMWrapper(OpenAIConfig("k"))

    with pytest.raises(TypeError, match="unknown option 'temprature'"):
        await wrapper.query("hi", "gpt-4o", temprature=1)
    with pytest.raises(TypeError, match="unknown option 'temprature'"):
        wrapper.stream("hi", "gpt-4o", temprature=1)
    with pytest.raises(TypeError, match="unknown option 'temprature'"):
        await wrapper.query("hi", "gpt-4o", stream=True, temprature=1)


# --- messages ---------------------------------------------------------------------------------------------------


def test_a_text_is_a_user_message() -> None:
    """The simplest prompt."""
    request = request_of("hi")

    assert [UserMessage("hi")] == request.messages
    assert "m" == request.model
    assert not request.stream


@pytest.mark.parametrize("text", [Markup("high"), Level.HIGH])
def test_a_text_of_a_special_class_is_sent_as_text(text: str) -> None:
    """Markup and enum texts are sent by their value, as prompt and as system text."""
    request = request_of(text, system=text)

    assert [SystemMessage("high"), UserMessage("high")] == request.messages
    assert {str} == {type(one.content) for one in request.messages}


def test_every_kind_of_message_is_read() -> None:
    """All roles and parts of the contract become the canonical messages; unknown fields are left out."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = request_of(
        [
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": "c", "name": "ann", "unknown": 1},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "d"},
                    {"type": "image_url", "image_url": {"url": "https://x.example.com/a.png", "detail": "low"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "assistant", "content": "e", "provider_data": {"dialect": "gemini", "fields": {"parts": [1]}}},
        ]
    )

    assert [
        SystemMessage("a"),
        DeveloperMessage([TextPart("b")]),
        UserMessage("c", "ann"),
        UserMessage([TextPart("d"), ImagePart(ImageURL("https://x.example.com/a.png", "low"))]),
        AssistantMessage(None, [MessageToolCall("c1", FunctionCall("f", "{}"))]),
        ToolMessage("", "c1"),
        AssistantMessage("e", provider_data=NativeMessage("gemini", {"parts": [1]})),
    ] == request.messages


def test_the_system_option_goes_first() -> None:
    """`system` stands before the messages, and the caller's list stays as it was."""
    prompt = [message()]
    request = request_of(prompt, system="be brief")

    assert [SystemMessage("be brief"), UserMessage("hi")] == request.messages
    assert [message()] == prompt


CALL = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
BAD_PROMPTS: list[tuple[Any, str]] = [
    ("", "prompt is empty; give a text"),
    (" \n\t", "prompt is empty; give a text"),
    ([], "prompt is an empty list; give at least one message"),
    (None, "prompt is a NoneType; give a text or a list of messages"),
    (5, "prompt is a int; "),
    (b"hi", "prompt is a bytes; "),
    ({"role": "user", "content": "hi"}, "prompt is a dict; "),
    ((message(),), "prompt is a tuple; "),
    ([message(content="")], "messages have no content; give at least one message with a text"),
    ([message(content=" \n")], "messages have no content; "),
    ([message(content=[])], "messages have no content; "),
    ([message(content=[{"type": "text", "text": " "}])], "messages have no content; "),
    ([{"role": "assistant", "content": ""}], "messages have no content; "),
    (["hi"], "messages[0] is wrong: expected `object`, got `str`; messages have OpenAI's chat shape"),
    ([message(), None], "messages[1] is wrong: expected `object`, got `null`; "),
    ([{}], "messages[0] is wrong: object missing required field `role`; "),
    ([message(role="usr")], "messages[0].role is wrong: invalid value 'usr'; messages have OpenAI's chat shape: role "),
    ([message(role=5)], "messages[0].role is wrong: expected `str`, got `int`; "),
    ([message(role=Level.HIGH)], "messages[0].role is wrong: expected `str`, got `Level`; "),
    ([{"role": "user"}], "messages[0] is wrong: object missing required field `content`; "),
    ([message(content=None)], "messages[0].content is wrong: expected `str | array`, got `null`; "),
    ([message(content=5)], "messages[0].content is wrong: expected `str | array`, got `int`; "),
    ([message(content=b"x")], "messages[0].content is wrong: expected `str | array`, got `bytes`; "),
    ([message(content=object())], "messages[0].content is wrong: expected `str | array`, got `object`; "),
    ([message(content=["hi"])], "messages[0].content[0] is wrong: expected `object`, got `str`; "),
    ([message(content=[{"type": "video"}])], "messages[0].content[0].type is wrong: invalid value 'video'; "),
    ([message(content=[{"type": "text"}])], "messages[0].content[0] is wrong: object missing required field `text`; "),
    (
        [message(content=[{"type": "image_url", "image_url": "https://x"}])],
        "messages[0].content[0].image_url is wrong: expected `object`, got `str`; ",
    ),
    ([{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content[0]"),
    ([{5: "x", **message()}], "messages[0] is wrong: expected `str`; "),
    ([{"role": "assistant"}], "messages[0].content is missing; give a text, or tool_calls"),
    ([{"role": "assistant", "tool_calls": []}], "messages[0].content is missing; "),
    (
        [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]}],
        "messages[0].tool_calls[0].function.arguments is wrong: expected `str`, got `object`; ",
    ),
    (
        [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}],
        "messages[0].tool_calls[0].type is wrong: invalid enum value 'custom'; ",
    ),
    ([{"role": "tool", "content": "x"}], "messages[0] is wrong: object missing required field `tool_call_id`; "),
    (
        [message(), {"role": "tool", "content": "x", "tool_call_id": "c9"}],
        "messages[1].tool_call_id is 'c9', which no assistant message before it called; put the assistant message",
    ),
    (
        [{"role": "tool", "content": "x", "tool_call_id": "c1"}, {"role": "assistant", "tool_calls": [CALL]}],
        "messages[0].tool_call_id is 'c1', which no assistant message before it called; ",
    ),
]


@pytest.mark.parametrize(("prompt", "expected"), BAD_PROMPTS, ids=range(len(BAD_PROMPTS)))
def test_a_bad_prompt_is_refused_at_its_place(prompt: Any, expected: str) -> None:
    """The message names the place, what is wrong there, and the remedy."""
    error = refusal(prompt)

    assert error.message.startswith(expected)
    assert error.message.endswith(".")
    assert "invalid_input" == error.code
    assert "client" == error.rejected_by


def test_a_circular_prompt_is_refused() -> None:
    """A list that contains itself is no list of messages."""
    prompt: list[Any] = []
    prompt.append(prompt)

    assert refusal(prompt).message.startswith("messages[0] is wrong: ")


@pytest.mark.parametrize(
    "prompt",
    [
        [message(content=[{"type": "image_url", "image_url": {"url": "https://x.example.com"}}])],
        [{"role": "system", "content": "x"}],
        [message(content=""), message()],
        [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "", "tool_call_id": "c1"}],
    ],
)
def test_something_is_said(prompt: Any) -> None:
    """An image, a system text, one text among empty ones or a tool result is content enough."""
    assert len(prompt) == len(request_of(prompt).messages)


# --- options of the answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"max_tokens": 1}, {"max_tokens": 1}),
        ({"max_tokens": 2**31 - 1}, {"max_tokens": 2**31 - 1}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 2}, {"temperature": 2}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop": []}, {"stop": None}),
        ({"seed": -(2**63)}, {"seed": -(2**63)}),
        ({"seed": 2**63 - 1}, {"seed": 2**63 - 1}),
        ({"tools": []}, {"tools": None}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        ({"response_format": {"type": "text"}}, {"response_format": None}),
    ],
)
def test_options_reach_the_request(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """What was given is in the request, and everything else is None, so that it is not sent."""
    request = request_of(**options)
    empty = request_of()

    assert {**msgspec.structs.asdict(empty), **expected} == msgspec.structs.asdict(request)


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}])
def test_tools_and_a_choice(choice: Any) -> None:
    """Tools have OpenAI's shape, as has the choice among them."""
    request = request_of(tools=[WEATHER], tool_choice=choice)

    assert [WEATHER] == msgspec.to_builtins(request.tools)
    if isinstance(choice, str):
        assert choice == request.tool_choice
    else:
        assert NamedTool(NamedFunction("weather")) == request.tool_choice


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


BAD_OPTIONS: list[tuple[str, list[Any]]] = [
    ("system", [5, ["a"], {"role": "system"}]),
    (
        "tools",
        [
            5, "weather", {"name": "f"}, [5], [{}], [{"type": "function"}], [{**tool("f"), "type": "other"}],
            [{"type": "function", "function": {}}], [{"type": "function", "function": {"name": 5}}], [tool("")],
            [tool("f"), tool("f")], [{"type": "function", "function": {"name": "f", "parameters": []}}],
            [{"type": "function", "function": {"name": "f", "parameters": {5: 6}}}],
        ],
    ),
    ("tool_choice", ["any", "", 5, ["auto"], {"type": "function"}, {"name": "f"}, "required", "auto", tool("f")]),
    ("parallel_tool_calls", [1, "no"]),
    (
        "response_format",
        [
            5, "json", ["a"], Plain, Plain("x"), int, {"type": "json_schema"},
            {"type": "json_schema", "json_schema": 5},
            {"type": "json_schema", "json_schema": {"name": "x"}},
            {"type": "json_schema", "json_schema": {"schema": []}},
            {"type": "json_schema", "json_schema": {"schema": {5: 6}}},
        ],
    ),
    ("reasoning_effort", [5, "", " ", ["high"]]),
    ("max_tokens", [0, -1, 1.5, "10", True, 2**31, HUGE]),
    ("temperature", [-0.1, 2.1, "1", True, math.nan, math.inf, HUGE, [1]]),
    ("top_p", [-0.1, 1.1, "1", False, math.nan]),
    ("stop", [5, [5], [""], "", {"a": "b"}, ("a",)]),
    ("seed", [1.5, "1", True, 2**63, -(2**63) - 1, HUGE]),
    ("timeout", [0, -1, "5", True, math.nan, math.inf, HUGE, 10**400]),
    ("timeouts", [5, {"total": 5}]),
    ("max_retries", [-1, 101, 1.5, True]),
    ("fallbacks", ["gpt-4o", [5], [""], {"a": "b"}]),
    ("on_interrupt", ["stop", 5, True, ["error"]]),
    ("hedge_after", [0, "1"]),
    ("cache", ["yes", 1, 0, 5.0, []]),
    ("cache_ttl", [0, -1, "60"]),
    ("tags", [5, ["a"], {"a": 5}, {5: "a"}, {"a=b": "c"}]),
    ("api_key", [5, f"{CANARY}\n", f"{CANARY} x", f"{CANARY}é"]),
    ("extra_body", [5, [], {5: 6}]),
    ("extra_headers", [5, ["a"], {"a b": "c"}, {"a": "b\nc"}, {"a": 5}, {5: "a"}, {"a": "\ud800"}]),
    ("drop_unsupported", [1, "yes"]),
    ("raise_on_error", [1, "yes"]),
    ("keep_raw", [1, "yes"]),
]  # fmt: skip
BAD_CASES = [
    pytest.param(name, value, id=f"{name}-{number}")
    for name, values in BAD_OPTIONS
    for number, value in enumerate(values)
]


def test_every_option_has_a_bad_value() -> None:
    """The table below covers each option of the contract."""
    assert set(CONTRACT) == {name for name, _ in BAD_OPTIONS}


@pytest.mark.parametrize(("name", "value"), BAD_CASES)
def test_a_bad_value_is_a_validation_error(name: str, value: Any) -> None:
    """The message begins with the option, ends with a remedy, and shows neither a key nor pages of digits."""
    error = refusal(**{name: value})

    assert error.message.startswith(name)
    assert "; " in error.message
    assert error.message.endswith(".")
    assert len(error.message) < 400
    assert CANARY not in error.message
    assert ("invalid_input", "client", "validation_error") == (error.code, error.rejected_by, error.error_type)


class CountingTransport:
    """Counts what would have been sent."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> HTTPResponse:
        self.sent += 1
        raise AssertionError("nothing may be sent")

    async def aclose(self) -> None:
        pass


@pytest.mark.asyncio
async def test_a_bad_value_is_an_error_response_and_nothing_is_sent() -> None:
    """Through the front door, streamed and not: every bad value and prompt is a validation error of the client's."""
    transport = CountingTransport()
    cases = [({name: value}, "hi") for name, values in BAD_OPTIONS for value in values]
    cases += [({}, prompt) for prompt, _ in BAD_PROMPTS]
    wrapper: Any = LLMWrapper(OpenAIConfig("k"), transport=transport)
    for options, prompt in cases:
        if "raise_on_error" in options:
            continue
        response = await wrapper.query(prompt, "gpt-4o", **options)

        assert ("error", "validation_error") == (response.status, response.error_type)
        assert "client" == response.metadata["rejected_by"]
        assert (0, None) == (response.metadata["attempts"], response.content)
        assert not response.metadata["retryable"]

        chunks = [chunk async for chunk in wrapper.stream(prompt, "gpt-4o", **options)]

        assert [("error", "validation_error", response.error)] == [(c.type, c.error_type, c.error) for c in chunks]
    assert 0 == transport.sent
    assert 0 == wrapper.get_usage_stats()["openai"]["requests"]


@pytest.mark.parametrize("choice", ["any", "Auto", "weather", "", 5, ["auto"], {"function": {"name": 5}}])
def test_a_choice_is_one_of_four(choice: Any) -> None:
    """Also where there are tools, any other word is refused with those that there are."""
    message = refusal(tools=[WEATHER], tool_choice=choice).message

    assert message.endswith('; use "auto", "none", "required" or {"type": "function", "function": {"name": ...}}.')


def test_a_named_tool_has_to_be_there() -> None:
    """A choice that names no tool given is refused with the names there are."""
    error = refusal(tools=[WEATHER], tool_choice=tool("wether"))

    assert "tool_choice names 'wether', which is not in tools; name one of ['weather']." == error.message


GOOD_CALL_OPTIONS: list[tuple[str, list[Any]]] = [
    ("timeout", [1, 0.5]),
    ("timeouts", [Timeouts(total=1)]),
    ("max_retries", [0, 100]),
    ("fallbacks", [[], ["gpt-4o"]]),
    ("on_interrupt", ["error", "restart"]),
    ("hedge_after", [0.1]),
    ("cache", [True, False, "refresh"]),
    ("cache_ttl", [1]),
    ("tags", [{}, {"team": "a"}, {"team": "a=b"}]),
    ("api_key", ["k", Secret("k"), ""]),
    ("extra_body", [{}, {"a": [1]}]),
    ("extra_headers", [{}, {"X-A": "b"}]),
    ("drop_unsupported", [True, False]),
    ("raise_on_error", [True, False]),
    ("keep_raw", [True, False]),
]


@pytest.mark.parametrize(("name", "values"), GOOD_CALL_OPTIONS)
def test_good_options_of_the_call_pass(name: str, values: list[Any]) -> None:
    """What steers the call is accepted and leaves the request alone."""
    for value in values:
        given: Any = {name: value}
        check_call(given)

        assert request_of() == request_of(**given)


# --- response_format --------------------------------------------------------------------------------------------


class Broken:
    @classmethod
    def model_json_schema(cls) -> Any:
        raise RuntimeError("a callable has no schema")


class NoDict:
    @classmethod
    def model_json_schema(cls) -> Any:
        return "{}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "object"}, JSONSchema(schema={"type": "object"})),
        ({}, JSONSchema(schema={})),
        ({"type": "json_object"}, JSONSchema(schema={"type": "object"})),
        ({"type": "text"}, None),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True, "description": "d"},
            },
            JSONSchema(schema={"a": 1}, name="n", strict=True, description="d"),
        ),
        (Person, JSONSchema(schema=Person.model_json_schema(), name="Person")),
        (Person(name="x"), JSONSchema(schema=Person.model_json_schema(), name="response")),
    ],
)
def test_response_format_in_each_form(value: Any, expected: JSONSchema | None) -> None:
    """A schema, OpenAI's wrapper, and a class with `model_json_schema` all become one schema."""
    assert expected == response_schema(value)


def test_a_class_name_is_made_a_name_for_providers() -> None:
    """Providers take letters, digits, hyphen and underscore, 64 at most."""
    kind = type("Box[int] " + "x" * 100, (Person,), {})
    schema = response_schema(kind)

    assert schema is not None
    assert "Box_int_" + "x" * 56 == schema.name


@pytest.mark.parametrize(("kind", "problem"), [(Broken, "a callable has no schema"), (NoDict, "no dict")])
def test_a_class_whose_schema_fails_is_refused(kind: type[Any], problem: str) -> None:
    """What a class raises while it makes its schema is a validation error."""
    error = refusal(response_format=kind)

    assert error.message.startswith("response_format has no ")
    assert problem in error.message


# --- properties -------------------------------------------------------------------------------------------------

keys = st.sampled_from(
    ["role", "content", "type", "text", "image_url", "url", "tool_calls", "tool_call_id", "id", "function", "name",
     "arguments", "provider_data", "dialect", "fields", "parameters", "json_schema", "schema"]
)  # fmt: skip
words = st.sampled_from(
    ["user", "assistant", "tool", "system", "text", "image_url", "function", "json_schema", "c1", ""]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=3) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4) | st.tuples(inner),
    max_leaves=12,
)


def outcome(prompt: Any, options: Any) -> Any:
    """The request, or the error that came instead."""
    try:
        check_call(options)
        return request_of(prompt, **options)
    except ValidationError as error:
        return error


@given(st.lists(st.dictionaries(keys, junk, max_size=4) | junk, max_size=3) | junk)
def test_any_prompt_is_taken_or_refused(prompt: Any) -> None:
    """Whatever is given as a prompt, there is a request or a validation error of the client's."""
    found = outcome(prompt, {})

    if isinstance(found, ValidationError):
        assert found.message.startswith(("prompt ", "messages"))
        assert "; " in found.message
        assert "client" == found.rejected_by
    else:
        assert found.messages


@given(st.dictionaries(st.sampled_from(CONTRACT), junk, max_size=3))
def test_any_option_is_taken_or_refused(options: dict[str, Any]) -> None:
    """Whatever the values, there is a request or a validation error that begins with the name of an option."""
    found = outcome("hi", options)

    if isinstance(found, ValidationError):
        assert found.message.startswith(tuple(options))
        assert "client" == found.rejected_by
    else:
        assert [UserMessage("hi")] == [m for m in found.messages if isinstance(m, UserMessage)]


def test_types_say_what_is_checked() -> None:
    """An option may always be None, as the type tells the editor."""
    hints = get_type_hints(Options)

    assert [] == [name for name, hint in hints.items() if type(None) not in get_args(hint)]
