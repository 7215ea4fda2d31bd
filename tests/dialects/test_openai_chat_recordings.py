"""Recorded answers of OpenAI and the hosts that speak its protocol. What is expected is read from the raw JSON here,
in its own way, so that a mistake of the decoder is not repeated by its test."""

import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.errors import LLMError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import Reply

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}
REFUSED_REQUESTS = (
    "Content blocks are expected to be either text or image_url type",  # audio, documents
    "Invalid 'tools': empty array",  # some hosts take an empty list
    "Invalid value: 'any'",  # Mistral's word for `required`
    "Invalid value: 'openrouter:",  # OpenRouter's own tools
)


def exchanges(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the host and exchange, of every answer with HTTP 200."""
    files = sorted({*folder.glob("*openai_chat.jsonl"), *folder.glob("compat_*.jsonl")})
    assert files, f"no recordings of this dialect in {folder}"
    for file in files:
        for line in file.read_text().splitlines():
            exchange = json.loads(line)
            if exchange["response"]["status"] == 200:
                yield file.stem, exchange["response"] | {"request": exchange["request"]}


def chunks(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def of_parts(content: Any) -> tuple[str, str]:
    """Text and thinking of a content in any of its forms."""
    if isinstance(content, list):
        text = "".join(part["text"] for part in content if part["type"] == "text")
        thinking = [part["thinking"] for part in content if part["type"] == "thinking"]
        return text, "".join(piece["text"] for pieces in thinking for piece in pieces)
    return content or "", ""


def expected_of_body(body: dict[str, Any]) -> dict[str, Any]:
    choice = body["choices"][0]
    message = choice["message"]
    text, thinking = of_parts(message.get("content"))
    calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]
    reasoning = message.get("reasoning_content") or message.get("reasoning") or thinking or None
    return {
        "text": text,
        "reasoning": reasoning,
        "calls": calls,
        "finish": "content_filter" if message.get("refusal") else FINISH[choice["finish_reason"]],
        "said": choice["finish_reason"],
        "usage": expected_usage(body["usage"]),
        "id": body["id"],
        "model": body["model"],
    }


def expected_of_stream(frames: list[dict[str, Any]]) -> dict[str, Any]:
    text = reasoning = refusal = ""
    said = usage = None
    calls: dict[int, list[str]] = {}
    for frame in frames:
        usage = frame.get("usage") or usage
        for choice in frame["choices"]:
            delta = choice["delta"]
            said = choice["finish_reason"] or said
            text += delta.get("content") or ""
            refusal += delta.get("refusal") or ""
            reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for call in delta.get("tool_calls") or []:
                entry = calls.setdefault(call["index"], ["", "", ""])
                entry[0] += call.get("id") or ""
                entry[1] += call["function"].get("name") or ""
                entry[2] += call["function"].get("arguments") or ""
    return {
        "text": text,
        "reasoning": reasoning or None,
        "calls": [tuple(calls[index]) for index in sorted(calls)],
        "finish": "content_filter" if refusal else FINISH[said or ""],
        "said": said,
        "usage": expected_usage(usage),
        "id": frames[0]["id"],
        "model": frames[0]["model"],
    }


def expected_usage(usage: Any) -> dict[str, int | None] | None:
    if usage is None:
        return None
    prompt = usage.get("prompt_tokens_details") or {}
    answer = usage.get("completion_tokens_details") or {}
    cached = [prompt.get("cached_tokens"), usage.get("cached_tokens"), usage.get("num_cached_tokens")]
    return {
        "input": usage["prompt_tokens"],
        "output": usage["completion_tokens"],
        "total": usage["total_tokens"],
        "cached": next((count for count in cached if count is not None), None),
        "written": prompt.get("cache_write_tokens"),
        "reasoning": answer.get("reasoning_tokens"),
    }


def seen(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "text": reply.content,
        "reasoning": reply.reasoning,
        "calls": [(call.id, call.name, call.arguments) for call in reply.tool_calls],
        "finish": reply.finish_reason,
        "said": reply.provider_finish_reason,
        "usage": usage
        and {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "total": usage.total_tokens,
            "cached": usage.cache_read_tokens,
            "written": usage.cache_write_tokens,
            "reasoning": usage.reasoning_tokens,
        },
        "id": reply.response_id,
        "model": reply.response_model,
    }


def read(reads: list[bytes]) -> Reply:
    parser, decoder, fold = SSEParser(), openai_chat.decoder(), Fold(openai_chat.read_usage)
    for piece in reads:
        for event in parser.feed(piece):
            fold.add_all(decoder.feed(event))
    for event in parser.close():
        fold.add_all(decoder.feed(event))
    assert decoder.ended
    return fold.add_all(decoder.close()).reply()


def cut(data: bytes, seed: int) -> list[bytes]:
    dice = random.Random(seed)
    edges = [0, *sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 40))), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def report(capsys: pytest.CaptureFixture[str], what: str, counts: Counter[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(
            f"\n{what}: {counts.total()} ({', '.join(f'{name} {n}' for name, n in sorted(counts.items()))})\n"
        )


def test_whole_answers(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every recorded body gives the text, reasoning, calls, finish reason, usage and ids that stand in it."""
    counts: Counter[str] = Counter()
    for host, response in exchanges(recordings):
        if "body" not in response:
            continue
        decoder = openai_chat.decoder()
        events = decoder.reply(json.dumps(response["body"]).encode())
        reply = Fold(openai_chat.read_usage).add_all(events).reply()
        counts[host] += 1

        assert expected_of_body(response["body"]) == seen(reply), host
        assert response["body"]["usage"] == reply.raw_usage
        assert decoder.ended
    report(capsys, "whole answers decoded", counts)
    assert counts.total() >= 1


def test_streamed_answers(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every recorded stream folds to what stands in its chunks, in one read, byte by byte and at random splits."""
    counts: Counter[str] = Counter()
    for number, (host, response) in enumerate(exchanges(recordings)):
        if "text" not in response or "event: error" in response["text"]:
            continue
        data = response["text"].encode()
        ways = [[data], [data[i : i + 1] for i in range(len(data))], cut(data, number), cut(data, number + 10_000)]
        in_one_read, *others = [read(way) for way in ways]
        counts[host] += 1

        assert expected_of_stream(chunks(response["text"])) == seen(in_one_read), host
        assert [in_one_read] * 3 == others, host
    report(capsys, "streamed answers decoded", counts)
    assert counts.total() >= 1


def test_streams_that_end_in_an_error(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recorded error event ends the stream as an error, after the reasoning that came before it."""
    counts: Counter[str] = Counter()
    for host, response in exchanges(recordings):
        if "text" not in response or "event: error" not in response["text"]:
            continue
        decoder, fold = openai_chat.decoder(), Fold(openai_chat.read_usage)
        *events, last = SSEParser().feed(response["text"].encode())
        for event in events:
            fold.add_all(decoder.feed(event))
        with pytest.raises(LLMError, match="Tool call validation failed"):
            decoder.feed(last)
        counts[host] += 1

        assert expected_of_stream([*chunks(response["text"])[:-1], FINISHED])["reasoning"] == fold.reply().reasoning
    report(capsys, "streams with an error", counts)
    assert counts.total() >= 1


FINISHED = {"id": "", "model": "", "choices": [{"delta": {}, "finish_reason": "stop"}]}


def test_nothing_is_lost(recordings: Path) -> None:
    """Every field of a recorded body that says something is in the reply or among its extras."""
    read_fields = {"id", "object", "created", "model", "choices", "usage"}
    checked = 0
    for host, response in exchanges(recordings):
        if "body" not in response:
            continue
        body = response["body"]
        extras = (
            Fold(openai_chat.read_usage).add_all(openai_chat.decoder().reply(json.dumps(body).encode())).reply().extras
        )
        choice = body["choices"][0]
        fields = {name: value for name, value in body.items() if name not in read_fields}
        fields |= {n: v for n, v in choice.items() if n not in ("index", "message", "finish_reason")}
        read_of_message = ("role", "content", "tool_calls", "reasoning", "reasoning_content")
        fields |= {n: v for n, v in choice["message"].items() if n not in read_of_message}

        assert {name: value for name, value in fields.items() if value not in (None, "", [], {})} == extras, host
        checked += 1
    assert checked >= 1


def test_recorded_requests(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server side reads every request that a real host took, but for named features it has no words for."""
    counts: Counter[str] = Counter()
    for host, response in exchanges(recordings):
        body = response["request"]["body"]
        try:
            request = openai_chat.decode_request("/chat/completions", {}, json.dumps(body).encode())
        except LLMError as error:
            if not any(reason in str(error) for reason in REFUSED_REQUESTS):
                raise
            counts["refused"] += 1
            continue
        counts[host] += 1
        again = json.loads(openai_chat.encode_request(request).body)

        assert body["model"] == again["model"]
        assert [message["role"] for message in body["messages"]] == [message["role"] for message in again["messages"]]
        for name in ("temperature", "top_p", "seed", "tool_choice", "parallel_tool_calls", "reasoning_effort"):
            assert body.get(name) == again.get(name), host
    report(capsys, "requests read", counts)
    assert counts.total() > counts["refused"]
