"""Anthropic Messages, the provider's side, read by the official client (where it is installed)."""

from __future__ import annotations

from typing import Any

import pytest

from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.dialects.base import WireReply
from multi_llm_wrapper.errors import OverloadedError, RateLimitError
from multi_llm_wrapper.types import (
    Native,
    NativeMessage,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

anthropic = pytest.importorskip("anthropic", reason="the client is not installed (dependency group `sdks`)")

ASKED: Any = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
USAGE = Usage(15, 7, 22, 3, 2, 4)
ANSWER = Reply(
    content="Hi",
    reasoning="Hm",
    tool_calls=[ToolCall("toolu_1", "f", '{"a":1}'), ToolCall("toolu_2", "g", "{}")],
    finish_reason="tool_calls",
    usage=USAGE,
    response_id="msg_1",
    response_model="claude-x-1",
)
BLOCKS = [
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
    {"type": "text", "text": "Hi"},
]


def client(reply: WireReply) -> Any:
    """The official client, with a reply instead of a network."""
    http = pytest.importorskip("httpx2" if int(anthropic.__version__.partition(".")[0]) >= 1 else "httpx")

    def handle(request: Any) -> Any:
        asked = anthropic_messages.decode_request(request.url.path, dict(request.headers), request.content)
        assert "claude-x" == asked.model
        return http.Response(reply.status, headers=reply.headers, content=reply.body)

    transport = http.MockTransport(handle)
    return anthropic.Anthropic(
        api_key="k", base_url="http://127.0.0.1:1", max_retries=0, http_client=http.Client(transport=transport)
    )


def seen(message: Any) -> dict[str, Any]:
    """What the client understood."""
    return {
        "id": message.id,
        "model": message.model,
        "role": message.role,
        "content": [block.to_dict() for block in message.content],
        "stop": (message.stop_reason, message.stop_sequence),
        "usage": message.usage.to_dict(),
    }


EXPECTED = {
    "id": "msg_1",
    "model": "claude-x-1",
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ],
    "stop": ("tool_use", None),
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 3,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
        "service_tier": "standard",
    },
}


def stream_of(*events: Any, stop: Any = "tool_calls") -> WireReply:
    writer = anthropic_messages.encoder(response_id="msg_1", model="claude-x-1", created=0)
    raw = writer.start() + b"".join(writer.event(event) for event in events) + writer.end(stop, USAGE)
    return WireReply(200, {"content-type": "text/event-stream"}, raw)


def test_the_client_reads_a_reply() -> None:
    """Every field, with the types it declares."""
    message = client(anthropic_messages.encode_reply(ANSWER, created=0)).messages.create(**ASKED)

    assert EXPECTED == seen(message)
    type(message).model_validate(message.to_dict())


def test_the_client_reads_a_stream() -> None:
    """It gathers the same message from the events."""
    reply = stream_of(
        ReasoningDelta("Hm"),
        TextDelta("H"),
        TextDelta("i"),
        ToolCallDelta(0, "toolu_1", "f", '{"a"'),
        ToolCallDelta(0, arguments=":1}"),
        ToolCallDelta(1, "toolu_2", "g", "{}"),
    )
    with client(reply).messages.stream(**ASKED) as stream:
        message = stream.get_final_message()

    assert EXPECTED == seen(message)


def test_the_client_reads_native_blocks() -> None:
    """Whole and streamed."""
    native = NativeMessage("anthropic_messages", {"content": BLOCKS})
    whole = client(anthropic_messages.encode_reply(Reply(native=native, finish_reason="stop"), created=0))
    with client(stream_of(Native(native), stop="stop")).messages.stream(**ASKED) as stream:
        streamed = stream.get_final_message()

    assert BLOCKS == seen(whole.messages.create(**ASKED))["content"]
    assert BLOCKS == seen(streamed)["content"]


def test_the_client_reads_failures() -> None:
    """By status, with type and request id, and inside a stream."""
    refused = client(anthropic_messages.encode_error(RateLimitError("Slow down.", retry_after=2, request_id="req_1")))
    with pytest.raises(anthropic.RateLimitError, match="Slow down") as caught:
        refused.messages.create(**ASKED)

    assert "rate_limit_error" == caught.value.body["error"]["type"]
    assert "2" == caught.value.response.headers["retry-after"]

    writer = anthropic_messages.encoder(response_id="msg_1", model="m", created=0)
    raw = writer.start() + writer.event(TextDelta("H")) + writer.error(OverloadedError("Overloaded"))
    broken = client(WireReply(200, {"content-type": "text/event-stream"}, raw))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"), broken.messages.stream(**ASKED) as stream:
        stream.get_final_message()
