"""Anthropic Messages: whatever shape comes, it is read with the types that are declared, or is an `LLMError`; no other
exception goes out.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.errors import LLMError, MalformedResponseError, ValidationError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import ServerEvent, SSEParser
from multi_llm_wrapper.types import AssistantMessage, ChatRequest, Event, NativeMessage, UserMessage
from tests.strategies import json_values, well_typed

USAGE = {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}}
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
    {"type": "text", "text": "Hi", "citations": [{"cited_text": "x"}]},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"url": "u"}]},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
]
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "container": {"id": "c"},
    "usage": USAGE,
}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", "citations": []}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"x": 1}}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_start", "index": 2, "content_block": {**BLOCKS[4], "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
    {"type": "content_block_start", "index": 3, "content_block": {"type": "future", "x": [1]}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "future_delta", "x": [2], "y": "z"}},
    {"type": "content_block_stop", "index": 3},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
    {"type": "message_stop"},
]
REQUEST: dict[str, Any] = {
    "model": "m",
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "A"}],
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        {"role": "assistant", "content": BLOCKS},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": {}, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "temperature": 1,
    "stop_sequences": ["x"],
    "stream": True,
}
HEADERS = {"anthropic-version": "2023-06-01"}

Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every place inside a JSON value."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


def replaced(value: Any, at: Place, new: Any) -> Any:
    result = copy.deepcopy(value)
    inner = result
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = new
    return result


def read_reply(body: bytes) -> None:
    assert well_typed(Fold(anthropic_messages.read_usage).add_all(anthropic_messages.decoder().reply(body)).reply())


def read_events(events: list[dict[str, Any]]) -> None:
    """Feeds on behind an error, which the decoder must bear as well."""
    decoder, fold = anthropic_messages.decoder(), Fold(anthropic_messages.read_usage)
    for event in events:
        tolerate(lambda data: fold.add_all(decoder.feed(ServerEvent("", json.dumps(data).encode()))), event)
    tolerate(lambda _: fold.add_all(decoder.close()), None)
    assert well_typed(fold.reply())


def tolerate(action: Callable[[Any], object], value: Any) -> LLMError | None:
    try:
        action(value)
    except LLMError as error:
        return error
    return None


# json.dumps writes lone surrogates as escapes, which no JSON reader of ours takes: an error, and a classed one.
wild: st.SearchStrategy[Any] = json_values | st.just("\ud800") | st.just([[[]]]) | st.just(10**30) | st.just(-1)


@given(st.sampled_from(list(places(MESSAGE))), wild)
def test_a_reply_with_one_wrong_value(at: Place, value: Any) -> None:
    """Every value of a real reply may be anything: it is read well typed or refused, nothing else is raised."""
    tolerate(read_reply, json.dumps(replaced(MESSAGE, at, value)).encode())


@given(st.sampled_from(list(places(EVENTS))), wild)
def test_a_stream_with_one_wrong_value(at: Place, value: Any) -> None:
    """Every value of every event may be anything: the answer so far is well typed, nothing else is raised."""
    events = replaced(EVENTS, at, value)

    read_events([event for event in events if isinstance(event, dict)])


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_a_stream_in_any_order(events: list[dict[str, Any]]) -> None:
    """Events may be missing, doubled or out of order: the answer so far is well typed, nothing else is raised."""
    read_events(copy.deepcopy(events))


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(body: bytes) -> None:
    """What is no message, no error and no request is refused in each direction; as another event it may be passed over,
    which leaves no answer."""
    assert isinstance(tolerate(read_reply, body), MalformedResponseError)
    assert tolerate(lambda event: anthropic_messages.decoder().feed(event), ServerEvent("error", body))
    found: list[Event] = []
    for name in ("", "content_block_delta"):
        tolerate(lambda event: found.extend(anthropic_messages.decoder().feed(event)), ServerEvent(name, body))
    assert [] == found
    assert tolerate(lambda raw: anthropic_messages.decode_request("/v1/messages", HEADERS, raw), body)


@given(st.sampled_from(list(places(REQUEST))), wild)
def test_a_request_with_one_wrong_value(at: Place, value: Any) -> None:
    """Each is read or refused as the API would, with 400, and what is read can be written again."""
    body = json.dumps(replaced(REQUEST, at, value)).encode()

    def there_and_back(raw: bytes) -> None:
        anthropic_messages.encode_request(anthropic_messages.decode_request("/v1/messages", HEADERS, raw))

    error = tolerate(there_and_back, body)

    assert error is None or (isinstance(error, ValidationError) and error.status_code in (400, None))


@given(json_values)
def test_hostile_native_messages(value: Any) -> None:
    """Opaque data comes from wherever the caller kept it: unless it says what the message says, the message is sent."""
    for content in (value, [value], [{"type": value}, {"type": "text", "text": value}]):
        turn = AssistantMessage("A", provider_data=NativeMessage("anthropic_messages", {"content": content}))
        body = anthropic_messages.encode_request(ChatRequest(model="m", messages=[UserMessage("Hi"), turn])).body
        _, sent = json.loads(body)["messages"]

        assert "assistant" == sent["role"]
        assert sent["content"] in ("A", content)


@pytest.mark.slow
def test_recorded_events_with_wrong_values(recordings: Path) -> None:
    """Real replies and streams, each with seeded wrong values in it."""
    draw = random.Random(20261)
    junk: list[Any] = [None, True, -1, 1.5, "", "x", [], [1], {}, {"type": "text"}, {"type": []}]
    count = 0
    for line in (recordings / "anthropic_messages.jsonl").read_text().splitlines():
        response = json.loads(line)["response"]
        whole = "body" in response
        subject: Any = response["body"] if whole else _frames(response["text"])
        found = list(places(subject))
        for _ in range(10):
            spoiled = replaced(subject, draw.choice(found), draw.choice(junk))
            if whole:
                tolerate(read_reply, json.dumps(spoiled).encode())
            else:
                read_events([frame for frame in spoiled if isinstance(frame, dict)])
            count += 1

    assert count >= 3000


def _frames(text: str) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in SSEParser().feed(text.encode())]
