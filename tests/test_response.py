"""What the caller gets: every key always there, read-only views, plain JSON, and a way back into the conversation."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import Chunk, Response
from multi_llm_wrapper.errors import CLASSES, GeneralError, LLMError, RateLimitError, ServerError
from multi_llm_wrapper.options import build_request
from multi_llm_wrapper.response import Facts, failure, success
from multi_llm_wrapper.types import (
    AssistantMessage,
    FunctionCall,
    MessageToolCall,
    NativeMessage,
    RateLimit,
    Reply,
    ToolCall,
    ToolMessage,
    Usage,
)
from tests.strategies import replies

KEYS = [
    "status",
    "content",
    "provider",
    "model",
    "timestamp",
    "tool_calls",
    "reasoning",
    "error",
    "error_type",
    "metadata",
]
METADATA = {
    "response_time", "time_to_first_token", "usage", "raw_usage", "finish_reason", "provider_finish_reason",
    "response_model", "request_id", "response_id", "attempts", "cached", "dropped_params", "provider_data",
    "rate_limit",
}  # fmt: skip
ERROR_METADATA = {"status_code", "code", "retry_after", "retryable", "rejected_by"}
RETRYABLE = {
    "rate_limit", "overloaded", "server_error", "timeout", "connection_error", "malformed_response", "empty_response",
    "incomplete_stream",
}  # fmt: skip
CONTRACT_TYPES = {
    "validation_error", "auth_error", "permission_error", "quota_exceeded", "rate_limit", "overloaded", "timeout",
    "connection_error", "server_error", "request_too_large", "context_length_exceeded", "content_filter",
    "model_not_found", "unsupported_feature", "malformed_response", "empty_response", "incomplete_stream", "cancelled",
    "circuit_open", "limit_exceeded", "general_error",
}  # fmt: skip


def facts(**given: Any) -> Facts:
    return Facts(
        **{"provider": "openai", "model": "m", "timestamp": 1.5e9, "response_time": 0.25, "attempts": 1, **given}
    )


def full() -> Reply:
    return Reply(
        content="hello",
        reasoning="hm",
        tool_calls=[ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "g", "")],
        finish_reason="tool_calls",
        provider_finish_reason="tool_use",
        usage=Usage(3, 2, 5, 1, None, 0),
        raw_usage={"prompt_tokens": 3},
        response_id="r1",
        response_model="m-2026",
        native=NativeMessage("anthropic_messages", {"content": [{"type": "thinking", "signature": "s"}]}),
        extras={"citations": [{"url": "u"}]},
    )


# --- the table of the contract ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply(), full()], ids=["empty", "full"])
def test_a_success_has_every_key(reply: Reply) -> None:
    """All keys of the contract, whatever came, in one order; none of an error's."""
    response = success(reply, facts())

    assert list(response) == KEYS
    assert METADATA <= set(response["metadata"])
    assert not ERROR_METADATA & set(response["metadata"])
    assert ("success", None, None) == (response.status, response.error, response.error_type)
    assert response.ok


@pytest.mark.parametrize("partial", [None, Reply(), full()], ids=["nothing", "empty", "full"])
def test_an_error_has_every_key(partial: Reply | None) -> None:
    """The same keys, and those of errors in the metadata."""
    response = failure(ServerError("It failed; try again."), facts(), partial)

    assert list(response) == KEYS
    assert METADATA | ERROR_METADATA <= set(response["metadata"])
    assert ("error", "It failed; try again.", "server_error") == (response.status, response.error, response.error_type)
    assert not response.ok


def test_the_values_of_a_success() -> None:
    """Each value is where the contract puts it."""
    response = success(full(), facts(time_to_first_token=0.1, request_id="q1", dropped_params=["seed"], attempts=2))
    metadata = response.metadata

    assert ("hello", "hm", "openai", "m", 1.5e9) == (
        response.content,
        response.reasoning,
        response.provider,
        response.model,
        response.timestamp,
    )
    assert [
        {"id": "c1", "name": "f", "arguments": {"a": 1}, "arguments_raw": '{"a": 1}'},
        {"id": "c2", "name": "g", "arguments": {}, "arguments_raw": ""},
    ] == response.tool_calls
    assert {
        "input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "cache_read_tokens": 1, "cache_write_tokens": None,
        "reasoning_tokens": 0,
    } == response.usage == metadata["usage"]  # fmt: skip
    assert {"prompt_tokens": 3} == metadata["raw_usage"]
    assert ("tool_calls", "tool_use") == (response.finish_reason, metadata["provider_finish_reason"])
    assert ("m-2026", "q1", "r1") == (metadata["response_model"], metadata["request_id"], metadata["response_id"])
    assert (0.25, 0.1, 2, False, ["seed"]) == tuple(
        metadata[name] for name in ("response_time", "time_to_first_token", "attempts", "cached", "dropped_params")
    )
    assert {
        "citations": [{"url": "u"}],
        "native": {"dialect": "anthropic_messages", "fields": {"content": [{"type": "thinking", "signature": "s"}]}},
    } == metadata["provider_data"]


def test_what_was_not_reported_is_none() -> None:
    """Nothing reported is None, not zero and not empty."""
    response = success(Reply(), facts(request_id=None))

    assert ("", None, []) == (response.content, response.reasoning, response.tool_calls)
    assert (None, None) == (response.usage, response.finish_reason)
    assert {None} == {
        response.metadata[name]
        for name in ("raw_usage", "provider_finish_reason", "response_model", "request_id", "response_id", "rate_limit")
    }
    assert ({}, []) == (response.metadata["provider_data"], response.metadata["dropped_params"])


def test_rate_limits_are_a_dict() -> None:
    """What the headers said, with None for what they did not say."""
    response = success(Reply(), facts(rate_limit=RateLimit(limit_requests=10, reset_tokens=1.5)))

    assert {
        "limit_requests": 10, "remaining_requests": None, "reset_requests": None, "limit_tokens": None,
        "remaining_tokens": None, "reset_tokens": 1.5,
    } == response.metadata["rate_limit"]  # fmt: skip


def test_the_raw_body_is_there_when_it_was_to_be_kept() -> None:
    """`raw` is a key only then."""
    assert "{}" == success(Reply(), facts(raw="{}")).metadata["raw"]
    assert "raw" not in success(Reply(), facts()).metadata


@pytest.mark.parametrize(
    ("partial", "expected"),
    [
        (None, None),
        (Reply(), None),
        (Reply(response_id="r1", finish_reason="stop"), None),
        (Reply(content="hel"), "hel"),
        (Reply(reasoning="hm"), ""),
        (Reply(tool_calls=[ToolCall("c", "f", "{")]), ""),
    ],
)
def test_the_content_of_an_error(partial: Reply | None, expected: str | None) -> None:
    """None when nothing was received, else what had come."""
    response = failure(ServerError("x"), facts(), partial)

    assert expected == response.content
    assert (partial.reasoning if partial else None) == response.reasoning
    assert (len(partial.tool_calls) if partial else 0) == len(response.tool_calls)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}), (" \n", {}), ("{}", {}), ('{"a": [1, null]}', {"a": [1, None]}), ('{"a": 1', None), ("[]", None),
        ("null", None), ("5", None), ("nonsense", None), ('{"a": "\ud800"}', None), ("[" * 100_000, None),
        ('{"a": 12345678901234567890123}', {"a": 12345678901234567890123}),
    ],
)  # fmt: skip
def test_arguments(text: str, expected: dict[str, Any] | None) -> None:
    """A dict; `{}` for empty text, None where it is no JSON object; the text itself stays beside it."""
    response = success(Reply(tool_calls=[ToolCall("c", "f", text)]), facts())

    assert expected == response.tool_calls[0]["arguments"]
    assert text == response.tool_calls[0]["arguments_raw"]


# --- a dict that serialises, with views -------------------------------------------------------------------------


@given(replies())
def test_a_response_is_plain_json(reply: Reply) -> None:
    """It survives JSON as it is, and is equal to the plain dict of its items."""
    response = success(reply, facts())

    assert dict(response) == json.loads(json.dumps(response))
    assert dict(response) == msgspec.json.decode(msgspec.json.encode(response))


VIEWS = [*KEYS, "ok", "usage", "finish_reason", "parsed"]


@pytest.mark.parametrize("name", VIEWS)
def test_attributes_are_read_only(name: str) -> None:
    """An attribute cannot be set or deleted, so it cannot differ from its key."""
    response = success(full(), facts())

    with pytest.raises(AttributeError):
        setattr(response, name, 5)
    with pytest.raises(AttributeError):
        delattr(response, name)
    with pytest.raises(AttributeError):
        response.nonsense = 5  # type: ignore[attr-defined]  # wrong on purpose


@pytest.mark.parametrize("name", KEYS)
def test_attributes_are_views_of_the_keys(name: str) -> None:
    """What is changed under the key shows in the attribute."""
    response = success(full(), facts())
    assert response[name] is getattr(response, name)

    response[name] = "changed"

    assert "changed" == getattr(response, name)


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "pickle 2": lambda value: pickle.loads(pickle.dumps(value, 2)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("parsed", [None, {"n": [5]}], ids=["unparsed", "parsed"])
def test_copies_keep_everything(how: str, parsed: Any) -> None:
    """A copy is a Response with the same items and the same parsed value."""
    response = success(full(), facts())
    if parsed is not None:
        response._parsed = parsed
    twin = COPIES[how](response)

    assert response == twin
    assert Response is type(twin)
    assert parsed == twin.parsed
    assert "hello" == twin.content


def test_a_deep_copy_shares_nothing() -> None:
    """Changing the copy leaves the original."""
    response = success(full(), facts())
    twin = copy.deepcopy(response)
    twin["metadata"]["usage"]["input_tokens"] = 0
    twin["tool_calls"].clear()

    assert 3 == response.metadata["usage"]["input_tokens"]
    assert 2 == len(response.tool_calls)


def test_parsed_is_none_unless_there_is_something() -> None:
    """It is an attribute, never a key."""
    assert success(Reply(), facts()).parsed is None
    assert "parsed" not in success(Reply(), facts())


# --- the way back -----------------------------------------------------------------------------------------------


@given(replies())
def test_to_message_is_the_assistant_turn(reply: Reply) -> None:
    """Appended to the messages, also after a trip through JSON, it says what the answer said."""
    response = success(reply, facts())
    message = json.loads(json.dumps(response.to_message()))
    results = [{"role": "tool", "tool_call_id": call.id, "content": "r"} for call in reply.tool_calls]
    user = {"role": "user", "content": "hi"}
    turns = build_request([user, message, *results, user], "m", {}, stream=False).messages
    calls = [MessageToolCall(call.id, FunctionCall(call.name, call.arguments)) for call in reply.tool_calls]

    assert isinstance(turns[1], AssistantMessage)
    assert (calls or None) == turns[1].tool_calls
    assert reply.content == (turns[1].content or "")
    assert reply.native == turns[1].provider_data
    assert [ToolMessage("r", call.id) for call in reply.tool_calls] == turns[2:-1]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(content="hi"), {"role": "assistant", "content": "hi"}),
        (Reply(), {"role": "assistant", "content": ""}),
        (
            Reply(tool_calls=[ToolCall("c1", "f", "{}")]),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        ),
        (
            Reply(content="hi", native=NativeMessage("gemini", {"parts": []})),
            {"role": "assistant", "content": "hi", "provider_data": {"dialect": "gemini", "fields": {"parts": []}}},
        ),
    ],
)
def test_the_shape_of_the_message(reply: Reply, expected: dict[str, Any]) -> None:
    """OpenAI's shape, with opaque data only where the provider gave some."""
    assert expected == success(reply, facts()).to_message()


def test_an_error_has_a_message_too() -> None:
    """So that a loop need not look first; there is just nothing in it."""
    assert {"role": "assistant", "content": ""} == failure(ServerError("x"), facts()).to_message()


# --- errors -----------------------------------------------------------------------------------------------------


def test_the_error_classes_are_those_of_the_contract() -> None:
    """The set is closed, and `retryable` is what the contract says."""
    assert CONTRACT_TYPES == set(CLASSES)
    assert RETRYABLE == {name for name, kind in CLASSES.items() if kind.retryable}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_raise_for_status_raises_the_class(kind: type[LLMError]) -> None:
    """With the same facts as fields, and the response itself."""
    error = kind("It failed.", status_code=429, code="c", request_id="q1", retry_after=3.5, rejected_by="provider")
    response = failure(error, facts())
    with pytest.raises(LLMError) as caught:
        response.raise_for_status()
    raised = caught.value

    assert kind is type(raised)
    assert response is raised.response
    assert ("It failed.", "It failed.") == (raised.message, str(raised))
    assert ("openai", "m", 429, "c", "q1", 3.5, "provider") == (
        raised.provider,
        raised.model,
        raised.status_code,
        raised.code,
        raised.request_id,
        raised.retry_after,
        raised.rejected_by,
    )
    assert raised.retryable is response.metadata["retryable"]
    assert raised.error_type == response.error_type


def test_raise_for_status_of_a_success_gives_it_back() -> None:
    """So that it can be chained."""
    response = success(Reply(), facts())

    assert response is response.raise_for_status()


def test_an_error_type_of_later_is_general() -> None:
    """A response stored by another version still raises."""
    response = failure(ServerError("x"), facts())
    response["error_type"] = "from_the_future"

    with pytest.raises(GeneralError, match="x"):
        response.raise_for_status()


def test_the_request_id_of_the_error_goes_first() -> None:
    """What the error body said beats the header; without either there is none."""
    assert "body" == failure(ServerError("x", request_id="body"), facts(request_id="header")).metadata["request_id"]
    assert "header" == failure(ServerError("x"), facts(request_id="header")).metadata["request_id"]
    assert failure(ServerError("x"), facts()).metadata["request_id"] is None


def test_a_raised_error_can_be_pickled() -> None:
    """With its fields and its response, as process pools need it."""
    response = failure(RateLimitError("slow down", retry_after=2.0), facts())
    twin = pickle.loads(pickle.dumps(response.exception()))

    assert (RateLimitError, "slow down", 2.0) == (type(twin), str(twin), twin.retry_after)
    assert response == twin.response


# --- chunks -----------------------------------------------------------------------------------------------------


def test_a_chunk_has_attributes_and_keys() -> None:
    """Both give the same; a name that is none is a KeyError, or the default of `get`."""
    chunk = Chunk(type="text", content="hi", provider="openai", model="m")

    assert ("text", "hi") == (chunk.type, chunk["content"])
    assert {name: getattr(chunk, name) for name in chunk.keys()} == dict(chunk)  # noqa: SIM118  # a chunk is no dict
    assert list(chunk) == list(chunk.keys())
    assert ("content" in chunk, "nonsense" in chunk) == (True, False)
    assert ("hi", None, 5) == (chunk.get("content"), chunk.get("nonsense"), chunk.get("nonsense", 5))
    with pytest.raises(KeyError, match="nonsense"):
        chunk["nonsense"]
    with pytest.raises(KeyError, match="keys"):
        chunk["keys"]


def test_the_defaults_of_a_chunk() -> None:
    """`content` is always a text; a chunk is of a success unless it says otherwise."""
    chunk = Chunk(type="end")

    assert ("", "", "", "success", None) == (
        chunk.content,
        chunk.reasoning,
        chunk.arguments_delta,
        chunk.status,
        chunk.error_type,
    )
    assert {"index", "id", "name", "finish_reason", "usage", "provider", "model"} < set(chunk)


@given(st.text())
def test_chunks_serialise(text: str) -> None:
    """A chunk is plain data."""
    chunk = Chunk(type="text", content=text)

    assert chunk == msgspec.json.decode(msgspec.json.encode(chunk), type=Chunk)
    assert dict(chunk) == json.loads(json.dumps(dict(chunk)))
