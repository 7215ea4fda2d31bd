"""Anthropic Messages against recorded traffic: every successful exchange, read by the dialect and, independently and
as plainly as can be, by this file."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.errors import ValidationError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    Message,
    MessageToolCall,
    Reply,
    Usage,
    UserMessage,
)

FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


@pytest.fixture(scope="module")
def exchanges(recordings: Path) -> list[dict[str, Any]]:
    lines = (recordings / "anthropic_messages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def whole_replies(exchanges: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for exchange in exchanges:
        if exchange["response"]["status"] == 200 and "body" in exchange["response"]:
            yield exchange["source"], exchange["response"]["body"]


def streams(exchanges: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for exchange in exchanges:
        if exchange["response"]["status"] == 200 and "text" in exchange["response"]:
            yield exchange["source"], exchange["response"]["text"]


def from_body(body: dict[str, Any]) -> Reply:
    events = anthropic_messages.decoder().reply(json.dumps(body).encode())
    return Fold(anthropic_messages.read_usage).add_all(events).reply()


def from_reads(reads: list[bytes]) -> Reply:
    parser, decoder, fold = SSEParser(), anthropic_messages.decoder(), Fold(anthropic_messages.read_usage)
    for read in reads:
        for event in parser.feed(read):
            fold.add_all(decoder.feed(event))
    assert decoder.ended
    return fold.add_all(decoder.close()).reply()


def message_of(text: str) -> dict[str, Any]:
    """The message that a stream amounts to, put together from the protocol's description."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for line in text.splitlines():
        if not line.startswith("data:"):
            continue
        data = json.loads(line.removeprefix("data:"))
        match data["type"]:
            case "message_start":
                message = data["message"]
            case "content_block_start":
                message["content"].append(data["content_block"])
            case "content_block_delta":
                _apply(message["content"][data["index"]], data["delta"], data["index"], inputs)
            case "message_delta":
                message.update(data["delta"])
                message["usage"] = {**message["usage"], **data["usage"]}
            case kind:
                assert kind in ("ping", "content_block_stop", "message_stop")
    for index, json_text in inputs.items():
        message["content"][index]["input"] = json.loads(json_text or "{}")
    return message


def _apply(block: dict[str, Any], delta: dict[str, Any], index: int, inputs: dict[int, str]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"].append(delta["citation"])
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]
        case kind:
            raise AssertionError(kind)


def check(source: str, message: dict[str, Any], reply: Reply) -> Counter[str]:
    """Everything that the message says is in the reply; gives what was seen, for the record."""
    blocks = message["content"]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    thoughts = [block["thinking"] for block in blocks if block["type"] == "thinking"]
    hidden = [b for b in blocks if b["type"] not in ("text", "thinking", "redacted_thinking", "tool_use")]
    citations = [one for block in blocks for one in block.get("citations") or []]
    special = any(
        set(b) - {"type", "text", "id", "name", "input"} or b["type"] not in ("text", "tool_use") for b in blocks
    )

    assert (source, "".join(b["text"] for b in blocks if b["type"] == "text")) == (source, reply.content)
    assert ("".join(thoughts) or None) == reply.reasoning
    assert [(call["id"], call["name"], call["input"]) for call in calls] == [
        (call.id, call.name, json.loads(call.arguments)) for call in reply.tool_calls
    ]
    assert (FINISH[message["stop_reason"]], message["stop_reason"]) == (
        reply.finish_reason,
        reply.provider_finish_reason,
    )
    assert (message["id"], message["model"]) == (reply.response_id, reply.response_model)
    assert usage_of(message["usage"]) == reply.usage
    assert message["usage"] == reply.raw_usage
    assert hidden == reply.extras.get("blocks", [])
    assert citations == reply.extras.get("citations", [])
    for name in ("container", "context_management", "stop_details", "stop_sequence"):
        assert message.get(name) == reply.extras.get(name)
    if special:
        assert reply.native is not None
        assert blocks == reply.native.fields["content"]
        assert blocks == sent_back(reply)
    return Counter(block["type"] for block in blocks) + Counter(exchanges=1, native=int(reply.native is not None))


def usage_of(raw: dict[str, Any]) -> Usage:
    read, written = raw["cache_read_input_tokens"], raw["cache_creation_input_tokens"]
    given = raw["input_tokens"] + read + written
    details = raw.get("output_tokens_details") or {}
    return Usage(
        given, raw["output_tokens"], given + raw["output_tokens"], read, written, details.get("thinking_tokens")
    )


def sent_back(reply: Reply) -> Any:
    """The blocks of the assistant turn in the next request."""
    calls = [MessageToolCall(call.id, FunctionCall(call.name, call.arguments)) for call in reply.tool_calls]
    turn = AssistantMessage(reply.content or None, calls or None, provider_data=reply.native)
    wire = anthropic_messages.encode_request(ChatRequest(model="m", messages=[UserMessage("Hi"), turn]))
    return json.loads(wire.body)["messages"][1]["content"]


def report(capsys: pytest.CaptureFixture[str], title: str, seen: Counter[str]) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in seen.most_common())
    with capsys.disabled():
        sys.stdout.write(f"\nanthropic_messages, {title}: {counts}\n")


def test_whole_replies(exchanges: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Each gives what it says, and its blocks go back verbatim."""
    seen: Counter[str] = Counter()
    for source, body in whole_replies(exchanges):
        seen += check(source, body, from_body(body))

    report(capsys, "whole replies", seen)
    assert seen["exchanges"] >= 200


def test_streams_however_they_are_read(exchanges: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """One byte at a time, and at seeded random places, each folds to the message it amounts to."""
    draw = random.Random(20262)
    seen: Counter[str] = Counter()
    for source, text in streams(exchanges):
        raw = text.encode()
        by_byte = from_reads([raw[i : i + 1] for i in range(len(raw))])
        seen += check(source, message_of(text), by_byte)
        for _ in range(5):
            edges = sorted({0, len(raw), *(draw.randrange(len(raw)) for _ in range(draw.randrange(60)))})
            assert by_byte == from_reads([raw[a:b] for a, b in pairwise(edges)]), source

    report(capsys, "streams", seen)
    assert seen["exchanges"] >= 80


def test_a_stream_equals_its_whole_reply(exchanges: list[dict[str, Any]]) -> None:
    """The message that a stream amounts to, sent as one body, is the same answer but for the spelling of arguments."""
    for source, text in streams(exchanges):
        streamed, whole = from_reads([text.encode()]), from_body(message_of(text))
        for reply in (streamed, whole):
            for i, call in enumerate(reply.tool_calls):
                reply.tool_calls[i] = msgspec.structs.replace(call, arguments=json.dumps(json.loads(call.arguments)))

        assert (source, whole) == (source, streamed)


def test_recorded_requests_are_read(exchanges: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """What real clients sent, and the API took, our provider's side takes as well, and writes as it would be sent."""
    seen: Counter[str] = Counter()
    for exchange in exchanges:
        if exchange["response"]["status"] != 200:
            continue
        sent = exchange["request"]["body"]
        request = anthropic_messages.decode_request(
            "/v1/messages?beta=true", {"anthropic-version": "2023-06-01"}, json.dumps(sent).encode()
        )
        seen += Counter(requests=1, messages=len(sent["messages"]), tools=len(request.tools or ()))

        assert (sent["model"], sent["max_tokens"]) == (request.model, request.max_tokens)
        assert bool(sent.get("stream")) == request.stream
        assert msgspec.convert(msgspec.to_builtins(request.messages), list[Message]) == request.messages
        try:
            anthropic_messages.encode_request(request)
        except ValidationError as error:
            raise AssertionError(exchange["source"]) from error

    report(capsys, "requests", seen)
    assert seen["requests"] >= 300
