"""Anthropic Messages, the provider's side: requests read and refused, replies and failures written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multi_llm_wrapper import errors
from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.errors import LLMError, UnsupportedFeatureError, ValidationError
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionCall,
    ImagePart,
    ImageURL,
    JSONSchema,
    MessageToolCall,
    NamedFunction,
    NamedTool,
    NativeMessage,
    Reply,
    SystemMessage,
    TextPart,
    Tool,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

HI = {"role": "user", "content": "Hi"}
VERSION = {"anthropic-version": "2023-06-01"}
TEXT = {"type": "text", "text": "A"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
CALLED = MessageToolCall("toolu_1", FunctionCall("f", '{"a":1}'))


def read(*messages: Any, **fields: Any) -> ChatRequest:
    body = {"model": "claude-x", "max_tokens": 9, "messages": list(messages) or [HI], **fields}
    body = {name: value for name, value in body.items() if value is not ...}
    return anthropic_messages.decode_request("/v1/messages", VERSION, json.dumps(body).encode())


def refused(*messages: Any, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(*messages, **fields)
    assert (400, "invalid_request_error", "provider") == (
        caught.value.status_code,
        caught.value.code,
        caught.value.rejected_by,
    )
    return caught.value.message


# --- requests ---------------------------------------------------------------------------------------------------


def test_a_request_is_read_in_full() -> None:
    """Every field has its canonical place."""
    expected = ChatRequest(
        model="claude-x",
        messages=[SystemMessage([TextPart("A")]), UserMessage("Hi")],
        tools=[Tool(Function("f", "Does.", {"type": "object"}, strict=True)), Tool(Function("g", parameters={}))],
        tool_choice=NamedTool(NamedFunction("f")),
        parallel_tool_calls=False,
        response_format=JSONSchema({"type": "object"}),
        reasoning_effort="high",
        max_tokens=9,
        temperature=1.0,
        top_p=0.5,
        stop=["END"],
        stream=True,
    )

    assert expected == read(
        system=[TEXT | {"cache_control": {"type": "ephemeral"}}],
        tools=[
            {"name": "f", "description": "Does.", "input_schema": {"type": "object"}, "strict": True},
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "custom", "name": "g", "input_schema": {}},
        ],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        thinking={"type": "adaptive"},
        temperature=1,
        top_p=0.5,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u"},
        top_k=5,
    )


def test_header_names_have_any_case() -> None:
    """HTTP does not distinguish them."""
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": [HI]}).encode()

    assert "m" == anthropic_messages.decode_request("/v1/messages", {"Anthropic-Version": "x"}, body).model


@pytest.mark.parametrize(
    ("system", "expected"),
    [("A", [SystemMessage("A")]), ("", []), ([], []), (None, []), ([TEXT, TEXT], [SystemMessage([TextPart("A")] * 2)])],
)
def test_system_stands_first(system: Any, expected: list[Any]) -> None:
    """A text, a list of blocks, or nothing."""
    assert [*expected, UserMessage("Hi")] == read(system=system).messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": [TEXT]}, [UserMessage([TextPart("A")])]),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x/a"}}, TEXT]},
            [UserMessage([ImagePart(ImageURL("https://x/a")), TextPart("A")])],
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa=="}},
                ],
            },
            [UserMessage([ImagePart(ImageURL("data:image/png;base64,aa=="))])],
        ),
        (
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "D"}}]},
            [UserMessage([TextPart('{"type":"document","source":{"type":"text","data":"D"}}')])],
        ),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
            [UserMessage([TextPart('{"type":"image","source":{"type":"file","file_id":"f"}}')])],
        ),
        ({"role": "system", "content": "A"}, [SystemMessage("A")]),
        ({"role": "system", "content": [TEXT]}, [SystemMessage([TextPart("A")])]),
        ({"role": "assistant", "content": "A"}, [AssistantMessage("A")]),
        ({"role": "assistant", "content": ""}, [AssistantMessage("")]),
        ({"role": "assistant", "content": [TEXT, TEXT]}, [AssistantMessage([TextPart("A"), TextPart("A")])]),
        ({"role": "assistant", "content": [CALL]}, [AssistantMessage(None, [CALLED])]),
        ({"role": "assistant", "content": [TEXT, CALL]}, [AssistantMessage("A", [CALLED])]),
    ],
)
def test_one_message(message: dict[str, Any], expected: list[Any]) -> None:
    """Blocks become parts; what has no part becomes the text of its JSON."""
    assert [UserMessage("Hi"), *expected] == read(HI, message).messages


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ([], []),
        ([TEXT], [UserMessage("A")]),
        ([TEXT, TEXT], [UserMessage([TextPart("A"), TextPart("A")])]),
    ],
)
def test_tool_results_become_messages(rest: list[Any], said: list[Any]) -> None:
    """They come before what the user says beside them."""
    blocks = [RESULT, {**RESULT, "content": [TEXT, {"type": "image", "source": 1}]}, {**RESULT, "content": None}]
    found = read(HI, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [*blocks, *rest]})

    assert [
        ToolMessage("x", "toolu_1"),
        ToolMessage([TextPart("A"), TextPart('{"type":"image","source":1}')], "toolu_1"),
        ToolMessage("", "toolu_1"),
        *said,
    ] == found.messages[2:]


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "thinking", "thinking": "Hm", "signature": "s"}, TEXT, CALL],
        [CALL, TEXT],
        [{**TEXT, "citations": [{"x": 1}]}, CALL],
        [{"type": "future"}, TEXT, CALL],
    ],
)
def test_blocks_without_a_canonical_place_stay_native(blocks: list[Any]) -> None:
    """The turn keeps all its blocks beside what the canonical fields say."""
    native = NativeMessage("anthropic_messages", {"content": blocks})

    assert (
        AssistantMessage("A", [CALLED], provider_data=native)
        == (read(HI, {"role": "assistant", "content": blocks}).messages[1])
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, (None, None)),
        ({"type": "auto"}, ("auto", None)),
        ({"type": "any", "disable_parallel_tool_use": True}, ("required", False)),
        ({"type": "none", "disable_parallel_tool_use": False}, ("none", True)),
    ],
)
def test_tool_choices(choice: Any, expected: Any) -> None:
    """The choice, and whether calls may be parallel, where it was said."""
    found = read(tool_choice=choice)

    assert expected == (found.tool_choice, found.parallel_tool_calls)


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "adaptive"}}, "high"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "between_tools"}}, None),
        ({"output_config": {"effort": "max"}}, "max"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "minimal"),
        ({"thinking": {"type": "enabled", "budget_tokens": 6400}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 50_000}}, "xhigh"),
    ],
)
def test_thinking_is_effort(fields: dict[str, Any], effort: str | None) -> None:
    """A budget is the effort whose budget is nearest."""
    assert effort == read(max_tokens=64_000, **fields).reasoning_effort


def test_the_beta_name_of_the_format_is_known() -> None:
    """`output_format` is what `output_config.format` was called before."""
    assert JSONSchema({"a": 1}) == read(output_format={"type": "json_schema", "schema": {"a": 1}}).response_format


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"model": ...}, "model: Field required"),
        ({"messages": ...}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": "Hi"}, "messages: Input should be a valid list"),
        ({"messages": ["Hi"]}, "messages.0: Input should be a valid dictionary"),
        ({"model": 1}, "model: Input should be a valid string"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"stream": 1}, "stream: Input should be a valid boolean"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"top_p": -1}, "top_p: range: 0..1"),
        ({"stop_sequences": [1]}, "stop_sequences.0: Input should be a valid string"),
        ({"system": 1}, "system: Input should be a valid list"),
        ({"system": [{"type": "text", "text": ""}]}, "system: text content blocks must be non-empty"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.custom.name: Field required"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
        ({"tool_choice": {"type": "x"}}, "tool_choice.type: Input should be 'auto', 'none', 'any' or 'tool'"),
        (
            {"output_config": {"format": {"type": "xml"}}},
            "output_config.format.type: Input should be 'json_schema'",
        ),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 5}},
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1024},
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], said: str) -> None:
    """In the words of the real API, with the place in front."""
    assert said == refused(**fields)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": "x"}, "messages.1.role: Field required"),
        ({"role": "user"}, "messages.1.content: Field required"),
        ({"role": "tool", "content": "x"}, "messages.1.role: Input should be 'user' or 'assistant'"),
        ({"role": "user", "content": 1}, "messages.1.content: Input should be a valid list"),
        ({"role": "user", "content": ["x"]}, "messages.1.content.0: Input should be a valid dictionary"),
        ({"role": "user", "content": [{}]}, "messages.1.content.0.type: Field required"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages.1.content.0.text.text: Field required"),
        (
            {"role": "user", "content": [{"type": "text", "text": ""}]},
            "messages: text content blocks must be non-empty",
        ),
        ({"role": "user", "content": " "}, "messages: text content blocks must contain non-whitespace text"),
        (
            {"role": "user", "content": ""},
            "messages.1: all messages must have non-empty content except for the optional final assistant message",
        ),
        ({"role": "user", "content": [{"type": "image"}]}, "messages.1.content.0.image.source: Field required"),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "x"}}]},
            "messages.1.content.0.image.source.media_type: Field required",
        ),
        ({"role": "assistant", "content": [{"type": "tool_use"}]}, "messages.1.content.0.tool_use.id: Field required"),
        (
            {"role": "assistant", "content": [{**CALL, "input": "x"}]},
            "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
        ),
        (
            {"role": "user", "content": [TEXT, RESULT]},
            "messages.1.content.1: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` "
            "block must have a corresponding `tool_use` block in the previous message.",
        ),
    ],
)
def test_wrong_messages_are_refused(message: dict[str, Any], said: str) -> None:
    """In the words of the real API, with the place in front."""
    assert said == refused(HI, message)


def test_calls_without_results_are_refused() -> None:
    """Every call of a turn must be answered in the next one, if there is a next one."""
    asked = {"role": "assistant", "content": [CALL, {**CALL, "id": "toolu_2"}]}

    assert 2 == len(read(HI, asked).messages)
    assert (
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_2. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message."
    ) == refused(HI, asked, {"role": "user", "content": [RESULT]})


def test_results_answer_the_turn_before_only() -> None:
    """A call that was answered is closed with its turn."""
    talk = [HI, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]

    assert 4 == len(read(*talk, {"role": "user", "content": [RESULT]}).messages)
    assert "unexpected `tool_use_id`" in refused(
        *talk, {"role": "assistant", "content": "A"}, {"role": "user", "content": [RESULT]}
    )


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": ""}, {"x-api-key": "k"}])
def test_the_version_header_is_required(headers: dict[str, str]) -> None:
    """It is looked at before the body."""
    with pytest.raises(ValidationError, match=r"^anthropic-version: header is required$"):
        anthropic_messages.decode_request("/v1/messages", headers, b"")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":', b"[" * 100_000])
def test_bad_json_is_refused(body: bytes) -> None:
    """As 400, whatever the bytes are."""
    with pytest.raises(ValidationError, match=r"^The request body is not valid JSON: ") as caught:
        anthropic_messages.decode_request("/v1/messages", VERSION, body)

    assert 400 == caught.value.status_code


def test_a_body_that_is_no_object_is_refused() -> None:
    """As 400, too."""
    with pytest.raises(ValidationError, match="valid dictionary"):
        anthropic_messages.decode_request("/v1/messages", VERSION, b"[]")


# --- replies ----------------------------------------------------------------------------------------------------


def written(**fields: Any) -> dict[str, Any]:
    reply = Reply(response_id="msg_1", response_model="claude-x-1", **fields)
    body: dict[str, Any] = json.loads(anthropic_messages.encode_reply(reply, created=0).body)
    return body


def test_bytes_of_a_reply() -> None:
    """All the fields of today's API, in its order."""
    reply = Reply(
        content="Hi",
        tool_calls=[ToolCall("toolu_1", "f", '{ "a": 1 }')],
        finish_reason="tool_calls",
        usage=Usage(15, 7, 22, 3, 2, 4),
        response_id="msg_1",
        response_model="claude-x-1",
    )
    wire = anthropic_messages.encode_reply(reply, created=0)

    assert (200, {"content-type": "application/json"}) == (wire.status, wire.headers)
    assert (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-x-1","content":[{"type":"text","text":"Hi"},'
        b'{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,'
        b'"usage":{"input_tokens":10,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":7,'
        b'"output_tokens_details":{"thinking_tokens":4},"service_tier":"standard"}}'
    ) == wire.body


def test_reasoning_is_a_thinking_block_without_signature() -> None:
    """Only the provider can sign."""
    assert [{"type": "thinking", "thinking": "Hm", "signature": ""}, TEXT] == written(content="A", reasoning="Hm")[
        "content"
    ]


def test_native_blocks_are_written_verbatim() -> None:
    """Those of this dialect; the canonical fields are a view of them."""
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "future", "x": [1]}]
    own, foreign = (
        NativeMessage("anthropic_messages", {"content": blocks}),
        NativeMessage("gemini", {"content": blocks}),
    )

    assert blocks == written(content="B", native=own)["content"]
    assert [TEXT] == written(content="A", native=foreign)["content"]
    assert [TEXT] == written(content="A", native=NativeMessage("anthropic_messages", {"content": [1]}))["content"]


@pytest.mark.parametrize(
    ("reason", "word", "expected"),
    [
        (None, "end_turn", None),
        ("stop", None, "end_turn"),
        ("stop", "stop_sequence", "stop_sequence"),
        ("stop", "STOP", "end_turn"),
        ("length", None, "max_tokens"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"),
        ("tool_calls", "end_turn", "tool_use"),
        ("content_filter", None, "refusal"),
        ("other", None, "pause_turn"),
        ("other", "novel", "novel"),
        ("other", "end_turn", "pause_turn"),
    ],
)
def test_stop_reasons_are_written(reason: Any, word: str | None, expected: str | None) -> None:
    """The provider's own word where it is one of Anthropic's and means the same."""
    assert expected == written(content="A", finish_reason=reason, provider_finish_reason=word)["stop_reason"]


def test_an_answer_without_words_has_a_block() -> None:
    """Unless its stop reason explains it: no block at all would be an empty reply."""
    assert [{"type": "text", "text": ""}] == written(finish_reason="stop")["content"]
    assert [] == written(finish_reason="length")["content"]


def test_extras_of_anthropic_are_written_others_are_not() -> None:
    """What another provider said beside its answer has no place here."""
    found = written(content="A", extras={"stop_sequence": "END", "container": {"id": "c"}, "logprobs": [1]})

    assert ("END", {"id": "c"}) == (found["stop_sequence"], found["container"])
    assert "logprobs" not in found


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (0, None, None, 0)),
        (Usage(5, 6), (5, None, None, 6)),
        (Usage(5, 6, 11, 0, 4), (1, 4, 0, 6)),
        (Usage(5, 6, 11, 9), (0, None, 9, 6)),
    ],
)
def test_usage_is_written_exclusive(usage: Usage | None, expected: Any) -> None:
    """Cache counts are taken out of the input; the totals are always numbers."""
    found = written(content="A", usage=usage)["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")

    assert expected == tuple(found[name] for name in names)


def test_arguments_that_are_no_object_cannot_be_written() -> None:
    """A whole reply carries them as an object."""
    with pytest.raises(UnsupportedFeatureError, match="'toolu_1' are no JSON object"):
        written(tool_calls=[ToolCall("toolu_1", "f", "[1]")])


# --- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.ValidationError, 400, "invalid_request_error"),
        (errors.UnsupportedFeatureError, 400, "invalid_request_error"),
        (errors.ContextLengthError, 400, "invalid_request_error"),
        (errors.ContentFilterError, 400, "invalid_request_error"),
        (errors.AuthError, 401, "authentication_error"),
        (errors.QuotaExceededError, 402, "billing_error"),
        (errors.PermissionDeniedError, 403, "permission_error"),
        (errors.ModelNotFoundError, 404, "not_found_error"),
        (errors.RequestTooLargeError, 413, "request_too_large"),
        (errors.RateLimitError, 429, "rate_limit_error"),
        (errors.LimitExceededError, 429, "rate_limit_error"),
        (errors.ServerError, 500, "api_error"),
        (errors.ConnectionError, 500, "api_error"),
        (errors.GeneralError, 500, "api_error"),
        (errors.TimeoutError, 504, "timeout_error"),
        (errors.OverloadedError, 529, "overloaded_error"),
        (errors.CircuitOpenError, 529, "overloaded_error"),
    ],
)
def test_failures_have_status_and_type(error: type[LLMError], status: int, kind: str) -> None:
    """Each class as the API says it."""
    wire = anthropic_messages.encode_error(error("No.", request_id="req_1"))

    assert (status, {"content-type": "application/json"}) == (wire.status, wire.headers)
    assert {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": "req_1"} == json.loads(wire.body)


@pytest.mark.parametrize(
    ("facts", "status", "kind"),
    [
        ({"status_code": 429}, 429, "rate_limit_error"),
        ({"status_code": 502}, 502, "api_error"),
        ({"status_code": 422}, 422, "invalid_request_error"),
        ({"code": "strange_error"}, 500, "strange_error"),
        ({"status_code": 529, "code": "api_error"}, 529, "api_error"),
    ],
)
def test_status_and_code_of_the_error_win(facts: dict[str, Any], status: int, kind: str) -> None:
    """A status without a code decides the type as well."""
    wire = anthropic_messages.encode_error(errors.ServerError("No.", **facts))

    assert (status, kind) == (wire.status, json.loads(wire.body)["error"]["type"])


@pytest.mark.parametrize(("wait", "header"), [(20, "20"), (2.5, "2.5"), (0, "0"), (-1, "0"), (1_000_000.0, "1000000")])
def test_a_wait_becomes_a_header(wait: float, header: str) -> None:
    """Seconds, in plain digits."""
    wire = anthropic_messages.encode_error(errors.RateLimitError("Slow down.", retry_after=wait))

    assert header == wire.headers["retry-after"]


def test_a_refused_request_becomes_the_answer_of_the_api() -> None:
    """What `decode_request` raises, `encode_error` writes."""
    with pytest.raises(ValidationError) as caught:
        read(max_tokens=...)

    assert (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"},'
        b'"request_id":null}'
    ) == anthropic_messages.encode_error(caught.value).body
