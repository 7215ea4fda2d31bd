"""The server side of the Gemini dialect: requests read and refused, answers and failures written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects import failures, gemini
from multi_llm_wrapper.dialects.base import Dialect
from multi_llm_wrapper.errors import (
    CLASSES,
    AuthError,
    ContentFilterError,
    LLMError,
    QuotaExceededError,
    RateLimitError,
    UnsupportedFeatureError,
    ValidationError,
)
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    Event,
    Extra,
    FinishReason,
    Function,
    FunctionCall,
    ImagePart,
    ImageURL,
    JSONSchema,
    MessageToolCall,
    NamedFunction,
    NamedTool,
    Native,
    NativeMessage,
    Reply,
    Started,
    SystemMessage,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    Usage,
    UsageReport,
    UserMessage,
)
from tests.strategies import canonical, json_values, pieces, replies, reply_events

PATH = "/v1beta/models/gemini-x:generateContent"
USER = {"role": "user", "parts": [{"text": "?"}]}


def decode(body: Any, path: str = PATH) -> ChatRequest:
    return gemini.decode_request(path, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def ask(*contents: Any, **fields: Any) -> ChatRequest:
    return decode({"contents": list(contents) or [USER], **fields})


def refusal(body: Any, path: str = PATH) -> LLMError:
    with pytest.raises(LLMError) as raised:
        decode(body, path)
    return raised.value


def test_the_package_is_a_dialect() -> None:
    """The module itself satisfies the protocol."""
    dialect: Dialect = gemini

    assert dialect.name == "gemini"


# --- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        ("/v1beta/models/gemini-x:generateContent", "gemini-x", False),
        ("/v1/models/gemini-x:streamGenerateContent?key=k&alt=sse", "gemini-x", True),
        ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine", False),
        ("/v1beta1/projects/p/locations/global/publishers/google/models/g-1:generateContent", "g-1", False),
        ("/v1beta/models/a%2Fb%3Ac:generateContent", "a/b:c", False),
    ],
)
def test_paths(path: str, model: str, stream: bool) -> None:
    """The path says which model, and whether to stream."""
    request = decode({"contents": [USER]}, path)

    assert (request.model, request.stream) == (model, stream)


@pytest.mark.parametrize(
    "path", ["/", "/v1beta/models/x", "/v1beta/models/x:countTokens", "/models/x:generateContent", "/v1beta/models/:x"]
)
def test_unknown_paths(path: str) -> None:
    """Another path is not found."""
    error = refusal({"contents": [USER]}, path)

    assert (error.status_code, error.error_type) == (404, "validation_error")
    assert path in error.message


def test_streams_are_sse_only() -> None:
    """A stream as a JSON list is not offered."""
    error = refusal({"contents": [USER]}, "/v1beta/models/x:streamGenerateContent")

    assert (error.error_type, error.status_code) == ("unsupported_feature", 400)


def test_every_way_to_write_it() -> None:
    """camelCase and snake_case, single items without their list, defaults, types in capitals: all are understood."""
    request = ask(
        {"parts": {"text": "Weather?"}},
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {"function_call": {"name": "f", "args": {"a": 1}, "id": "i"}, "thought_signature": "cw=="},
            ],
        },
        {"role": "user", "parts": [{"function_response": {"name": "f", "id": "i", "response": {"x": None}}}]},
        {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}, {"text": "so?"}]},
        system_instruction={"parts": [{"text": "Brief."}], "role": "user"},
        tools={
            "function_declarations": [
                {
                    "name": "f",
                    "parameters": {"type": "OBJECT", "properties": {"type": {"type": "STRING", "enum": ["A"]}}},
                }
            ]
        },
        tool_config={"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        generation_config={
            "max_output_tokens": 5,
            "response_mime_type": "application/json",
            "response_schema": {"type": "ARRAY", "items": {"type": "INTEGER"}},
            "thinking_config": {"thinking_level": "HIGH", "include_thoughts": True},
            "stop_sequences": ["x"],
            "top_k": 3,
            "seed": None,
        },
        safetySettings=[],
        cachedContent="c",
    )
    native = [
        {"text": "Let me see."},
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "i"}, "thoughtSignature": "cw=="},
    ]
    schema = {"type": "object", "properties": {"type": {"type": "string", "enum": ["A"]}}}

    assert request == ChatRequest(
        model="gemini-x",
        messages=[
            SystemMessage("Brief."),
            UserMessage("Weather?"),
            AssistantMessage(
                "Let me see.",
                [MessageToolCall("i", FunctionCall("f", '{"a":1}'))],
                provider_data=NativeMessage("gemini", {"parts": native}),
            ),
            ToolMessage('{"x":null}', "i"),
            UserMessage([ImagePart(ImageURL("data:image/png;base64,AA==")), TextPart("so?")]),
        ],
        tools=[Tool(Function("f", None, schema))],
        tool_choice=NamedTool(NamedFunction("f")),
        response_format=JSONSchema({"type": "array", "items": {"type": "integer"}}),
        reasoning_effort="high",
        max_tokens=5,
        stop=["x"],
    )


def test_results_find_their_calls() -> None:
    """A result without a known id answers the first open call of its name, else the first open one; text of the user
    may stand around it."""
    calls = [{"functionCall": {"name": name}} for name in ("f", "g", "f")]
    responses = [{"functionResponse": {"name": name, "response": {"result": name}}} for name in ("g", "f", "h")]
    request = ask(USER, {"role": "model", "parts": calls}, {"parts": [{"text": "a"}, *responses, {"text": "b"}]})

    assert request.messages[2:] == [
        UserMessage("a"),
        ToolMessage("g", "call_1"),
        ToolMessage("f", "call_0"),
        ToolMessage("h", "call_2"),
        UserMessage("b"),
    ]


@pytest.mark.parametrize(
    ("config", "effort"),
    [
        ({}, None),
        ({"thinkingBudget": -1}, None),
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 1}, "minimal"),
        ({"thinkingBudget": 1024}, "low"),
        ({"thinkingBudget": 1025}, "medium"),
        ({"thinkingBudget": 99999}, "high"),
        ({"thinkingLevel": "LOW", "thinkingBudget": 0}, "low"),
    ],
)
def test_reasoning_effort(config: Any, effort: str | None) -> None:
    """A budget is the smallest effort that covers it."""
    assert ask(generationConfig={"thinkingConfig": config}).reasoning_effort == effort


@pytest.mark.parametrize(
    ("mode", "allowed", "choice"),
    [
        ("AUTO", [], "auto"),
        ("VALIDATED", [], "auto"),
        ("NONE", [], "none"),
        ("ANY", ["f", "g"], "required"),
        (None, [], None),
    ],
)
def test_tool_choice(mode: Any, allowed: list[str], choice: Any) -> None:
    """The mode is the tool choice."""
    config = {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": allowed}}

    assert ask(toolConfig=config).tool_choice == choice


def test_other_answers_than_json() -> None:
    """A MIME type other than JSON asks for no schema; JSON without a schema takes any JSON."""
    assert ask(generationConfig={"responseMimeType": "text/plain"}).response_format is None
    assert ask(generationConfig={"responseMimeType": "application/json"}).response_format == JSONSchema({})


CALL = {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}
RESPONSE = {"functionResponse": {"name": "f", "response": {}}}
NOT_SPECIFIED = "* GenerateContentRequest.contents: contents is not specified"
NO_DATA = "data: required oneof field 'data' must have one initialized field"
AS_MANY = "the number of function response parts is equal to the number of function call parts"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "Invalid JSON payload received."),
        (b"", "Invalid JSON payload received."),
        (b"\xff", "Invalid JSON payload received."),
        (b"[]", "Root element must be a message."),
        ({}, NOT_SPECIFIED),
        ({"contents": []}, NOT_SPECIFIED),
        ({"contents": None}, NOT_SPECIFIED),
        ({"contents": [USER], "message": 1}, 'Unknown name "message": Cannot find field.'),
        ({"contents": ["hi"]}, "Invalid value at 'contents[0]' (content), '\"hi\"'"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "?"}]}]}, "Please use a valid role: user, model."),
        ({"contents": [{"role": 1, "parts": []}]}, "Invalid value at 'contents[0].role' (TYPE_STRING), '1'"),
        ({"contents": [{"role": "user"}]}, "contents[0].parts: contents.parts must not be empty."),
        ({"contents": [{"content": "?"}]}, "Unknown name \"content\" at 'contents[0]': Cannot find field."),
        ({"contents": [{"parts": [{"txt": "?"}]}]}, "Unknown name \"txt\" at 'contents[0].parts[0]'"),
        ({"contents": [{"parts": [{}]}]}, f"contents[0].parts[0].{NO_DATA}"),
        ({"contents": [{"parts": [{"thought": True}]}]}, NO_DATA),
        ({"contents": [{"parts": [{"text": 1}]}]}, "'contents[0].parts[0].text' (TYPE_STRING)"),
        ({"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}, "not supported in a user turn"),
        ({"contents": [{"parts": [RESPONSE]}]}, "function response turn comes immediately after a function call turn"),
        ({"contents": [USER, CALL, USER]}, AS_MANY),
        ({"contents": [USER, CALL, {"parts": [RESPONSE, RESPONSE]}]}, AS_MANY),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {}}]}]}, "name: Name cannot be empty."),
        (
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": 1}}]}]},
            "args' (type.google",
        ),
        ({"contents": [{"parts": [{"inlineData": {"data": 1}}]}]}, "inline_data.data' (TYPE_STRING)"),
        ({"contents": [USER], "tools": [{"functions": []}]}, "Unknown name \"functions\" at 'tools[0]'"),
        ({"contents": [USER], "tools": [{"functionDeclarations": [{}]}]}, "Invalid function name."),
        (
            {"contents": [USER], "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": 1}]}]},
            "parametersJsonSchema' (type.googleapis.com/google.protobuf.Struct), '1'",
        ),
        (
            {"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}},
            "function_calling_config.mode",
        ),
        (
            {"contents": [USER], "generationConfig": {"max_tokens": 1}},
            "Unknown name \"max_tokens\" at 'generation_config'",
        ),
        ({"contents": [USER], "generationConfig": {"maxOutputTokens": "many"}}, "maxOutputTokens' (TYPE_INT32)"),
        ({"contents": [USER], "generationConfig": {"maxOutputTokens": True}}, "(TYPE_INT32), 'true'"),
        ({"contents": [USER], "generationConfig": {"maxOutputTokens": 0}}, "max_output_tokens must be positive"),
        ({"contents": [USER], "generationConfig": {"temperature": 3}}, "temperature must be in the range [0.0, 2.0]"),
        ({"contents": [USER], "generationConfig": {"topP": 3}}, "top_p must be in the range"),
        ({"contents": [USER], "generationConfig": {"stopSequences": [1]}}, "stopSequences' (TYPE_STRING)"),
    ],
)
def test_refusals(body: Any, text: str) -> None:
    """What the real API refuses is refused with 400 INVALID_ARGUMENT, in its words."""
    error = refusal(body)

    assert text in error.message
    assert (error.status_code, error.code, error.rejected_by) == (400, "INVALID_ARGUMENT", "provider")
    assert isinstance(error, ValidationError | UnsupportedFeatureError)


def test_a_request_nested_too_deeply() -> None:
    """Depth is refused with 400, wherever in reading the body it is found out."""
    errors: list[LLMError] = []
    for depth in (600, 900, 5000):
        schema = b'{"x":' * depth + b"1" + b"}" * depth
        config = b'{"responseMimeType":"application/json","responseSchema":%b}' % schema
        errors.append(refusal(b'{"contents":[{"parts":[{"text":"?"}]}],"generationConfig":%b}' % config))

    assert {(error.error_type, error.status_code) for error in errors} == {("validation_error", 400)}
    assert all(error.message.startswith("Invalid JSON payload received.") for error in errors)


WORDS = (
    *("contents", "role", "parts", "text", "thought", "thoughtSignature", "functionCall", "functionResponse", "name"),
    *("args", "id", "response", "inlineData", "fileUri", "executableCode", "tools", "functionDeclarations"),
    *("parameters", "toolConfig", "functionCallingConfig", "mode", "generationConfig", "seed", "thinkingConfig"),
    *("thinkingBudget", "responseSchema", "responseMimeType", "systemInstruction"),
)


@given(
    st.recursive(
        json_values | st.sampled_from(["model", "user", "application/json", "f"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
        max_leaves=15,
    ),
    st.sampled_from(["part", "content", "request", "config", "tool"]),
)
def test_any_request_at_all(value: Any, place: str) -> None:
    """JSON made of the protocol's own words, in any shape, is read or refused with 400."""
    bodies: dict[str, Any] = {
        "part": {"contents": [CALL, {"parts": [value]}, {"role": "model", "parts": [value]}]},
        "content": {"contents": [value, USER]},
        "request": value,
        "config": {"contents": [USER], "generationConfig": value, "toolConfig": value},
        "tool": {"contents": [USER], "tools": [value, {"functionDeclarations": value}]},
    }
    try:
        outcome: Any = gemini.decode_request(PATH, {}, msgspec.json.encode(bodies[place])).model
    except LLMError as error:
        outcome = error.status_code

    assert outcome in ("gemini-x", 400)


# --- answers ----------------------------------------------------------------------------------------------------


def read(reply: Reply) -> Reply:
    written = gemini.encode_reply(reply, created=1)
    assert written.status == 200
    assert written.headers == {"content-type": "application/json; charset=UTF-8"}
    return Fold(gemini.read_usage).add_all(gemini.decoder().reply(written.body)).reply()


def frames(reason: FinishReason, *events: Event) -> list[bytes]:
    """The stream of these events."""
    encoder = gemini.encoder(response_id="r", model="m", created=1)
    return [*map(encoder.event, events), encoder.end(reason, None)]


def read_frames(frames: list[bytes]) -> Reply:
    decoder, fold, parser = gemini.decoder(), Fold(gemini.read_usage), SSEParser()
    events = [event for frame in frames for event in parser.feed(frame)] + parser.close()
    for event in events:
        fold.add_all(decoder.feed(event))
    return fold.add_all(decoder.close()).reply()


EXPRESSIBLE = replies(
    raw_arguments=False,
    finish_from_calls=True,
    cache_read="always",
    cache_write="never",
    reasoning_tokens="always",
)


@given(EXPRESSIBLE)
def test_replies_there_and_back(reply: Reply) -> None:
    """What the client reads is what was written."""
    assert canonical(read(reply)) == canonical(reply)


@given(EXPRESSIBLE, st.data())
def test_streams_there_and_back(reply: Reply, data: st.DataObject) -> None:
    """The same as a stream, in any pieces and at any split of the bytes; and it reads as the whole reply does."""
    encoder = gemini.encoder(response_id=reply.response_id or "", model=reply.response_model or "", created=1)
    frames = [encoder.start(), *map(encoder.event, data.draw(reply_events(reply)))]
    frames.append(encoder.end(reply.finish_reason or "stop", reply.usage))
    answer = read_frames(data.draw(pieces(b"".join(frames))))

    assert canonical(answer) == canonical(reply)
    assert answer == read(reply)


NATIVE = [
    {"text": "Hm.", "thought": True},
    {"executableCode": {"code": "1"}},
    {"text": "Hi"},
    {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "cw=="},
]
OWN = Reply(
    content="Hi",
    reasoning="Hm.",
    tool_calls=[ToolCall("call_0_0d0e09b1", "f", '{"a":1}')],
    finish_reason="tool_calls",
    provider_finish_reason="STOP",
    usage=Usage(9, 2, 11, 0, None, 0),
    raw_usage={"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11, "serviceTier": "standard"},
    response_id="r1",
    response_model="gemini-x",
    native=NativeMessage("gemini", {"parts": NATIVE}),
    extras={
        "parts": [{"executableCode": {"code": "1"}}],
        "groundingMetadata": {"webSearchQueries": ["x"]},
        "finishMessage": "Done.",
        "promptFeedback": {"safetyRatings": []},
        "candidates": [{"index": 1, "finishReason": "STOP"}],
    },
)


def test_an_answer_of_its_own() -> None:
    """What Gemini said is written back with parts, usage and metadata as they came."""
    assert read(OWN) == OWN


def test_an_answer_of_its_own_streamed() -> None:
    """Signatures and opaque parts survive a stream, each once."""
    encoder = gemini.encoder(response_id="r1", model="gemini-x", created=1)
    raw, native, extras = OWN.raw_usage or {}, OWN.native, OWN.extras
    assert native is not None
    events: list[Event] = [
        UsageReport(raw),
        Extra("parts", extras["parts"]),
        TextDelta("Hi"),
        ToolCallDelta(0, "call_0_0d0e09b1", "f", '{"a":1}'),
        *(Extra(name, extras[name]) for name in ("groundingMetadata", "finishMessage")),
        Native(native),
    ]
    frames = [*map(encoder.event, events), encoder.end("tool_calls", OWN.usage, "STOP")]
    answer = read_frames(frames)

    assert answer.native == NativeMessage("gemini", {"parts": NATIVE[1:]})
    assert answer.extras == {name: extras[name] for name in ("parts", "groundingMetadata", "finishMessage")}
    assert (answer.raw_usage, answer.tool_calls) == (raw, OWN.tool_calls)
    assert all(b"usageMetadata" in frame for frame in frames if frame)


def test_a_signed_text_streamed() -> None:
    """The signature of a text that has been sent comes in a part without text, as the real API sends it."""
    native = NativeMessage("gemini", {"parts": [{"text": "Hi", "thoughtSignature": "cw=="}]})

    assert read_frames(frames("stop", TextDelta("H"), TextDelta("i"), Native(native))).native == NativeMessage(
        "gemini", {"parts": [{"text": "Hi"}, {"text": "", "thoughtSignature": "cw=="}]}
    )


def test_native_parts_that_say_something_else() -> None:
    """Native parts of another answer or another dialect are left out."""
    for native in (
        NativeMessage("gemini", {"parts": [{"text": "No", "thoughtSignature": "x"}]}),
        NativeMessage("x", {}),
    ):
        assert read_frames(frames("stop", TextDelta("Hi"), Native(native))).native is None
        assert read(Reply(content="Hi", finish_reason="stop", native=native)).native is None


def test_what_has_no_place() -> None:
    """Extras of other dialects, and usage in their words, are left out."""
    encoder = gemini.encoder(response_id="r", model="m", created=1)
    foreign: list[Event] = [
        Started("x", "y"),
        Extra("logprobs", {}),
        Extra("parts", "x"),
        Extra("parts", [{"text": "x"}, 1]),
        UsageReport({"input": 1}),
    ]

    assert [encoder.event(event) for event in foreign] == [b""] * 5
    assert read(Reply(content="a", extras={"system_fingerprint": "x", "candidates": 1})).extras == {}
    assert read(Reply(content="a", usage=Usage(1, 2, 3), raw_usage={"input": 1})).usage == Usage(1, 2, 3, 0, None, 0)


def test_bytes_of_a_reply() -> None:
    """Zero counts are left out, as the real API does."""
    reply = Reply(
        content="Hi", finish_reason="stop", usage=Usage(3, 0, 3, 0, None, 0), response_id="r", response_model="m"
    )

    assert gemini.encode_reply(reply, created=1).body == (
        b'{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],'
        b'"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3},"modelVersion":"m","responseId":"r"}'
    )


def test_bytes_of_a_stream() -> None:
    """One data frame a piece, with CRLF; the reason in the last one."""
    encoder = gemini.encoder(response_id="r", model="m", created=1)

    assert encoder.start() == b""
    assert encoder.event(TextDelta("Hi")) == (
        b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"index":0}],'
        b'"modelVersion":"m","responseId":"r"}\r\n\r\n'
    )
    assert encoder.event(ToolCallDelta(0, "i", "f", '{"a"')) == b""
    assert encoder.event(ToolCallDelta(0, arguments=":1}")) == b""
    assert encoder.end("tool_calls", Usage(1, 5, 6, 0, None, 2)) == (
        b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"i","name":"f","args":{"a":1}}}],'
        b'"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,'
        b'"totalTokenCount":6,"candidatesTokenCount":3,"thoughtsTokenCount":2},"modelVersion":"m","responseId":"r"}\r\n\r\n'
    )


@pytest.mark.parametrize(
    ("reason", "provider_reason", "word"),
    [
        ("stop", None, "STOP"),
        ("tool_calls", None, "STOP"),
        ("tool_calls", "STOP", "STOP"),
        ("length", "length", "MAX_TOKENS"),
        ("content_filter", None, "SAFETY"),
        ("content_filter", "SPII", "SPII"),
        ("other", "MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        ("other", "pause_turn", "OTHER"),
        ("length", "STOP", "MAX_TOKENS"),
    ],
)
def test_finish_words(reason: Any, provider_reason: str | None, word: str) -> None:
    """The provider's word is kept where it is Gemini's and means the same."""
    reply = Reply(content="a", finish_reason=reason, provider_finish_reason=provider_reason)
    encoder = gemini.encoder(response_id="r", model="m", created=1)

    assert json.loads(gemini.encode_reply(reply, created=1).body)["candidates"][0]["finishReason"] == word
    assert f'"finishReason":"{word}"'.encode() in encoder.end(reason, None, provider_reason)


def test_calls_in_any_order() -> None:
    """Calls are written by their index, however their fragments came."""
    deltas = [ToolCallDelta(1, "b", "g", "{}"), ToolCallDelta(0, "a", "f"), ToolCallDelta(0, arguments="{}")]

    assert [call.id for call in read_frames(frames("tool_calls", *deltas)).tool_calls] == ["a", "b"]


def test_arguments_that_are_no_object() -> None:
    """Gemini has no words for broken arguments."""
    encoder = gemini.encoder(response_id="r", model="m", created=1)
    encoder.event(ToolCallDelta(0, "i", "f", '{"a'))

    with pytest.raises(UnsupportedFeatureError, match="'f'"):
        encoder.end("stop", None)
    with pytest.raises(UnsupportedFeatureError, match="'f'"):
        gemini.encode_reply(Reply(tool_calls=[ToolCall("i", "f", "[]")]), created=1)


def test_a_reply_without_anything() -> None:
    """Nothing known, nothing written; a count of which nothing is known stays unknown."""
    assert read(Reply()) == Reply()
    assert read(Reply(usage=Usage(output_tokens=2, reasoning_tokens=None))).usage == Usage(None, 2, 2)


# --- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error_type", "status", "name"),
    [
        ("validation_error", 400, "INVALID_ARGUMENT"),
        ("unsupported_feature", 400, "INVALID_ARGUMENT"),
        ("context_length_exceeded", 400, "INVALID_ARGUMENT"),
        ("auth_error", 400, "INVALID_ARGUMENT"),
        ("permission_error", 403, "PERMISSION_DENIED"),
        ("model_not_found", 404, "NOT_FOUND"),
        ("request_too_large", 413, "INVALID_ARGUMENT"),
        ("rate_limit", 429, "RESOURCE_EXHAUSTED"),
        ("quota_exceeded", 429, "RESOURCE_EXHAUSTED"),
        ("cancelled", 499, "CANCELLED"),
        ("server_error", 500, "INTERNAL"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("timeout", 504, "DEADLINE_EXCEEDED"),
        ("general_error", 500, "INTERNAL"),
        ("malformed_response", 500, "INTERNAL"),
    ],
)
def test_failures(error_type: str, status: int, name: str) -> None:
    """Each class has its status and name."""
    written = gemini.encode_error(CLASSES[error_type]("What happened."))
    error = json.loads(written.body)["error"]

    assert (written.status, error["code"], error["status"]) == (status, status, name)
    assert error["message"] == "What happened."
    assert written.headers == {"content-type": "application/json; charset=UTF-8"}


@pytest.mark.parametrize(
    "error",
    [
        *(CLASSES[kind]("No.") for kind in ("validation_error", "auth_error", "permission_error", "rate_limit")),
        *(CLASSES[kind]("No.") for kind in ("quota_exceeded", "request_too_large", "cancelled", "server_error")),
        *(CLASSES[kind]("No.") for kind in ("overloaded", "timeout")),
        CLASSES["model_not_found"]("models/x is not found for API version v1beta"),
        CLASSES["context_length_exceeded"](
            "The input token count (9) exceeds the maximum number of tokens allowed (1)."
        ),
        RateLimitError("Slow down.", retry_after=37),
        QuotaExceededError("Enough.", retry_after=0.25),
        ValidationError("Not here.", status_code=404),
    ],
    ids=lambda error: error.error_type,
)
def test_failures_there_and_back(error: LLMError) -> None:
    """The client gives a failure the class and the wait that it was written with."""
    written = gemini.encode_error(error)
    for again in (
        failures.classify(written.status, written.headers, written.body),
        failures.in_band(json.loads(written.body)["error"], written.body),
    ):
        assert (again.error_type, again.retry_after) == (error.error_type, error.retry_after)
        assert error.message.rstrip(".") in again.message


def test_status_of_its_own() -> None:
    """An error's own status, and a code that is a name of Google's, win."""
    error = json.loads(gemini.encode_error(ValidationError("x", status_code=405)).body)["error"]
    assert (error["code"], error["status"]) == (405, "INVALID_ARGUMENT")
    error = json.loads(gemini.encode_error(ValidationError("x", code="FAILED_PRECONDITION")).body)["error"]
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    error = json.loads(gemini.encode_error(LLMError("x", status_code=599)).body)["error"]
    assert (error["code"], error["status"]) == (599, "UNKNOWN")


def test_details() -> None:
    """Details say which key, which quota and how long to wait."""

    def details(error: LLMError) -> dict[str, Any]:
        found = json.loads(gemini.encode_error(error).body)["error"].get("details", [])
        return {detail.pop("@type").rpartition(".")[2]: detail for detail in found}

    assert details(AuthError("x"))["ErrorInfo"]["reason"] == "API_KEY_INVALID"
    assert details(AuthError("x", status_code=401)) == {}
    assert details(RateLimitError("x", retry_after=37))["RetryInfo"] == {"retryDelay": "37s"}
    assert details(RateLimitError("x", retry_after=0.25))["RetryInfo"] == {"retryDelay": "0.25s"}
    assert "PerMinute" in details(RateLimitError("x"))["QuotaFailure"]["violations"][0]["quotaId"]
    assert "PerDay" in details(QuotaExceededError("x"))["QuotaFailure"]["violations"][0]["quotaId"]
    assert details(QuotaExceededError("x", status_code=402)) == {}


@pytest.mark.parametrize(("code", "reason"), [("MODEL_ARMOR", "MODEL_ARMOR"), ("content_filter", "PROHIBITED_CONTENT")])
def test_a_blocked_prompt(code: str, reason: str) -> None:
    """A prompt that a filter refused is an answer without candidates, with a reason that Gemini has."""
    error = ContentFilterError("Against the rules.", code=code, status_code=400)
    written = gemini.encode_error(error)

    assert written.status == 200
    with pytest.raises(ContentFilterError, match="Against the rules") as raised:
        gemini.decoder().reply(written.body)
    assert raised.value.code == reason


def test_an_error_in_a_stream() -> None:
    """An error after the stream has begun is a frame like any other."""
    encoder = gemini.encoder(response_id="r", model="m", created=1)
    frame = encoder.error(CLASSES["overloaded"]("The model is overloaded."))

    assert frame == (
        b'data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\r\n\r\n'
    )
    with pytest.raises(CLASSES["overloaded"], match="overloaded"):
        read_frames([encoder.event(TextDelta("a")), frame])


# --- the vendor's own client ------------------------------------------------------------------------------------


def test_the_vendors_client_reads_it() -> None:
    """google-genai takes what is written for the same answer, and knows every field."""
    types = pytest.importorskip("google.genai.types", reason="google-genai is not installed (group sdks)")
    call = ToolCallDelta(0, "i", "f", '{"a":1}')
    streamed = frames("tool_calls", TextDelta("Hi"), call, Extra("finishMessage", "Done."))
    whole = msgspec.structs.replace(OWN, raw_usage=None)  # its model forbids fields that the real API sends
    bodies = [gemini.encode_reply(whole, created=1).body, gemini.encode_error(ContentFilterError("No.")).body]
    bodies += [frame.removeprefix(b"data: ") for frame in streamed if frame]

    read = [types.GenerateContentResponse.model_validate_json(body) for body in bodies]

    assert [part.function_call.name for part in read[0].parts if part.function_call] == ["f"]
    assert read[0].usage_metadata.total_token_count == 11
    assert read[1].prompt_feedback.block_reason == "PROHIBITED_CONTENT"
    assert [answer.candidates[0].finish_reason for answer in read[-2:]] == [None, "STOP"]
