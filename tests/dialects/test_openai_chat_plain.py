"""The short way to read the usual body: it takes what OpenAI sends, and says what the long way says."""

from __future__ import annotations

import json
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from multi_llm_wrapper import LLMWrapper, OpenAIConfig
from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.dialects.openai_chat.finish import FAILURES, REASONS
from multi_llm_wrapper.errors import LLMError
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.simulator import MemoryTransport
from multi_llm_wrapper.types import Reply, Usage
from tests.dialects.test_openai_chat_recordings import exchanges
from tests.strategies import json_values

USAGE: dict[str, Any] = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 3,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
MESSAGE: dict[str, Any] = {"role": "assistant", "content": "Hello you", "refusal": None, "annotations": []}
BODY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_741_569_952,
    "model": "gpt-4.1-2025-04-14",
    "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}
"""As https://platform.openai.com/docs/api-reference/chat/object has it."""


def long_way(body: bytes) -> Reply:
    return Fold(openai_chat.read_usage).add_all(openai_chat.decoder().reply(body)).reply()


def without(*names: str) -> dict[str, Any]:
    """The usual body without these fields, wherever they stand."""
    body = deepcopy(BODY)
    for fields in (body, body["choices"][0], body["choices"][0]["message"]):
        for name in names:
            fields.pop(name, None)
    return body


def saying(**fields: Any) -> dict[str, Any]:
    """The usual body with another message."""
    body = deepcopy(BODY)
    body["choices"][0]["message"].update(fields)
    return body


def choosing(**fields: Any) -> dict[str, Any]:
    """The usual body with another choice."""
    body = deepcopy(BODY)
    body["choices"][0].update(fields)
    return body


def finished(word: Any) -> dict[str, Any]:
    return choosing(finish_reason=word)


def holding(**fields: Any) -> dict[str, Any]:
    """The usual body with other fields of its own."""
    return {**BODY, **fields}


# --- what is usual ----------------------------------------------------------------------------------------------

USUAL: dict[str, dict[str, Any]] = {
    "OpenAI": BODY,
    "without usage": without("usage"),
    "null usage": holding(usage=None),
    "empty usage": holding(usage={}),
    "odd usage": holding(usage={"prompt_tokens": "3", "completion_tokens": 2.0, "cost": [1]}),
    "without tier": without("service_tier"),
    "null tier": holding(service_tier=None),
    "without fingerprint": without("system_fingerprint"),
    "empty labels": holding(id="", model="", service_tier="", system_fingerprint=""),
    "without all that may be left out": {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]},
    "without refusal": without("refusal", "annotations", "logprobs", "index"),
    "empty tool calls": saying(tool_calls=[]),
    "null tool calls": saying(tool_calls=None, annotations=None),
    "empty text": saying(content=""),
    "any script": saying(content="Grüße 🦆 \u2028 \x00"),
    "length": finished("length"),
    "filtered": finished("content_filter"),
    "a word of nobody": finished("banana"),
    "time with a fraction": holding(created=1.5),
}


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_the_usual_body_goes_the_short_way(body: dict[str, Any]) -> None:
    """Whatever OpenAI may leave out, send as null or send empty, and the reply is that of the long way."""
    raw = json.dumps(body).encode()
    assert long_way(raw) == openai_chat.plain(raw)


def test_what_is_read() -> None:
    """Text, reasons, counts, names and the two fields that are kept; written out, for both ways could err alike."""
    assert (
        Reply(
            content="Hello you",
            finish_reason="stop",
            provider_finish_reason="stop",
            usage=Usage(19, 10, 29, 4, None, 3),
            raw_usage=USAGE,
            response_id="chatcmpl-1",
            response_model="gpt-4.1-2025-04-14",
            extras={"service_tier": "default", "system_fingerprint": "fp_1"},
        )
        == openai_chat.plain(json.dumps(BODY).encode())
    )  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("model", ["gpt-4o", "o3"])
async def test_the_simulator_answers_in_the_usual_way(model: str) -> None:
    """A whole answer of the simulator, as its server writes it, is read the short way."""
    async with LLMWrapper(
        OpenAIConfig(api_key="sk-1", base_url="http://simulator/v1"), transport=MemoryTransport()
    ) as llm:
        raw = (await llm.query("Hello", model, keep_raw=True)).metadata["raw"].encode()
    found = openai_chat.plain(raw)
    assert found is not None
    assert found.usage is not None
    assert long_way(raw) == found


# --- what is not ------------------------------------------------------------------------------------------------

UNUSUAL: dict[str, bytes] = {
    name: body if isinstance(body, bytes) else json.dumps(body).encode()
    for name, body in {
        "a tool call": saying(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}]),
        "a function call": saying(function_call={"name": "f", "arguments": "{}"}),
        "reasoning": saying(reasoning_content="Hm"),
        "a refusal": saying(refusal="No"),
        "annotations": saying(annotations=[{"type": "url_citation"}]),
        "audio": saying(audio={"id": "a"}),
        "parts": saying(content=[{"type": "text", "text": "x"}]),
        "no text": saying(content=None),
        "no content": without("content"),
        "no finish reason": finished(None),
        "an empty finish reason": finished(""),
        **{f"finish reason {word}": finished(word) for word in FAILURES},
        "log probabilities": choosing(logprobs={"content": [{"token": "x"}]}),
        "another choice": holding(choices=BODY["choices"] * 2),
        "the second choice alone": choosing(index=1),
        "no choice": holding(choices=[]),
        "null choices": holding(choices=None),
        "an error": holding(error={"message": "No"}),
        "an error in the choice": choosing(error={"message": "No"}),
        "usage in the choice": choosing(usage=USAGE),
        "usage that is a list": holding(usage=[1]),
        "citations": holding(citations=["u"]),
        "a numbered id": holding(id=7),
        "a chunk": holding(choices=[{"index": 0, "delta": MESSAGE, "finish_reason": "stop"}]),
        "a list": [BODY],
        "nothing": b"",
        "no JSON": b"<html>",
        "half": json.dumps(BODY).encode()[:-1],
        "more": json.dumps(BODY).encode() + b"{}",
        "broken text": json.dumps(BODY).encode().replace(b"Hello", b"\xff"),
        "half a character": json.dumps(BODY).encode().replace(b"Hello", b"\\ud800"),
        "too deep": json.dumps(BODY).encode().replace(b"29", b"[" * 100_000 + b"]" * 100_000),
    }.items()
}


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
def test_everything_else_goes_the_long_way(body: bytes) -> None:
    """Also what is no answer: which error it is, the long way says."""
    assert None is openai_chat.plain(body)


# --- both ways --------------------------------------------------------------------------------------------------

MINIMAL: dict[str, Any] = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
PLACES = ("body", "choice", "message", "usage", "details")
NAMES = sorted(
    {*BODY, *BODY["choices"][0], *MESSAGE, *USAGE, *USAGE["prompt_tokens_details"]}
    | {"tool_calls", "function_call", "reasoning", "reasoning_content", "reasoning_details", "audio", "delta", "error"}
    | {"x_groq", "citations", "obfuscation", "native_finish_reason", "num_cached_tokens", "prompt_cache_hit_tokens"}
    | {"reasoning_tokens", "cache_write_tokens", ""}
)
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
VALUES: list[Any] = [
    None, "", "x", 0, 1, -1, 0.0, 1.5, -0.0, True, False, [], {}, [[]], [{}], [1], {"": None}, "error", "assistant",
    2**63, 2**64, 10**400, 1e300, "\ud800", "Grüße 🦆", [CALL], CALL, [{"type": "text", "text": "x"}],
    [{"type": "thinking", "thinking": "x"}], [{"type": "refusal", "refusal": "x"}], MESSAGE, BODY["choices"][0], USAGE,
    *REASONS, *FAILURES,
]  # fmt: skip


def place(body: dict[str, Any], name: str) -> object:
    """What stands there: an object, where nothing was changed."""
    choices, usage = body.get("choices"), body.get("usage")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return {"body": body, "choice": choice, "message": message, "usage": usage, "details": details}[name]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """The usual body with a few fields removed, added or changed, at every level."""
    body: dict[str, Any] = deepcopy(draw(st.sampled_from([BODY, BODY, MINIMAL])))
    for _ in range(draw(st.integers(0, 3))):
        fields = place(body, draw(st.sampled_from(PLACES)))
        if not isinstance(fields, dict):
            continue
        change = draw(st.sampled_from(["remove", "set", "own", "own"]))
        if change == "set":
            fields[draw(st.sampled_from(NAMES))] = deepcopy(draw(st.sampled_from(VALUES) | json_values))
        elif fields:
            name = draw(st.sampled_from(sorted(fields)))
            if change == "remove":
                del fields[name]
            else:
                fields[name] = deepcopy(draw(st.sampled_from(VALUES) | json_values))
    message = place(body, "message")
    if isinstance(message, dict) and draw(st.booleans()):
        message["content"] = draw(st.text())
    if draw(st.integers(0, 9)) == 0 and isinstance(body.get("choices"), list):
        body["choices"].append(deepcopy(draw(st.sampled_from(BODY["choices"]) | json_values)))
    return body


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """Such a body as JSON, in any spacing, with raw or escaped characters, perhaps with a field given twice."""
    body = draw(bodies())
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, None, 0, 2]))
    text = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(NAMES))
        again = json.dumps({name: draw(st.sampled_from(VALUES) | json_values)}, ensure_ascii=ascii_only)[1:-1]
        twice = text[: text.index("{") + 1] + again + "," + text[text.index("{") + 1 :]
        text = draw(st.sampled_from([twice, text[:-1] + "," + again + "}"])) if body else text
    return draw(st.sampled_from(["", " \n\t"])).encode() + text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body that was cut off, or has other bytes somewhere."""
    raw = draw(written())
    at, more = draw(st.integers(0, len(raw))), draw(st.binary(max_size=4))
    return draw(st.sampled_from([raw[:at], raw[:at] + more + raw[at:], raw[:at] + more + raw[at + len(more) :]]))


def assert_same(raw: bytes) -> None:
    found = openai_chat.plain(raw)
    event("long" if found is None else "short")
    if found is None:
        return
    try:
        expected = long_way(raw)
    except LLMError as error:
        pytest.fail(f"the short way reads what the long way refuses ({error}): {raw!r}")
    assert expected == found, raw
    assert [type(value) for value in astuple(expected)] == [type(value) for value in astuple(found)]


def astuple(reply: Reply) -> list[Any]:
    return [getattr(reply, name) for name in reply.__struct_fields__]


@given(written())
@example(json.dumps(BODY).encode())
@settings(max_examples=600)
def test_both_ways_say_the_same(raw: bytes) -> None:
    """Whatever a body has too little, too much or otherwise: the short way leaves it alone, or reads the same."""
    assert_same(raw)


@given(damaged() | st.binary(max_size=60))
@settings(max_examples=300)
def test_damaged_bodies_too(raw: bytes) -> None:
    """Cut off, with bytes in it that do not belong there, or nothing of the kind."""
    assert_same(raw)


@given(st.text(), st.sampled_from(sorted(set(REASONS) | {"banana"})), json_values)
def test_texts_of_every_kind(content: str, word: str, usage: Any) -> None:
    """The short way takes every text, every reason and every usage object that can be written as JSON."""
    body = finished(word)
    body["choices"][0]["message"]["content"] = content
    body["usage"] = usage if isinstance(usage, dict) else {"prompt_tokens": usage}
    raw = json.dumps(body).encode()
    assert long_way(raw) == openai_chat.plain(raw)


def test_the_recordings(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every recorded body is read the same by both ways, or not at all by the short one; some are usual."""
    ways: Counter[str] = Counter()
    for host, response in exchanges(recordings):
        if "body" in response:
            raw = json.dumps(response["body"]).encode()
            found = openai_chat.plain(raw)
            ways["short" if found is not None else "long"] += 1
            assert found in (None, long_way(raw)), host
    with capsys.disabled():
        sys.stdout.write(f"\nwhole bodies read the short way: {ways['short']} of {ways.total()}\n")
    assert ways["short"] >= 1
