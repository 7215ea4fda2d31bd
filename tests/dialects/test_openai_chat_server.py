"""The server side: requests refused as the API refuses them, and answers, streams and errors as it writes them."""

import json
import pickle
from typing import Any

import pytest

from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.dialects.openai_chat.rejection import InvalidRequestError, translated
from multi_llm_wrapper.errors import CLASSES, LLMError, RateLimitError, ServerError, ValidationError
from multi_llm_wrapper.types import (
    AssistantMessage,
    Extra,
    Finished,
    FinishReason,
    JSONSchema,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKS = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "3"}
TOOL = {"type": "function", "function": {"name": "f"}}


def body(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "messages": list(messages) or [USER], **fields}


def decode(value: Any, path: str = "/chat/completions") -> Any:
    return openai_chat.decode_request(path, {}, json.dumps(value).encode())


def refusal(value: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        decode(value)
    return caught.value


# --- requests ---


@pytest.mark.parametrize("path", ["/chat/completions", "/chat/completions/", "/d/chat/completions?api-version=1"])
def test_path(path: str) -> None:
    """The path may have a query and a trailing slash."""
    assert "gpt-5-mini" == decode(body(), path).model


def test_other_path() -> None:
    """Another path is a 404 with the API's text."""
    with pytest.raises(ValidationError, match=r"Invalid URL \(POST /chat\)") as caught:
        decode(body(), "/chat")

    assert 404 == openai_chat.encode_error(caught.value).status


def invalid(param: str, what: str, code: str) -> tuple[str, str, str]:
    return f"Invalid '{param}': {what}", param, code


def of_type(param: str, expected: str, got: str) -> tuple[str, str, str]:
    return f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param, "invalid_type"


def missing(param: str) -> tuple[str, str, str]:
    return f"Missing required parameter: '{param}'.", param, "missing_required_parameter"


BLOCKS = "Invalid 'messages[0]'. Content blocks are expected to be either text or image_url type."
ROLES = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'"
NOT_A_RESULT = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
)
UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The "
    "following tool_call_ids did not have response messages: c1"
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"messages": [USER]}, ("you must provide a model parameter", None, None)),
        (body(model=""), ("you must provide a model parameter", None, None)),
        (body(model=5), of_type("model", "a string", "an integer")),
        ({"model": "m"}, missing("messages")),
        (body(messages="Hi"), of_type("messages", "an array of objects", "a string")),
        (
            body(messages=[]),
            invalid(
                "messages",
                "empty array. Expected an array with minimum length 1, but got an empty array instead.",
                "empty_array",
            ),
        ),
        (body("Hi"), of_type("messages[0]", "an object", "a string")),
        (body({}), missing("messages[0].role")),
        (
            body(USER, {"role": "robot"}),
            (f"Invalid value: 'robot'. Supported values are: {ROLES}.", "messages[1].role", "invalid_value"),
        ),
        (
            body({"role": "function", "name": "f", "content": "3"}),
            (
                "Unsupported value: 'messages[0].role' does not support 'function' with this model.",
                "messages[0].role",
                "unsupported_value",
            ),
        ),
        (body({"role": 5}), of_type("messages[0].role", "a string", "an integer")),
        (body({"role": "user"}), missing("messages[0].content")),
        (
            body({"role": "user", "content": 5}),
            of_type("messages[0].content", "one of a string or array of objects", "an integer"),
        ),
        (
            body({"role": "user", "content": None}),
            ("Invalid value for 'content': expected a string, got null.", "messages.[0].content", None),
        ),
        (
            body(USER, {"role": "assistant"}),
            ("Invalid value for 'content': expected a string, got null.", "messages.[1].content", None),
        ),
        (body({"role": "user", "content": [{"text": "x"}]}), missing("messages[0].content[0].type")),
        (
            body({"role": "user", "content": [{"type": "input_audio"}]}),
            (BLOCKS, "messages[0]", "invalid_value"),
        ),
        (
            body({"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}),
            of_type("messages[0].content[0].image_url", "an object", "a string"),
        ),
        (body(RESULT), (NOT_A_RESULT, "messages.[0].role", None)),
        (body(USER, ASKS, RESULT, USER, RESULT), (NOT_A_RESULT, "messages.[4].role", None)),
        (body(USER, ASKS), (UNANSWERED, "messages.[2].role", None)),
        (body(USER, ASKS, USER), (UNANSWERED, "messages.[2].role", None)),
        (body({"role": "tool", "content": "x"}), missing("messages[0].tool_call_id")),
        (
            body({"role": "assistant", "content": "x", "tool_calls": []}),
            invalid(
                "messages[0].tool_calls",
                "empty array. Expected an array with minimum length 1, but got an empty array instead.",
                "empty_array",
            ),
        ),
        (body(tools=[{"type": "function"}]), missing("tools[0].function")),
        (
            body(tools=[{"type": "custom", "function": {"name": "f"}}]),
            ("Invalid value: 'custom'. Supported values are: 'function'.", "tools[0].type", "invalid_value"),
        ),
        (
            body(tools=[TOOL], tool_choice="any"),
            (
                "Invalid value: 'any'. Supported values are: 'none', 'auto', and 'required'.",
                "tool_choice",
                "invalid_value",
            ),
        ),
        (
            body(tool_choice="auto"),
            (
                "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
                "tool_choice",
                None,
            ),
        ),
        (
            body(parallel_tool_calls=True),
            (
                "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are "
                "specified.",
                "parallel_tool_calls",
                None,
            ),
        ),
        (body(temperature="hot"), of_type("temperature", "a decimal", "a string")),
        (
            body(temperature=2.5),
            invalid(
                "temperature",
                "decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
                "decimal_above_max_value",
            ),
        ),
        (
            body(top_p=-1),
            invalid(
                "top_p",
                "decimal below minimum value. Expected a value >= 0, but got -1 instead.",
                "decimal_below_min_value",
            ),
        ),
        (
            body(max_tokens=0),
            invalid(
                "max_tokens",
                "integer below minimum value. Expected a value >= 1, but got 0 instead.",
                "integer_below_min_value",
            ),
        ),
        (body(max_completion_tokens=1.5), of_type("max_completion_tokens", "an integer", "a decimal")),
        (body(stop=5), of_type("stop", "one of a string or array of strings", "an integer")),
        (
            body(stop=list("abcde")),
            invalid(
                "stop",
                "array too long. Expected an array with maximum length 4, but got an array with length 5 instead.",
                "array_above_max_length",
            ),
        ),
        (body(stream="yes"), of_type("stream", "a boolean", "a string")),
        (
            body(stream_options={"include_usage": True}),
            ("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", None),
        ),
        (
            body(response_format={"type": "xml"}),
            (
                "Invalid value: 'xml'. Supported values are: 'json_object', 'json_schema', and 'text'.",
                "response_format.type",
                "invalid_value",
            ),
        ),
        (body(response_format={"type": "json_schema"}), missing("response_format.json_schema")),
        (
            body(response_format={"type": "json_schema", "json_schema": {}}),
            missing("response_format.json_schema.name"),
        ),
        (
            body(response_format={"type": "json_object"}),
            (
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                "messages",
                None,
            ),
        ),
    ],
)
def test_bad_requests(value: Any, expected: tuple[str, str | None, str | None]) -> None:
    """A request with a mistake is refused with the API's message, param and code, under HTTP 400."""
    error = refusal(value)
    wire = openai_chat.encode_error(error)
    message, param, code = expected
    told = {"message": message, "type": "invalid_request_error", "param": param, "code": code}

    assert {"error": told} == json.loads(wire.body)
    assert (400, 400, "provider", "validation_error") == (
        wire.status,
        error.status_code,
        error.rejected_by,
        error.error_type,
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b'{"model": "\xff"}', b"[" * 100_000])
def test_bodies_that_are_no_json(data: bytes) -> None:
    """A body that is no JSON object is refused with the API's long text."""
    with pytest.raises(ValidationError, match=r"^We could not parse the JSON body of your request\. \(HINT: "):
        openai_chat.decode_request("/chat/completions", {}, data)


def test_problem_without_a_text_of_its_own() -> None:
    """What the API's texts do not cover is still refused, with its place."""
    error = translated("Expected something new - at `$.tools[0].x`", {})

    assert ("Invalid 'tools[0].x': Expected something new.", "tools[0].x", 400) == (
        error.message,
        error.param,
        error.status_code,
    )


def test_rejection_is_picklable() -> None:
    """A refusal survives a trip between processes with its param."""
    error = refusal(body(temperature="hot"))
    copy = pickle.loads(pickle.dumps(error))

    assert (error.message, vars(error)) == (copy.message, vars(copy))


def test_what_is_tolerated() -> None:
    """Unknown fields, both names of the limit, one stop text and text as format are read as they are meant."""
    request = decode(
        body(
            ASKS | {"content": "x", "refusal": None},
            RESULT,
            user="u",
            max_tokens=5,
            max_completion_tokens=7,
            stop="end",
            response_format={"type": "text"},
            stream=None,
            stream_options=None,
            temperature=None,
        )
    )

    assert (7, ["end"], None, False) == (request.max_tokens, request.stop, request.response_format, request.stream)
    assert isinstance(request.messages[0], AssistantMessage)
    assert 5 == decode(body(max_tokens=5)).max_tokens


def test_results_in_any_order_and_repeated() -> None:
    """Results of parallel calls may come in any order, and one of them twice."""
    other = CALL | {"id": "c2"}
    messages = [USER, ASKS | {"tool_calls": [CALL, other]}, RESULT | {"tool_call_id": "c2"}, RESULT, RESULT]

    assert 5 == len(decode(body(*messages)).messages)


def test_json_object_is_a_schema_of_any_object() -> None:
    """JSON mode asks for an object, whatever is in it."""
    request = decode(body({"role": "user", "content": "As JSON"}, response_format={"type": "json_object"}))

    assert JSONSchema({"type": "object"}, "json_object") == request.response_format


# --- answers ---

CITATION = {
    "type": "url_citation",
    "url_citation": {"url": "https://example.com", "title": "Example", "start_index": 0, "end_index": 2},
}
USAGE = Usage(10, 5, 15, 4, None, 2)
REPLY = Reply(
    content="Hi",
    reasoning="Hm",
    tool_calls=[ToolCall("c1", "f", "{}")],
    finish_reason="tool_calls",
    usage=USAGE,
    response_id="chatcmpl-1",
    response_model="gpt-5-mini",
    extras={"logprobs": {"content": []}, "annotations": [CITATION], "citations": ["u"]},
)
WIRE_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def test_whole_answer() -> None:
    """A reply is written as a `chat.completion` with everything in its place."""
    wire = openai_chat.encode_reply(REPLY, created=1_700_000_000)
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "Hm",
        "tool_calls": [CALL],
        "refusal": None,
        "annotations": [CITATION],
    }
    choice = {"index": 0, "message": message, "logprobs": {"content": []}, "finish_reason": "tool_calls"}

    assert (200, {"content-type": "application/json"}) == (wire.status, wire.headers)
    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-5-mini",
        "choices": [choice],
        "usage": WIRE_USAGE,
        "service_tier": "default",
        "system_fingerprint": None,
        "citations": ["u"],
    } == json.loads(wire.body)


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        (Reply(content=""), ""),
        (Reply(content="", tool_calls=[ToolCall("c", "f", "")]), None),
        (Reply(content="", extras={"refusal": "No."}), None),
    ],
)
def test_empty_content(reply: Reply, content: str | None) -> None:
    """Content is null only where a call or a refusal stands in its place."""
    assert content == json.loads(openai_chat.encode_reply(reply, created=1).body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("reason", "provider_reason", "refusal_text", "expected"),
    [
        ("stop", None, None, "stop"),
        ("stop", "end_turn", None, "stop"),
        ("tool_calls", "function_call", None, "function_call"),
        ("tool_calls", "stop", None, "tool_calls"),
        ("length", "MAX_TOKENS", None, "length"),
        ("other", "pause_turn", None, "pause_turn"),
        ("other", "error", None, "other"),
        ("other", None, None, "other"),
        ("content_filter", "refusal", None, "content_filter"),
        ("content_filter", "stop", "No.", "stop"),
        (None, None, None, None),
    ],
)
def test_finish_reasons(
    reason: FinishReason | None, provider_reason: str | None, refusal_text: str | None, expected: str | None
) -> None:
    """Finish reasons are OpenAI's words; a provider's own one is passed on where OpenAI has none."""
    extras = {"refusal": refusal_text} if refusal_text else {}
    reply = Reply(content="x", finish_reason=reason, provider_finish_reason=provider_reason, extras=extras)

    assert expected == json.loads(openai_chat.encode_reply(reply, created=1).body)["choices"][0]["finish_reason"]
    if reason is not None:
        encoder = openai_chat.encoder(response_id="r", model="m", created=1)
        for name, value in extras.items():
            encoder.event(Extra(name, value))
        last = json.loads(encoder.end(reason, None, provider_reason).split(b"\n")[0].removeprefix(b"data: "))
        assert expected == last["choices"][0]["finish_reason"]


def test_usage_that_is_not_known_is_left_out() -> None:
    """Counts that nobody reported are not written as zero."""
    usage = json.loads(openai_chat.encode_reply(Reply(usage=Usage(3)), created=1).body)["usage"]

    assert 3 == usage["prompt_tokens"]
    assert {"completion_tokens", "total_tokens"}.isdisjoint(usage)
    assert "usage" not in json.loads(openai_chat.encode_reply(Reply(), created=1).body)


# --- streams ---

HEAD = (
    b'data: {"id":"r","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"default",'
    b'"system_fingerprint":null,"choices":['
)


def chunk(delta: bytes, finish: bytes = b"null", usage: bytes = b',"usage":null') -> bytes:
    choice = b'{"index":0,"delta":' + delta + b',"logprobs":null,"finish_reason":' + finish + b"}]"
    return HEAD + choice + usage + b"}\n\n"


def test_stream_bytes() -> None:
    """Role first, then text, calls (id and name once, then arguments), the reason, the usage and the end marker."""
    encoder = openai_chat.encoder(response_id="r", model="m", created=1)
    call_0 = b'{"tool_calls":[{"index":0,'

    assert chunk(b'{"role":"assistant","content":"","refusal":null}') == encoder.start()
    assert chunk(b'{"reasoning_content":"Hm"}') == encoder.event(ReasoningDelta("Hm"))
    assert chunk(b'{"content":"\xc3\xa9"}') == encoder.event(TextDelta("é"))
    assert (
        chunk(call_0 + b'"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}')
        + chunk(call_0 + b'"function":{"arguments":"{"}}]}')
    ) == encoder.event(ToolCallDelta(0, "c1", "f", "{"))
    assert chunk(call_0 + b'"function":{"arguments":"}"}}]}') == encoder.event(ToolCallDelta(0, arguments="}"))
    assert b"" == encoder.event(Finished("stop"))
    last = HEAD + b'],"usage":' + json.dumps(WIRE_USAGE, separators=(",", ":")).encode() + b"}\n\n"
    assert chunk(b"{}", b'"tool_calls"') + last + b"data: [DONE]\n\n" == encoder.end("tool_calls", USAGE)


def test_stream_bytes_without_usage() -> None:
    """Without `include_usage` usage is never mentioned."""
    encoder = openai_chat.encoder(response_id="r", model="m", created=1, include_usage=False)

    assert chunk(b'{"content":"a"}', usage=b"") == encoder.event(TextDelta("a"))
    assert chunk(b"{}", b'"stop"', b"") + b"data: [DONE]\n\n" == encoder.end("stop", USAGE)


def test_calls_named_late() -> None:
    """A call whose id or name is not known yet gets them later, or an id of its own."""
    encoder = openai_chat.encoder(response_id="r", model="m", created=1, include_usage=False)

    assert b'"id":"call_2"' in encoder.event(ToolCallDelta(2))
    assert b'"function":{"name":"f","arguments":""}' in encoder.event(ToolCallDelta(2, None, "f"))


def test_extras_of_a_stream_have_their_places() -> None:
    """Refusals stand in the delta, logprobs in the choice, the service tier in every chunk from then on."""
    encoder = openai_chat.encoder(response_id="r", model="m", created=1)

    assert chunk(b'{"refusal":"No"}') == encoder.event(Extra("refusal", "No"))
    assert b'"delta":{},"logprobs":{"content":[]},' in encoder.event(Extra("logprobs", {"content": []}))
    assert b'"choices":[{"index":1}]' in encoder.event(Extra("choices", [{"index": 1}]))
    assert b"" == encoder.event(Extra("service_tier", "flex"))
    assert b'"service_tier":"flex"' in encoder.event(TextDelta("a"))


def test_error_in_a_stream() -> None:
    """An error inside HTTP 200 is a chunk with `error` in it."""
    encoder = openai_chat.encoder(response_id="r", model="m", created=1)
    expected = b'data: {"error":{"message":"Sorry","type":"server_error","param":null,"code":null}}\n\n'

    assert expected == encoder.error(ServerError("Sorry"))


# --- errors ---


@pytest.mark.parametrize(
    ("kind", "status", "type_", "code", "param"),
    [
        ("validation_error", 400, "invalid_request_error", None, None),
        ("auth_error", 401, "invalid_request_error", "invalid_api_key", None),
        ("permission_error", 403, "invalid_request_error", "insufficient_permissions", None),
        ("quota_exceeded", 429, "insufficient_quota", "insufficient_quota", None),
        ("rate_limit", 429, "requests", "rate_limit_exceeded", None),
        ("overloaded", 503, "service_unavailable_error", "server_is_overloaded", None),
        ("timeout", 504, "server_error", "timeout", None),
        ("server_error", 500, "server_error", None, None),
        ("request_too_large", 413, "invalid_request_error", "request_too_large", None),
        ("context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded", "messages"),
        ("content_filter", 400, "invalid_request_error", "content_filter", "prompt"),
        ("model_not_found", 404, "invalid_request_error", "model_not_found", None),
        ("unsupported_feature", 400, "invalid_request_error", "unsupported_parameter", None),
    ],
)
def test_error_bodies(kind: str, status: int, type_: str, code: str | None, param: str | None) -> None:
    """Each class has the status, type, code and param that the API gives it."""
    wire = openai_chat.encode_error(CLASSES[kind]("Sorry"))

    assert (status, {"content-type": "application/json"}) == (wire.status, wire.headers)
    assert {"error": {"message": "Sorry", "type": type_, "param": param, "code": code}} == json.loads(wire.body)


@pytest.mark.parametrize("kind", CLASSES.values())
def test_every_class_has_a_body(kind: type[LLMError]) -> None:
    """No class of error is without an HTTP error status."""
    assert 400 <= openai_chat.encode_error(kind("Sorry")).status < 600


def test_facts_of_an_error_win() -> None:
    """Status, code and wait of the error itself are told; a status of success is not taken for one of an error."""
    error = RateLimitError("Limit reached: tokens per min", status_code=498, code="capacity_exceeded", retry_after=1.5)
    wire = openai_chat.encode_error(error)
    told = json.loads(wire.body)["error"]

    assert 498 == wire.status
    assert ("2", "1500") == (wire.headers["retry-after"], wire.headers["retry-after-ms"])
    assert ("tokens", "capacity_exceeded") == (told["type"], told["code"])
    assert 500 == openai_chat.encode_error(ServerError("Sorry", status_code=200)).status


# --- OpenAI's own client as the reader ---


@pytest.fixture
def openai_types() -> Any:
    return pytest.importorskip("openai.types.chat", reason="the openai package is not installed (group `sdks`)")


def test_sdk_reads_the_answer(openai_types: Any) -> None:
    """OpenAI's own model of a completion validates what we write, strictly."""
    wire = openai_chat.encode_reply(REPLY, created=1_700_000_000)
    completion = openai_types.ChatCompletion.model_validate_json(wire.body)

    assert "Hi" == completion.choices[0].message.content
    assert "f" == completion.choices[0].message.tool_calls[0].function.name
    assert 4 == completion.usage.prompt_tokens_details.cached_tokens


def test_sdk_reads_the_stream(openai_types: Any) -> None:
    """OpenAI's own model of a chunk validates every chunk that we write, strictly."""
    encoder = openai_chat.encoder(response_id="r", model="m", created=1)
    stream = encoder.start() + encoder.event(TextDelta("Hi")) + encoder.event(ToolCallDelta(0, "c", "f", "{}"))
    frames = (stream + encoder.end("stop", USAGE)).split(b"\n\n")[:-2]
    chunks = [openai_types.ChatCompletionChunk.model_validate_json(frame.removeprefix(b"data: ")) for frame in frames]

    assert ["", "Hi", None, None, None] == [one.choices[0].delta.content for one in chunks[:-1]]
    assert 15 == chunks[-1].usage.total_tokens
