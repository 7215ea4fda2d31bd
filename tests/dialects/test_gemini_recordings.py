"""The Gemini dialect against recorded traffic: what the recording says, read here by hand, is what the decoder says."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multi_llm_wrapper.dialects import gemini
from multi_llm_wrapper.errors import ContentFilterError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    MessageToolCall,
    Reply,
    ToolMessage,
    UserMessage,
)

FILES = ("gemini.jsonl", "vertex_gemini.jsonl")
FINISH = {"STOP": "stop", "SAFETY": "content_filter", "MODEL_ARMOR": "content_filter", "UNEXPECTED_TOOL_CALL": "other"}


def exchanges(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in FILES:
        with (folder / name).open() as lines:
            for number, line in enumerate(lines, 1):
                yield f"{name}:{number}", json.loads(line)


def successes(folder: Path) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Place, response and its chunks, without the blocked prompts."""
    for place, exchange in exchanges(folder):
        response = exchange["response"]
        if response["status"] != 200:
            continue
        chunks = chunks_of(response)
        if not any("blockReason" in chunk.get("promptFeedback", {}) for chunk in chunks):
            yield place, response, chunks


def chunks_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    if "body" in response:
        return [response["body"]]
    return [json.loads(line[5:]) for line in response["text"].splitlines() if line.startswith("data:")]


def parts_of(chunks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for chunk in chunks for part in chunk["candidates"][0].get("content", {}).get("parts", [])]


def read(response: dict[str, Any], sizes: Iterator[int] | None = None) -> Reply:
    """The reply of a recorded response; a stream is fed in reads of these sizes (default: one byte)."""
    decoder, fold = gemini.decoder(), Fold(gemini.read_usage)
    if "body" in response:
        return fold.add_all(decoder.reply(json.dumps(response["body"]).encode())).reply()
    parser, text, at = SSEParser(), response["text"].encode(), 0
    while at < len(text):
        size = next(sizes) if sizes else 1
        for event in parser.feed(text[at : at + size]):
            fold.add_all(decoder.feed(event))
        at += size
    for event in parser.close():
        fold.add_all(decoder.feed(event))
    fold.add_all(decoder.close())
    assert decoder.ended
    return fold.reply()


def test_recorded_answers(recordings: Path) -> None:
    """Text, reasoning, tool calls, finish reason, usage, id and model are those in the recording."""
    counts: Counter[str] = Counter()
    for place, response, chunks in successes(recordings):
        reply = read(response)

        parts = parts_of(chunks)
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        assert text_of(parts, thought=False) == reply.content, place
        assert (text_of(parts, thought=True) or None) == reply.reasoning, place
        assert [call["name"] for call in calls] == [call.name for call in reply.tool_calls], place
        assert [call.get("args", {}) for call in calls] == [json.loads(c.arguments) for c in reply.tool_calls], place
        assert len({call.id for call in reply.tool_calls}) == len(calls), place
        reasons = [chunk["candidates"][0].get("finishReason") for chunk in chunks]
        assert reasons[-1] == reply.provider_finish_reason, place
        assert ("tool_calls" if calls and reasons[-1] == "STOP" else FINISH[reasons[-1]]) == reply.finish_reason, place
        check_usage(chunks[-1]["usageMetadata"], reply, place)
        assert chunks[-1].get("responseId") == reply.response_id, place
        assert chunks[-1]["modelVersion"] == reply.response_model, place
        counts.update(answers=1, calls=len(calls), streams="text" in response, native=reply.native is not None)
    assert counts == {"answers": 308, "calls": 142, "streams": 38, "native": 200}


def text_of(parts: list[dict[str, Any]], *, thought: bool) -> str:
    return "".join(part.get("text", "") for part in parts if bool(part.get("thought")) is thought)


def check_usage(raw: dict[str, Any], reply: Reply, place: str) -> None:
    usage = reply.usage
    assert usage is not None, place
    assert raw == reply.raw_usage, place
    assert raw["promptTokenCount"] + raw.get("toolUsePromptTokenCount", 0) == usage.input_tokens, place
    assert raw.get("candidatesTokenCount", 0) + raw.get("thoughtsTokenCount", 0) == usage.output_tokens, place
    assert raw["totalTokenCount"] == usage.total_tokens, place
    assert usage.input_tokens is not None, place
    assert usage.input_tokens + (usage.output_tokens or 0) == usage.total_tokens, place
    assert raw.get("cachedContentTokenCount", 0) == usage.cache_read_tokens, place
    assert raw.get("thoughtsTokenCount", 0) == usage.reasoning_tokens, place
    assert usage.cache_write_tokens is None, place


def test_recorded_streams_at_any_split(recordings: Path) -> None:
    """A stream gives the same answer however the network cuts it."""
    seeds = random.Random(20261101)
    for place, response, _ in successes(recordings):
        if "text" in response:
            whole = read(response, iter([len(response["text"].encode())]))
            for _ in range(3):
                sizes = iter(lambda: seeds.choice((1, 2, 7, 40, 1000)), 0)
                assert whole == read(response, sizes), place


def test_recorded_extras(recordings: Path) -> None:
    """Every field and part that is not text, call, reason, usage or id is found again in extras or in native."""
    read_elsewhere = {"content", "finishReason", "index"}
    for place, response, chunks in successes(recordings):
        reply = read(response)

        names = {name for chunk in chunks for name in chunk["candidates"][0]} - read_elsewhere
        opaque = [part for part in parts_of(chunks) if not part.keys() & {"text", "functionCall"}]
        assert names | ({"parts"} if opaque else set()) == reply.extras.keys(), place
        assert opaque == reply.extras.get("parts", []), place
        signatures = [part["thoughtSignature"] for part in parts_of(chunks) if "thoughtSignature" in part]
        kept = reply.native.fields["parts"] if reply.native else []
        assert signatures == [part["thoughtSignature"] for part in kept if "thoughtSignature" in part], place


def test_recorded_turns_go_back_verbatim(recordings: Path) -> None:
    """A turn sent back in the next request has the parts that came, and its results name the same calls."""
    checked = 0
    for place, response, _ in successes(recordings):
        reply = read(response)
        if reply.native is None:
            continue
        calls = [MessageToolCall(c.id, FunctionCall(c.name, c.arguments)) for c in reply.tool_calls]
        turn = AssistantMessage(reply.content, calls or None, provider_data=reply.native)
        results = [ToolMessage("done", call.id) for call in reversed(calls)]
        request = ChatRequest(model="gemini-x", messages=[UserMessage("?"), turn, *results])

        contents = json.loads(gemini.encode_request(request).body)["contents"]

        assert reply.native.fields["parts"] == contents[1]["parts"], place
        sent = [part["functionCall"] for part in contents[1]["parts"] if "functionCall" in part]
        answered = [part["functionResponse"] for part in contents[2]["parts"]] if calls else []
        key = [(call.get("id"), call["name"]) for call in sent]
        assert sorted(key, key=str) == sorted(((a.get("id"), a["name"]) for a in answered), key=str), place
        checked += 1
    assert checked == 200


def test_recorded_refusals(recordings: Path) -> None:
    """The prompt that Model Armor blocked is a content filter error with the provider's reason."""
    blocked = [
        response
        for _, exchange in exchanges(recordings)
        if "promptFeedback" in json.dumps(response := exchange["response"])
    ]
    assert len(blocked) == 1
    with pytest.raises(ContentFilterError, match="Prompt Injection and Jailbreak") as raised:
        read(blocked[0])

    assert (raised.value.code, raised.value.rejected_by) == ("MODEL_ARMOR", "provider")


def test_recorded_requests(recordings: Path) -> None:
    """The server side reads every request that the real API took, with all its tools and words."""
    checked = 0
    for place, exchange in exchanges(recordings):
        if exchange["response"]["status"] != 200:
            continue
        sent = exchange["request"]
        path = "/v1beta" + sent["url"].partition("/v1beta")[2].removeprefix("1")

        request = gemini.decode_request(path, {}, json.dumps(sent["body"]).encode())

        assert ("streamGenerateContent" in path) is request.stream, place
        assert f"/{request.model}:" in path, place
        assert declared(sent["body"]) == [tool.function.name for tool in request.tools or []], place
        words = msgspec.json.encode(request.messages).decode()
        for content in sent["body"]["contents"]:
            for part in content["parts"]:
                assert json.dumps(part.get("text", ""), ensure_ascii=False)[1:-1] in words, place
        checked += 1
    assert checked == 309


def declared(body: dict[str, Any]) -> list[str]:
    tools = body.get("tools", [])
    lists = [
        tool.get("functionDeclarations") or tool.get("function_declarations") or []
        for tool in (tools if isinstance(tools, list) else [tools])
    ]
    return [declaration["name"] for declarations in lists for declaration in declarations]
