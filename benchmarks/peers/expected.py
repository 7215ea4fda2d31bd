"""What recorded exchanges say, read here from the JSON, by hand and without any client.

Usage is counted twice: inclusively, as multi_llm_wrapper's contract defines it (input has cache reads and writes in it,
output has reasoning, None = not reported), and as the provider says it, for clients that pass that on unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIALECTS = ("openai_chat", "azure_openai_chat", "compat", "anthropic_messages", "gemini")
"""Groups of recordings that are replayed; `compat` is every file that starts so."""
Counts = dict[str, int | None]


@dataclass
class Expected:
    dialect: str
    line: int
    model: str
    stream: bool
    error: int | None = None
    """The status of a recorded error; 200 when it came inside a stream."""
    text: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    inclusive: Counts | None = None
    verbatim: Counts | None = None


def groups(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """File name without its suffix -> exchanges."""
    files = [file for name in DIALECTS for file in sorted(folder.glob(f"{name}*.jsonl"))]
    return {
        file.stem: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for file in files
        if file.stem in DIALECTS or file.stem.startswith("compat_")
    }


def group_of(dialect: str) -> str:
    return "compat" if dialect.startswith("compat_") else dialect


def read(dialect: str, line: int, exchange: dict[str, Any]) -> Expected:
    request, response = exchange["request"], exchange["response"]
    model = request["body"].get("model") or request["url"].rpartition("/models/")[2].partition(":")[0]
    expected = Expected(dialect, line, model, exchange["stream"])
    if response["status"] != 200:
        expected.error = response["status"]
        return expected
    text = response.get("text")
    frames = [response["body"]] if text is None else _frames(text)
    if any(frame.get("error") for frame in frames):
        expected.error = 200
        return expected
    _READERS[group_of(dialect)](expected, frames)
    return expected


def _frames(text: str) -> list[dict[str, Any]]:
    lines = (line[5:].strip() for line in text.splitlines() if line.startswith("data:"))
    return [json.loads(line) for line in lines if line and line != "[DONE]"]


# --- OpenAI Chat Completions ------------------------------------------------------------------------------------


def _openai(expected: Expected, frames: list[dict[str, Any]]) -> None:
    raw: dict[str, Any] = {}
    texts: list[str] = []
    calls: dict[int, tuple[str, str]] = {}
    for frame in frames:
        raw = frame.get("usage") or (frame.get("x_groq") or {}).get("usage") or raw
        for choice in frame.get("choices") or []:
            if choice.get("index", 0):
                continue
            message = choice.get("delta") or choice.get("message") or {}
            texts.append(_text(message.get("content")))
            for position, call in enumerate(message.get("tool_calls") or []):
                name, arguments = calls.get(place := position if "message" in choice else call["index"], ("", ""))
                function = call["function"]
                calls[place] = (function.get("name") or name, arguments + (function.get("arguments") or ""))
    expected.text = "".join(texts)
    expected.calls = tuple((name, json.loads(arguments or "{}")) for name, arguments in calls.values())
    if raw:
        expected.inclusive, expected.verbatim = _openai_usage(raw)


def _text(content: Any) -> str:
    """Mistral's reasoning models send a list of parts, of which only those of type `text` are the answer."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _openai_usage(raw: dict[str, Any]) -> tuple[Counts, Counts]:
    """Hosts say elsewhere what OpenAI says in the details; verbatim is what stands in OpenAI's own places."""
    prompt, answer = raw.get("prompt_tokens_details") or {}, raw.get("completion_tokens_details") or {}
    read = [
        prompt.get("cached_tokens"),
        *map(raw.get, ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")),
    ]
    thought = [answer.get("reasoning_tokens"), raw.get("reasoning_tokens")]
    counts = {
        "input": raw["prompt_tokens"],
        "output": raw["completion_tokens"],
        "total": raw["total_tokens"],
        "cache_read": read[0],
        "cache_write": prompt.get("cache_write_tokens"),
        "reasoning": thought[0],
    }
    return {**counts, "cache_read": _first(read), "reasoning": _first(thought)}, counts


def _first(counts: list[int | None]) -> int | None:
    return next((count for count in counts if count is not None), None)


# --- Anthropic Messages -----------------------------------------------------------------------------------------


def _anthropic(expected: Expected, frames: list[dict[str, Any]]) -> None:
    message = frames[0] if frames[0]["type"] == "message" else _message(frames)
    blocks, raw = message["content"], message["usage"]
    expected.text = "".join(block["text"] for block in blocks if block["type"] == "text")
    expected.calls = tuple((block["name"], block["input"]) for block in blocks if block["type"] == "tool_use")
    read, written = raw.get("cache_read_input_tokens"), raw.get("cache_creation_input_tokens")
    given, output = raw["input_tokens"], raw["output_tokens"]
    thought = (raw.get("output_tokens_details") or {}).get("thinking_tokens")
    rest = {"output": output, "cache_read": read, "cache_write": written, "reasoning": thought}
    inclusive = given + (read or 0) + (written or 0)
    expected.inclusive = {"input": inclusive, "total": inclusive + output, **rest}
    expected.verbatim = {"input": given, "total": given + output, **rest}


def _message(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream amounts to."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for frame in frames:
        kind = frame["type"]
        if kind == "message_start":
            message = json.loads(json.dumps(frame["message"]))
        elif kind == "content_block_start":
            message["content"].append(dict(frame["content_block"]))
        elif kind == "content_block_delta" and frame["delta"]["type"] == "text_delta":
            message["content"][frame["index"]]["text"] += frame["delta"]["text"]
        elif kind == "content_block_delta" and frame["delta"]["type"] == "input_json_delta":
            inputs[frame["index"]] = inputs.get(frame["index"], "") + frame["delta"]["partial_json"]
        elif kind == "message_delta":
            message["usage"].update({n: v for n, v in frame["usage"].items() if v is not None})
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


# --- Gemini -----------------------------------------------------------------------------------------------------


def _gemini(expected: Expected, frames: list[dict[str, Any]]) -> None:
    raw: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    for frame in frames:
        raw = frame.get("usageMetadata") or raw
        for candidate in (frame.get("candidates") or [])[:1]:
            parts += (candidate.get("content") or {}).get("parts") or []
    expected.text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    expected.calls = tuple((call["name"], call.get("args") or {}) for call in calls)
    if raw:
        expected.inclusive, expected.verbatim = _gemini_usage(raw)


def _gemini_usage(raw: dict[str, Any]) -> tuple[Counts, Counts]:
    """Counts of zero are left out; thoughts stand beside the candidates, and prompts of tools beside the prompt."""
    given, output = raw.get("promptTokenCount", 0), raw.get("candidatesTokenCount", 0)
    thought, tools = raw.get("thoughtsTokenCount", 0), raw.get("toolUsePromptTokenCount", 0)
    rest = {
        "total": raw.get("totalTokenCount"),
        "cache_read": raw.get("cachedContentTokenCount", 0),
        "cache_write": None,
        "reasoning": thought,
    }
    return {"input": given + tools, "output": output + thought, **rest}, {"input": given, "output": output, **rest}


_READERS = {
    "openai_chat": _openai,
    "azure_openai_chat": _openai,
    "compat": _openai,
    "anthropic_messages": _anthropic,
    "gemini": _gemini,
}
