"""Hostile input: whatever comes, both sides answer with an `LLMError` or an answer, never with another exception."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.errors import LLMError, MalformedResponseError, ValidationError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import ServerEvent, SSEParser
from multi_llm_wrapper.types import Extra, Reply
from tests.strategies import json_values, well_typed

CHUNK: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": "gpt-5-mini",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "delta": {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Hi"},
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                ],
                "reasoning_content": "Hm",
                "reasoning": "Hm",
                "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Hm"}],
                "refusal": "No",
                "annotations": [{"type": "url_citation"}],
                "audio": {"id": "a", "data": "QUJD", "transcript": "x"},
                "tool_calls": [
                    {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
                "function_call": {"name": "g", "arguments": "{}"},
            },
            "logprobs": {"content": [{"token": "Hi", "logprob": -0.1}]},
            "finish_reason": "stop",
            "native_finish_reason": "stop",
            "usage": {"prompt_tokens": 1},
            "error": None,
        },
        {"index": 1, "delta": {"content": "x"}},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
    "x_groq": {"id": "req", "usage": {"prompt_tokens": 1}, "error": None},
    "citations": ["u"],
    "error": None,
}

REQUEST: dict[str, Any] = {
    "model": "gpt-5-mini",
    "messages": [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "json"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "max_completion_tokens": 5,
    "temperature": 1.0,
    "top_p": 1.0,
    "stop": ["x"],
    "seed": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, item in inside for place in places(item, (*path, key))]


def mutated(base: Any) -> st.SearchStrategy[Any]:
    """The base with up to four of its values replaced or, by `...`, left out."""

    def change(changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
        copy = json.loads(json.dumps(base))
        for path, value in changes:
            target = copy
            try:
                for key in path[:-1]:
                    target = target[key]
                if value is ...:
                    del target[path[-1]]
                else:
                    target[path[-1]] = deepcopy(value)  # a drawn {} is the same object in every example
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took this place away
        return copy

    values = st.just(...) | json_values | st.sampled_from([10**30, "", [], {}, [[]], [None], "stop", "error", 1e400])
    return st.lists(st.tuples(st.sampled_from(places(base)), values), max_size=4).map(change)


def decode(frames: list[bytes]) -> Reply:
    decoder, fold = openai_chat.decoder(), Fold(openai_chat.read_usage)
    try:
        for data in frames:
            fold.add_all(decoder.feed(ServerEvent("", data)))
    except LLMError:
        pass
    return fold.add_all(decoder.close()).reply()


@settings(max_examples=500)
@given(st.lists(mutated(CHUNK), min_size=1, max_size=3))
def test_mutated_chunks(values: list[Any]) -> None:
    """Chunks with anything in the place of anything are read well typed or are an LLMError; nothing else is raised."""
    assert well_typed(decode([json.dumps(value).encode() for value in values]))


@settings(max_examples=300)
@given(mutated(CHUNK), st.booleans())
def test_mutated_bodies(value: Any, as_message: bool) -> None:
    """Bodies with anything in the place of anything are read well typed or are an LLMError; nothing else is raised."""
    body = json.dumps(value).encode()
    if as_message:
        body = body.replace(b'"delta"', b'"message"')
    try:
        events = openai_chat.decoder().reply(body)
    except LLMError:
        return
    assert well_typed(Fold(openai_chat.read_usage).add_all(events).reply())


@given(
    st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()), st.sampled_from(["", "error"])
)
@example(b"\xff\xfe", "")
@example(b'{"a": "\xff"}', "error")
def test_any_bytes(data: bytes, name: str) -> None:
    """Any bytes as body are malformed, as event they are an LLMError or hold nothing but extras."""
    with pytest.raises(MalformedResponseError):
        openai_chat.decoder().reply(data)
    for event in (ServerEvent(name, data), *SSEParser().feed(b"data: " + data + b"\n\n")):
        try:
            found = openai_chat.decoder().feed(event)
        except LLMError:
            continue
        assert {Extra} >= {type(one) for one in found}


@pytest.mark.parametrize("opening", ["[", '{"text":', '[{"type":"thinking","thinking":'])
@pytest.mark.parametrize("place", ["reasoning_details", "content", "unknown", "audio"])
def test_deep_nesting(opening: str, place: str) -> None:
    """Nesting as deep as the parser takes is read or is malformed, where it has to be put together too: never a
    `RecursionError`."""
    closing = {"[": "]", "{": "}"}
    for depth in (100, 400, 800, 950, 980, 990, 1000, 100_000):
        tail = "".join(closing[mark] for mark in reversed(opening) if mark in closing)
        deep = opening * depth + "0" + tail * depth

        assert well_typed(decode([f'{{"choices":[{{"delta":{{"{place}":{deep}}}}}],"top":{deep}}}'.encode()] * 3))


def test_truncated_body() -> None:
    """Every beginning of a body that is not the whole body is malformed."""
    body = json.dumps(CHUNK).encode()
    for end in range(len(body)):
        with pytest.raises(MalformedResponseError):
            openai_chat.decoder().reply(body[:end])


@settings(max_examples=500)
@given(mutated(REQUEST))
def test_mutated_requests(value: Any) -> None:
    """The server side reads a request or refuses it with HTTP 400, in a body that can be written."""
    body = json.dumps(value).encode()
    refused: ValidationError | None = None
    try:
        openai_chat.decode_request("/chat/completions", {}, body)
        openai_chat.wants_usage(body)
    except ValidationError as error:
        refused = error
    if refused is not None:
        assert (400, "provider") == (refused.status_code, refused.rejected_by)
        assert 400 == openai_chat.encode_error(refused).status


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_request(data: bytes) -> None:
    """Any bytes as a request are refused with HTTP 400."""
    with pytest.raises(ValidationError):
        openai_chat.decode_request("/chat/completions", {}, data)
